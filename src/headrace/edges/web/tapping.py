"""Messages of a running system as a stream of events: samples, and how many went by unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headrace.exceptions import ConfigError, WiringError
from headrace.model.expression import Condition
from headrace.runtime.tapping import Tap, TapRecord

from . import answers
from .access import refused
from .event_stream import encoded
from .reading import EDGE
from .site import Parameter, Route, Site

MOST = 100_000
"""How many messages a tap shows at most."""
TICK = 1.0
"""Seconds between two looks at the counts."""
_WHERE = Parameter("where", "query", {"type": "string"}, "A condition on messages, as `v > 3`.")
_N = Parameter(
    "n",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MOST, "default": 1000},
    "After how many it ends.",
)


async def tap(site: Site, request: Request) -> Response:
    """Stream messages of an edge, an output or an input."""
    name, text = request.path_params["name"], request.query_params.get("n", "1000")
    if not (text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= MOST):
        return refused(400, f"n must be a number from 1 to {MOST}, not {text[:20]!r}")
    where = request.query_params.get("where", "").strip()
    try:
        condition = Condition(where) if where else None
    except ConfigError as error:
        return refused(400, str(error))
    try:
        found = site.harness.tap(name, n=int(text), where=condition)
    except WiringError as error:
        return refused(404, str(error))
    return site.stream(lambda: _events(site, found))


async def _events(site: Site, found: Tap) -> AsyncIterator[bytes]:
    """Yield what a tap sees; a second without a message is a time to look at its counts, and at the end."""
    told = found.counts
    async with found:
        yield b"retry: 2000\n" + _counts(found)
        due = anyio.current_time() + TICK
        is_over = False
        while not (is_over or site.closing):
            record: TapRecord | None = None
            with anyio.move_on_after(max(due - anyio.current_time(), 0)):
                record = await anext(found, None)
                is_over = record is None
            if record is not None:
                yield encoded("message", msgspec.json.encode(record), record.id)
            if anyio.current_time() >= due:
                due = anyio.current_time() + TICK
                if found.counts != told:
                    told = found.counts
                    yield _counts(found)
    yield _counts(found) + encoded("end", b"{}")


def _counts(found: Tap) -> bytes:
    state = answers.TapState(**msgspec.structs.asdict(found.counts))
    return encoded("counts", msgspec.json.encode(state))


ROUTES = (
    Route(
        "GET",
        "/api/v1/edges/{name}/tap",
        tap,
        str,
        "A stream of messages that go by; what there is no time to show is counted.",
        (EDGE, _WHERE, _N),
        (400, 404, 409, 503),
        "text/event-stream",
        {"message": TapRecord, "counts": answers.TapState},
    ),
)

__all__ = ["MOST", "ROUTES"]
