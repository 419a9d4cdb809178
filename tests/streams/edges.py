"""Edges put together by hand, for the tests of this folder."""

from __future__ import annotations

import itertools
from typing import Any

from headrace.model.options import EdgeOptions, OutputOptions
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.send_stream import EdgeSendStream
from headrace.streams.spread import Group


def link(
    outlet: AnyOutlet, inlet: AnyInlet, options: EdgeOptions | None = None, group: Group[Any] | None = None
) -> AnyEdge:
    """Join two ports with an edge; one of a group where one is given."""
    edge: AnyEdge = Edge(f"{outlet.name} -> {inlet.name}", options or EdgeOptions(), outlet, inlet)
    outlet.add(edge, group)
    inlet.add(edge)
    return edge


def one_edge(
    capacity: int = 100, **options: Any
) -> tuple[EdgeSendStream[Any], EdgeReceiveStream[Any], AnyEdge]:
    """Return the two handles of an edge, and the edge."""
    outlet: AnyOutlet = Outlet("a.out")
    inlet: AnyInlet = Inlet("b.in")
    edge = link(outlet, inlet, EdgeOptions(capacity, **options))
    return outlet.open(), inlet.open(), edge


def fan_out(
    capacities: list[int], options: OutputOptions | None = None, **edge: Any
) -> tuple[EdgeSendStream[Any], list[EdgeReceiveStream[Any]], list[AnyEdge]]:
    """Return a sending handle, and a receiving handle for each branch."""
    outlet: AnyOutlet = Outlet("a.out", options)
    inlets: list[AnyInlet] = [Inlet(f"b{number}.in") for number in range(len(capacities))]
    edges = [link(outlet, i, EdgeOptions(c, **edge)) for i, c in zip(inlets, capacities, strict=True)]
    return outlet.open(), [inlet.open() for inlet in inlets], edges


def grouped(
    groups: list[OutputOptions | None],
    options: OutputOptions | None = None,
    *,
    width: int = 2,
    capacity: int = 100,
) -> tuple[EdgeSendStream[Any], list[list[EdgeReceiveStream[Any]]], list[list[AnyEdge]]]:
    """Return a sending handle, and for each target its receiving handles and edges; None makes no group."""
    outlet: AnyOutlet = Outlet("a.out", options)
    lanes: list[list[AnyEdge]] = []
    for number, how in enumerate(groups):
        group: Group[Any] | None = None if how is None else Group(how)
        inlets: list[AnyInlet] = [Inlet(f"b{number}[{n}].in") for n in range(1 if how is None else width)]
        lanes.append([link(outlet, inlet, EdgeOptions(capacity), group) for inlet in inlets])
    return outlet.open(), [[edge.inlet.open() for edge in edges] for edges in lanes], lanes


def fan_in(
    capacities: list[int],
) -> tuple[list[EdgeSendStream[Any]], EdgeReceiveStream[Any], list[AnyEdge]]:
    """Return a sending handle for each branch, and a receiving handle."""
    inlet: AnyInlet = Inlet("b.in")
    outlets: list[AnyOutlet] = [Outlet(f"a{number}.out") for number in range(len(capacities))]
    edges = [link(o, inlet, EdgeOptions(c)) for o, c in zip(outlets, capacities, strict=True)]
    return [outlet.open() for outlet in outlets], inlet.open(), edges


def assert_books_close(*edges: AnyEdge) -> None:
    """Check that every accepted message is accounted for, and that nothing is counted twice."""
    for edge in edges:
        books = edge.ledger()
        assert books.closes, books
        assert books.buffered == len(edge.messages())


def assert_nobody_waits(*edges: AnyEdge) -> None:
    """Check that no waiter was left behind, in a queue or with a handle."""
    for edge in edges:
        assert not edge.blocked
        assert not edge.inlet.hungry
        for handle in itertools.chain(edge.outlet.handles, edge.inlet.handles):
            assert not handle.waiters
