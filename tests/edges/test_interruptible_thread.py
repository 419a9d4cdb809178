"""Blocking calls in a thread: their results, and how a stop or a cancellation ends them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import pytest

from headrace.edges.interruptible_thread import InterruptibleThread


class Blocked:
    """Blocks until it is interrupted so many times, or let go."""

    def __init__(self, times: int = 1) -> None:
        self.begun = anyio.Event()
        self.ended = threading.Event()
        self.since: list[float] = []
        self._times = times

    def block(self, begun: Callable[[], None]) -> str:
        """Block; raises where it was interrupted."""
        begun()
        assert self.ended.wait(30)
        if self.since:
            raise InterruptedError("interrupted")
        return "done"

    def interrupt(self, since: float) -> None:
        """End it, where this is the last time needed."""
        self.since.append(since)
        if len(self.since) >= self._times:
            self.ended.set()


async def begun(blocked: Blocked, thread: InterruptibleThread) -> str:
    """Make the call, and tell once it is in the thread."""
    token = anyio.lowlevel.current_token()
    return await thread.call(
        blocked.block, lambda: anyio.from_thread.run_sync(blocked.begun.set, token=token)
    )


async def test_a_call_returns_what_it_returns() -> None:
    thread = InterruptibleThread(Blocked().interrupt)
    async with thread.watched():
        assert await thread.call(divmod, 7, 2) == (3, 1)


async def test_what_is_raised_within_comes_bare() -> None:
    thread = InterruptibleThread(Blocked().interrupt)
    with pytest.raises(ZeroDivisionError):
        async with thread.watched():
            await thread.call(divmod, 7, 0)


async def test_a_cancelled_call_is_interrupted_as_often_as_it_takes() -> None:
    blocked = Blocked(times=3)
    thread = InterruptibleThread(blocked.interrupt)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def work() -> None:
                async with thread.watched():
                    await begun(blocked, thread)

            group.start_soon(work)
            await blocked.begun.wait()
            group.cancel_scope.cancel()
    assert len(blocked.since) == 3
    assert blocked.since == sorted(blocked.since)
    assert blocked.since[0] < blocked.since[2]


async def test_a_stop_interrupts_a_call_too() -> None:
    blocked, stop = Blocked(), anyio.Event()
    thread = InterruptibleThread(blocked.interrupt, patience=1000)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def work() -> None:
                async with thread.watched(stop.wait):
                    with pytest.raises(InterruptedError):
                        await begun(blocked, thread)

            group.start_soon(work)
            await blocked.begun.wait()
            stop.set()


@pytest.mark.parametrize("can_be", [True, False])
async def test_a_call_that_ends_within_the_patience_has_its_effect(can_be: bool) -> None:
    blocked = Blocked()
    thread = InterruptibleThread(blocked.interrupt if can_be else None, patience=1000)
    results: list[str] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def work() -> None:
                async with thread.watched():
                    results.append(await begun(blocked, thread))

            group.start_soon(work)
            await blocked.begun.wait()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
            assert results == []
            blocked.ended.set()
    assert results == ["done"]
    assert blocked.since == []
