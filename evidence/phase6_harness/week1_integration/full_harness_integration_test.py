"""Acceptance tests of the whole: concurrent runs, load, shutdown, clean-up, errors and the recoveries from them.

Each quotes the sentence of spec.md that it proves with everything joined together.
"""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import headrace
from headrace import (
    Component,
    HarnessComponent,
    HeadraceError,
    In,
    MessageProtocol,
    Out,
    Rejected,
    StreamFramework,
    StreamManager,
    SystemExecutionHarness,
    SystemFailed,
    component,
)
from headrace.exceptions import SetupFailed
from headrace.runtime.journal import LogEntry

PACKAGE = Path(headrace.__file__).parent


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


class Counter(HarnessComponent):
    """A source without end: numbers until the system stops."""

    out: Out[int]

    def __init__(self, name: str = "counter") -> None:
        super().__init__(name)
        self.sent = 0
        self.busy = anyio.Event()

    async def process(self) -> None:
        while not self.context.stop_event.is_set():
            await self.out.send(self.sent)
            self.sent += 1
            if self.sent == 1000:
                self.busy.set()


class Resource(HarnessComponent):
    """Holds something from set-up to clean-up, and fails where and as often as it is told to."""

    def __init__(self, name: str, *, fail_in: str = "", times: int = 0) -> None:
        super().__init__(name)
        self.fail_in = fail_in
        self.left = times
        self.open = False
        self.seen: list[Any] = []

    def fail(self, phase: str) -> None:
        if phase == self.fail_in and self.left:
            self.left -= 1
            raise ConnectionError(f"{self.name} failed in {phase}")

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        self.open = True
        self.fail("setup")
        await super().setup(harness_context)

    async def process(self) -> None:
        async for item in self.receive_streams["in"]:
            self.fail("process")
            self.seen.append(item)

    async def cleanup(self) -> None:
        await super().cleanup()
        self.open = False
        self.fail("cleanup")


def numbers_into(resource: Resource, count: int = 10) -> SystemExecutionHarness:
    """Return a system that sends numbers into a resource."""
    harness = SystemExecutionHarness("numbers")
    harness.add("source", emit(*range(count)))
    harness.register_component("resource", resource)
    harness.connect("source.out", "resource.in")
    return harness


# --- the whole ---------------------------------------------------------------------------------------


class Parse(HarnessComponent):
    """Typed ports: numbers out of text; what is none is rejected."""

    in_: In[str]
    out: Out[int]
    rejected: Out[Rejected[str]]

    async def process(self) -> None:
        async for text in self.in_:
            if text.isdigit():
                await self.out.send(int(text))
            else:
                await self.rejected.send(Rejected(text, "no number"))


class Stranger:
    """Inherits from nothing."""

    def __init__(self) -> None:
        self.receive_streams: dict[str, Any] = {}
        self.send_streams: dict[str, Any] = {}

    async def setup(self, harness_context: Any = None) -> None: ...

    async def process(self) -> None:
        async for number in self.receive_streams["in"]:
            await self.send_streams["out"].send(number + 1)

    async def cleanup(self) -> None: ...


@component
async def twice(number: int) -> AsyncIterator[int]:
    """Send a number, and ten times it."""
    yield number
    yield number * 10


async def test_components_of_every_kind_work_in_one_system() -> None:
    """A system is a graph: components with named ports, joined by streams."""
    seen: list[int] = []
    rejected: list[Rejected[str]] = []

    harness = SystemExecutionHarness()
    harness.add("source", emit("1", "x", "2"))
    harness.add("parse", Parse)
    harness.register_component("stranger", Stranger())
    harness.add("twice", twice)
    harness.add("sink", keep(seen))
    harness.add("log", keep(rejected))
    for sender, receiver in [
        ("source", "parse"),
        ("parse.out", "stranger.in"),
        ("stranger.out", "twice"),
        ("twice.out", "sink"),
        ("parse.rejected", "log"),
    ]:
        harness.connect(sender, receiver)
    report = await harness.run()
    assert seen == [2, 20, 3, 30]
    assert [one.message for one in rejected] == ["x"]
    assert report.clean


async def test_a_cycle_of_components_ends_by_itself_when_its_source_has_ended() -> None:
    """It returns when the system has finished by itself"""
    done: list[int] = []

    class Halver(HarnessComponent):
        async def process(self) -> None:
            async for number in self.receive_streams["in"]:
                if number > 1:
                    await self.send_streams["again"].send(number // 2)
                else:
                    done.append(number)

    class Relay(HarnessComponent):
        async def process(self) -> None:
            async for number in self.receive_streams["in"]:
                await self.send_streams["out"].send(number)

    harness = SystemExecutionHarness()
    harness.add("source", emit(64, 100, 7))
    harness.add("halver", Halver)
    harness.add("relay", Relay)
    harness.connect("source.out", "halver.in")
    harness.connect("halver.again", "relay.in")
    harness.connect("relay.out", "halver.in")
    with anyio.fail_after(10):
        report = await harness.run()
    assert done == [1, 1, 1]
    assert (report.outcome, report.ledger.totals.lost) == ("finished", 0)


# --- concurrent runs ------------------------------------------------------------------------------------


async def test_components_run_concurrently_in_one_task_group() -> None:
    """runs them concurrently in one AnyIO task group"""
    harness = SystemExecutionHarness()
    everybody = anyio.Event()
    inside: set[str] = set()

    class Meets(HarnessComponent):
        async def process(self) -> None:
            assert harness.task_group is not None
            inside.add(self.name)
            if len(inside) == 5:
                everybody.set()
            await everybody.wait()  # nobody goes on before all are inside process()

    for number in range(5):
        harness.add(f"c{number}", Meets)
    with anyio.fail_after(10):
        await harness.run()
    assert len(inside) == 5


async def test_systems_run_side_by_side_and_do_not_touch_each_other() -> None:
    """One `SystemExecutionHarness` [...]; several of them share a loop"""
    seen: list[list[int]] = [[] for _ in range(10)]
    systems = []
    for number, mine in enumerate(seen):
        harness = SystemExecutionHarness(f"s{number}")
        harness.add("source", emit(*range(number, number + 200)))
        harness.add("sink", keep(mine))
        harness.connect("source", "sink")
        systems.append(harness)
    broken = SystemExecutionHarness("broken")
    broken.register_component("bad", HarnessComponent("bad"))

    async def fails() -> None:
        with pytest.raises(SystemFailed):
            await broken.run()

    async with anyio.create_task_group() as group:
        group.start_soon(fails)
        for harness in systems:
            group.start_soon(harness.run)
    assert seen == [list(range(number, number + 200)) for number in range(10)]


async def test_a_system_runs_inside_a_component_of_another_system() -> None:
    """`stop()` is safe [...] from within a component: of its own system, and of one around it"""
    seen: list[int] = []

    class Outer(HarnessComponent):
        async def process(self) -> None:
            inner, counter = SystemExecutionHarness("inner"), Counter()
            inner.register_component("counter", counter)
            inner.add("sink", keep(seen))
            inner.connect("counter.out", "sink")
            async with inner:
                await counter.busy.wait()
            assert len(seen) == counter.sent

    outer = SystemExecutionHarness("outer")
    outer.add("one", Outer)
    with anyio.fail_after(10):
        await outer.run()
    assert len(seen) >= 1000


# --- load ---------------------------------------------------------------------------------------------


async def test_many_messages_pass_many_stages_in_order_and_none_is_lost() -> None:
    """moves messages between them with back-pressure"""
    seen: list[int] = []
    harness = SystemExecutionHarness(buffer_size=10)
    harness.add("source", emit(*range(20_000)))
    before = "source"
    for stage in range(10):
        harness.add(f"stage{stage}", component(lambda number: number + 1))
        harness.connect(before, f"stage{stage}")
        before = f"stage{stage}"
    harness.add("sink", keep(seen))
    harness.connect(before, "sink")
    report = await harness.run()
    assert seen == list(range(10, 20_010))
    assert all(edge.acknowledged == 20_000 for edge in report.ledger.edges)


async def test_a_fast_source_waits_for_a_slow_consumer() -> None:
    """with back-pressure: a full buffer makes the sender wait, and nothing is dropped"""
    gate, counter = anyio.Event(), Counter()

    class Slow(HarnessComponent):
        seen = 0

        async def process(self) -> None:
            async for _ in self.receive_streams["in"]:
                await gate.wait()
                self.seen += 1

    harness, slow = SystemExecutionHarness(), Slow("slow")
    harness.register_component("counter", counter)
    harness.register_component("slow", slow)
    harness.connect("counter.out", "slow.in", buffer_size=20)
    async with harness:
        await anyio.wait_all_tasks_blocked()
        assert counter.sent == 21  # 20 in the buffer and one in hand
        edge = harness.statistics().edges["counter.out -> slow.in"]
        assert (edge.buffered, edge.capacity, edge.waiting_senders) == (20, 20, 1)
        gate.set()
    assert slow.seen == counter.sent


async def test_hundreds_of_components_start_run_and_stop() -> None:
    """sets the components up, runs them concurrently [...] and shuts all of it down cleanly"""
    harness, counters = SystemExecutionHarness(), []
    totals: list[int] = []
    harness.add("sink", keep(totals))
    for number in range(200):
        counter = Counter(f"c{number}")
        counters.append(counter)
        harness.register_component(counter.name, counter)
        harness.connect(f"{counter.name}.out", "sink")
    async with harness:
        await counters[0].busy.wait()
    report = harness.report
    assert report is not None
    assert report.clean
    assert len(totals) == sum(counter.sent for counter in counters)
    assert {one.status.state for one in harness.components.values()} == {"stopped"}


# --- graceful shutdown -----------------------------------------------------------------------------------


async def test_a_stop_under_load_delivers_everything_and_closes_the_books() -> None:
    """every message already accepted reaches its sink, sinks finish, everything is cleaned up"""
    left: list[int] = []
    right: list[int] = []
    harness, counter = SystemExecutionHarness(), Counter()
    harness.register_component("counter", counter)
    harness.add("twice", component(lambda number: number * 2))
    harness.add("left", keep(left))
    harness.add("right", keep(right))
    for sender, receiver in [("counter.out", "twice"), ("twice.out", "left"), ("counter.out", "right")]:
        harness.connect(sender, receiver, buffer_size=30)
    async with harness:
        await counter.busy.wait()
    report = harness.report
    assert report is not None
    assert right == list(range(counter.sent))
    assert left == [2 * number for number in right]
    assert (report.outcome, report.ledger.closes, report.ledger.totals.lost) == ("stopped", True, 0)


async def test_stops_from_everywhere_at_once_are_one_drain() -> None:
    """`stop()` is safe before, during and after a run, twice, and from within; `request_stop()` from any thread"""
    seen: list[int] = []
    harness, counter = SystemExecutionHarness(), Counter()

    @component
    async def stopper(number: int) -> None:
        seen.append(number)
        if number == 1000:
            await harness.stop()
            await anyio.to_thread.run_sync(harness.request_stop)

    harness.register_component("counter", counter)
    harness.add("stopper", stopper)
    harness.connect("counter.out", "stopper")
    await harness.stop()
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await counter.busy.wait()
        for _ in range(3):
            group.start_soon(harness.stop)
        thread = threading.Thread(target=harness.request_stop)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
    await harness.stop()
    assert seen == list(range(counter.sent))


# --- clean-up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["end", "stop", "crash", "cancel", "setup"])
async def test_everything_is_cleaned_up_whatever_happens(how: str) -> None:
    """everything is cleaned up"""
    resources = [Resource(f"r{number}") for number in range(3)]
    harness, counter = SystemExecutionHarness(), Counter()
    harness.register_component("counter", counter)
    for resource in resources:
        harness.register_component(resource.name, resource)
        harness.connect("counter.out", f"{resource.name}.in")
    if how in ("crash", "setup"):
        resources[1].fail_in, resources[1].left = {"crash": "process", "setup": "setup"}[how], 1
        with pytest.raises(SystemFailed):
            await harness.run()
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(harness.run)
            await counter.busy.wait()
            if how == "cancel":
                group.cancel_scope.cancel()
            elif how == "end":
                harness.request_stop()
            else:
                await harness.stop()
    assert not any(resource.open for resource in resources)
    assert harness.running is False
    for resource in resources:
        never_set_up = resource.status.state == "created"  # its neighbour failed before it was its turn
        open_ends = resource.receive_streams["in"].statistics().open_receive_streams
        assert open_ends == (1 if never_set_up else 0)


async def test_a_failing_clean_up_does_not_keep_the_others_from_theirs() -> None:
    """everything is cleaned up; the error is named"""
    bad, good = Resource("bad", fail_in="cleanup", times=1), Resource("good")
    harness = SystemExecutionHarness()
    harness.add("source", emit(1))
    for resource in (good, bad):
        harness.register_component(resource.name, resource)
        harness.connect("source.out", f"{resource.name}.in")
    with pytest.raises(SystemFailed, match="bad failed in cleanup: ConnectionError"):
        await harness.run()
    assert (bad.open, good.open) == (False, False)


async def test_runs_leave_no_objects_behind() -> None:
    """shuts all of it down cleanly"""
    seen: list[int] = []
    harness = SystemExecutionHarness()
    harness.add("source", emit(*range(50)))
    harness.add("sink", keep(seen))
    harness.connect("source", "sink")
    counts = []
    for _ in range(3):
        for _ in range(30):  # a status keeps its last 100 moves, four a run
            await harness.run()
            seen.clear()
        gc.collect()
        # the journal keeps the records of other tests; a dead weakref.proxy has a type, but no class
        counts.append(sum(type(one) is not LogEntry for one in gc.get_objects()))
    assert counts[2] - counts[1] < 20


# --- errors and recovery -------------------------------------------------------------------------------------


async def test_after_a_crash_the_same_harness_runs_again_and_succeeds() -> None:
    """Recovery is `error -> ready`"""
    resource = Resource("resource", fail_in="process", times=1)
    harness = numbers_into(resource)
    with pytest.raises(SystemFailed, match="resource failed in process: ConnectionError") as caught:
        await harness.run()
    assert caught.value.report.exit_code() == 1
    assert (resource.status.error_count, resource.open) == (1, False)
    await harness.run()
    assert resource.seen == list(range(10))
    assert resource.status.state == "stopped"
    assert isinstance(resource.status.last_error, ConnectionError)


async def test_after_a_failed_set_up_the_same_harness_runs_and_succeeds() -> None:
    """a failed setup cleans up those already set up; restart is `stopped -> ready`"""
    resource = Resource("resource", fail_in="setup", times=1)
    harness = numbers_into(resource)
    with pytest.raises(SystemFailed, match="resource failed in setup"):
        await harness.run()
    assert resource.open is False
    await harness.run()
    assert resource.seen == list(range(10))


async def test_a_set_up_that_hangs_is_named_and_cleaned_up() -> None:
    """a failed setup cleans up those already set up"""

    class Hangs(HarnessComponent):
        async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
            await anyio.Event().wait()

    harness = SystemExecutionHarness(setup_timeout=0.05)
    harness.add("hangs", Hangs)
    with pytest.raises(SystemFailed, match="set-up of 'hangs' took over") as caught:
        await harness.run()
    assert isinstance(caught.value.__cause__, SetupFailed)


async def test_a_message_that_fails_once_goes_through_the_second_time() -> None:
    """moves messages [...]; a failure of a message is not a failure of its component"""
    tries: list[int] = []
    seen: list[int] = []

    @component(attempts=3, backoff=0)
    def flaky(number: int) -> int:
        tries.append(number)
        if tries.count(number) == 1:
            raise TimeoutError("not yet")
        return number

    harness = SystemExecutionHarness()
    harness.add("source", emit(1, 2, 3))
    harness.add("flaky", flaky)
    harness.add("sink", keep(seen))
    harness.connect("source", "flaky")
    harness.connect("flaky.out", "sink")
    report = await harness.run()
    assert seen == [1, 2, 3]
    assert tries == [1, 1, 2, 2, 3, 3]
    assert report.clean
    assert harness.components["flaky"].status.error_count == 0


async def test_a_message_that_fails_for_good_is_a_dead_letter_and_the_others_go_on() -> None:
    """and never takes unrelated components down silently"""
    seen: list[float] = []

    @component(attempts=2, backoff=0)
    def invert(number: int) -> float:
        return 1 / number

    harness = SystemExecutionHarness()
    harness.add("source", emit(1, 0, 2))
    harness.add("invert", invert)
    harness.add("sink", keep(seen))
    harness.connect("source", "invert")
    harness.connect("invert.out", "sink")
    report = await harness.run()
    assert seen == [1.0, 0.5]
    (letter,) = report.dead_letters
    assert (letter.component, letter.message, letter.attempts) == ("invert", 0, 2)
    assert isinstance(letter.error, ZeroDivisionError)
    assert "in invert" in letter.traceback
    assert report.exit_code() == 4
    assert report.ledger.closes


async def test_a_component_that_swallows_nothing_is_cancelled_from_outside_and_cleaned_up() -> None:
    """It must not leave `running` true behind, whatever happened"""
    resource, counter = Resource("resource"), Counter()
    harness = SystemExecutionHarness()
    harness.register_component("counter", counter)
    harness.register_component("resource", resource)
    harness.connect("counter.out", "resource.in")
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(harness.run)
            await counter.busy.wait()
            scope.cancel()
    assert scope.cancelled_caught
    assert (harness.running, resource.open) == (False, False)


async def test_components_exchange_serialised_messages_and_survive_a_receiver_that_has_gone() -> None:
    """One closed or failed receiver in a broadcast must not cancel the others, inside a system too"""
    heard: dict[str, list[Any]] = {"a": [], "b": [], "c": []}
    reports: list[Any] = []

    class Speaker(HarnessComponent):
        async def process(self) -> None:
            framework = StreamFramework()
            async for _ in self.receive_streams["gone"]:  # ends when b has ended
                pass
            reports.append(await framework.broadcast_message(self.send_streams, "one"))
            reports.append(await framework.broadcast_message(self.send_streams, "two"))

    class Listener(HarnessComponent):
        async def process(self) -> None:
            if self.name == "b":
                self.receive_streams["in"].close()
                return
            framework = StreamFramework(MessageProtocol())
            while True:
                heard[self.name].append(await framework.receive_message(self.receive_streams["in"]))

    harness = SystemExecutionHarness()
    harness.add("speaker", Speaker)
    for name in heard:
        harness.add(name, Listener)
        harness.connect(f"speaker.{name}", f"{name}.in")
    harness.connect("b.gone", "speaker.gone")
    report = await harness.run()
    assert heard == {"a": ["one", "two"], "b": [], "c": ["one", "two"]}
    assert [set(one.failed) for one in reports] == [{"b"}, {"b"}]
    assert report.outcome == "finished"


async def test_streams_of_a_manager_join_a_system_to_the_world_around_it() -> None:
    """what `StreamManager.create_stream` returns [...]; Closed streams leave the table"""
    manager = StreamManager()
    send, receive = manager.create_stream(5)
    seen: list[int] = []

    class Gate(HarnessComponent):
        async def process(self) -> None:
            async with receive:
                async for item in receive:
                    await self.send_streams["out"].send(item)

    harness = SystemExecutionHarness()
    harness.add("gate", Gate)
    harness.add("sink", keep(seen))
    harness.connect("gate.out", "sink")
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        async with send:
            for number in range(50):
                await send.send(number)
    assert seen == list(range(50))
    assert manager.get_stream_stats()["active_count"] == 0


# --- what must always hold (section 5) -------------------------------------------------------------------------


def public_modules() -> Iterator[tuple[str, Any]]:
    """Yield every public name of the package's root with what it stands for."""
    for name in headrace.__all__:
        yield name, getattr(headrace, name)


def test_public_functions_and_methods_have_type_hints() -> None:
    """Type hints everywhere"""
    assert (PACKAGE / "py.typed").is_file()
    missing = []
    for name, thing in public_modules():
        functions = [thing] if inspect.isfunction(thing) else []
        if inspect.isclass(thing):
            functions += [
                f for n, f in vars(thing).items() if inspect.isfunction(f) and not n.startswith("_")
            ]
        for function in functions:
            hints = set(function.__annotations__)
            parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
            if not (parameters | {"return"}) <= hints:
                missing.append(f"{name}.{function.__name__}")
    assert not missing


def test_errors_are_custom_and_share_one_base() -> None:
    """custom exception types"""
    module = importlib.import_module("headrace.exceptions")
    kinds = [
        kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__
    ]
    assert len(kinds) > 30
    assert all(issubclass(kind, HeadraceError) for kind in kinds)


async def test_logs_are_structured(caplog: pytest.LogCaptureFixture) -> None:
    """structured logs"""
    caplog.set_level(logging.INFO, "headrace")
    with pytest.raises(SystemFailed):
        await numbers_into(Resource("resource", fail_in="process", times=1)).run()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    fields = vars(record)
    assert (fields["component"], fields["system"]) == ("resource", "numbers")
    assert "ConnectionError" in fields["error"]


def test_the_core_imports_no_asyncio() -> None:
    """pure AnyIO in the core (no `asyncio` import)"""
    guilty = []
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in ("edges", "testing"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            guilty += [f"{path}: {name}" for name in names if name.split(".")[0] == "asyncio"]
    assert not guilty


def test_the_neutral_base_stays_small() -> None:
    """Existing code subclasses it, so it stays small and stable"""
    public = {name for name in vars(Component) if not name.startswith("_")}
    assert public == {"setup", "process", "cleanup", "health_check"}


if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", str(Path(__file__).resolve()), *sys.argv[1:]]
    sys.exit(subprocess.call(command))
