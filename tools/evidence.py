"""Runs everything under evidence/ and rewrites its logs: ``python3 bootstrap.py evidence``.

Each log is the raw output of real runs, headed by commit, Python, machine, date and commands. The exit code
is 1 where a run failed, and the last line says which.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = Path("evidence/phase6_harness")
DAY1, DAY2 = TREE / "day1_harness_component", TREE / "day2_execution_harness"
DAY3, WEEK1 = TREE / "day3_stream_communication", TREE / "week1_integration"
BACKENDS = ("asyncio", "trio")
TIMEOUT = 600.0  # seconds a single run may take


@dataclass(frozen=True)
class Log:
    """A log and the commands whose output it holds, as arguments of Python in the root of the checkout."""

    path: Path
    commands: tuple[tuple[str, ...], ...]


def tests(log: Path, script: Path) -> Log:
    """Return the log of acceptance tests; they run on both backends by themselves."""
    return Log(log, ((str(script), "-v"),))


def on_both(log: Path, script: Path) -> Log:
    """Return the log of a script that runs once on each backend."""
    return Log(log, tuple((str(script), "--backend", backend) for backend in BACKENDS))


def demo(script: Path) -> Log:
    """Return the log beside a demo."""
    return on_both(script.with_name(f"{script.stem}_output.txt"), script)


LOGS = (
    tests(DAY1 / "test_execution_log.txt", DAY1 / "test_harness_component.py"),
    demo(DAY1 / "component_lifecycle_demo.py"),
    tests(DAY2 / "harness_test_output.txt", DAY2 / "test_execution_harness.py"),
    demo(DAY2 / "harness_demo_system.py"),
    tests(DAY3 / "stream_test_logs.txt", DAY3 / "test_stream_communication.py"),
    demo(DAY3 / "multi_component_demo.py"),
    tests(WEEK1 / "integration_test_output.txt", WEEK1 / "full_harness_integration_test.py"),
    demo(WEEK1 / "real_system_demo.py"),
    on_both(WEEK1 / "error_log.txt", Path("tools/error_log.py")),
    Log(WEEK1 / "benchmark_results.txt", ((str(WEEK1 / "performance_benchmark.py"),),)),
)


# --- what stands at the head of a log ---------------------------------------------------------------------


def git(*args: str) -> str:
    """Return what git says about the checkout, or nothing where it cannot say anything."""
    try:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit() -> str:
    """Return the commit; the logs themselves do not count as changes."""
    head = git("rev-parse", "--short", "HEAD")
    if not head:
        return "unknown (no git checkout)"
    changed = git("status", "--porcelain", "--", ".", ":(exclude)evidence/**/*.txt")
    return f"{head} + uncommitted changes" if changed else head


def machine() -> str:
    """Return the processor, its cores and the kernel."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}"


def shown(command: Sequence[str]) -> str:
    """Return a command as it can be typed in the root of the checkout."""
    return shlex.join([".venv/bin/python", *command])


def head(commit: str, commands: Iterable[Sequence[str]]) -> str:
    """Return the head of a log."""
    now = datetime.now(UTC)
    lines = [
        f"commit:  {commit}",
        f"python:  {platform.python_implementation()} {platform.python_version()}",
        f"machine: {machine()}",
        f"date:    {now:%Y-%m-%d %H:%M:%S} UTC",
        *(f"command: {shown(command)}" for command in commands),
        "written by: python3 bootstrap.py evidence",
    ]
    return "\n".join(lines) + "\n"


# --- the runs -------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Return our environment without what would colour, fold or hide the output."""
    hidden = ("FORCE_COLOR", "PY_COLORS", "PYTEST_ADDOPTS", "PYTHONWARNINGS")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**env, "NO_COLOR": "1", "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}


def run(command: Sequence[str]) -> tuple[str, int, float]:
    """Run Python with these arguments.

    Returns:
        All it wrote, its exit code (124 where it was ended after ``TIMEOUT``), and how many seconds it took.
    """
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
        )
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        output, code = (error.stdout or b"") + f"\nended after {TIMEOUT:g} s\n".encode(), 124
    return output.decode("utf-8", "backslashreplace"), code, time.perf_counter() - began


def write(log: Log, commit: str, out: Path) -> list[str]:
    """Run a log's commands and replace the log, also where they failed.

    Returns:
        What failed: each command with its exit code.
    """
    failed = []
    parts = [head(commit, log.commands)]
    for command in log.commands:
        output, code, seconds = run(command)
        parts.append(f"\n$ {shown(command)}\n{output.rstrip()}\n[exit code {code} after {seconds:.1f} s]\n")
        if code:
            failed.append(f"{shown(command)} (exit code {code})")
    target = out / log.path
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".tmp")
    draft.write_text("".join(parts), encoding="utf-8")
    draft.replace(target)
    return failed


def others(logs: Iterable[Log]) -> list[Path]:
    """Return every script of the tree that no log runs: each has to run alone all the same."""
    logged = {command[0] for log in logs for command in log.commands}
    scripts = (path.relative_to(ROOT) for path in sorted((ROOT / TREE).rglob("*.py")))
    return [script for script in scripts if str(script) not in logged]


def run_alone(scripts: Iterable[Path]) -> list[str]:
    """Run scripts that have no log of their own; returns what failed."""
    failed = []
    for script in scripts:
        output, code, _ = run((str(script),))
        print(f"{'FAILED' if code else 'ok':6} {script}: {output.strip() or '-'}", flush=True)
        if code:
            failed.append(f"{shown((str(script),))} (exit code {code})")
    return failed


def main(argv: Sequence[str] | None = None, logs: Sequence[Log] = LOGS) -> int:
    """Run what is asked for.

    Returns:
        0, or 1 where a run failed.
    """
    parser = argparse.ArgumentParser("evidence", description=__doc__)
    parser.add_argument("names", nargs="*", help="only logs whose path holds one of these; default: all")
    parser.add_argument(
        "--out", type=Path, default=ROOT, help="write below this folder; default: the checkout"
    )
    options = parser.parse_args(argv)
    chosen = [
        log for log in logs if not options.names or any(name in str(log.path) for name in options.names)
    ]
    if not chosen:
        parser.error(f"no log is named so; there are: {', '.join(log.path.name for log in logs)}")
    at = commit()
    failed = [] if options.names else run_alone(others(logs))
    for log in chosen:
        began = time.perf_counter()
        faults = write(log, at, options.out)
        seconds = time.perf_counter() - began
        print(f"{'FAILED' if faults else 'ok':6} {log.path} ({seconds:.1f} s)", flush=True)
        failed += faults
    print(f"evidence: {len(chosen)} logs written; failed: {'; '.join(failed) or 'none'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
