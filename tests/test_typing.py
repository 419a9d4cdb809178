"""What type checkers say of programs that use headrace: mypy and pyright, one run each, over typing_tests/."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import headrace

FOLDER = Path(__file__).resolve().parent.parent / "typing_tests"
PASSES = sorted((FOLDER / "passes").glob("*.py"))
FAILS = sorted((FOLDER / "fails").glob("*.py"))
_MARK = re.compile(r"# E: (?P<mypy>[\w-]+) / (?P<pyright>\w+)$")

Found = dict[str, dict[int, set[str]]]


class Mark(NamedTuple):
    """An error that has to be: where, and as what each of the two tells it."""

    line: int
    mypy: str
    pyright: str


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a checker in the folder of the typing tests; it ends with 1 where it found errors."""
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1, done.stdout + done.stderr
    return done


def by_place(errors: Iterator[tuple[str, int, str]]) -> Found:
    """Return the rules that are broken, by name of the file and line."""
    found: Found = {}
    for path, line, rule in errors:
        found.setdefault(Path(path).name, {}).setdefault(line, set()).add(rule)
    return found


@pytest.fixture(scope="module")
def mypy(request: pytest.FixtureRequest) -> Found:
    """Return what mypy says."""
    cache = request.config.cache.mkdir("typing_tests_mypy")
    flags = ["--strict", "--output=json", "--config-file=", f"--cache-dir={cache}"]
    lines = run(sys.executable, "-m", "mypy", *flags, "passes", "fails").stdout.splitlines()
    errors = [error for error in map(json.loads, lines) if error["severity"] == "error"]
    return by_place((error["file"], error["line"], error["code"]) for error in errors)


@pytest.fixture(scope="module")
def pyright() -> Found:
    """Return what basedpyright says."""
    done = run(sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable)
    errors = json.loads(done.stdout)["generalDiagnostics"]
    return by_place(
        (error["file"], error["range"]["start"]["line"] + 1, error.get("rule", "syntax")) for error in errors
    )


@pytest.fixture(params=["mypy", "pyright"])
def checker(request: pytest.FixtureRequest) -> tuple[str, Found]:
    """Return the name of a checker and what it says."""
    return request.param, request.getfixturevalue(request.param)


def marks(path: Path) -> list[Mark]:
    """Return the errors that a file has to have."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    hits = ((number, _MARK.search(line)) for number, line in lines)
    return [Mark(number, hit["mypy"], hit["pyright"]) for number, hit in hits if hit]


@pytest.mark.parametrize("path", PASSES, ids=lambda path: path.name)
def test_what_is_right_passes(path: Path, checker: tuple[str, Found]) -> None:
    assert checker[1].get(path.name, {}) == {}


@pytest.mark.parametrize("path", FAILS, ids=lambda path: path.name)
def test_exactly_the_lines_that_are_wrong_fail(path: Path, checker: tuple[str, Found]) -> None:
    name, found = checker
    wanted = {mark.line: getattr(mark, name) for mark in marks(path)}
    told = found.get(path.name, {})
    assert sorted(told) == sorted(wanted)
    assert {line: rule for line, rule in wanted.items() if rule not in told[line]} == {}


def test_every_public_name_is_in_a_typing_test_that_passes() -> None:
    imported: set[str] = set()
    for path in PASSES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "headrace":
                imported |= {alias.name for alias in node.names}
    assert set(headrace.__all__) - imported == set(), "use it in typing_tests/passes"


def test_each_folder_has_files() -> None:
    assert PASSES
    assert all(marks(path) for path in FAILS)
