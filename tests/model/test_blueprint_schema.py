"""The schema itself: valid, explained, and without anything that the reader does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.exceptions import InvalidEndpointError
from headrace.model import blueprint_keys, blueprint_tests
from headrace.model.blueprint_keys import NOT_BUILT, TableKeys
from headrace.model.blueprint_schema import DIALECT, IDENTIFIER, blueprint_schema
from headrace.model.blueprint_schema_texts import ABOUT, DEAD_LETTER_LIMIT, defaults_of
from headrace.model.blueprint_values import read_duration
from headrace.model.endpoint import parse_endpoint
from headrace.model.settings_schema import KnownType
from headrace.runtime.dead_letters import DeadLetterStore

TABLES = [value for value in vars(blueprint_keys).values() if isinstance(value, TableKeys)]
SCHEMA = blueprint_schema(version="1.2.3")


class Settings(msgspec.Struct):
    a: int


def definition(name: str) -> jsonschema.Draft202012Validator:
    """Return what validates by one of the definitions."""
    return jsonschema.Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{name}"})


def tables_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every closed table in a schema."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            yield schema
        for value in schema.values():
            yield from tables_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from tables_in(value)


def test_it_is_valid_and_says_what_it_is() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert (SCHEMA["$schema"], SCHEMA["$id"]) == (DIALECT, IDENTIFIER)
    assert SCHEMA["$comment"] == "Written by headrace 1.2.3 with 'headrace schema'."
    assert json.loads(json.dumps(SCHEMA, allow_nan=False)) == SCHEMA


def test_every_key_is_explained() -> None:
    for keys in TABLES:
        assert set(ABOUT[keys.what]) == set(keys.known)
        assert set(defaults_of(keys.what)) <= set(keys.known)
    checks: Any = blueprint_tests
    assert set(ABOUT["a test"]) == set(checks._CHECKS)
    for table in tables_in(SCHEMA):
        for name, entry in table["properties"].items():
            assert entry["description"].strip(), name


def test_every_key_of_the_reader_is_there_and_no_other() -> None:
    found = [set(table["properties"]) for table in tables_in(SCHEMA)]
    for keys in TABLES:
        assert {*keys.known, *keys.not_built} in found


def test_the_defaults_are_those_of_the_house() -> None:
    assert DeadLetterStore().limit == DEAD_LETTER_LIMIT
    shown = SCHEMA["properties"]["defaults"]["properties"]
    assert shown["shutdown_timeout"]["default"] == 5.0
    assert shown["on_error"]["default"] == "dead_letter"


@pytest.mark.parametrize("name", sorted(NOT_BUILT))
def test_what_is_not_built_says_so(name: str) -> None:
    entries = [table["properties"][name] for table in tables_in(SCHEMA) if name in table["properties"]]
    assert all(entry["deprecated"] and entry["description"].startswith("not built yet") for entry in entries)


@given(st.one_of(st.text(max_size=8), st.text(st.sampled_from("a.-> \n\x01b/"), max_size=8)))
def test_a_port_is_what_the_reader_takes_for_an_endpoint(text: str) -> None:
    try:
        parse_endpoint(text)
        is_endpoint = True
    except InvalidEndpointError:
        is_endpoint = False
    is_taken = definition("port").is_valid(text)
    assert is_taken == is_endpoint or not text.strip().isprintable()


@given(
    st.one_of(
        st.from_regex(r"[0-9]{0,3}(\.[0-9]{0,3})? ?(ms|s|m|h|d)?", fullmatch=True), st.floats(), st.integers()
    )
)
def test_a_duration_is_what_the_reader_takes_for_one(value: Any) -> None:
    if value != value:  # no number of JSON
        return
    seconds = read_duration(value)
    is_finite = seconds is not None and abs(seconds) < float("inf")
    assert definition("duration_or_zero").is_valid(value) == (is_finite and (seconds or 0) >= 0)
    assert definition("duration").is_valid(value) == (is_finite and (seconds or 0) > 0)


@pytest.mark.parametrize(
    ("text", "is_variable"),
    [
        ("${A}", True),
        ("a${A:-b}", True),
        ("$${A}", False),
        ("$A", False),
        ("$$${A}", False),
        ("x$${A} ${B}", True),
    ],
)
def test_a_variable_is_told_from_what_only_looks_like_one(text: str, is_variable: bool) -> None:
    assert definition("count").is_valid(text) == is_variable


def test_in_the_middle_of_a_chain_no_port_is_named() -> None:
    validate = jsonschema.Draft202012Validator(SCHEMA)

    def is_valid(chain: str, name: str = "b") -> bool:
        components = {"a": {"type": "m:a"}, name: {"type": "m:b"}}
        return validate.is_valid({"system": "s", "components": components, "connections": [chain]})

    assert is_valid("a.out -> b -> c.in")
    assert not is_valid("a -> b.in -> c")
    assert not is_valid("a -> b -> c.in -> d")
    assert is_valid("a -> b.in -> c", name="b.in")
    assert is_valid("${A} -> b.in -> c")


def test_known_types_come_with_their_settings_and_without_what_is_not_for_them() -> None:
    kinds = [
        KnownType("sink", "Takes.", settings=Settings, takes_attempts=False),
        KnownType("mine:fn", settings=Settings),
        KnownType("mine:any"),
    ]
    resources = [
        KnownType("mine:open", settings=Settings),
        KnownType("mine:hidden", settings=Settings, is_offered=False),
    ]
    schema = blueprint_schema(kinds, resources)
    jsonschema.Draft202012Validator.check_schema(schema)
    validate = jsonschema.Draft202012Validator(schema)

    def is_valid(component: dict[str, Any], **more: Any) -> bool:
        return validate.is_valid({"system": "s", "components": {"c": component}, **more})

    assert is_valid({"type": "sink", "config": {"a": 1}})
    assert is_valid({"type": "sink", "config": {"a": 1}, "attempts": 2, "restart": "failure"})
    assert not is_valid({"type": "sink", "config": {"a": 1}, "concurrency": 2})
    assert not is_valid({"type": "sink"})
    assert is_valid({"type": "mine:fn", "config": {"a": 1}, "attempts": 2})
    assert not is_valid({"type": "mine:fn", "config": {"b": 1}})
    assert is_valid({"type": "mine:any", "config": {"b": 1}})
    assert not is_valid({"type": "nobody"})
    assert is_valid({"type": "part.yaml", "config": {"a": 1, "b": None}})
    assert not is_valid({"type": "part.yaml", "config": {"a": [1]}})
    assert not is_valid({"type": "part.yaml", "attempts": 1})
    good = {"type": "mine:any"}
    assert is_valid(good, resources={"r": "mine:other", "s": {"type": "mine:open", "config": {"a": 1}}})
    assert not is_valid(good, resources={"r": "mine:open"})
    assert not is_valid(good, resources={"r": {"type": "mine:hidden", "config": {}}})
    assert not is_valid(good, resources={"r": "installed"})
    offered = json.dumps(schema["$defs"]["resource"])
    assert '"const": "mine:open"' in offered
    assert schema["$defs"]["component"]["properties"]["type"]["anyOf"][0] == {
        "const": "sink",
        "description": "Takes.",
    }
