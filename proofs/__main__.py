"""Run a proof by its name, list them, and keep a proof's raw output where that is asked for."""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import pkgutil
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["catalogue", "main"]

HERE = Path(__file__).resolve().parent
LOGS = HERE.parent / "docs" / "proofs"


def catalogue(folder: Path = HERE) -> dict[str, str]:
    """Find the proofs without importing them.

    Args:
        folder: where they lie.

    Returns:
        Each proof's name and the first line of its docstring, sorted by name.
    """
    names = sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_"))
    return {name: _first_line(folder / f"{name}.py") for name in names}


def main(argv: Sequence[str]) -> int:
    """Run ``[--log] NAME [argument ...]``.

    Args:
        argv: the arguments; without a name the proofs are listed.

    Returns:
        The proof's exit code; 2 without a known name.
    """
    arguments = list(argv)
    log = arguments[:1] == ["--log"]
    if log:
        del arguments[0]
    proofs = catalogue()
    if not arguments or arguments[0] not in proofs:
        return _explain(arguments, proofs)
    name, *rest = arguments
    if log:
        return _logged(name, rest, LOGS / f"{name}.txt")
    code: int = importlib.import_module(f"proofs.{name}").main(rest)
    return code


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return (docstring or "").partition("\n")[0]


def _explain(arguments: list[str], proofs: dict[str, str]) -> int:
    asked_for_help = arguments[:1] in (["-h"], ["--help"])
    if arguments and not asked_for_help:
        near = difflib.get_close_matches(arguments[0], proofs, n=1)
        meant = f", did you mean {near[0]!r}?" if near else ""
        print(f"prove: there is no proof {arguments[0]!r}{meant}", file=sys.stderr)
    width = max(map(len, proofs), default=0)
    listing = "\n".join(f"  {name:<{width}}  {line}" for name, line in proofs.items())
    print(f"usage: python3 bootstrap.py prove [--log] NAME [argument ...]\n{listing}", file=sys.stderr)
    return 0 if asked_for_help else 2


def _logged(name: str, rest: list[str], path: Path) -> int:
    """Run the proof in a process of its own and write all it prints to the terminal and to ``path``."""
    command = [sys.executable, "-u", "-m", "proofs", name, *rest]
    started = time.monotonic()
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child,
    ):
        log.write(_header(name, rest))
        assert child.stdout is not None
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            log.write(line)
        code = child.wait()
        log.write(f"exit {code} after {time.monotonic() - started:.1f} s\n")
    print(f"prove: kept in {os.path.relpath(path)}", file=sys.stderr)
    return code if code >= 0 else 128 - code


def _header(name: str, rest: list[str]) -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        f"commit:  {done.stdout.strip() or 'unknown'}\n"
        f"python:  {platform.python_implementation()} {platform.python_version()}\n"
        f"machine: {platform.platform()}, {os.cpu_count()} cores\n"
        f"command: {' '.join(['python3 bootstrap.py prove --log', name, *rest])}\n\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
