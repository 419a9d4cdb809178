"""What is seen of a run while it runs: states as they change, one live line, and word of a drain.

A thread of its own, so that the event loop is not kept waiting by a terminal, and a blocked loop shows.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from headrace.model.component_status import ComponentState, ComponentStatus, Transition
from headrace.runtime.statistics import EdgeStatistics
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .ending import failure_card
from .guard import is_stopping
from .problems import plural
from .screen import Screen

_TICK = 0.2
_WINDOW = 5  # ticks over which throughput is measured
_NAMES = 8
_QUIET = (ComponentState.STOPPING,)  # said a moment before ``stopped``, so it is not news


class Progress:
    """Shows a run.

    Args:
        harness: The system.
        screen: Where to.
        is_silent: Whether nothing is shown at all, because the logs tell it.
        quiet: Whether nothing is shown but failures.
        debug: Whether failures are shown with all their frames.
        clock: Gives seconds.
    """

    def __init__(
        self,
        harness: SystemExecutionHarness,
        screen: Screen,
        *,
        is_silent: bool = False,
        quiet: bool = False,
        debug: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._harness = harness
        self._screen = screen
        self._is_silent = is_silent
        self._quiet = quiet or is_silent
        self._debug = debug
        self._clock = clock
        self._began = clock()
        self._draining_since: float | None = None
        self._signals = 0
        self._told = 0
        self._moves: deque[tuple[str, ComponentState]] = deque()
        self._counts: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._wake = threading.Event()
        self._is_done = False
        self._thread = threading.Thread(target=self._show, name="headrace progress", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        for member in self._harness.wiring.members.values():
            member.status.add_listener(self._listener(member.name))
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Show what has not been shown yet, and end; a terminal that takes nothing is not waited for."""
        self._is_done = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._screen.clear()

    def heard(self, _number: int) -> None:
        """Take note of a signal."""
        self._signals += 1
        self._wake.set()

    # --- what components tell ----------------------------------------------------------------------

    def _listener(self, name: str) -> Callable[[ComponentStatus, Transition], None]:
        def listen(_: ComponentStatus, move: Transition) -> None:
            if move.target is ComponentState.ERROR:
                self._tell_failure(name, move)
            elif self._screen.live is not None:
                self._moves.append((name, move.target))

        return listen

    def _tell_failure(self, name: str, move: Transition) -> None:
        if move.error is None or self._is_silent:
            return
        run = self._harness._run
        phase = "process" if run is None else run._lifecycle.phase_of(name)
        crash = self._harness.last_crash(name)
        crash = crash if crash is not None and crash.error is move.error else None
        card = failure_card(name, phase, move.error, debug=self._debug, crash=crash)
        self._screen.notice(card, "red")

    # --- the thread --------------------------------------------------------------------------------

    def _show(self) -> None:
        is_terminal = self._screen.out.isatty()
        while True:
            self._wake.wait(_TICK)
            self._wake.clear()
            is_last = self._is_done
            self._tell_moves()
            self._tell_signals()
            if (
                not is_terminal
            ):  # that one shows whole lines by itself, and half of one would be torn by a notice
                self._screen.out.flush()
            if is_last:
                return
            if self._screen.live is not None:
                self._screen.show(self.line())

    def _tell_moves(self) -> None:
        by_state: dict[ComponentState, list[str]] = {}
        while self._moves:
            name, state = self._moves.popleft()
            by_state.setdefault(state, []).append(name)
        for state, names in by_state.items():
            if state not in _QUIET:
                more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
                self._screen.notice([f"{state:<8} {', '.join(names[:_NAMES])}{more}"])

    def _tell_signals(self) -> None:
        if self._draining_since is None and (self._signals or is_stopping(self._harness)):
            self._draining_since = self._clock()
        if self._quiet:
            return
        if self._signals and self._told < 1:
            self._screen.notice([f"{self.draining()}; again to force"], "yellow")
        if self._signals > 1 and self._told < 2:
            self._screen.notice(["stopping at once"], "yellow")
        self._told = max(self._told, self._signals)

    def line(self) -> str:
        """Return the live line: throughput, or how far the drain is."""
        now = self._clock()
        if self._draining_since is not None:
            return self.draining()
        totals = self._harness.ledger().totals
        self._counts.append((now, totals.taken_in))
        then, before = self._counts[0]
        rate = (totals.taken_in - before) / (now - then) if now > then else 0.0
        parts = [f"{now - self._began:.0f} s", f"in {totals.taken_in:,}", f"{rate:,.0f}/s"]
        parts += [f"out {totals.given_out:,}"] + (
            [f"rejected {totals.rejected:,}"] if totals.rejected else []
        )
        statistics = self._harness.statistics()
        restarts = sum(one.restarts for one in statistics.components.values())
        parts += [plural(restarts, "restart")] if restarts else []
        blocked = statistics.loop_blocked
        troubles = [*([] if blocked is None else [blocked]), *statistics.deadlocks, *statistics.stalls]
        last = [str(troubles[0])] if troubles else self._fullest(statistics.edges)
        return "  ".join([*parts, *last])

    def _fullest(self, edges: Mapping[str, EdgeStatistics]) -> list[str]:
        if not edges:
            return []
        key, edge = max(edges.items(), key=lambda item: item[1].buffered / item[1].capacity)
        receiver = self._harness.wiring.connection_of(key).receiver
        return [f"{receiver} {edge.buffered:,}/{edge.capacity:,}"] if edge.buffered else []

    def draining(self) -> str:
        """Return ``draining... parse 31 left (8 s)``: who has how much to do, and how long it has for that."""
        left: dict[str, int] = {}
        for key, edge in self._harness.statistics().edges.items():
            name = self._harness.wiring.connection_of(key).receiver.component
            left[name] = left.get(name, 0) + edge.ledger.remaining
        most = sorted(((number, name) for name, number in left.items() if number), reverse=True)[:3]
        what = "".join(f" {name} {number:,} left," for number, name in most).rstrip(",")
        since = self._clock() if self._draining_since is None else self._draining_since
        seconds = max(0.0, since + self._harness.timeouts.shutdown - self._clock())
        return f"draining...{what} ({seconds:.0f} s)"


__all__ = ["Progress"]
