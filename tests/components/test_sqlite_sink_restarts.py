"""``sqlite_sink`` when its database vanishes or somebody else crashes: each row is written once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from headrace import Backoff, HarnessComponent, In, RestartPolicy, System, SystemFailed, component
from headrace.components import SqliteSink
from headrace.edges.sqlite_tables import SqliteTable
from headrace.exceptions import HeadraceError, UnavailableError

AT_ONCE = RestartPolicy(max_restarts=5, backoff=Backoff(0))
Failing = Callable[..., list[int]]


def content(path: Path) -> list[Any]:
    """Return the keys in the table."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT * FROM t ORDER BY 1")]


def line(db: Path, count: int = 40, **settings: Any) -> System:
    """Return a source of rows and a sink for them."""

    @component
    def rows() -> Any:
        for number in range(count):
            yield {"id": number}

    system = System("line", buffer_size=10)
    system.add("rows", rows)
    config = {"path": str(db), "table": "t", "columns": {"id": "INTEGER"}, "batch_size": 8, **settings}
    system.add("sink", SqliteSink, config, restart=AT_ONCE)
    system.connect("rows", "sink")
    return system


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Return a function that lets the database refuse some writes, counted from 1; it returns the sizes of all."""

    def fail(*numbers: int) -> list[int]:
        sizes: list[int] = []
        write = SqliteTable.write

        def refusing(self: Any, rows: Any) -> Any:
            sizes.append(len(rows))
            if len(sizes) in numbers:
                raise HeadraceError("the disk is gone")
            return write(self, rows)

        monkeypatch.setattr(SqliteTable, "write", refusing)
        return sizes

    return fail


@pytest.mark.parametrize("mode", ["append", "replace"])
async def test_after_an_outage_the_batch_is_written_and_no_row_is_to_blame(
    tmp_path: Path, failing: Failing, mode: str
) -> None:
    db = tmp_path / "out.db"
    failing(2, 3, 4, 5)
    system = line(db, mode=mode)
    with anyio.fail_after(30):
        report = await system.run()
    assert content(db) == list(range(40))
    assert (report.dead_letters, report.ledger.totals.lost) == ((), 0)
    assert report.ledger.closes
    (restarts,) = report.restarts
    assert restarts.restarts == 4
    assert not restarts.state_lost  # all it had came again
    assert report.exit_code() == 0


async def test_an_outage_that_goes_on_escalates_and_what_was_not_written_is_not_acknowledged(
    tmp_path: Path, failing: Failing
) -> None:
    db = tmp_path / "out.db"
    failing(*range(2, 100))
    system = line(db)
    with anyio.fail_after(30), pytest.raises(SystemFailed) as caught:
        await system.run()
    report = caught.value.report
    assert report is not None
    assert isinstance(caught.value.errors[0], UnavailableError)
    written = content(db)
    (edge,) = report.ledger.edges
    assert edge.acknowledged == len(written) > 0
    assert edge.dead_lettered + edge.lost == edge.accepted - edge.acknowledged
    assert report.ledger.closes


async def test_a_row_that_is_refused_is_told_once_and_none_is_written_twice(tmp_path: Path) -> None:
    db, told = tmp_path / "out.db", list[Any]()

    class Stubborn(HarnessComponent):
        in_: In[Any]

        async def process(self) -> None:
            async for rejected in self.in_:
                told.append(rejected.message)
                if len(told) == 3:
                    raise ValueError("beside it")

    @component
    def rows() -> Any:
        for number in range(30):
            yield {"id": number // 2}

    system = System("line", buffer_size=1, strategy="one_for_all")
    system.add("rows", rows)
    config = {"path": str(db), "table": "t", "columns": {"id": "INTEGER"}, "primary_key": ["id"]}
    system.add("sink", SqliteSink, {**config, "batch_size": 10}, restart=AT_ONCE)
    system.add("told", Stubborn, restart=AT_ONCE)
    system.connect("rows", "sink")
    system.connect("sink.rejected", "told")
    with anyio.fail_after(30):
        report = await system.run()
    assert content(db) == list(range(15))
    assert report.ledger.closes
    # The source began anew with the others, so that each key came twice or thrice; only its first row got in.
    refused = next(edge for edge in report.ledger.edges if edge.edge == "sink.rejected -> told.in")
    rows_in = next(edge for edge in report.ledger.edges if edge.edge == "rows.out -> sink.in")
    assert rows_in.acknowledged == rows_in.accepted
    assert refused.accepted == rows_in.accepted - 15
