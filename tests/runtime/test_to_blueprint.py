"""A system built in Python, written as a blueprint: what is built from it is the same system."""

from __future__ import annotations

import datetime
import enum
import functools
import math
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime import written_parts as parts

from headrace import System, component
from headrace.components import ConsoleSink, CsvSource
from headrace.edges.yaml_blueprint import parse_blueprint
from headrace.exceptions import ConfigError, NotSerializableSystemError, WiringError
from headrace.model.blueprint import field_key
from headrace.model.options import Attempts
from headrace.model.restart_policy import Backoff, RestartPolicy
from headrace.model.settings import convert_settings
from headrace.runtime.assembly import assemble
from headrace.runtime.hands import policy_of
from headrace.runtime.to_blueprint import to_yaml
from headrace.runtime.type_names import TypeNames, settings_type_of, why_nameless
from headrace.runtime.wiring import Wiring

HOME = "tests.runtime.written_parts"


def again(system: System) -> System:
    """Write a system, and build it from what was written."""
    return assemble(parse_blueprint(to_yaml(system), env={}), allow=["tests"]).harness


def portrait(system: System) -> dict[str, Any]:
    """Return all that makes a system what it is, to compare; what is nan or -0.0 too."""
    wiring = system.wiring
    return {
        "system": (
            system.name,
            system.buffer_size,
            system.timeouts,
            system._dead_letters.limit,
            system.strategy,
        ),
        "components": [
            (name, policy(member), settings_of(member)) for name, member in wiring.members.items()
        ],
        "connections": [(c.sender, c.receiver, c.options) for c in wiring.connections.values()],
        "outputs": {
            end: options for end, options in wiring.outputs.items() if options.fan_out != "broadcast"
        },
        "resources": [(name, spec.factory, repr(spec.config)) for name, spec in wiring.resources.items()],
        "summary": system.summary,
    }


def policy(member: Any) -> Any:
    attempts = policy_of(member)
    return type(member.component), attempts, member.restart


def settings_of(member: Any) -> str:
    into = settings_type_of(member.factory)
    return repr(member.config if into is None else convert_settings(member.config, into))


def refused(system: System) -> list[str]:
    """Return why a system cannot be written."""
    with pytest.raises(NotSerializableSystemError) as caught:
        to_yaml(system)
    assert str(caught.value).splitlines()[1:] == list(caught.value.problems)
    return list(caught.value.problems)


def test_a_system_comes_back_with_all_that_was_said() -> None:
    system = System(
        "all",
        buffer_size=7,
        setup_timeout=1,
        shutdown_timeout=0.25,
        source_grace=2,
        dead_letter_limit=5,
        stall_after=2,
        blocked_after=None,
    )
    system.resource("pool", parts.open_pool, size=3)
    system.resource("other", parts.Opener.opened)
    system.add("numbers", parts.numbers, upto=5)
    system.add("halve", parts.halve)
    system.add("crashing", parts.crashing)
    system.add("plain", parts.plain)
    system.add("relay", parts.Relay)
    system.add("sink", parts.Sink, path=Path("x") / "y", pair=(1, 2), names={"a"})
    system.add("inner", parts.Sink.Inner)
    system.add("console", ConsoleSink, format="json")
    system.connect("numbers", "halve")
    system.connect("halve", "crashing")
    system.connect("crashing", "plain", buffer_size=9)
    system.connect("plain", "relay.in", when_full="drop_oldest", copy=True)
    system.connect("halve.rejected", "relay.side")
    system.connect("relay.out", "sink")
    system.connect("relay.out", "inner")
    system.connect("relay.rejected", "console")
    system.spread("relay.out", "by_key", key=field_key("a", 0))
    system.summarize(taken_in="numbers.out", given_out=["sink.in", "inner.in"], rejected=[])
    assert to_yaml(system) == (
        "system: all\n"
        "defaults:\n"
        "  buffer_size: 7\n"
        "  setup_timeout: 1s\n"
        "  shutdown_timeout: 0.25s\n"
        "  source_grace: 2s\n"
        "  dead_letter_limit: 5\n"
        "  stall_after: 2s\n"
        "  blocked_after: 0s\n"
        "\n"
        "resources:\n"
        f'  pool: {{type: "{HOME}:open_pool", config: {{size: 3}}}}\n'
        f'  other: {{type: "{HOME}:Opener.opened"}}\n'
        "\n"
        "components:\n"
        f'  numbers: {{type: "{HOME}:numbers", config: {{upto: 5}}}}\n'
        f'  halve: {{type: "{HOME}:halve"}}\n'
        f'  crashing: {{type: "{HOME}:crashing"}}\n'
        f'  plain: {{type: "{HOME}:plain"}}\n'
        "  relay:\n"
        f'    type: "{HOME}:Relay"\n'
        "    outputs:\n"
        "      out: {fan_out: by_key, key: [a, 0]}\n"
        "  sink:\n"
        f'    type: "{HOME}:Sink"\n'
        "    config: {path: x/y, pair: [1, 2], names: [a]}\n"
        f'  inner: {{type: "{HOME}:Sink.Inner"}}\n'
        "  console: {type: console_sink, config: {format: json}}\n"
        "\n"
        "connections:\n"
        "  - numbers -> halve -> crashing\n"
        "  - {from: crashing.out, to: plain.in, buffer_size: 9}\n"
        "  - {from: plain.out, to: relay.in, when_full: drop_oldest, copy: true}\n"
        "  - halve.rejected -> relay.side\n"
        "  - relay -> sink\n"
        "  - relay -> inner\n"
        "  - relay.rejected -> console\n"
        "summary: {in: numbers.out, out: [sink.in, inner.in], rejected: []}\n"
    )
    assert portrait(again(system)) == portrait(system)
    assert to_yaml(again(system)) == to_yaml(system)


def test_the_harness_writes_itself() -> None:
    system = System("one")
    system.add("numbers", parts.numbers)
    assert system.to_yaml() == to_yaml(system)


def test_what_a_blueprint_said_of_failing_messages_is_written() -> None:
    system = System("s")
    system._add("a", parts.plain, {}, Attempts(5, "drop", 0.01))
    system._add("b", parts.halve, {}, Attempts(2, "reject", 1e-07))
    system._add("c", parts.halve, {}, Attempts(2, "reject", 0.0))
    written = to_yaml(system)
    assert "attempts: 5, on_error: drop, backoff: 0.01s}" in written
    assert "backoff: 1e-07}" in written
    assert "backoff: 0s}" in written
    assert written.count("attempts") == 1


def test_a_decorator_used_at_the_call_is_written_by_its_options() -> None:
    system = System("s")
    system.add("source", parts.numbers)
    system.add("late", component(attempts=9)(parts.plain))
    system.add("found", parts.nameless)
    system.connect("source", "late")
    system.connect("source", "found")
    assert TypeNames().find(parts.nameless) == (f"{HOME}:nameless", parts.nameless)
    assert "attempts: 9}" in to_yaml(system)
    assert portrait(again(system)) == portrait(system)


NAMES = [
    "a",
    "b c",
    "no",
    "42",
    "über",
    "d.o.t",
    "x.",
    ".y",
    "a-",
    ">z",
    "null",
    "k: v",
    "#",
    "${A}",
    "'q\"",
    "a.out",
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
plain_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts.filter(lambda t: t not in ("", "<<")), inner)
    ),
    max_leaves=4,
)


@st.composite
def systems(draw: st.DrawFn) -> System:
    """Build a system at random."""
    system = System(
        draw(st.sampled_from(["s", "no", "5", "a b", "${S}"])),
        buffer_size=draw(st.integers(1, 200)),
        cleanup_timeout=draw(st.sampled_from([5.0, 1, 0.1, 1e-9, 1e16])),
    )
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=7, unique=True))
    if "a" in names:
        names = [name for name in names if name != "a.out"]  # it could be a port of the other
    for name in names:
        kind = draw(st.sampled_from(["source", "stage", "relay", "free", "sink"]))
        if kind == "source":
            system.add(name, parts.numbers, step=draw(plain_values))
        elif kind == "stage":
            attempts = Attempts(
                draw(st.integers(1, 4)), draw(st.sampled_from(["drop", "crash"])), draw(st.floats(0, 9))
            )
            config = {"settings": draw(plain_values), "more": draw(plain_values)}
            system._add(name, parts.halve, config, draw(st.sampled_from([None, attempts])))
        elif kind == "sink":
            system.add(
                name, parts.Sink, ratio=draw(st.floats()), path=Path(draw(st.sampled_from(["a/b", "/x"])))
            )
        else:
            config = (
                {}
                if kind == "relay"
                else draw(st.dictionaries(st.sampled_from(["a", "b c", "5"]), plain_values))
            )
            system.add(name, parts.Relay if kind == "relay" else parts.Free, config)
    connect_at_random(system, names, draw)
    if draw(st.booleans()):
        system.resource("pool", parts.open_pool, name=draw(plain_values))
    return system


def connect_at_random(system: System, names: list[str], draw: st.DrawFn) -> None:
    links = st.tuples(
        *(st.tuples(st.sampled_from(names), st.sampled_from(ports)) for ports in (OUTPUTS, INPUTS)),
        st.sampled_from([None, None, None, 1, 50]),
        st.sampled_from(["block", "block", "drop_newest"]),
    )
    for sender, receiver, size, when_full in draw(st.lists(links, max_size=8)):
        try:
            ends = [".".join(filter(None, end)) for end in (sender, receiver)]
            system.connect(*ends, buffer_size=size, when_full=when_full)
        except WiringError:
            continue  # an unknown port, or the same connection twice
    for connection in list(system.wiring.connections.values()):
        if draw(st.sampled_from([True, False, False])):
            system.spread(
                str(connection.sender), "by_key", key=field_key(*draw(st.sampled_from([("a",), (0, "b")])))
            )


OUTPUTS = ["", "out", "rejected", "more"]
INPUTS = ["", "in", "side", "more"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(systems())
def test_any_system_comes_back_the_same(system: System) -> None:
    try:
        text = to_yaml(system)
    except NotSerializableSystemError as error:
        if any("cannot be told from another one" not in problem for problem in error.problems):
            raise
        return
    with mock.patch.object(Wiring, "problems", return_value=[]):  # it need not be able to run
        copy = again(system)
    assert portrait(copy) == portrait(system), text
    assert to_yaml(copy) == text


# --- what cannot be written ----------------------------------------------------------------------


def test_what_has_no_name_is_told_with_the_line_that_added_it() -> None:
    system = System("s")
    system.add("a", lambda number: number)
    system.add("b", parts.make_local())
    system.add("c", parts.Finished())
    system.add("d", functools.partial(parts.plain))
    system.resource("e", lambda: parts.open_pool())
    line = system.wiring.members["a"].where[1]
    here = "test_to_blueprint.py"
    assert refused(system) == [
        f"resource 'e' ({here}:{line + 4}) is made by a lambda, which has no name: write a function of a module",
        f"component 'a' ({here}:{line}) is made by a lambda, which has no name: write a function of a module",
        f"component 'b' ({here}:{line + 1}) is made by make_local.<locals>.Local, which exists only inside a "
        "function: move it out to its module",
        f"component 'c' ({here}:{line + 2}) is a finished Finished: add its class and its settings instead",
        f"component 'd' ({here}:{line + 3}) is made by {functools.partial(parts.plain)!r}, which has no name: "
        "write a function of a module",
    ]


def test_what_was_defined_in_the_running_program_or_hidden_has_no_name() -> None:
    def moved(number: int) -> int:
        return number

    moved.__module__, moved.__qualname__ = "__main__", "moved"
    assert TypeNames().find(moved) is None
    assert why_nameless(moved) == "is made by moved of the program that runs: move it to a module of its own"
    moved.__module__ = HOME
    assert "does not hold by that name" in why_nameless(moved)
    moved.__module__ = "no.such.module"
    assert TypeNames().find(moved) is None
    bound = parts.Finished().setup
    assert "which has no name" in why_nameless(bound)


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ((1, 2), "setting 'step' is of type tuple, which is no plain value"),
        ({"a": [b""]}, "setting 'step'.a[0] is of type bytes, which is no plain value"),
        (Path("a"), "which is no plain value"),
        (Colour.RED, "setting 'step' is of type Colour, which is no plain value"),
        (datetime.date(2013, 1, 1), "setting 'step' is of type date, which is no plain value"),
        ("\ud800", "setting 'step' is a text with half a character (a lone surrogate)"),
        (object(), "setting 'step' is of type object, which is no plain value"),
    ],
)
def test_a_setting_that_would_not_come_back_is_told(value: Any, problem: str) -> None:
    system = System("s")
    system.add("a", parts.numbers, step=value)
    (told,) = refused(system)
    assert told.endswith(problem)
    assert told.startswith("component 'a' (test_to_blueprint.py:")


def test_settings_of_a_component_that_takes_any_must_be_plain_as_they_are() -> None:
    system = System("s")
    system.add("a", parts.Free, {"b": (1,), 5: 1, "<<": 1})
    assert [told.partition(") ")[2] for told in refused(system)] == [
        "cannot be written: setting 'b' is of type tuple, which is no plain value",
        "cannot be written: config has the key 5, and a setting is named by a text",
        "cannot be written: config has the key '<<', which means something else in a blueprint",
    ]


def test_an_output_spread_by_a_function_without_a_name_is_told() -> None:
    system = System("s")
    system.add("a", parts.numbers)
    system.add("b", parts.Sink)
    system.connect("a", "b")
    system.spread("a", "by_key", key=len)
    (told,) = refused(system)
    assert told.startswith("output 'a.out'")
    assert told.endswith("which has no name: spread by key=field_key('NAME') instead")
    system.spread("a", "by_key", key=field_key())
    assert len(refused(system)) == 1
    system.spread("a", "balance")
    assert "fan_out: balance" in to_yaml(system)


def test_a_system_without_components_or_name_is_told() -> None:
    system = System("s")
    system.name = " "
    assert refused(system) == ["the system needs a name, not ' '", "it has no components"]
    system.name = "a\ud800"
    assert refused(system)[0] == "the name of the system is a text with half a character (a lone surrogate)"


def test_names_that_a_blueprint_cannot_hold_are_told() -> None:
    system = System("s")
    system.add("<<", parts.numbers)
    (told,) = refused(system)
    assert told.endswith("has the key '<<', which means something else in a blueprint")


def test_a_port_that_is_not_connected_cannot_be_in_the_summary() -> None:
    system = System("s")
    system.add("a", parts.Free)
    system.summarize(taken_in="a.whatever")
    assert refused(system) == ["the summary names 'a.whatever', which is not connected"]


def test_a_system_larger_than_a_blueprint_may_be_is_told() -> None:
    system = System("s")
    system.add("a", parts.numbers, step="x" * (1 << 20))
    assert refused(system) == ["the blueprint would be larger than 1,048,576 bytes"]


def test_floats_of_any_kind_come_back() -> None:
    system = System("s")
    system.add("a", parts.numbers, step=[math.inf, -math.inf, math.nan, -0.0, 5e-324])
    assert portrait(again(system)) == portrait(system)


def test_settings_come_from_functions_classes_and_nothing_else() -> None:
    assert settings_type_of(CsvSource) is CsvSource.Config
    into = settings_type_of(parts.plain)
    assert into is not None
    assert issubclass(into, msgspec.Struct)
    assert settings_type_of(parts.Free) is None
    assert settings_type_of(lambda *args: None) is None
    assert settings_type_of(parts.Finished()) is None
    with pytest.raises(ConfigError):
        component(lambda *args: None)


def test_a_setting_that_another_one_would_be_read_for_is_told() -> None:
    system = System("s")
    system.add("a", parts.Sink, pair=(1, 2))
    member = system.wiring.members["a"]
    member.config = {**member.config, "ratio": "no number"}  # as no call lets it become
    (told,) = refused(system)
    assert told.endswith("setting 'pair' is of type tuple, which is no plain value")


@pytest.mark.parametrize(
    ("restart", "written"),
    [
        (None, None),
        ("never", None),
        ("failure", "restart: failure"),
        ("always", "restart: always"),
        (RestartPolicy(max_restarts=3, within=10), "restart: {when: failure, max_restarts: 3, within: 10s}"),
        (
            RestartPolicy("always", backoff=Backoff(0.25, 5, jitter=0)),
            "restart: {when: always, backoff: {first: 0.25s, longest: 5s, jitter: 0}}",
        ),
        (RestartPolicy(backoff=Backoff(0)), "restart: {when: failure, backoff: {first: 0s}}"),
    ],
)
def test_when_a_component_is_restarted_comes_back(restart: Any, written: str | None) -> None:
    system = System("s", strategy="rest_for_one")
    system.add("numbers", parts.numbers)
    system.add("one", parts.Relay, restart=restart, attempts=5, on_error="drop")
    system.connect("numbers", "one")
    text = to_yaml(system)
    assert "strategy: rest_for_one" in text
    assert [line for line in text.splitlines() if "restart" in line] == (
        [] if written is None else [line for line in text.splitlines() if written in line]
    )
    assert portrait(again(system)) == portrait(system)


def test_a_policy_of_a_class_is_not_written_and_one_that_differs_is() -> None:
    system = System("s", restart="failure")
    system.add("numbers", parts.numbers)
    system.add("own", parts.Stubborn)
    system.add("other", parts.Stubborn, restart="never")
    for name in ("own", "other"):
        system.connect("numbers", name)
    assert system.wiring.members["numbers"].restart == RestartPolicy()
    assert system.wiring.members["own"].restart == RestartPolicy("always")
    assert portrait(again(system)) == portrait(system)
    assert "own: {type" in to_yaml(system)
    assert "restart: always" not in to_yaml(system)
