"""The fairness quantum: a call that need not wait skips the checkpoint, but not for long.

After 500 us without waiting a handle gives way to the other tasks. The clock is read once in ``span``
calls; the span adapts, so that 50 us of work per message do not hold the loop for 50 ms.
"""

from __future__ import annotations

from time import perf_counter

from anyio.lowlevel import checkpoint

QUANTUM = 0.0005
_NARROWEST, _WIDEST = 1, 64


class Pace:
    """How many calls a handle may still make before it looks at the clock.

    ``left`` is what the fast paths compare with; after ``stop()`` it stays 0, so that a closed handle
    costs an open one no comparison of its own.
    """

    __slots__ = ("left", "since", "span")

    def __init__(self) -> None:
        self.span = 8
        self.left = self.span
        self.since = perf_counter()

    async def look(self) -> None:
        """Give way to other tasks if the quantum is over; may be cancelled only before anything is moved."""
        elapsed = perf_counter() - self.since
        if elapsed >= QUANTUM:
            if elapsed > 2 * QUANTUM:
                self.span = min(self.span, max(_NARROWEST, int(self.span * QUANTUM / elapsed)))
            await checkpoint()
            self.since = perf_counter()
        elif self.span < _WIDEST:
            self.span *= 2
        self.left = max(self.span - 1, 0)  # the call that looked is one of the span

    def waited(self) -> None:
        """Start a new quantum: the caller has just waited, so everybody else has had a turn."""
        self.left = max(self.span - 1, 0)
        self.since = perf_counter()

    def stop(self) -> None:
        """Send every further call the long way round, where a closed handle is noticed."""
        self.span = self.left = 0


__all__ = ["QUANTUM", "Pace"]
