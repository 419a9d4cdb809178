"""The fairness quantum: a call that need not wait skips the checkpoint, but not for long.

After 500 us without waiting a handle gives way to the other tasks. The clock is read once in ``span``
messages; the span adapts, so that 50 us of work per message do not hold the loop for 50 ms.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, perf_counter

from anyio.lowlevel import checkpoint

QUANTUM = 0.0005
WIDEST = 256  # at 2 us a message it fills the quantum; a look costs 0.1 us
_NARROWEST = 1


class _Loop(threading.local):
    """What is known of the event loop of this thread.

    Attributes:
        switched: When a task last began its turn after a wait on any handle.
        clock: Gives the seconds by which the loop counts, virtual ones in simulation; may be called in any thread.
    """

    switched = 0.0
    clock: Callable[[], float] = monotonic


_loop = _Loop()


def loop_clock() -> Callable[[], float]:
    """Return the clock by which waits in this thread's event loop are stamped."""
    return _loop.clock


def use_loop_clock(clock: Callable[[], float]) -> None:
    """Stamp waits in this thread's event loop by a clock, from now on."""
    _loop.clock = clock


class Pace:
    """How many messages a handle may move before it looks at the clock again."""

    __slots__ = ("_looked", "since", "span")

    def __init__(self) -> None:
        self.span = 8
        self.since = self._looked = perf_counter()

    def is_over(self, moved: int) -> bool:
        """Look at the clock: whether the quantum is over and others should have their turn.

        Widens the span where the last one was quick, narrows it where it took too long. Time before a task
        switch does not count, whoever waited: a thousand other tasks may have had their turns in it. Without
        that, all spans shrink to 1 in a large one: 54 us a message and hop in place of 2.2, of 1,000 components.

        Args:
            moved: Messages moved since the last look.
        """
        now = perf_counter()
        switched = _loop.switched
        undisturbed = self._looked >= switched
        took = now - (self._looked if undisturbed else switched)
        self._looked = now
        if took > QUANTUM:
            self.span = max(_NARROWEST, min(self.span, int(max(moved, 1) * QUANTUM / took)))
        elif undisturbed and took < QUANTUM / 4 and self.span <= moved < WIDEST:
            self.span *= 2
        return now - max(self.since, switched) >= QUANTUM

    async def give_way(self) -> None:
        """Let other tasks have their turn; may be cancelled, so nothing may have been moved."""
        await checkpoint()
        self.waited()

    def waited(self) -> None:
        """Start a new quantum: the caller has just waited, so everybody else has had a turn."""
        self.since = self._looked = _loop.switched = perf_counter()


__all__ = ["QUANTUM", "WIDEST", "Pace", "loop_clock", "use_loop_clock"]
