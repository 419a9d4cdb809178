"""What can be done to a running system: every handler here needs the token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from starlette.requests import Request
from starlette.responses import Response

from headrace.exceptions import HarnessNotRunning

from . import answers
from .access import refused
from .reading import COMPONENT, NUMBER, OF, number_in
from .site import Handler, Parameter, Route, Site, answer

PATIENCE = 2.0
"""Seconds that an answer waits for what was asked to be done; it goes on after that."""


async def stop_system(site: Site, _: Request) -> Response:
    """Begin to drain the system."""
    if not site.harness.running:
        raise HarnessNotRunning(f"{site.harness.name} does not run")
    site.harness.request_stop()
    return answer(answers.Done(done="stopping"), 202)


def _of_system(what: str) -> Handler:
    async def handler(site: Site, _: Request) -> Response:
        return await _within(what, lambda: getattr(site.harness, what)())

    return handler


def _of_component(what: str) -> Handler:
    method = {"restart": "restart_component", "stop": "stop_component"}.get(what, what)

    async def handler(site: Site, request: Request) -> Response:
        return await _within(what, lambda: getattr(site.harness, method)(request.path_params["name"]))

    return handler


async def _within(what: str, do: Callable[[], Awaitable[object]]) -> Response:
    """Do something; what takes longer goes on, and the answer says so by its code."""
    with anyio.move_on_after(PATIENCE) as scope:
        await do()
    if scope.cancelled_caught:
        return answer(answers.Done(done=_UNDER_WAY[what]), 202)
    return answer(answers.Done(done=_DONE[what]))


_DONE = {"pause": "paused", "resume": "resumed", "restart": "restarted", "stop": "stopped"}
_UNDER_WAY = {"pause": "pausing", "resume": "resuming", "restart": "restarting", "stop": "stopping"}


async def redrive(site: Site, request: Request) -> Response:
    """Send dead letters once more: one, those of a component, or all."""
    number, component = _which(request)
    letters = site.harness.dead_letters(number, component=component)
    if number is not None and not letters:
        return refused(404, "there is no dead letter of that number")
    if not site.harness.running:
        raise HarnessNotRunning(f"{site.harness.name} does not run, so nobody would take the letters")
    return answer(answers.Done(done="redriven", count=await letters.redrive()))


async def discard(site: Site, request: Request) -> Response:
    """Forget dead letters: one, those of a component, or all."""
    number, component = _which(request)
    letters = site.harness.dead_letters(number, component=component)
    if number is not None and not letters:
        return refused(404, "there is no dead letter of that number")
    return answer(answers.Done(done="discarded", count=letters.discard()))


def _which(request: Request) -> tuple[int | None, str | None]:
    number = number_in(request) if "number" in request.path_params else None
    return number, request.query_params.get("component") or None


def _post(path: str, handler: Handler, about: str, *parameters: Parameter, errors: tuple[int, ...]) -> Route:
    return Route("POST", path, handler, answers.Done, about, parameters, errors)


_LETTERS = "/api/v1/dead-letters"
_COMPONENT = "/api/v1/components/{name}"
ROUTES = (
    _post("/api/v1/system/pause", _of_system("pause"), "Pause all components.", errors=(202, 409)),
    _post("/api/v1/system/resume", _of_system("resume"), "Let all that is paused go on.", errors=(202, 409)),
    _post("/api/v1/system/stop", stop_system, "Drain the system.", errors=(202, 409)),
    *(
        _post(f"{_COMPONENT}/{what}", _of_component(what), about, COMPONENT, errors=(202, 404, 409))
        for what, about in (
            ("pause", "Hand nothing more to a component."),
            ("resume", "Let a paused component go on."),
            ("restart", "End the life of a component and begin its next one."),
            ("stop", "Let a component finish what has arrived, and end."),
        )
    ),
    _post(f"{_LETTERS}/redrive", redrive, "Send dead letters once more.", OF, errors=(404, 409)),
    _post(f"{_LETTERS}/discard", discard, "Forget dead letters.", OF, errors=(404,)),
    _post(f"{_LETTERS}/{{number}}/redrive", redrive, "Send one once more.", NUMBER, errors=(404, 409)),
    _post(f"{_LETTERS}/{{number}}/discard", discard, "Forget one.", NUMBER, errors=(404,)),
)

__all__ = ["PATIENCE", "ROUTES"]
