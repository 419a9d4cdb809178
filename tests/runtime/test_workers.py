"""What holds for every kind of workers: in the loop, in a thread, in a process."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import cancel_shielded_checkpoint
from tests.runtime import worker_parts as parts

from headrace.authoring.function_component import ComponentFunction
from headrace.exceptions import ComponentError, WorkerAbandoned, WorkerNotOpen
from headrace.runtime.process_workers import ProcessWorkers
from headrace.runtime.workers import LoopWorkers, Outcome, ThreadWorkers, Workers

Make = Callable[..., Workers]


def in_loop(function: ComponentFunction[..., Any], **settings: Any) -> Workers:
    return LoopWorkers(function.fn, settings, name="act")


def in_thread(function: ComponentFunction[..., Any], **settings: Any) -> Workers:
    return ThreadWorkers(function.fn, settings, name="act")


def in_process(function: ComponentFunction[..., Any], **settings: Any) -> Workers:
    return ProcessWorkers(function, settings, name="act")


@pytest.fixture(params=[in_loop, in_thread, in_process])
def make(request: pytest.FixtureRequest) -> Make:
    """Return a maker of workers of each kind."""
    made: Make = request.param
    return made


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[socket.socket]:
    """Return a socket at which workers tell that they are at work."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "meeting"))
        listener.listen()
        yield listener


async def met(meeting: socket.socket) -> socket.socket:
    """Wait until a worker is at work; closing what comes back lets it go on."""
    return (await to_thread.run_sync(meeting.accept))[0]


def outputs(outcomes: list[Outcome]) -> list[list[Any]]:
    """Return the outputs of outcomes that are no errors."""
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    return [list(outcome.outputs) for outcome in outcomes]


async def test_a_batch_comes_back_in_order_with_an_outcome_for_each_message(make: Make) -> None:
    async with make(parts.act, factor=3) as workers:
        assert outputs(await workers.run([1, 2, "three"])) == [[3], [6], ["three"]]
        assert await workers.run([]) == []


async def test_a_generator_gives_all_its_outputs_and_none_goes_nowhere(make: Make) -> None:
    async with make(parts.several) as workers:
        assert outputs(await workers.run([3, 0])) == [[0, 1, 2], []]
    async with make(parts.act) as workers:
        assert outputs(await workers.run([None])) == [[]]


async def test_a_bad_message_does_not_spoil_its_batch(make: Make) -> None:
    async with make(parts.act) as workers:
        first, bad, last = await workers.run([1, ("fail", "no good"), 2])
    assert outputs([first, last]) == [[1], [2]]
    assert isinstance(bad.error, ValueError)
    assert str(bad.error) == "no good"
    assert list(bad.outputs) == []


async def test_an_error_keeps_its_traceback_as_text(make: Make) -> None:
    async with make(parts.several) as workers:
        good, bad = await workers.run([1, -1])
    assert good.traceback == ""
    assert "in several" in bad.traceback
    assert 'raise ValueError("negative")' in bad.traceback


async def test_a_coroutine_that_a_plain_function_returns_is_an_error_of_its_message(make: Make) -> None:
    async with make(parts.gives_coroutine) as workers:
        (outcome,) = await workers.run([1])
    assert isinstance(outcome.error, ComponentError)
    assert "coroutine" in str(outcome.error)


async def test_batches_under_way_at_once_each_get_their_own_outcomes(make: Make) -> None:
    got: dict[int, list[list[Any]]] = {}

    async def run(number: int) -> None:
        got[number] = outputs(await workers.run([number, number + 1]))

    async with make(parts.act) as workers, anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(run, number)
    assert got == {number: [[number], [number + 1]] for number in range(20)}


async def test_what_is_not_open_runs_nothing(make: Make) -> None:
    workers = make(parts.act)
    with pytest.raises(WorkerNotOpen, match="act"):
        await workers.run([1])
    async with workers:
        pass
    with pytest.raises(WorkerNotOpen):
        await workers.run([1])
    await workers.close()


async def test_it_can_be_opened_again(make: Make) -> None:
    workers = make(parts.act)
    for _ in range(2):
        async with workers:
            assert outputs(await workers.run([7])) == [[7]]


async def test_open_run_and_close_may_come_from_different_tasks(make: Make) -> None:
    workers = make(parts.act)
    async with anyio.create_task_group() as group:
        group.start_soon(workers.open)
    async with anyio.create_task_group() as group:
        group.start_soon(workers.run, [1])
    async with anyio.create_task_group() as group:
        group.start_soon(workers.close)


async def test_a_run_that_is_cancelled_before_it_starts_starts_nothing(make: Make) -> None:
    async with make(parts.act) as workers:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await workers.run([1])
        assert scope.cancelled_caught


async def test_what_was_abandoned_runs_nothing_more(make: Make) -> None:
    async with make(parts.act) as workers:
        workers.abandon()
        with pytest.raises(WorkerNotOpen):
            await workers.run([1])


async def test_a_system_exit_goes_through_the_loop_as_it_is() -> None:
    async with in_loop(parts.act) as workers:
        with pytest.raises(SystemExit):
            await workers.run([("call", "exit", 3)])


async def test_a_system_exit_in_a_thread_ends_its_batch_and_says_whose_it_is() -> None:
    async with in_thread(parts.act) as workers:
        good, bad = await workers.run([("call", "word"), ("call", "exit", 3), ("call", "word")])
    assert good.error is None
    assert isinstance(bad.error, SystemExit)


# --- threads


@pytest.fixture
async def thread() -> AsyncIterator[Workers]:
    """Return an open worker thread."""
    async with in_thread(parts.act) as workers:
        yield workers


async def test_a_thread_has_the_context_variables_of_its_caller(thread: Workers) -> None:
    parts.WORD.set("kept")
    assert outputs(await thread.run([("call", "word")])) == [["kept"]]
    assert outputs(await thread.run([("call", "thread")])) != [[threading.get_ident()]]


@pytest.mark.fault(
    "cancelled thread",
    "The thread is waited for, and what it did counts; past the deadline it is named and left behind.",
)
async def test_a_cancelled_run_waits_for_its_thread_and_keeps_the_outcomes(
    thread: Workers, meeting: socket.socket
) -> None:
    kept: list[Outcome] = []

    async def run() -> None:
        kept.extend(await thread.run([("meet", meeting.getsockname()), 2]))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        begun = await met(meeting)
        group.cancel_scope.cancel()
        await cancel_shielded_checkpoint()
        assert kept == []
        begun.close()
    assert outputs(kept) == [["met"], [2]]


async def test_a_batch_that_waits_for_its_turn_at_the_thread_can_be_cancelled(
    thread: Workers, meeting: socket.socket
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(thread.run, [("meet", meeting.getsockname())])
        begun = await met(meeting)
        with anyio.CancelScope() as second:
            async with anyio.create_task_group() as inner:
                inner.start_soon(thread.run, [1])
                await anyio.wait_all_tasks_blocked()
                second.cancel()
        begun.close()
    assert second.cancelled_caught


async def test_an_abandoned_thread_is_left_behind_and_whoever_waits_for_its_turn_is_told(
    thread: Workers, meeting: socket.socket
) -> None:
    errors: list[Exception] = []

    async def run(batch: list[Any]) -> None:
        try:
            await thread.run(batch)
        except Exception as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run, [("meet", meeting.getsockname())])
        begun = await met(meeting)
        group.start_soon(run, [1])
        await anyio.wait_all_tasks_blocked()
        thread.abandon()
    begun.close()
    assert [type(error) for error in errors] == [WorkerAbandoned, WorkerNotOpen]
    assert "act: its thread did not return" in str(errors[0])
