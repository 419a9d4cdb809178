"""What is seen while a system runs: states together, one live line, the drain, failures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from headrace import System, SystemFailed, component
from headrace.cli.progress import Progress
from headrace.cli.screen import Screen


class Terminal(io.StringIO):
    """A text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@component
def ten() -> Iterator[int]:
    yield from range(10)


@component
async def hang(number: int) -> None:
    await anyio.sleep_forever()


@component
def take(number: int) -> None:
    """Take it."""


@component(attempts=1, on_error="crash")
def crash(number: int) -> None:
    raise KeyError("id")


def system(last: Any, sinks: int = 1) -> System:
    """Return a system of a source and sinks."""
    made = System("s", shutdown_timeout=8)
    made.add("ten", ten)
    for number in range(sinks):
        made.add(f"sink{number}", last)
        made.connect("ten", f"sink{number}", buffer_size=20)
    return made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal without colours."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return Terminal()


async def test_the_live_line_shows_throughput_and_the_fullest_edge(terminal: Terminal) -> None:
    harness, clock = system(hang), Clock()
    progress = Progress(harness, Screen(out=terminal, err=terminal), clock=clock)
    assert progress.line() == "0 s  in 0  0/s  out 0"
    async with anyio.create_task_group() as group:
        await group.start(harness.run)
        await anyio.wait_all_tasks_blocked()
        clock.now = 2.0
        assert progress.line() == "2 s  in 10  5/s  out 0  sink0.in 9/20"
        assert progress.draining() == "draining... sink0 10 left (8 s)"
        progress._draining_since = 0.0
        assert progress.line() == "draining... sink0 10 left (6 s)"
        group.cancel_scope.cancel()


def test_a_system_without_edges_has_a_line_too(terminal: Terminal) -> None:
    progress = Progress(System("empty"), Screen(out=terminal, err=terminal), clock=Clock())
    assert progress.line() == "0 s  in 0  0/s  out 0"
    assert progress.draining() == "draining... (5 s)"


async def test_states_are_told_together_and_the_rest_is_counted(terminal: Terminal) -> None:
    harness = system(take, sinks=12)
    progress = Progress(harness, Screen(out=terminal, err=terminal))
    progress.start()
    await harness.run()
    await anyio.to_thread.run_sync(progress.stop)
    shown = terminal.getvalue()
    assert "ready    sink0, sink1, sink2, sink3, sink4, sink5, sink6, sink7 and 5 more\n" in shown
    assert "stopping" not in shown


async def test_a_failure_is_told_when_it_happens(terminal: Terminal) -> None:
    harness = system(crash)
    progress = Progress(harness, Screen(live=False, err=terminal))
    progress.start()
    with pytest.raises(SystemFailed):
        await harness.run()
    assert terminal.getvalue().startswith("x sink0 crashed: KeyError 'id' at ")
    progress.stop()
    assert "ready" not in terminal.getvalue(), "states are for terminals"


async def test_it_is_silent_where_the_logs_tell(terminal: Terminal) -> None:
    harness = system(crash)
    progress = Progress(harness, Screen(live=False, err=terminal), is_silent=True)
    progress.start()
    progress.heard(2)
    with pytest.raises(SystemFailed):
        await harness.run()
    progress.stop()
    assert terminal.getvalue() == ""


def test_a_drain_is_told_once_and_a_second_signal_too(terminal: Terminal) -> None:
    progress = Progress(System("empty"), Screen(live=False, err=terminal))
    for _ in range(3):
        progress.heard(2)
    progress.start()
    progress.stop()
    assert terminal.getvalue() == "draining... (5 s); again to force\nstopping at once\n"


def test_quiet_keeps_the_drain_to_itself(terminal: Terminal) -> None:
    progress = Progress(System("empty"), Screen(live=False, err=terminal), quiet=True)
    progress.heard(2)
    progress.start()
    progress.stop()
    progress.stop()
    assert terminal.getvalue() == ""


def test_the_live_line_counts_restarts() -> None:
    made = System("s")
    made.add("ten", ten)
    made.add("sink0", component(on_error="crash", attempts=1)(at_three), restart="failure")
    made.connect("ten", "sink0", buffer_size=20)
    anyio.run(made.run)
    with Screen(live=False, out=io.StringIO(), err=Terminal()) as screen:
        line = Progress(made, screen).line()
    assert "in 10" in line
    assert line.endswith("1 restart")


def at_three(number: int) -> None:
    """Fail on 3."""
    if number == 3:
        raise ValueError(number)
