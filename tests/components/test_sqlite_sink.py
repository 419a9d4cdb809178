"""``sqlite_sink`` and its table: what is written, when, and what becomes of what cannot be."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from headrace import System
from headrace.components import SqliteSink
from headrace.exceptions import ComponentError, ConfigError, HeadraceError, SystemFailed
from headrace.model.ledger import EdgeLedger

ROWS = [{"id": 1, "name": "one"}, {"id": 2, "name": None}, {"id": 3, "name": 'drei "3"'}]
COLUMNS = {"id": "INTEGER", "name": "TEXT"}


def content(path: Path, table: str = "t") -> list[tuple[Any, ...]]:
    """Return what is in a table."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall()


def schema(path: Path, table: str = "t") -> str:
    """Return the statement that made a table."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        return str(found[0])


def settings(path: Path, **more: Any) -> dict[str, Any]:
    """Return the settings of a sink."""
    return {"path": str(path), "table": "t", "columns": COLUMNS, **more}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return the path of a database that is not there yet, in a folder that is not there yet."""
    return tmp_path / "new" / "folder" / "out.db"


async def test_rows_are_written_and_the_folder_is_made(run_through: Any, db: Path) -> None:
    seen = await run_through(SqliteSink, settings(db), in_=ROWS)
    assert content(db) == [(1, "one"), (2, None), (3, 'drei "3"')]
    assert schema(db) == 'CREATE TABLE "t" ("id" INTEGER, "name" TEXT)'
    assert seen.component.written == 3
    assert (await seen.component.health_check())["written"] == 3


async def test_without_columns_those_of_the_first_row_are_taken(run_through: Any, db: Path) -> None:
    seen = await run_through(SqliteSink, {"path": str(db), "table": "t"}, in_=[*ROWS, {"id": 4}])
    assert len(content(db)) == 3
    assert schema(db) == 'CREATE TABLE "t" ("id", "name")'
    assert seen.reasons == ["no field 'name', known: id"]


async def test_columns_may_be_a_list_without_types(run_through: Any, db: Path) -> None:
    await run_through(SqliteSink, settings(db, columns=["name"]), in_=ROWS[:1])
    assert content(db) == [("one",)]


async def test_replace_makes_the_table_anew_even_for_an_empty_input(run_through: Any, db: Path) -> None:
    for rows in (ROWS, ROWS[:1], []):
        await run_through(SqliteSink, settings(db, mode="replace"), in_=rows)
        assert len(content(db)) == len(rows)


async def test_append_adds(run_through: Any, db: Path) -> None:
    for _ in range(2):
        await run_through(SqliteSink, settings(db), in_=ROWS)
    assert len(content(db)) == 6


async def test_upsert_puts_a_row_in_the_place_of_the_one_with_its_key(run_through: Any, db: Path) -> None:
    config = settings(db, mode="upsert", primary_key=["id"])
    await run_through(SqliteSink, config, in_=ROWS)
    await run_through(SqliteSink, config, in_=[{"id": 2, "name": "zwei"}, {"id": 2, "name": "deux"}])
    assert content(db) == [(1, "one"), (2, "deux"), (3, 'drei "3"')]
    assert schema(db) == 'CREATE TABLE "t" ("id" INTEGER PRIMARY KEY, "name" TEXT)'


async def test_upsert_of_nothing_but_a_key_of_several_columns_keeps_one(run_through: Any, db: Path) -> None:
    config = settings(db, mode="upsert", primary_key=["id", "name"])
    await run_through(SqliteSink, config, in_=[ROWS[0], ROWS[0]])
    assert content(db) == [(1, "one")]
    assert schema(db).endswith('PRIMARY KEY ("id", "name"))')


async def test_names_are_quoted(run_through: Any, db: Path) -> None:
    odd = 'a"; DROP TABLE t; --'
    config = {"path": str(db), "table": odd, "columns": {odd: "TEXT"}}
    await run_through(SqliteSink, config, in_=[{odd: "x"}])
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [(odd,)]


async def test_rows_the_table_refuses_are_rejected_and_the_others_written(run_through: Any, db: Path) -> None:
    bad = [
        {"id": 1, "name": "again"},
        {"id": 4, "name": ["list"]},
        {"id": 2**63, "name": "large"},
        {"id": 5, "name": "\ud800"},
        {"name": "no id"},
        "no row",
        {"id": 6, "name": "six", "more": 1},
    ]
    seen = await run_through(SqliteSink, settings(db, primary_key=["id"]), in_=[*ROWS, *bad])
    assert [row[0] for row in content(db)] == [1, 2, 3, 6]
    assert seen.component.written == 4
    assert [rejected.message for rejected in seen.rejected[:2]] == [bad[4], bad[5]]
    assert seen.reasons[2] == "refused by table 't': UNIQUE constraint failed: t.id"
    assert all(reason.startswith("refused by table 't': ") for reason in seen.reasons[2:])
    assert len(seen.reasons) == 6


async def test_a_large_input_is_written_in_several_transactions(run_through: Any, db: Path) -> None:
    rows = [{"id": n, "name": str(n)} for n in range(2_500)]
    await run_through(SqliteSink, settings(db, batch_size=1_000), in_=rows)
    assert content(db) == [(n, str(n)) for n in range(2_500)]


async def running_sink(
    group: anyio.abc.TaskGroup, collect: Any, config: dict[str, Any]
) -> tuple[System, Any, SqliteSink]:
    """Start a system of a source that sends what it is told, and a sink; returns the source's handle too."""
    system = System("test", source_grace=0.01)
    told, tell = _telling()
    system.add("source", told)
    sink = SqliteSink("sink", config)
    system.add("sink", sink)
    system.connect("source.out", "sink.in")
    await group.start(lambda *, task_status: system.run(task_status=task_status))
    return system, tell, sink


def _telling() -> tuple[Any, Any]:
    from headrace import HarnessComponent, Out

    class Told(HarnessComponent):
        out: Out[Any]

        async def process(self) -> None:
            await anyio.sleep_forever()

    told = Told("source")

    async def tell(row: Any) -> None:
        await told.out.send(row)

    return told, tell


def books(system: System) -> EdgeLedger:
    """Return the books of the edge to the sink as they stand."""
    return system.ledger().edges[0]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own time-out is the limit."""
    while not condition():
        await anyio.lowlevel.checkpoint()


async def test_a_row_is_written_after_a_while_also_when_no_more_come(collect: Any, db: Path) -> None:
    async with anyio.create_task_group() as group:
        system, tell, sink = await running_sink(group, collect, settings(db, flush_every=0.01))
        await tell(ROWS[0])
        await until(lambda: sink.written == 1)
        assert content(db) == [(1, "one")]
        await tell(ROWS[1])
        await until(lambda: sink.written == 2)
        report = await system.stop()
    assert report is not None
    assert report.ledger.totals.lost == 0
    assert len(content(db)) == 2


async def test_what_was_received_is_written_when_the_run_is_cancelled(collect: Any, db: Path) -> None:
    async with anyio.create_task_group() as group:
        system, tell, sink = await running_sink(group, collect, settings(db, flush_every=1000))
        await until(lambda: sink._prepared)
        for row in ROWS:
            await tell(row)
        await wait_all_tasks_blocked()
        assert sink.written == 0
        group.cancel_scope.cancel()
    assert len(content(db)) == 3
    assert (books(system).acknowledged, books(system).remaining) == (3, 0)


async def test_a_cancellation_within_a_transaction_takes_effect_after_it(collect: Any, db: Path) -> None:
    within, go_on = threading.Event(), threading.Event()
    async with anyio.create_task_group() as group:
        _, tell, sink = await running_sink(group, collect, settings(db, batch_size=3))
        table: Any = sink._table
        write = table.write

        def slow(rows: Any) -> Any:
            within.set()
            go_on.wait(30)
            return write(rows)

        table.write = slow
        for row in ROWS:
            await tell(row)
        await anyio.to_thread.run_sync(within.wait)
        group.cancel_scope.cancel()
        go_on.set()
    assert len(content(db)) == 3
    assert sink.written == 3


@pytest.mark.fault(44)
async def test_rows_are_acknowledged_only_after_they_were_written(collect: Any, db: Path) -> None:
    async with anyio.create_task_group() as group:
        system, tell, sink = await running_sink(group, collect, settings(db, batch_size=2))
        within, go_on = threading.Event(), threading.Event()
        table: Any = sink._table
        write = table.write

        def slow(rows: Any) -> Any:
            within.set()
            go_on.wait(30)
            return write(rows)

        table.write = slow
        for row in ROWS[:2]:
            await tell(row)
        await anyio.to_thread.run_sync(within.wait)
        assert (books(system).acknowledged, books(system).remaining) == (0, 2)
        go_on.set()
        await until(lambda: books(system).acknowledged == 2)
        assert len(content(db)) == 2
        await system.stop()


async def test_rows_of_a_transaction_that_failed_are_dead_letters_and_not_delivered(
    run_through: Any, db: Path
) -> None:
    await run_through(SqliteSink, settings(db), in_=ROWS[:1])
    with pytest.raises(SystemFailed) as caught:
        await run_through(SqliteSink, settings(db, columns=["id", "other"]), in_=[{"id": 1, "other": 2}])
    report = caught.value.report
    assert report is not None
    found = next(edge for edge in report.ledger.edges if edge.edge.endswith("it.in"))
    assert (found.acknowledged, found.dead_lettered) == (0, 1)
    assert report.ledger.closes


async def test_what_is_rejected_during_clean_up_is_logged(
    collect: Any, db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(db, flush_every=1000, primary_key=["id"])
    async with anyio.create_task_group() as group:
        _, tell, _ = await running_sink(group, collect, config)
        for row in (ROWS[0], ROWS[0]):
            await tell(row)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert any("UNIQUE constraint failed" in str(vars(record)) for record in caplog.records)
    assert len(content(db)) == 1


async def test_a_sink_may_be_cleaned_up_without_a_harness(db: Path) -> None:
    sink = SqliteSink("sink", settings(db))
    await sink.cleanup()
    await sink.setup()
    sink._batch = [{"no": "field"}]
    await sink.cleanup()
    await sink.cleanup()
    assert sink.status.state == "stopped"


async def test_a_database_that_cannot_be_opened_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for path in (tmp_path, tmp_path / "file" / "out.db"):
        with pytest.raises(SystemFailed) as caught:
            await run_through(SqliteSink, settings(path), in_=ROWS)
        error = caught.value.errors[0]
        assert isinstance(error, ComponentError)
        assert str(error).startswith(f"it: {path}: table 't' cannot be written: ")


async def test_a_file_that_is_no_database_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    path.write_text("not a database, " * 100)
    with pytest.raises(SystemFailed, match="file is not a database"):
        await run_through(SqliteSink, settings(path), in_=ROWS)


async def test_a_table_that_does_not_fit_fails_the_run_and_nothing_is_written(
    run_through: Any, db: Path
) -> None:
    await run_through(SqliteSink, settings(db), in_=ROWS[:1])
    with pytest.raises(SystemFailed, match="has no column named other"):
        await run_through(SqliteSink, settings(db, columns=["id", "other"]), in_=[{"id": 1, "other": 2}])
    assert len(content(db)) == 1


@pytest.mark.fault(44)
async def test_a_disk_that_fills_up_fails_the_run_and_keeps_whole_transactions(
    run_through: Any, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.edges.sqlite_tables import SqliteTable

    prepare = SqliteTable.prepare

    def prepare_on_a_small_disk(self: Any, columns: Any, **options: Any) -> None:
        prepare(self, columns, **options)
        self._connection.execute("PRAGMA max_page_count = 20")

    monkeypatch.setattr(SqliteTable, "prepare", prepare_on_a_small_disk)
    rows = [{"id": n, "name": "x" * 100} for n in range(2_000)]
    with pytest.raises(SystemFailed) as caught:
        await run_through(SqliteSink, settings(db, batch_size=100), in_=rows)
    assert str(caught.value.errors[0]) == (
        f"it: {db}: table 't' cannot be written: database or disk is full; "
        "what was not committed is not in it"
    )
    assert 0 < len(content(db)) < 2_000
    assert len(content(db)) % 100 == 0


async def test_it_waits_for_another_writer(collect: Any, db: Path) -> None:
    async with anyio.create_task_group() as group:
        system, tell, sink = await running_sink(group, collect, settings(db, batch_size=1))
        await until(lambda: sink._prepared)
        with closing(sqlite3.connect(db, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await tell(ROWS[0])
            await wait_all_tasks_blocked()
            assert sink.written == 0
            other.execute("COMMIT")
            await until(lambda: sink.written == 1)
        await system.stop()
    assert len(content(db)) == 1


async def test_another_writer_that_never_ends_fails_the_run(run_through: Any, db: Path) -> None:
    await run_through(SqliteSink, settings(db), in_=[])
    with closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SystemFailed, match="database is locked"):
            await run_through(SqliteSink, settings(db, busy_timeout=0.01), in_=ROWS)
    assert content(db) == []


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"flush_every": 0}, "flush_every"),
        ({"columns": ["a", "a"]}, "columns"),
        ({"primary_key": ["a", "a"]}, "primary_key"),
        ({"mode": "upsert"}, "primary_key"),
        ({"mode": "overwrite"}, "mode"),
        ({"table": ""}, "table"),
        ({"columns": {"a": "TEXT); DROP TABLE x"}}, "columns"),
        ({"columns": {}}, "columns"),
        ({"primary_key": ["b"]}, "primary_key"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(db: Path, config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqliteSink("s", settings(db, **{"columns": ["a"], **config}))
    assert caught.value.field == field


def test_a_table_that_is_not_open_says_so(db: Path) -> None:
    from headrace.edges.sqlite_tables import SqliteTable

    with pytest.raises(HeadraceError, match="is not open"):
        SqliteTable(str(db), "t").prepare({"a": ""})
    with pytest.raises(ConfigError, match="cannot name"):
        SqliteTable(str(db), "t").check({"a\0": ""})
