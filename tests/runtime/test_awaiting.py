"""Where a coroutine waits: the innermost line of the user's own code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio

from headrace import HarnessComponent, System, component
from headrace.runtime.awaiting import awaiting


async def suspended(coroutine: Any) -> str:
    """Start a coroutine, ask where it waits, and end it."""
    async with anyio.create_task_group() as group:

        async def drive() -> None:
            await coroutine

        group.start_soon(drive)
        await anyio.wait_all_tasks_blocked()
        found = awaiting(coroutine)
        group.cancel_scope.cancel()
    return found


async def test_the_innermost_own_line_is_named_not_the_librarys() -> None:
    async def inner() -> None:
        await anyio.Event().wait()

    async def outer() -> None:
        await inner()

    line = inner.__code__.co_firstlineno + 1
    assert await suspended(outer()) == f"inner() at test_awaiting.py:{line}"


async def test_a_line_in_an_async_generator_is_found() -> None:
    async def ticks() -> AsyncIterator[int]:
        await anyio.sleep_forever()
        yield 1

    async def outer() -> None:
        async for _ in ticks():
            pass

    line = ticks.__code__.co_firstlineno + 1
    assert await suspended(outer()) == f"ticks() at test_awaiting.py:{line}"


async def test_the_librarys_line_is_better_than_none() -> None:
    assert (await suspended(anyio.sleep_forever())).startswith("sleep")


async def test_what_is_not_suspended_says_so() -> None:
    async def done() -> None:
        """Return."""

    coroutine = done()
    await coroutine
    assert awaiting(coroutine) == "nothing: it is not suspended"
    assert awaiting(None) == "nothing: it is not suspended"


async def test_an_awaitable_object_is_looked_through() -> None:
    async def inner() -> None:
        await anyio.sleep_forever()

    class Wrapped:
        def __await__(self) -> Any:
            return inner().__await__()

    async def outer() -> None:
        await Wrapped()

    assert (await suspended(outer())).startswith("inner() at test_awaiting.py:")


async def test_a_wait_in_a_stream_of_ours_names_the_edge() -> None:
    system = System(shutdown_timeout=0.05, source_grace=0.01)
    reached = anyio.Event()

    @component
    async def source() -> AsyncIterator[int]:
        for number in range(3):
            yield number
        await anyio.sleep_forever()

    @component
    def through(number: int) -> int:
        return number

    class Slow(HarnessComponent):
        async def process(self) -> None:
            await self.receive_streams["in"].receive()
            reached.set()
            await anyio.sleep_forever()

    system.add("source", source)
    system.add("through", through)
    system.add("slow", Slow)
    system.connect("source", "through")
    system.connect("through", "slow", buffer_size=1)
    async with anyio.create_task_group() as group:
        group.start_soon(system.run)
        await reached.wait()
        await anyio.wait_all_tasks_blocked()
        report = await system.stop()
    assert report is not None
    where = {overrun.component: overrun.awaiting for overrun in report.overruns}
    assert where["through"] == "room on through.out -> slow.in"


async def test_a_wait_for_room_on_any_replica_names_all_their_edges() -> None:
    system = System(shutdown_timeout=0.05, source_grace=0.01)

    @component
    def numbers() -> Iterator[int]:
        yield from range(3)

    @component
    def through(number: int) -> int:
        return number

    class Stuck(HarnessComponent):
        async def process(self) -> None:
            await anyio.sleep_forever()

    system.add("numbers", numbers)
    system.add("through", through)
    system.add("stuck", Stuck, replicas=2)
    system.connect("numbers", "through")
    system.connect("through", "stuck", buffer_size=1)
    async with anyio.create_task_group() as group:
        group.start_soon(system.run)
        await anyio.wait_all_tasks_blocked()
        report = await system.stop()
    assert report is not None
    where = {overrun.component: overrun.awaiting for overrun in report.overruns}
    assert where["through"] == "room on through.out -> stuck[0].in or through.out -> stuck[1].in"
    assert {"stuck[0]", "stuck[1]"} <= set(where)
