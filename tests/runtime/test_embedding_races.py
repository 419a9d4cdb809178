"""The harness as a guest of a host that is rude: calls that meet, cancellations, loops that end, errors at once."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from headrace import HarnessComponent, System, SystemFailed, component
from headrace.exceptions import HarnessAlreadyRunning, HarnessError

BACKENDS = ["asyncio", "trio"]


class Gate(HarnessComponent):
    """Sets up at once, or when it may; works until it may end, and then fails if it shall."""

    def __init__(self, name: str, config: Any = None) -> None:
        super().__init__(name, config)
        self.setting_up, self.may_set_up = anyio.Event(), anyio.Event()
        self.may_end, self.cleaned_up = anyio.Event(), False
        self.error: BaseException | None = None
        self.error_of_cleanup: BaseException | None = None

    async def setup(self, harness_context: Any = None) -> None:
        await super().setup(harness_context)
        self.setting_up.set()
        await self.may_set_up.wait()

    async def process(self) -> None:
        await self.may_end.wait()
        if self.error is not None:
            raise self.error

    async def cleanup(self) -> None:
        await checkpoint()
        self.cleaned_up = True
        if self.error_of_cleanup is not None:
            raise self.error_of_cleanup
        await super().cleanup()


def gated(*, waits: bool = False) -> tuple[System, Gate]:
    system = System("gated", source_grace=0.01)
    system.add("gate", Gate)
    gate = system.components["gate"]
    if not waits:
        gate.may_set_up.set()
    return system, gate


@component
async def ticks() -> AsyncIterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        await checkpoint()


@component
def sink(number: int) -> None:
    return None


def endless(source_grace: float = 0.01) -> System:
    system = System("endless", source_grace=source_grace)
    system.add("ticks", ticks)
    system.add("sink", sink)
    system.connect("ticks", "sink")
    return system


def in_thread(fn: Callable[..., Coroutine[Any, Any, Any]]) -> None:
    """Run an event loop in a thread to its end; what it raises is a warning, and so an error."""
    thread = threading.Thread(target=lambda: anyio.run(fn))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


# --- start and stop meet --------------------------------------------------------------------------


async def test_a_stop_while_it_starts_ends_the_set_up_and_both_calls_return() -> None:
    system, gate = gated(waits=True)
    async with anyio.create_task_group() as group:
        group.start_soon(system.start)
        await gate.setting_up.wait()
        report = await system.stop()
    assert report is not None
    assert (report.outcome, system.running, gate.cleaned_up) == ("stopped", False, True)


async def test_a_stop_right_after_the_call_of_start_is_not_missed() -> None:
    system = endless()
    starts = system.start()
    async with anyio.create_task_group() as group:
        group.start_soon(_await, starts)
        while not system.running:
            await checkpoint()
        report = await system.stop()
        assert report is not None
    assert not system.running


async def _await(coroutine: Coroutine[Any, Any, Any]) -> None:
    await coroutine


async def test_of_two_starts_at_once_one_runs_and_one_is_refused() -> None:
    system = endless()
    refused: list[HarnessAlreadyRunning] = []

    async def start() -> None:
        try:
            await system.start()
        except HarnessAlreadyRunning as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        group.start_soon(start)
    assert len(refused) == 1
    assert system.health().ready
    await system.stop()


async def test_many_stops_at_once_make_one_drain_and_give_one_report() -> None:
    system = endless()
    reports: list[Any] = []

    async def stop() -> None:
        reports.append(await system.stop())

    await system.start()
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(stop)
    assert len(reports) == 5
    assert all(report is system.report for report in reports)
    assert await system.stop() is None


async def test_a_start_from_one_task_while_another_stops_is_refused_until_all_has_ended() -> None:
    system, gate = gated()
    system.timeouts = type(system.timeouts)(30.0, 5.0, 5.0, 5.0)
    await system.start()
    async with anyio.create_task_group() as group:
        group.start_soon(system.stop)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(HarnessAlreadyRunning):
            await system.start()
        gate.may_end.set()
    await system.start()
    assert system.running
    await system.stop()


async def test_the_end_of_a_block_leaves_alone_what_was_started_inside_it() -> None:
    system = endless()
    async with system:
        await system.stop()
        await system.start()
    assert system.running
    await system.stop()


async def test_a_block_around_a_running_system_is_refused_and_harms_nothing() -> None:
    system = endless()
    async with system:
        with pytest.raises(HarnessAlreadyRunning):
            async with system:
                pytest.fail("never entered")
        assert system.health().ready
    assert not system.running


# --- cancellation ---------------------------------------------------------------------------------


async def test_cancelling_who_waits_for_stop_leaves_the_drain_to_its_end() -> None:
    system, gate = gated()
    system.timeouts = type(system.timeouts)(30.0, 5.0, 5.0, 5.0)
    await system.start()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(system.stop)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert system.health().state == "stopping"
    gate.may_end.set()
    report = await system.wait()
    assert report.outcome == "stopped"


def test_a_time_out_of_asyncio_around_stop_is_a_time_out_and_the_drain_goes_on() -> None:
    async def main() -> None:
        system, gate = gated()
        system.timeouts = type(system.timeouts)(30.0, 5.0, 5.0, 5.0)
        await system.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await system.stop()
        assert system.health().state == "stopping"
        gate.may_end.set()
        assert (await system.wait()).outcome == "stopped"

    asyncio.run(main())


def test_a_time_out_of_asyncio_around_start_cleans_up_and_lets_nothing_run_on() -> None:
    async def main() -> None:
        system, gate = gated(waits=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await system.start()
        assert gate.cleaned_up
        assert not system.running
        assert system.report is not None
        assert system.report.outcome == "cancelled"
        gate.may_set_up.set()
        await system.start()
        await system.stop()

    asyncio.run(main())


@pytest.mark.parametrize("phase", ["setting up", "running"])
async def test_cancelling_around_a_block_cuts_the_run_off_cleans_up_and_goes_on(phase: str) -> None:
    system, gate = gated(waits=phase == "setting up")
    entered = anyio.Event()

    async def host() -> None:
        async with system:
            entered.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(host)
        await (entered if phase == "running" else gate.setting_up).wait()
        group.cancel_scope.cancel()
    assert gate.cleaned_up
    assert system.report is not None
    assert system.report.outcome == "cancelled"


async def test_a_cancellation_during_the_drain_of_a_block_cuts_the_drain_short() -> None:
    system, gate = gated()
    system.timeouts = type(system.timeouts)(30.0, 5.0, 5.0, 5.0)

    async def host() -> None:
        async with system:
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(host)
        while not system.stopping:
            await checkpoint()
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert gate.cleaned_up
    assert not system.running


async def test_an_error_that_a_block_raises_as_it_is_cancelled_is_not_lost() -> None:
    system, _ = gated()

    async def host() -> None:
        with anyio.CancelScope() as scope:
            async with system:
                try:
                    scope.cancel()
                    await anyio.sleep_forever()
                finally:
                    raise ValueError("while cancelled")

    with pytest.raises(ValueError, match="while cancelled"):
        await host()
    assert not system.running


def test_a_start_that_asyncio_cancels_before_its_first_step_ends_and_leaves_no_run() -> None:
    system = endless()

    async def main() -> None:
        starting = asyncio.ensure_future(system.start())
        await asyncio.sleep(0)
        assert not starting.done()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert not system.running
    assert system.report is not None
    assert system.report.outcome == "cancelled"

    async def again() -> None:
        async with system:
            assert system.health().ready

    asyncio.run(again())


# --- failures -------------------------------------------------------------------------------------


async def test_a_failure_during_a_stop_is_in_the_report_that_stop_returns() -> None:
    system, gate = gated()
    gate.error_of_cleanup = OSError("disk gone")
    await system.start()
    report = await system.stop()
    assert report is not None
    assert report.outcome == "failed"
    assert [str(failure) for failure in report.failures] == ["gate failed in cleanup: OSError disk gone"]
    with pytest.raises(SystemFailed, match="disk gone"):
        await system.wait()


async def test_an_error_of_the_block_comes_first_and_names_the_failure_of_the_system() -> None:
    system, gate = gated()
    gate.error = OSError("disk gone")

    async def host() -> None:
        async with system:
            gate.may_end.set()
            with pytest.raises(SystemFailed):
                await system.wait()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        await host()
    assert caught.value.__notes__ == [
        "the system failed too: gated: gate failed in process: OSError disk gone"
    ]


async def test_a_failure_that_the_block_got_from_wait_is_not_told_twice() -> None:
    system, gate = gated()
    gate.error = OSError("disk gone")
    gate.may_end.set()
    with pytest.raises(SystemFailed, match="disk gone") as caught:
        async with system:
            await system.wait()
    assert not hasattr(caught.value, "__notes__")


async def test_a_failure_lets_the_block_work_on_and_is_raised_at_its_end() -> None:
    system, gate = gated()
    gate.error = OSError("disk gone")
    steps: list[str] = []

    async def host() -> None:
        async with system:
            gate.may_end.set()
            while system.running:
                await checkpoint()
            steps.append(system.health().reason)

    with pytest.raises(SystemFailed, match="disk gone"):
        await host()
    assert steps == ["gate failed in process: OSError disk gone"]


async def test_a_block_and_a_system_that_fail_at_the_same_moment_are_both_told() -> None:
    system, gate = gated()
    gate.error = OSError("disk gone")

    async def host() -> None:
        async with system:
            gate.may_end.set()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        await host()
    assert not system.running
    assert getattr(caught.value, "__notes__", []) in (
        [],
        ["the system failed too: gated: gate failed in process: OSError disk gone"],
    )
    assert system.report is not None


async def test_a_keyboard_interrupt_of_a_component_ends_the_block_too() -> None:
    system, gate = gated()
    gate.error = KeyboardInterrupt()

    async def host() -> None:
        async with system:
            gate.may_end.set()
            await anyio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await host()
    assert gate.cleaned_up


# --- the task apart -------------------------------------------------------------------------------

request_id: ContextVar[str] = ContextVar("request_id", default="none")


async def test_a_started_system_sees_the_context_variables_of_its_starter() -> None:
    seen: list[str] = []

    class Looks(HarnessComponent):
        async def process(self) -> None:
            seen.append(request_id.get())

    system = System()
    system.add("looks", Looks)
    request_id.set("r1")
    await system.start()
    await system.wait()
    assert seen == ["r1"]


async def test_a_system_started_by_a_component_of_another_may_stop_that_one_from_inside() -> None:
    outer = System("outer")
    inner = System("inner")
    returned: list[Any] = []

    class Inner(HarnessComponent):
        async def process(self) -> None:
            returned.append(await outer.stop())  # does not wait for the end that waits for it

    class Outer(HarnessComponent):
        async def process(self) -> None:
            await inner.start()
            await inner.wait()

    inner.add("part", Inner)
    outer.add("part", Outer)
    with anyio.fail_after(30):
        report = await outer.run()
    assert returned == [None]
    assert report.outcome == "stopped"


async def test_a_started_system_that_the_program_let_go_of_runs_on() -> None:
    received: list[int] = []

    inbox, mouth = anyio.create_memory_object_stream[int](0)

    @component
    async def mailbox() -> AsyncIterator[int]:
        async with mouth:
            async for number in mouth:
                yield number

    @component
    def keep(number: int) -> None:
        received.append(number)

    async def start() -> weakref.ref[System]:
        system = System("let go", source_grace=0.01)
        system.add("mailbox", mailbox)
        system.add("keep", keep)
        system.connect("mailbox", "keep")
        await system.start()
        return weakref.ref(system)

    alive = await start()
    for number in range(3):
        gc.collect()
        await inbox.send(number)
    await anyio.wait_all_tasks_blocked()
    assert received == [0, 1, 2]
    system = alive()
    assert system is not None
    await inbox.aclose()
    assert (await system.wait()).outcome == "finished"


async def test_a_system_that_has_ended_is_kept_by_nobody() -> None:
    system = endless()
    await system.start()
    await system.stop()
    await checkpoint()
    gone = weakref.ref(system)
    del system
    for _ in range(3):
        await checkpoint()
        gc.collect()
    assert gone() is None


# --- other loops ----------------------------------------------------------------------------------


async def test_from_another_loop_it_may_be_asked_to_stop_but_not_awaited() -> None:
    system = endless()
    await system.start()
    said: list[str] = []

    async def elsewhere() -> None:
        for call in (system.stop, system.wait, system.start, lambda: system.collect("ticks")):
            with pytest.raises(HarnessError, match="another event loop") as caught:
                await call()
            said.append(str(caught.value))
        assert system.health().ready
        system.request_stop()

    await anyio.to_thread.run_sync(in_thread, elsewhere)
    assert (await system.wait()).outcome == "stopped"
    assert "`system.request_stop()`" in said[0]


def test_a_loop_closed_under_it_is_told_and_no_call_waits_for_ever() -> None:
    system = endless()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(system.start())
    tasks = asyncio.all_tasks(loop)
    loop.close()
    health = system.health()
    assert (health.ready, health.reason) == (False, "its event loop was closed while it ran")
    system.request_stop()  # nobody is there to hear it, and it does no harm
    for call in (system.stop, system.wait, system.start):
        with pytest.raises(HarnessError, match="its event loop was closed"):
            asyncio.run(call())
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # what this test leaves behind on purpose


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_that_forgets_to_stop_it_leaves_no_complaint_in_the_log(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    system = endless()
    with caplog.at_level(logging.WARNING):
        anyio.run(system.start, backend=backend)
    assert system.report is not None
    assert (system.report.outcome, system.report.failures) == ("cancelled", ())
    assert [record.getMessage() for record in caplog.records] == []


# --- Ctrl-C in the host ---------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys
import anyio
from headrace import HarnessComponent, System

class Works(HarnessComponent):
    async def process(self):
        await anyio.sleep_forever()
    async def cleanup(self):
        await super().cleanup()
        print("cleaned up")

system = System("interrupted")
system.add("works", Works)

async def block():
    async with system:
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

async def apart():
    await system.start()
    signal.raise_signal(signal.SIGINT)
    await anyio.sleep_forever()

backend, way = sys.argv[1:]
try:
    anyio.run(globals()[way], backend=backend)
except KeyboardInterrupt:
    print("interrupted", system.running, system.report.outcome)
"""


@pytest.mark.parametrize("way", ["block", "apart"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_of_the_host_is_the_hosts_and_the_system_cleans_up(backend: str, way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERRUPTED, backend, way],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    outcome = "stopped" if (backend, way) == ("trio", "block") else "cancelled"  # trio raises it in the block
    assert done.stdout.split("\n") == ["cleaned up", f"interrupted False {outcome}", ""]
    assert (done.stderr, done.returncode) == ("", 0)
