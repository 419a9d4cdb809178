"""The conformance suite of edge stores: memory passes, a store that confirms passes, broken ones are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from anyio import CancelScope, create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from tests.streams.edges import assert_books_close

from headrace.model.options import EdgeOptions
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.edge_store import MemoryStore
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.testing import EDGE_STORE_FACTS, EdgeStoreCheckError, check_edge_store


class Journal(MemoryStore[Any]):
    """A store that writes down what it is told, and says so only after a while."""

    confirms: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Any] = []
        self.safe = 0
        self.gone: list[Any] = []
        self.on_confirm: Callable[[], None] = lambda: None

    def append(self, message: Any) -> None:
        super().append(message)
        self.written.append(message)

    async def confirm(self) -> None:
        self.on_confirm()
        await checkpoint()
        self.safe = len(self.written)

    def settled(self, messages: Sequence[Any]) -> None:
        self.gone += messages


async def test_memory_is_a_store() -> None:
    await check_edge_store(MemoryStore)


async def test_a_store_that_confirms_is_a_store() -> None:
    await check_edge_store(Journal)


class Forgetful(MemoryStore[Any]):
    def put_back(self, messages: Sequence[Any]) -> None:
        pass


class Reversed(MemoryStore[Any]):
    def take(self, at_most: int) -> list[Any]:
        return super().take(at_most)[::-1]


class Bottomless(MemoryStore[Any]):
    def __len__(self) -> int:
        return min(super().__len__(), 1)


class Hoarder(MemoryStore[Any]):
    def clear(self) -> int:
        return 0


class Greedy(MemoryStore[Any]):
    def take(self, at_most: int) -> list[Any]:
        return super().take(at_most + 1)


class WrongEnd(MemoryStore[Any]):
    def discard_oldest(self) -> None:
        del (self._last or self._first)[-1]


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        (Forgetful, "what_is_put_back_goes_first"),
        (Forgetful, "a_cancelled_receive_loses_nothing"),
        (Reversed, "messages_come_out_in_order_and_equal"),
        (Bottomless, "a_full_edge_holds_senders_back"),
        (Bottomless, "it_counts_what_it_keeps"),
        (Hoarder, "what_is_left_at_the_end_of_the_reader_is_dropped_and_counted"),
        (Greedy, "taking_gives_the_oldest_and_no_more_than_asked"),
        (WrongEnd, "drop_oldest_reaches_what_a_reader_has_taken"),
    ],
)
async def test_what_does_not_hold_is_named(broken: type[MemoryStore[Any]], fact: str) -> None:
    with pytest.raises(EdgeStoreCheckError, match=fact) as caught:
        await check_edge_store(broken, fact_timeout=0.2)
    assert fact in caught.value.failed
    assert fact in EDGE_STORE_FACTS


class NeverSafe(Journal):
    async def confirm(self) -> None:
        raise OSError("disk full")


async def test_a_store_that_cannot_confirm_is_named() -> None:
    with pytest.raises(EdgeStoreCheckError, match="a_confirmed_send_is_safe_when_it_returns: disk full"):
        await check_edge_store(NeverSafe)


# --- what an edge does with a store that confirms --------------------------------------------------


def confirming(*capacities: int) -> tuple[AnyOutlet, list[AnyInlet], list[AnyEdge]]:
    """Return a broadcast whose first edge confirms."""
    outlet: AnyOutlet = Outlet("a.out")
    inlets: list[AnyInlet] = [Inlet(f"b{number}.in") for number in range(len(capacities))]
    edges: list[AnyEdge] = [
        Edge(f"{number}", EdgeOptions(capacity), outlet, inlet, None if number else Journal())
        for number, (capacity, inlet) in enumerate(zip(capacities, inlets, strict=True))
    ]
    for edge, inlet in zip(edges, inlets, strict=True):
        outlet.add(edge)
        inlet.add(edge)
    return outlet, inlets, edges


async def test_a_send_returns_when_every_message_before_it_is_safe() -> None:
    outlet, _, edges = confirming(10, 10)
    store: Any = edges[0].store
    send = outlet.open()
    for number in range(1, 4):
        await send.send(number)
        assert store.safe == number
    await send.send_many([4, 5])
    assert store.safe == 5
    assert [edge.accepted for edge in edges] == [5, 5]


async def test_a_send_that_waited_for_room_is_safe_too() -> None:
    outlet, inlets, edges = confirming(1)
    store: Any = edges[0].store
    send, receive = outlet.open(), inlets[0].open()
    await send.send(1)
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        assert store.safe == 1
        await receive.receive()
    assert store.safe == 2
    assert_books_close(*edges)


async def test_a_send_cancelled_while_it_is_confirmed_may_have_arrived() -> None:
    outlet, _, edges = confirming(10)
    store: Any = edges[0].store
    send = outlet.open()
    with CancelScope() as scope:
        store.on_confirm = scope.cancel
        await send.send(1)
    assert scope.cancelled_caught
    assert edges[0].accepted == 1
    assert_books_close(*edges)


async def test_the_store_learns_what_was_settled() -> None:
    outlet, inlets, edges = confirming(10)
    store: Any = edges[0].store
    send, receive = outlet.open(), inlets[0].open()
    await send.send_many([1, 2, 3])
    await receive.receive_many(2)
    receive.settle_first(1, "dead_lettered")
    assert store.gone == [1]
    assert await receive.receive() == 3
    assert store.gone == [1, 2]
    receive.settle()
    assert store.gone == [1, 2, 3]
    assert_books_close(*edges)


async def test_the_store_is_not_told_that_a_message_that_comes_again_is_settled() -> None:
    outlet, inlets, edges = confirming(10)
    store: Any = edges[0].store
    send, receive = outlet.open(), inlets[0].open()
    await send.send_many([1, 2, 3])
    assert [await receive.receive() for _ in range(2)] == [1, 2]
    inlets[0].take_hands_back(crashed=True)
    assert store.gone == [1]
    anew = inlets[0].open()
    assert [await anew.receive() for _ in range(2)] == [2, 3]
    anew.settle()
    assert store.gone == [1, 2, 3]
    assert_books_close(*edges)
