"""``lines_source`` and ``jsonl_source``: what they read once, follow, take from a pipe, and never lose."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import zstandard

from headrace import System
from headrace.components import JsonlSource, LinesSource
from headrace.exceptions import ComponentError, ConfigError, InputFileError, MissingExtraError, SystemFailed

TEXT = "one\nzwölf\r\n\nlast"
ROWS = [{"line": "one"}, {"line": "zwölf"}, {"line": ""}, {"line": "last"}]


async def failure(
    run_through: Any, component: Any, kind: type[Exception] = InputFileError, **config: Any
) -> str:
    """Return the text of the error that a run ends with."""
    with pytest.raises(SystemFailed) as caught:
        await run_through(component, config)
    assert isinstance(caught.value.errors[0], kind)
    return str(caught.value.errors[0])


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what a thread reads sets no event of ours
            await anyio.sleep(0.005)


@asynccontextmanager
async def following(
    collect: Any, component: Any = LinesSource, **config: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """Run a source that looks often; yields the system and its sink, that has one for what is rejected."""
    system = System("follow")
    config = {"follow": True, "poll_every": 0.01, "rotate_wait": 0.05, **config}
    source = system.add("rows", component, config).component
    sinks = {port: collect(f"sink_{port}") for port in ("out", "rejected")}
    for port, sink in sinks.items():
        system.add(sink.name, sink)
        system.connect(f"rows.{port}", f"{sink.name}.in")
    sinks["out"].source, sinks["out"].bad = source, sinks["rejected"]
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        yield system, sinks["out"]


@pytest.mark.parametrize("ending", ["", ".gz", ".zip", ".zst", ".bz2", ".xz"])
async def test_every_line_of_a_file_is_a_row_however_it_is_packed(
    run_through: Any, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"rows.log{ending}"
    pack = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.compress,
    }
    if ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("rows.log", TEXT)
    else:
        path.write_bytes(pack[ending](TEXT.encode()))
    seen = await run_through(LinesSource, {"path": str(path)})
    assert seen.out == ROWS
    assert seen.rejected == []


async def test_a_large_file_comes_whole_and_in_order(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"n": {n}, "text": "{"x" * (n % 977)}"}}\n' for n in range(2_000)))
    seen = await run_through(JsonlSource, {"path": str(path)})
    assert [row["n"] for row in seen.out] == list(range(2_000))
    assert seen.report.ledger.totals.lost == 0


async def test_a_line_that_is_not_text_goes_to_rejected_and_the_good_ones_go_on(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.log"
    path.write_bytes(b"good\ncaf\xe9\nx" + b"y" * 100 + b"\nlast \xff")
    seen = await run_through(LinesSource, {"path": str(path), "max_line": 100, "add": ["path", "number"]})
    assert seen.out == [{"line": "good", "path": str(path), "number": 1}]
    assert [one.message for one in seen.rejected] == ["caf\\xe9", "x" + "y" * 79, "last \\xff"]
    assert seen.reasons == [
        f"{path}:2: not utf-8 at byte 4 of the line",
        f"{path}:3: the line has 102 bytes, and max_line does not allow that",
        f"{path}:4: not utf-8 at byte 6 of the line",
    ]


async def test_other_encodings_are_read_where_lines_can_be_found_in_them(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.log"
    path.write_bytes("größe\n".encode("latin-1"))
    assert (await run_through(LinesSource, {"path": str(path), "encoding": "latin-1"})).out == [
        {"line": "größe"}
    ]
    for encoding, said in (
        ("utf-16", "the lines of a file in utf-16 cannot be found"),
        ("nope", "is unknown"),
    ):
        with pytest.raises(ConfigError, match=said):
            LinesSource("x", {"path": "x", "encoding": encoding})


async def test_a_line_that_is_no_json_object_goes_to_rejected_with_its_place(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"a": 1}\n\n  \n[1]\n{"a"\n{"a": "\xff"}\n{"a": 1} {"a": 2}\r\n{"a": 3}\r\n{"a": 1e999}\n'
        + b"[" * 5000
    )
    seen = await run_through(JsonlSource, {"path": str(path)})
    assert seen.out == [{"a": 1}, {"a": 3}]
    assert [reason.removeprefix(f"{path}:") for reason in seen.reasons[:5]] == [
        "4: not a JSON object: Expected `object`, got `array`",
        "5: not JSON: Input data was truncated",
        "6: not UTF-8",
        "7: not JSON: JSON is malformed: trailing characters (byte 10)",
        "9: not a JSON object: Number out of range - at `$[...]`",
    ]
    assert len(seen.reasons) == 6


async def test_a_damaged_file_fails_the_run_after_the_good_lines(collect: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.log.gz"
    packed = gzip.compress(b"".join(b"%d %s\n" % (n, os.urandom(40).hex().encode()) for n in range(5_000)))
    path.write_bytes(packed[: len(packed) // 2])
    system = System()
    sink = collect("sink")
    system.add("rows", LinesSource, path=str(path))
    system.add("sink", sink)
    system.connect("rows.out", "sink.in")
    with pytest.raises(SystemFailed, match=rf"{path}: after line \d+: damaged or truncated"):
        await system.run()
    assert 1_000 < len(sink.messages) < 3_000


async def test_what_is_not_there_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    said = await failure(run_through, LinesSource, path="no/such.log")
    assert said == f"no/such.log: no such file (looked in {Path.cwd()}); check `path`"
    (tmp_path / "positions.json").write_text("no")
    (tmp_path / "a.log").touch()
    config = {"path": str(tmp_path / "a.log"), "position_file": str(tmp_path / "positions.json")}
    assert "holds no positions of files" in await failure(run_through, LinesSource, ComponentError, **config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"path": ""}, "path is empty"),
        ({"path": []}, "path is empty"),
        ({"path": "a", "max_line": 0}, "max_line must be at least 1"),
        ({"path": ["-", "a"]}, "the standard input cannot be one of several"),
        ({"path": "-", "follow": True}, "follow is for plain files, not for -"),
        ({"path": "-", "position_file": "p"}, "position_file is for plain files, not for -"),
        ({"path": "a.gz", "follow": True}, "follow is for plain files, not for a.gz"),
        ({"path": "a.zip", "position_file": "p"}, "position_file is for plain files, not for a.zip"),
        ({"path": "a", "start_at": "end"}, "start_at: end needs follow: true"),
        ({"path": "a", "poll_every": 0}, "poll_every must be a duration above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config: dict[str, Any], said: str) -> None:
    for component in (LinesSource, JsonlSource):
        with pytest.raises(ConfigError, match=said):
            component("x", config)


def test_without_the_extra_a_file_packed_by_zstd_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[zstd\]'"):
        LinesSource("x", {"path": "a.zst"})


# --- following ---------------------------------------------------------------------------------------------


async def test_a_followed_file_is_read_on_across_rotation_until_the_system_stops(
    collect: Any, tmp_path: Path
) -> None:
    path = tmp_path / "app.log"
    async with following(collect, path=str(path)) as (system, sink):
        path.write_text("one\ntw")
        await until(lambda: len(sink.messages) == 1)
        with path.open("a") as writer:
            path.rename(tmp_path / "app.log.1")
            path.write_text("four\n")
            await until(lambda: len(sink.messages) == 2)
            writer.write("o\nthree")
        await until(lambda: len(sink.messages) == 4)  # the last line has no end, and its file is gone
        os.truncate(path, 0)
        with path.open("a") as writer:
            writer.write("five\n")
        await until(lambda: len(sink.messages) == 5)
        health = await sink.source.health_check()
        assert health["files"] == 1
        report = await system.stop()
    assert sorted(row["line"] for row in sink.messages) == ["five", "four", "one", "three", "two"]
    assert report.outcome == "stopped"
    assert report.ledger.totals.lost == 0


async def test_a_stop_does_not_wait_for_the_next_look(collect: Any, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("one\n")
    async with following(collect, path=str(tmp_path), poll_every="1h") as (system, sink):
        await until(lambda: len(sink.messages) == 1)
        with anyio.fail_after(10):
            assert (await system.stop()).overruns == ()


async def test_followed_json_lines_have_their_own_rejected(collect: Any, tmp_path: Path) -> None:
    async with following(collect, JsonlSource, path=str(tmp_path)) as (system, sink):
        (tmp_path / "a.jsonl").write_text('{"a": 1}\nno\n')
        await until(lambda: len(sink.messages) == len(sink.bad.messages) == 1)
        await system.stop()


async def test_the_next_run_goes_on_after_a_stop_without_losing_or_repeating_a_line(
    collect: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.log"
    lines = [f"{n:020}" for n in range(6_000)]  # twice as much as is read at once
    path.write_text(
        "".join(f"{line}\n" if int(line) % 100 else "caf\udce9\n" for line in lines), errors="surrogateescape"
    )
    config = {"path": str(path), "position_file": str(tmp_path / "kept.json")}
    seen: list[str] = []
    rejected = 0
    for run in range(50):
        system = System("runs")
        bound = 200 * (run + 1)

        class Some(collect):  # type: ignore[misc, valid-type]
            async def process(self, limit: int = bound, system: System = system) -> None:
                async for row in self.in_:
                    self.messages.append(row["line"])
                    if len(self.messages) == limit:
                        system.request_stop()

        sink, bad = Some("sink"), collect("bad")
        system.add("rows", LinesSource, config)
        system.add("sink", sink)
        system.add("bad", bad)
        system.connect("rows.out", "sink.in", buffer_size=10)
        system.connect("rows.rejected", "bad.in", buffer_size=10)
        report = await system.run()
        seen += sink.messages
        rejected += len(bad.messages)
        if report.outcome == "completed":
            break
    assert run > 3
    assert seen == [line for line in lines if int(line) % 100]
    assert rejected == 60


KILLED = """
import sys
from headrace import System, component
from headrace.components import LinesSource

@component
def slow(row):
    print(row["line"], flush=True)

system = System("killed")
system.add("rows", LinesSource, path=sys.argv[1], position_file=sys.argv[2])
system.add("slow", slow)
system.connect("rows.out", "slow.in")
system.run_blocking()
"""


def test_after_a_kill_every_line_has_been_read_at_least_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.log"
    path.write_text("".join(f"{n:060}\n" for n in range(24_000)))  # a thousand fill the pipe between the two
    program = tmp_path / "killed.py"
    program.write_text(KILLED)
    seen: set[int] = set()
    for run in range(30):
        command = [sys.executable, str(program), str(path), str(tmp_path / "kept.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for count, line in enumerate(process.stdout):
                if line.endswith("\n"):
                    seen.add(int(line))
                if count == 5_000 and run < 3:
                    process.send_signal(signal.SIGKILL)
            if process.wait() == 0:
                break
    assert run == 3
    assert seen == set(range(24_000))
    (kept,) = msgspec.json.decode((tmp_path / "kept.json").read_bytes())
    assert (kept["offset"], kept["lines"]) == (path.stat().st_size, 24_000)


# --- streams -----------------------------------------------------------------------------------------------


async def test_a_pipe_is_read_as_it_comes_until_its_writer_has_gone(run_through: Any, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, TEXT.encode())
        os.close(write_end)
        seen = await run_through(LinesSource, {"path": f"/dev/fd/{read_end}"})
    finally:
        os.close(read_end)
    assert seen.out == ROWS


async def test_a_pipe_that_nobody_writes_to_does_not_hold_up_a_stop(collect: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        async with following(collect, path=str(pipe), follow=False) as (system, sink):
            os.write(writer, b"one\nhalf")
            await until(lambda: len(sink.messages) == 1)
            with anyio.fail_after(10):
                report = await system.stop()
    finally:
        os.close(writer)
    assert report.overruns == ()
    assert [row["line"] for row in sink.messages] == ["one"]


@pytest.mark.parametrize("source", ["pipe", "file", "null"])
def test_the_standard_input_is_read(tmp_path: Path, source: str, anyio_backend: str) -> None:
    text = "one\ntwo\n"
    (tmp_path / "in").write_text(text)
    blueprint = tmp_path / "system.yaml"
    blueprint.write_text(
        "system: stdin\ncomponents:\n  lines: {type: lines_source, config: {path: '-'}}\n"
        "  show: {type: console_sink, config: {format: json}}\nconnections: [lines -> show]\n"
    )
    command = [sys.executable, "-m", "headrace", "run", str(blueprint), "--backend", anyio_backend]
    with open(os.devnull if source == "null" else tmp_path / "in", "rb") as file:
        given = {"input": text.encode()} if source == "pipe" else {"stdin": file}
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, **given)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.decode().splitlines() if line.startswith("{")] == (
        [] if source == "null" else ['{"line":"one"}', '{"line":"two"}']
    )
