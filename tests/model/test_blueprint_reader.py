"""From a tree to a blueprint: everything that can be written, and everything wrong told with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.model.blueprint import Blueprint, Complaints, Position
from headrace.model.blueprint_reader import read_tree
from headrace.model.blueprint_tree import Listing, Scalar, Table, TreeBuilder
from headrace.model.restart_policy import Backoff, RestartPolicy

A_B = {"a": {"type": "x"}, "b": {"type": "y"}}


class _Lines:
    """Feeds plain values to a builder, each node on a line of its own."""

    def __init__(self, complaints: Complaints) -> None:
        self.builder = TreeBuilder(complaints)
        self.line = 0

    def feed(self, value: Any) -> None:
        self.line += 1
        position = Position("bp", self.line, 1)
        if isinstance(value, (dict, list)):
            self.builder.open(position, is_table=isinstance(value, dict))
            for item in (
                [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
            ):
                self.feed(item)
            self.builder.close()
        else:
            shown = value if isinstance(value, str) else json.dumps(value)
            is_plain = not isinstance(value, str)
            self.builder.scalar(shown, position, is_plain=is_plain, tag="!bad" if value == "BAD" else None)


def read(value: Any) -> tuple[Blueprint | None, list[str]]:
    """Read plain values as a blueprint; return it with the codes of what was found."""
    complaints = Complaints()
    lines = _Lines(complaints)
    lines.feed(value)
    assert lines.builder.root is not None
    blueprint = read_tree(lines.builder.root, complaints, file="bp", directory="/d")
    assert all(problem.hint for problem in complaints.problems)
    return blueprint, [problem.code for problem in complaints.problems]


def system(**keys: Any) -> dict[str, Any]:
    """Return a sound blueprint with these keys on top."""
    return {"system": "s", "components": A_B, **keys}


def links(blueprint: Blueprint | None) -> list[tuple[str, str]]:
    """Return the connections as pairs."""
    assert blueprint is not None
    return [(str(spec.sender), str(spec.receiver)) for spec in blueprint.connections]


def test_a_blueprint_keeps_its_name_its_file_and_the_order_of_its_components() -> None:
    blueprint, codes = read(system())
    assert codes == []
    assert blueprint is not None
    assert (blueprint.name, blueprint.file, blueprint.directory) == ("s", "bp", "/d")
    assert [spec.name for spec in blueprint.components] == ["a", "b"]


def test_a_component_keeps_its_settings_and_where_they_stand() -> None:
    config = {"rules": [{"name": "x"}], "n": 1}
    blueprint, codes = read(system(components={"a": {"type": "x", "config": config, "attempts": 2}}))
    assert codes == []
    assert blueprint is not None
    (spec,) = blueprint.components
    assert spec.config == config
    assert spec.attempts == 2
    assert not spec.broken
    assert "config.rules[0].name" in spec.places
    assert spec.place("config.n").line > spec.place("config.rules").line


def test_an_empty_config_is_no_config() -> None:
    blueprint, codes = read(system(components={"a": {"type": "x", "config": None}}))
    assert codes == []
    assert blueprint is not None
    assert blueprint.components[0].config == {}


def test_a_chain_is_several_connections() -> None:
    blueprint, codes = read(system(connections=["a -> b -> c.in", "x->y"]))
    assert codes == []
    assert links(blueprint) == [("a", "b"), ("b", "c.in"), ("x", "y")]


def test_a_dotted_component_may_stand_in_the_middle_of_a_chain() -> None:
    components = {"a": {"type": "x"}, "b.c": {"type": "x"}}
    blueprint, codes = read(system(components=components, connections=["a -> b.c -> a"]))
    assert codes == []
    assert links(blueprint) == [("a", "b.c"), ("b.c", "a")]


def test_a_long_connection_has_options() -> None:
    long = {"from": "a", "to": "b", "buffer_size": 5, "when_full": "error", "copy": True}
    blueprint, codes = read(system(connections=[long]))
    assert codes == []
    assert blueprint is not None
    (spec,) = blueprint.connections
    assert (spec.buffer_size, spec.when_full, spec.copy) == (5, "error", True)


def test_outputs_and_summary_are_read() -> None:
    components = {"a": {"type": "x", "outputs": {"out": {"fan_out": "by_key", "key": ["x", 1]}, "b": {}}}}
    blueprint, codes = read(system(components=components, summary={"in": "a.out", "out": ["b.in", "c.in"]}))
    assert codes == []
    assert blueprint is not None
    assert blueprint.components[0].outputs["out"].key == ("x", 1)
    assert blueprint.components[0].outputs["b"].fan_out == "broadcast"
    assert [str(port) for port in blueprint.summary.given_out or ()] == ["b.in", "c.in"]
    assert blueprint.summary.rejected is None


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ({"sytem": 1}, ["E102"]),
        ({"placement": {}}, ["E110"]),
        ({"resources": {}}, []),
        ({"resources": []}, ["E104"]),
        ({"resources": {"db": "m:x"}}, []),
        ({"resources": {"db": ""}}, ["E104"]),
        ({"resources": {"db": None}}, ["E104"]),
        ({"resources": {"db": 5}}, ["E104"]),
        ({"resources": {"db": {}}}, ["E103"]),
        ({"resources": {"db": {"type": "m:x", "confg": {}}}}, ["E102"]),
        ({"ports": []}, ["E104"]),
        ({"ports": {"in": "a.in", "out": "b"}}, ["E220"]),
        ({"ports": {"in": 5}}, ["E104"]),
        ({"ports": {"in": ".a"}}, ["E220"]),
        ({"tests": []}, ["E104"]),
        ({"tests": {"t": {}}}, ["E103"]),
        ({"defaults": {"concurrency": 1}}, []),
        ({"defaults": {"buffer": 1, "attempts": 0}}, ["E102", "E111"]),
        ({"defaults": 5}, ["E104"]),
        ({"components": {}}, ["E104"]),
        ({"components": []}, ["E104"]),
        ({"components": {"a": None}}, ["E104"]),
        ({"components": {"a": "x"}}, ["E104"]),
        ({"components": {"a": "BAD"}}, ["E106"]),
        ({"components": {"a": {}}}, ["E103"]),
        ({"components": {"a": {"tpye": "x"}}}, ["E102"]),
        ({"components": {"a": {"type": "BAD"}}}, ["E106"]),
        ({"components": {"a": {"type": "x", "config": []}}}, ["E104"]),
        ({"components": {"a": {"type": "x", "outputs": 5}}}, ["E104"]),
        ({"components": {"a": {"type": "x", "outputs": {"o": {"fan_out": "by_key"}}}}}, ["E103"]),
        ({"components": {"a": {"type": "x", "outputs": {"o": {"key": "k"}}}}}, ["E104"]),
        ({"components": {"a": {"type": "x", "outputs": {"o": {"fan_out": "al", "key": "k"}}}}}, ["E112"]),
        ({"components": {"a": {"type": "x", "restart": "never", "concurrency": 1, "durable": False}}}, []),
        ({"components": {"a": {"type": "x", "restart": {"when": "never"}}}}, []),
        ({"components": {"a": {"type": "x", "restart": "always", "replicas": True}}}, ["E104"]),
        ({"components": {"a": {"type": "x", "restart": "allways"}}}, ["E112"]),
        ({"components": {"a": {"type": "x", "restart": 5}}}, ["E112"]),
        ({"components": {"a": {"type": "x", "restart": []}}}, ["E112"]),
        ({"components": {"a": {"type": "x", "restart": {"whenn": "failure"}}}}, ["E102"]),
        ({"components": {"a": {"type": "x", "restart": {"max_restarts": 0}}}}, ["E111"]),
        ({"components": {"a": {"type": "x", "restart": {"within": 0}}}}, ["E111"]),
        ({"components": {"a": {"type": "x", "restart": {"backoff": "x"}}}}, ["E111"]),
        ({"components": {"a": {"type": "x", "restart": {"backoff": {"first": 2, "longest": 1}}}}}, ["E111"]),
        ({"components": {"a": {"type": "x", "restart": {"backoff": {"jitter": 2}}}}}, ["E111"]),
        ({"components": {"a": {"type": "x", "restart": {"backoff": {"jitter": "x"}}}}}, ["E104"]),
        ({"components": {"a": {"type": "x", "restart": {"backoff": []}}}}, ["E111"]),
        ({"strategy": "one_for_two"}, ["E112"]),
        ({"defaults": {"restart": "sometimes"}}, ["E112"]),
        ({"connections": {}}, ["E104"]),
        ({"connections": "BAD"}, ["E106"]),
        ({"connections": [5]}, ["E120"]),
        ({"connections": ["BAD"]}, ["E106"]),
        ({"connections": ["a"]}, ["E120"]),
        ({"connections": ["a -> "]}, ["E120"]),
        ({"connections": [".x -> b"]}, ["E220"]),
        ({"connections": ["a -> b.in -> c"]}, ["E120"]),
        ({"connections": [{"from": "a"}]}, ["E103"]),
        ({"connections": [{"from": "a", "to": "b."}]}, ["E220"]),
        ({"connections": [{"from": "a", "to": 5, "ack": "manual"}]}, ["E104", "E102"]),
        ({"summary": {"inn": "a"}}, ["E102"]),
        ({"summary": {"in": {}}}, ["E104"]),
    ],
)
def test_what_is_wrong_is_told_once_and_with_its_mend(keys: dict[str, Any], codes: list[str]) -> None:
    _, found = read(system(**keys))
    assert found == codes


def test_a_port_in_the_middle_of_a_chain_is_told_what_the_name_alone_means() -> None:
    complaints = Complaints()
    lines = _Lines(complaints)
    lines.feed(system(connections=["a -> b.out -> c"]))
    assert lines.builder.root is not None
    read_tree(lines.builder.root, complaints, file="bp", directory="/d")
    (problem,) = complaints.problems
    assert problem.message == (
        "'b.out' names a port in the middle of a chain, where a component's name alone means its only input "
        "and its only output ('rejected' does not count)"
    )
    assert problem.hint == "write 'b', or two connections if it has several"


def test_resources_and_ports_and_tests_are_read() -> None:
    resources = {"db": {"type": "m:db", "config": {"size": 5}}, "log": "m:log"}
    ports = {"in": "a.in", "out": "b.out"}
    blueprint, codes = read(system(resources=resources, ports=ports, tests={"t": {"expect": {"a.out": []}}}))
    assert codes == []
    assert blueprint is not None
    db, log = blueprint.resources
    assert (db.name, db.type, db.config, log.name, log.type, log.config) == (
        "db",
        "m:db",
        {"size": 5},
        "log",
        "m:log",
        {},
    )
    assert db.place("config.size").line > db.place("type").line > db.position.line
    assert log.place("type").line > log.position.line
    assert {name: str(port) for name, port in blueprint.ports.items()} == ports
    assert [test.name for test in blueprint.tests] == ["t"]


@pytest.mark.parametrize(
    "keys",
    [
        {"system": "${file:pw}"},
        {"components": {"a": {"type": "${file:pw}"}}},
        {"components": {"a": {"type": "x", "outputs": {"o": {"key": ["${file:pw}"]}}}}},
        {"resources": {"a": "${file:pw}"}},
        {"summary": {"in": ["${file:pw}"]}},
        {"connections": [{"from": "${file:pw}", "to": "a"}]},
        {"ports": {"in": "${file:pw}"}},
    ],
)
def test_a_secret_stands_in_settings_alone(keys: dict[str, Any]) -> None:
    complaints = Complaints()
    lines = _Lines(complaints)
    lines.builder.around.read_file = lambda _: "hunter2"
    lines.feed(system(**keys))
    assert lines.builder.root is not None
    read_tree(lines.builder.root, complaints)
    assert "E116" in [problem.code for problem in complaints.problems]
    assert "hunter2" not in str(complaints.problems)


def test_a_chain_of_a_secret_is_refused_too() -> None:
    complaints = Complaints()
    lines = _Lines(complaints)
    lines.builder.around.read_file = lambda _: "hunter2"
    lines.feed(system(connections=["a -> ${file:pw}"]))
    assert lines.builder.root is not None
    blueprint = read_tree(lines.builder.root, complaints)
    assert [problem.code for problem in complaints.problems] == ["E116"]
    assert blueprint is not None
    assert blueprint.has_gaps


def test_a_file_without_anything_is_told_as_empty() -> None:
    assert read(None) == (None, ["E114"])


def test_keys_that_must_be_there_are_named() -> None:
    assert read({"connections": []})[1] == ["E103", "E103"]


def test_what_is_no_table_is_no_blueprint() -> None:
    assert read([1]) == (None, ["E104"])


def test_a_component_with_a_mistake_is_marked_broken_and_the_others_are_not() -> None:
    blueprint, _ = read(system(components={"a": {"type": "x", "attempts": "no"}, "b": {"type": "y"}, "c": 1}))
    assert blueprint is not None
    assert [spec.broken for spec in blueprint.components] == [True, False, True]


def test_a_connection_that_was_left_out_leaves_a_gap_and_the_others_are_kept() -> None:
    blueprint, _ = read(system(connections=["a -> b", "a =>", {"from": "a"}, "b -> a"]))
    assert blueprint is not None
    assert blueprint.has_gaps
    assert links(blueprint) == [("a", "b"), ("b", "a")]


def test_the_parts_of_a_chain_stand_where_they_are_written() -> None:
    complaints = Complaints()
    lines = _Lines(complaints)
    lines.feed(system(connections=[]))
    root = lines.builder.root
    chain = Scalar("a  ->b", "a  ->b", Position("bp", 9, 5), 1)
    assert isinstance(root, Table)
    key = root.entries["connections"][0]
    table = Table({**root.entries, "connections": (key, Listing((chain,), key.position))}, root.position)
    blueprint = read_tree(table, complaints)
    assert blueprint is not None
    (spec,) = blueprint.connections
    assert (spec.sender.position.column, spec.receiver.position.column) == (6, 11)


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        ("never", RestartPolicy("never")),
        ("failure", RestartPolicy()),
        ({"when": "always"}, RestartPolicy("always")),
        ({"max_restarts": 3, "within": "10s"}, RestartPolicy("failure", 3, 10.0)),
        ({"backoff": "200ms"}, RestartPolicy(backoff=Backoff(0.2))),
        ({"backoff": "1m"}, RestartPolicy(backoff=Backoff(60.0, 60.0))),
        ({"backoff": {"first": 1, "longest": "2s", "jitter": 0}}, RestartPolicy(backoff=Backoff(1, 2, 0))),
        ({"backoff": {"jitter": 1}}, RestartPolicy(backoff=Backoff(jitter=1))),
    ],
)
def test_restart_is_a_word_or_a_table(said: Any, policy: RestartPolicy) -> None:
    blueprint, problems = read(
        system(
            components={"a": {"type": "x", "restart": said}},
            defaults={"restart": said},
            strategy="rest_for_one",
        )
    )
    assert problems == []
    assert blueprint is not None
    assert (blueprint.components[0].restart, blueprint.defaults.restart) == (policy, policy)
    assert blueprint.strategy == "rest_for_one"
