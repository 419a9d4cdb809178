"""Pause and resume: what is in hand is finished, nothing more is handed over, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from tests.runtime import worker_parts

from headrace import Rejected, Replicas, component
from headrace.exceptions import ComponentEndedError, HarnessNotRunning, UnknownComponentError
from headrace.model.component_status import ComponentState
from headrace.model.restart_policy import Backoff, RestartPolicy
from headrace.runtime.system_execution_harness import System


@asynccontextmanager
async def running(system: System) -> AsyncIterator[System]:
    """Run a system around a block; at its end it is stopped, and has to end soon."""
    async with create_task_group() as group:
        await group.start(system.run)
        with fail_after(30):
            yield system
            await system.stop()


def gated(count: int | None = None) -> tuple[Any, list[anyio.Event]]:
    """Return the body of a source that sends 0, 1, ..., one for each event that is set."""
    turns = [anyio.Event() for _ in range(count or 100)]

    async def body(self: Any) -> None:
        for number, turn in enumerate(turns):
            await turn.wait()
            await self.send_streams["out"].send(number)

    return body, turns


async def let_pass(turns: list[anyio.Event], number: int) -> None:
    """Let a gated source send its next messages."""
    for turn in [turn for turn in turns if not turn.is_set()][:number]:
        turn.set()
    await wait_all_tasks_blocked()


# --- a component with an input -------------------------------------------------------------------


async def test_a_paused_component_gets_nothing_and_its_neighbours_see_a_full_edge(
    parts: SimpleNamespace,
) -> None:
    system = System(buffer_size=3)
    body, turns = gated()
    sink = parts.Collect()
    system.register_component("source", parts.Acting("source", body))
    system.register_component("sink", sink)
    system.connect("source.out", "sink.in")
    async with running(system):
        await let_pass(turns, 2)
        await system.pause("sink")
        await let_pass(turns, 10)
        assert sink.got == [0, 1]
        edge = system.statistics().edges["source.out -> sink.in"]
        assert (edge.ledger.buffered, edge.waiting_senders, edge.waiting_receivers) == (3, 1, 0)
        assert system.statistics().components["sink"].paused
        assert system.components["sink"].status.state is ComponentState.RUNNING
        await system.resume("sink")
        await wait_all_tasks_blocked()
        assert sink.got == list(range(12))
        assert not system.statistics().components["sink"].paused


async def test_pause_returns_when_the_message_in_hand_is_finished(parts: SimpleNamespace) -> None:
    go_on, done = anyio.Event(), []

    async def slow(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            await go_on.wait()
            done.append(message)

    system = System()
    system.register_component("numbers", parts.Numbers(count=5))
    system.register_component("slow", parts.Acting("slow", slow))
    system.connect("numbers.out", "slow.in")
    async with running(system), create_task_group() as group:
        await wait_all_tasks_blocked()

        async def pause() -> None:
            await system.pause("slow")
            done.append("rests")

        group.start_soon(pause)
        await anyio.sleep(0.02)
        assert done == []
        go_on.set()
        with fail_after(30):
            while "rests" not in done:
                await checkpoint()
        assert done == [0, "rests"]
        await system.resume("slow")
        await wait_all_tasks_blocked()
        assert done == [0, "rests", 1, 2, 3, 4]


async def test_a_cancelled_pause_stays_a_pause(parts: SimpleNamespace) -> None:
    async def stuck(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            await self.context.stop_event.wait()

    system = System()
    system.register_component("numbers", parts.Numbers(count=5))
    system.register_component("stuck", parts.Acting("stuck", stuck))
    system.connect("numbers.out", "stuck.in")
    async with running(system):
        await wait_all_tasks_blocked()
        with anyio.move_on_after(0.01) as waiting:
            await system.pause("stuck")
        assert waiting.cancelled_caught
        assert system.statistics().components["stuck"].paused


async def test_the_rest_of_a_chunk_goes_back_to_the_edge(parts: SimpleNamespace) -> None:
    got: list[int] = []

    async def sink(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            got.append(message)
            if message == 3:
                await system.pause("sink")  # from within: it asks, and returns

    system = System()
    system.register_component("numbers", parts.Numbers(count=20))
    system.register_component("sink", parts.Acting("sink", sink))
    system.connect("numbers.out", "sink.in")
    async with running(system):
        await wait_all_tasks_blocked()
        assert got == [0, 1, 2, 3]
        assert system.ledger().edges[0].buffered == 16
        await system.resume()
        await wait_all_tasks_blocked()
        assert got == list(range(20))


async def test_the_end_of_a_stream_waits_too(parts: SimpleNamespace) -> None:
    system = System()
    body, turns = gated(1)
    sink = parts.Collect()
    system.register_component("source", parts.Acting("source", body))
    system.register_component("sink", sink)
    system.connect("source.out", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await system.pause("sink")
        await let_pass(turns, 1)
        assert system.components["source"].status.state is ComponentState.STOPPED
        assert sink.status.is_running
        await system.resume("sink")
        with fail_after(30):
            report = await system.wait()
    assert sink.got == [0]
    assert report.clean
    assert report.outcome == "finished"


@pytest.mark.parametrize("within", [None, 0.01])
async def test_a_batch_that_is_being_gathered_goes_back_and_is_gathered_anew(
    parts: SimpleNamespace, within: float | None
) -> None:
    batches: list[list[int]] = []

    async def sink(self: Any) -> None:
        async for batch in self.receive_streams["in"].batch(4, within=within):
            batches.append(batch)  # noqa: PERF401 - each as it comes

    system = System()
    body, turns = gated()
    system.register_component("source", parts.Acting("source", body))
    system.register_component("sink", parts.Acting("sink", sink))
    system.connect("source.out", "sink.in")
    async with running(system):
        await system.pause("sink")
        await let_pass(turns, 3)
        await system.resume("sink")
        for _ in range(3):  # as the batch is gathered, or between two of them
            await checkpoint()
        await system.pause("sink")
        await anyio.sleep(0.03)
        before = flat(batches)
        ledger = system.ledger().edges[0]
        assert ledger.in_hand == 0 or before  # nothing is gathered while it is paused
        assert ledger.closes
        await let_pass(turns, 5)
        assert flat(batches) == before
        await system.resume("sink")
        with fail_after(30):
            while flat(batches) != list(range(8)):
                await checkpoint()
        assert [] not in batches


def flat(batches: list[list[int]]) -> list[int]:
    """Return the messages of all batches."""
    return [message for batch in batches for message in batch]


# --- functions -----------------------------------------------------------------------------------


def chain(*functions: Any, **options: Any) -> System:
    """Return a system of functions, each connected to the next; named by their functions."""
    system = System(**options)
    for fn in functions:
        system.add(fn.fn.__name__, fn)
    for one, other in pairwise(functions):
        system.connect(f"{one.fn.__name__}.out", f"{other.fn.__name__}.in")
    return system


@component
async def ticks() -> AsyncIterator[int]:
    """Send 0, 1, ... for ever, giving way each time."""
    number = 0
    while True:
        yield number
        number += 1
        await checkpoint()


@component
def numbers() -> Iterator[int]:
    """Send 0, 1, ... for ever, as quickly as it goes."""
    number = 0
    while True:
        yield number
        number += 1


@pytest.mark.parametrize("paused", ["numbers", "double", "keep"])
@pytest.mark.parametrize("fuse", [True, False])
async def test_a_run_of_functions_stands_still_wherever_it_is_paused(paused: str, fuse: bool) -> None:
    got: list[int] = []

    @component
    def double(number: int) -> int:
        return 2 * number

    @component
    def keep(number: int) -> None:
        got.append(number)

    system = chain(numbers, double, keep, fuse=fuse, buffer_size=10)
    async with running(system):
        while len(got) < 100:
            await checkpoint()
        await system.pause(paused)
        await anyio.sleep(0.01)  # whoever is not paused works off what there is
        before = len(got)
        await anyio.sleep(0.01)
        assert len(got) == before
        await system.resume(paused)
        while len(got) < before + 100:
            await checkpoint()
    assert got == [2 * number for number in range(len(got))]
    assert system.report is not None
    assert system.report.clean


@pytest.mark.parametrize("ordered", [True, False])
async def test_concurrent_messages_are_finished_and_no_further_ones_begin(ordered: bool) -> None:
    begun: list[int] = []
    go_on = anyio.Event()

    @component(concurrency=3, ordered=ordered)
    async def work(number: int) -> int:
        begun.append(number)
        await go_on.wait()
        return number

    got: list[int] = []

    @component
    def keep(number: int) -> None:
        got.append(number)

    system = chain(ticks, work, keep)
    async with running(system):
        while len(begun) < 3:
            await checkpoint()
        system.request_pause("work")
        await wait_one_round()
        go_on.set()
        await system.pause("work")
        await anyio.sleep(0.01)
        assert sorted(got) == begun == [0, 1, 2]
        assert system.ledger().edges[0].in_hand == 0
        await system.resume("work")
        while len(got) < 10:
            await checkpoint()
    assert sorted(got) == list(range(len(got)))


async def wait_one_round() -> None:
    """Let what was asked for from another thread, or from this one, arrive in the event loop."""
    for _ in range(3):
        await checkpoint()


async def test_what_a_thread_works_on_is_finished() -> None:
    def blocking(number: int) -> int:
        time.sleep(0.002)
        return number

    got: list[int] = []

    @component(run_in="thread", concurrency=2)
    def work(number: int) -> int:
        return blocking(number)

    @component
    def keep(number: int) -> None:
        got.append(number)

    system = chain(ticks, work, keep)
    async with running(system):
        while len(got) < 10:
            await checkpoint()
        await system.pause("work")
        assert system.ledger().edges[0].in_hand == 0
        await anyio.sleep(0.01)
        before = len(got)
        await anyio.sleep(0.02)
        assert len(got) == before
        await system.resume("work")
        while len(got) < before + 10:
            await checkpoint()
    assert got == list(range(len(got)))


async def test_rejected_messages_of_a_paused_component_still_get_through(parts: SimpleNamespace) -> None:
    @component
    async def check(number: int) -> Rejected[int]:
        return Rejected(number, "no")

    bad = parts.Collect()
    system = System()
    body, turns = gated()
    system.register_component("source", parts.Acting("source", body))
    system.add("check", check)
    system.register_component("bad", bad)
    system.connect("source.out", "check.in")
    system.connect("check.rejected", "bad.in")
    async with running(system):
        await let_pass(turns, 2)
        await system.pause("check")
        await let_pass(turns, 2)
        assert [one.message for one in bad.got] == [0, 1]


# --- sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["raw", "generator", "async generator"])
async def test_a_paused_source_is_held_at_its_next_send(parts: SimpleNamespace, kind: str) -> None:
    made = {"raw": parts.Numbers("source"), "generator": numbers, "async generator": ticks}[kind]
    sink = parts.Collect(at_least=20)
    system = System()
    system.add("source", made)
    system.register_component("sink", sink)
    system.connect("source.out", "sink.in")
    async with running(system):
        await sink.reached.wait()
        await system.pause("source")
        await wait_all_tasks_blocked()
        before = list(sink.got)
        await wait_all_tasks_blocked()
        assert sink.got == before
        await system.resume("source")
        while len(sink.got) < len(before) + 20:
            await checkpoint()
    assert sink.got == list(range(len(sink.got)))
    assert system.report is not None
    assert system.report.clean


async def test_send_nowait_of_a_paused_source_would_block(parts: SimpleNamespace) -> None:
    asked, answers = anyio.Event(), []

    async def source(self: Any) -> None:
        await asked.wait()
        try:
            self.send_streams["out"].send_nowait(1)
        except anyio.WouldBlock:
            answers.append("would block")

    system = System()
    system.register_component("source", parts.Acting("source", source))
    system.register_component("sink", parts.Collect())
    system.connect("source.out", "sink.in")
    async with running(system):
        await system.pause("source")
        asked.set()
        await wait_all_tasks_blocked()
        assert answers == ["would block"]


async def test_a_source_that_is_paused_before_its_first_send_has_sent_nothing(parts: SimpleNamespace) -> None:
    system = System()
    system.register_component("numbers", parts.Numbers())
    sink = parts.Collect()
    system.register_component("sink", sink)
    system.connect("numbers.out", "sink.in")
    async with create_task_group() as group:

        async def setup_and_pause(context: Any = None) -> None:
            await system.pause("numbers")

        system.components["sink"].setup = setup_and_pause
        await group.start(system.run)
        await wait_all_tasks_blocked()
        assert sink.got == []
        await system.stop()
    assert len(sink.got) >= 1  # the send that was held goes through for the drain
    assert system.report is not None
    assert system.report.ledger.totals.lost == 0


# --- the whole system, and its end -------------------------------------------------------------------


async def test_a_paused_system_stands_still_also_where_edges_are_full(parts: SimpleNamespace) -> None:
    system = System(buffer_size=1)
    sink = parts.Collect(at_least=50)
    system.register_component("numbers", parts.Numbers())
    system.register_component("one", parts.Pass("one"))
    system.register_component("two", parts.Pass("two"))
    system.register_component("sink", sink)
    for edge in ("numbers.out -> one.in", "one.out -> two.in", "two.out -> sink.in"):
        system.connect(*edge.split(" -> "))
    async with running(system):
        await sink.reached.wait()
        for _ in range(5):
            await system.pause()
            before = list(sink.got)
            await wait_all_tasks_blocked()
            assert sink.got == before
            assert all(one.paused for one in system.statistics().components.values())
            await system.resume()
            while len(sink.got) < len(before) + 5:
                await checkpoint()
    assert sink.got == list(range(len(sink.got)))
    assert system.report is not None
    assert system.report.clean


async def test_stop_resumes_for_the_drain_and_leaves_nothing_behind(parts: SimpleNamespace) -> None:
    system = System(buffer_size=5, source_grace=0.05)
    sink = parts.Collect()
    system.register_component("numbers", parts.Numbers())
    system.register_component("one", parts.Pass("one"))
    system.register_component("sink", sink)
    system.connect("numbers.out", "one.in")
    system.connect("one.out", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await system.pause("one")
        await wait_all_tasks_blocked()
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert report.clean
    assert report.ledger.edges[1].acknowledged == len(sink.got) >= 5


async def test_pausing_twice_is_pausing_once(parts: SimpleNamespace) -> None:
    system = System()
    sink = parts.Collect(at_least=3)
    body, turns = gated()
    system.register_component("source", parts.Acting("source", body))
    system.register_component("sink", sink)
    system.connect("source.out", "sink.in")
    async with running(system):
        await system.pause("sink")
        await system.pause("sink")
        await system.pause()
        await system.resume("sink")
        await system.resume("sink")
        await system.resume("source")
        await let_pass(turns, 3)
        assert sink.got == [0, 1, 2]


async def test_a_system_with_a_paused_component_is_not_ready_and_says_why(parts: SimpleNamespace) -> None:
    system = System()
    body, _ = gated()
    system.register_component("source", parts.Acting("source", body))
    system.register_component("sink", parts.Collect())
    system.connect("source.out", "sink.in")
    async with running(system):
        assert system.health().ready
        await system.pause("sink")
        health = system.health()
        assert (health.ready, health.live, health.reason) == (False, True, "sink: it is paused")
        await system.resume("sink")
        assert system.health().ready


async def test_a_cancelled_run_leaves_nothing_that_is_said_to_be_paused(parts: SimpleNamespace) -> None:
    system = System()
    body, _ = gated()
    system.register_component("source", parts.Acting("source", body))
    system.register_component("sink", parts.Collect())
    system.connect("source.out", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await system.pause("source")
        assert system.statistics().components["source"].paused
        group.cancel_scope.cancel()
    assert not system.statistics().components["source"].paused
    assert system.health().unhealthy == {}


async def test_one_replica_or_all_of_them_may_be_paused(parts: SimpleNamespace) -> None:
    system = System(buffer_size=2)
    body, turns = gated()
    system.register_component("source", parts.Acting("source", body))
    got: dict[str, list[int]] = {}

    class Work(parts.Collect):  # type: ignore[misc, name-defined]
        def __init__(self, name: str, config: Any = None) -> None:
            super().__init__(name)
            got[name] = self.got

    system.add("work", Work, replicas=Replicas(2))
    system.connect("source.out", "work.in")
    async with running(system):
        await system.pause("work[0]")
        await let_pass(turns, 10)
        assert got["work[0]"] == []
        assert len(got["work[1]"]) == 8
        await system.pause("work")
        await let_pass(turns, 10)
        assert len(got["work[1]"]) == 8
        await system.resume("work")
        await wait_all_tasks_blocked()
        assert sorted(got["work[0]"] + got["work[1]"]) == list(range(20))


async def test_what_cannot_be_paused_is_refused(parts: SimpleNamespace) -> None:
    system = System()
    with pytest.raises(HarnessNotRunning, match="nothing to pause"):
        await system.pause()
    with pytest.raises(HarnessNotRunning, match="nothing to resume"):
        await system.resume()
    system.register_component("numbers", parts.Numbers(count=1))
    system.register_component("other", parts.Numbers("other"))
    system.register_component("sink", parts.Collect())
    system.connect("numbers.out", "sink.in")
    system.connect("other.out", "sink.in")
    async with running(system):
        with pytest.raises(UnknownComponentError, match="did you mean 'sink'"):
            await system.pause("snik")
        with pytest.raises(UnknownComponentError):
            system.request_pause("snik")
        with pytest.raises(UnknownComponentError):
            system.request_resume("snik")
        while system.components["numbers"].status.is_running:
            await checkpoint()
        with pytest.raises(ComponentEndedError, match="numbers has ended"):
            await system.pause("numbers")
        await system.resume("numbers")
        system.request_stop()
        await wait_one_round()
        with pytest.raises(HarnessNotRunning, match="it is stopping"):
            await system.pause("other")


async def test_a_plain_thread_may_pause_and_resume(parts: SimpleNamespace) -> None:
    system = System()
    sink = parts.Collect()
    body, turns = gated()
    system.register_component("source", parts.Acting("source", body))
    system.register_component("sink", sink)
    system.connect("source.out", "sink.in")
    system.request_pause("sink")  # before a run: nothing to ask
    async with running(system):
        await anyio.to_thread.run_sync(system.request_pause)
        await wait_one_round()
        await let_pass(turns, 3)
        assert sink.got == []
        await anyio.to_thread.run_sync(system.request_resume)
        await wait_one_round()
        await wait_all_tasks_blocked()
        assert sink.got == [0, 1, 2]


async def test_a_run_begins_without_the_pauses_of_the_last_one(parts: SimpleNamespace) -> None:
    system = System()
    for name in ("first", "second"):
        system.register_component(name, parts.Collect(name))
    system.register_component("numbers", parts.Numbers(count=3))
    system.connect("numbers.out", "first.in")
    system.connect("numbers.out", "second.in")
    async with running(system):
        await system.pause("second")
    system.components["numbers"].sent = 0
    report = await system.run()
    assert report.outcome == "finished"
    assert not any(one.paused for one in system.statistics().components.values())


async def test_a_paused_component_says_so_where_it_waits(parts: SimpleNamespace) -> None:
    @component
    async def work(number: int) -> None: ...

    system = chain(ticks, work)
    async with running(system):
        await anyio.sleep(0.005)
        await system.pause("work")
        await wait_all_tasks_blocked()
        assert system._run is not None
        assert system._run._running["work"].awaiting == "a message on work.in (paused)"
        await system.resume()
        await system.pause("ticks")
        await wait_all_tasks_blocked()
        assert system._run._running["ticks"].awaiting.startswith("room on ticks.out (paused)")


async def test_a_component_that_restarts_stays_paused_and_its_message_comes_again_when_it_is_resumed(
    parts: SimpleNamespace,
) -> None:
    got: list[int] = []
    crash = anyio.Event()

    class Fragile(parts.Collect):  # type: ignore[misc, name-defined]
        lives = 0

        def __init__(self, name: str, config: Any = None) -> None:
            super().__init__(name)

        async def process(self) -> None:
            Fragile.lives += 1
            async for message in self.receive_streams["in"]:
                if Fragile.lives == 1:
                    await crash.wait()
                    raise ValueError("no")
                got.append(message)

    system = System()
    system.register_component("numbers", parts.Numbers(count=5))
    system.add("fragile", Fragile, restart=RestartPolicy(backoff=Backoff(0.0)))
    system.connect("numbers.out", "fragile.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await wait_all_tasks_blocked()
        system.request_pause("fragile")
        await wait_one_round()
        crash.set()
        await system.pause("fragile")
        await wait_all_tasks_blocked()
        assert (Fragile.lives, got) == (2, [])
        assert system.statistics().components["fragile"].paused
        await system.resume("fragile")
        with fail_after(30):
            report = await system.wait()
    assert got == [0, 1, 2, 3, 4]
    assert report.ledger.totals.lost == 0


async def test_what_a_worker_process_works_on_is_finished() -> None:
    got: list[int] = []

    @component
    def keep(number: int) -> None:
        got.append(number)

    system = System()
    system.add("ticks", ticks)
    system.add("act", worker_parts.act, run_in="process")
    system.add("keep", keep)
    system.connect("ticks.out", "act.in")
    system.connect("act.out", "keep.in")
    async with running(system):
        while len(got) < 10:
            await checkpoint()
        await system.pause("act")
        assert system.ledger().edges[0].in_hand == 0
        await wait_all_tasks_blocked()
        before = len(got)
        assert system.ledger().edges[0].acknowledged == before
        await system.resume("act")
        while len(got) < before + 10:
            await checkpoint()
    assert got == list(range(len(got)))
