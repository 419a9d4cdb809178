"""Several files as one: tables are merged, null takes away, connections are added."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.model.blueprint import Blueprint, ConnectionSpec, Position, Reference, Sources
from headrace.model.blueprint_merge import merge_trees, without_removed
from headrace.model.blueprint_tree import Listing, Node, Scalar, Table, plain


def tree(value: Any, file: str = "a") -> Node:
    """Make a tree of plain values."""
    here = Position(file, 1, 1)
    if isinstance(value, dict):
        entries = {key: (Scalar(key, key, here), tree(inner, file)) for key, inner in value.items()}
        return Table(entries, here)
    if isinstance(value, list):
        return Listing(tuple(tree(item, file) for item in value), here)
    return Scalar(value, str(value), here)


def table(value: dict[str, Any], file: str = "a") -> Table:
    """Make the tree of a file."""
    root = tree(value, file)
    assert isinstance(root, Table)
    return root


def merged(*values: Any) -> Any:
    """Merge plain values, as files a, b, ..."""
    return plain(merge_trees([table(value, name) for value, name in zip(values, "abc", strict=False)]).root)


@pytest.mark.parametrize(
    ("values", "result"),
    [
        (({"a": 1, "b": 2}, {"b": 3, "c": 4}), {"a": 1, "b": 3, "c": 4}),
        (({"a": {"x": {"y": 1, "z": 2}}}, {"a": {"x": {"y": 3}}}), {"a": {"x": {"y": 3, "z": 2}}}),
        (({"a": [1, 2]}, {"a": [3]}), {"a": [3]}),
        (({"a": {"b": 1}}, {"a": 5}), {"a": 5}),
        (({"a": 1, "b": 2}, {"a": None}), {"b": 2}),
        (({"a": 1}, {"b": None}), {"a": 1, "b": None}),
        (({"a": 1}, {"a": None}, {"a": 2}), {"a": 2}),
        (({"connections": ["a -> b"]}, {"connections": ["b -> c"]}), {"connections": ["a -> b", "b -> c"]}),
        (({"connections": ["a -> b"]}, {"connections": None}), {}),
        (({"x": {"connections": [1]}}, {"x": {"connections": [2]}}), {"x": {"connections": [2]}}),
        (
            ({"resources": {"db": "m:db"}}, {"resources": {"db": {"config": {"n": 1}}}}),
            {"resources": {"db": {"type": "m:db", "config": {"n": 1}}}},
        ),
        (
            ({"resources": {"db": "m:db"}}, {"resources": {"db": {"type": "m:other"}}}),
            {"resources": {"db": {"type": "m:other"}}},
        ),
    ],
)
def test_a_later_file_changes_those_before_it(values: tuple[Any, ...], result: Any) -> None:
    assert merged(*values) == result


def test_everything_keeps_the_place_where_it_stands() -> None:
    root = merge_trees([table({"a": {"x": 1, "y": 2}}), table({"a": {"x": 3}}, "b")]).root
    assert isinstance(root, Table)
    inner = root.entries["a"][1]
    assert isinstance(inner, Table)
    assert {name: value.position.file for name, (_, value) in inner.entries.items()} == {"x": "b", "y": "a"}


def test_a_component_that_is_taken_away_takes_its_connections_of_earlier_files_along() -> None:
    base: dict[str, Any] = {"components": {"a": {}, "b": {}, "b.c": {}}}
    merge = merge_trees([table(base), table({"components": {"b": None, "x": None}}, "b"), table({}, "c")])
    assert merge.removed == (("b", "b"),)
    sources = Sources()
    sources.lines.update(a=(), b=(), c=())

    def link(sender: str, receiver: str, file: str) -> ConnectionSpec:
        return ConnectionSpec(Reference(sender, Position(file)), Reference(receiver, Position(file)))

    stays = [link("a", "x.in", "a"), link("a", "b.in", "b"), link("b", "a", "c")]
    goes = [link("a", "b", "a"), link("b.out", "a", "a")]
    blueprint = Blueprint("s", connections=(*goes, *stays))
    assert without_removed(blueprint, merge, sources) == tuple(stays)


@pytest.mark.parametrize("roots", [({}, {"components": {"a": None}}), ({"components": {"a": {}}}, {})])
def test_where_nothing_is_taken_away_all_connections_stay(roots: tuple[Any, Any]) -> None:
    merge = merge_trees([table(roots[0]), table(roots[1], "b")])
    assert merge.removed == ()
    blueprint = Blueprint("s", connections=(ConnectionSpec(Reference("a"), Reference("b")),))
    assert without_removed(blueprint, merge, Sources()) == blueprint.connections
