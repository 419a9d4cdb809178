"""One table of the streams of a program: who is open, how full, how busy, how healthy.

Streams made here keep AnyIO's semantics; streams made elsewhere (a harness's edges) are adopted with a
function that tells their numbers, so that statistics have one code path. A stream leaves the table by
itself when the last handle of both ends has closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace.exceptions import StreamError
from headrace.model.stream_health import StreamSnapshot, stream_health

from .object_stream import CountedReceiveStream, CountedSendStream, create_counted_stream

__all__ = ["StreamInfo", "StreamManager"]

_Handle = MemoryObjectSendStream[Any] | MemoryObjectReceiveStream[Any]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One open stream of a ``StreamManager``.

    Attributes:
        id: unique in the manager's life, such as ``stream-1``.
        send_stream: the first send handle.
        receive_stream: the first receive handle.
        created_at: seconds since the epoch.
        opened_at: the manager's monotonic clock at creation, in seconds.
        observe: gives the stream's numbers now.
    """

    id: str
    send_stream: MemoryObjectSendStream[Any] = field(repr=False)
    receive_stream: MemoryObjectReceiveStream[Any] = field(repr=False)
    created_at: float
    opened_at: float = field(repr=False)
    observe: Callable[[], StreamSnapshot] = field(repr=False)


class StreamManager:
    """Makes memory object streams, and knows all that are open.

    The manager owns what it made until both ends are closed: a stream that everybody else forgot stays in
    ``active_streams`` and is closed by ``close_all_streams``. To be used from one event loop; only
    ``get_stream_stats`` may be called from other threads.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        stall_after: float = 10.0,
    ) -> None:
        """Make an empty manager.

        Args:
            clock: seconds, monotonic; for ages and activity.
            wall_clock: seconds since the epoch; for what people read.
            stall_after: seconds without movement after which a stream that holds messages is ``stalled``.

        Raises:
            ValueError: ``stall_after`` is not above 0.
        """
        if not stall_after > 0:
            raise ValueError(f"stall_after is {stall_after!r}; give seconds above 0")
        self.active_streams: dict[str, StreamInfo] = {}
        self._clock = clock
        self._wall_clock = wall_clock
        self._stall_after = stall_after
        self._made = 0
        self._total_created = 0
        self._total_closed = 0

    def create_stream(
        self, buffer_size: float = 100, *, name: str | None = None
    ) -> tuple[CountedSendStream[Any], CountedReceiveStream[Any]]:
        """Make a memory object stream with AnyIO's semantics, and keep it in the table while it is open.

        Args:
            buffer_size: messages that may be buffered; an integer from 0, or ``math.inf``.
            name: the stem of the id in place of ``stream``.

        Returns:
            The send and the receive stream.

        Raises:
            ValueError: AnyIO refuses the buffer size.
        """
        # The streams know the manager weakly, so that dropping both behaves as it does with AnyIO alone.
        manager, stream_id = ref(self), self._next_id(name or "stream")
        stream = create_counted_stream(
            buffer_size, clock=self._clock, on_closed=lambda: _release(manager, stream_id)
        )
        self.adopt(stream_id, stream.send_stream, stream.receive_stream, stream.snapshot)
        return stream.send_stream, stream.receive_stream

    def adopt(
        self,
        id: str,
        send_stream: MemoryObjectSendStream[Any],
        receive_stream: MemoryObjectReceiveStream[Any],
        observe: Callable[[], StreamSnapshot],
    ) -> StreamInfo:
        """Show a stream that was made elsewhere; whoever made it calls ``release`` when it has closed.

        Args:
            id: what the table calls it; must not be in the table.
            send_stream: its send handle.
            receive_stream: its receive handle.
            observe: gives its numbers now; called by ``get_stream_stats``, from any thread.

        Returns:
            The new entry of the table.

        Raises:
            StreamError: the id is in the table.
        """
        if id in self.active_streams:
            raise StreamError(f"a stream {id!r} is in the table already; release it first or take another id")
        info = StreamInfo(id, send_stream, receive_stream, self._wall_clock(), self._clock(), observe)
        self.active_streams[id] = info
        self._total_created += 1
        return info

    def release(self, id: str) -> None:
        """Take a stream out of the table and count it as closed; does nothing if it is not there.

        Args:
            id: what the table calls it.
        """
        if self.active_streams.pop(id, None) is not None:
            self._total_closed += 1

    async def close_all_streams(self) -> None:
        """Close both ends of every stream in the table, clones included, and empty the table.

        Calls that wait on a handle raise ``ClosedResourceError``, as AnyIO has it. An adopted stream is
        closed through its two handles. All are closed even if one fails; the failure is raised then.
        """
        async with AsyncExitStack() as closing:
            for info in reversed(list(self.active_streams.values())):
                closing.callback(self.release, info.id)
                for handle in reversed(_handles(info)):
                    closing.push_async_callback(handle.aclose)

    def get_stream_stats(self) -> dict[str, Any]:
        """Return the numbers of every open stream, and how many there ever were.

        Returns:
            ``active_count``, ``total_created``, ``total_closed``, and ``streams``: a dictionary by id of
            ``buffered``, ``capacity``, ``sent``, ``received``, ``dropped``, ``waiting_senders``,
            ``waiting_receivers``, ``open_senders``, ``open_receivers``, ``created_at`` (seconds since the
            epoch), ``age`` (seconds), ``last_activity`` (seconds since the epoch or ``None``) and
            ``health`` (a ``StreamHealth``). The whole is a copy.
        """
        infos = self.active_streams.copy()
        return {
            "active_count": len(infos),
            "total_created": self._total_created,
            "total_closed": self._total_closed,
            "streams": {id: self._describe(info) for id, info in infos.items()},
        }

    def _describe(self, info: StreamInfo) -> dict[str, Any]:
        snapshot = info.observe()
        quiet = snapshot.quiet_for
        return {
            "buffered": snapshot.buffered,
            "capacity": snapshot.capacity,
            "sent": snapshot.sent,
            "received": snapshot.received,
            "dropped": snapshot.dropped,
            "waiting_senders": snapshot.waiting_senders,
            "waiting_receivers": snapshot.waiting_receivers,
            "open_senders": snapshot.open_senders,
            "open_receivers": snapshot.open_receivers,
            "created_at": info.created_at,
            "age": self._clock() - info.opened_at,
            "last_activity": None if quiet is None else self._wall_clock() - quiet,
            "health": stream_health(snapshot, stall_after=self._stall_after),
        }

    def _next_id(self, stem: str) -> str:
        while True:
            self._made += 1
            stream_id = f"{stem}-{self._made}"
            if stream_id not in self.active_streams:
                return stream_id


def _release(manager: ref[StreamManager], stream_id: str) -> None:
    alive = manager()
    if alive is not None:
        alive.release(stream_id)


def _handles(info: StreamInfo) -> list[_Handle]:
    """Return every handle of the stream that is known: clones are known of the streams made here."""
    handles: list[_Handle] = [info.send_stream, info.receive_stream]
    if isinstance(info.send_stream, CountedSendStream):
        handles += info.send_stream.meter.clones or ()
    return handles
