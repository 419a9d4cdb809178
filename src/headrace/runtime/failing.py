"""Says which components do nothing but fail, by the books of their edges: no message pays for it.

A component only fails if its last few messages have all failed for good, or if it was restarted and nothing has
come of that yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import monotonic
from typing import NamedTuple

from headrace.model.trouble import span
from headrace.streams.edge import AnyEdge

from .supervisor import Supervised
from .wiring import Wiring

IN_A_ROW = 3
"""Messages that have to fail one after the other: a single one says nothing of the component."""
_FAILED = "on_error"


class _Reborn(NamedTuple):
    """How many restarts a component has had, and at the last one: what it had done, and when that was."""

    restarts: int
    done: int
    at: float


class Failing:
    """Compares the books with how they stood when a component last did something.

    Args:
        wiring: The system.
        running: The members that run or have run, by name.
    """

    def __init__(self, wiring: Wiring, running: Mapping[str, Supervised]) -> None:
        self._wiring = wiring
        self._running = running
        self._good: dict[str, tuple[int, int]] = {}  # messages done with, and failed ones at that time
        self._reborn: dict[str, _Reborn] = {}

    def look(self) -> None:
        """Take note of how the books stand; in between, the order of good and failed messages is not known."""
        for edge in list(self._wiring.edges.values()):
            if edge.dead_lettered or _FAILED in edge.dropped:
                self._note(edge.key, edge)
        for name, one in list(self._running.items()):
            if one.restarts and (name not in self._reborn or self._reborn[name].restarts != one.restarts):
                self._reborn[name] = _Reborn(one.restarts, _done(one), monotonic())

    def reasons(self) -> dict[str, str]:
        """Return what is wrong with each component that only fails: ``its last 7 messages have failed``."""
        self.look()
        return {**dict(self._that_fail()), **dict(self._that_restart())}

    def _note(self, key: str, edge: AnyEdge) -> None:
        done, failed = edge.acknowledged, edge.dead_lettered + edge.dropped.get(_FAILED, 0)
        before = self._good.get(key)
        if before is None:
            self._good[key] = (done, failed if done else 0)
        elif done != before[0] or failed < before[1]:
            self._good[key] = (done, failed)

    def _that_fail(self) -> Iterator[tuple[str, str]]:
        for key, (_, before) in list(self._good.items()):
            edge = self._wiring.edges.get(key)
            if edge is None:
                continue
            failed = edge.dead_lettered + edge.dropped.get(_FAILED, 0) - before
            if failed >= IN_A_ROW:
                yield edge.inlet.name.rpartition(".")[0], f"its last {failed:,} messages have failed"

    def _that_restart(self) -> Iterator[tuple[str, str]]:
        for name, one in list(self._running.items()):
            if not one.alive:
                continue
            if one.between is not None:
                yield name, f"it is being restarted, awaiting {one.awaiting}"
            elif name in self._reborn and _done(one) == self._reborn[name].done:
                seconds = monotonic() - self._reborn[name].at
                if seconds < one.member.restart.within:
                    yield (
                        name,
                        f"it has done nothing in {span(seconds)} since its restart number {one.restarts}",
                    )


def _done(one: Supervised) -> int:
    """Count what a component has done: messages it is done with, or as a source those it has sent."""
    member = one.member
    ends = [edge.acknowledged for inlet in member.inlets.values() for edge in inlet.lanes]
    return sum(ends) if ends else sum(outlet.accepted for outlet in member.outlets.values())


__all__ = ["IN_A_ROW", "Failing"]
