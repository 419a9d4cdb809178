"""Server-sent events: an answer that goes on until the client leaves, stalls, or the server ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import anyio
from anyio import create_task_group, fail_after
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .connections import STALLED_AFTER


class EventStream(Response):
    """Sends events to one client, as long as it reads them.

    Args:
        events: Makes the events, each as ``encoded()`` gives it; it is closed when the client leaves.
        stalled_after: Seconds that one event may take to be sent.
        on_end: Called when it is over.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: Callable[[], AsyncIterator[bytes]],
        *,
        stalled_after: float = STALLED_AFTER,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._stalled_after = stalled_after
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with create_task_group() as group:
                group.start_soon(self._send_all, send, group.cancel_scope)
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()
        finally:
            self._on_end()

    async def _send_all(self, send: Send, scope: anyio.CancelScope) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async with aclosing(self._events()) as events:  # type: ignore[type-var]  # they are generators
                async for event in events:
                    with fail_after(self._stalled_after):
                        await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            pass  # whoever does not read is told nothing more
        scope.cancel()


def encoded(event: str, data: bytes, id: int | None = None) -> bytes:
    """Return an event as it goes over the wire; ``data`` is JSON, on one line."""
    head = b"" if id is None else b"id: %d\n" % id
    return head + b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"


__all__ = ["EventStream", "encoded"]
