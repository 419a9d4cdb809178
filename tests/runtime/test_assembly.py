"""A blueprint becomes the harness that a Python program would have made; mistakes get their places."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.exceptions import BlueprintError
from headrace.model.blueprint import (
    Blueprint,
    ComponentSpec,
    ConnectionSpec,
    Defaults,
    OutputSpec,
    Position,
    Reference,
    SummarySpec,
)
from headrace.model.options import Attempts
from headrace.model.restart_policy import RestartPolicy
from headrace.runtime.assembly import assemble

PARTS = """
from headrace import HarnessComponent, In, Out, component
from headrace.exceptions import ConfigError, MissingExtraError

@component
def numbers(*, upto: int = 3):
    yield from range(upto)

@component
def double(number: int) -> int:
    return number * 2

@component(attempts=7, on_error="reject", backoff=0.5)
def careful(number: int) -> int:
    return number

def bare(number: int) -> int:
    return number

def two(one, other): ...

@component
def show(number) -> None: ...

class Free(HarnessComponent):
    async def process(self): ...

class Typed(HarnessComponent):
    in_: In[int]
    out: Out[int]
    async def process(self): ...

class Bad(HarnessComponent):
    def __init__(self, name, config=None):
        raise RuntimeError("no\\nluck")

class Needs(HarnessComponent):
    def __init__(self, name, config=None):
        raise MissingExtraError("this", "web")

class Picky(HarnessComponent):
    def __init__(self, name, config=None):
        raise ConfigError("picky is picky")

class Mean(HarnessComponent):
    def __init__(self, name, config=None):
        raise ConfigError("too small", field="size")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[str]:
    """Make a folder with a module of components."""
    modules, path = dict(sys.modules), list(sys.path)
    sys.modules.pop("assembly_parts", None)
    (tmp_path / "assembly_parts.py").write_text(PARTS)
    yield str(tmp_path)
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.path[:] = path


def at(line: int) -> Position:
    """Return the beginning of a line."""
    return Position("bp", line, 1)


def blueprint(folder: str, components: dict[str, Any], *links: str, **more: Any) -> Blueprint:
    """Make a blueprint; components stand in lines 1, 2, ..., connections in lines 101, 102, ..."""
    specs = []
    for line, (name, keys) in enumerate(components.items(), 1):
        keys = {"type": keys} if isinstance(keys, str) else keys
        keys = {**keys, "type": f"assembly_parts:{keys['type']}" if keys["type"] else ""}
        specs.append(ComponentSpec(name, position=at(line), **keys))
    connections = []
    for line, link in enumerate(links, 101):
        sender, receiver = link.split(" -> ")
        connections.append(
            ConnectionSpec(Reference(sender, at(line)), Reference(receiver, Position("bp", line, 9)))
        )
    return Blueprint("s", tuple(specs), tuple(connections), directory=folder, **more)


def wrong(made: Blueprint) -> list[str]:
    """Return what is wrong, as ``line:column code``."""
    with pytest.raises(BlueprintError) as caught:
        assemble(made)
    assert all(problem.hint for problem in caught.value.problems)
    return [f"{p.position.line}:{p.position.column} {p.code}" for p in caught.value.problems]


async def test_an_assembled_system_runs(folder: str) -> None:
    made = blueprint(folder, {"a": "numbers", "b": "double", "c": "show"}, "a -> b", "b.out -> c.in")
    assembled = assemble(made)
    assert assembled.warnings == ()
    report = await assembled.harness.run()
    assert report.ledger.totals.given_out == 3


def test_what_the_function_says_wins_over_defaults_and_what_the_component_says_over_both(folder: str) -> None:
    components = {
        "a": "numbers",
        "d": "double",
        "c": "careful",
        "o": {"type": "careful", "attempts": 1, "on_error": "drop"},
        "b": "bare",
    }
    defaults = Defaults(attempts=9, on_error="crash", backoff=0.1)
    harness = assemble(
        blueprint(folder, components, *[f"a -> {n}" for n in "dcob"], defaults=defaults)
    ).harness
    policies = {name: harness.components[name].attempts for name in "dcob"}
    assert [(p.attempts, p.on_error, p.backoff) for p in policies.values()] == [
        (9, "crash", 0.1),
        (7, "reject", 0.5),
        (1, "drop", 0.5),
        (9, "crash", 0.1),
    ]


def test_options_reach_the_edges_the_outputs_and_the_summary(folder: str) -> None:
    components = {"a": {"type": "numbers", "outputs": {"out": OutputSpec("by_key", ("real",))}}, "b": "show"}
    summary = SummarySpec((Reference("a.out"),), (Reference("b"),))
    made = blueprint(folder, components, "a -> b", summary=summary, defaults=Defaults(buffer_size=7))
    harness = assemble(made).harness
    assert harness.wiring.connections["a.out -> b.in"].options.buffer_size == 7
    options = harness.wiring.members["a"].outlets["out"].options
    assert options.key is not None
    assert options.key(5) == 5
    assert str(harness.summary.given_out) == str((harness.wiring.connections["a.out -> b.in"].receiver,))
    assert harness.summary.rejected is None


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("nothing", "2:1 E243"),
        ("two", "2:1 E230"),
        ("Bad", "2:1 E250"),
        ("Needs", "2:1 E250"),
        ("Picky", "2:1 E230"),
        ({"type": "Mean", "config": {"size": 1}, "places": {"config.size": at(50)}}, "50:1 E230"),
        ({"type": "Typed", "concurrency": 1, "places": {"concurrency": at(50)}}, "50:1 E230"),
        ({"type": "double", "attempts": 0, "places": {"attempts": at(50)}}, "50:1 E230"),
    ],
)
def test_a_component_that_cannot_be_made_is_told_once_and_nothing_follows_from_it(
    folder: str, keys: Any, problem: str
) -> None:
    made = blueprint(folder, {"a": "numbers", "b": keys, "c": "show"}, "a -> b", "b -> c")
    assert wrong(made) == [problem]


def test_an_error_of_a_constructor_is_one_line_with_the_users_line(folder: str) -> None:
    with pytest.raises(BlueprintError, match=r"RuntimeError: no luck \(.*assembly_parts.py:\d+\)"):
        assemble(blueprint(folder, {"a": "Bad"}))
    with pytest.raises(BlueprintError, match=r"pip install 'headrace\[web\]'"):
        assemble(blueprint(folder, {"a": "Needs"}))


def test_a_component_without_a_type_is_left_out_in_silence_where_that_was_told(folder: str) -> None:
    made = blueprint(folder, {"a": "numbers", "b": {"type": "", "broken": True}}, "a -> b")
    assert assemble(made).warnings == ()


def test_names_that_the_harness_refuses_are_told(folder: str) -> None:
    assert wrong(blueprint(folder, {" a": "numbers"})) == ["1:1 E200"]
    once = blueprint(folder, {"a": "numbers", "b": "show"}, "a -> b")
    again = Blueprint("s", (*once.components, once.components[0]), once.connections, directory=folder)
    assert wrong(again) == ["1:1 E210"]


@pytest.mark.parametrize(("first", "second"), [("a", "a.out"), ("a.out", "a")])
def test_a_name_that_could_be_a_port_of_another_is_told_once_and_nothing_follows_from_it(
    folder: str, first: str, second: str
) -> None:
    made = blueprint(folder, {first: "numbers", second: "numbers", "b": "show"}, "a.out -> b")
    assert wrong(made) == ["2:1 E200"]


def test_both_ends_of_a_connection_are_told_and_nothing_follows_from_them(folder: str) -> None:
    made = blueprint(folder, {"a": "numbers", "b": "show"}, "a.uot -> b.inn")
    assert wrong(made) == ["101:1 E222", "101:9 E222"]


def test_an_end_that_is_no_endpoint_is_told(folder: str) -> None:
    assert wrong(blueprint(folder, {"a": "numbers", "b": "show"}, "a -> b.")) == ["101:9 E220"]


def test_an_unknown_receiver_leaves_open_which_input_was_meant(folder: str) -> None:
    made = blueprint(folder, {"a": "numbers", "b": "show"}, "a -> c")
    assert wrong(made) == ["101:9 E221"]


def test_an_unknown_sender_leaves_open_which_output_was_meant(folder: str) -> None:
    made = blueprint(folder, {"a": "numbers", "b": "show"}, "c -> b")
    assert wrong(made) == ["101:1 E221"]


def test_a_connection_written_twice_is_told_at_the_second(folder: str) -> None:
    assert wrong(blueprint(folder, {"a": "numbers", "b": "show"}, "a -> b", "a.out -> b.in")) == [
        "102:9 E223"
    ]


def test_an_output_that_is_not_there_cannot_be_spread(folder: str) -> None:
    output = OutputSpec("balance", position=at(50))
    components = {"a": {"type": "numbers", "outputs": {"uot": output}}, "b": "show"}
    assert wrong(blueprint(folder, components, "a -> b")) == ["50:1 E222"]


@pytest.mark.parametrize(
    ("port", "problem"),
    [("a.uot", "E222"), ("free.x", "E222"), ("d.out", "E221")],
)
def test_a_summary_names_ports_that_are_there(folder: str, port: str, problem: str) -> None:
    summary = SummarySpec((Reference(port, at(50)),))
    components = {"a": "numbers", "b": "show", "free": "Free"}
    made = blueprint(folder, components, "a -> b", "a -> free.in", summary=summary)
    assert wrong(made) == [f"50:1 {problem}"]


def test_a_summary_of_what_failed_is_left_out_in_silence(folder: str) -> None:
    summary = SummarySpec((Reference("bad.out", at(50)),), (Reference("free.in", at(51)),))
    components = {"a": "numbers", "b": "show", "bad": "Bad", "free": "Free"}
    made = blueprint(folder, components, "a -> b", "bad -> free", summary=summary)
    assert wrong(made) == ["3:1 E250"]


def test_a_required_input_that_is_not_connected_is_told_at_its_component(folder: str) -> None:
    assert wrong(blueprint(folder, {"a": "numbers", "b": "show", "c": "show"}, "a -> b")) == ["3:1 E224"]


def test_after_a_connection_was_left_out_nothing_is_said_of_unconnected_ports(folder: str) -> None:
    made = blueprint(folder, {"a": "numbers", "b": "show"}, has_gaps=True)
    assert assemble(made).warnings == ()


def warned(made: Blueprint) -> list[str]:
    """Return the warnings, as ``line code``."""
    return [f"{p.position.line} {p.code}" for p in assemble(made).warnings]


def test_an_unconnected_output_is_a_warning(folder: str) -> None:
    assert warned(blueprint(folder, {"a": "numbers", "b": "double"}, "a -> b")) == ["2 W301"]
    assert warned(blueprint(folder, {"a": "numbers"})) == ["1 W301"]


def test_a_component_without_any_connection_is_a_warning(folder: str) -> None:
    components = {"a": "numbers", "b": "show", "c": "numbers"}
    assert warned(blueprint(folder, components, "a -> b")) == ["3 W303"]


def test_a_cycle_of_blocking_edges_is_a_warning_and_one_that_drops_is_not(folder: str) -> None:
    made = blueprint(folder, {"a": "numbers", "x": "double", "y": "double"}, "a -> x", "x -> y", "y -> x")
    assert warned(made) == ["102 W302"]
    first, second, last = made.connections
    dropping = ConnectionSpec(last.sender, last.receiver, when_full="drop_oldest")
    assert warned(Blueprint("s", made.components, (first, second, dropping), directory=folder)) == []


def test_who_is_restarted_is_said_by_the_component_its_class_or_the_defaults(folder: str) -> None:
    always, often = RestartPolicy("always"), RestartPolicy(max_restarts=9)
    made = blueprint(
        folder,
        {"a": "numbers", "b": {"type": "Typed", "restart": always, "attempts": 7}, "c": "Typed", "d": "show"},
        "a -> b",
        "b -> c",
        "c -> d",
        defaults=Defaults(restart=often, attempts=2, on_error="drop"),
        strategy="one_for_all",
    )
    harness = assemble(made).harness
    assert harness.strategy == "one_for_all"
    members = harness.wiring.members
    assert [members[name].restart for name in "abcd"] == [often, always, often, often]
    assert members["b"].attempts == Attempts(7, "drop")
    assert members["c"].attempts == Attempts(2, "drop")
