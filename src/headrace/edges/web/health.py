"""What probes ask: whether the system goes on at all, and whether it does its work."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from .site import Route, Site


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The health of a system, as ``harness.health()`` gives it."""

    system: str
    ready: bool
    live: bool
    state: str
    reason: str
    components: dict[str, str]
    unhealthy: dict[str, str]


async def healthz(site: Site, _: Request) -> Response:
    """Answer 200 while the system can go on, 503 in a deadlock or where its event loop is held."""
    health = site.harness.health()
    return _answer(site, health.as_dict(), is_well=health.live)


async def readyz(site: Site, _: Request) -> Response:
    """Answer 200 while all components do their work, 503 otherwise; asks each for its ``health_check()``."""
    health = await site.harness.check_health()
    return _answer(site, health.as_dict(), is_well=health.ready)


def _answer(site: Site, said: dict[str, object], *, is_well: bool) -> Response:
    record = msgspec.convert(said, Health)
    hide = site.recorder.text
    clean = msgspec.structs.replace(
        record,
        reason=hide(record.reason),
        unhealthy={name: hide(why) for name, why in record.unhealthy.items()},
    )
    return Response(msgspec.json.encode(clean), 200 if is_well else 503, media_type="application/json")


ROUTES = (
    Route("GET", "/healthz", healthz, Health, "Whether the system can go on: no deadlock.", errors=(503,)),
    Route("GET", "/readyz", readyz, Health, "Whether the system does its work.", errors=(503,)),
)

__all__ = ["ROUTES", "Health"]
