"""``headrace doctor``: every finding has a verdict, every bad one a mend, and no value is told."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from headrace.cli import checkup
from headrace.cli.checkup import Finding

BLUEPRINT = """system: s
components:
  rows: {type: csv_source, config: {path: "${DATA}/x.csv", delimiter: "${CUT:-,}"}}
  # show: "${COMMENTED}"
  show: {type: console_sink, config: {title: "$${NOT} a variable"}}
connections: [rows -> show]
"""


def found(check: Callable[[], Any]) -> list[Finding]:
    """Return all that a check finds."""
    return list(check())


def one(check: Callable[[], Any]) -> Finding:
    """Return the only thing that a check finds."""
    (finding,) = check()
    assert isinstance(finding, Finding)
    return finding


def test_a_sound_machine_is_told_line_by_line_and_exits_with_0() -> None:
    done = subprocess.run([sys.executable, "-m", "headrace", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    *lines, last = done.stdout.splitlines()
    assert last.split(",")[0].endswith(" ok")
    assert all(line.startswith(("ok    ", "warn  ", "      ")) for line in lines)
    said = {line[6:].partition(":")[0] for line in lines}
    assert {"python", "headrace", "anyio", "trio", "asyncio loop", "component types", "clock"} <= said


def test_json_holds_the_same_findings(invoke: Callable[..., Result]) -> None:
    told = json.loads(invoke("doctor", "--format", "json").stdout)
    assert told["ok"] is True
    assert told["failed"] == 0
    assert {"name", "verdict", "message", "fix"} == told["findings"][0].keys()
    assert {finding["verdict"] for finding in told["findings"]} <= {"ok", "warn"}


def test_variables_of_a_blueprint_are_looked_for_and_never_told(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text(BLUEPRINT, encoding="utf-8")
    monkeypatch.delenv("DATA", raising=False)
    monkeypatch.delenv("CUT", raising=False)
    result = invoke("doctor", "s.yaml")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = lines.index("fail  $DATA: is not set")
    assert lines[at + 1] == "      export DATA=..."
    assert "ok    $CUT: is not set: the blueprint has a default" in lines
    assert "fail  s.yaml: 1 error" in lines
    assert "COMMENTED" not in result.stdout
    assert "NOT" not in result.stdout
    monkeypatch.setenv("DATA", "top-secret")
    again = invoke("doctor", "s.yaml")
    assert again.exit_code == 0
    assert "ok    $DATA: is set" in again.stdout.splitlines()
    assert "top-secret" not in again.stdout
    monkeypatch.setenv("DATA", "")
    assert "warn  $DATA: is set, but empty" in invoke("doctor", "s.yaml").stdout.splitlines()


def test_a_system_that_loads_with_warnings_is_to_be_looked_at(
    invoke: Callable[..., Result], module: Callable[[str, str], str]
) -> None:
    parts = (
        "from headrace import System, component\n@component\ndef ten():\n    yield 1\nsystem = System('s')\n"
    )
    module("warned", parts + "system.add('ten', ten)\n")
    result = invoke("doctor", "warned:system")
    assert result.exit_code == 0
    assert "warn  warned:system: loads, 1 warning\n      headrace check warned:system" in result.stdout


def test_a_file_that_is_no_text_has_no_variables(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    assert list(checkup.of_variables(str(tmp_path / "x.yaml"))) == []
    assert list(checkup.of_variables("nowhere.yaml")) == []


# --- what can be wrong ----------------------------------------------------------------------------


def test_another_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.sys, "implementation", SimpleNamespace(name="pypy"))
    assert one(checkup.of_python).verdict == "warn"


def test_a_headrace_that_is_not_installed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "DISTRIBUTION", "headrace-that-is-not-there")
    finding = one(checkup.of_headrace)
    assert finding.verdict == "fail"
    assert "pip install headrace" in finding.fix
    assert found(checkup.of_packages) == []


def test_another_version_than_the_installed_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.9")
    monkeypatch.setattr(checkup.shutil, "which", lambda name: None)
    assert "0.0.9 is what was installed" in one(checkup.of_headrace).message


def test_a_command_of_another_installation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.shutil, "which", lambda name: "/opt/other/bin/headrace")
    assert (
        found(checkup.of_headrace)[-1].message
        == "'headrace' is /opt/other/bin/headrace, of another installation"
    )


def test_packages_that_are_missing_or_old_are_told_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [
        "anyio>=4.16",
        "gone-package>=2",
        'gone-extra>=1; extra == "web"',
        'click>=99; extra == "far"',
        'hypothesis>=1; extra == "test"',
        "!!",
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    told = {finding.name: finding for finding in checkup.of_packages()}
    assert told["anyio"].verdict == "ok"
    assert told["gone-package"].verdict == "fail"
    assert told["gone-package"].fix == "pip install 'gone-package>=2'"
    assert told["gone-extra"].verdict == "ok"
    assert told["gone-extra"].fix == "pip install 'headrace[web]'"
    assert told["click"].verdict == "fail"
    assert "too old, 99 is needed" in told["click"].message
    assert len(told) == 4


def test_a_loop_that_does_not_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import anyio

    def fail(*_: object, **__: object) -> None:
        raise OSError("no more\nfiles")

    monkeypatch.setattr(anyio, "run", fail)
    monkeypatch.setattr(checkup, "find_spec", lambda name: name == "asyncio" or None)
    finding = one(checkup.of_loops)
    assert (finding.name, finding.verdict) == ("asyncio loop", "fail")
    assert finding.message == "it does not start: OSError no more files"


def test_component_types_that_cannot_be_imported_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_part.py").write_text("x = 1\nraise RuntimeError('no')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = {
        "good": EntryPoint("good", "headrace.components.join:Join", "headrace.components"),
        "bad": EntryPoint("bad", "broken_part:Thing", "headrace.components"),
    }
    monkeypatch.setattr(checkup, "component_types", lambda: points)
    bad, good = found(checkup.of_component_types)
    assert (bad.name, bad.verdict) == ("component type bad", "fail")
    assert "broken_part:Thing cannot be imported: RuntimeError no" in bad.message
    assert bad.message.endswith("broken_part.py:2")
    assert bad.fix == "pip install --upgrade broken_part"
    assert good.message == "1 can be imported"


def test_no_component_types_at_all_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "component_types", dict)
    assert one(checkup.of_component_types).verdict == "fail"


def test_a_coarse_clock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "get_clock_info", lambda name: SimpleNamespace(resolution=0.1))
    assert one(checkup.of_clock).message == "monotonic, but in steps of 0.1 s"


@pytest.mark.parametrize(
    ("limits", "verdict", "fix"),
    [
        ((256, 10_000), "warn", "ulimit -n 4096"),
        ((256, -1), "warn", "ulimit -n 4096"),
        ((256, 256), "warn", "have the hard limit raised: this one cannot go higher"),
        ((-1, -1), "ok", ""),
        ((2048, 4096), "ok", ""),
    ],
)
def test_few_open_files_are_told(
    limits: tuple[int, int], verdict: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    finding = one(checkup.of_files)
    assert (finding.verdict, finding.fix) == (verdict, fix)


def test_without_limits_nothing_is_said_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert found(checkup.of_files) == []


def test_a_folder_that_cannot_be_written_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "gone"))
    finding = one(checkup.of_temporary_files)
    assert finding.verdict == "fail"
    assert "TMPDIR" in finding.fix


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert one(checkup.of_temporary_files).verdict == "warn"


@pytest.mark.parametrize(
    ("encoding", "is_terminal", "environment", "verdict", "word"),
    [
        ("ascii", False, {}, "warn", "drawings use + and -"),
        ("utf-8", False, {}, "ok", "no terminal"),
        ("utf-8", True, {"TERM": "dumb"}, "warn", "no live line"),
        ("utf-8", True, {"TERM": "xterm"}, "ok", "xterm, utf-8, colours"),
        ("utf-8", True, {"TERM": "xterm", "NO_COLOR": "1"}, "ok", "no colours"),
    ],
)
def test_the_terminal_is_told(
    encoding: str,
    is_terminal: bool,
    environment: dict[str, str],
    verdict: str,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = SimpleNamespace(encoding=encoding, isatty=lambda: is_terminal)
    monkeypatch.setattr(checkup, "sys", SimpleNamespace(stdout=output, stderr=output))
    monkeypatch.setattr(checkup.os, "environ", environment)
    finding = one(checkup.of_terminal)
    assert finding.verdict == verdict
    assert word in finding.message


def test_on_a_terminal_verdicts_have_colours(in_terminal: Callable[..., tuple[int, str]]) -> None:
    code, shown = in_terminal(["doctor"])
    assert code == 0
    assert "\x1b[32mok  \x1b[0m  python" in shown
