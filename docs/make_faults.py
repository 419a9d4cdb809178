#!/usr/bin/env python3
"""Write docs/faults.md out of the marks ``fault`` of the tests: what happens, what the user sees, what proves it.

``python docs/make_faults.py`` writes it; a test says when it is out of date. What a mark says that a user sees, its
test has held against a real run.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"

ROWS: Mapping[str, str] = {
    "1": "`setup` raises",
    "2": "`setup` hangs",
    "3": "`process` raises",
    "4": "restart storm",
    "5": "`cleanup` raises",
    "6": "`cleanup` hangs",
    "7": "code that swallows cancellation",
    "8": "code that blocks the event loop",
    "9": "a stuck worker thread",
    "10": "SIGTERM or Ctrl-C, once and twice",
    "11": "KeyboardInterrupt or SystemExit in a component",
    "12": "an exception group",
    "13": "an exception that is no `Exception`",
    "14": "a flood",
    "15": "a slow consumer",
    "16": "a cycle of full buffers",
    "17": "a poison message",
    "18": "a full store of dead letters",
    "19": "a cancelled `send`",
    "20": "a close with messages buffered",
    "27": "the wall clock jumps",
    "38": "the web page: `../`, `%2e`, a symbolic link",
    "39": "the web page: a request from another site",
    "40": "the web page: DNS rebinding",
    "41": "control without a token",
    "42": "markup in names and messages",
    "44": "the target of the output vanishes",
    "off the main thread": "started off the main thread",
    "cancelled from outside": "cancelled from outside",
    "in an application": "a failing system inside a web application's lifespan",
    "forked": "forked after the start",
    "function that cannot travel": "a lambda, or a local function or class, with `run_in: process`",
    "synchronous sleep": "a synchronous `sleep` in an `async def`",
    "forgotten await": "a forgotten `await` before `send`",
    "unconnected output": "an unconnected output",
    "cancelled receive": "a cancelled `receive`",
    "close of a receiver": "a receiver that is closed",
    "await in finally": "an `await` in a `finally`",
    "cancelled thread": "a cancelled wait for a thread",
    "yield in a task group": "a `yield` inside a task group",
    "spinning": "a task that spins on a pending cancellation",
}
"""What the page tells, in its order: the numbers are those of the project's matrix of faults."""


@dataclass(frozen=True)
class Proof:
    """A test with a mark.

    Attributes:
        test: ``tests/x.py::test_name``.
        row: What it is about.
        happens: What happens; empty where the test only proves what another one says.
        sees: What the user sees.
        backends: Whether it runs on both event loops.
        shows: Whether it holds what it says that a user sees against a run.
    """

    test: str
    row: str
    happens: str
    sees: tuple[str, ...]
    backends: bool
    shows: bool


def proofs(folder: Path = ROOT / "tests") -> list[Proof]:
    """Return all tests with marks, in the order of files and lines."""
    found: list[Proof] = []
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.fault(" in text:
            found += _proofs_in(path.relative_to(folder.parent), ast.parse(text))
    return found


def _proofs_in(path: Path, module: ast.Module) -> Iterator[Proof]:
    both = {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign) and _names_backends(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _marks_of(path, node, both)


def _marks_of(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef, both: set[str]) -> Iterator[Proof]:
    decorators = node.decorator_list
    on_both = isinstance(node, ast.AsyncFunctionDef) or any(
        (isinstance(one, ast.Name) and one.id in both) or _names_backends(one) for one in decorators
    )
    arguments = {argument.arg for argument in node.args.args}
    for one in decorators:
        if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.fault":
            row, *more = [ast.literal_eval(argument) for argument in one.args]
            named = {word.arg: ast.literal_eval(word.value) for word in one.keywords}
            happens = more[0] if more else named.get("happens", "")
            shows = bool(arguments & {"shows", "shown"})
            test = f"{path}::{node.name}"
            yield Proof(test, str(row), happens, tuple(named.get("sees", ())), on_both, shows)


def _names_backends(node: ast.expr) -> bool:
    """Whether it is ``parametrize("backend", ["asyncio", "trio"])``."""
    return isinstance(node, ast.Call) and ast.unparse(node).endswith(
        "parametrize('backend', ['asyncio', 'trio'])"
    )


def problems(found: Sequence[Proof]) -> list[str]:
    """Return what keeps the page from being true."""
    wrong = [f"{proof.test}: there is no row {proof.row!r}" for proof in found if proof.row not in ROWS]
    wrong += [f"{proof.test} does not show what it says" for proof in found if proof.sees and not proof.shows]
    for row, title in ROWS.items():
        own = [proof for proof in found if proof.row == row]
        if not any(proof.backends for proof in own):
            wrong.append(f"row {row} ({title}) has no test on both backends")
        if not any(proof.happens for proof in own):
            wrong.append(f"row {row} ({title}): no test says what happens")
    return wrong


def page(found: Sequence[Proof]) -> str:
    """Return the page."""
    lines = [
        "# Faults: what happens, and what you see",
        "",
        "<!-- Written by docs/make_faults.py from the tests; do not edit. -->",
        "",
        "Every fault here is made to happen by a test, on asyncio and on trio, with real signals, threads,",
        "processes and disks where it has any. The lines that you see are those of the runs of these tests; `...`",
        "stands for what differs from run to run.",
        "",
    ]
    by_row: dict[str, list[Proof]] = defaultdict(list)
    for proof in found:
        by_row[proof.row].append(proof)
    for row, title in ROWS.items():
        lines += _section(row, title, by_row[row])
    return "\n".join(lines)


def _section(row: str, title: str, own: Sequence[Proof]) -> Iterator[str]:
    yield f"## {title[0].upper()}{title[1:]}" if not title.startswith("`") else f"## {title}"
    yield ""
    for proof in own:
        if proof.happens:
            yield proof.happens
            yield ""
            if proof.sees:
                yield from ("```text", *proof.sees, "```", "")
    yield f"Proved by (fault {row}):" if row.isdigit() else "Proved by:"
    yield ""
    yield from (f"- `{proof.test}`" for proof in own)
    yield ""


if __name__ == "__main__":
    every = proofs()
    PAGE.write_text(page(every), encoding="utf-8")
    for problem in problems(every):
        print(problem, file=sys.stderr)
