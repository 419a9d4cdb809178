"""``parquet_source`` and ``parquet_sink``: what is in the files, by pyarrow, and what is told of bad ones."""

from __future__ import annotations

import datetime
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pyarrow
import pyarrow.parquet
import pytest

from headrace import Backoff, RestartPolicy, System, SystemFailed, component
from headrace.components import ParquetSink, ParquetSource
from headrace.edges.parquet import ParquetWriter
from headrace.exceptions import ComponentError, ConfigError, InputFileError, MissingExtraError

MOMENT = datetime.datetime(2026, 11, 27, 10, 15, 0, 123456)
ROWS = [
    {"id": 1, "name": "zwölf", "ratio": 0.5, "at": MOMENT, "tags": ["a"], "none": None},
    {"id": None, "name": None, "ratio": None, "at": None, "tags": None, "none": None},
]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what a thread writes sets no event of ours
            await anyio.sleep(0.005)


def write(path: Path, **columns: Any) -> Path:
    """Write a file by pyarrow."""
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=1000)
    return path


def content(*paths: Path) -> list[dict[str, Any]]:
    """Return the rows of files, by pyarrow."""
    return [row for path in paths for row in pyarrow.parquet.read_table(path).to_pylist()]


def files(folder: Path) -> list[Path]:
    """Return the files of a folder, the oldest first."""
    return sorted(folder.iterdir(), key=lambda one: (len(one.name), one.name))


async def failure(run_through: Any, component: Any, kind: type[Exception], **config: Any) -> str:
    """Return the text of the error that a run ends with."""
    with pytest.raises(SystemFailed) as caught:
        await run_through(component, config, **({"in_": []} if component is ParquetSink else {}))
    assert isinstance(caught.value.errors[0], kind)
    return str(caught.value.errors[0])


# --- the source --------------------------------------------------------------------------------------------


async def test_the_rows_of_all_files_come_in_order(run_through: Any, tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", id=[5000])
    write(tmp_path / "a.parquet", id=list(range(5000)), name=[f"n{n}" for n in range(5000)])
    seen = await run_through(ParquetSource, {"path": str(tmp_path)})
    assert seen.out == [*({"id": n, "name": f"n{n}"} for n in range(5000)), {"id": 5000}]
    chosen = await run_through(ParquetSource, {"path": f"{tmp_path}/a.parquet", "columns": ["name"]})
    assert chosen.out[:2] == [{"name": "n0"}, {"name": "n1"}]


async def test_nanoseconds_are_left_out_and_a_date_that_python_has_not_is_rejected(
    run_through: Any, tmp_path: Path
) -> None:
    nano = pyarrow.array([1_001, 2_000, 3_999], pyarrow.timestamp("ns"))
    date = pyarrow.array([0, 10_000_000, 1], pyarrow.date32())
    path = write(
        tmp_path / "a.parquet", at=nano, span=nano.cast("int64").cast(pyarrow.duration("ns")), day=date
    )
    seen = await run_through(ParquetSource, {"path": str(path)})
    epoch = datetime.datetime(1970, 1, 1)
    micro = datetime.timedelta(microseconds=1)
    assert [row["at"] for row in seen.out] == [epoch + micro, epoch + 3 * micro]
    assert [row["span"] for row in seen.out] == [micro, 3 * micro]
    assert seen.reasons[0].startswith(f"{path}: row 2: column 'day': ")


async def test_what_cannot_be_read_is_named(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"no")
    said = await failure(run_through, ParquetSource, InputFileError, path=str(path))
    assert said.startswith(f"{path}: no Parquet file, or a damaged one: ")
    write(path, a=[1], b=[2])
    said = await failure(run_through, ParquetSource, InputFileError, path=str(path), columns=["c"])
    assert said == f"{path}: no column 'c', known: a, b"
    pyarrow.parquet.write_table(pyarrow.table([[1], [2]], names=["a", "a"]), path)
    said = await failure(run_through, ParquetSource, InputFileError, path=str(path))
    assert said == f"{path}: column 'a' is there twice"
    said = await failure(run_through, ParquetSource, InputFileError, path=str(tmp_path / "none"))
    assert "no such file" in said


async def test_a_damaged_file_fails_the_run_after_the_good_rows(collect: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", text=[os.urandom(50).hex() for _ in range(10_000)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20_000] = b"\xff" * 20_000
    path.write_bytes(data)
    system, sink = System(), collect("sink")
    system.add("rows", ParquetSource, path=str(path))
    system.add("sink", sink)
    system.connect("rows.out", "sink.in")
    with pytest.raises(SystemFailed, match=rf"{path}: after row \d+: no Parquet file, or a damaged one"):
        await system.run()
    assert 1_000 <= len(sink.messages) < 9_000


# --- the sink ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "none"])
async def test_rows_come_back_as_they_were_written(
    run_through: Any, tmp_path: Path, compression: str
) -> None:
    path = tmp_path / "new" / "out.parquet"
    await run_through(ParquetSink, {"path": str(path), "compression": compression, "row_group": 1}, in_=ROWS)
    assert content(path) == ROWS
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 2
    assert files(path.parent) == [path]
    assert (await run_through(ParquetSource, {"path": str(path)})).out == ROWS


async def test_a_row_that_does_not_fit_is_rejected_with_the_column(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    rows = [{"a": 1, "b": "x"}, 5, {"a": "q", "b": "y"}, {"b": "z"}, {"a": 2**70, "b": "big"}]
    more = [{"a": 3, "c": 1}]
    seen = await run_through(ParquetSink, {"path": str(path), "row_group": 5}, in_=[*rows, *more])
    assert content(path) == [{"a": 1, "b": "x"}, {"a": None, "b": "z"}]
    assert seen.rejected[0].message == 5
    assert seen.reasons == [
        "not a row of named fields",
        "column 'a': Could not convert 'q' with type str: tried to convert to int64",
        "column 'a': Python int too large to convert to C long",
        "field 'c' is no column of the file; name those to write with `columns`",
    ]


async def test_columns_choose_and_have_the_types_that_are_said(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    config = {"path": str(path), "columns": {"day": "date32", "id": "int16", "left": ""}}
    day = datetime.date(2026, 1, 2)
    await run_through(ParquetSink, config, in_=[{"id": 1, "day": day, "more": 0}])
    assert content(path) == [{"day": day, "id": 1, "left": None}]
    assert [str(field.type) for field in pyarrow.parquet.read_schema(path)] == [
        "date32[day]",
        "int16",
        "string",
    ]
    await run_through(ParquetSink, {"path": str(path), "columns": ["id"]}, in_=[])
    assert (content(path), pyarrow.parquet.read_schema(path).names) == ([], ["id"])
    await run_through(ParquetSink, {"path": str(tmp_path / "none.parquet")}, in_=[])
    assert files(tmp_path) == [path]  # of nothing, with columns that nobody knows, there is no file


async def test_rotated_files_are_complete_and_so_many_stay_as_are_to_be_kept(
    run_through: Any, tmp_path: Path
) -> None:
    config = {"path": str(tmp_path / "out.parquet"), "rotate_rows": 10, "keep": 2, "row_group": 4}
    await run_through(ParquetSink, config, in_=[{"id": n} for n in range(35)])
    found = sorted(files(tmp_path), key=lambda one: content(one)[0]["id"])
    assert [row["id"] for row in content(*found)] == list(range(20, 35))
    assert [pyarrow.parquet.ParquetFile(one).num_row_groups for one in found] == [3, 2]


async def test_a_file_is_complete_in_time_though_nothing_more_comes(tmp_path: Path) -> None:
    more = anyio.Event()

    @component
    async def rows() -> Any:
        yield {"id": 1}
        await more.wait()
        yield {"id": 2}

    system = System()
    system.add("rows", rows)
    system.add("sink", ParquetSink, path=str(tmp_path / "out.parquet"), rotate_every=0.05)
    system.connect("rows", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: any(one.name.startswith("out-") for one in files(tmp_path)))
        assert content(*files(tmp_path)) == [{"id": 1}]
        more.set()
    assert [row["id"] for row in content(*files(tmp_path))] == [1, 2]


async def test_what_was_not_complete_when_it_crashed_comes_again(feed: Any, tmp_path: Path) -> None:
    lives: list[int] = []

    class Crashing(ParquetSink):
        async def setup(self, harness_context: Any = None) -> None:
            await super().setup(harness_context)
            lives.append(self.context.restarts)

        async def _write(self, table: Any) -> None:
            if len(lives) < 3:
                self._writer.write(str(self._names.part), table)
                raise ValueError("half-way")
            await super()._write(table)

    def system(**config: Any) -> System:
        lives.clear()
        made = System(buffer_size=4)
        made.add("feed", feed("feed", [{"id": n} for n in range(40)]))
        restart = RestartPolicy(max_restarts=5, backoff=Backoff(0))
        made.add("sink", Crashing, {"path": str(tmp_path / "out.parquet"), **config}, restart=restart)
        made.connect("feed.out", "sink.in")
        return made

    report = await system(rotate_rows=10).run()
    assert sorted(row["id"] for row in content(*files(tmp_path))) == list(range(40))
    assert report.ledger.totals.lost == 0
    with pytest.raises(SystemFailed) as caught:
        await system(row_group=10).run()
    assert "a Parquet file cannot be written on after a crash; set `rotate_rows`" in str(
        caught.value.errors[1]
    )


async def test_of_a_run_that_is_stopped_the_only_file_is_not_seen(tmp_path: Path) -> None:
    @component
    def endless() -> Any:
        while True:
            yield {"id": 1}

    system = System()
    system.add("endless", endless)
    sink: Any = system.add("sink", ParquetSink, path=str(tmp_path / "out.parquet"), row_group=10).component
    system.connect("endless", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: sink.written > 100)
        report = await system.stop()
    assert report.ledger.totals.lost == 0
    assert files(tmp_path) == [tmp_path / ".out.parquet.part"]


async def test_while_the_disk_is_full_it_is_not_ready_and_then_goes_on(
    feed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full = True
    real = ParquetWriter.finish

    def finish(self: ParquetWriter, path: str) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, path)

    monkeypatch.setattr(ParquetWriter, "finish", finish)
    system = System()
    system.add("feed", feed("feed", [{"id": n} for n in range(25)]))
    config = {"path": str(tmp_path / "out.parquet"), "rotate_rows": 10}
    sink: Any = system.add("sink", ParquetSink, config).component
    sink._disk._backoff = Backoff(first=0.01, longest=0.02)
    system.connect("feed.out", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: sink._disk.tries >= 3)
        health = await sink.health_check()
        assert health["healthy"] is False
        assert "out.parquet: cannot be written: No space left on device" in health["reason"]
        assert files(tmp_path) == []
        is_full = False
    assert sorted(row["id"] for row in content(*files(tmp_path))) == list(range(25))


async def test_what_cannot_be_written_at_all_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "x"
    assert f"it: {path}: cannot be written: " in await failure(
        run_through, ParquetSink, ComponentError, path=str(path)
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"path": ""}, "path is empty"),
        ({"path": "a", "row_group": 0}, "row_group must be at least 1"),
        ({"path": "a", "rotate_rows": -1}, "rotate_rows must be at least 0"),
        ({"path": "a", "keep": 1}, "keep needs rotate_rows or rotate_every"),
        ({"path": "a", "columns": {"x": "text"}}, "'x' has the type 'text', which Arrow has not"),
        ({"path": "a", "columns": ["x", "x"]}, "columns"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ParquetSink("x", config)


def test_without_the_extra_there_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "headrace.edges.parquet")
    for kind in (ParquetSource, ParquetSink):
        with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[parquet\]'"):
            kind("x", {"path": "a"})
