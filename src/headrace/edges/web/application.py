"""The ASGI application: the routes of the API and the page, behind what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from headrace.exceptions import ComponentEndedError, HarnessNotRunning, HeadraceError, UnknownComponentError
from headrace.runtime.log import get_logger

from . import controlling, health, metrics, reading, tapping
from .access import Guarded, refused
from .assets import Assets, own_assets
from .openapi import openapi
from .site import Route, Site, answer

ROUTES: Sequence[Route] = (
    *reading.ROUTES,
    *controlling.ROUTES,
    *tapping.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
)


def application(site: Site, assets: Assets | None = None) -> ASGIApp:
    """Return the ASGI application of a site.

    Args:
        site: The system, and what is allowed.
        assets: The files of the page; our own where None.
    """
    page = assets or own_assets()
    routes = [
        *[_starlette(site, route) for route in sorted(ROUTES, key=lambda one: one.path.endswith("{name}"))],
        StarletteRoute("/api/openapi.json", _document, methods=["GET"]),
        StarletteRoute("/", page.index, methods=["GET"]),
        StarletteRoute("/assets/{path:path}", page.asset, methods=["GET"]),
    ]
    handlers: Any = {HTTPException: _as_problem, HeadraceError: _as_conflict, Exception: _as_fault}
    return Guarded(Starlette(routes=routes, exception_handlers=handlers), site.access)


def _starlette(site: Site, route: Route) -> StarletteRoute:
    path = route.path.replace("{name}", "{name:path}")
    return StarletteRoute(path, partial(_handle, site, route), methods=[route.method])


async def _handle(site: Site, route: Route, request: Request) -> Response:
    made = await route.handler(site, request)
    return made if isinstance(made, Response) else answer(made)


async def _document(_: Request) -> Response:
    version = import_module("headrace").__version__
    return Response(msgspec.json.encode(openapi(ROUTES, version)), media_type="application/json")


async def _as_problem(_: Request, error: HTTPException) -> Response:
    return refused(error.status_code, str(error.detail))


async def _as_conflict(_: Request, error: HeadraceError) -> Response:
    """Tell what the harness says no to: what is not there, or what cannot be done as things are."""
    is_conflict = isinstance(error, (ComponentEndedError, HarnessNotRunning))
    status = 404 if isinstance(error, UnknownComponentError) else 409 if is_conflict else 400
    return refused(status, str(error))


async def _as_fault(request: Request, error: Exception) -> Response:
    get_logger().error("a request failed", path=request.url.path, error=repr(error), exc_info=error)
    return refused(500, "this request failed; the log of the system says why")


__all__ = ["ROUTES", "application"]
