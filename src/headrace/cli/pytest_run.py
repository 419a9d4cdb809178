"""pytest in a process of its own, for the tests in Python beside a blueprint."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_NO_TESTS = 5  # pytest's exit code where it found none


@dataclass(frozen=True, slots=True)
class PytestCase:
    """How one test went."""

    name: str
    file: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PytestResult:
    """How all of them went.

    Attributes:
        cases: The tests.
        output: What pytest has printed.
        broken: Whether pytest itself could not do its work.
    """

    cases: tuple[PytestCase, ...]
    output: str
    broken: bool


def pytest_files() -> list[str]:
    """Return the files for pytest in the current folder and its ``tests``."""
    folders = [folder for folder in (Path(), Path("tests")) if folder.is_dir()]
    patterns = ("test_*.py", "*_test.py")
    found = {file.as_posix() for folder in folders for pattern in patterns for file in folder.glob(pattern)}
    return sorted(found)


def has_pytest() -> bool:
    """Return whether pytest is installed."""
    return find_spec("pytest") is not None


def run_pytest(only: str = "") -> PytestResult:
    """Run the tests of the current folder.

    Args:
        only: What their names hold.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        chosen = ["-k", only] if only else []
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                *chosen,
                f"--junitxml={report}",
                "-o",
                "junit_family=xunit1",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        root = ElementTree.parse(report).getroot() if report.exists() else None
    cases = () if root is None else tuple(_case(case) for case in root.iter("testcase"))
    return PytestResult(cases, done.stdout.rstrip(), done.returncode not in (0, 1, _NO_TESTS))


def _case(element: ElementTree.Element) -> PytestCase:
    words = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    outcome = next((words[child.tag] for child in element if child.tag in words), "passed")
    file = element.get("file") or f"{(element.get('classname') or '').replace('.', '/')}.py"
    name = element.get("name") or "?"
    return PytestCase(f"{file}::{name}", file, outcome, float(element.get("time") or 0))


__all__ = ["PytestCase", "PytestResult", "has_pytest", "pytest_files", "run_pytest"]
