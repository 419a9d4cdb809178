"""Acceptance tests of spec.md section 2, one per sentence; each quotes its sentence."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from headrace import (
    HarnessComponent,
    In,
    Out,
    StreamManager,
    System,
    SystemExecutionHarness,
    SystemFailed,
    component,
)
from headrace.exceptions import (
    ComponentAlreadyRegistered,
    HarnessAlreadyRunning,
    InvalidEndpointError,
    PortTypeError,
    UnknownComponentError,
    UnknownPortError,
)
from headrace.testing import check_object_stream


def emit(*items: Any) -> Any:
    """Return a source that sends these items and ends."""

    @component
    def source() -> Iterator[Any]:
        yield from items

    return source


def keep(seen: list[Any]) -> Any:
    """Return a sink that appends what it receives."""

    @component
    def sink(item: Any) -> None:
        seen.append(item)

    return sink


class Until(HarnessComponent):
    """Sends the numbers from 0 on until the system stops, and says when it has sent the first."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.began = anyio.Event()
        self.sent = 0

    async def process(self) -> None:
        while not self.context.stop_event.is_set():
            await self.send_streams["out"].send(self.sent)
            self.sent += 1
            self.began.set()


class Stuck(HarnessComponent):
    """Takes one message and never finishes with it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.holds = anyio.Event()

    async def process(self) -> None:
        await self.receive_streams["in"].receive()
        self.holds.set()
        await anyio.Event().wait()


class Witness(HarnessComponent):
    """Writes down what happens to it; fails where it is told to."""

    def __init__(self, name: str, log: list[str], fails_in: str = "") -> None:
        super().__init__(name)
        self.log = log
        self.fails_in = fails_in

    def note(self, phase: str) -> None:
        self.log.append(f"{phase} {self.name}")
        if phase == self.fails_in:
            raise OSError(f"{self.name} cannot {phase}")

    async def setup(self, harness_context: Any = None) -> None:
        self.note("setup")
        await super().setup(harness_context)

    async def process(self) -> None:
        self.note("process")
        for stream in self.receive_streams.values():
            async for _ in stream:
                pass

    async def cleanup(self) -> None:
        await super().cleanup()
        self.note("cleanup")


def endless() -> tuple[SystemExecutionHarness, Until, list[int]]:
    """Return a system of a source without end and a sink, with the two."""
    harness, source, seen = SystemExecutionHarness(), Until("source"), list[int]()
    harness.register_component("source", source)
    harness.add("sink", keep(seen))
    harness.connect("source.out", "sink.in")
    return harness, source, seen


# --- what it holds -------------------------------------------------------------------------------


async def test_the_harness_holds_components_streams_a_task_group_and_whether_it_runs() -> None:
    """`.components`, `.streams` (key `"a.out -> b.in"`, value the pair [...]), `.task_group`, `.running: bool`"""
    harness, source, _ = endless()
    assert harness.components["source"] is source
    assert set(harness.components) == {"source", "sink"}
    sink = harness.components["sink"]
    pair = harness.streams["source.out -> sink.in"]
    assert pair == (source.send_streams["out"], sink.receive_streams["in"])
    found = [(harness.running, harness.task_group is not None)]
    async with harness:
        found.append((harness.running, harness.task_group is not None))
    found.append((harness.running, harness.task_group is not None))
    assert found == [(False, False), (True, True), (False, False)]


def test_system_is_the_short_name() -> None:
    """`SystemExecutionHarness` (short alias `System`)"""
    assert System is SystemExecutionHarness


async def test_it_is_an_async_context_manager_that_starts_on_entry_and_stops_on_exit() -> None:
    """All of it also as an async context manager that starts on entry and stops on exit"""
    harness, source, seen = endless()
    async with harness as same:
        assert same is harness
        await source.began.wait()
    assert harness.running is False
    assert len(seen) == source.sent > 0


# --- errors of wiring ------------------------------------------------------------------------------


def test_registering_a_name_twice_is_refused() -> None:
    """Registering a name twice raises `ComponentAlreadyRegistered`"""
    harness = SystemExecutionHarness()
    harness.register_component("a", HarnessComponent("a"))
    with pytest.raises(ComponentAlreadyRegistered, match="'a'"):
        harness.register_component("a", HarnessComponent("a"))


async def test_running_twice_is_refused() -> None:
    """running twice `HarnessAlreadyRunning`"""
    harness, _, _ = endless()
    async with harness:
        with pytest.raises(HarnessAlreadyRunning):
            await harness.run()


@pytest.mark.parametrize("endpoint", ["", ".out", "source.", 7])
def test_a_bad_endpoint_is_an_error_of_its_own(endpoint: Any) -> None:
    """a bad endpoint [...] an error of its own class"""
    harness, _, _ = endless()
    with pytest.raises(InvalidEndpointError):
        harness.connect(endpoint, "sink.in")


def test_an_unknown_component_is_an_error_that_names_what_was_meant() -> None:
    """an unknown component [...] names what was meant ("did you mean ...")"""
    harness, _, _ = endless()
    with pytest.raises(UnknownComponentError, match="did you mean 'source'"):
        harness.connect("sorce.out", "sink.in")


class Reading(HarnessComponent):
    """Declares its ports."""

    in_: In[str]
    out: Out[int]


def test_an_unknown_declared_port_is_an_error_that_names_what_was_meant() -> None:
    """(where ports are declared) an unknown port"""
    harness = SystemExecutionHarness()
    harness.add("a", Reading)
    harness.add("b", Reading)
    with pytest.raises(UnknownPortError, match="did you mean 'out'"):
        harness.connect("a.ouut", "b.in")


def test_a_type_that_does_not_fit_is_an_error_that_names_both() -> None:
    """or a type that does not fit, an error of its own class"""
    harness = SystemExecutionHarness()
    harness.add("a", Reading)
    harness.add("b", Reading)
    with pytest.raises(PortTypeError, match=r"a\.out: int -> b\.in: str"):
        harness.connect("a.out", "b.in")


# --- edges -------------------------------------------------------------------------------------------


async def test_an_output_connected_to_two_inputs_reaches_both() -> None:
    """Connecting the same output to a second input must not overwrite the first edge: it fans out"""
    harness, left, right = SystemExecutionHarness(), list[int](), list[int]()
    harness.add("source", emit(1, 2, 3))
    harness.add("left", keep(left))
    harness.add("right", keep(right))
    harness.connect("source.out", "left.in")
    harness.connect("source.out", "right.in")
    await harness.run()
    assert left == right == [1, 2, 3]
    assert len(harness.streams) == 2


async def test_several_outputs_into_one_input_merge() -> None:
    """Several outputs into one input fan in"""
    harness, seen = SystemExecutionHarness(), list[int]()
    harness.add("sink", keep(seen))
    for number in range(3):
        harness.add(f"source{number}", emit(number, number + 10))
        harness.connect(f"source{number}.out", "sink.in")
    await harness.run()
    assert sorted(seen) == [0, 1, 2, 10, 11, 12]
    for number in range(3):
        assert [item for item in seen if item % 10 == number] == [number, number + 10]


def test_the_buffer_is_100_and_settable_per_edge_and_for_the_system() -> None:
    """it is 100, settable per edge and for the whole system"""
    found = []
    for system, edge in ((None, None), (7, None), (7, 3)):
        harness = SystemExecutionHarness() if system is None else SystemExecutionHarness(buffer_size=system)
        harness.add("source", emit())
        harness.add("sink", keep([]))
        harness.connect("source.out", "sink.in", buffer_size=edge)
        send, _ = harness.streams["source.out -> sink.in"]
        found.append(send.statistics().max_buffer_size)
    assert found == [100, 7, 3]


async def test_two_components_that_send_to_each_other_do_not_hang() -> None:
    """The default buffer must not be 0 (two components that send to each other would hang)"""

    class Player(HarnessComponent):
        async def process(self) -> None:
            await self.send_streams["out"].send(f"hello from {self.name}")
            self.got = await self.receive_streams["in"].receive()

    harness, one, two = SystemExecutionHarness(), Player("one"), Player("two")
    harness.register_component("one", one)
    harness.register_component("two", two)
    harness.connect("one.out", "two.in")
    harness.connect("two.out", "one.in")
    with anyio.fail_after(10):
        await harness.run()
    assert (one.got, two.got) == ("hello from two", "hello from one")


# --- run ---------------------------------------------------------------------------------------------


def chain(log: list[str], **fails_in: str) -> SystemExecutionHarness:
    """Return a -> b -> c, which write down what happens to them."""
    harness = SystemExecutionHarness()
    for name in "abc":
        harness.register_component(name, Witness(name, log, fails_in.get(name, "")))
    harness.connect("a.out", "b.in")
    harness.connect("b.out", "c.in")
    return harness


async def test_set_up_runs_downstream_first_and_clean_up_in_reverse() -> None:
    """`run()` sets all components up, downstream first"""
    log: list[str] = []
    await chain(log).run()
    assert [line for line in log if "setup" in line] == ["setup c", "setup b", "setup a"]
    assert [line for line in log if "cleanup" in line] == ["cleanup a", "cleanup b", "cleanup c"]


async def test_none_starts_unless_every_setup_succeeded_and_those_set_up_are_cleaned_up() -> None:
    """and starts none unless every setup succeeded; a failed setup cleans up those already set up"""
    log: list[str] = []
    with pytest.raises(SystemFailed, match="b failed in setup") as caught:
        await chain(log, b="setup").run()
    assert isinstance(caught.value.__cause__, OSError)
    assert log == ["setup c", "setup b", "cleanup b", "cleanup c"]


async def test_run_returns_when_the_system_has_finished_by_itself() -> None:
    """It returns when the system has finished by itself (a component that returns closes its outputs)"""
    harness, seen = SystemExecutionHarness(), list[int]()
    harness.add("source", emit(1, 2))
    harness.add("double", component(lambda item: item * 2))
    harness.add("sink", keep(seen))
    harness.connect("source", "double")
    harness.connect("double", "sink")
    report = await harness.run()
    assert (report.outcome, seen) == ("finished", [2, 4])
    assert {one.status.state for one in harness.components.values()} == {"stopped"}


async def test_run_returns_when_it_was_stopped() -> None:
    """or was stopped"""
    harness, source, _ = endless()
    reports = []
    async with anyio.create_task_group() as group:

        async def run() -> None:
            reports.append(await harness.run())

        group.start_soon(run)
        await source.began.wait()
        await harness.stop()
    assert [report.outcome for report in reports] == ["stopped"]


@pytest.mark.parametrize("phase", ["", "setup", "process", "cleanup"])
async def test_running_is_never_left_true_after_an_end_or_a_failure(phase: str) -> None:
    """It must not leave `running` true behind, whatever happened"""
    harness = chain([], b=phase)
    if phase:
        with pytest.raises(SystemFailed):
            await harness.run()
    else:
        await harness.run()
    assert harness.running is False


async def test_running_is_never_left_true_after_a_cancellation() -> None:
    """It must not leave `running` true behind, whatever happened"""
    harness, source, _ = endless()
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await source.began.wait()
        group.cancel_scope.cancel()
    assert harness.running is False
    assert source.status.state == "stopped"


# --- stop --------------------------------------------------------------------------------------------


async def test_stop_before_a_run_does_nothing() -> None:
    """`stop()` is safe before [...] a run"""
    harness, _, seen = endless()
    await harness.stop()
    harness.request_stop()
    async with harness:
        assert harness.running
    assert harness.report is not None
    assert harness.report.ledger.totals.given_out == len(seen)


async def test_stop_during_and_after_a_run_and_twice() -> None:
    """`stop()` is safe [...] during and after a run, twice"""
    harness, source, _ = endless()
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await source.began.wait()
        group.start_soon(harness.stop)
        await harness.stop()
    await harness.stop()
    await harness.stop()
    assert harness.running is False


async def test_a_harness_runs_again_after_an_end_and_after_a_stop() -> None:
    """restart is `stopped -> ready`; `stop()` is safe [...] after a run"""
    harness, source, seen = endless()
    for _ in range(3):
        source.began, source.sent = anyio.Event(), 0
        seen.clear()
        async with harness:
            await source.began.wait()
        assert len(seen) == source.sent > 0


async def test_stop_from_within_a_component_returns_at_once() -> None:
    """`stop()` is safe [...] from within a component"""
    harness, seen = SystemExecutionHarness(), list[str]()

    class Stopper(HarnessComponent):
        async def process(self) -> None:
            await self.send_streams["out"].send("before")
            await harness.stop()
            await self.send_streams["out"].send("after")

    harness.register_component("stopper", Stopper("stopper"))
    harness.add("sink", keep(seen))
    harness.connect("stopper.out", "sink.in")
    with anyio.fail_after(10):
        report = await harness.run()
    assert (report.outcome, seen) == ("stopped", ["before", "after"])


async def test_request_stop_works_from_any_thread() -> None:
    """`request_stop()` from any thread"""
    harness, source, seen = endless()
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await source.began.wait()
        await anyio.to_thread.run_sync(harness.request_stop)
    assert len(seen) == source.sent


async def test_stop_is_a_drain_every_accepted_message_reaches_its_sink() -> None:
    """It is a drain: sources stop, every message already accepted reaches its sink, [...] all is cleaned up"""
    harness, source, seen = endless()
    async with harness:
        await source.began.wait()
    report = harness.report
    assert report is not None
    assert seen == list(range(source.sent))
    assert report.ledger.closes
    assert (report.ledger.totals.lost, report.ledger.remaining) == (0, 0)
    assert {one.status.state for one in harness.components.values()} == {"stopped"}


def test_the_shutdown_time_out_is_5_seconds() -> None:
    """within the shutdown time-out (5 s by default)"""
    assert SystemExecutionHarness().timeouts.shutdown == 5.0


async def test_what_still_runs_at_the_deadline_is_cancelled_and_named_with_what_was_left() -> None:
    """what then still runs is cancelled and named in the shutdown report, with what was left in which edge"""
    harness = SystemExecutionHarness(shutdown_timeout=0.05, source_grace=0.01)
    stuck = Stuck("stuck")
    harness.add("source", emit(1, 2, 3))
    harness.register_component("stuck", stuck)
    harness.connect("source.out", "stuck.in")
    async with harness:
        await stuck.holds.wait()
    report = harness.report
    assert report is not None
    assert [overrun.component for overrun in report.overruns] == ["stuck"]
    assert "test_execution_harness.py" in report.overruns[0].awaiting
    assert [edge.edge for edge in report.ledger.leftovers()] == ["source.out -> stuck.in"]
    assert report.exit_code() == 5


# --- signals ----------------------------------------------------------------------------------------

PROGRAM = """
import sys
import anyio
from headrace import HarnessComponent, System

class Source(HarnessComponent):
    async def process(self):
        for number in range(10):
            await self.send_streams["out"].send(number)
        print("running", flush=True)
        await self.context.stop_event.wait()
        print("draining", flush=True)

class Sink(HarnessComponent):
    async def process(self):
        async for _ in self.receive_streams["in"]:
            pass
        if sys.argv[2] == "stuck":
            await anyio.Event().wait()

system = System("signals", shutdown_timeout=60)
system.add("source", Source)
system.add("sink", Sink)
system.connect("source.out", "sink.in")
report = system.run_blocking(backend=sys.argv[1], handle_signals=True)
print(report.summary().rpartition(" in ")[0], "after", report.outcome)
sys.exit(report.exit_code())
"""


def play(backend: str, sink: str, number: signal.Signals, *, twice: bool) -> tuple[int, str]:
    """Run the program, send it a signal once it runs (and again once it drains), return how it ended."""
    command = [sys.executable, "-c", PROGRAM, backend, sink]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        assert process.stdout.readline() == "draining\n"
        if twice:
            process.send_signal(number)
        rest = process.stdout.read()
    return process.returncode, rest.strip()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_drains_and_the_exit_code_tells_which(
    backend: str, number: signal.Signals, code: int
) -> None:
    """SIGINT/SIGTERM (`run(handle_signals=True)`): the first drains [...] the exit code tell[s] which"""
    outcome = play(backend, "free", number, twice=False)
    assert outcome == (code, "in 10 out 10 rejected 0 lost 0 after stopped")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_cancels_at_once(backend: str, number: signal.Signals, code: int) -> None:
    """the second cancels at once"""
    returncode, _ = play(backend, "stuck", number, twice=True)  # the drain alone would take 60 s
    assert returncode == code


# --- failure ----------------------------------------------------------------------------------------


async def test_a_crash_takes_the_system_down_and_not_unrelated_components_silently() -> None:
    """A component that fails is [...] as its policy says, and never takes unrelated components down silently"""
    harness, seen = SystemExecutionHarness(), list[int]()
    log: list[str] = []
    harness.register_component("bad", Witness("bad", log, fails_in="process"))
    harness.add("source", emit(*range(50)))
    harness.add("sink", keep(seen))
    harness.connect("source.out", "sink.in")
    with pytest.raises(SystemFailed, match="bad failed in process: OSError") as caught:
        await harness.run()
    report = caught.value.report
    accepted = next(edge.accepted for edge in report.ledger.edges)
    assert seen == list(range(accepted))  # the unrelated branch was drained, not cut off
    assert [failure.component for failure in report.failures] == ["bad"]
    assert harness.components["bad"].status.error_count == 1
    assert harness.components["sink"].status.error_count == 0
    assert "cleanup bad" in log


# --- StreamManager ----------------------------------------------------------------------------------


async def test_active_streams_holds_a_stream_info_per_stream() -> None:
    """`.active_streams` with `StreamInfo(id, send_stream, receive_stream, created_at, ...)`"""
    manager = StreamManager()
    send, receive = manager.create_stream()
    ((id, info),) = manager.active_streams.items()
    assert (info.id, info.send_stream, info.receive_stream) == (id, send, receive)
    assert info.created_at > 0
    await manager.close_all_streams()


def test_create_stream_makes_a_buffer_of_100() -> None:
    """`create_stream(buffer_size=100) -> (send, receive)`"""
    manager = StreamManager()
    for arguments, size in (((), 100), ((5,), 5)):
        send, receive = manager.create_stream(*arguments)
        assert send.statistics().max_buffer_size == size
        send.close()
        receive.close()


async def test_what_create_stream_returns_keeps_anyios_semantics_to_the_letter() -> None:
    """what `StreamManager.create_stream` returns keeps AnyIO's semantics to the letter (section 1)"""
    await check_object_stream(lambda buffer_size: StreamManager().create_stream(buffer_size))


async def test_a_manager_that_lives_on_owns_its_streams_and_only_their_resource_warning_waits_for_it() -> (
    None
):
    """the same; but while the table (`StreamInfo.send_stream`) holds a stream, nothing collects it to warn"""
    manager = StreamManager()
    await check_object_stream(manager.create_stream, excluding=["unclosed_handles_warn_when_collected"])
    await manager.close_all_streams()


async def test_close_all_streams_closes_both_ends() -> None:
    """`async close_all_streams()` (both ends)"""
    manager = StreamManager()
    pairs = [manager.create_stream() for _ in range(3)]
    await manager.close_all_streams()
    for send, receive in pairs:
        with pytest.raises(anyio.ClosedResourceError):
            send.send_nowait(1)
        with pytest.raises(anyio.ClosedResourceError):
            receive.receive_nowait()
    assert manager.active_streams == {}


async def test_statistics_count_the_active_and_all_ever_created() -> None:
    """with at least `active_count`, `total_created` (all ever created, not only the live ones)"""
    manager = StreamManager()
    for _ in range(3):
        manager.create_stream()
    await manager.close_all_streams()
    manager.create_stream()
    stats = manager.get_stream_stats()
    assert (stats["active_count"], stats["total_created"]) == (1, 4)
    await manager.close_all_streams()


async def test_statistics_tell_every_number_of_a_stream() -> None:
    """per stream: buffered, capacity, sent, received, dropped, waiting senders and receivers, age, last activity"""
    now = [100.0]
    manager = StreamManager(clock=lambda: now[0], wall_clock=lambda: 1000.0 + now[0])
    send, receive = manager.create_stream(3)
    for item in range(3):
        send.send_nowait(item)
    receive.receive_nowait()
    now[0] += 2.5
    async with anyio.create_task_group() as group:
        group.start_soon(send.send, "fits")
        group.start_soon(send.send, "waits")
        await anyio.wait_all_tasks_blocked()
        (stats,) = manager.get_stream_stats()["streams"].values()
        group.cancel_scope.cancel()
    assert (stats["buffered"], stats["capacity"], stats["sent"], stats["received"]) == (3, 3, 4, 1)
    assert (stats["waiting_senders"], stats["waiting_receivers"]) == (1, 0)
    assert (stats["dropped"], stats["age"], stats["last_activity"]) == (0, 2.5, 1102.5)
    receive.close()
    (stats,) = manager.get_stream_stats()["streams"].values()
    assert (stats["dropped"], stats["buffered"]) == (3, 0)
    await manager.close_all_streams()


async def test_health_is_one_of_five_words() -> None:
    """health (`idle`, `flowing`, `backpressured`, `stalled`, `closed`)"""
    now = [0.0]
    manager = StreamManager(clock=lambda: now[0], stall_after=10)
    send, receive = manager.create_stream(2)
    words = []

    def look() -> None:
        (stats,) = manager.get_stream_stats()["streams"].values()
        words.append(str(stats["health"]))

    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: send.send_nowait(1),
        lambda: send.send_nowait(2),
        lambda: now.__setitem__(0, 60.0),
        receive.close,
    ]
    for step in steps:
        step()
        look()
    assert words == ["idle", "flowing", "backpressured", "stalled", "closed"]
    await manager.close_all_streams()


def test_closed_streams_leave_the_table() -> None:
    """Closed streams leave the table"""
    manager = StreamManager()
    send, receive = manager.create_stream()
    send.close()
    assert len(manager.active_streams) == 1
    receive.close()
    assert manager.active_streams == {}


def test_nothing_leaks_over_many_create_and_close_cycles() -> None:
    """nothing leaks over a million create/close cycles (here 20,000; proofs/stream_cycles.py has the million)"""
    manager = StreamManager()

    def cycles(number: int) -> None:
        for _ in range(number):
            send, receive = manager.create_stream(1)
            send.send_nowait("x")
            send.close()
            receive.close()
        gc.collect()

    cycles(100)
    tracemalloc.start()
    try:
        cycles(1)
        before, _ = tracemalloc.get_traced_memory()
        cycles(20_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # under a byte a cycle
    assert manager.active_streams == {}
    assert manager.get_stream_stats()["total_created"] == 20_101


if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", str(Path(__file__).resolve()), *sys.argv[1:]]
    sys.exit(subprocess.call(command))
