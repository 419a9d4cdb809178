"""The schema of settings: what it accepts, their conversion accepts; what it refuses, their conversion refuses."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pydantic
import pytest

from headrace.exceptions import ConfigError
from headrace.model.blueprint_schema import blueprint_schema
from headrace.model.settings import convert_settings
from headrace.model.settings_schema import KnownType, settings_schema


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Server(msgspec.Struct, kw_only=True):
    """Where to go.

    Attributes:
        host: The name
            of the machine.
        port: Its port, ``80`` as a rule.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 80
    path: Path = Path("a/b")
    ratio: float = 0.5
    loud: bool = False
    colour: Colour = Colour.RED
    mode: Literal["a", 1, None] = "a"
    price: Decimal = Decimal("1.5")
    when: datetime.date | None = None
    names: list[str] = msgspec.field(default_factory=lambda: ["x"])
    tags: set[str] = set()
    pair: tuple[int, str] = (1, "a")
    by_name: dict[str, int | list[int]] = {}
    counts: dict[Literal["sum", "mean"], int] = {}
    point: Point | None = None
    points: list[Point] = []
    text_or_number: str | int = ""
    renamed: int = msgspec.field(default=1, name="other-name")
    anything: Any = msgspec.UNSET
    limit: float = float("inf")


@dataclasses.dataclass
class Plain:
    """Settings.

    Attributes:
        size: How large.
    """

    size: int
    name: str = "n"
    items: list[int] = dataclasses.field(default_factory=list)
    made: int = dataclasses.field(default=0, init=False)


SERVERS: list[dict[str, Any]] = [
    {"host": "h"},
    {},
    {"host": 5},
    {"host": "h", "porrt": 1},
    *({"host": "h", "port": value} for value in (1, 0, 65536, "80", True, None)),
    *({"host": "h", "path": value} for value in ("a", 5, None, ["a"])),
    *({"host": "h", "ratio": value} for value in (1, 0.5, "1", True, float("inf"))),
    *({"host": "h", "loud": value} for value in (True, 1, "true", None)),
    *({"host": "h", "colour": value} for value in ("red", "blue", 1)),
    *({"host": "h", "mode": value} for value in ("a", "b", 1, 2, None)),
    *({"host": "h", "price": value} for value in ("1", 1, 1.5, True, [])),
    *({"host": "h", "when": value} for value in ("2013-01-01", None, 5)),
    *({"host": "h", "names": value} for value in ([], ["a"], [1], "a", None, {})),
    *({"host": "h", "tags": value} for value in (["a", "a"], "a")),
    *({"host": "h", "pair": value} for value in ([1, "a"], [1], [1, 2], [1, "a", 2])),
    *({"host": "h", "by_name": value} for value in ({}, {"a": 1}, {"a": [1]}, {"a": "1"}, {"a": ["1"]}, [])),
    *({"host": "h", "counts": value} for value in ({}, {"sum": 1}, {"median": 1}, {"sum": "1"})),
    *({"host": "h", "point": value} for value in (None, {"x": 1}, {}, {"x": "1"}, {"x": 1, "z": 1}, [])),
    *({"host": "h", "points": value} for value in ([], [{"x": 1}], [{}], {"x": 1})),
    *({"host": "h", "text_or_number": value} for value in ("a", 1, 1.5, None)),
    *({"host": "h", **more} for more in ({"renamed": 1}, {"other-name": 1}, {"other-name": "1"})),
    *({"host": "h", "anything": value} for value in (None, 1, [{"a": [1]}])),
]


@cache
def validator(into: Any, name: str = "mine:Thing") -> jsonschema.Draft202012Validator:
    """Return what validates components of a type with these settings."""
    schema = blueprint_schema([KnownType(name, settings=into)])
    jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(schema, allow_nan=False)
    return jsonschema.Draft202012Validator(schema)


def document(config: Any, name: str = "mine:Thing") -> dict[str, Any]:
    return {"system": "s", "components": {"c": {"type": name, "config": config}}}


def is_converted(config: dict[str, Any], into: Any) -> bool:
    try:
        convert_settings(config, into)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("config", SERVERS, ids=repr)
def test_a_struct_is_accepted_where_its_conversion_accepts_it(config: dict[str, Any]) -> None:
    assert validator(Server).is_valid(document(config)) == is_converted(config, Server)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"size": 1},
        {"size": "1"},
        {"size": 1, "name": 5},
        {"size": 1, "made": 1},
        {"size": 1, "items": [1, "a"]},
    ],
    ids=repr,
)
def test_a_dataclass_is_accepted_where_its_conversion_accepts_it(config: dict[str, Any]) -> None:
    assert validator(Plain).is_valid(document(config)) == is_converted(config, Plain)


@pytest.mark.parametrize(
    "config",
    [
        *(
            {"port": "${PORT}"},
            {"ratio": "${A:-1}"},
            {"loud": "${LOUD}"},
            {"colour": "${C}"},
            {"mode": "x${M}"},
        ),
        *({"by_name": {"a": "${N}"}}, {"point": {"x": "${X}"}}, {"points": [{"x": 1, "y": "${Y}"}]}),
        {"counts": {"sum": "${N}"}},
    ],
    ids=repr,
)
def test_a_variable_may_stand_wherever_a_single_value_is_wanted(config: dict[str, Any]) -> None:
    assert validator(Server).is_valid(document({"host": "${HOST}", **config}))
    escaped = json.loads(json.dumps(config).replace("${", "$${"))
    assert not validator(Server).is_valid(document({"host": "h", **escaped}))


def test_settings_are_explained_and_their_defaults_shown() -> None:
    schema, _, is_needed = settings_schema(KnownType("t", settings=Server))
    assert isinstance(schema, dict)
    properties = schema["properties"]
    assert is_needed
    assert schema["required"] == ["host"]
    assert properties["host"]["description"] == "The name of the machine."
    assert properties["port"]["description"] == "Its port, `80` as a rule."
    assert {name: entry["default"] for name, entry in properties.items() if "default" in entry} == {
        "port": 80,
        "path": "a/b",
        "ratio": 0.5,
        "loud": False,
        "colour": "red",
        "mode": "a",
        "price": "1.5",
        "names": ["x"],
        "tags": [],
        "pair": [1, "a"],
        "by_name": {},
        "counts": {},
        "points": [],
        "text_or_number": "",
        "other-name": 1,
    }


def test_the_explanation_may_stand_in_the_docstring_of_the_function() -> None:
    kind = KnownType(
        "t",
        settings=msgspec.defstruct("S", [("a", int)]),
        documentation="T.\n\nArgs:\n    None of note.\n    a (int): Is a.",
    )
    schema, _, _ = settings_schema(kind)
    assert isinstance(schema, dict)
    assert schema["properties"]["a"]["description"] == "Is a."


class Inner(pydantic.BaseModel):
    a: int = 1


class Model(pydantic.BaseModel):
    """Settings."""

    host: str = pydantic.Field(description="Where to.")
    port: int = 80
    ratio: float = 0.5
    loud: bool = False
    when: datetime.date | None = None
    inner: Inner = Inner()


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True, extra="allow")
    host: str = pydantic.Field(alias="Host")


@pydantic.dataclasses.dataclass
class PydanticPlain:
    size: int
    inner: Inner | None = None


class Around(msgspec.Struct):
    inner: Inner
    size: int = 1


@pytest.mark.parametrize(
    ("into", "config"),
    [
        *((Model, {"host": "h", "port": value}) for value in (1, "80", "x", [], None, True)),
        *((Model, {"host": "h", "ratio": value}) for value in (1, 0.5, "0.5", "inf", "x", [])),
        *((Model, {"host": "h", "loud": value}) for value in (True, 1, "yes", "true", [], None)),
        *((Model, {"host": "h", "when": value}) for value in ("2013-01-01", 0, None, [])),
        *(
            (Model, value)
            for value in ({}, {"host": 5}, {"host": "h", "porrt": 1}, {"host": "h", "inner": {"a": []}})
        ),
        *(
            (Aliased, value)
            for value in ({"host": "h"}, {"Host": "h"}, {"host": "h", "more": 1}, {"Host": 5})
        ),
        *(
            (PydanticPlain, value)
            for value in ({}, {"size": 1}, {"size": 1, "inner": {"a": 2}}, {"size": 1, "x": 1})
        ),
        *(
            (Around, value)
            for value in ({}, {"inner": {"a": 1}}, {"inner": {"a": []}}, {"inner": {}, "size": []})
        ),
    ],
    ids=repr,
)
def test_a_pydantic_model_is_accepted_where_pydantic_accepts_it(into: Any, config: dict[str, Any]) -> None:
    assert validator(into).is_valid(document(config)) == is_converted(config, into)


def test_pydantic_explains_its_settings_itself() -> None:
    schema, _, _ = settings_schema(KnownType("t", settings=Model))
    assert isinstance(schema, dict)
    assert schema["properties"]["host"]["description"] == "Where to."
    assert schema["properties"]["port"]["default"] == 80


class Tree(msgspec.Struct):
    value: int
    children: list["Tree"] = []  # noqa: UP037


class Cat(msgspec.Struct, tag="cat"):
    lives: int = 9


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Zoo(msgspec.Struct):
    animals: list[Cat | Dog] = []
    tree: Tree | None = None


@pytest.mark.parametrize(
    "config",
    [
        {"animals": [{"type": "cat"}, {"type": "dog", "name": "Rex"}]},
        {"animals": [{"type": "cow"}]},
        {"animals": [{"type": "dog"}]},
        {"animals": [{"type": "cat", "name": "Tom"}]},
        {"tree": {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}},
        {"tree": {"value": 1, "children": [{"value": 2, "children": [{"value": "3"}]}]}},
    ],
    ids=repr,
)
def test_records_inside_records_may_have_tags_and_hold_themselves(config: dict[str, Any]) -> None:
    assert validator(Zoo).is_valid(document(config)) == is_converted(config, Zoo)


def test_settings_that_may_all_be_left_out_may_be_left_out_as_a_whole() -> None:
    into = msgspec.defstruct("Settings", [("a", int, 1)])
    validate = validator(into)
    assert validate.is_valid(document(None))
    assert validate.is_valid({"system": "s", "components": {"c": {"type": "mine:Thing"}}})
    assert not validate.is_valid(document({"b": 1}))


class Strange:
    """No plain value."""


class Unknowable(msgspec.Struct):
    strange: Strange
    complex_one: complex = 1j
    known: int = msgspec.field(default_factory=lambda: 1 // 0)


def test_what_cannot_be_expressed_is_allowed_and_the_rest_is_still_checked() -> None:
    validate = validator(Unknowable)
    assert validate.is_valid(document({"strange": 1, "complex_one": [1]}))
    assert not validate.is_valid(document({"strange": 1, "known": []}))
    assert not validate.is_valid(document({"strange": 1, "more": 1}))


class Raises:
    """Looks like a model and is none."""

    __pydantic_validator__ = None

    @classmethod
    def model_json_schema(cls, **_: Any) -> Any:
        raise RuntimeError("no schema")


@pytest.mark.parametrize("into", [None, int, Strange, Raises])
def test_a_type_that_says_nothing_takes_anything(into: Any) -> None:
    assert settings_schema(KnownType("t", settings=into)) == (True, {}, False)
    assert validator(into).is_valid(document({"whatever": [1]}))


def test_names_of_inner_types_do_not_clash_between_component_types() -> None:
    class Point(msgspec.Struct):
        z: str

    other = msgspec.defstruct("Other", [("point", Point)])
    schema = blueprint_schema([KnownType("a:A", settings=Server), KnownType("b:B", settings=other)])
    validate = jsonschema.Draft202012Validator(schema)
    assert validate.is_valid(document({"host": "h", "point": {"x": 1}}, "a:A"))
    assert validate.is_valid(document({"point": {"z": "1"}}, "b:B"))
    assert not validate.is_valid(document({"point": {"x": 1}}, "b:B"))
