"""One run in this process: its hard end, late signals, and errors that are nobody's of the system."""

from __future__ import annotations

import io
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace import System, component
from headrace.cli.guard import Patience
from headrace.cli.running import OVERRAN, RunOptions, _Session, run_system
from headrace.cli.screen import Screen


@component
def ten() -> Iterator[int]:
    yield from range(10)


@component
def take(number: int) -> None:
    """Take it."""


class Pipe(io.StringIO):
    """An output that is no terminal."""


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Leave signals and logging as they were."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    before, level, hook = list(root.handlers), root.level, threading.excepthook
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for handler in list(root.handlers):
        if handler not in before:
            root.removeHandler(handler)
    root.setLevel(level)
    threading.excepthook = hook
    logging.captureWarnings(False)


def system() -> System:
    """Return a small system."""
    made = System("small")
    made.add("ten", ten)
    made.add("take", take)
    made.connect("ten", "take")
    return made


class Case:
    """A session whose process ends only in a list.

    Args:
        options: Those of the run.
        harness: The system.
    """

    def __init__(self, options: RunOptions | None = None, harness: System | None = None) -> None:
        self.out, self.err = Pipe(), Pipe()
        self.codes: list[int] = []
        self.harness = harness or system()
        self.screen = Screen(out=self.out, err=self.err)
        self.session = _Session(self.harness, options or RunOptions(), self.screen, self.codes.append)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_returns_its_code_and_puts_nothing_in_the_way(
    backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_system(system(), RunOptions(backend=backend), lambda code: None) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("in 10 out 10 rejected 0 lost 0 in")
    assert f"running small: 2 components, 1 connection, {backend}" in err


@pytest.mark.parametrize(
    ("options", "level"),
    [
        (RunOptions(), "info"),
        (RunOptions(quiet=True), "error"),
        (RunOptions(debug=True), "debug"),
        (RunOptions(debug=True, log_level="warning"), "warning"),
    ],
)
def test_the_level_of_logs_follows_from_the_options(options: RunOptions, level: str) -> None:
    assert options.level == level


def test_giving_up_tells_the_books_so_far_and_ends_with_5() -> None:
    case = Case()
    case.session._give_up()
    case.session.guard.stop = lambda: None  # type: ignore[method-assign]
    assert case.codes == [OVERRAN]
    assert "cannot be stopped in an orderly way" in case.err.getvalue()
    assert case.out.getvalue().splitlines()[-1].startswith("in 0 out 0 rejected 0 lost 0 in")


def test_giving_up_after_a_signal_ends_with_its_code() -> None:
    case = Case(RunOptions(quiet=True, debug=False))
    case.session.guard.signal = signal.SIGTERM
    case.session._give_up()
    assert case.codes == [143]
    assert len(case.out.getvalue().splitlines()) == 1


def test_giving_up_on_a_system_with_a_failed_component_ends_with_1() -> None:
    case = Case()
    case.harness.wiring.members["take"].status.transition_to("error", error=ValueError("no"))
    case.session._give_up()
    assert case.codes == [1]


@pytest.mark.anyio
async def test_giving_up_on_a_loop_that_does_not_close_tells_the_report() -> None:
    case = Case()
    await case.harness.run()
    case.session._give_up()
    assert case.codes == [OVERRAN]
    assert case.out.getvalue().splitlines()[-1].startswith("in 10 out 10 rejected 0 lost 0 in")


def test_an_error_of_nobody_is_told_with_its_traceback() -> None:
    case = Case()

    async def fail(**_: Any) -> None:
        raise RuntimeError("a bug of ours")

    case.harness.run = fail  # type: ignore[method-assign]
    assert case.session.run() == 1
    assert "x small failed: RuntimeError a bug of ours" in case.err.getvalue()
    assert "Traceback (most recent call last)" in case.err.getvalue()


def test_a_keyboard_interrupt_between_handlers_is_130() -> None:
    case = Case()

    async def interrupt() -> None:
        await case.harness.run()
        raise KeyboardInterrupt

    case.session._main = interrupt  # type: ignore[method-assign]
    assert case.session.run() == 130
    assert case.out.getvalue().splitlines()[-1].startswith("in 10 out 10 rejected 0 lost 0 in")


def test_one_late_signal_passes_and_a_second_ends_the_process() -> None:
    case = Case()
    case.session._on_late_signal(signal.SIGINT, None)
    assert case.codes == []
    case.session._on_late_signal(signal.SIGINT, None)
    assert case.codes == [130]


def test_a_thread_that_does_not_end_is_named_and_the_code_is_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.running.MARGIN", 0.05)
    release = threading.Event()
    stuck = threading.Thread(target=release.wait, name="stuck one")
    stuck.start()
    made = System("small", cleanup_timeout=0.05)
    made.add("ten", ten)
    case = Case(harness=made)
    try:
        case.session.run()
    finally:
        release.set()
        stuck.join()
    assert case.codes == [OVERRAN]
    assert "still at work: 'stuck one'; ending the process" in case.err.getvalue()


def test_json_keeps_the_last_words_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(RunOptions(log_format="json"))
    case.session._give_up()
    assert case.err.getvalue() == ""
    assert "it cannot be stopped in an orderly way; ending the process" in caplog.messages


def test_patience_has_the_harnesss_own_deadlines() -> None:
    found = Case(harness=System("s", shutdown_timeout=7, cleanup_timeout=3)).session.guard.patience
    assert (found.shutdown, found.cleanup) == (7, 3)
    assert isinstance(found, Patience)
