"""Runs the system of a fault by the command line, and looks for what its mark says that a user sees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
Shows = Callable[..., str]


class Process:
    """A ``headrace run`` of one of the systems here."""

    def __init__(self, system: str, backend: str, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "run", f"systems:{system}", "--backend", backend, *more],
            cwd=HERE,
            env={k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.heard = ""

    def send(self, signal: int, after: str) -> None:
        """Send a signal once a word was said."""
        assert self.process.stderr is not None
        while after not in self.heard:
            line = self.process.stderr.readline()
            assert line, f"it never said {after!r}: {self.heard}"
            self.heard += line
        self.process.send_signal(signal)

    def end(self) -> tuple[int, str]:
        """Return its exit code and all it has shown."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, self.heard + err + out


@pytest.fixture
def shows(shown: Callable[[str], None]) -> Iterator[Shows]:
    """Return a function that runs a system, and holds what it shows against the mark.

    ``signals`` maps words to signals, sent in this order, each when its word was said.
    """
    started: list[Process] = []

    def run(system: str, backend: str, *, code: int, signals: dict[str, int] | None = None) -> str:
        one = Process(system, backend)
        started.append(one)
        for word, number in (signals or {}).items():
            one.send(number, word)
        ended, text = one.end()
        shown(text)
        assert ended == code, text
        return text

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
