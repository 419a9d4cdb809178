"""The screen: a live line that never tears what is printed, and outputs whose reader may go away."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest

from headrace.cli.screen import Screen, is_terminal, wants_colour


class Terminal(io.StringIO):
    """A text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal that shows colours."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Return the end of a pipe to read from, and the other one as a stream."""
    read, write = os.pipe()
    with open(write, "w", encoding="utf-8") as stream:
        yield read, stream


def test_what_is_printed_takes_the_live_line_away_and_the_next_tick_brings_it_back(
    terminal: Terminal,
) -> None:
    with Screen(out=terminal, err=terminal) as screen:
        screen.show("5 s  in 10")
        assert terminal.getvalue().count("5 s  in 10") == 1
        before = len(terminal.getvalue())
        print("hello")
        shown = terminal.getvalue()[before:]
        assert shown.endswith("\x1b[2Khello\n")
        print("again")
        assert terminal.getvalue().endswith("hello\nagain\n")
        screen.show("6 s  in 20")
        assert "6 s  in 20" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")


def test_half_a_line_is_not_torn(terminal: Terminal) -> None:
    with Screen(out=terminal, err=terminal) as screen:
        print("half", end="")
        screen.show("5 s")
        assert terminal.getvalue() == "half"
        sys.stdout.write("")
        screen.show("5 s")
        print(" whole")
        screen.show("5 s")
        assert terminal.getvalue().startswith("half whole\n")
        assert "5 s" in terminal.getvalue()
        screen.clear()
        print("dots...", end="")
        screen.notice(["a notice that cannot wait for ever"])
        assert terminal.getvalue().endswith("dots...\na notice that cannot wait for ever\n")


def test_there_is_no_live_line_where_it_is_not_wanted(terminal: Terminal) -> None:
    with Screen(live=False, out=terminal, err=terminal) as screen:
        screen.show("5 s")
        screen.clear()
    assert terminal.getvalue() == ""


def test_outputs_come_back(terminal: Terminal) -> None:
    before = (sys.stdout, sys.stderr)
    with Screen(out=terminal, err=terminal) as screen:
        assert (sys.stdout, sys.stderr) == (screen.out, screen.err)
    assert (sys.stdout, sys.stderr) == before


def test_notices_are_coloured_on_a_terminal_only(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(live=False, out=terminal, err=terminal)
    screen.notice(["x parse crashed", "    at parse.py:3"], "red")
    screen.notice([])
    assert terminal.getvalue() == "\x1b[31mx parse crashed\x1b[0m\n    at parse.py:3\n"
    monkeypatch.setenv("NO_COLOR", "1")
    screen.notice(["plain"], "red")
    assert terminal.getvalue().endswith("plain\n")
    assert not terminal.getvalue().endswith("\x1b[0m\n")


def test_a_dumb_terminal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(Terminal())
    assert not wants_colour(Terminal())


def test_a_reader_that_goes_away_is_told_once_and_no_error(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    told: list[str] = []
    with Screen(on_broken=lambda: told.append("gone"), out=stream) as screen:
        screen.results(["first"])
        assert os.read(read, 100) == b"first\n"
        os.close(read)
        screen.results(["second"])
        screen.results(["third"])
        print("x" * 100_000, flush=True)
        assert screen.is_broken
    assert told == ["gone"]


def test_a_write_past_the_buffer_finds_the_reader_gone_too(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    os.close(read)
    with Screen(out=stream) as screen:
        assert sys.stdout.write("x" * 1_000_000) == 1_000_000
        assert screen.is_broken


def test_a_reader_of_stderr_that_goes_away_stops_nothing(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    os.close(read)
    told: list[str] = []
    with Screen(on_broken=lambda: told.append("gone"), err=stream) as screen:
        screen.notice(["a"])
        screen.notice(["b"])
        assert not screen.is_broken
    assert not told


def test_an_output_is_what_components_expect_of_one(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    with Screen(out=stream):
        out = sys.stdout
        assert out.writable()
        assert not out.isatty()
        assert out.encoding == "utf-8"
        assert out.errors == "strict"
        assert isinstance(out.fileno(), int)
        out.buffer.write(b"bytes")
        out.flush()
        assert os.read(read, 100) == b"bytes"
    os.close(read)
