"""Faults that are looked at from within a program, on both backends."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import create_task_group, fail_after, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from headrace import HarnessComponent, System, component
from headrace.cli.ending import report_lines
from headrace.components import SqliteSink
from headrace.model.restart_policy import Backoff, RestartPolicy


class Numbers(HarnessComponent):
    """Sends numbers for ever."""

    async def process(self) -> None:
        number = 0
        while True:
            await self.send_streams["out"].send(number)
            number += 1


class Collect(HarnessComponent):
    """Keeps what it receives, once it may."""

    def __init__(self, name: str, config: Any = None) -> None:
        super().__init__(name, config)
        self.got: list[int] = []
        self.go = anyio.Event()

    async def process(self) -> None:
        await self.go.wait()
        async for message in self.receive_streams["in"]:
            self.got.append(message)


@pytest.mark.fault(
    15,
    "Its lag is in the statistics: what lies on its edge, and who waits. Other branches go on until that "
    "edge is full; what lies there gets through.",
)
async def test_a_slow_branch_lags_and_the_others_go_on_until_its_edge_is_full() -> None:
    system = System()
    slow, quick = Collect("slow"), Collect("quick")
    quick.go.set()
    system.add("numbers", Numbers)
    system.register_component("slow", slow)
    system.register_component("quick", quick)
    system.connect("numbers.out", "slow.in", buffer_size=500)
    system.connect("numbers.out", "quick.in", buffer_size=5)
    async with create_task_group() as group:
        await group.start(system.run)
        await wait_all_tasks_blocked()
        edges = system.statistics().edges
        lag = edges["numbers.out -> slow.in"]
        assert (lag.buffered, lag.waiting_senders) == (500, 1)
        assert edges["numbers.out -> quick.in"].buffered == 0
        assert quick.got == list(range(500))
        slow.go.set()
        with fail_after(30):
            await system.stop()
    assert slow.got == quick.got
    assert system.report is not None
    assert system.report.clean


@pytest.mark.fault(14)
async def test_a_flood_takes_the_room_of_its_edges_and_no_more() -> None:
    system = System(buffer_size=50, shutdown_timeout=0.1)
    sink = Collect("sink")
    system.add("numbers", Numbers)
    system.register_component("sink", sink)
    system.connect("numbers.out", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        for _ in range(3):
            await wait_all_tasks_blocked()
            assert system.ledger().accepted == 50
        await system.stop()
    assert system.ledger().remaining == 50


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
@pytest.mark.fault(
    27,
    "Nothing depends on it: deadlines, pauses, batches and durations run on the monotonic clock. Only what "
    "is for people shows it.",
)
async def test_a_jump_of_the_wall_clock_changes_no_deadline(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    real = time.time
    lives = 0

    class Restarted(HarnessComponent):
        async def process(self) -> None:
            nonlocal lives
            lives += 1
            monkeypatch.setattr(time, "time", lambda: real() + jump * lives)
            if lives < 3:
                raise ValueError("no")
            async for batch in self.receive_streams["in"].batch(1000, within=0.01):  # type: ignore[attr-defined]
                got.extend(batch)
            await anyio.sleep_forever()

    class Five(HarnessComponent):
        async def process(self) -> None:
            for number in range(5):
                await self.send_streams["out"].send(number)
            await self.context.stop_event.wait()  # type: ignore[union-attr]

    got: list[int] = []
    system = System(shutdown_timeout=0.2)
    system.add("five", Five)
    system.add("restarted", Restarted, restart=RestartPolicy(backoff=Backoff(0.01, 0.01)))
    system.connect("five.out", "restarted.in")
    began = time.monotonic()
    async with create_task_group() as group:
        await group.start(system.run)
        with fail_after(30):
            while len(got) < 5:
                await checkpoint()
            report = await system.stop()
    assert report is not None
    assert [late.component for late in report.overruns] == ["restarted"]
    assert 0.2 <= report.drain_seconds <= report.seconds <= time.monotonic() - began
    assert report.ledger.closes


@pytest.mark.fault(
    "await in finally",
    "Under the cancellation of a deadline it is cut off, as AnyIO does; a `cleanup()` may await: it is "
    "shielded, and has `cleanup_timeout`.",
)
async def test_a_clean_up_may_await_and_has_its_time(shown: Callable[[str], None]) -> None:
    steps: list[str] = []

    class Careful(HarnessComponent):
        async def process(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                steps.append("finally")
                await anyio.lowlevel.checkpoint()
                steps.append("never")

        async def cleanup(self) -> None:
            await super().cleanup()
            await anyio.sleep(0.01)
            steps.append("cleaned up")

    system = System(shutdown_timeout=0.1, source_grace=0.02)
    system.add("careful", Careful)
    with anyio.move_on_after(0.05):
        await system.run()
    assert steps == ["finally", "cleaned up"]
    assert system.report is not None
    shown("\n".join(report_lines(system.report)))


@pytest.mark.fault(
    44,
    "`sqlite_sink` with a restart policy opens the database anew; the rows that were not committed come "
    "again, and only committed rows count as delivered.",
)
async def test_a_table_that_is_dropped_in_a_run_is_written_anew_with_nothing_lost(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    go_on = anyio.Event()

    class Rows(HarnessComponent):
        async def process(self) -> None:
            for number in range(20):
                if number == 10:
                    await go_on.wait()
                await self.send_streams["out"].send({"id": number})

    system = System()
    system.add("rows", Rows)
    settings = {"path": str(path), "table": "t", "columns": {"id": "INTEGER"}, "batch_size": 5}
    restart = RestartPolicy(backoff=Backoff(0.0, 0.0))
    system.add("store", SqliteSink, settings, restart=restart)
    system.connect("rows.out", "store.in")
    async with create_task_group() as group:
        await group.start(system.run)
        with fail_after(30):
            while system.ledger().acknowledged < 5 or system.ledger().remaining:
                await checkpoint()
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("DROP TABLE t")
                connection.commit()
            go_on.set()
            report = await system.wait()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM t ORDER BY id").fetchall() == [(n,) for n in range(10, 20)]
    assert (report.ledger.acknowledged, report.ledger.totals.lost) == (20, 0)
    assert [one.restarts for one in report.restarts] == [1]
    assert not report.dead_letters


@pytest.mark.fault(
    "yield in a task group",
    "A source may do it: its generator is driven and closed by one task, so that no scope is left in another one.",
)
async def test_a_source_that_yields_inside_a_task_group_is_stopped_cleanly() -> None:
    ended: list[str] = []

    @component
    async def ticks() -> AsyncIterator[int]:
        async with create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            try:
                for number in count():
                    yield number
                    await anyio.sleep(0.001)
            finally:
                ended.append("generator")

    system = System(source_grace=0.05)
    sink = Collect("sink")
    sink.go.set()
    system.add("ticks", ticks)
    system.register_component("sink", sink)
    system.connect("ticks", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        with fail_after(30):
            while len(sink.got) < 5:
                await checkpoint()
            report = await system.stop()
    assert ended == ["generator"]
    assert report is not None
    assert report.clean
    assert report.outcome == "stopped"
