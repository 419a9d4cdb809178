"""``run_in``: a function works in a thread or in processes of its own, and nobody could tell by the results."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from anyio import to_thread
from tests.runtime import run_in_parts as parts
from tests.runtime import worker_parts

from headrace import HarnessComponent, In, ShutdownReport, System, SystemFailed
from headrace.exceptions import SetupFailed, WorkerDied, WorkerStartFailed
from headrace.model.component_status import ComponentState
from headrace.runtime import process_workers, worker_channel
from headrace.runtime.fusing import joints_of
from headrace.testing import run_system

COUNT = 500
AWAY = [("thread", 1), ("thread", 2), ("process", 1), ("process", 2)]


class Sink(HarnessComponent):
    """Keeps what it gets."""

    in_: In[Any]

    async def process(self) -> None:
        self.got: list[Any] = []
        async for message in self.in_:
            self.got.append(message)


class Line:
    """``numbers -> work -> sink``, with a second sink for what is rejected."""

    def __init__(
        self, function: Any, *, count: int = COUNT, source: Any = None, out: int = 3, **options: Any
    ) -> None:
        self.system = System("line", shutdown_timeout=30)
        self.system.resource("table", lambda: nothing({3: "three"}))
        if source is None:
            self.system.add("numbers", parts.numbers, count=count)
        else:
            self.system.add("numbers", source)
        self.system.add("work", function, **options)
        self.sink, self.rejected = Sink("sink"), Sink("rejected")
        self.system.add("sink", self.sink)
        self.system.add("rejected", self.rejected)
        self.system.connect("numbers", "work")
        self.system.connect("work.out", "sink", buffer_size=out)
        self.system.connect("work.rejected", "rejected")

    async def run(self) -> ShutdownReport:
        report = await self.system.run()
        assert report.ledger.closes
        return report

    async def fail(self) -> ShutdownReport:
        with pytest.raises(SystemFailed) as caught:
            await self.system.run()
        report = caught.value.report
        assert report is not None
        assert all(edge.closes for edge in report.ledger.edges)
        return report


def nothing(value: Any) -> Iterator[Any]:
    yield value


_OTHERS: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    """Take note of the servers that other tests share: they live as long as this process."""
    _OTHERS.clear()
    _OTHERS.update(psutil.Process().children(recursive=True))


def children() -> list[psutil.Process]:
    """Return the processes that this test has started and that live."""
    return [one for one in psutil.Process().children(recursive=True) if one not in _OTHERS]


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


def letters(report: ShutdownReport) -> list[tuple[Any, int, str]]:
    return sorted((one.message, one.attempts, str(one.error)) for one in report.dead_letters)


# --- the same results


@pytest.mark.parametrize(("run_in", "replicas"), AWAY)
async def test_wherever_it_works_its_outputs_and_dead_letters_are_the_same(
    run_in: Any, replicas: int
) -> None:
    at_home, away = Line(parts.various), Line(parts.various, run_in=run_in, replicas=replicas)
    expected, report = await at_home.run(), await away.run()
    if replicas == 1:
        assert away.sink.got == at_home.sink.got
        assert [one.message for one in away.rejected.got] == [one.message for one in at_home.rejected.got]
    assert Counter(away.sink.got) == Counter(at_home.sink.got)
    assert sorted(one.message for one in away.rejected.got) == sorted(
        one.message for one in at_home.rejected.got
    )
    assert letters(report) == letters(expected)
    for letter in report.dead_letters:
        assert f"three in {letter.message}" in letter.traceback
        assert "run_in_parts.py" in letter.traceback
    assert not children()


@pytest.mark.parametrize("run_in", ["thread", "process"])
async def test_concurrency_is_the_number_of_its_workers_and_keeps_the_order(run_in: Any) -> None:
    line = Line(parts.component(concurrency=2, run_in=run_in)(parts.plus.fn), step=10)
    await line.run()
    assert line.sink.got == list(range(10, COUNT + 10))


async def test_unordered_outputs_are_all_there() -> None:
    line = Line(parts.component(concurrency=3, ordered=False, run_in="thread")(parts.plus.fn))
    await line.run()
    assert sorted(line.sink.got) == list(range(1, COUNT + 1))


async def test_each_replica_has_a_process_of_its_own() -> None:
    line = Line(parts.where, run_in="process", replicas=2)
    await line.run()
    assert len(set(line.sink.got)) == 2
    assert os.getpid() not in line.sink.got


async def test_in_a_thread_a_function_has_its_resources_and_the_meta_of_each_attempt() -> None:
    line = Line(parts.told, count=4, run_in="thread")
    await line.run()
    assert line.sink.got == [(0, 1), (1, 3), (2, 1), (3, 3)]
    line = Line(parts.looked_up, count=4, run_in="thread")
    await line.run()
    assert line.sink.got == ["?", "?", "?", "three"]


async def test_a_system_can_run_again_with_new_processes() -> None:
    line = Line(parts.where, count=5, run_in="process")
    await line.run()
    first = set(line.sink.got)
    await line.run()
    assert not first & set(line.sink.got)


async def test_a_cycle_with_a_thread_in_it_comes_to_rest() -> None:
    system = System("cycle")
    system.add("numbers", parts.numbers, count=3)
    system.add("round", parts.once_round, run_in="thread")
    system.connect("numbers", "round")
    system.connect("round", "round")
    report = await system.run()
    assert report.ledger.closes


async def test_what_works_elsewhere_is_never_fused() -> None:
    for run_in, expected in (("loop", 1), ("thread", 0)):
        system = System("fused")
        system.add("numbers", parts.numbers, count=1)
        system.add("work", parts.plus, run_in=run_in)
        system.connect("numbers", "work")
        assert len(joints_of(system.wiring)) == expected


# --- failures


async def test_a_killed_worker_is_a_crash_with_the_message_that_it_was_on() -> None:
    line = Line(parts.die_at, out=COUNT, run_in="process", fatal=300)
    report = await line.fail()
    (failure,) = report.failures
    assert failure.component == "work"
    assert isinstance(failure.error, WorkerDied)
    assert failure.error.exit_code == -9
    assert "was ended by SIGKILL" in str(failure)
    assert letters(report) == [(300, 1, str(failure.error))]
    edge = next(edge for edge in report.ledger.edges if edge.edge == "numbers.out -> work.in")
    assert edge.acknowledged == len(line.sink.got)
    assert line.sink.got == list(range(len(line.sink.got)))
    assert edge.dropped == {"reader_ended": edge.accepted - edge.acknowledged - 1}
    assert not children()


async def test_an_idle_worker_that_is_killed_takes_no_message_with_it() -> None:
    line = Line(parts.plus, run_in="process", source=Waiting("numbers", *range(10)))
    async with anyio.create_task_group() as group:
        report: list[ShutdownReport] = []

        async def run() -> None:
            report.append(await line.fail())

        group.start_soon(run)
        while line.system.components["work"].status.state is not ComponentState.RUNNING:
            await anyio.wait_all_tasks_blocked()
        (child,) = children()
        child.kill()
        await to_thread.run_sync(child.wait)
        line.system.components["numbers"].go.set()
    assert letters(report[0]) == []
    assert "before it began with a batch" in str(report[0].failures[0])


class Waiting(HarnessComponent):
    """Sends when it is told to."""

    def __init__(self, name: str, *messages: Any) -> None:
        super().__init__(name)
        self.go = anyio.Event()
        self.messages = messages

    async def process(self) -> None:
        await self.go.wait()
        for message in self.messages:
            await self.send_streams["out"].send(message)


@pytest.mark.parametrize("run_in", ["loop", "thread"])
async def test_a_crash_in_mid_batch_is_about_one_message(run_in: Any) -> None:
    line = Line(parts.fail_at, run_in=run_in, fatal=300)
    report = await line.fail()
    assert letters(report) == [(300, 1, "fatal")]
    assert line.sink.got == list(range(300))


async def test_a_worker_that_does_not_get_ready_is_a_set_up_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_channel, "_command", lambda fd, notes: ["/bin/false"])
    report = await Line(parts.plus, run_in="process").fail()
    (failure,) = report.failures
    assert (failure.component, failure.phase) == ("work", "setup")
    assert isinstance(failure.error, WorkerStartFailed)


async def test_a_worker_that_hangs_at_its_start_overruns_its_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_channel, "_command", lambda fd, notes: ["/bin/sleep", "1000"])
    monkeypatch.setattr(process_workers, "UNREADY_WITHIN", 0.1)
    line = Line(parts.plus, run_in="process")
    line.system.timeouts = type(line.system.timeouts)(setup=0.2)
    report = await line.fail()
    assert isinstance(report.failures[0].error, SetupFailed)
    assert "set-up of 'work' took over 0.2 s" in str(report.failures[0])
    assert not children()


# --- ends


@pytest.mark.parametrize("run_in", ["thread", "process"])
async def test_a_stop_drains_what_is_under_way(run_in: Any) -> None:
    before = files()
    line = Line(parts.plus, source=parts.endless, out=50, run_in=run_in)
    async with anyio.create_task_group() as group:
        reports: list[ShutdownReport] = []

        async def run() -> None:
            reports.append(await line.run())

        group.start_soon(run)
        while len(getattr(line.sink, "got", ())) < 1000:
            await anyio.lowlevel.checkpoint()
        line.system.request_stop()
    assert reports[0].outcome == "stopped"
    assert not reports[0].overruns
    assert line.sink.got == list(range(1, len(line.sink.got) + 1))
    assert reports[0].ledger.edges[0].accepted == len(line.sink.got)
    assert not children()
    if run_in == "process":  # AnyIO keeps its threads, with what wakes them
        assert files() <= before


@pytest.mark.parametrize("run_in", ["thread", "process"])
async def test_a_run_that_is_cancelled_loses_nothing(run_in: Any) -> None:
    line = Line(parts.plus, source=parts.endless, out=50, run_in=run_in)
    async with anyio.create_task_group() as group:
        group.start_soon(line.system.run)
        while len(getattr(line.sink, "got", ())) < 500:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    report = line.system.report
    assert report is not None
    edge = next(edge for edge in report.ledger.edges if edge.edge == "numbers.out -> work.in")
    assert edge.accepted == edge.acknowledged + edge.buffered + edge.in_hand
    out = next(edge for edge in report.ledger.edges if edge.edge == "work.out -> sink.in")
    assert out.accepted == edge.acknowledged
    assert not children()


async def test_a_stuck_thread_is_left_behind_at_the_deadline_and_named() -> None:
    parts.STUCK.clear()
    parts.RELEASED.clear()
    line = Line(parts.get_stuck, run_in="thread")
    line.system.timeouts = type(line.system.timeouts)(shutdown=0.1)
    try:
        async with anyio.create_task_group() as group:
            reports: list[ShutdownReport] = []

            async def run() -> None:
                reports.append(await line.system.run())

            group.start_soon(run)
            await to_thread.run_sync(parts.STUCK.wait)
            line.system.request_stop()
    finally:
        parts.RELEASED.set()
    (overrun,) = (one for one in reports[0].overruns if one.component == "work")
    assert "its workers (run_in: thread)" in str(overrun)
    edge = next(edge for edge in reports[0].ledger.edges if edge.edge == "numbers.out -> work.in")
    assert edge.in_hand > 0
    assert all(edge.closes for edge in reports[0].ledger.edges)


async def test_a_stuck_process_is_killed_at_the_deadline_and_named(tmp_path: Path) -> None:
    path = tmp_path / "meeting"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        line = Line(
            worker_parts.act, source=Waiting("numbers", ("call", "insist", str(path))), run_in="process"
        )
        line.system.timeouts = type(line.system.timeouts)(shutdown=0.1)
        async with anyio.create_task_group() as group:
            reports: list[ShutdownReport] = []

            async def run() -> None:
                reports.append(await line.system.run())

            group.start_soon(run)
            line.system.components["numbers"].go.set()
            connection, _ = await to_thread.run_sync(listener.accept)
            connection.close()
            line.system.request_stop()
    (overrun,) = (one for one in reports[0].overruns if one.component == "work")
    assert "its workers (run_in: process)" in str(overrun)
    assert reports[0].ledger.edges[0].in_hand == 1
    assert all(edge.closes for edge in reports[0].ledger.edges)
    assert not children()


async def test_what_is_no_exception_ends_the_run_and_blames_its_message_alone() -> None:
    line = Line(parts.leave, count=20, run_in="thread")
    with pytest.raises(SystemExit):
        await line.system.run()
    report = line.system.report
    assert report is not None
    assert [letter.message for letter in report.dead_letters] == [10]
    assert all(edge.closes for edge in report.ledger.edges)


# --- tests of users


async def test_a_probe_works_in_the_loop_and_a_whole_system_in_processes(probe: Any) -> None:
    async with probe(parts.away) as p:
        await p.feed(1)
        assert await p.next() == os.getpid()
    line = Line(parts.away, count=1)
    async with run_system(line.system) as live:
        assert await live.next("work.out") != os.getpid()
