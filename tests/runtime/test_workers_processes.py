"""Worker processes: how they die, what cannot travel, cancellation, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from anyio import to_thread
from tests.runtime import worker_parts as parts

from headrace.exceptions import (
    NotPicklableError,
    WorkerAbandoned,
    WorkerCodeError,
    WorkerDied,
    WorkerError,
    WorkerNotOpen,
    WorkerStartFailed,
)
from headrace.runtime import process_workers, worker_channel
from headrace.runtime.process_workers import ProcessWorkers
from headrace.runtime.workers import Outcome

MEGABYTE = 1 << 20


@pytest.fixture
async def workers() -> AsyncIterator[ProcessWorkers]:
    """Return one open worker process."""
    async with ProcessWorkers(parts.act, name="act") as opened:
        yield opened


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


async def error_of(outcomes: list[Outcome]) -> Exception:
    """Return the error of the only outcome."""
    (outcome,) = outcomes
    assert outcome.error is not None
    return outcome.error


async def gone(pid: int) -> None:
    """Wait until a process has ended, reaped or not."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:  # reaped already
        return
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)


# --- death


@pytest.mark.parametrize(
    ("deed", "code", "text"),
    [
        (("kill",), -9, "was ended by SIGKILL (out of memory, perhaps)"),
        (("segfault",), -11, "was ended by SIGSEGV"),
        (("exit", 3), 3, "ended itself: SystemExit(3)"),
        (("interrupt",), 1, "ended itself: KeyboardInterrupt()"),
        (("_exit", 7), 7, "ended with exit code 7"),
    ],
    ids=["kill -9", "segfault", "sys.exit", "KeyboardInterrupt", "os._exit"],
)
async def test_a_death_names_its_cause_and_the_message_in_hand(
    deed: tuple[Any, ...], code: int, text: str
) -> None:
    async with ProcessWorkers(parts.act, name="parse") as workers:
        message = ("call", *deed)
        with pytest.raises(WorkerDied) as caught:
            await workers.run([1, message, 3])
        error = caught.value
        assert (error.component, error.exit_code, error.index, error.message) == ("parse", code, 1, message)
        assert error.pid == workers.pids[0]
        assert text in str(error)
        assert "at message 2 of a batch of 3, of type tuple" in str(error)


async def test_a_system_exit_over_there_is_the_cause_here(workers: ProcessWorkers) -> None:
    with pytest.raises(WorkerDied) as caught:
        await workers.run([("call", "exit", 3)])
    cause = caught.value.__cause__
    assert isinstance(cause, SystemExit)
    assert cause.code == 3


async def test_after_a_death_nothing_runs_until_it_is_opened_again(workers: ProcessWorkers) -> None:
    with pytest.raises(WorkerDied):
        await workers.run([("call", "kill")])
    with pytest.raises(WorkerDied, match="before it began with a batch of 1"):
        await workers.run([1])
    await workers.close()
    await workers.open()
    assert outputs(await workers.run([1])) == [[1]]


async def test_a_worker_killed_while_it_is_idle_fails_the_next_batch(workers: ProcessWorkers) -> None:
    os.kill(workers.pids[0], signal.SIGKILL)
    await gone(workers.pids[0])
    with pytest.raises(WorkerDied, match="SIGKILL") as caught:
        await workers.run([1])
    assert caught.value.index is None


async def test_every_batch_of_a_dead_worker_is_told_and_the_other_worker_finishes_its_own(
    meeting: socket.socket,
) -> None:
    ends: dict[str, Any] = {}

    async def run(name: str, batch: list[Any]) -> None:
        try:
            ends[name] = outputs(await workers.run(batch))
        except WorkerDied as error:
            ends[name] = error

    async with ProcessWorkers(parts.act, processes=2) as workers, anyio.create_task_group() as group:
        begun: list[socket.socket] = []
        for name in ("a", "b"):
            group.start_soon(run, name, [("call", "pid"), ("meet", meeting.getsockname())])
            begun.append(await met(meeting))
        for name in ("c", "d"):
            group.start_soon(run, name, [0])
        await anyio.wait_all_tasks_blocked()
        os.kill(workers.pids[0], signal.SIGKILL)
        await gone(workers.pids[0])
        for one in begun:
            one.close()
    dead = {name: end for name, end in ends.items() if isinstance(end, WorkerDied)}
    assert len(dead) == 2
    assert {error.index for error in dead.values()} == {1, None}
    assert [end[-1] for name, end in sorted(ends.items()) if name not in dead] == [["met"], [0]]


async def test_a_death_is_seen_though_a_fork_of_the_worker_lives_on(
    workers: ProcessWorkers, meeting: socket.socket
) -> None:
    with pytest.raises(WorkerDied, match="SIGKILL"):
        await workers.run([("call", "fork", meeting.getsockname())])
    (await met(meeting)).close()


async def test_a_fork_of_a_worker_has_ordinary_signal_handlers(workers: ProcessWorkers) -> None:
    assert outputs(await workers.run([("call", "handlers")])) == [[[True]]]


async def test_a_worker_that_only_seems_dead_is_killed(
    workers: ProcessWorkers, meeting: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_channel, "LAST_BREATH", 0.01)
    errors: list[WorkerDied] = []

    async def run() -> None:
        try:
            await workers.run([("meet", meeting.getsockname())])
        except WorkerDied as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        begun = await met(meeting)
        workers._channels[0]._finish("died")
    begun.close()
    assert errors[0].exit_code == -9


def test_a_death_whose_cause_is_unknown_is_told_as_that() -> None:
    assert worker_channel._how(None, None) == "is gone"
    assert worker_channel._how(-99, None) == "was ended by signal 99"


# --- what cannot travel


async def test_a_message_that_cannot_be_pickled_is_an_error_of_its_own_and_named(
    workers: ProcessWorkers,
) -> None:
    bad = {"rows": [0, parts.Boxed({"lock": threading.Lock()})]}
    first, outcome, last = await workers.run([1, bad, 2])
    assert outputs([first, last]) == [[1], [2]]
    assert isinstance(outcome.error, NotPicklableError)
    assert "the message cannot be pickled, for lock" in str(outcome.error)
    assert outcome.error.place == "$['rows'][1].inside['lock']"
    assert isinstance((await workers.run([lambda: 0]))[0].error, NotPicklableError)


async def test_an_output_that_cannot_be_pickled_is_an_error_of_its_own_and_named(
    workers: ProcessWorkers,
) -> None:
    first, outcome, last = await workers.run([1, ("call", "lock"), 2])
    assert outputs([first, last]) == [[1], [2]]
    assert isinstance(outcome.error, NotPicklableError)
    assert "an output cannot be pickled, for lock" in str(outcome.error)
    assert str(outcome.error).endswith("at $[0]")


async def test_what_cannot_be_unpickled_is_an_error_of_its_own_on_either_side(
    workers: ProcessWorkers,
) -> None:
    there, here, last = await workers.run([parts.OneWay(), ("call", "one way"), 2])
    assert "the message cannot be unpickled: ValueError: it stays where it is" in str(there.error)
    assert "an output cannot be unpickled: ValueError: it stays where it is" in str(here.error)
    assert outputs([last]) == [[2]]


async def test_an_error_that_cannot_travel_is_stood_for_by_its_name_and_text(workers: ProcessWorkers) -> None:
    stubborn, mute = await workers.run([("call", "stubborn"), ("call", "mute")])
    assert isinstance(stubborn.error, WorkerCodeError)
    assert (stubborn.error.error_type, stubborn.error.reason) == ("Stubborn", "one and two")
    assert "in stubborn_error" in stubborn.traceback
    assert isinstance(mute.error, WorkerCodeError)
    assert "its text cannot be had: RuntimeError" in mute.error.reason


async def test_batches_larger_than_any_buffer_go_both_ways_many_at_a_time(workers: ProcessWorkers) -> None:
    got: list[int] = []

    async def run(number: int) -> None:
        (one,) = outputs(await workers.run([bytes([number]) * 2 * MEGABYTE]))
        assert one == [bytes([number]) * 2 * MEGABYTE]
        got.append(number)

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(run, number)
    assert sorted(got) == list(range(6))


async def test_a_batch_of_nothing_that_can_travel_still_gives_way(workers: ProcessWorkers) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await workers.run([threading.Lock()])
    assert scope.cancelled_caught


# --- cancellation


async def test_a_cancelled_batch_is_forgotten_and_the_worker_goes_on(
    workers: ProcessWorkers, meeting: socket.socket
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(workers.run, [("meet", meeting.getsockname())])
        begun = await met(meeting)
        group.cancel_scope.cancel()
    begun.close()
    assert outputs(await workers.run([1, 2])) == [[1], [2]]


async def test_when_the_one_who_reads_for_all_is_cancelled_another_reads(
    workers: ProcessWorkers, meeting: socket.socket
) -> None:
    got: list[list[Any]] = []

    async def run(number: int) -> None:
        got.extend(outputs(await workers.run([number])))

    first = anyio.CancelScope()

    async def reader() -> None:
        with first:
            await workers.run([("meet", meeting.getsockname())])

    async with anyio.create_task_group() as group:
        group.start_soon(reader)
        begun = await met(meeting)
        group.start_soon(run, 1)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        begun.close()
    assert got == [[1]]


async def test_a_batch_cancelled_while_it_is_sent_leaves_nothing_torn(workers: ProcessWorkers) -> None:
    os.kill(workers.pids[0], signal.SIGSTOP)
    async with anyio.create_task_group() as group:
        group.start_soon(workers.run, [b"x" * 4 * MEGABYTE])
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    os.kill(workers.pids[0], signal.SIGCONT)
    assert outputs(await workers.run([1])) == [[1]]


async def test_a_worker_that_dies_while_a_batch_is_sent_is_told(workers: ProcessWorkers) -> None:
    os.kill(workers.pids[0], signal.SIGSTOP)
    errors: list[WorkerDied] = []

    async def run() -> None:
        try:
            await workers.run([b"x" * 4 * MEGABYTE])
        except WorkerDied as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        os.kill(workers.pids[0], signal.SIGKILL)
    assert [error.exit_code for error in errors] == [-9]


async def end_of_a_batch(
    workers: ProcessWorkers, meeting: socket.socket, end: Callable[[], Awaitable[None]]
) -> list[WorkerError]:
    """Return the errors of two batches under way, one at work and one waiting, when ``end`` is called."""
    errors: list[WorkerError] = []

    async def run(message: Any) -> None:
        try:
            await workers.run([message])
        except WorkerError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run, ("meet", meeting.getsockname()))
        begun = await met(meeting)
        group.start_soon(run, 1)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(end)
        await anyio.wait_all_tasks_blocked()
        begun.close()
    return errors


async def test_abandoned_workers_are_killed_and_their_batches_told(
    workers: ProcessWorkers, meeting: socket.socket
) -> None:
    async def abandon() -> None:
        workers.abandon()

    errors = await end_of_a_batch(workers, meeting, abandon)
    assert [type(error) for error in errors] == [WorkerAbandoned] * 2
    workers.abandon()


async def test_batches_under_way_at_close_are_told(workers: ProcessWorkers, meeting: socket.socket) -> None:
    errors = await end_of_a_batch(workers, meeting, workers.close)
    assert [type(error) for error in errors] == [WorkerNotOpen] * 2


# --- signals and the end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_meant_for_the_harness_does_not_end_a_worker(
    workers: ProcessWorkers, meeting: socket.socket, number: int
) -> None:
    os.kill(workers.pids[0], number)
    assert outputs(await workers.run([1])) == [[1]]
    assert os.getpgid(workers.pids[0]) != os.getpgid(0)


async def forgotten_work(workers: ProcessWorkers, meeting: socket.socket, *deed: str) -> None:
    """Let a worker begin with something and cancel it here."""
    async with anyio.create_task_group() as group:
        group.start_soon(workers.run, [("call", deed[0], meeting.getsockname(), *deed[1:])])
        begun = await met(meeting)
        group.cancel_scope.cancel()
    begun.close()


async def test_close_unwinds_what_still_works(meeting: socket.socket, tmp_path: Path) -> None:
    workers = ProcessWorkers(parts.act)
    await workers.open()
    await forgotten_work(workers, meeting, "unwind", str(tmp_path / "note"))
    await workers.close(within=2)
    assert (tmp_path / "note").read_text() == "unwound"


async def test_close_kills_what_cannot_be_unwound(meeting: socket.socket) -> None:
    workers = ProcessWorkers(parts.act)
    await workers.open()
    (pid,) = workers.pids
    await forgotten_work(workers, meeting, "insist")
    with anyio.fail_after(10):
        await workers.close(within=0.5)
    assert not psutil.pid_exists(pid)


async def test_close_gets_rid_of_an_answer_that_nobody_wants(
    workers: ProcessWorkers, meeting: socket.socket
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(workers.run, [("meet", meeting.getsockname()), ("call", "bytes", 8 * MEGABYTE)])
        begun = await met(meeting)
        group.cancel_scope.cancel()
    process = workers._channels[0].process
    begun.close()
    await workers.close()
    assert process.returncode == 0


async def test_close_ends_though_it_is_cancelled(workers: ProcessWorkers) -> None:
    (pid,) = workers.pids
    with anyio.CancelScope() as scope:
        scope.cancel()
        await workers.close()
    assert not psutil.pid_exists(pid)


def what_is_there() -> tuple[int, int, int]:
    """Return how many file descriptors, threads and children this process has, pools of threads aside."""
    for thread in threading.enumerate():
        if "waitpid" in thread.name:
            thread.join(5)  # asyncio's own, one for each process that has just ended
    pools = sum("nyIO" in thread.name or "rio" in thread.name for thread in threading.enumerate())
    this = psutil.Process()
    return this.num_fds(), threading.active_count() - pools, len(this.children())


async def test_nothing_is_left_after_close() -> None:
    async with ProcessWorkers(parts.act):
        pass
    before = what_is_there()
    for deed in ("pid", "kill"):
        async with ProcessWorkers(parts.act, processes=2) as workers:
            if deed == "kill":
                with pytest.raises(WorkerDied):
                    await workers.run([("call", "kill")])
            else:
                await workers.run([("call", "pid")])
    assert what_is_there() == before


# --- the start


async def test_a_process_that_cannot_import_the_function_fails_the_start_and_none_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile.py").write_text(
        "import os\nfrom headrace import component\n"
        "if os.environ.get('FRAGILE'): exec(os.environ['FRAGILE'])\n"
        "@component\ndef f(message): return message\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import fragile  # type: ignore[import-not-found]

    before = psutil.Process().children()
    for code, text in {
        "raise RuntimeError('broken')": "did not get ready: RuntimeError: broken",
        "raise SystemExit(4)": "did not get ready: SystemExit: 4",
        "os._exit(5)": "ended with exit code 5",
    }.items():
        monkeypatch.setenv("FRAGILE", code)
        workers = ProcessWorkers(fragile.f, name="frail", processes=2)
        with pytest.raises(WorkerStartFailed, match="frail: its worker process") as caught:
            await workers.open()
        assert text in str(caught.value)
        assert workers.pids == ()
    assert psutil.Process().children() == before


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    before = psutil.Process().children()
    workers = ProcessWorkers(parts.act, processes=2)
    async with anyio.create_task_group() as group:
        group.start_soon(workers.open)
        while len(workers.pids) < 2:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert workers.pids == ()
    assert psutil.Process().children() == before


async def test_a_process_that_cannot_be_started_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_args: object, **_options: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(worker_channel, "open_process", refuse)
    before = what_is_there()
    with pytest.raises(WorkerStartFailed, match="no worker process: no more processes"):
        await ProcessWorkers(parts.act, name="act").open()
    assert what_is_there() == before


async def test_workers_abandoned_during_the_start_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = ProcessWorkers(parts.act)
    start = process_workers.start_worker

    async def start_and_abandon(owner: str) -> Any:
        channel = await start(owner)
        channel.kill()
        return channel

    monkeypatch.setattr(process_workers, "start_worker", start_and_abandon)
    with pytest.raises(WorkerAbandoned):
        await workers.open()


async def test_a_worker_has_the_arguments_of_the_program(workers: ProcessWorkers) -> None:
    assert outputs(await workers.run([("call", "argv")])) == [[sys.argv]]
