"""What can be asked of a running system: every handler here only looks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headrace.exceptions import UnknownComponentError

from . import answers, drawing, records
from .access import refused
from .event_stream import encoded
from .graph import graph_of
from .site import Parameter, Route, Site

_NAME = {"type": "string", "minLength": 1}
_POSITIVE = {"type": "integer", "minimum": 1, "maximum": 10**15 - 1}
COMPONENT = Parameter("name", "path", _NAME, "The component; a replica by its own name.")
EDGE = Parameter("name", "path", _NAME, "The edge, as `parse.out -> store.in`.")
NUMBER = Parameter(
    "number",
    "path",
    _POSITIVE,
    "The number of the dead letter.",
)
OF = Parameter("component", "query", {"type": "string"}, "Only those of this component.")
LIMIT = Parameter(
    "limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "How many."
)

N = Parameter("n", "query", LIMIT.schema, "How many at most: the latest ones.")
AFTER = Parameter(
    "after",
    "query",
    _POSITIVE | {"minimum": 0},
    "Only those with larger numbers.",
)
DIRECTION = Parameter(
    "direction",
    "query",
    {"type": "string", "enum": ["right", "down"], "default": "right"},
    "Where messages go.",
)
FOLD = Parameter(
    "fold",
    "query",
    {"type": "array", "items": {"type": "string"}},
    "A sub-system that is to be one box; several times for several.",
)
LEVELS = ("debug", "info", "warning", "error", "critical")
LEVEL = Parameter("level", "query", {"type": "string", "enum": list(LEVELS)}, "The least level.")


async def system(site: Site, _: Request) -> records.Record:
    """Answer with the system alone."""
    return site.recorder.snapshot().system


async def statistics(site: Site, _: Request) -> records.Record:
    """Answer with all that is known."""
    return site.recorder.snapshot()


async def graph(site: Site, _: Request) -> records.Record:
    """Answer with the graph."""
    return graph_of(site.harness)


async def draw(site: Site, request: Request) -> records.Record | Response:
    """Answer with the graph, laid out."""
    direction = request.query_params.get("direction", "right")
    if direction not in ("right", "down"):
        return refused(400, f"direction is right or down, not {direction[:20]!r}")
    boxes = request.query_params.getlist("fold")
    try:
        return await site.drawings.get("down" if direction == "down" else "right", boxes)
    except KeyError as error:
        return refused(
            404, f"there is no sub-system '{error.args[0][:100]}'", "ask /api/v1/graph for their names"
        )


async def access(site: Site, request: Request) -> records.Record:
    """Answer with what this request might do."""
    return answers.Access(control=site.access.may_control(request.headers), read_only=site.access.read_only)


async def component(site: Site, request: Request) -> records.Record | Response:
    """Answer with one component."""
    name = request.path_params["name"]
    try:
        may_see = site.access.may_control(request.headers)
        return site.recorder.component(name, with_settings=may_see)
    except KeyError:
        return refused(404, f"there is no component '{name[:100]}'", "ask /api/v1/graph for their names")


async def edge(site: Site, request: Request) -> records.Record | Response:
    """Answer with one edge."""
    name = request.path_params["name"]
    try:
        return site.recorder.edge(name)
    except KeyError:
        return refused(404, f"there is no edge '{name[:100]}'", "ask /api/v1/statistics for their names")


async def letters(site: Site, request: Request) -> records.Record | Response:
    """Answer with dead letters."""
    harness = site.harness
    text = request.query_params.get("limit", "100")
    if not (_is_number(text) and 1 <= int(text) <= 1000):
        return refused(400, f"limit must be a number from 1 to 1000, not {text[:20]!r}")
    try:
        found = harness.dead_letters(component=request.query_params.get("component") or None)
    except UnknownComponentError as error:
        return refused(404, str(error))
    now = harness.statistics()
    return answers.Letters(
        letters=[site.recorder.letter(one) for one in found[: int(text)]],
        kept=now.dead_letters,
        limit=now.dead_letter_limit,
    )


async def letter(site: Site, request: Request) -> records.Record | Response:
    """Answer with one dead letter."""
    number = number_in(request)
    found = site.harness.dead_letters(number) if number else ()
    if not found:
        return refused(404, "there is no dead letter of that number", "ask /api/v1/dead-letters for them")
    return site.recorder.letter_detail(found[0])


async def logs(site: Site, request: Request) -> records.Record | Response:
    """Answer with recent records of the log."""
    query = request.query_params
    after, n, level = query.get("after", "0"), query.get("n", "100"), query.get("level", "debug")
    if not (_is_number(after) and _is_number(n) and 1 <= int(n) <= 1000 and level in LEVELS):
        return refused(
            400, "after and n are numbers, n from 1 to 1000, and level is one of " + ", ".join(LEVELS)
        )
    found = site.harness.logs(
        after=int(after), n=int(n), component=query.get("component") or None, level=level
    )
    return answers.Logs(entries=list(found), last=site.harness.journal.last)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def number_in(request: Request) -> int:
    """Return the number in a path; 0 where it is none."""
    text = request.path_params["number"]
    return int(text) if _is_number(text) else 0


async def events(site: Site, _: Request) -> Response:
    """Stream a snapshot, and then what changes."""
    return site.stream(lambda: _events(site))


async def _events(site: Site) -> AsyncIterator[bytes]:
    feed = site.feed
    sent = feed.latest(anyio.current_time())
    yield b"retry: 2000\n" + encoded("snapshot", feed.whole(sent), sent.number)
    spoke = anyio.current_time()
    while not await site.wait_closed(site.tick - anyio.current_time() % site.tick):
        now = anyio.current_time()
        latest = feed.latest(now)
        data = feed.delta(sent, latest) if latest.number != sent.number else b""
        if data:
            sent, spoke = latest, now
            yield encoded("delta", data, latest.number)
        elif now - spoke >= site.heartbeat:
            spoke = now
            beat = records.Beat(number=sent.number, time=latest.time, uptime=latest.uptime)
            yield encoded("heartbeat", msgspec.json.encode(beat))
    final = feed.final()
    data = feed.delta(sent, final) if final.number != sent.number else b""
    yield (encoded("delta", data, final.number) if data else b"") + encoded("end", b"{}")


ROUTES = (
    Route("GET", "/api/v1/system", system, records.System, "The state of the system and its books."),
    Route("GET", "/api/v1/statistics", statistics, records.Snapshot, "All that is known, at one moment."),
    Route("GET", "/api/v1/graph", graph, answers.Graph, "Components and connections, without figures."),
    Route(
        "GET",
        "/api/v1/drawing",
        draw,
        drawing.Drawing,
        "The graph laid out for a screen: boxes and lines, in pixels.",
        (DIRECTION, FOLD),
        (400, 404),
    ),
    Route("GET", "/api/v1/access", access, answers.Access, "Whether this request might control."),
    Route(
        "GET",
        "/api/v1/components/{name}",
        component,
        records.ComponentDetail,
        "A component, with its timeline and its last failures.",
        (COMPONENT,),
        (404,),
    ),
    Route(
        "GET",
        "/api/v1/edges/{name}",
        edge,
        records.EdgeDetail,
        "An edge, with the histogram of its latency.",
        (EDGE,),
        (404,),
    ),
    Route(
        "GET",
        "/api/v1/dead-letters",
        letters,
        answers.Letters,
        "Messages that failed for good, oldest first.",
        (OF, LIMIT),
        (400, 404),
    ),
    Route(
        "GET",
        "/api/v1/dead-letters/{number}",
        letter,
        answers.LetterDetail,
        "A message that failed for good, with its traceback.",
        (NUMBER,),
        (404,),
    ),
    Route(
        "GET",
        "/api/v1/logs",
        logs,
        answers.Logs,
        "Recent records of the log, oldest first.",
        (AFTER, N, OF, LEVEL),
        (400,),
    ),
    Route(
        "GET",
        "/api/v1/events",
        events,
        str,
        "A stream of events: a snapshot, then what has changed since the event before.",
        errors=(503,),
        media="text/event-stream",
        events={"snapshot": records.Snapshot, "delta": records.Delta, "heartbeat": records.Beat},
    ),
)

__all__ = ["COMPONENT", "EDGE", "LIMIT", "NUMBER", "OF", "ROUTES", "number_in"]
