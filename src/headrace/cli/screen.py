"""All that a run writes: results to stdout, notices to stderr, and on a terminal one live line below both.

What components print themselves comes through here too, so that it neither tears the live line nor fails
when whoever read it went away.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TextIO

import click

_PATIENCE = 20  # milliseconds that a notice waits for the end of a line: `print` writes it in two parts


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that can redraw a line."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def wants_colour(stream: TextIO) -> bool:
    """Return whether colours belong on a stream."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


class Screen:
    """Stands between a run and the two outputs; a context manager that puts itself in their place.

    Args:
        live: Whether there may be a live line; only on a terminal there is one.
        on_broken: Called once when the reader of stdout has gone away.
        out: Where results go; the standard output where None.
        err: Where notices go; the standard error where None.
        hide: Takes secrets out of notices and results.
    """

    def __init__(
        self,
        *,
        live: bool = True,
        on_broken: Callable[[], None] = lambda: None,
        out: TextIO | None = None,
        err: TextIO | None = None,
        hide: Callable[[str], str] = str,
    ) -> None:
        self.hide = hide
        self.lock = threading.RLock()
        self.is_broken = False
        self.on_broken = on_broken
        self.out = _Output(self, out or sys.stdout)
        self.err = _Output(self, err or sys.stderr, hide)
        self._outputs = (self.out, self.err)
        self._was: tuple[TextIO, TextIO] | None = None
        self.live = _LiveLine(self.err.real) if live and is_terminal(self.err.real) else None

    def __enter__(self) -> Self:
        self._was = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = self.out, self.err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        self.flush()
        if self._was is not None:
            sys.stdout, sys.stderr = self._was

    def notice(self, lines: Iterable[str], colour: str = "") -> None:
        """Write lines to stderr; ``colour`` is that of the first."""
        texts = list(lines)
        if colour and texts and wants_colour(self.err.real):
            texts[0] = click.style(texts[0], fg=colour)
        text = "".join(f"{text}\n" for text in texts)
        for _ in range(_PATIENCE):
            with self.lock:
                if self._is_at_line_start():
                    self.err.write(text)
                    self.err.flush()
                    return
            time.sleep(0.001)
        self.err.write(f"\n{text}")
        self.err.flush()

    def results(self, lines: Iterable[str], *, is_clean: bool = False) -> None:
        """Write lines to stdout, below everything on stderr; ``is_clean`` where no secrets can be in them."""
        self.err.flush()
        if not self.out.at_line_start:
            self.out.write("\n")
        text = "".join(f"{line}\n" for line in lines)
        self.out.write(text if is_clean else self.hide(text))
        self.out.flush()

    def show(self, line: str) -> None:
        """Replace the live line, where there is one."""
        with self.lock:
            if self.live is not None and self._is_at_line_start():
                self.live.show(line)

    def _is_at_line_start(self) -> bool:
        """Whether no output on the terminal is in the middle of a line."""
        return self.live is None or all(output.at_line_start for output in self._outputs)

    def clear(self) -> None:
        """Take the live line away, until it is shown again."""
        if self.live is not None:
            with self.lock:
                self.live.hide()

    def flush(self) -> None:
        """Let everything out that was written."""
        for output in self._outputs:
            output.flush()

    def broken(self, output: _Output) -> None:
        """Take note that an output goes nowhere from now on."""
        if output is self.out and not self.is_broken:
            self.is_broken = True
            self.on_broken()


class _Output(io.TextIOBase):
    """One output, as components see it."""

    def __init__(self, screen: Screen, real: TextIO, hide: Callable[[str], str] = str) -> None:
        self._screen = screen
        self._hide = hide
        self.real = real
        self.at_line_start = True

    def write(self, text: str) -> int:
        screen = self._screen
        with screen.lock:
            if screen.live is not None:
                screen.live.hide()
            self.at_line_start = text.endswith("\n") if text else self.at_line_start
            try:
                self.real.write(self._hide(text))
                return len(text)
            except BrokenPipeError:
                self._break()
                return len(text)

    def flush(self) -> None:
        with self._screen.lock:
            try:
                self.real.flush()
            except BrokenPipeError:
                self._break()

    def _break(self) -> None:
        """Go on without a reader; what is still buffered goes where all the rest will."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.real.fileno())
        os.close(nothing)
        self._screen.broken(self)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.real.isatty()

    def fileno(self) -> int:
        return self.real.fileno()

    @property
    def buffer(self) -> Any:
        """The bytes below, for those who write some."""
        return self.real.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the output."""
        return self.real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the output."""
        return self.real.errors


class _LiveLine:
    """One line at the bottom of a terminal.

    Rich draws it, but what components print does not go through Rich: that costs 115 us a line, and this
    below 1 us. The line is taken away once before they print, and comes back with the next tick.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(file=stream, highlight=False, markup=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._is_shown = False

    def show(self, line: str) -> None:
        from rich.text import Text

        self._live.update(Text(line, no_wrap=True, overflow="ellipsis", style="dim"), refresh=self._is_shown)
        if not self._is_shown:
            self._live.start(refresh=True)
            self._is_shown = True

    def hide(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._live.stop()


__all__ = ["Screen", "is_terminal", "wants_colour"]
