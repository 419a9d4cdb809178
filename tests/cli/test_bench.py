"""``headrace bench``: it measures what it is asked for, tells what it lacks, and never gates unless told to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

import headrace.cli.bench as command_module
from headrace_bench import bench as bench_module
from headrace_bench.measuring import Effort
from headrace_bench.race import Contender, Race, row

pytestmark = [pytest.mark.untraced, pytest.mark.usefixtures("frozen")]

ROOT = Path(__file__).resolve().parents[2]
Invoke = Callable[..., Result]


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put races in the place of the real ones that need no time: one met, one missed, one without its peer."""

    def gives(value: float) -> Callable[[Effort], float]:
        return lambda effort: value

    race = Race(
        "toys",
        "s",
        (
            Contender("ours", gives(1.0)),
            Contender("theirs", gives(2.0)),
            Contender("gone", gives(1.0), needs=("a_library_that_nobody_has",)),
        ),
        (
            row("toy/met", "ours", "theirs", reach="<= 1 x"),
            row("toy/missed", "ours", "theirs", reach="<= 0.1 x"),
            row("toy/gone", "ours", "gone", reach="<= 1 x"),
        ),
    )
    monkeypatch.setattr(bench_module, "RACES", (race,))


def test_cheap_rows_are_measured_and_written_as_json(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("bench", "--quick", "--rows", "send/1-hop/a*", "--rows", "fairness/*-1", "--json", "b.json")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "b.json").read_text())
    names = ["send/1-hop/anyio", "send/1-hop/anyio-nowait", "send/1-hop/asyncio-queue", "fairness/capacity-1"]
    assert sorted({one["name"] for one in rows}) == sorted(names)
    assert [one["backend"] for one in rows] == ["asyncio"] * 3 + ["trio"] * 3 + ["asyncio", "trio"]
    for one in rows:
        assert {"name", "backend", "value", "unit", "ratio", "against", "target", "met"} <= one.keys()
        assert one["value"] > 0
        assert (one["ratio"] is None) == (one["against"] is None)
        assert one["environment"]["python"]
    assert "[1/4] send and async for, 1 hop on asyncio" in done.stderr
    assert "targets met" in done.stdout
    assert "wrote b.json" in done.stderr


def test_it_runs_as_a_command_with_plain_lines_in_a_pipe(start: Callable[..., Any], tmp_path: Path) -> None:
    running = start(
        "bench", "--quick", "--rows", "send/1-hop/generators", "--backend", "trio", folder=tmp_path
    )
    code, out, err = running.end()
    assert code == 0, err
    assert out.splitlines()[1].startswith("send/1-hop/generators  trio")
    assert "\x1b" not in out


@pytest.mark.usefixtures("toys")
def test_a_missed_target_is_told_and_gates_only_with_strict(invoke: Invoke) -> None:
    done = invoke("bench", "--quick", "--backend", "asyncio")
    assert done.exit_code == 0
    assert "<= 0.1 x  missed" in done.stdout
    assert "1 of 3 targets met, 1 missed, 1 not available" in done.stdout
    assert invoke("bench", "--quick", "--strict").exit_code == 1
    assert invoke("bench", "--quick", "--strict", "--rows", "toy/met").exit_code == 0


@pytest.mark.usefixtures("toys")
def test_a_missing_peer_is_told_before_and_after_with_the_line_that_brings_it(invoke: Invoke) -> None:
    done = invoke("bench", "--quick", "--rows", "toy/gone")
    assert done.exit_code == 0
    line = "pip install 'headrace[bench]'"
    assert f"not installed, left out: a_library_that_nobody_has; {line}" in done.stderr
    assert f"not available: gone: a_library_that_nobody_has not installed: {line}" in done.stdout
    assert invoke("bench", "--quick", "--rows", "toy/met").stderr.count("not installed") == 0


@pytest.mark.usefixtures("toys")
def test_a_report_is_written_into_the_page_of_the_docs(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "performance.md", tmp_path / "docs")
    done = invoke("bench", "--quick", "--report", "docs")
    assert done.exit_code == 0, done.output
    assert "| toy/missed | trio |" in (tmp_path / "docs" / "performance.md").read_text()
    assert (tmp_path / "docs" / "performance" / "targets.svg").is_file()


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "toy/nothing"], "Error: no row is named toy/nothing; there are"),
        (["--report", "."], "Error: no performance.md; --report wants the folder docs of a checkout"),
        (["--json", "no/such/folder.json"], "Error: no/such/folder.json: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_told_with_exit_code_2(
    invoke: Invoke, arguments: list[str], message: str
) -> None:
    done = invoke("bench", "--quick", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_rows_can_be_listed(invoke: Invoke) -> None:
    done = invoke("bench", "--list")
    assert done.exit_code == 0
    assert done.stdout.startswith("send/1-hop/anyio ")
    assert "flights/by-hand" in done.stdout


def test_without_the_benchmarks_the_line_that_brings_them_is_told(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_module, "find_spec", lambda name: None)
    done = invoke("bench", "--quick")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "the benchmarks are not installed: pip install 'headrace[bench]'\n"


def test_the_benchmarks_are_shipped_with_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'packages = ["src/headrace", "benchmarks/headrace_bench"]' in text
    assert os.path.isdir(ROOT / "benchmarks" / "headrace_bench")


def test_an_interrupted_run_shows_what_is_known_until_then(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(effort: Effort) -> float:
        raise KeyboardInterrupt

    races = tuple(
        Race(name, "s", (Contender("ours", sample),), (row(f"toy/{name}", "ours"),), warm_up=False)
        for name, sample in (("first", lambda effort: 1.0), ("second", interrupted))
    )
    monkeypatch.setattr(bench_module, "RACES", races)
    done = invoke("bench", "--quick", "--backend", "asyncio")
    assert isinstance(done.exception, (KeyboardInterrupt, click.Abort))
    assert "interrupted; what is known until now:" in done.stderr
    assert "toy/first" in done.stdout
    assert "toy/second" not in done.stdout
