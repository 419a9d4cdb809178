"""Layers, cycles, sources and sinks, against the plainest definitions of them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from headrace.model.topology import Topology


def test_a_chain_is_set_up_from_its_end() -> None:
    shape = Topology.of(["a", "b", "c"], [("a", "b"), ("b", "c")])
    assert shape.layers == (("c",), ("b",), ("a",))
    assert shape.downstream_first == ("c", "b", "a")
    assert (shape.sources, shape.sinks, shape.cycles) == (("a",), ("c",), ())


def test_nothing_has_no_layers() -> None:
    assert Topology.of([], []) == Topology((), (), (), (), ())


def test_components_that_nothing_joins_share_a_layer() -> None:
    shape = Topology.of(["a", "b"], [])
    assert shape.layers == (("a", "b"),)
    assert shape.sources == shape.sinks == ("a", "b")


def test_a_cycle_shares_a_layer_between_what_feeds_it_and_what_it_feeds() -> None:
    links = [("in", "a"), ("a", "b"), ("b", "a"), ("b", "out"), ("b", "out")]
    shape = Topology.of(["in", "b", "a", "out"], links)
    assert shape.layers == (("out",), ("b", "a"), ("in",))
    assert shape.cycles == (("b", "a"),)


def test_a_component_that_sends_to_itself_is_a_cycle() -> None:
    assert Topology.of(["a"], [("a", "a")]).cycles == (("a",),)


def test_a_deep_chain_needs_no_recursion() -> None:
    names = [str(number) for number in range(5000)]
    shape = Topology.of(names, itertools.pairwise(names))
    assert shape.downstream_first == tuple(reversed(names))


NODES = ["a", "b", "c", "d", "e", "f"]
node = st.sampled_from(NODES)


@given(st.lists(st.tuples(node, node), max_size=14), st.permutations(NODES))
def test_it_agrees_with_reachability(links: list[tuple[str, str]], names: list[str]) -> None:
    shape = Topology.of(names, links)
    reach = {name: {t for s, t in links if s == name} for name in names}
    for _ in names:
        for name in names:
            reach[name] |= {far for near in reach[name] for far in reach[near]}

    together = {frozenset(part) for part in shape.cycles}
    expected = {
        frozenset({n} | {m for m in names if m in reach[n] and n in reach[m]}) for n in names if n in reach[n]
    }
    assert together == expected
    layer = {name: number for number, names_in in enumerate(shape.layers) for name in names_in}
    assert sorted(layer) == sorted(names)
    assert all(layers for layers in shape.layers)
    for sender, receiver in links:
        if sender in reach[receiver] or sender == receiver:
            assert layer[sender] == layer[receiver]
        else:
            assert layer[sender] > layer[receiver]
    assert set(shape.sources) == set(names) - {target for _, target in links}
    assert set(shape.sinks) == set(names) - {source for source, _ in links}
    assert shape.names == tuple(names)
