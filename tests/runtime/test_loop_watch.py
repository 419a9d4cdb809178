"""Who blocks the event loop is named from a thread, with the line; who does not is not."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group

from headrace import System, component
from headrace.runtime import loop_watch

SOON = 0.1
pause = time.sleep


class Told(logging.Handler):
    """Keeps what the harness logs of a blocked event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "what", "") == "loop blocked":
            self.records.append(record)

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def told() -> Iterator[Told]:
    """Return what is logged of a blocked event loop during a test."""
    handler, logger = Told(), logging.getLogger("headrace")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


def busy(seconds: float) -> None:
    """Compute for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def line_of(fn: Any, further: int) -> str:
    code = fn.__code__
    return f"{code.co_name}() at test_loop_watch.py:{code.co_firstlineno + further}"


def alone(parts: SimpleNamespace, body: Any, name: str = "hog", **options: Any) -> System:
    """Return a system of one component."""
    made = System("watched", **{"blocked_after": SOON} | options)
    made.register_component(name, parts.Acting(name, body))
    return made


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "headrace watchdog"]


@pytest.mark.fault(8)
async def test_a_synchronous_sleep_is_named_with_its_line_its_stack_and_its_end(
    parts: SimpleNamespace, told: Told
) -> None:
    async def hog(self: Any) -> None:
        await anyio.sleep(0.01)
        pause(5 * SOON)

    await alone(parts, hog).run()
    where = line_of(hog, 2)
    first, last = told.texts
    assert first.startswith("hog has blocked the event loop for 0.")
    assert first.endswith(f"s in {where}: all components stand still")
    assert last.startswith("hog has let the event loop go, after 0.")
    record = told.records[0]
    assert (record.levelno, record.component, record.where) == (logging.WARNING, "hog", where)
    assert "pause(5 * SOON)" in record.stack
    assert "headrace/runtime" not in record.stack
    assert watchers() == []


@pytest.mark.fault(8)
async def test_a_busy_loop_is_named_by_the_line_it_is_called_from(parts: SimpleNamespace, told: Told) -> None:
    async def hog(self: Any) -> None:
        busy(7 * SOON)

    await alone(parts, hog).run()
    assert " in busy() at test_loop_watch.py:" in told.texts[0]
    assert told.texts[0].startswith("hog has blocked")


async def test_a_blocked_loop_is_seen_from_other_threads_while_it_lasts(
    parts: SimpleNamespace, told: Told
) -> None:
    seen: list[Any] = []

    def look() -> None:
        while made.statistics().loop_blocked is None:
            time.sleep(0.005)
        seen.append(made.statistics().loop_blocked)

    async def hog(self: Any) -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(10)

    made = alone(parts, hog)
    await made.run()
    assert (seen[0].component, seen[0].phase) == ("hog", "process")
    assert made.statistics().loop_blocked is None


@pytest.mark.parametrize("phase", ["setup", "cleanup"])
async def test_a_set_up_or_clean_up_that_blocks_the_loop_is_named(
    parts: SimpleNamespace, told: Told, phase: str
) -> None:
    class Db(parts.Pass):  # type: ignore[misc,name-defined]
        async def setup(self, harness_context: Any = None) -> None:
            await super().setup(harness_context)
            self.connect("setup")

        async def process(self) -> None:
            """End at once."""

        async def cleanup(self) -> None:
            self.connect("cleanup")
            await super().cleanup()

        def connect(self, now: str) -> None:
            if now == phase:
                time.sleep(4 * SOON)

    made = System("watched", blocked_after=SOON)
    made.register_component("db", Db("db"))
    await made.run()
    what = {"setup": "set-up of db", "cleanup": "clean-up of db"}[phase]
    assert told.texts[0].startswith(f"{what} has blocked the event loop for 0.")
    assert f" in {line_of(Db.connect, 2)}: " in told.texts[0]


async def test_of_fused_functions_the_one_at_work_is_named(told: Told) -> None:
    @component
    def numbers() -> Iterator[int]:
        yield from range(3)

    @component
    def quick(number: int) -> int:
        return number

    @component
    def slow(number: int) -> None:
        if number == 2:
            pause(5 * SOON)

    made = System("watched", blocked_after=SOON)
    for name, fn in {"numbers": numbers, "quick": quick, "slow": slow}.items():
        made.add(name, fn)
    made.connect("numbers", "quick")
    made.connect("quick", "slow")
    await made.run()
    assert told.texts[0].startswith("slow has blocked the event loop for 0.")
    assert line_of(slow.fn, 3) in told.texts[0]


async def test_a_task_that_a_component_has_started_by_itself_is_known(
    parts: SimpleNamespace, told: Told
) -> None:
    async def inner() -> None:
        await anyio.sleep(0.01)
        pause(5 * SOON)

    async def hog(self: Any) -> None:
        async with create_task_group() as group:
            group.start_soon(inner)

    await alone(parts, hog).run()
    assert told.texts[0].startswith("hog has blocked the event loop for 0.")
    assert line_of(inner, 2) in told.texts[0]


async def test_systems_in_one_loop_share_a_thread_and_do_not_blame_each_other(
    parts: SimpleNamespace, told: Told
) -> None:
    done = anyio.Event()

    async def hog(self: Any) -> None:
        await anyio.sleep(0.01)
        assert len(watchers()) == 1
        pause(5 * SOON)
        done.set()

    async def innocent(self: Any) -> None:
        await done.wait()

    async with create_task_group() as group:
        group.start_soon(alone(parts, innocent, "innocent").run)
        group.start_soon(alone(parts, hog).run)
    assert {record.component for record in told.records} == {"hog"}
    assert len(told.records) == 2
    assert watchers() == []


async def test_code_of_the_program_itself_is_told_once_and_blames_no_component(
    parts: SimpleNamespace, told: Told
) -> None:
    done = anyio.Event()

    async def innocent(self: Any) -> None:
        await done.wait()

    async with create_task_group() as group:
        await group.start(alone(parts, innocent, "one").run)
        await group.start(alone(parts, innocent, "two").run)
        await anyio.sleep(0.01)
        pause(5 * SOON)
        await anyio.sleep(0.01)
        done.set()
    assert "by none of its components" in told.texts[0]
    assert "test_loop_watch.py:" in told.texts[0]
    assert [record.component for record in told.records] == ["", ""]
    assert told.texts[1].startswith("the event loop turns again, after ")


async def test_many_short_turns_are_nobodys_fault(parts: SimpleNamespace, told: Told) -> None:
    turns: list[float] = []

    async def short(self: Any) -> None:
        for _ in range(20):
            began = time.monotonic()
            busy(0.002)
            turns.append(time.monotonic() - began)
            await anyio.lowlevel.checkpoint()

    for _ in range(10):  # until the machine lets none of the turns get long
        turns.clear()
        told.records.clear()
        made = System("watched", blocked_after=SOON)
        for number in range(20):
            made.register_component(f"c{number}", parts.Acting(f"c{number}", short))
        await made.run()
        if max(turns) < SOON / 4:
            break
    assert told.records == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_watches_off_the_main_thread_too(parts: SimpleNamespace, told: Told, backend: str) -> None:
    async def hog(self: Any) -> None:
        pause(5 * SOON)

    run = functools.partial(alone(parts, hog).run_blocking, backend=backend)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert told.texts[0].startswith("hog has blocked")
    assert watchers() == []


async def test_the_thread_ends_with_a_run_that_fails_or_is_cancelled(parts: SimpleNamespace) -> None:
    async def forever(self: Any) -> None:
        await anyio.sleep_forever()

    async with create_task_group() as group:
        await group.start(alone(parts, forever).run)
        assert len(watchers()) == 1
        group.cancel_scope.cancel()
    for thread in watchers():
        thread.join(10)  # it was told to end
    assert watchers() == []


def test_a_thread_that_is_to_end_asks_nothing_of_a_loop_that_waits_for_it() -> None:
    asked: list[object] = []
    thread = loop_watch._LoopThread(SimpleNamespace(call_soon=asked.append, is_lost=False))  # type: ignore[arg-type]
    thread._is_done.set()  # as ``end`` does, just before the thread asks
    thread._answered.set()
    assert not thread._ask()
    assert asked == []


def test_a_lost_loop_leaves_no_thread(parts: SimpleNamespace) -> None:
    import asyncio

    async def forever(self: Any) -> None:
        await anyio.sleep_forever()

    loop = asyncio.new_event_loop()
    made = alone(parts, forever, blocked_after=0.02)
    loop.run_until_complete(made.start())
    (thread,) = watchers()
    loop.close()
    busy(0.1)  # asked for a sign of life, it finds that there is no loop
    thread.join(10)
    assert not thread.is_alive()
