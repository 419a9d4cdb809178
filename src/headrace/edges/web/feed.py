"""The snapshots that all streams share: one a tick however many clients there are, and none where there is none.

A client holds the last snapshot that it was sent and nothing else. One that reads slowly gets fewer deltas, each of
all that has changed meanwhile; so nothing is ever queued for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from . import records
from .recording import Recorder

T = TypeVar("T", bound=records.Record)
_encode = msgspec.json.Encoder().encode


class Feed:
    """Takes a snapshot when the last one is older than a tick, and encodes each and each delta once.

    Args:
        recorder: Takes the snapshots.
        tick: Seconds between two of them.

    Attributes:
        recorder: Takes the snapshots.
        tick: Seconds between two of them.
        taken: How many it has taken.
    """

    def __init__(self, recorder: Recorder, tick: float = 0.5) -> None:
        self.tick = tick
        self.taken = 0
        self.recorder = recorder
        self._latest: records.Snapshot | None = None
        self._at = 0.0
        self._is_over = False
        self._whole: tuple[int, bytes] = (0, b"")
        self._deltas: dict[tuple[int, int], bytes] = {}

    def latest(self, now: float) -> records.Snapshot:
        """Return a snapshot of this tick.

        Args:
            now: The time by the clock of the event loop, in seconds.
        """
        if self._latest is None or now - self._at >= 0.9 * self.tick or now < self._at:
            self._latest, self._at = self.recorder.snapshot(), now
            self._deltas.clear()
            self.taken += 1
        return self._latest

    def final(self) -> records.Snapshot:
        """Return the last snapshot, for all streams at the end of the server: how the run has ended."""
        if not self._is_over:
            self._is_over = True
            self._latest = self.recorder.snapshot()
            self._deltas.clear()
        assert self._latest is not None
        return self._latest

    def whole(self, one: records.Snapshot) -> bytes:
        """Return a snapshot as JSON."""
        if self._whole[0] != one.number:
            self._whole = (one.number, _encode(one))
        return self._whole[1]

    def delta(self, before: records.Snapshot, after: records.Snapshot) -> bytes:
        """Return what has changed between two snapshots as JSON; nothing where nothing but the time has."""
        key = (before.number, after.number)
        if key not in self._deltas:
            found = delta_between(before, after)
            is_empty = found.system is None and not (found.components or found.edges or found.gone)
            self._deltas[key] = b"" if is_empty else _encode(found)
        return self._deltas[key]


def delta_between(before: records.Snapshot, after: records.Snapshot) -> records.Delta:
    """Return what has changed between two snapshots."""
    gone = (*before.components, *before.edges)
    return records.Delta(
        number=after.number,
        since=before.number,
        time=after.time,
        monotonic=after.monotonic,
        uptime=after.uptime,
        system=None if before.system == after.system else after.system,
        components=_changed(before.components, after.components),
        edges=_changed(before.edges, after.edges),
        gone=[name for name in gone if name not in after.components and name not in after.edges],
    )


def _changed(before: Mapping[str, T], after: Mapping[str, T]) -> dict[str, T]:
    return {name: one for name, one in after.items() if before.get(name) != one}


__all__ = ["Feed", "delta_between"]
