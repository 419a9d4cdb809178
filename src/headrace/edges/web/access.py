"""Who may do what: the names that the server answers to, where requests come from, and the token.

Reading needs nothing but the right host; whatever is no GET needs the token too.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import answers

READING = ("GET", "HEAD", "OPTIONS")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""What every answer carries: nothing of others' is loaded, nobody frames it, and no URL (with a token) is told."""


class Access:
    """What is allowed.

    Args:
        token: What control needs; nobody controls where it is empty.
        hosts: The names that the server answers to, beside those of the loopback.
        any_address: Whether it also answers to numbers, which no foreign name can be made to point to.
        trusted: Whether whoever reaches it may do everything, as by a socket that only its owner can open.
    """

    def __init__(
        self, token: str = "", hosts: Iterable[str] = (), *, any_address: bool = False, trusted: bool = False
    ) -> None:
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in (*LOOPBACK, *hosts))
        self._any_address = any_address
        self.trusted = trusted

    @property
    def read_only(self) -> bool:
        """Whether nobody may control."""
        return not (self.trusted or self._token)

    def may_control(self, headers: Headers) -> bool:
        """Return whether a request has the token, or needs none."""
        if self.trusted:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        is_same = hmac.compare_digest(given.strip().encode(), self._token)
        return bool(self._token) and kind.lower() == "bearer" and is_same

    def refusal(self, method: str, headers: Headers) -> Response | None:
        """Return the answer to a request that is not allowed; None where it is."""
        if self.trusted:
            return None
        host = headers.get("host", "")
        if not self.answers_to(host):
            return refused(403, f"this server does not answer to the host {host[:100]!r}", _HOST_HINT)
        if method in READING:
            return None
        if not _is_from_here(headers, host):
            return refused(403, "the request comes from another site", "use the page of this server")
        if self.read_only:
            return refused(403, "this server is read-only: it was started without a token", _TOKEN_HINT)
        if not self.may_control(headers):
            answer = refused(401, "this needs the token", _TOKEN_HINT)
            answer.headers["www-authenticate"] = 'Bearer realm="headrace"'
            return answer
        return None

    def answers_to(self, host: str) -> bool:
        """Return whether the server answers to what a ``Host`` header says."""
        name = _name_of(host)
        return bool(name) and (name in self._hosts or (self._any_address and _is_address(name)))


class Guarded:
    """An application behind an ``Access``; errors of its own become an answer that gives nothing away.

    Args:
        app: The application.
        access: What is allowed.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app: ASGIApp = self._access.refusal(scope["method"], Headers(scope=scope)) or self._app
        await app(scope, receive, send_with_headers)


_HOST_HINT = "ask it by 127.0.0.1 or localhost, or name the host where the server is started"
_TOKEN_HINT = (
    "send `Authorization: Bearer TOKEN`; the token was printed at the start, or is HEADRACE_WEB_TOKEN"
)


def refused(status: int, error: str, hint: str = "") -> Response:
    """Return an answer that says why a request is not done."""
    body = msgspec.json.encode(answers.Problem(error=error, hint=hint))
    return Response(body, status, media_type="application/json")


def _is_from_here(headers: Headers, host: str) -> bool:
    """Whether a request comes from a page of ours, or from no page at all."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _name_of(host: str) -> str:
    """Return the name in ``name:port`` or ``[address]:port``; nothing where it is neither."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
        name = parts.hostname or ""
    except ValueError:
        return ""
    is_plain = parts.netloc == host and parts.username is None and "\\" not in host
    return name.rstrip(".") if is_plain else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


__all__ = ["HEADERS", "LOOPBACK", "READING", "Access", "Guarded", "refused"]
