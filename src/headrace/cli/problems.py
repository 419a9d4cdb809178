"""How mistakes are shown: one line each with place, code and mend, and a caret for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headrace.model.blueprint import Problem


def problem_lines(problems: Iterable[Problem], *, excerpts: bool) -> list[str]:
    """Return the lines that show problems.

    Args:
        problems: What was found.
        excerpts: Whether to show the line of the file with a caret below each.
    """
    lines: list[str] = []
    for problem in problems:
        lines.append(" ".join(str(problem).splitlines()))
        if excerpts:
            lines += [f"    {line}" for line in problem.excerpt().splitlines()]
    return lines


def refusal_lines(problems: Sequence[Problem], *, excerpts: bool) -> list[str]:
    """Return what is shown of a system that is refused: its problems, and how many they are.

    Args:
        problems: What was found.
        excerpts: Whether to show the line of the file with a caret below each.
    """
    return [*problem_lines(problems, excerpts=excerpts), count_of(problems)]


def count_of(problems: Sequence[Problem]) -> str:
    """Return ``2 errors, 1 warning``; nothing where there are none."""
    counts = {kind: sum(1 for p in problems if p.severity == kind) for kind in ("error", "warning")}
    return ", ".join(plural(number, kind) for kind, number in counts.items() if number)


def plural(number: int, noun: str) -> str:
    """Return ``1 error`` or ``2 errors``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def as_json(problem: Problem) -> dict[str, Any]:
    """Return a problem as JSON knows it."""
    return {
        "file": problem.position.file,
        "line": problem.position.line,
        "column": problem.position.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


__all__ = ["as_json", "count_of", "plural", "problem_lines", "refusal_lines"]
