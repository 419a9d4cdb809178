"""Proves that the tests reach the code: all in-process tests traced, with branches, against floors.

Traced, the suite takes twice as long; so ``bootstrap.py test`` runs it as it is, and this is run on demand. What
runs whole programs (the mark ``untraced``) counts for nothing here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["FLOORS", "main"]

FLOORS = {"all": ([], 95), "model": (["--include=*/headrace/model/*"], 100)}
"""By the name of a part: what tells ``coverage report`` of it, and its least percentage."""


def _run(args: Sequence[str]) -> int:
    return subprocess.run(
        [sys.executable, *args], cwd=Path(__file__).resolve().parent.parent, check=False
    ).returncode


def main(argv: Sequence[str], run: Callable[[Sequence[str]], int] = _run) -> int:
    """Run the tests traced, and compare.

    Args:
        argv: More arguments for pytest, such as what to run.
        run: Runs Python with arguments, and returns its exit code.

    Returns:
        0 where all tests pass and every floor holds, else 1.
    """
    workers = str(min(8, os.cpu_count() or 2))
    tests = ["-m", "pytest", "-q", "-n", workers, "-m", "not untraced", "--cov", "--cov-report=", *argv]
    faults = ["tests failed"] if run(tests) else []
    for name, (options, floor) in FLOORS.items():
        if run(["-m", "coverage", "report", *options, "--precision=2", f"--fail-under={floor}"]):
            faults.append(f"coverage of {name} is below {floor} %")
    print("; ".join(faults) or "held: coverage floors hold", flush=True)
    return 1 if faults else 0
