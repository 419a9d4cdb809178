"""Shows an edge in a ``StreamManager``: its numbers as a ``StreamSnapshot``, without a clock in the hot path."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.model.stream_health import StreamSnapshot
from headrace.streams.edge import READER_ENDED, AnyEdge

_NEVER_RECEIVED = (READER_ENDED, "drop_oldest", "drop_newest")


class EdgeObserver:
    """Gives the numbers of an edge; when a message last moved is known as exactly as it is asked often.

    Args:
        edge: The edge.
        clock: Gives monotonic seconds.
    """

    __slots__ = ("_clock", "_edge", "_moved_at", "_seen")

    def __init__(self, edge: AnyEdge, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._edge = edge
        self._clock = clock
        self._seen = (0, 0)
        self._moved_at: float | None = None

    def __call__(self) -> StreamSnapshot:
        """Return the numbers as they stand; safe from any thread, because it only reads the edge."""
        edge = self._edge
        buffered, accepted = edge.buffered, edge.accepted
        dropped = sum(edge.dropped.get(reason, 0) for reason in _NEVER_RECEIVED)
        now = self._clock()
        if (accepted, buffered) != self._seen:
            self._seen = (accepted, buffered)
            self._moved_at = now
        return StreamSnapshot(
            buffered=buffered,
            capacity=edge.options.buffer_size,
            sent=accepted,
            received=accepted - buffered - dropped,
            dropped=dropped,
            waiting_senders=len(edge.blocked),
            waiting_receivers=len(edge.inlet.hungry),
            open_senders=0 if edge.sender_ended else edge.outlet.open_handles,
            open_receivers=0 if edge.reader_ended else edge.inlet.open_handles,
            quiet_for=None if self._moved_at is None else now - self._moved_at,
        )


__all__ = ["EdgeObserver"]
