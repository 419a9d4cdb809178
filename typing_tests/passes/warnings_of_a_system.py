"""A program asks for the warnings of its own system."""

from __future__ import annotations

from headrace import System, find_warnings

system = System("s")
found: list[str] = [str(problem) for problem in find_warnings(system)]
codes: set[str] = {problem.code for problem in find_warnings(system, unsure=["a"])}
lines: list[int] = [problem.position.line for problem in find_warnings(system)]
