"""The harness as a guest: started and stopped from someone else's program, looked at, and never in the way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from headrace import HarnessComponent, System, SystemFailed, component
from headrace.exceptions import (
    ConfigError,
    HarnessAlreadyRunning,
    HarnessError,
    HarnessForkedError,
    HarnessNotRunning,
    PortTypeError,
    UnconnectedPortError,
    UnknownComponentError,
    UnknownPortError,
    WiringError,
)


@component
async def ticks(*, every: float = 0.001) -> AsyncIterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        await anyio.sleep(every)


@component
def double(number: int) -> int:
    return 2 * number


@component
def sink(number: int) -> None:
    return None


def endless() -> System:
    system = System("endless", source_grace=0.01)
    system.add("ticks", ticks)
    system.add("double", double)
    system.add("sink", sink)
    system.connect("ticks", "double")
    system.connect("double", "sink")
    return system


def line_of_this_file(number: int) -> str:
    return Path(__file__).read_text(encoding="utf-8").splitlines()[number - 1].strip()


def said_by(child: int, reading: int) -> str:
    os.waitpid(child, 0)
    with open(reading, encoding="utf-8") as told:
        return told.read()


# --- start, wait, stop ----------------------------------------------------------------------------


async def test_start_returns_when_all_run_and_stop_when_all_has_ended() -> None:
    system = endless()
    await system.start()
    assert system.running
    assert {c.status.state.value for c in system.components.values()} == {"running"}
    report = await system.stop()
    assert report is not None
    assert (report.outcome, system.running) == ("stopped", False)
    assert report.ledger.closes


async def test_it_starts_in_one_task_and_stops_in_another() -> None:
    system = endless()
    async with anyio.create_task_group() as group:
        group.start_soon(system.start)
    assert system.running
    async with anyio.create_task_group() as group:
        group.start_soon(system.stop)
    assert not system.running


async def test_it_starts_again_after_a_stop() -> None:
    system = endless()
    for _ in range(3):
        await system.start()
        await system.stop()
    with pytest.raises(HarnessNotRunning):
        await endless().wait()


async def test_a_second_start_is_refused_and_harms_nothing() -> None:
    system = endless()
    await system.start()
    with pytest.raises(HarnessAlreadyRunning):
        await system.start()
    assert system.running
    await system.stop()


async def test_what_keeps_it_from_starting_is_raised_by_start() -> None:
    class Broken(HarnessComponent):
        async def setup(self, harness_context: Any = None) -> None:
            raise OSError("no disk")

    system = System()
    system.add("broken", Broken)
    with pytest.raises(SystemFailed, match="no disk"):
        await system.start()
    assert not system.running
    unconnected = System()
    unconnected.add("sink", sink)
    with pytest.raises(UnconnectedPortError):
        await unconnected.start()


@pytest.mark.fault(
    "in an application",
    "The application lives on; `health()` is not ready, with the reason; `wait()` raises `SystemFailed`.",
)
async def test_a_failure_later_is_a_stored_result_that_wait_raises() -> None:
    go = anyio.Event()

    class Breaks(HarnessComponent):
        async def process(self) -> None:
            await go.wait()
            raise ValueError("later")

    system = System("web")
    system.add("breaks", Breaks)
    await system.start()
    assert system.health().ready
    go.set()
    with pytest.raises(SystemFailed, match="later"):
        await system.wait()
    health = system.health()
    assert (health.ready, health.state) == (False, "failed")
    assert health.reason == "breaks failed in process: ValueError later"
    report = await system.stop()
    assert report is None


async def test_a_keyboard_interrupt_of_a_component_stays_a_result() -> None:
    go = anyio.Event()

    class Interrupts(HarnessComponent):
        async def process(self) -> None:
            await go.wait()
            raise KeyboardInterrupt

    system = System()
    system.add("interrupts", Interrupts)
    await system.start()
    go.set()
    with pytest.raises(SystemFailed):
        await system.wait()


async def test_a_cancelled_start_cleans_up_before_it_goes_on() -> None:
    log: list[str] = []
    setting_up = anyio.Event()

    class Slow(HarnessComponent):
        async def setup(self, harness_context: Any = None) -> None:
            setting_up.set()
            await anyio.sleep_forever()

        async def cleanup(self) -> None:
            await anyio.lowlevel.checkpoint()
            log.append("cleaned up")

    system = System()
    system.add("slow", Slow)
    async with anyio.create_task_group() as group:
        group.start_soon(system.start)
        await setting_up.wait()
        group.cancel_scope.cancel()
    assert log == ["cleaned up"]
    assert not system.running


async def test_two_systems_run_side_by_side_in_one_loop() -> None:
    one, two = endless(), endless()
    await one.start()
    async with two:
        assert await two.collect("double.out", 2)
        assert await one.collect("double.out", 2)
        await one.stop()
        assert two.running
        assert await two.collect("double.out", 2)
    assert not two.running


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_in_a_thread_leaves_the_signals_of_the_program_alone(backend: str) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    system = endless()
    running = threading.Event()
    outcomes: list[str] = []

    async def main() -> None:
        await system.start()
        running.set()
        outcomes.append((await system.wait()).outcome)

    thread = threading.Thread(target=lambda: anyio.run(main, backend=backend))
    thread.start()
    assert running.wait(10)
    assert {number: signal.getsignal(number) for number in before} == before
    assert system.health().ready
    system.request_stop()
    thread.join(10)
    assert outcomes == ["stopped"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_that_forgets_to_stop_it_ends_all_the_same(backend: str) -> None:
    system = endless()
    anyio.run(system.start, backend=backend)
    assert not system.running
    assert system.report is not None
    assert system.report.outcome == "cancelled"


async def test_run_blocking_in_a_running_loop_says_what_to_do() -> None:
    with pytest.raises(HarnessError, match=r"await system\.start\(\)"):
        endless().run_blocking()


@pytest.mark.fault(
    "forked", "In the forked process every call says that the system stayed behind: `HarnessForkedError`."
)
async def test_a_forked_process_is_told_that_the_system_stayed_behind(anyio_backend_name: str) -> None:
    system = endless()
    await system.start()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            system.request_stop()
            text = "nothing"
        except HarnessForkedError as error:
            text = str(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    assert "was started in process" in said_by(child, reading)
    await system.stop()


# --- health and a look inside ------------------------------------------------------------------------


async def test_health_tells_the_state_all_the_way() -> None:
    system = endless()
    health = system.health()
    assert (health.ready, health.state, health.reason) == (False, "new", "it has not been started")
    await system.start()
    health = system.health()
    assert (health.ready, health.state, health.reason) == (True, "running", "")
    assert health.as_dict()["components"] == {"ticks": "running", "double": "running", "sink": "running"}
    system.request_stop()
    await anyio.lowlevel.checkpoint()
    await system.wait()
    health = system.health()
    assert (health.ready, health.state, health.reason) == (False, "stopped", "it was stopped")


async def test_health_while_it_starts_and_while_it_stops() -> None:
    seen: list[tuple[str, str]] = []
    system = System("look")

    class Looks(HarnessComponent):
        async def setup(self, harness_context: Any = None) -> None:
            await super().setup(harness_context)
            seen.append((system.health().state, system.health().reason))

        async def process(self) -> None:
            await system.stop()
            seen.append((system.health().state, system.health().reason))

    system.add("looks", Looks)
    await system.run()
    assert seen == [("starting", "it is starting"), ("stopping", "it is stopping")]


async def test_a_finished_system_is_not_ready_and_says_why() -> None:
    system = System()
    system.add("numbers", _two)
    await system.run()
    assert system.health().reason == "it has finished"


@component
def _two() -> Iterator[int]:
    yield from (1, 2)


async def test_collect_returns_the_next_messages_and_lets_them_go_their_way() -> None:
    system = endless()
    with pytest.raises(HarnessNotRunning, match="start"):
        await system.collect("double", 1)
    await system.start()
    got = await system.collect("double.out", 3)
    assert len(got) == 3
    assert all(number % 2 == 0 for number in got)
    assert await system.collect("double", 0) == []
    with pytest.raises(UnknownPortError, match="did you mean 'out'"):
        await system.collect("double.ou", 1)
    report = await system.stop()
    assert report is not None
    assert report.ledger.closes


async def test_collect_ends_with_the_run_and_with_its_time_out() -> None:
    system = endless()
    await system.start()
    assert len(await system.collect("double.out", 10_000, timeout=0.01)) < 10_000
    results: list[list[Any]] = []

    async def look() -> None:
        results.append(await system.collect("double.out", 10_000_000))

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        await system.stop()
    assert len(results) == 1


# --- the caller's line ---------------------------------------------------------------------------------


def test_an_error_of_the_wiring_names_file_and_line_of_the_call() -> None:
    system = System()
    system.add("ticks", ticks)
    with pytest.raises(UnknownComponentError) as caught:
        system.connect("tick.out", "sink.in")
    error = caught.value
    assert error.file == __file__
    assert line_of_this_file(error.line) == 'system.connect("tick.out", "sink.in")'
    assert str(error).endswith(f"did you mean 'ticks'? (test_embedding.py:{error.line})")
    with pytest.raises(ConfigError, match=r"\(test_embedding\.py:\d+\)$"):
        system.add("more", ticks, evry=1)
    with pytest.raises(WiringError, match=r"\(test_embedding\.py:\d+\)$"):
        system.spread("ticks.nothing", "balance")
    with pytest.raises(WiringError, match=r"\(test_embedding\.py:\d+\)$"):
        system.summarize(taken_in="tick.out")


async def test_what_is_found_at_the_start_of_a_run_names_the_line_that_added_it() -> None:
    system = System()
    system.add("sink", sink)
    with pytest.raises(UnconnectedPortError) as caught:
        await system.run()
    assert "system.add" in line_of_this_file(caught.value.line)


# --- replace -----------------------------------------------------------------------------------------------


async def test_a_replaced_component_takes_over_the_connections() -> None:
    got: list[int] = []

    @component
    def keep(number: int) -> None:
        got.append(number)

    system = endless()
    system.replace("ticks", _two)
    system.replace("sink", keep)
    report = await system.run()
    assert got == [2, 4]
    assert report.clean


def test_what_does_not_fit_is_refused_and_nothing_has_changed() -> None:
    @component
    def texts(text: str) -> str:
        return text

    system = endless()
    before = system.components["double"]
    with pytest.raises(PortTypeError):
        system.replace("double", texts)
    with pytest.raises(UnknownPortError, match="'double' has no output port 'out'"):
        system.replace("double", sink)
    with pytest.raises(UnknownComponentError, match="did you mean 'double'"):
        system.replace("doubel", sink)
    assert system.components["double"] is before
    assert system.wiring.members["double"].component is before


async def test_a_replaced_resource_is_what_components_get() -> None:
    got: list[str] = []

    class Uses(HarnessComponent):
        async def process(self) -> None:
            got.append(self.context.resources["db"])

    def real() -> Iterator[str]:
        yield "real"

    def fake(text: str) -> Iterator[str]:
        yield text

    system = System()
    system.resource("db", real)
    system.add("uses", Uses)
    system.replace("db", fake, text="fake")
    await system.run()
    assert got == ["fake"]


async def test_nothing_is_replaced_during_a_run() -> None:
    system = endless()
    async with system:
        with pytest.raises(HarnessAlreadyRunning, match="cannot replace a part"):
            system.replace("sink", sink)


# --- taps --------------------------------------------------------------------------------------------------


async def test_taps_see_every_message_at_outputs_and_inputs_and_leave_no_trace(parts: Any) -> None:
    sent: list[int] = []
    handed: list[int] = []
    system = System()
    system.add("numbers", parts.Numbers("numbers", 5))
    system.add("sink", parts.Collect())
    system.connect("numbers.out", "sink.in")
    outlet = system.wiring.members["numbers"].outlets["out"]
    inlet = system.wiring.members["sink"].inlets["in"]
    outlet.add_tap(sent.append)
    inlet.add_tap(handed.append)
    await system.run()
    assert sent == handed == [0, 1, 2, 3, 4]
    system.components["numbers"].sent = 0
    await system.run()
    assert sent == handed == [0, 1, 2, 3, 4] * 2
    outlet = system.wiring.members["numbers"].outlets["out"]
    outlet.remove_tap(sent.append)
    assert not outlet.taps
    await system.run()
    assert len(sent) == 10, "nobody is told any more"
