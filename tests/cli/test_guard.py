"""The guard: when patience is at an end, what it hears, and whom it names."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from headrace import System, component
from headrace.cli.guard import Guard, Patience, is_stopping, lingering, stuck_threads, who_is_stuck
from headrace.cli.own_code import doing, is_own, location, short


@component
async def waits() -> Any:
    await anyio.sleep_forever()
    yield 1


@component
def take(number: int) -> None:
    """Take it."""


def system() -> System:
    """Return a system that waits."""
    made = System("s", shutdown_timeout=1, cleanup_timeout=1)
    made.add("waits", waits)
    made.add("take", take)
    made.connect("waits", "take")
    return made


# --- patience ---------------------------------------------------------------------------------------


def patience() -> Patience:
    """Return one whose drain may take 5 s, each clean-up 3 s, and the margin is 2 s."""
    return Patience(5.0, 3.0, margin=2.0)


def test_a_run_that_is_not_stopping_may_take_for_ever() -> None:
    one = patience()
    one.look(0.0, is_stopping=False, states=1)
    assert not one.is_over(1e9)


def test_a_drain_has_its_deadline_and_the_margin() -> None:
    one = patience()
    one.look(10.0, is_stopping=True, states=1)
    assert not one.is_over(16.9)
    assert one.is_over(17.0)


def test_clean_ups_one_after_the_other_each_have_their_time() -> None:
    one = patience()
    one.look(10.0, is_stopping=True, states=1)
    one.look(16.0, is_stopping=True, states=2)
    assert not one.is_over(20.9)
    assert one.is_over(21.0)
    one.look(20.0, is_stopping=True, states=3)
    assert not one.is_over(24.9)


def test_a_signal_begins_a_drain_even_if_the_harness_has_not_heard_it() -> None:
    one = patience()
    one.hear(10.0)
    one.look(10.0, is_stopping=False, states=1)
    assert not one.is_over(16.9)
    assert one.is_over(17.0)


def test_a_second_signal_leaves_the_margin_and_a_third_nothing() -> None:
    one = patience()
    one.hear(10.0)
    one.look(10.0, is_stopping=True, states=1)
    one.hear(11.0)
    assert not one.is_over(12.9)
    assert one.is_over(13.0)
    one.hear(11.5)
    assert one.is_over(11.5)


def test_a_second_signal_before_any_look_counts_too() -> None:
    one = patience()
    one.hear(10.0)
    one.hear(10.0)
    assert not one.is_over(11.9)
    assert one.is_over(12.0)


def test_once_the_run_has_returned_only_the_loop_must_close() -> None:
    one = patience()
    one.look(10.0, is_stopping=True, states=1)
    one.returned_at = 16.0
    assert not one.is_over(17.9)
    assert one.is_over(18.0)


# --- the thread --------------------------------------------------------------------------------------


class Heard:
    """Remembers signals, and that the guard gave up."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.has_signal = threading.Event()
        self.gave_up = threading.Event()

    def on_signal(self, number: int) -> None:
        self.signals.append(number)
        self.has_signal.set()


@pytest.fixture
def heard() -> Heard:
    """Return a memory."""
    return Heard()


@pytest.fixture
def guard(heard: Heard) -> Iterator[Callable[..., Guard]]:
    """Return a function that makes a guard, which is stopped after the test."""
    made: list[Guard] = []

    def make(harness: System | None = None, **options: Any) -> Guard:
        made.append(Guard(harness or system(), heard.gave_up.set, heard.on_signal, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


async def test_it_hears_a_signal_and_passes_it_on_to_the_loop(
    guard: Callable[..., Guard], heard: Heard
) -> None:
    one = guard()
    one.start()
    harness = System("other")
    before = signal.getsignal(signal.SIGTERM)
    async with anyio.create_task_group() as group:
        with anyio.open_signal_receiver(signal.SIGTERM) as arrivals:
            group.start_soon(one.listen)
            for _ in range(5):
                await checkpoint()
            os.kill(os.getpid(), signal.SIGTERM)
            async for number in arrivals:
                assert number is signal.SIGTERM
                break
        group.cancel_scope.cancel()
    assert heard.has_signal.wait(10)
    assert heard.signals == [signal.SIGTERM]
    assert one.signal == signal.SIGTERM
    assert not heard.gave_up.is_set()
    assert not harness.running
    assert signal.getsignal(signal.SIGTERM) in (before, signal.SIG_DFL)


async def test_it_leaves_the_wake_up_descriptor_as_the_loop_had_it(guard: Callable[..., Guard]) -> None:
    before = _wakeup_fd()
    one = guard()
    one.start()
    async with anyio.create_task_group() as group:
        group.start_soon(one.listen)
        for _ in range(5):
            await checkpoint()
        assert _wakeup_fd() != before
        group.cancel_scope.cancel()
    assert _wakeup_fd() == before


def _wakeup_fd() -> int:
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found, warn_on_full_buffer=False)
    return found


async def test_off_the_main_thread_there_is_nothing_to_listen_to(guard: Callable[..., Guard]) -> None:
    before = _wakeup_fd()
    one = guard()
    one.start()
    await anyio.to_thread.run_sync(lambda: anyio.run(one.listen))
    assert _wakeup_fd() == before


async def test_a_second_signal_that_the_loop_missed_cuts_the_run_off(guard: Callable[..., Guard]) -> None:
    harness = system()
    one = guard(harness)
    one.start()
    async with anyio.create_task_group() as group:
        await group.start(harness.run)
        assert not is_stopping(harness)
        one.patience.hear(0.0)
        one.patience.hear(0.0)
        one.patience.hurried_at = None
        group.start_soon(one.listen)
        await harness.stop()
        group.cancel_scope.cancel()
    assert harness.report is not None
    assert harness.report.overruns, "cut off, not drained"


async def test_it_gives_up_once_patience_is_at_an_end(guard: Callable[..., Guard], heard: Heard) -> None:
    moments = iter([0.0, 0.0])
    one = guard(clock=lambda: next(moments, 100.0))
    one.returned()
    one.start()
    assert heard.gave_up.wait(10)


async def test_who_is_stuck_names_components_that_have_not_ended_and_where_threads_are() -> None:
    harness = system()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="mine", daemon=True)
    waiting = threading.Event()

    def work() -> None:
        waiting.set()
        release.wait()

    worker = threading.Thread(target=work, name="worker")
    thread.start()
    worker.start()
    waiting.wait()
    try:
        assert who_is_stuck(harness) == stuck_threads(), "it does not run"
        assert worker in lingering()
        assert thread not in lingering()
        found = stuck_threads()
        assert any(line.startswith("thread 'worker' is in work() at ") for line in found)
        assert not any("'mine'" in line for line in found), "it is in no code of the user's"
        assert any("the event loop is blocked in" in line for line in found)
        async with harness:
            assert "waits has not ended (running)" in who_is_stuck(harness)
    finally:
        release.set()
        worker.join()
        thread.join()


# --- own code ----------------------------------------------------------------------------------------


def test_our_own_code_and_libraries_are_not_the_users() -> None:
    assert is_own(__file__)
    assert not is_own(anyio.__file__)
    assert not is_own(os.__file__)
    assert not is_own("<frozen importlib._bootstrap>")
    assert not is_own(Guard.__init__.__code__.co_filename)


def test_a_place_is_given_from_the_current_folder_where_it_is_below(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert short(str(tmp_path / "a" / "b.py")) == os.path.join("a", "b.py")
    assert short("/elsewhere/b.py") == "/elsewhere/b.py"


def test_an_error_without_the_users_frames_has_no_place() -> None:
    assert location(ValueError("never raised")) == ""
    assert doing(None) == ""
    assert location(SyntaxError("bad", ("/x/bad.py", None, 1, "("))) == "/x/bad.py:1"
