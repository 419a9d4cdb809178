"""What all handlers of requests share: the system, its records, the streams that are open, and the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headrace.runtime.system_execution_harness import SystemExecutionHarness

from . import records
from .access import Access, refused
from .connections import STALLED_AFTER
from .drawing import Drawings
from .event_stream import EventStream
from .feed import Feed
from .recording import Recorder

MOST_STREAMS = 200
"""How many streams of events may be open at once."""
AT_FULL_RATE = 16
"""How many streams get an event each tick; where there are more, each gets fewer."""
_json = msgspec.json.Encoder().encode


class Site:
    """What the handlers of one application share.

    Args:
        harness: The system.
        access: What is allowed.
        feed: The snapshots; its own where None.
        heartbeat: Seconds after which a stream that has nothing to say says so.
        stalled_after: Seconds that a client may leave an event unread.
    """

    def __init__(
        self,
        harness: SystemExecutionHarness,
        access: Access,
        feed: Feed | None = None,
        *,
        heartbeat: float = 5.0,
        stalled_after: float = STALLED_AFTER,
    ) -> None:
        self.harness = harness
        self.access = access
        self.feed = feed or Feed(Recorder(harness))
        self.recorder = self.feed.recorder
        self.drawings = Drawings(harness)
        self.heartbeat = heartbeat
        self.stalled_after = stalled_after
        self.streams = 0
        self.closing = False
        self._closed: anyio.Event | None = None

    @property
    def tick(self) -> float:
        """Seconds between two events of a stream: the more streams there are, the longer."""
        return self.feed.tick * max(1.0, self.streams / AT_FULL_RATE)

    def close(self) -> None:
        """End all streams: the server is about to end."""
        self.closing = True
        if self._closed is not None:
            self._closed.set()

    async def wait_closed(self, seconds: float) -> bool:
        """Wait so long, or until the server is about to end; returns whether it is."""
        if not self.closing:
            self._closed = self._closed or anyio.Event()
            with anyio.move_on_after(max(seconds, 0)):
                await self._closed.wait()
        return self.closing

    def stream(self, events: Callable[[], AsyncIterator[bytes]]) -> Response:
        """Return an answer that streams events, unless there are too many of them."""
        if self.streams >= MOST_STREAMS:
            return refused(503, f"{MOST_STREAMS} streams are open already", "close one of them")
        self.streams += 1
        return EventStream(events, stalled_after=self.stalled_after, on_end=self._has_ended)

    def _has_ended(self) -> None:
        self.streams -= 1


Handler = Callable[[Site, Request], Awaitable["records.Record | Response"]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a path or a query, as OpenAPI describes it."""

    name: str
    where: Literal["path", "query"]
    schema: dict[str, Any]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the API, what it is for, and what it answers.

    Attributes:
        method: ``GET`` or ``POST``.
        path: The path, its parameters in braces.
        handler: Makes the answer.
        answer: The type of the answer; for streams the types of the events by name.
        about: What it is for, in a line.
        parameters: Its parameters.
        errors: The codes of refusals, beside those that all have.
        media: The media type of the answer.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    answer: Any
    about: str
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    media: str = "application/json"
    events: dict[str, Any] = field(default_factory=dict)


def answer(record: records.Record, status: int = 200) -> Response:
    """Return a record as JSON."""
    return Response(_json(record), status, media_type="application/json")


__all__ = ["AT_FULL_RATE", "MOST_STREAMS", "Handler", "Parameter", "Route", "Site", "answer"]
