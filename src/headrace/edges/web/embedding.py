"""The page and the API of a system as an ASGI application, to be mounted in an application of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from headrace.exceptions import MissingExtraError
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from . import serving

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def web_app(
    harness: SystemExecutionHarness,
    *,
    token: str = "",
    hosts: Iterable[str] = (),
    hide: Callable[[str], str] | None = None,
    tick: float = 0.5,
) -> ASGIApp:
    """Return the page and the API of a system as an ASGI application, for the event loop that the system runs in.

    ``app.mount("/system", web_app(system, token=..., hosts=["app.example"]))``.

    Args:
        harness: The system.
        token: What control needs; nobody may control where it is empty.
        hosts: The names by which the application is reached, beside those of the loopback.
        hide: Takes secrets out of texts; what the system's journal does where None.
        tick: Seconds between two events of a stream.

    Raises:
        ConfigError: The token is too short.
        MissingExtraError: The libraries of the extra ``web`` are missing.
    """
    if not serving.is_installed():
        raise MissingExtraError("the page", "web")
    serving.check_token(token)
    return serving.Sites(harness, hide, tick, serving.STALLED_AFTER).public(token, hosts, any_address=False)


__all__ = ["web_app"]
