"""The conformance suite of edge stores: what an edge relies on, as named facts, through real ports.

Every implementation of the seam passes it: memory, and what is durable or remote.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import CancelScope, EndOfStream, create_task_group

from headrace.model.options import EdgeOptions, WhenFull
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.edge_store import EdgeStore
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.send_stream import EdgeSendStream

from ._stream_fact import expect, settle

__all__ = ["EDGE_STORE_FACTS", "EdgeStoreCheckError", "check_edge_store"]

MakeStore = Callable[[], EdgeStore[Any]]


@dataclass
class _Line:
    """An edge on a store under test, with a handle at each end."""

    send: EdgeSendStream[Any]
    receive: EdgeReceiveStream[Any]
    edge: AnyEdge

    def expect_books(self) -> None:
        books = self.edge.ledger()
        expect(books.closes, f"the books close: {books}")


@asynccontextmanager
async def _line(make: MakeStore, capacity: int = 4, when_full: WhenFull = "block") -> AsyncIterator[_Line]:
    outlet: AnyOutlet = Outlet("a.out")
    inlet: AnyInlet = Inlet("b.in")
    edge: AnyEdge = Edge("a.out -> b.in", EdgeOptions(capacity, when_full), outlet, inlet, make())
    outlet.add(edge)
    inlet.add(edge)
    line = _Line(outlet.open(), inlet.open(), edge)
    yield line
    line.expect_books()
    outlet.end()
    inlet.end()
    line.expect_books()


async def _all_of(line: _Line) -> list[Any]:
    """Return what can be received until the end."""
    found = []
    try:
        while True:
            found.append(await line.receive.receive())
    except EndOfStream:
        return found


# --- the facts -------------------------------------------------------------------------------------


async def messages_come_out_in_order_and_equal(make: MakeStore) -> None:
    """What goes in comes out, in order, then the end."""
    async with _line(make) as line, create_task_group() as group:

        async def send_all() -> None:
            for number in range(50):
                await line.send.send({"n": number})
            line.send.close()

        group.start_soon(send_all)
        found = await _all_of(line)
        expect(found == [{"n": number} for number in range(50)], f"50 messages in order, not {found}")


async def it_counts_what_it_keeps(make: MakeStore) -> None:
    """``len``, ``messages()`` and ``clear()`` agree."""
    store = make()
    store.append(1)
    rest = store.add([2, 3])
    expect(rest == [], f"add returns an empty list, not {rest}")
    expect(len(store) == 3, f"it keeps 3, not {len(store)}")
    expect(store.messages() == [1, 2, 3], f"the oldest first, not {store.messages()}")
    expect(store.clear() == 3, "clear returns how many it let go")
    expect(len(store) == 0 and store.messages() == [], "then it keeps none")


async def taking_gives_the_oldest_and_no_more_than_asked(make: MakeStore) -> None:
    """Any mixture of appending, adding and taking keeps the order."""
    store = make()
    store.add([0, 1, 2, 3])
    expect(store.take(2) == [0, 1], "2 of 4 where 2 are asked for")
    store.clear()
    found: list[int] = []
    for start in range(0, 60, 6):
        store.append(start)
        store.add([start + 1, start + 2, start + 3])
        found += store.take(2)
        store.add([start + 4, start + 5])
        chunk = store.take(3)
        expect(0 < len(chunk) <= 3, f"at most 3, at least 1, not {chunk}")
        found += chunk
    while len(store):
        found += store.take(7)
    expect(found == list(range(60)), f"in order, not {found}")


async def what_is_put_back_goes_first(make: MakeStore) -> None:
    """Messages that were taken and put back come again before all others, in their order."""
    store = make()
    store.add([1, 2, 3, 4, 5])
    store.put_back(store.take(3))
    expect(store.messages() == [1, 2, 3, 4, 5], f"as before, not {store.messages()}")
    taken = store.take(1)
    store.discard_oldest()
    store.put_back(taken)
    expect(store.take(9) == [1, 3, 4, 5], "the oldest that was kept is the one let go")


async def a_full_edge_holds_senders_back(make: MakeStore) -> None:
    """Never more than the capacity is accepted, and a cancelled send of a waiting task reached nothing."""
    async with _line(make, 2) as line:
        await line.send.send(1)
        await line.send.send(2)
        with CancelScope() as scope:
            async with create_task_group() as group:
                group.start_soon(line.send.send, 3)
                await settle()
                expect(line.edge.ledger().accepted == 2, "the third one waits")
                scope.cancel()
        line.send.close()
        expect(await _all_of(line) == [1, 2], "the cancelled one has reached nothing")


async def drop_oldest_reaches_what_a_reader_has_taken(make: MakeStore) -> None:
    """A policy that makes room lets the oldest message go that was not handed over."""
    async with _line(make, 2, "drop_oldest") as line:
        for number in range(5):
            await line.send.send(number)
        line.send.close()
        expect(await _all_of(line) == [3, 4], "the newest ones are there")
        expect(line.edge.dropped == {"drop_oldest": 3}, "the others are counted")


async def a_cancelled_receive_loses_nothing(make: MakeStore) -> None:
    """Neither does a batch that is cancelled half-way."""
    async with _line(make) as line:
        await line.send.send(1)
        batches = line.receive.batch(3)

        async def read() -> None:
            await anext(batches)

        with CancelScope() as scope:
            async with create_task_group() as group:
                group.start_soon(read)
                await settle()
                scope.cancel()
        await line.send.send(2)
        expect(await line.receive.receive() == 1, "what was gathered comes again first")
        expect(await line.receive.receive() == 2, "then the others")


async def what_a_crash_leaves_in_hand_comes_again_first(make: MakeStore) -> None:
    """After the end of a life of the reader its message comes first, and the store gives the others once."""
    async with _line(make, capacity=3) as line:
        await line.send.send_many([1, 2, 3])
        found = [await line.receive.receive() for _ in range(2)]
        line.edge.inlet.take_hands_back(crashed=True)
        line.send.send_nowait(4)
        line.expect_books()
        line.receive = line.edge.inlet.open()
        line.send.close()
        found += await _all_of(line)
        expect(found == [1, 2, 2, 3, 4], f"1, 2, and after the crash 2, 3, 4, not {found}")
        line.receive.settle()


async def what_is_left_at_the_end_of_the_reader_is_dropped_and_counted(make: MakeStore) -> None:
    """A reader that ends leaves nothing in the store."""
    async with _line(make) as line:
        await line.send.send_many([1, 2, 3])
        await line.receive.receive()
        line.receive.close()
        expect(line.edge.dropped == {"reader_ended": 2}, f"2 are dropped, not {line.edge.dropped}")
        expect(len(line.edge.store) == 0, "the store is empty")


async def a_confirmed_send_is_safe_when_it_returns(make: MakeStore) -> None:
    """Where a store confirms, it learns of every message, and of every settlement."""
    async with _line(make) as line:
        await line.send.send_many([1, 2, 3])
        with anyio.fail_after(5):
            await line.edge.store.confirm()
        found = [await line.receive.receive() for _ in range(3)]
        line.receive.settle("dead_lettered")
        expect(found == [1, 2, 3], f"all of them arrive, not {found}")


_FACTS: dict[str, Callable[[MakeStore], Awaitable[None]]] = {
    fact.__name__: fact
    for fact in (
        messages_come_out_in_order_and_equal,
        it_counts_what_it_keeps,
        taking_gives_the_oldest_and_no_more_than_asked,
        what_is_put_back_goes_first,
        a_full_edge_holds_senders_back,
        drop_oldest_reaches_what_a_reader_has_taken,
        a_cancelled_receive_loses_nothing,
        what_a_crash_leaves_in_hand_comes_again_first,
        what_is_left_at_the_end_of_the_reader_is_dropped_and_counted,
        a_confirmed_send_is_safe_when_it_returns,
    )
}

#: The names of all facts, in the order in which they are checked.
EDGE_STORE_FACTS: tuple[str, ...] = tuple(_FACTS)


class EdgeStoreCheckError(AssertionError):
    """Raised by ``check_edge_store`` when facts do not hold; ``failed`` has each with its error."""

    def __init__(self, failed: dict[str, Exception]) -> None:
        self.failed = failed
        lines = [f"  {name}: {error or type(error).__name__}" for name, error in failed.items()]
        super().__init__(
            "\n".join([f"{len(failed)} of {len(_FACTS)} facts about edge stores do not hold:", *lines])
        )


async def check_edge_store(make: MakeStore, *, fact_timeout: float = 5.0) -> None:
    """Check that an edge can rely on a store: order, capacity, redelivery, ends, and books that close.

    Runs under the current backend; run it under each. Nothing else may be busy in the event loop meanwhile.

    Args:
        make: makes a new, empty store. Messages are ints and dicts of them.
        fact_timeout: seconds after which a fact that still waits does not hold.

    Raises:
        EdgeStoreCheckError: facts do not hold; names all of them.
    """
    failed: dict[str, Exception] = {}
    for name, fact in _FACTS.items():
        try:
            with anyio.fail_after(fact_timeout):
                await fact(make)
        except Exception as error:
            failed[name] = error
    if failed:
        raise EdgeStoreCheckError(failed) from next(iter(failed.values()))
