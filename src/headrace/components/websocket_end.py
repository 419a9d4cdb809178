"""What both ends of a WebSocket share: a client of a server, or the server of clients."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import CancelScope

from headrace.authoring.harness_component import HarnessComponent
from headrace.exceptions import (
    ComponentError,
    ConfigError,
    HeadraceError,
    MissingExtraError,
    UnavailableError,
)

from .connection import Connection
from .times import seconds

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from headrace.edges.web.listening import Listener
    from headrace.edges.websocket_client import WebSocketClient

T = TypeVar("T")

GOING_AWAY, TRY_LATER, NOT_ALLOWED, TOO_BIG = 1001, 1013, 1008, 1009
"""The codes with which a connection is closed."""


class WebSocketEnd(HarnessComponent):
    """What both ends share: who connects to whom, and how."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if bool(settings.url) == bool(settings.listen):
            raise ConfigError("set either url or listen", hint="a server's address, or ours", field="url")
        if not settings.path.startswith("/"):
            raise ConfigError("path must begin with /", field="path")
        for field in ("max_message", "max_clients"):
            if getattr(settings, field) < 1:
                raise ConfigError(f"{field} must be at least 1", field=field)
        self._client = self._make_client() if settings.url else None
        self._server = Connection("" if self._client is None else self._client.what)
        self._listener: Listener | None = None
        self._require_server()
        self._scopes: set[CancelScope] = set()
        self._quiet = anyio.Event()
        self.clients = 0
        self.refused = 0

    def _make_client(self) -> WebSocketClient:
        try:
            from headrace.edges.websocket_client import WebSocketClient
        except ImportError:
            raise MissingExtraError(type(self).__name__, "http") from None
        settings = self.config
        headers = dict(settings.headers)
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        return WebSocketClient(
            settings.url,
            headers=headers,
            timeout=seconds(settings.timeout, "timeout"),
            max_message=settings.max_message,
            quiet=seconds(settings.quiet, "quiet"),
        )

    def _require_server(self) -> None:
        if self.config.listen:
            from headrace.edges.web.listening import address_of, require_server

            require_server(type(self).__name__)
            address_of(self.config.listen)

    @property
    def url(self) -> str:
        """Where clients reach it; empty while it does not listen."""
        return (
            ""
            if self._listener is None
            else "ws" + self._listener.url.removeprefix("http") + self.config.path
        )

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Listen, where it does; a connection to a server is opened later.

        Raises:
            UnavailableError: The address is in use, or is none of this computer's.
            ConfigError: Another component has this path.
        """
        self.clients = self.refused = 0
        await super().setup(harness_context)
        self._server.begin(self.context)
        if self.config.listen:
            await self._listen()

    async def _listen(self) -> None:
        from headrace.edges.web.listening import address_of, listener_at

        try:
            listener = await listener_at(address_of(self.config.listen))
        except HeadraceError as error:
            raise UnavailableError(f"{self.name}: {error}", component=self.name) from error
        listener.talk(self.config.path, self._talk)
        self._listener = listener
        if self.context.logger is not None:
            self.context.logger.info("listening", url=self.url)

    async def _talk(self, one: WebSocket) -> None:
        """Talk to a client, from its wish for a WebSocket to its end."""
        given = one.headers.get("authorization", "").removeprefix("Bearer ") or one.query_params.get(
            "token", ""
        )
        token = str(self.config.token)
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            self.refused += 1
            await one.close(NOT_ALLOWED, "a token is needed")
        elif self._is_over() or self.clients >= self.config.max_clients:
            self.refused += 1
            await one.close(TRY_LATER, "the system is stopping" if self._is_over() else "too many clients")
        else:
            self.clients += 1
            try:
                from headrace.edges.web.listening import client_gone

                with suppress(*client_gone()):
                    await self._serve(one)
            finally:
                self.clients -= 1
                self._quiet.set()

    def _is_over(self) -> bool:
        return bool(self.context.stop_event.is_set())

    async def _serve(self, one: WebSocket) -> None:
        """Accept the client, and talk to it."""
        raise NotImplementedError

    async def _until_all_have_left(self) -> None:
        while self.clients:
            self._quiet = anyio.Event()
            await self._quiet.wait()

    async def _interruptible(self, fn: Callable[[], Awaitable[T]]) -> T | None:
        """Wait for something, unless the wait is cut short by ``_interrupt``; returns None then."""
        with CancelScope() as scope:
            self._scopes.add(scope)
            try:
                return await fn()
            finally:
                self._scopes.discard(scope)
        return None

    def _interrupt(self) -> None:
        for scope in self._scopes:
            scope.cancel()

    def _failed(self, error: HeadraceError) -> ComponentError:
        return ComponentError(f"{self.name}: {self._server.what}: {error}", component=self.name)

    async def cleanup(self) -> None:
        """Listen no more, and close the streams."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.leave(self.config.path)
        await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add whether the server is there; or where it listens, and to whom."""
        health = await super().health_check()
        if self._client is not None:
            return {**health, **self._server.health()}
        return {**health, "url": self.url, "clients": self.clients, "refused": self.refused}


__all__ = ["GOING_AWAY", "NOT_ALLOWED", "TOO_BIG", "TRY_LATER", "WebSocketEnd"]
