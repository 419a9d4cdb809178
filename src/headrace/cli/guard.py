"""Ends the process hard when nothing else can: code that swallows cancellation, a blocked loop, a stuck thread.

A thread of its own, because everything that lives in the event loop is stuck together with it. It hears of
signals from the interpreter's wake-up descriptor, which is written even while the main thread is stuck.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from anyio import sleep
from anyio.lowlevel import checkpoint

from headrace.model.component_status import ComponentState
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .own_code import doing

MARGIN = 2.0
"""Seconds beyond a deadline, and after a second signal, that the harness has to end in an orderly way."""

_TICK = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ENDED = {ComponentState.STOPPED, ComponentState.ERROR}


@dataclass(slots=True)
class Patience:
    """Decides when to wait no longer; times are in seconds on one clock.

    A drain has its deadline, and clean-ups then have theirs, one after the other: as long as some component
    still changes its state within that time, the harness is at work. A second signal leaves ``margin``
    seconds, a third none.
    """

    shutdown: float
    cleanup: float
    margin: float = MARGIN
    signals: int = 0
    hurried_at: float | None = None
    stopping_at: float | None = None
    returned_at: float | None = None
    _states: Hashable = None
    _changed_at: float = field(default=0.0)

    def hear(self, now: float) -> None:
        """Take note of a signal."""
        self.signals += 1
        if self.signals == 2:
            self.hurried_at = now

    def look(self, now: float, *, is_stopping: bool, states: Hashable) -> None:
        """Take note of how far the run has come."""
        if states != self._states:
            self._states, self._changed_at = states, now
        if self.stopping_at is None and (is_stopping or self.signals):
            self.stopping_at = now

    def is_over(self, now: float) -> bool:
        """Return whether to end the process now."""
        return self.signals > 2 or any(moment is not None and now >= moment for moment in self._ends())

    def _ends(self) -> tuple[float | None, ...]:
        returned = None if self.returned_at is None else self.returned_at + self.margin
        if returned is not None:
            return (returned,)
        hurried = None if self.hurried_at is None else self.hurried_at + self.margin
        if self.stopping_at is None:
            return (hurried,)
        drained = max(self.stopping_at + self.shutdown, self._changed_at + self.cleanup) + self.margin
        return (hurried, drained)


class Guard:
    """Watches over one run from a thread.

    Args:
        harness: The system.
        give_up: Called in that thread when patience is at an end; is to end the process.
        on_signal: Called in that thread with each signal.
        clock: Gives seconds.
    """

    def __init__(
        self,
        harness: SystemExecutionHarness,
        give_up: Callable[[], None],
        on_signal: Callable[[int], None] = lambda number: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        timeouts = harness.timeouts
        self.patience = Patience(timeouts.shutdown, timeouts.cleanup)
        self.signal: int | None = None
        self._harness = harness
        self._give_up = give_up
        self._on_signal = on_signal
        self._clock = clock
        self._lock = threading.Lock()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._forward = -1
        self._is_cut_off = False
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="headrace guard", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def returned(self) -> None:
        """Take note that the run has returned: only its event loop has to be closed now."""
        self.patience.returned_at = self._clock()

    def stop(self) -> None:
        """Stop watching."""
        self._is_done.set()
        self._wake()
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    # --- signals -----------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Stay between the interpreter and the event loop's own wake-up descriptor until cancelled.

        Whoever handles signals sets that descriptor when it begins (asyncio: with each handler); its bytes
        are passed on. It does so in the first rounds of the loop, so these are watched closely.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            for _ in range(20):
                self._listen_in()
                await checkpoint()
            while True:
                self._listen_in()
                self._cut_off_where_asked()
                await sleep(_TICK)
        finally:
            self._listen_no_more()

    def _listen_in(self) -> None:
        before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if before != self._write:
            with self._lock:
                self._forward = before

    def _cut_off_where_asked(self) -> None:
        """Stop at once after a second signal: it may have merged with the first before the loop saw either."""
        run = self._harness._run
        if self.patience.signals > 1 and run is not None and not self._is_cut_off:
            self._is_cut_off = True
            run.cut_off()

    def _listen_no_more(self) -> None:
        with self._lock:
            current = signal.set_wakeup_fd(-1)
            mine = current == self._write
            signal.set_wakeup_fd(self._forward if mine else current, warn_on_full_buffer=False)
            self._forward = -1

    # --- the thread --------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._is_done.is_set():
            select.select([self._read], [], [], _TICK)
            with contextlib.suppress(BlockingIOError):
                self._hear(os.read(self._read, 64))
            now = self._clock()
            self.patience.look(now, is_stopping=self._is_ending(), states=self._states())
            if self.patience.is_over(now) and not self._is_done.is_set():
                self._give_up()
                return

    def _hear(self, numbers: bytes) -> None:
        with self._lock:
            if self._forward >= 0:
                with contextlib.suppress(OSError):  # full: then the loop has enough to wake up for
                    os.write(self._forward, numbers)
        for number in numbers:
            if number in _SIGNALS:
                self.signal = number if self.signal is None else self.signal
                self.patience.hear(self._clock())
                self._on_signal(number)

    def _is_ending(self) -> bool:
        """Whether the run is on its way out: being drained, or cleaned up after a natural end or a failure."""
        if is_stopping(self._harness):
            return True
        states = {member.status.state for member in list(self._harness.wiring.members.values())}
        return bool(states & _ENDED) and ComponentState.RUNNING not in states

    def _states(self) -> Hashable:
        members = self._harness.wiring.members
        return tuple((name, members[name].status.last_transition) for name in list(members))

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")


def is_stopping(harness: SystemExecutionHarness) -> bool:
    """Return whether a drain has begun; from any thread."""
    run = harness._run
    return run is not None and run.stop_event.is_set()


def who_is_stuck(harness: SystemExecutionHarness) -> list[str]:
    """Return a line for each component that has not ended, and for each thread in the user's own code."""
    lines = []
    if harness.running:
        for name, one in harness.statistics().components.items():
            if one.state not in _ENDED and one.state is not ComponentState.CREATED:
                lines.append(f"{name} has not ended ({one.state})")
    return lines + stuck_threads()


def stuck_threads() -> list[str]:
    """Return a line for each thread in the user's own code; the main thread is the event loop's."""
    frames = sys._current_frames()
    lines = []
    for thread in threading.enumerate():
        what = doing(frames.get(thread.ident or 0))
        if what and thread is threading.main_thread():
            lines.append(f"the event loop is blocked in {what}")
        elif what and thread is not threading.current_thread():
            lines.append(f"thread '{thread.name}' is in {what}")
    return lines


def lingering() -> list[threading.Thread]:
    """Return the threads that the interpreter would wait for at its end."""
    return [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon and thread.is_alive()
    ]


__all__ = ["MARGIN", "Guard", "Patience", "is_stopping", "lingering", "stuck_threads", "who_is_stuck"]
