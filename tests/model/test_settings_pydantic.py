"""Settings of pydantic classes: its mistakes in our words, with the same paths, and unknown names refused."""

from __future__ import annotations

import enum
import subprocess
import sys
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pydantic.dataclasses
import pytest

from headrace.exceptions import ConfigError
from headrace.model.settings import convert_settings
from headrace.model.settings_check import find_setting_errors
from headrace.model.settings_shape import shape_of


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Tcp(pydantic.BaseModel):
    kind: Literal["tcp"] = "tcp"
    port: int = pydantic.Field(ge=1, le=65535)


class Unix(pydantic.BaseModel):
    kind: Literal["unix"]
    path: str


class Config(pydantic.BaseModel):
    name: str = pydantic.Field(pattern=r"^[a-z]+$")
    level: Level = Level.LOW
    mode: Literal["fast", "safe"] = "safe"
    servers: list[Tcp] = []
    either: Tcp | Unix | None = None
    told: Annotated[Tcp | Unix | None, pydantic.Field(discriminator="kind")] = None
    number: int | bool = 0
    low: int = 0
    high: int = 10

    @pydantic.field_validator("low")
    @classmethod
    def _not_thirteen(cls, value: int) -> int:
        assert value != 13, "thirteen is unlucky"
        if value == 14:
            raise ValueError("so is\nfourteen")
        if value == 15:
            raise KeyError("fifteen")
        return value

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Config:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Aliased(pydantic.BaseModel):
    buffer_size: int = pydantic.Field(1, alias="buffer-size")


class ByBoth(Aliased):
    model_config = pydantic.ConfigDict(populate_by_name=True)


class Choice(pydantic.BaseModel):
    size: int = pydantic.Field(1, validation_alias=pydantic.AliasChoices("size", "length"))


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    size: int = 1


class Careless(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore")
    size: int = 1


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    size: int = 1


class Renames(pydantic.BaseModel):
    size: int = 1

    @pydantic.model_validator(mode="before")
    @classmethod
    def _old_name(cls, value: Any) -> Any:
        return {"size": value["length"]} if "length" in value else value


class Unready(pydantic.BaseModel):
    when: Nowhere  # type: ignore[name-defined]  # noqa: F821


@pydantic.dataclasses.dataclass
class Data:
    size: Annotated[int, pydantic.Field(ge=1)]
    unit: str = "C"


class Mixed(msgspec.Struct):
    inner: Strict
    many: list[Tcp] = []


def test_a_mapping_becomes_the_model_as_pydantic_reads_it() -> None:
    made = convert_settings({"name": "x", "servers": [{"port": "80"}], "level": "high"}, Config)
    assert made == Config(name="x", servers=[Tcp(port=80)], level=Level.HIGH)
    assert convert_settings({"size": "2"}, Data) == Data(2)
    assert convert_settings({"inner": {"size": 3}, "many": [{"port": 1}]}, Mixed) == Mixed(
        Strict(size=3), [Tcp(port=1)]
    )


@pytest.mark.parametrize(
    ("config", "into", "field", "message", "hint"),
    [
        ({}, Config, "name", "setting 'name' is missing", "add 'name: ...'"),
        ({"name": "X"}, Config, "name", "setting 'name': String should match pattern '^[a-z]+$'", ""),
        ({"name": "x", "naem": "y"}, Config, "naem", "unknown setting 'naem'", "did you mean 'name'?"),
        (
            {"name": "x", "servers": [{"port": 1}, {"port": 0}]},
            Config,
            "servers[1].port",
            "setting 'servers[1].port': Input should be greater than or equal to 1",
            "",
        ),
        (
            {"name": "x", "servers": [{}]},
            Config,
            "servers[0].port",
            "setting 'servers[0].port' is missing",
            "add 'port: ...'",
        ),
        (
            {"name": "x", "servers": [{"port": 1, "prot": 2}]},
            Config,
            "servers[0].prot",
            "unknown setting 'servers[0].prot'",
            "did you mean 'port'?",
        ),
        (
            {"name": "x", "servers": 5},
            Config,
            "servers",
            "setting 'servers': Input should be a valid list",
            "",
        ),
        (
            {"name": "x", "servers": [5]},
            Config,
            "servers[0]",
            "setting 'servers[0]': Input should be a valid dictionary or instance of Tcp",
            "",
        ),
        (
            {"name": "x", "mode": "sfae"},
            Config,
            "mode",
            "setting 'mode': 'sfae' is not one of 'fast' or 'safe'",
            "did you mean 'safe'?",
        ),
        (
            {"name": "x", "level": 5},
            Config,
            "level",
            "setting 'level': 5 is not one of 'low' or 'high'",
            "",
        ),
        (
            {"name": "x", "told": {"kind": "tcp", "port": 0}},
            Config,
            "told.port",
            "setting 'told.port': Input should be greater than or equal to 1",
            "",
        ),
        (
            {"name": "x", "number": "z"},
            Config,
            "number",
            "setting 'number': Input should be a valid integer, unable to parse string as an integer, "
            "or Input should be a valid boolean, unable to interpret input",
            "",
        ),
        ({"name": "x", "low": 11}, Config, "", "low is above high", ""),
        ({"name": "x", "low": 13}, Config, "low", "setting 'low': thirteen is unlucky", ""),
        ({"name": "x", "low": 14}, Config, "low", "setting 'low': so is fourteen", ""),
        ({"name": "x", "low": 15}, Config, "", "Config: KeyError: 'fifteen'", ""),
        ({"buffer_size": 1}, Aliased, "buffer_size", "unknown setting", "did you mean 'buffer-size'?"),
        ({"sizes": 1}, Strict, "sizes", "unknown setting 'sizes'", "did you mean 'size'?"),
        ({"size": 0}, Data, "size", "setting 'size': Input should be greater than or equal to 1", ""),
        ({"size": 1, "unti": 5}, Data, "unti", "unknown setting 'unti'", "did you mean 'unit'?"),
        (
            {"inner": {"size": "x"}},
            Mixed,
            "inner.size",
            "setting 'inner.size': Input should be a valid integer",
            "",
        ),
        ({"inner": {"sizs": 1}}, Mixed, "inner.sizs", "unknown setting", "did you mean 'size'?"),
        ({"inner": {}, "many": [{}]}, Mixed, "many[0].port", "is missing", "add 'port: ...'"),
    ],
)
def test_a_mistake_is_told_with_its_path(
    config: dict[str, Any], into: Any, field: str, message: str, hint: str
) -> None:
    (error,) = find_setting_errors(config, into)
    assert (error.field, error.hint) == (field, hint)
    assert message in error.message
    assert "\n" not in str(error)


def test_all_mistakes_are_told_at_once() -> None:
    errors = find_setting_errors({"name": "X", "low": "z", "other": 1, "servers": [{"port": 0}]}, Config)
    assert [error.field for error in errors] == ["other", "name", "servers[0].port", "low"]
    with pytest.raises(ConfigError, match="4 mistakes in the settings: unknown setting 'other'"):
        convert_settings({"name": "X", "low": "z", "other": 1, "servers": [{"port": 0}]}, Config)


def test_of_a_union_each_part_is_told_where_it_is() -> None:
    errors = find_setting_errors({"name": "x", "either": {"port": 0}}, Config)
    assert {error.field for error in errors} == {"either.port", "either.kind", "either.path"}


@pytest.mark.parametrize(
    ("config", "into", "made"),
    [
        ({"buffer-size": 5}, Aliased, ByBoth(buffer_size=5)),
        ({"buffer_size": 5}, ByBoth, ByBoth(buffer_size=5)),
        ({"buffer-size": 5}, ByBoth, ByBoth(buffer_size=5)),
        ({"length": 5}, Choice, {"size": 5}),
        ({"size": 2, "more": 3}, Open, {"size": 2, "more": 3}),
        ({"size": 2, "more": 3}, Careless, {"size": 2}),
        ({"length": 3}, Renames, {"size": 3}),
    ],
)
def test_what_a_model_takes_is_not_refused(config: dict[str, Any], into: Any, made: Any) -> None:
    wanted = made if isinstance(made, dict) else made.model_dump()
    assert convert_settings(config, into).model_dump() == wanted


def test_a_model_that_is_not_complete_is_told_in_one_line() -> None:
    (error,) = find_setting_errors({"when": 1}, Unready)
    assert error.message.startswith("Unready: ")
    assert "not fully defined" in error.message
    assert "\n" not in error.message


def test_an_error_that_is_not_pydantics_is_not_taken_for_one() -> None:
    class Strange:
        @staticmethod
        def validate_python(value: object) -> object:
            raise ValueError("odd")

    kind = type("Kind", (), {"__pydantic_validator__": Strange})
    (error,) = find_setting_errors({}, kind)
    assert error.message == "Kind: odd"


def test_the_shape_of_other_types_is_none() -> None:
    assert shape_of(int) is None
    assert shape_of(list[int]) is None
    assert shape_of(5) is None


def test_pydantic_is_not_imported_for_those_who_do_not_use_it() -> None:
    code = (
        "import sys, msgspec\n"
        "from headrace.model.settings import convert_settings\n"
        "class C(msgspec.Struct):\n    a: int = 1\n"
        "convert_settings({'a': 2}, C)\n"
        "assert 'pydantic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
