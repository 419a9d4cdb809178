"""Where components listen for HTTP: one server an address, shared by all components of a run that name it.

Each of them offers to serve while it runs; one does, and when that one ends the next goes on, on the same socket.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import anyio
import msgspec
from anyio import CancelScope, create_task_group
from anyio.lowlevel import RunVar

from headrace.exceptions import ConfigError, HarnessError, MissingExtraError

from .address import Address, parse_address
from .connections import HEAD_WITHIN, NEEDED, STALLED_AFTER, Connections

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

    Answer = Callable[[Request], Awaitable[Response]]
    Talk = Callable[[WebSocket], Awaitable[None]]

MOST = 1000
"""How many connections an address has at once; further ones are closed."""

_NEEDED = ("starlette.applications", "starlette.requests", "starlette.responses", "starlette.websockets")
_listeners: RunVar[dict[Address, Listener]] = RunVar("headrace_listeners")


def address_of(listen: str) -> Address:
    """Read the setting ``listen``.

    Raises:
        ConfigError: It is no address.
    """
    try:
        return parse_address(listen)
    except ConfigError as error:
        raise ConfigError(str(error), hint="write HOST:PORT, as 127.0.0.1:8080", field="listen") from None


def require_server(component: str) -> None:
    """Refuse to go on without the libraries of the extra ``http``.

    Raises:
        MissingExtraError: One of them is missing.
    """
    if any(find_spec(name) is None for name in ("anycorn", "starlette")):
        raise MissingExtraError(component, "http")


class Listener:
    """A listening socket, and who answers at which path.

    Args:
        address: Where it listens; with port 0, at a free port.
        head_within: Seconds that a client may take to say what it wants.

    Raises:
        HarnessError: The address is in use, or is none of this computer's.
    """

    def __init__(self, address: Address, head_within: float = HEAD_WITHIN) -> None:
        self._address = address
        self._socket = _bound(address)
        self._answers: dict[str, tuple[tuple[str, ...], Answer]] = {}
        self._talks: dict[str, Talk] = {}
        self._turn = anyio.Lock()
        self._head_within = head_within

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{self._address.shown(self._socket.getsockname()[1])}"

    def is_used(self) -> bool:
        """Return whether anybody answers there."""
        return bool(self._answers or self._talks)

    def answer(self, path: str, methods: tuple[str, ...], answer: Answer) -> None:
        """Let requests for a path be answered so.

        Raises:
            ConfigError: Another component answers there.
        """
        self._require_free(path)
        self._answers[path] = (methods, answer)

    def talk(self, path: str, talk: Talk) -> None:
        """Let WebSockets for a path be talked to so.

        Raises:
            ConfigError: Another component is there.
        """
        self._require_free(path)
        self._talks[path] = talk

    def leave(self, path: str) -> None:
        """Answer there no more; the socket is closed with the last path."""
        self._answers.pop(path, None)
        self._talks.pop(path, None)
        if not self.is_used():
            self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        known = _listeners.get({})
        if known.get(self._address) is self:
            del known[self._address]

    def _require_free(self, path: str) -> None:
        if path in self._answers or path in self._talks:
            raise ConfigError(f"another component listens at {self.url}{path}", field="path")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve in this block, or stand by where another block does."""
        ending = anyio.Event()
        async with create_task_group() as group:
            group.start_soon(self._take_turn, ending, name=f"listening at {self.url}")
            try:
                yield
            finally:
                ending.set()

    async def _take_turn(self, ending: anyio.Event) -> None:
        async with create_task_group() as waiting:
            scope = CancelScope()
            waiting.start_soon(_cancel_at, ending, scope)
            with scope:
                await self._turn.acquire()
            waiting.cancel_scope.cancel()
        if scope.cancelled_caught:
            return
        try:
            connections = Connections(STALLED_AFTER, self._head_within, MOST)
            await connections.serve([(self._socket.dup(), lambda: self._respond)], ending)
        finally:
            self._turn.release()

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse
        from starlette.websockets import WebSocket

        path = scope["path"]
        if scope["type"] == "websocket":
            one = WebSocket(scope, receive, send)
            talk = self._talks.get(path)
            await (one.close(1008, "nobody is here") if talk is None else talk(one))
            return
        found = self._answers.get(path)
        response: Response
        if found is None:
            response = PlainTextResponse("nothing is here\n", 404)
        elif scope["method"] not in found[0]:
            allowed = ", ".join(found[0])
            response = PlainTextResponse(f"only {allowed}\n", 405, {"Allow": allowed})
        else:
            response = await found[1](Request(scope, receive))
        await response(scope, receive, send)


def client_gone() -> tuple[type[Exception], ...]:
    """Return what is raised where a WebSocket is used whose client has gone."""
    from starlette.websockets import WebSocketDisconnect

    return (WebSocketDisconnect, OSError, RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError)


def json_response(status: int, content: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    from starlette.responses import Response

    return Response(msgspec.json.encode(content), status, dict(headers or {}), "application/json")


async def _cancel_at(event: anyio.Event, scope: CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((address.host, address.port))
        one.listen(256)
    except OSError as error:
        one.close()
        raise HarnessError(
            f"cannot listen on {address.shown(address.port)}: {error.strerror or error}; take another port"
        ) from error
    one.setblocking(False)
    return one


async def listener_at(address: Address, head_within: float = HEAD_WITHIN) -> Listener:
    """Return the listener of an address in this run of the event loop, made where it is not there yet.

    Raises:
        HarnessError: The address is in use by another program, or is none of this computer's.
    """
    await anyio.to_thread.run_sync(_load)
    try:
        known = _listeners.get()
    except LookupError:
        known = {}
        _listeners.set(known)
    if address.port == 0:
        return Listener(address, head_within)
    if address not in known:
        known[address] = Listener(address, head_within)
    return known[address]


def _load() -> None:
    for name in (*NEEDED, *_NEEDED):
        import_module(name)


__all__ = [
    "HEAD_WITHIN",
    "MOST",
    "Listener",
    "address_of",
    "client_gone",
    "json_response",
    "listener_at",
    "require_server",
]
