"""Reads the fenced blocks of a page and plays them: files are written, commands run, output compared.

A block with ``title="name"`` is a file; a ``console`` block is commands after ``$`` and what they print.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

TIMEOUT = 60.0

_FENCE = re.compile(r"^( *)(`{3,})(\w*)[ \t]*(.*?)\n(.*?)^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_NUMBERS = (
    (re.compile(r"\b\d+(\.\d+)? ?(s|ms)\b"), r"<time>"),
    (re.compile(r"[\d,]+(\.\d+)?( [a-z]+)?/s\b"), r"<rate>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)?"), r"<moment>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), r"<moment>"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its file name (empty without one), its text, its line."""

    language: str
    title: str
    text: str
    line: int

    def exchanges(self) -> Iterator[tuple[str, str]]:
        """Yield each command of a console block with the output that the page shows."""
        command = ""
        output: list[str] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, "\n".join(output)
                command, output = line[2:], []
            else:
                output.append(line)
        if command:
            yield command, "\n".join(output)


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        title = _TITLE.search(match[4])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[3], title[1] if title else "", textwrap.dedent(match[5]), line))
    return found


def normalised(output: str, folder: Path) -> list[str]:
    """Return lines of output without what differs from run to run: times, rates, moments, the folder."""
    text = output.replace(f"{folder}/", "").rstrip()
    for pattern, name in _NUMBERS:
        text = pattern.sub(name, text)
    return [line.rstrip() for line in text.splitlines()]


def fits(shown: list[str], out: list[str], err: list[str]) -> bool:
    """Tell whether a page shows what was printed: both outputs whole, each in its order, in any mixture.

    A line ``...`` of the page stands for any lines.
    """
    places = {(0, 0)}
    for line in shown:
        if line == "...":
            places = {
                (i, j) for i in range(len(out) + 1) for j in range(len(err) + 1) if _after(places, i, j)
            }
            continue
        by_out = {(i + 1, j) for i, j in places if out[i : i + 1] == [line]}
        by_err = {(i, j + 1) for i, j in places if err[j : j + 1] == [line]}
        places = by_out | by_err
    return (len(out), len(err)) in places


def _after(places: set[tuple[int, int]], i: int, j: int) -> bool:
    return any(i >= first and j >= second for first, second in places)


class Player:
    """Plays blocks in a folder, as a reader would: with ``.venv`` on the path and nothing of ours set.

    Args:
        folder: Where files go and commands run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = 0
        unwanted = ("PYTHON", "PYTEST_", "COVERAGE_", "COV_", "NO_COLOR", "FORCE_COLOR", "DATA", "OUT")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment |= {"COLUMNS": "100", "PYTHONUNBUFFERED": "1"}

    def run(self, command: str) -> tuple[str, str]:
        """Run a command; ``$?`` in it is the exit code of the one before.

        Returns:
            What it wrote to its output and to its error output.
        """
        with subprocess.Popen(
            ["bash", "-c", f"(exit {self.code}); {command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        self.code = process.returncode
        return out, err

    def compare(self, command: str, shown: str) -> None:
        """Run a command and fail unless it prints what the page shows; ``cd`` holds for those that follow."""
        if command.startswith("cd ") and command[3:].isidentifier():
            self.folder /= command[3:]
            assert self.folder.is_dir(), command
            return
        out, err = self.run(command)
        as_shown = fits(*(normalised(text, self.folder) for text in (shown, out, err)))
        said = f"--- the page shows\n{shown}\n--- it prints\n{out}\n--- and on stderr\n{err}"
        assert as_shown, f"$ {command}\n{said}"

    def play(self, blocks: list[Block]) -> None:
        """Write every file and run every command, in order."""
        for block in blocks:
            if block.title:
                path = self.folder / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            for command, shown in block.exchanges() if block.language == "console" else ():
                self.compare(command, shown)


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Player]:
    """Return a player with a folder of its own, and one for the sockets of the systems that run there."""
    one = Player(tmp_path)
    with tempfile.TemporaryDirectory(prefix="hr") as sockets:  # their paths have to be short
        one.environment["XDG_RUNTIME_DIR"] = sockets
        yield one


@pytest.fixture
def blocks() -> Callable[[str], list[Block]]:
    """Return a function that reads the blocks of a page, by its path in the checkout."""
    return lambda page: read_blocks(ROOT / page)
