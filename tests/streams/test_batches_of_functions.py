"""What function components ask of edges: messages handed over in one go, and outputs accepted in one go."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import ClosedResourceError, EndOfStream

from headrace.exceptions import EdgeFullError, ReaderEndedError
from headrace.model.options import EdgeOptions, OutputOptions
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import UNLIMITED, AnyOutlet, Outlet


def joined(
    *options: EdgeOptions, output: OutputOptions | None = None
) -> tuple[Any, list[Any], list[AnyEdge]]:
    """Return a send handle, the receive handles and the edges of an output with so many edges."""
    outlet: AnyOutlet = Outlet("a.out", output)
    edges, handles = [], []
    for number, one in enumerate(options):
        inlet: AnyInlet = Inlet(f"b{number}.in")
        edges.append(Edge(f"a.out -> b{number}.in", one, outlet, inlet))
        outlet.add(edges[-1])
        inlet.add(edges[-1])
        handles.append(inlet.open())
    return outlet.open(), handles, edges


async def test_what_take_hands_over_is_in_hand_and_the_rest_stays_on_the_edge() -> None:
    send, (receive,), (edge,) = joined(EdgeOptions(10))
    send.put_all([1, 2, 3, 4])
    messages = await receive.take()
    assert (next(messages), next(messages)) == (1, 2)
    assert (receive.hand, edge.buffered, edge.acknowledged) == (2, 2, 1)
    assert await receive.take() is messages
    assert list(messages) == [3, 4]
    assert (receive.hand, edge.buffered, edge.acknowledged) == (4, 0, 3)
    send.close()
    with pytest.raises(EndOfStream):
        await receive.take()
    assert edge.acknowledged == 4
    receive.close()
    with pytest.raises(ClosedResourceError):
        await receive.take()


async def test_what_is_taken_back_is_handed_over_once_more() -> None:
    send, (receive,), (edge,) = joined(EdgeOptions(10))
    send.put_all([1, 2, 3])
    messages = await receive.take()
    assert list(messages) == [1, 2, 3]
    receive.take_back(2)
    assert (receive.hand, receive.rest(), edge.buffered) == (1, [2, 3], 2)
    assert list(await receive.take()) == [2, 3]
    assert edge.ledger().closes


async def test_a_cancelled_take_loses_nothing() -> None:
    send, (receive,), (edge,) = joined(EdgeOptions(10))
    async with anyio.create_task_group() as group:
        group.start_soon(receive.take)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    send.put_all([1])
    assert list(await receive.take()) == [1]
    assert edge.ledger().closes


async def test_put_all_wakes_the_reader_and_may_exceed_the_capacity_which_counts_afterwards() -> None:
    send, (receive,), (edge,) = joined(EdgeOptions(2))
    got: list[Any] = []

    async def read() -> None:
        got.extend(await receive.take())

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        assert send.free == 2
        send.put_all([1, 2, 3])
        assert (edge.buffered, edge.accepted, send.free) == (3, 3, 0)
    assert got == [1, 2, 3]
    assert send.free == 2


def test_free_is_the_room_of_the_fullest_edge() -> None:
    send, (first, _), edges = joined(EdgeOptions(5), EdgeOptions(3))
    send.put_all([1, 2])
    assert send.free == 1
    assert [edge.buffered for edge in edges] == [2, 2]
    first.receive_nowait()
    assert send.free == 1
    send.close()
    assert send.free == 0
    with pytest.raises(ClosedResourceError):
        send.put_all([3])


def test_an_output_with_nothing_behind_it_takes_everything_and_one_whose_readers_ended_nothing() -> None:
    send, _, _ = joined()
    assert send.free == UNLIMITED
    send.put_all([1, 2])
    assert send._outlet.discarded == 2
    send, (receive,), _ = joined(EdgeOptions(5))
    receive.close()
    assert send.free == 0
    with pytest.raises(ReaderEndedError):
        send.put_all([1])


def test_where_a_key_or_a_copy_may_raise_one_message_is_sent_at_a_time() -> None:
    send, _, edges = joined(EdgeOptions(5), EdgeOptions(5), output=OutputOptions("by_key", key=str))
    assert send.free == 1
    send.put_all(["x"] * 7)
    assert sum(edge.buffered for edge in edges) == 7, "what is put is accepted, room or not"
    assert joined(EdgeOptions(5, copy=True))[0].free == 1


def test_policies_hold_for_what_is_put_too() -> None:
    send, _, (edge,) = joined(EdgeOptions(2, "drop_oldest"))
    send.put_all([1, 2, 3])
    assert (edge.messages(), edge.dropped) == ([2, 3], {"drop_oldest": 1})
    assert send.free == 0
    send, _, (edge,) = joined(EdgeOptions(2, "error"))
    send.put_all([1, 2, 3])
    assert edge.messages() == [1, 2, 3], "all of what belongs together, or nothing"
    with pytest.raises(EdgeFullError):
        send.send_nowait(4)


def test_messages_that_pass_by_are_in_the_books_and_nowhere_else() -> None:
    send, _, (edge,) = joined(EdgeOptions(2))
    edge.pass_on(5)
    assert (edge.accepted, edge.acknowledged, edge.buffered) == (5, 5, 0)
    assert send._outlet.accepted == 5
    assert edge.ledger().closes
