"""Connections that end: anycorn writes shielded from cancellation, so a client that does not read needs a limit.

Everything that knows how anycorn is made is here; its own ``serve`` has no place to put the limit.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio
from anycorn.config import Config
from anycorn.tcp_server import tcp_server_handler
from anycorn.typing import ConnectionState
from anycorn.utils import wrap_app
from anycorn.worker_context import WorkerContext
from anyio import CancelScope, aclose_forcefully, create_task_group
from anyio.abc import ByteStream, SocketListener
from starlette.types import ASGIApp

MOST = 256
"""How many connections there may be at once; further ones are closed."""
GRACE = 1.0
"""Seconds that connections have to end by themselves when the server does."""


class Patient(ByteStream):
    """A connection whose client has so many seconds to read what it is sent; it is closed then.

    Args:
        inner: The connection.
        seconds: How long one write may take.
    """

    def __init__(self, inner: ByteStream, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._writing: CancelScope | None = None

    async def send(self, item: bytes) -> None:
        try:
            with anyio.fail_after(self._seconds) as self._writing:
                await self._inner.send(item)
        except TimeoutError:
            await aclose_forcefully(self._inner)
            raise
        finally:
            self._writing = None

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._inner.receive(max_bytes)

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        await self._inner.aclose()

    def hurry(self, seconds: float) -> None:
        """Let no write take longer than that from now on."""
        self._seconds = seconds
        if self._writing is not None:
            self._writing.deadline = min(self._writing.deadline, anyio.current_time() + seconds)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._inner.extra_attributes


class Connections:
    """The connections of one server.

    Args:
        patience: Seconds that a client may leave what it is sent unread.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._open: set[Patient] = set()
        self._config = Config()
        self._config.errorlog = None
        self._config.include_server_header = False
        self._config.graceful_timeout = GRACE
        self._context = WorkerContext(None)

    async def serve(self, servers: Sequence[tuple[socket.socket, ASGIApp]], closing: anyio.Event) -> None:
        """Serve applications on listening sockets until it is time to close, and then a moment longer.

        Args:
            servers: Sockets, and the application that answers on each; they are closed at the end.
            closing: Set when it is time.
        """
        async with create_task_group() as connections:
            try:
                async with create_task_group() as accepting:
                    for one, app in servers:
                        listener = await SocketListener.from_socket(one)
                        accepting.start_soon(self._accept, listener, self._handler(app), connections)
                    await closing.wait()
                    accepting.cancel_scope.cancel()
                await self._context.terminated.set()
            finally:
                connections.cancel_scope.deadline = anyio.current_time() + GRACE
                for connection in self._open:  # their writes are shielded from cancellation
                    connection.hurry(GRACE)

    @staticmethod
    async def _accept(listener: SocketListener, handler: Any, connections: Any) -> None:
        async with listener:
            await listener.serve(handler, connections)

    def _handler(self, app: ASGIApp) -> Callable[[ByteStream], Awaitable[None]]:
        wrapped = wrap_app(app, 0, "asgi")  # type: ignore[arg-type]  # Starlette's types are its own
        serve: Any = tcp_server_handler(wrapped, self._config, self._context, ConnectionState({}))

        async def handle(stream: ByteStream) -> None:
            if len(self._open) >= MOST:
                await stream.aclose()
                return
            connection = Patient(stream, self._patience)
            self._open.add(connection)
            try:
                await serve(connection)
            finally:
                self._open.discard(connection)

        return handle


__all__ = ["GRACE", "MOST", "Connections", "Patient"]
