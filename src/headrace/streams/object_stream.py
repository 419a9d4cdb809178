"""AnyIO's memory object streams that also count.

AnyIO's own classes do all the work and keep their semantics to the letter; the subclasses add plain
integers on the way through, so that a stream can say how much went in, came out and was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace.model.stream_health import StreamSnapshot

__all__ = [
    "CountedReceiveStream",
    "CountedSendStream",
    "CountedStream",
    "StreamMeter",
    "create_counted_stream",
]

T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

_ClosedCallback = Callable[[], object]

# Direct calls: 0.1 us less per call than zero-argument super() on Python 3.11 (0.23 against 0.33 us).
_send_nowait = MemoryObjectSendStream.send_nowait
_receive_nowait = MemoryObjectReceiveStream.receive_nowait


@dataclass(eq=False, slots=True)
class StreamMeter:
    """What one stream (all clones of both ends) has counted.

    Only acceptance is counted; what was received follows from it, because AnyIO has three ways to hand a
    message over and one buffer to look into.

    Attributes:
        clock: seconds, monotonic.
        sent: messages accepted from senders.
        dropped: messages that were buffered when the last receiver closed.
        last_activity: ``clock()`` when a message last moved, or a send began to wait on an empty stream.
        on_closed: called once, when the last handle of both ends has closed.
        clones: the handles made by ``clone()``, held weakly.
    """

    clock: Callable[[], float]
    sent: int = 0
    dropped: int = 0
    last_activity: float | None = None
    on_closed: _ClosedCallback | None = None
    clones: WeakSet[Any] | None = field(default=None, repr=False)

    def add_clone(self, clone: object) -> None:
        """Remember a clone for as long as somebody else does."""
        if self.clones is None:
            self.clones = WeakSet()
        self.clones.add(clone)

    def closed(self) -> None:
        """Tell the owner, once, that every handle has closed."""
        callback, self.on_closed = self.on_closed, None
        if callback is not None:
            callback()


class CountedSendStream(MemoryObjectSendStream[T_contra]):
    """AnyIO's ``MemoryObjectSendStream``, counted."""

    meter: StreamMeter

    def send_nowait(self, item: T_contra) -> None:
        """Send without waiting; see AnyIO.

        Args:
            item: the message.

        Raises:
            anyio.ClosedResourceError: this handle is closed.
            anyio.BrokenResourceError: every receive handle is closed.
            anyio.WouldBlock: the buffer is full and nobody waits to receive.
        """
        meter = self.meter
        try:
            _send_nowait(self, item)
        except anyio.WouldBlock:
            state = self._state
            if not state.buffer and not state.waiting_senders:
                meter.last_activity = meter.clock()
            raise
        meter.sent += 1
        meter.last_activity = meter.clock()

    def clone(self) -> CountedSendStream[T_contra]:
        """Return another handle of the same stream, to be closed on its own.

        Raises:
            anyio.ClosedResourceError: this handle is closed.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        clone = CountedSendStream[T_contra](self._state)
        clone.meter = self.meter
        self.meter.add_clone(clone)
        return clone

    def close(self) -> None:
        """Close this handle; the last one to close gives the receivers their end of stream."""
        if not self._closed:
            super().close()
            if not self._state.open_send_channels and not self._state.open_receive_channels:
                self.meter.closed()


class CountedReceiveStream(MemoryObjectReceiveStream[T_co]):
    """AnyIO's ``MemoryObjectReceiveStream``, counted."""

    meter: StreamMeter

    def receive_nowait(self) -> T_co:
        """Receive without waiting; see AnyIO.

        Returns:
            The next message.

        Raises:
            anyio.ClosedResourceError: this handle is closed.
            anyio.EndOfStream: nothing is buffered and every send handle is closed.
            anyio.WouldBlock: nothing is buffered and nobody waits to send.
        """
        meter = self.meter
        accepts = bool(self._state.waiting_senders)
        item = _receive_nowait(self)
        if accepts:
            meter.sent += 1
        meter.last_activity = meter.clock()
        return item

    def clone(self) -> CountedReceiveStream[T_co]:
        """Return another handle of the same stream, to be closed on its own.

        Raises:
            anyio.ClosedResourceError: this handle is closed.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        clone = CountedReceiveStream[T_co](self._state)
        clone.meter = self.meter
        self.meter.add_clone(clone)
        return clone

    def close(self) -> None:
        """Close this handle; with the last one to close, what is buffered is lost and counts as dropped."""
        if not self._closed:
            super().close()
            state = self._state
            if not state.open_receive_channels:
                self.meter.dropped += len(state.buffer)
                if not state.open_send_channels:
                    self.meter.closed()


@dataclass(frozen=True, slots=True)
class CountedStream:
    """Both ends of a new counted stream and their meter."""

    send_stream: CountedSendStream[Any]
    receive_stream: CountedReceiveStream[Any]
    meter: StreamMeter

    def snapshot(self) -> StreamSnapshot:
        """Return the stream's numbers now; another thread may find them a message or two apart."""
        meter = self.meter
        used, capacity, senders, receivers, sending, receiving = self.send_stream.statistics()
        buffered = used if receivers else 0
        last = meter.last_activity
        return StreamSnapshot(
            buffered=buffered,
            capacity=capacity,
            sent=meter.sent,
            received=max(0, meter.sent - meter.dropped - buffered),
            dropped=meter.dropped,
            waiting_senders=sending,
            waiting_receivers=receiving,
            open_senders=senders,
            open_receivers=receivers,
            quiet_for=None if last is None else max(0.0, meter.clock() - last),
        )


def create_counted_stream(
    buffer_size: float, *, clock: Callable[[], float], on_closed: _ClosedCallback | None = None
) -> CountedStream:
    """Make both ends of a memory object stream that counts.

    Args:
        buffer_size: messages that may be buffered; an integer from 0, or ``math.inf``.
        clock: seconds, monotonic.
        on_closed: called once, when every handle of both ends has closed.

    Returns:
        Both ends and their meter.

    Raises:
        ValueError: AnyIO refuses the buffer size.
    """
    plain_send, plain_receive = anyio.create_memory_object_stream[Any](buffer_size)
    meter = StreamMeter(clock, on_closed=on_closed)
    send_stream = CountedSendStream[Any](plain_send._state)
    receive_stream = CountedReceiveStream[Any](plain_receive._state)
    send_stream.meter = receive_stream.meter = meter
    plain_send.close()
    plain_receive.close()
    return CountedStream(send_stream, receive_stream, meter)
