"""``file_sink``: what is in its files, whatever happens while they are written."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import Backoff, RestartPolicy, System, SystemFailed, component
from headrace.components import FileSink
from headrace.components.output_file import OutputFile
from headrace.exceptions import ComponentError, ConfigError, MissingExtraError, UnavailableError

ROWS = [{"id": 1, "text": "zwölf"}, {"id": 2, "text": 'a "b",\nc'}]
STAMPED = re.compile(r"out-\d{8}T\d{6}Z(-\d+)?\.jsonl")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what a thread writes sets no event of ours
            await anyio.sleep(0.005)


def line(
    path: Path, messages: Iterable[Any], feed: Any, *, restart: bool = False, **config: Any
) -> tuple[System, Any]:
    """Return a system of some messages and a sink for them, that tries again soon."""
    system = System("line", buffer_size=10)
    system.add("feed", feed("feed", messages))
    policy = RestartPolicy(max_restarts=5, backoff=Backoff(0)) if restart else None
    sink: Any = system.add("sink", FileSink, {"path": str(path), **config}, restart=policy).component
    sink._disk._backoff = Backoff(first=0.01, longest=0.02)
    system.connect("feed.out", "sink.in")
    return system, sink


def ids(*paths: Path) -> list[int]:
    """Return the ids of the rows in files of JSON lines."""
    return [json.loads(row)["id"] for path in paths for row in path.read_text().splitlines()]


def in_order(folder: Path) -> list[Path]:
    """Return the files of a folder, the oldest first."""
    return sorted(folder.iterdir(), key=lambda one: (one.name == "out.jsonl", len(one.name), one.name))


# --- formats -----------------------------------------------------------------------------------------------


async def test_json_lines_are_written_and_appended_to(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    for _ in range(2):
        seen = await run_through(FileSink, {"path": str(path)}, in_=[*ROWS, 7, {1, 2}, object])
        assert [one.message for one in seen.rejected] == [object]
        assert "cannot be written: Encoding objects of type type is unsupported" in seen.reasons[0]
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    assert rows == [*ROWS, 7, [1, 2]] * 2


async def test_csv_has_one_header_whatever_it_is_appended_to(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    bad = [{"id": 3}, {"id": 4, "text": "", "more": 1}, 5]
    for _ in range(2):
        seen = await run_through(FileSink, {"path": str(path), "format": "csv"}, in_=[*ROWS, *bad])
        assert seen.reasons == [
            "no field 'text', known: id",
            "field 'more' is no column of the file; name those to write with `columns`",
            "not a row of named fields but a value of type int",
        ]
    records = list(csv.reader(io.StringIO(path.read_text())))
    assert records == [["id", "text"], *[["1", "zwölf"], ["2", 'a "b",\nc']] * 2]


async def test_the_columns_of_csv_choose_and_must_be_those_of_the_file(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    config = {"path": str(path), "format": "csv", "columns": ["text"], "delimiter": ";"}
    seen = await run_through(FileSink, config, in_=[{"id": 1, "text": "a;b"}, {"id": 2}])
    assert seen.reasons == ["no field 'text', known: id"]
    assert path.read_text() == 'text\n"a;b"\n'
    with pytest.raises(SystemFailed) as caught:
        await run_through(FileSink, {**config, "columns": ["id", "text"]}, in_=[])
    assert str(caught.value.errors[0]) == (
        f"it: {path}: cannot be appended to: it has the columns text, not id, text"
    )
    assert path.read_text() == 'text\n"a;b"\n'


async def test_text_is_written_line_by_line(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.log"
    messages = ["one", {"line": "zwölf"}, "two\nlines", {"text": ""}, {"line": 3}, "three"]
    seen = await run_through(FileSink, {"path": str(path), "format": "text"}, in_=messages)
    assert path.read_text() == "one\nzwölf\nthree\n"
    assert seen.reasons == [
        "cannot be written: the text has a line end within",
        "no field 'line', known: text",
        "cannot be written: not text but a value of type int",
    ]


@pytest.mark.parametrize(
    ("ending", "unpack"),
    [
        (".gz", gzip.decompress),
        (
            ".zst",
            lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
        ),
    ],
)
async def test_packed_files_are_whole_and_an_earlier_one_is_put_away(
    run_through: Any, tmp_path: Path, ending: str, unpack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"out.jsonl{ending}"
    for begin in (0, 1_500):
        await run_through(FileSink, {"path": str(path)}, in_=[{"id": n} for n in range(begin, begin + 1_500)])
        found = [json.loads(row)["id"] for row in unpack(path.read_bytes()).splitlines()]
        assert found == list(range(begin, begin + 1_500))
    (earlier,) = [one for one in in_order(tmp_path) if one != path]
    assert re.fullmatch(r"out-\d{8}T\d{6}Z\.jsonl" + re.escape(ending), earlier.name)
    assert unpack(earlier.read_bytes()).startswith(b'{"id":0}\n')


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"path": ""}, "path is empty"),
        ({"path": "-"}, "file_sink writes files"),
        ({"path": "a", "rotate_size": -1}, "rotate_size must be at least 0"),
        ({"path": "a", "rotate_size": 1, "keep": -1}, "keep must be at least 0"),
        ({"path": "a", "keep": 1}, "keep needs rotate_size or rotate_every"),
        ({"path": "a", "rotate_every": 0}, "rotate_every must be a duration above 0"),
        ({"path": "a", "delimiter": "ab"}, "delimiter must be one character"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FileSink("x", config)


def test_without_the_extra_a_file_packed_by_zstd_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[zstd\]'"):
        FileSink("x", {"path": "a.zst"})


# --- rotation ----------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 120), max_size=40), st.integers(1, 200), st.lists(st.integers(1, 9), min_size=1)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_files_are_rotated_between_records_and_none_is_larger_than_allowed(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int, portions: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("rotated")
    records = [b"x" * size + b"\n" for size in sizes]
    file = OutputFile(str(folder / "out.jsonl"), lambda _: b"", rotates=True, rotate_size=limit)
    file.open(go_on=False)
    left = list(records)
    for number in range(len(records)):
        portion = left[: portions[number % len(portions)]]
        del left[: len(portion)]
        file.write(portion)
        assert portion == []
    file.close()
    files = in_order(folder)
    assert b"".join(one.read_bytes() for one in files) == b"".join(records)
    for one in files:
        assert one.stat().st_size <= limit or one.read_bytes().count(b"\n") == 1


async def test_so_many_old_files_stay_as_are_to_be_kept(feed: Any, tmp_path: Path) -> None:
    (tmp_path / "out-of-this.jsonl").write_text("not ours\n")
    config = {"rotate_size": 100, "keep": 3}
    system, _ = line(tmp_path / "out.jsonl", [{"id": n} for n in range(1000, 1100)], feed, **config)
    await system.run()
    files = in_order(tmp_path)
    files.remove(tmp_path / "out-of-this.jsonl")
    assert [bool(STAMPED.fullmatch(one.name)) for one in files] == [True, True, True, False]
    assert ids(*files) == list(range(1072, 1100))


async def test_a_file_is_rotated_when_its_time_has_come_also_while_nothing_comes(tmp_path: Path) -> None:
    more = anyio.Event()

    @component
    async def rows() -> Any:
        yield {"id": 1}
        yield {"id": 2}
        await more.wait()
        yield {"id": 3}

    system = System()
    system.add("rows", rows)
    system.add("sink", FileSink, path=str(tmp_path / "out.jsonl"), rotate_every=0.2)
    system.connect("rows", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: [ids(one) for one in in_order(tmp_path)] == [[1, 2], []])
        more.set()
    assert [ids(one) for one in in_order(tmp_path)] == [[1, 2], [3]]


def test_a_file_that_somebody_else_rotates_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    file = OutputFile(str(path), lambda _: b"")
    file.open(go_on=False)
    file.write([b"1\n"])
    path.rename(tmp_path / "out.jsonl.1")
    file.write([b"2\n"])
    path.unlink()
    file.write([b"3\n"])
    file.close()
    assert (path.read_text(), (tmp_path / "out.jsonl.1").read_text()) == ("3\n", "1\n")


# --- atomic ------------------------------------------------------------------------------------------------


async def test_an_atomic_file_is_seen_when_it_is_complete(feed: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("the last one\n")
    (tmp_path / ".out.jsonl.part").write_text("of a run that was killed\n")
    seen: list[str] = []

    class Watching(FileSink):
        async def _take(self, batch: list[Any]) -> None:
            await super()._take(batch)
            seen.append(path.read_text())

    system = System(buffer_size=2)
    system.add("feed", feed("feed", [{"id": n} for n in range(10)]))
    system.add("sink", Watching, path=str(path), mode="atomic")
    system.connect("feed.out", "sink.in")
    await system.run()
    assert set(seen) == {"the last one\n"}
    assert ids(path) == list(range(10))
    assert in_order(tmp_path) == [path]


async def test_of_a_run_that_fails_no_atomic_file_is_seen(feed: Any, tmp_path: Path) -> None:
    @component
    def fail(row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] == 5:
            raise ValueError("no")
        return row

    system = System(buffer_size=2)
    system.add("feed", feed("feed", [{"id": n} for n in range(10)]))
    system.add("fail", fail, on_error="crash")
    system.add("sink", FileSink, path=str(tmp_path / "out.jsonl"), mode="atomic")
    system.connect("feed.out", "fail")
    system.connect("fail", "sink.in")
    with pytest.raises(SystemFailed):
        await system.run()
    assert in_order(tmp_path) == [tmp_path / ".out.jsonl.part"]


@pytest.mark.parametrize(("form", "content"), [("json", ""), ("csv", "a,b\n")])
async def test_an_atomic_file_of_nothing_is_empty(
    run_through: Any, tmp_path: Path, form: str, content: str
) -> None:
    config = {"path": str(tmp_path / "out"), "mode": "atomic", "format": form, "columns": ["a", "b"]}
    await run_through(FileSink, config, in_=[])
    assert (tmp_path / "out").read_text() == content


async def test_rotated_atomic_files_each_are_seen_when_complete(feed: Any, tmp_path: Path) -> None:
    system, _ = line(
        tmp_path / "out.jsonl", [{"id": n} for n in range(1000, 1025)], feed, mode="atomic", rotate_size=110
    )
    await system.run()
    files = in_order(tmp_path)
    assert [ids(one) for one in files] == [
        list(range(1000, 1009)),
        list(range(1009, 1018)),
        list(range(1018, 1025)),
    ]
    assert all(STAMPED.fullmatch(one.name) for one in files)


# --- what goes wrong ---------------------------------------------------------------------------------------


@contextmanager
def no_file_longer_than(size: int) -> Iterator[Callable[[], None]]:
    """Let the system refuse longer files, as a full disk does, half-way in a write; yields what ends that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def end() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield end
    finally:
        end()


@pytest.mark.parametrize("rotate", [0, 1_500_000])
async def test_while_the_disk_is_full_it_is_not_ready_and_then_goes_on(
    feed: Any, tmp_path: Path, rotate: int
) -> None:
    path = tmp_path / "out.jsonl"
    rows = [{"id": n, "text": "x" * 1500} for n in range(2_000)]
    system, sink = line(path, rows, feed, rotate_size=rotate)
    with no_file_longer_than(1_000_001) as end:
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            await until(lambda: sink._disk.tries >= 3)
            health = await sink.health_check()
            assert health["healthy"] is False
            assert f"{path}: cannot be written: File too large" in health["reason"]
            written = path.read_bytes()
            assert len(written) <= 1_000_001
            assert written.endswith(b"}\n")  # the half record was taken back
            end()
    assert ids(*in_order(tmp_path)) == list(range(2_000))
    assert sink._disk.losses >= 1


async def test_after_a_crash_each_message_is_in_the_file_once(feed: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    lives: list[int] = []

    class Crashing(FileSink):
        async def setup(self, harness_context: Any = None) -> None:
            await super().setup(harness_context)
            lives.append(self.context.restarts)

        async def _take(self, batch: list[Any]) -> None:
            await super()._take(batch)
            if len(lives) < 4:
                raise ValueError("after the write")

    for mode in ("append", "atomic"):
        lives.clear()
        path.unlink(missing_ok=True)
        system = System(buffer_size=4)
        system.add("feed", feed("feed", [{"id": n} for n in range(40)]))
        restart = RestartPolicy(max_restarts=5, backoff=Backoff(0))
        system.add("sink", Crashing, {"path": str(path), "mode": mode}, restart=restart)
        system.connect("feed.out", "sink.in")
        report = await system.run()
        assert ids(path) == list(range(40))
        assert lives == [0, 1, 2, 3]
        assert (report.exit_code(), report.ledger.totals.lost) == (0, 0)


async def test_a_record_that_was_torn_stays_for_itself(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"id":1}\n{"i')
    await run_through(FileSink, {"path": str(path)}, in_=[{"id": 2}])
    assert path.read_text() == '{"id":1}\n{"i\n{"id":2}\n'


async def test_a_file_has_one_writer(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for atomic in (False, True):
        other = OutputFile(str(path), lambda _: b"", atomic=atomic)
        other.open(go_on=False)
        other.write([b"1\n"])
        with pytest.raises(SystemFailed) as caught:
            await run_through(FileSink, {"path": str(path), "mode": "atomic" if atomic else "append"}, in_=[])
        assert isinstance(caught.value.errors[0], ComponentError)
        assert "is written by another program or component already" in str(caught.value.errors[0])
        assert other.names.part.exists() == atomic
        other.close()


async def test_what_cannot_be_written_at_all_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in ((tmp_path, "Is a directory"), (tmp_path / "file" / "x", "")):
        with pytest.raises(SystemFailed, match=f"{path}: cannot be written: {said}"):
            await run_through(FileSink, {"path": str(path)}, in_=[])


def test_a_rotation_that_fails_half_way_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = OutputFile(str(tmp_path / "out.jsonl"), lambda _: b"", rotates=True)
    file.open(go_on=False)
    file.write([b"1\n"])
    real = os.open

    def refuse(*args: Any, **kwargs: Any) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="cannot be rotated: Too many open files"):
            file.rotate()
    monkeypatch.setattr(os, "open", real)
    file.rotate()
    file.write([b"2\n"])
    file.close()
    assert [one.read_text() for one in in_order(tmp_path)] == ["1\n", "2\n"]


KILLED = """
import sys
from headrace import System, component
from headrace.components import FileSink

@component
def numbers():
    number = 0
    while True:
        yield {"id": number, "text": "x" * 300}
        number += 1

class Telling(FileSink):
    async def _take(self, batch):
        await super()._take(batch)
        print(batch[-1]["id"], flush=True)

system = System("killed")
system.add("numbers", numbers)
system.add("sink", Telling, path=sys.argv[1])
system.connect("numbers", "sink.in")
system.run_blocking()
"""


def test_after_a_kill_everything_that_was_acknowledged_is_in_the_file(tmp_path: Path) -> None:
    path, program = tmp_path / "out.jsonl", tmp_path / "killed.py"
    program.write_text(KILLED)
    for run in range(3):
        path.unlink(missing_ok=True)
        command = [sys.executable, str(program), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = -1
            for count, text in enumerate(process.stdout):
                told = int(text) if text.endswith("\n") else told
                if count == 10 * (run + 1):
                    process.send_signal(signal.SIGKILL)
        lines = path.read_text().split("\n")
        found = [json.loads(row)["id"] for row in lines[:-1]]  # the last may be torn
        assert found == list(range(len(found)))
        assert told >= 0
        assert told < len(found)


async def test_a_stop_writes_what_is_on_its_way(feed: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    @component
    def endless() -> Any:
        number = 0
        while True:
            yield {"id": number}
            number += 1

    system = System()
    system.add("endless", endless)
    sink: Any = system.add("sink", FileSink, path=str(path), sync=True).component
    system.connect("endless", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: sink.written > 1000)
        report = await system.stop()
    assert report.ledger.totals.lost == 0
    assert ids(path) == list(range(report.ledger.totals.taken_in))
