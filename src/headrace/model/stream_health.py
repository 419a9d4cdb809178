"""How one stream is doing, decided from numbers alone.

Every kind of stream (AnyIO's, the harness's edges) gives a ``StreamSnapshot``; one rule turns it into a
word, so that tables, pages and exporters never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["StreamHealth", "StreamSnapshot", "stream_health"]


class StreamHealth(StrEnum):
    """What a stream is doing, in one word."""

    IDLE = "idle"
    FLOWING = "flowing"
    BACKPRESSURED = "backpressured"
    STALLED = "stalled"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSnapshot:
    """The numbers of one stream at one moment.

    The books close: ``sent == received + dropped + buffered``.

    Attributes:
        buffered: messages accepted and not yet received.
        capacity: the most that may be buffered; ``math.inf`` for no bound.
        sent: messages accepted from senders, ever.
        received: messages handed to receivers, ever.
        dropped: messages accepted that no receiver will ever get.
        waiting_senders: tasks blocked in ``send``.
        waiting_receivers: tasks blocked in ``receive``.
        open_senders: send handles (clones included) not yet closed.
        open_receivers: receive handles (clones included) not yet closed.
        quiet_for: seconds since a message last moved, or since a send began to wait on an empty stream,
            whichever is later; ``None`` if neither ever happened.
    """

    buffered: int
    capacity: float
    sent: int
    received: int
    dropped: int
    waiting_senders: int
    waiting_receivers: int
    open_senders: int
    open_receivers: int
    quiet_for: float | None


def stream_health(snapshot: StreamSnapshot, *, stall_after: float) -> StreamHealth:
    """Return the health of a stream.

    ``closed``: nothing can be received any more. ``stalled``: messages wait and none has moved for
    ``stall_after``. ``backpressured``: the buffer is full or senders wait. ``flowing``: messages wait or
    moved recently. ``idle``: none of these.

    Args:
        snapshot: the stream's numbers.
        stall_after: seconds without movement after which waiting messages count as stalled, and an empty
            stream as idle.

    Returns:
        The first of closed, stalled, backpressured, flowing, idle that applies.
    """
    if _is_closed(snapshot):
        return StreamHealth.CLOSED
    quiet = snapshot.quiet_for is None or snapshot.quiet_for >= stall_after
    pending = snapshot.buffered > 0 or snapshot.waiting_senders > 0
    if not pending:
        return StreamHealth.IDLE if quiet else StreamHealth.FLOWING
    if quiet:
        return StreamHealth.STALLED
    full = snapshot.waiting_senders > 0 or snapshot.buffered >= snapshot.capacity
    return StreamHealth.BACKPRESSURED if full else StreamHealth.FLOWING


def _is_closed(snapshot: StreamSnapshot) -> bool:
    ended = snapshot.open_senders == 0 and snapshot.buffered == 0
    return snapshot.open_receivers == 0 or ended
