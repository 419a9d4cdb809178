"""One run of tests from the command line: which there are, what is told of each, and the exit code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from headrace.exceptions import BlueprintError
from headrace.model.blueprint import Blueprint
from headrace.model.blueprint_tests import TestSpec
from headrace.runtime.driven import leaves
from headrace.testing.blueprint_tests import BlueprintCases, CaseResult

from .logs import configure_logs
from .main import emit
from .own_code import doing
from .problems import as_json, problem_lines
from .pytest_run import has_pytest, pytest_files, run_pytest
from .target_hints import blueprints_here

_TESTS = re.compile(r"^(tests|'tests'|\"tests\")\s*:", re.MULTILINE)
_MARGIN = 3.0  # seconds beyond its time-out after which a test that blocks the loop is given up


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of ``headrace test``."""

    allow: tuple[str, ...] = ()
    only: str = ""
    backend: str = "asyncio"
    timeout: float = 5.0
    debug: bool = False
    is_json: bool = False


@dataclass(slots=True)
class Told:
    """What is told of one test, or of a blueprint that cannot be read."""

    outcome: str
    name: str
    seconds: float
    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Session:
    """Runs tests and tells how they went.

    Args:
        options: How to run them.
        exit_hard: Ends the process at once.
    """

    def __init__(self, options: SessionOptions, exit_hard: Callable[[int], object] = os._exit) -> None:
        self.options = options
        self._exit_hard = exit_hard
        self._told: list[Told] = []
        self._began = time.perf_counter()
        self._left_out = False
        self._hide: Callable[[str], str] = str
        self._stdout = sys.stdout

    def run(self, files: Sequence[str]) -> int:
        """Run the tests of a blueprint, or of everything in the current folder.

        Args:
            files: The blueprint and those that change it; nothing for the current folder.

        Returns:
            The exit code.
        """
        level = "debug" if self.options.debug else "critical"
        configure_logs("console", level, sys.stderr, colours=False)
        if files:
            self._run_blueprint(files, must_have=True)
        else:
            for file in filter(_holds_tests, blueprints_here()):
                self._run_blueprint([file], must_have=False)
            self._run_pytest()
        return self._end()

    # --- blueprints --------------------------------------------------------------------------------

    def _run_blueprint(self, files: Sequence[str], *, must_have: bool) -> None:
        cases = BlueprintCases(
            files, self.options.allow, timeout=self.options.timeout, backend=self.options.backend
        )
        try:
            blueprint = cases.read()
        except BlueprintError as error:
            lines = problem_lines(error.problems, excerpts=sys.stdout.isatty())
            self._tell(
                Told("error", files[0], 0.0, lines, {"problems": [as_json(p) for p in error.problems]})
            )
            return
        self._hide = blueprint.sources.secrets.hide
        chosen = [spec for spec in blueprint.tests if self.options.only in spec.name]
        if not chosen and must_have and not blueprint.tests:
            click.echo(f"{files[0]} holds no tests: write them under 'tests:'", err=True)
        for spec in chosen:
            self._run_case(cases, spec, blueprint)

    def _run_case(self, cases: BlueprintCases, spec: TestSpec, blueprint: Blueprint) -> None:
        printed = io.StringIO()
        with self._watched(spec, spec.timeout or cases.timeout), contextlib.redirect_stdout(printed):
            result = cases.run(spec)
        lines = [f"FAIL {mismatch}" for mismatch in result.mismatches]
        lines += problem_lines(result.problems, excerpts=sys.stdout.isatty())
        if lines:
            lines += [f"  | {line}" for line in printed.getvalue().splitlines()]
        if self.options.debug and result.error is not None:
            lines += _traceback(result.error)
        self._tell(Told(result.outcome, spec.name, result.seconds, lines, _facts(result)))

    @contextlib.contextmanager
    def _watched(self, spec: TestSpec, timeout: float) -> Iterator[None]:
        """Give up a test that blocks its event loop: no time-out of the loop's own can end it."""
        main = threading.get_ident()

        def give_up() -> None:
            where = doing(sys._current_frames().get(main)) or "code that is not yours"
            line = f"FAIL it blocks the event loop in {where} ({spec.position.file}:{spec.position.line})"
            with contextlib.redirect_stdout(self._stdout):
                self._tell(Told("failed", spec.name, timeout + _MARGIN, [line]))
                code = self._end()
                self._stdout.flush()
            self._exit_hard(code)

        timer = threading.Timer(timeout + _MARGIN, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    # --- pytest ------------------------------------------------------------------------------------

    def _run_pytest(self) -> None:
        files = pytest_files()
        if not files:
            return
        if not has_pytest():
            self._left_out = True
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            click.echo(f"{files[0]}{more}: not run, pytest is not installed: pip install pytest", err=True)
            return
        done = run_pytest(self.options.only)
        for case in done.cases:
            self._tell(Told(case.outcome, case.name, case.seconds, facts={"file": case.file}))
        if done.broken:
            self._tell(Told("error", "pytest", 0.0))
        if done.broken or any(case.outcome == "failed" for case in done.cases):
            click.echo(done.output, err=self.options.is_json)

    # --- telling -----------------------------------------------------------------------------------

    def _tell(self, told: Told) -> None:
        self._told.append(told)
        if self.options.is_json:
            return
        word = {"passed": "PASS", "failed": "FAIL", "skipped": "SKIP"}.get(told.outcome, "ERROR")
        emit(self._hide(f"{word} {told.name} {told.seconds * 1000:.0f} ms"))
        for line in told.lines:
            emit(self._hide(line))

    def _end(self) -> int:
        """Tell the sum, and return the exit code."""
        seconds = time.perf_counter() - self._began
        counts = {
            word: sum(told.outcome == word for told in self._told)
            for word in ("passed", "failed", "error", "skipped")
        }
        if self.options.is_json:
            tests = [
                {"name": t.name, "outcome": t.outcome, "seconds": round(t.seconds, 6), **t.facts}
                for t in self._told
            ]
            text = json.dumps({**counts, "seconds": round(seconds, 6), "tests": tests}, indent=1)
            emit(self._hide(text))
        elif self._told:
            said = [f"{number} {_noun(word, number)}" for word, number in counts.items() if number]
            emit(f"{', '.join(said)} in {seconds:.1f} s")
        if not self._told:
            with_name = f" with '{self.options.only}' in their names" if self.options.only else ""
            if not self._left_out:
                click.echo(f"no tests found{with_name}", err=True)
            return 2
        return 2 if counts["error"] else 1 if counts["failed"] else 0


def _holds_tests(file: str) -> bool:
    text = Path(file).read_text(encoding="utf-8-sig", errors="replace")
    return _TESTS.search(text) is not None


def _noun(word: str, number: int) -> str:
    return "errors" if word == "error" and number > 1 else word


def _facts(result: CaseResult) -> dict[str, Any]:
    return {
        "file": result.position.file,
        "line": result.position.line,
        "mismatches": [
            {"message": one.text, "file": one.position.file, "line": one.position.line}
            for one in result.mismatches
        ],
        "problems": [as_json(problem) for problem in result.problems],
    }


def _traceback(error: BaseException) -> list[str]:
    causes = [leaf for cause in getattr(error, "errors", (error,)) for leaf in leaves(cause)]
    return [line for cause in causes for line in "".join(traceback.format_exception(cause)).splitlines()]


__all__ = ["Session", "SessionOptions", "Told"]
