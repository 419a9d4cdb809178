"""Runs the command line as its users do: in a process of its own, with real signals and a real terminal."""

from __future__ import annotations

import logging
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headrace.cli.main import cli

APPS = Path(__file__).parent / "apps"


class Running:
    """A ``headrace`` that runs in a process of its own.

    Args:
        arguments: Its command line.
        folder: Where it runs.
        extra: More environment variables.
    """

    def __init__(self, *arguments: str, folder: Path = APPS, **extra: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", *arguments],
            cwd=folder,
            env=environment | extra,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.notices = ""

    def wait_for(self, word: str) -> None:
        """Wait for a line on stderr that holds a word."""
        assert self.process.stderr is not None
        while True:
            line = self.process.stderr.readline()
            self.notices += line
            if word in line:
                return
            assert line, f"it ended without saying {word!r}: {self.notices}"

    def send(self, signal: int) -> None:
        """Send a signal."""
        self.process.send_signal(signal)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end.

        Returns:
            Its exit code, and all it wrote to stdout and to stderr.
        """
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, self.notices + err

    def kill(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Leave logging as it was: a command called in this process configures it as if the process were its own."""
    root = logging.getLogger()
    before, level, hook = list(root.handlers), root.level, threading.excepthook
    yield
    for handler in list(root.handlers):
        if handler not in before and "_pytest" not in type(handler).__module__:
            root.removeHandler(handler)
    root.setLevel(level)
    threading.excepthook = hook
    logging.captureWarnings(False)


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a ``headrace`` with these arguments."""
    started: list[Running] = []

    def begin(*arguments: str, **options: object) -> Running:
        started.append(Running(*arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for one in started:
        one.kill()


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Return a function that calls a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)
        if result.exception is None and isinstance(result.return_value, int):
            result.exit_code = result.return_value
        return result

    return call


@pytest.fixture
def apps() -> Path:
    """Return the folder of the small systems."""
    return APPS


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Return a function that writes a module to the current folder, forgotten after the test."""

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    yield write
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


@pytest.fixture
def in_terminal() -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command on a terminal; gives its exit code and what was shown.

    ``on`` maps words to signals: each is sent once, when its word has been shown.
    """

    def run(
        arguments: list[str], folder: Path = APPS, *, on: dict[str, int] | None = None, **extra: str
    ) -> tuple[int, str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", *arguments],
            cwd=folder,
            env=environment | {"TERM": "xterm-256color", "COLUMNS": "100"} | extra,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        waiting = dict(on or {})
        shown = b""
        while part := _read(master):
            shown += part
            for word in [word for word in waiting if word.encode() in shown]:
                process.send_signal(waiting.pop(word))
        os.close(master)
        return process.wait(timeout=60), shown.decode().replace("\r\n", "\n")

    return run


def _read(master: int) -> bytes:
    try:
        return os.read(master, 4096)
    except OSError:  # Linux says so where the other end is closed
        return b""


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Give the signals back: ``main()`` ignores them at its end, and what tests start later would inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
