"""The harness as its users see it: graphs that run, ends, stops from everywhere, and runs again."""

from __future__ import annotations

import os
import signal
import threading
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, from_thread, to_thread
from anyio.lowlevel import checkpoint

from headrace.exceptions import HarnessAlreadyRunning, HarnessNotRunning, SystemFailed, UnconnectedPortError
from headrace.model.component_status import ComponentState
from headrace.runtime.system_execution_harness import System, SystemExecutionHarness


def line(parts: SimpleNamespace, count: int | None = None) -> tuple[SystemExecutionHarness, Any, Any]:
    """Return a system of numbers -> sink."""
    system = System("line")
    numbers, sink = parts.Numbers(count=count), parts.Collect()
    system.register_component("numbers", numbers)
    system.register_component("sink", sink)
    system.connect("numbers.out", "sink.in")
    return system, numbers, sink


# --- shapes ------------------------------------------------------------------------------------


async def test_a_system_ends_by_itself_when_its_sources_end(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts, 250)
    with fail_after(30):
        report = await system.run()
    assert sink.got == list(range(250))
    assert report.outcome == "finished"
    assert report.clean
    assert report.ledger.closes
    assert str(report.ledger.totals) == "in 250 out 250 rejected 0 lost 0"
    assert system.running is False
    assert system.task_group is None


async def test_an_output_connected_to_two_inputs_reaches_both(parts: SimpleNamespace) -> None:
    system, _, first = line(parts, 30)
    second = parts.Collect("second")
    system.register_component("second", second)
    system.connect("numbers.out", "second.in", buffer_size=1)
    await system.run()
    assert first.got == second.got == list(range(30))
    assert set(system.streams) == {"numbers.out -> sink.in", "numbers.out -> second.in"}


async def test_two_outputs_into_one_input_merge(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts, 30)
    system.register_component("more", parts.Numbers("more", 20))
    system.connect("more.out", "sink.in")
    report = await system.run()
    assert sorted(sink.got) == sorted([*range(30), *range(20)])
    assert report.ledger.totals.given_out == 50


async def test_a_system_of_nothing_ends_at_once() -> None:
    with fail_after(30):
        report = await System("empty").run()
    assert report.outcome == "finished"


async def test_a_component_that_inherits_from_nothing_of_ours_runs(parts: SimpleNamespace) -> None:
    got: list[Any] = []

    class Foreign(parts.Stranger):  # type: ignore[misc]
        async def process(self) -> None:
            got.extend([message async for message in self.receive_streams["in"]])

    foreign = Foreign()
    system = System()
    system.register_component("numbers", parts.Numbers(count=3))
    system.register_component("foreign", foreign)
    system.connect("numbers.out", "foreign.in")
    await system.run()
    assert got == [0, 1, 2]
    assert foreign.calls == ["setup", "cleanup"]
    assert system.statistics().components["foreign"].state is ComponentState.STOPPED


async def test_a_component_that_closes_its_output_early_goes_on(parts: SimpleNamespace) -> None:
    went_on = anyio.Event()

    async def body(self: Any) -> None:
        await self.send_streams["out"].send("only")
        await self.send_streams["out"].aclose()
        await sink_ended.wait()
        went_on.set()

    sink_ended = anyio.Event()

    async def collect(self: Any) -> None:
        assert [m async for m in self.receive_streams["in"]] == ["only"]
        sink_ended.set()

    system = System()
    system.register_component("early", parts.Acting("early", body))
    system.register_component("sink", parts.Acting("sink", collect))
    system.connect("early.out", "sink.in")
    with fail_after(30):
        report = await system.run()
    assert went_on.is_set()
    assert report.outcome == "finished"


async def test_a_component_that_stops_reading_early_ends_what_feeds_only_it(parts: SimpleNamespace) -> None:
    async def one(self: Any) -> None:
        await self.receive_streams["in"].receive()

    system, numbers, _ = line(parts)
    system = System()
    numbers = parts.Numbers()
    system.register_component("numbers", numbers)
    system.register_component("one", parts.Acting("one", one))
    system.connect("numbers.out", "one.in", buffer_size=5)
    with fail_after(30):
        report = await system.run()
    assert report.outcome == "finished"
    edge = report.ledger.edges[0]
    assert edge.acknowledged == 1
    assert edge.dropped == {"reader_ended": edge.accepted - 1}


async def test_other_branches_go_on_when_one_stops_reading(parts: SimpleNamespace) -> None:
    async def one(self: Any) -> None:
        async with self.receive_streams["in"] as stream:
            await stream.receive()

    system, _, sink = line(parts, 300)
    system.register_component("one", parts.Acting("one", one))
    system.connect("numbers.out", "one.in", buffer_size=5)
    with fail_after(30):
        await system.run()
    assert sink.got == list(range(300))


# --- stop --------------------------------------------------------------------------------------


async def test_stop_from_another_task_waits_and_returns_the_report(parts: SimpleNamespace) -> None:
    system, numbers, sink = line(parts)
    async with create_task_group() as group:
        await group.start(system.run)
        await sink.reached.wait()
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert report.outcome == "stopped"
    assert report.ledger.totals.lost == 0
    assert sink.got == list(range(numbers.sent)) or sink.got == list(range(numbers.sent + 1))
    assert not system.running


async def test_stop_from_within_a_component_returns_at_once(parts: SimpleNamespace) -> None:
    returned: list[Any] = []

    async def body(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            returned.append(await system.stop())  # noqa: PERF401

    system = System()
    system.register_component("numbers", parts.Numbers())
    system.register_component("stopper", parts.Acting("stopper", body))
    system.connect("numbers.out", "stopper.in")
    with fail_after(30):
        report = await system.run()
    assert set(returned) == {None}
    assert report.outcome == "stopped"
    assert report.ledger.totals.lost == 0


async def test_stop_from_a_task_that_a_component_spawned_returns_at_once(parts: SimpleNamespace) -> None:
    returned: list[Any] = []

    async def ask() -> None:
        returned.append(await system.stop())

    async def body(self: Any) -> None:
        self.context.spawn(ask)
        await self.context.stop_event.wait()

    system = System()
    system.register_component("one", parts.Acting("one", body))
    with fail_after(30):
        await system.run()
    assert returned == [None]


async def test_stop_from_a_worker_thread_of_a_component_returns_at_once(parts: SimpleNamespace) -> None:
    returned: list[Any] = []

    def in_thread() -> None:
        returned.append(from_thread.run(system.stop))

    async def body(self: Any) -> None:
        await to_thread.run_sync(in_thread)

    system = System()
    system.register_component("one", parts.Acting("one", body))
    with fail_after(30):
        report = await system.run()
    assert returned == [None]
    assert report.outcome == "stopped"


async def test_request_stop_from_a_plain_thread_drains(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts)
    async with create_task_group() as group:
        await group.start(system.run)
        await sink.reached.wait()
        thread = threading.Thread(target=system.request_stop)
        thread.start()
        with fail_after(30):
            report = await system.wait()
        await parts.wait_for_thread(thread)
    assert report.outcome == "stopped"
    assert report.ledger.totals.lost == 0


async def test_request_stop_from_a_signal_handler_drains(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts)
    before = signal.signal(signal.SIGUSR1, lambda number, frame: system.request_stop())
    try:
        async with create_task_group() as group:
            await group.start(system.run)
            await sink.reached.wait()
            os.kill(os.getpid(), signal.SIGUSR1)
            with fail_after(30):
                report = await system.wait()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert report.outcome == "stopped"


async def test_stopping_twice_is_stopping_once(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts)
    reports: list[Any] = []

    async def stop() -> None:
        reports.append(await system.stop())

    async with create_task_group() as group:
        await group.start(system.run)
        await sink.reached.wait()
        group.start_soon(stop)
        group.start_soon(stop)
        system.request_stop()
    assert reports == [system.report, system.report]
    assert await system.stop() is None


async def test_stop_before_a_run_returns_at_once_and_changes_nothing(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts, 3)
    assert await system.stop() is None
    system.request_stop()
    report = await system.run()
    assert report.outcome == "finished"
    assert sink.got == [0, 1, 2]


async def test_cancelling_a_waiter_does_not_cancel_the_drain(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts)
    async with create_task_group() as group:
        await group.start(system.run)
        await sink.reached.wait()
        async with create_task_group() as waiting:
            waiting.start_soon(system.stop)
            await checkpoint()
            waiting.cancel_scope.cancel()
        with fail_after(30):
            report = await system.wait()
    assert report.outcome == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_drains_where_signals_are_handled(parts: SimpleNamespace, number: int) -> None:
    system, _, sink = line(parts)
    reports: list[Any] = []

    async def run() -> None:
        reports.append(await system.run(handle_signals=True))

    async with create_task_group() as group:
        group.start_soon(run)
        await sink.reached.wait()
        os.kill(os.getpid(), number)
    assert reports[0].signal == number
    assert reports[0].exit_code() == 128 + number
    assert reports[0].ledger.totals.lost == 0


async def test_a_second_signal_stops_at_once(parts: SimpleNamespace) -> None:
    stuck = anyio.Event()

    async def body(self: Any) -> None:
        await self.receive_streams["in"].receive()
        stuck.set()
        await anyio.sleep_forever()

    class SlowCleanup(parts.Numbers):  # type: ignore[misc]
        async def cleanup(self) -> None:
            await anyio.sleep_forever()

    system = System("stubborn", shutdown_timeout=1000, cleanup_timeout=1000)
    system.register_component("numbers", SlowCleanup())
    system.register_component("stuck", parts.Acting("stuck", body))
    system.connect("numbers.out", "stuck.in")
    reports: list[Any] = []

    async def run() -> None:
        reports.append(await system.run(handle_signals=True))

    async with create_task_group() as group:
        group.start_soon(run)
        await stuck.wait()
        os.kill(os.getpid(), signal.SIGINT)
        while not system._run.stop_event.is_set():  # type: ignore[union-attr]
            await anyio.wait_all_tasks_blocked()
        os.kill(os.getpid(), signal.SIGINT)
    report = reports[0]
    assert {(late.component, late.phase) for late in report.overruns} >= {
        ("stuck", "process"),
        ("numbers", "cleanup"),
    }
    assert report.exit_code() == 130


# --- during other phases ---------------------------------------------------------------------


async def test_stop_during_set_up_starts_nothing_and_cleans_up(parts: SimpleNamespace) -> None:
    setting_up = anyio.Event()

    class Slow(parts.Stranger):  # type: ignore[misc]
        async def setup(self) -> None:
            setting_up.set()
            await anyio.sleep_forever()

    slow = Slow()
    system = System()
    system.register_component("slow", slow)
    async with create_task_group() as group:
        group.start_soon(system.run)
        await setting_up.wait()
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert report.outcome == "stopped"
    assert slow.calls == ["cleanup"]


async def test_start_of_a_system_stopped_during_set_up_returns(parts: SimpleNamespace) -> None:
    class Stopping(parts.Stranger):  # type: ignore[misc]
        async def setup(self) -> None:
            await system.stop()
            await anyio.sleep_forever()

    system = System()
    system.register_component("stopping", Stopping())
    with fail_after(30):
        async with create_task_group() as group:
            await group.start(system.run)
    assert system.report is not None
    assert system.report.outcome == "stopped"


async def test_stop_during_clean_up_waits_for_it(parts: SimpleNamespace) -> None:
    cleaning, go_on = anyio.Event(), anyio.Event()

    class Slow(parts.Stranger):  # type: ignore[misc]
        async def cleanup(self) -> None:
            cleaning.set()
            await go_on.wait()
            assert await system.stop() is None  # a component's clean-up is inside the system too

    system = System()
    system.register_component("slow", Slow())
    reports: list[Any] = []

    async def stop() -> None:
        reports.append(await system.stop())

    async with create_task_group() as group:
        group.start_soon(system.run)
        await cleaning.wait()
        assert system.task_group is None
        group.start_soon(stop)
        system.request_stop()
        await anyio.wait_all_tasks_blocked()
        assert reports == []
        go_on.set()
    assert reports == [system.report]


async def test_stop_during_the_clean_up_of_a_failed_set_up(parts: SimpleNamespace) -> None:
    class Bad(parts.Stranger):  # type: ignore[misc]
        async def setup(self) -> None:
            raise OSError("no")

        async def cleanup(self) -> None:
            await system.stop()
            await checkpoint()
            self.calls.append("cleaned")

    bad = Bad()
    system = System()
    system.register_component("bad", bad)
    with pytest.raises(SystemFailed):
        await system.run()
    assert bad.calls == ["cleaned"]


# --- again, twice, cancelled -------------------------------------------------------------------


async def test_it_runs_again_after_an_end_a_stop_and_a_failure(parts: SimpleNamespace) -> None:
    fail = False

    class Sometimes(parts.Numbers):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            await super().setup(harness_context)
            self.sent = 0
            assert self.send_streams["out"].statistics().tasks_waiting_send == 0

        async def process(self) -> None:
            if fail:
                raise OSError("now")
            await super().process()

    system = System()
    numbers, sink = Sometimes(count=3), parts.Collect()
    system.register_component("numbers", numbers)
    system.register_component("sink", sink)
    system.connect("numbers.out", "sink.in")
    for _ in range(2):
        report = await system.run()
        assert report.ledger.totals.given_out == 3
    numbers.count = None
    sink.reached = anyio.Event()
    async with create_task_group() as group:
        await group.start(system.run)
        await sink.reached.wait()
        await system.stop()
    numbers.count, fail = 3, True
    with pytest.raises(SystemFailed):
        await system.run()
    assert not system.running
    fail = False
    sink.got.clear()
    assert (await system.run()).outcome == "finished"
    assert sink.got == [0, 1, 2]
    assert numbers.status.error_count == 1


async def test_a_second_run_is_refused_while_one_is_under_way(parts: SimpleNamespace) -> None:
    system, _, sink = line(parts)
    async with create_task_group() as group:
        await group.start(system.run)
        await sink.reached.wait()
        with pytest.raises(HarnessAlreadyRunning, match="await stop"):
            await system.run()
        for change in (
            lambda: system.add("more", parts.Collect("more")),
            lambda: system.connect("numbers.out", "sink.more"),
            lambda: system.spread("numbers.out", "balance"),
        ):
            with pytest.raises(HarnessAlreadyRunning):
                change()
        assert system.running is True
        await system.stop()


@pytest.mark.fault(
    "cancelled from outside",
    "No drain: everything is cleaned up, shielded and with its deadlines; the books close; the cancellation "
    "goes on.",
)
async def test_a_cancelled_run_skips_the_drain_but_cleans_up(parts: SimpleNamespace) -> None:
    cleaned = False

    class Shielded(parts.Collect):  # type: ignore[misc]
        async def cleanup(self) -> None:
            nonlocal cleaned
            await checkpoint()  # not cancelled: it is shielded
            cleaned = True

    system = System()
    sink = Shielded()
    system.register_component("numbers", parts.Numbers())
    system.register_component("sink", sink)
    system.connect("numbers.out", "sink.in")
    went_on = True
    with anyio.CancelScope() as scope:
        async with create_task_group() as group:
            await group.start(system.run)
            await sink.reached.wait()
            scope.cancel()
        went_on = False
    assert scope.cancelled_caught
    assert went_on
    assert cleaned
    assert system.running is False
    assert system.report is not None
    assert system.report.outcome == "cancelled"
    assert system.report.ledger.closes
    assert (await system.wait()).outcome == "cancelled"


async def test_wait_before_any_run_is_refused() -> None:
    with pytest.raises(HarnessNotRunning):
        await System().wait()


async def test_a_required_input_without_a_connection_is_refused_before_set_up(parts: SimpleNamespace) -> None:
    from headrace.authoring.ports import In

    class Needy(parts.Stranger):  # type: ignore[misc]
        in_: In[int]

    Needy.__annotations__["in_"] = In[int]
    needy = Needy()
    system = System()
    system.register_component("needy", needy)
    with pytest.raises(UnconnectedPortError, match=r"needy\.in"):
        await system.run()
    assert needy.calls == []
    assert not system.running


# --- several, nested, context ------------------------------------------------------------------


async def test_systems_run_side_by_side(parts: SimpleNamespace) -> None:
    systems = [line(parts, 40 + n) for n in range(3)]
    async with create_task_group() as group:
        for system, _, _ in systems:
            group.start_soon(system.run)
    assert [len(sink.got) for _, _, sink in systems] == [40, 41, 42]


async def test_a_component_runs_and_stops_another_system_and_is_not_taken_for_its_part(
    parts: SimpleNamespace,
) -> None:
    inner, _, inner_sink = line(parts)
    seen: list[Any] = []

    async def outer_body(self: Any) -> None:
        async with create_task_group() as group:
            await group.start(inner.run)
            await inner_sink.reached.wait()
            seen.append(await inner.stop())
        seen.append(await outer.stop())

    outer = System("outer")
    outer.register_component("host", parts.Acting("host", outer_body))
    with fail_after(30):
        report = await outer.run()
    assert seen == [inner.report, None]
    assert report.outcome == "stopped"


async def test_a_part_of_the_inner_system_may_stop_the_outer_one(parts: SimpleNamespace) -> None:
    async def inner_body(self: Any) -> None:
        assert await outer.stop() is None
        assert await inner.stop() is None

    async def outer_body(self: Any) -> None:
        await inner.run()

    inner, outer = System("inner"), System("outer")
    inner.register_component("part", parts.Acting("part", inner_body))
    outer.register_component("host", parts.Acting("host", outer_body))
    with fail_after(30):
        report = await outer.run()
    assert report.outcome == "stopped"


async def test_each_component_has_context_variables_of_its_own(parts: SimpleNamespace) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="host")
    seen: dict[str, str] = {}

    async def body(self: Any) -> None:
        seen[self.name] = variable.get()
        variable.set(self.name)
        await checkpoint()
        assert variable.get() == self.name

    system = System()
    for name in ("a", "b"):
        system.register_component(name, parts.Acting(name, body))
    for _ in range(2):
        await system.run()
        assert seen == {"a": "host", "b": "host"}
    assert variable.get() == "host"


# --- blocking ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_blocking_owns_a_loop(parts: SimpleNamespace, backend: str) -> None:
    async def body(self: Any) -> None:
        await checkpoint()

    system = System()
    system.register_component("one", parts.Acting("one", body))
    assert system.run_blocking(backend=backend).outcome == "finished"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.fault("off the main thread", "It works, and leaves the signals alone.")
def test_off_the_main_thread_it_runs_without_signal_handlers(parts: SimpleNamespace, backend: str) -> None:
    async def body(self: Any) -> None:
        await checkpoint()

    system = System()
    system.register_component("one", parts.Acting("one", body))
    thread = threading.Thread(target=system.run_blocking, kwargs={"backend": backend})
    thread.start()
    thread.join()
    assert system.report is not None
    assert system.report.outcome == "finished"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_request_to_stop_after_the_loop_has_ended_does_nothing(
    parts: SimpleNamespace, backend: str
) -> None:
    system, _, _ = line(parts, 3)
    runs: list[Any] = []

    async def main() -> None:
        async def body(self: Any) -> None:
            runs.append(system._run)

        system.register_component("one", parts.Acting("one", body))
        await system.run()

    anyio.run(main, backend=backend)
    runs[0].request_stop()


def test_it_says_what_it_is(parts: SimpleNamespace) -> None:
    system = System("iot")
    system.summarize(taken_in=None)
    assert repr(system) == "<SystemExecutionHarness 'iot' not running, 0 components>"
    assert system.report is None
    assert system.topology.names == ()
    assert system.ledger().totals.lost == 0
    assert system.dead_letters() == ()
    assert system.discard_dead_letters() == 0
