"""Who blocks whom, in running systems: the log, the statistics and the report name the component and its line."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after

from headrace import Replicas, System, component
from headrace.model.options import Watching
from headrace.model.trouble import Stall
from headrace.runtime import watchdog

SOON = 0.05  # seconds after which a stall is told in these tests


class Told(logging.Handler):
    """Keeps what the harness logs, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._waiting: list[tuple[str, anyio.Event]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        for part, event in self._waiting:
            if part in record.getMessage():
                event.set()

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    def of(self, what: str) -> list[logging.LogRecord]:
        """Return the records of one kind of trouble."""
        return [record for record in self.records if getattr(record, "what", "") == what]

    async def wait(self, part: str) -> str:
        """Wait for a record with this in its text, and return that; only for what is logged in the loop."""
        event = anyio.Event()
        self._waiting.append((part, event))
        if not any(part in text for text in self.texts):
            with fail_after(10):
                await event.wait()
        return next(text for text in self.texts if part in text)


@pytest.fixture
def told() -> Iterator[Told]:
    """Return what the harness logs during a test."""
    handler, logger = Told(), logging.getLogger("headrace")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


def line_of(fn: Any, further: int) -> str:
    """Return ``name() at file.py:41``, so many lines below a function's first."""
    code = fn.__code__
    return f"{code.co_name}() at test_watchdog.py:{code.co_firstlineno + further}"


def system(
    parts: SimpleNamespace, bodies: dict[str, Any], *edges: str, size: int = 2, **options: Any
) -> System:
    """Return a system of acting components with small buffers and short patience."""
    options = {"stall_after": SOON, "shutdown_timeout": 0.1, "source_grace": 0.05} | options
    made = System("watched", **options)
    for name, body in bodies.items():
        made.register_component(name, parts.Acting(name, body) if callable(body) else body)
    for edge in edges:
        made.connect(*edge.split(" -> "), buffer_size=size)
    return made


async def numbers(self: Any) -> None:
    for number in range(1_000_000):
        await self.send_streams["out"].send(number)


# --- slow and stuck sinks -----------------------------------------------------------------------------


async def test_a_stuck_sink_is_named_with_its_line_and_so_is_its_end(
    parts: SimpleNamespace, told: Told
) -> None:
    go_on = anyio.Event()

    async def fetch() -> None:
        await go_on.wait()

    async def store(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            await fetch()

    made = system(
        parts,
        {"source": parts.Numbers("source", count=20), "parse": parts.Pass("parse"), "store": store},
        "source.out -> parse.in",
        "parse.out -> store.in",
    )
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("; behind parse: source")
        statistics = made.statistics()
        go_on.set()
    where = line_of(fetch, 1)
    assert text.endswith(f"s sending to store.in (2/2); store awaits {where}; behind parse: source")
    (stall,) = statistics.stalls
    assert isinstance(stall, Stall)
    assert (stall.kind, stall.component, stall.waits_for.where) == ("blocked", "store", where)
    assert (stall.blocked, stall.edge) == (("parse", "source"), "parse.out -> store.in")
    waits = {name: one.waiting_for for name, one in statistics.components.items()}
    assert waits["store"] is not None
    assert (waits["store"].kind, waits["store"].text, waits["store"].on) == ("await", where, ())
    assert waits["parse"] is not None
    assert (waits["parse"].kind, waits["parse"].text) == ("send", "room on store.in (2/2)")
    assert waits["parse"].on == ("store",)
    assert abs(waits["parse"].since - time.time()) < 60
    (record, *_) = told.of("stall")
    assert record.levelno == logging.WARNING
    assert (record.component, record.edge, record.where) == ("store", "parse.out -> store.in", where)  # type: ignore[attr-defined]
    assert [one.components["store"].waiting_for for one in [made.statistics()]] == [None]


async def test_the_end_of_a_stall_is_told_with_how_long_it_lasted(parts: SimpleNamespace, told: Told) -> None:
    go_on, stay = anyio.Event(), anyio.Event()

    async def store(self: Any) -> None:
        await go_on.wait()
        async for number in self.receive_streams["in"]:
            if number == 19:
                await stay.wait()

    made = system(
        parts, {"source": parts.Numbers("source", count=20), "store": store}, "source.out -> store.in"
    )
    async with create_task_group() as group:
        await group.start(made.run)
        await told.wait("source has been blocked")
        go_on.set()
        text = await told.wait("store goes on again")
        stay.set()
    assert text.startswith("store goes on again; source was held up ")
    assert [record.levelno for record in told.of("stall")] == [logging.WARNING, logging.INFO]


async def test_who_is_cut_off_by_a_drain_is_not_said_to_go_on(parts: SimpleNamespace, told: Told) -> None:
    async def stuck(self: Any) -> None:
        await anyio.sleep_forever()

    made = system(
        parts, {"source": numbers, "store": stuck}, "source.out -> store.in", shutdown_timeout=8 * SOON
    )
    async with create_task_group() as group:
        await group.start(made.run)
        await told.wait("source has been blocked")
        await made.stop()
    assert [record.levelno for record in told.of("stall")] == [logging.WARNING]


@pytest.mark.fault(15)
async def test_a_slow_sink_is_told_as_slow_with_its_rate(parts: SimpleNamespace, told: Told) -> None:
    async def store(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            await anyio.sleep(0.02)

    made = system(parts, {"source": numbers, "store": store}, "source.out -> store.in", stall_after=0.1)
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("store is slow")
        made.request_stop()
    assert text.startswith("source has been held up ")
    assert re.search(r" s sending to store\.in \([12]/2\); store is slow \(", text)
    assert text.endswith(f"it awaits {line_of(store, 2)}")


async def test_nothing_is_told_of_systems_that_wait_for_the_world_or_keep_up(
    parts: SimpleNamespace, told: Told
) -> None:
    seen = 0

    async def ticks(self: Any) -> None:
        for number in range(40):
            await anyio.sleep(SOON / 10)
            await self.send_streams["out"].send(number)

    async def store(self: Any) -> None:
        nonlocal seen
        async for _ in self.receive_streams["in"]:
            await anyio.lowlevel.checkpoint()
            seen += 1

    made = system(parts, {"ticks": ticks, "store": store}, "ticks.out -> store.in", stall_after=0.5)
    fast = system(
        parts,
        {"source": parts.Numbers("source", count=30_000), "parse": parts.Pass("parse"), "store": store},
        "source.out -> parse.in",
        "parse.out -> store.in",
        size=100,
        stall_after=0.5,
    )
    async with create_task_group() as group:
        group.start_soon(made.run)
        group.start_soon(fast.run)
    assert seen == 30_040
    assert told.of("stall") == told.of("deadlock") == []


def test_what_was_taken_before_the_loop_stood_still_counts_as_taken_lately() -> None:
    quiet = SimpleNamespace(edges={}, members={}, waiting=(), look=lambda: None)
    dog = watchdog.Watchdog(quiet, {}, quiet, list, quiet, Watching(), lambda: 0.0, None)  # type: ignore[arg-type]
    known = dog._pressed["a.out -> b.in"] = watchdog._Pressed(since=1.0, seen=2.0)
    known.note(1.5, 10, window=1.0)
    known.note(2.0, 20, window=1.0)
    dog._forgive(5.0)
    assert known.since == 6.0
    assert list(known.taken) == [(6.5, 10), (7.0, 20)]


async def test_a_component_that_is_paused_is_said_to_be_paused_and_not_warned_of(
    parts: SimpleNamespace, told: Told
) -> None:
    sink = parts.Collect("store")
    made = system(parts, {"source": numbers, "store": sink}, "source.out -> store.in")
    async with create_task_group() as group:
        await group.start(made.run)
        await made.pause("store")
        text = await told.wait("store is paused")
        waiting = made.statistics().components["store"].waiting_for
        made.request_stop()
    assert text.startswith("source has been blocked ")
    assert waiting is not None
    assert waiting.kind == "paused"
    assert [record.levelno for record in told.of("stall")][:1] == [logging.INFO]


async def test_of_replicas_the_stuck_one_is_named(parts: SimpleNamespace, told: Told) -> None:
    go_on = anyio.Event()

    class Store(parts.Pass):  # type: ignore[misc,name-defined]
        async def process(self) -> None:
            async for _ in self.receive_streams["in"]:
                if self.name == "store[1]":
                    await go_on.wait()

    made = System("watched", stall_after=SOON)
    made.register_component("source", parts.Numbers("source", count=100))
    made.add("store", Store, replicas=Replicas(2, key=int))
    made.connect("source.out", "store.in", buffer_size=2)
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("sending to store[1].in (2/2); store[1] awaits")
        go_on.set()
    assert text.endswith(line_of(Store.process, 3))


async def test_a_task_that_a_component_has_started_is_named_by_its_own_line(
    parts: SimpleNamespace, told: Told
) -> None:
    go_on = anyio.Event()

    async def slowly() -> None:
        await go_on.wait()

    async def store(self: Any) -> None:
        async with create_task_group() as group:
            group.start_soon(slowly)
        async for _ in self.receive_streams["in"]:
            pass

    made = system(
        parts, {"source": parts.Numbers("source", count=9), "store": store}, "source.out -> store.in"
    )
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("source has been blocked")
        go_on.set()
    assert text.endswith(f"store awaits {line_of(slowly, 1)}")


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_function_component_is_named_by_the_line_of_its_function(
    told: Told, concurrency: int
) -> None:
    go_on = anyio.Event()

    @component(concurrency=concurrency)
    async def store(number: int) -> None:
        await go_on.wait()

    @component
    def source() -> Iterator[int]:
        yield from range(50)

    @component
    def parse(number: int) -> int:
        return number

    made = System("watched", stall_after=SOON, buffer_size=2)
    for name, fn in {"source": source, "parse": parse, "store": store}.items():
        made.add(name, fn)
    made.connect("source", "parse")
    made.connect("parse", "store")
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("parse has been blocked")
        go_on.set()
    assert f"; store awaits {line_of(store.fn, 2)}" in text


@pytest.mark.fault(9)
async def test_a_stuck_worker_thread_is_named_by_the_line_it_is_at(told: Told) -> None:
    go_on = threading.Event()

    @component(run_in="thread")
    def store(number: int) -> None:
        go_on.wait(10)

    @component
    async def source() -> AsyncIterator[int]:
        for number in range(50):
            yield number

    made = System("watched", stall_after=SOON, buffer_size=2)
    made.add("source", source)
    made.add("store", store)
    made.connect("source", "store")
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("source has been blocked")
        go_on.set()
    assert f"; store waits for its worker, which is in {line_of(store.fn, 2)}" in text


@pytest.mark.fault(18)
async def test_a_full_dead_letter_store_is_told(told: Told) -> None:
    @component(attempts=1)
    def fails(number: int) -> int:
        raise ValueError(number)

    @component
    def source() -> Iterator[int]:
        yield from range(50)

    made = System("watched", stall_after=SOON, dead_letter_limit=2)
    made.add("source", source)
    made.add("fails", fails)
    made.connect("source", "fails")
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("dead-letter store")
        waiting = made.statistics().components["fails"].waiting_for
        while made.running:
            made.discard_dead_letters()
            await anyio.lowlevel.checkpoint()
    assert "for room in the dead-letter store (2/2)" in text
    assert waiting is not None
    assert (waiting.kind, waiting.text) == ("dead_letters", "room in the dead-letter store (2/2)")


async def test_one_that_acknowledges_nothing_is_named_with_its_window(
    parts: SimpleNamespace, told: Told
) -> None:
    async def hoard(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            pass

    made = system(parts, {"source": numbers})
    made.add("hoard", parts.Acting("hoard", hoard), ack="manual", max_unacked=3)
    made.connect("source.out", "hoard.in", buffer_size=2)
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("source has been blocked")
        waiting = made.statistics().components["hoard"].waiting_for
        made.request_stop()
    assert waiting is not None
    assert waiting.text in text
    assert text.endswith(
        f"; hoard awaits {line_of(hoard, 1)}, for an ack() on hoard.in: 3 are unacknowledged (max_unacked)"
    )


# --- deadlocks ------------------------------------------------------------------------------------------


async def greedy(self: Any) -> None:
    while True:
        for number in range(2):
            await self.send_streams["out"].send(number)
        await self.receive_streams["in"].receive()


@pytest.mark.fault(16)
async def test_a_deadlocked_pair_is_named_in_the_log_the_statistics_and_the_report(
    parts: SimpleNamespace, told: Told
) -> None:
    made = system(parts, {"a": greedy, "b": greedy}, "a.out -> b.in", "b.out -> a.in")
    before = time.process_time()
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("deadlock: ")
        statistics = made.statistics()
        report = await made.stop()
    where = line_of(greedy, 3)
    assert text == (
        "deadlock: a.out -> b.in (2/2) and b.out -> a.in (2/2) wait for each other: "
        f"a in {where}, b in {where}"
    )
    assert statistics.stalls == ()
    assert [str(one) for one in statistics.deadlocks] == [text]
    assert [record.levelno for record in told.of("deadlock")] == [logging.ERROR]
    assert told.of("deadlock")[0].where == [where, where]  # type: ignore[attr-defined]
    assert report is not None
    assert report.deadlocks == (text,)
    assert {overrun.component: overrun.awaiting for overrun in report.overruns} == {"a": where, "b": where}
    assert time.process_time() - before < 1  # nobody spins while they wait


async def test_the_deadline_names_a_deadlock_that_was_too_young_to_be_told(
    parts: SimpleNamespace, told: Told
) -> None:
    made = system(parts, {"a": greedy, "b": greedy}, "a.out -> b.in", "b.out -> a.in", stall_after=1000)
    async with create_task_group() as group:
        await group.start(made.run)
        await anyio.wait_all_tasks_blocked()
        report = await made.stop()
    assert report is not None
    (deadlock,) = report.deadlocks
    assert deadlock.startswith("deadlock: a.out -> b.in (2/2) and b.out -> a.in (2/2) wait for each other")
    assert deadlock in told.texts


async def test_a_busy_circle_is_no_deadlock(parts: SimpleNamespace, told: Told) -> None:
    async def rounds(self: Any) -> None:
        for number in range(20_000):
            await self.send_streams["out"].send(number)
            await self.receive_streams["in"].receive()

    made = system(
        parts, {"a": rounds, "b": parts.Pass("b")}, "a.out -> b.in", "b.out -> a.in", stall_after=0.02
    )
    await made.run()
    assert told.of("deadlock") == told.of("stall") == []


async def test_a_deadlock_of_fused_functions_and_a_class_is_named(parts: SimpleNamespace, told: Told) -> None:
    @component
    def twice(number: int) -> Iterator[int]:
        yield number
        yield number

    made = system(parts, {"a": parts.Pass("a")}, shutdown_timeout=0.05)
    made.add("twice", twice)
    made.add("start", _once)
    made.connect("start", "a.in", buffer_size=2)
    made.connect("a.out", "twice", buffer_size=2)
    made.connect("twice", "a.in", buffer_size=2)
    async with create_task_group() as group:
        await group.start(made.run)
        text = await told.wait("deadlock: ")
        made.request_stop()
    assert "a.out -> twice.in (2/2)" in text
    assert "twice.out -> a.in (2/2)" in text


@component
def _once() -> Iterator[int]:
    yield 1


# --- slow set-ups and clean-ups -------------------------------------------------------------------------


@pytest.mark.fault(2)
async def test_slow_set_ups_and_clean_ups_are_named_while_they_last(
    parts: SimpleNamespace, told: Told
) -> None:
    set_up, cleaned_up = anyio.Event(), anyio.Event()

    class Db(parts.Collect):  # type: ignore[misc,name-defined]
        async def setup(self, harness_context: Any = None) -> None:
            await set_up.wait()
            await super().setup(harness_context)

        async def cleanup(self) -> None:
            await cleaned_up.wait()
            await super().cleanup()

    made = System("watched", stall_after=0.01)
    made.register_component("numbers", parts.Numbers("numbers", count=1))
    made.register_component("db", Db("db"))
    made.connect("numbers.out", "db.in")
    async with create_task_group() as group:
        group.start_soon(made.run)
        beginning = await told.wait("set-up of db takes")
        stalls = made.statistics().stalls
        set_up.set()
        end = await told.wait("clean-up of db takes")
        cleaned_up.set()
    assert beginning.endswith(f"awaiting {line_of(Db.setup, 1)}")
    assert [str(one).partition(" takes")[0] for one in stalls] == ["set-up of db"]
    assert end.endswith(f"awaiting {line_of(Db.cleanup, 1)}")
    assert any(text.startswith("set-up of db took") for text in told.texts)


async def test_a_resource_that_opens_or_closes_slowly_is_named(told: Told) -> None:
    opened, closed = anyio.Event(), anyio.Event()

    async def pool() -> AsyncIterator[int]:
        await opened.wait()
        yield 1
        await closed.wait()

    made = System("watched", stall_after=0.01)
    made.resource("db", pool)
    made.add("once", _once)
    async with create_task_group() as group:
        group.start_soon(made.run)
        first = await told.wait("opening resource db takes")
        opened.set()
        last = await told.wait("closing resource db takes")
        closed.set()
    assert first.endswith(f"awaiting {line_of(pool, 1)}")
    assert last.endswith(f"awaiting {line_of(pool, 3)}")


# --- switched off ---------------------------------------------------------------------------------------


async def test_what_is_switched_off_is_not_watched(parts: SimpleNamespace, told: Told) -> None:
    made = system(
        parts,
        {"a": greedy, "b": greedy},
        "a.out -> b.in",
        "b.out -> a.in",
        stall_after=None,
        blocked_after=0,
    )
    threads = threading.active_count()
    async with create_task_group() as group:
        await group.start(made.run)
        await anyio.wait_all_tasks_blocked()
        assert threading.active_count() == threads
        assert made.statistics().components["a"].waiting_for is not None
        report = await made.stop()
    assert report is not None
    assert report.deadlocks == ()
    assert told.of("deadlock") == []


async def test_a_look_at_thousands_of_idle_components_takes_next_to_no_time(
    parts: SimpleNamespace,
) -> None:
    made = System("large", stall_after=1000)
    made.register_component("source", parts.Acting("source", _rest))
    for number in range(1_000):
        made.register_component(f"c{number}", parts.Collect(f"c{number}"))
        made.connect("source.out", f"c{number}.in")
    async with create_task_group() as group:
        await group.start(made.run)
        await anyio.wait_all_tasks_blocked()
        run = made._run
        assert run is not None
        assert run.watch._dog is not None
        began = time.process_time()
        for _ in range(10):
            run.watch._dog.look()
        assert (time.process_time() - began) / 10 < 0.005  # 0.03 ms on a quiet machine
        assert made.statistics().components["c7"].waiting_for is not None
        group.cancel_scope.cancel()


async def _rest(self: Any) -> None:
    await anyio.sleep_forever()
