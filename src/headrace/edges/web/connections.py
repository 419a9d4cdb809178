"""Connections that end: anycorn writes shielded from cancellation, so a client that does not read needs a limit.

Everything that knows how anycorn is made is here; its own ``serve`` has no place to put the limit.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CancelScope, aclose_forcefully, create_task_group
from anyio.abc import ByteStream, SocketListener

if TYPE_CHECKING:
    from starlette.types import ASGIApp

MOST = 256
"""How many connections there may be at once; further ones are closed."""
STALLED_AFTER = 10.0
"""Seconds that a client may leave what it was sent unread before it is dropped."""
GRACE = 1.0
"""Seconds that connections have to end by themselves when the server does."""

NEEDED = ("anycorn.config", "anycorn.tcp_server", "anycorn.utils", "anycorn.worker_context")
"""What is loaded when the first client comes, or before."""


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
        self._context: Any = None

    async def serve(
        self, servers: Sequence[tuple[socket.socket, Callable[[], ASGIApp]]], closing: anyio.Event
    ) -> None:
        """Serve applications on listening sockets until it is time to close, and then a moment longer.

        Args:
            servers: Sockets, and what makes the application that answers on each, when the first client comes: in a
                thread, because it takes half a second to load. The sockets are closed at the end.
            closing: Set when it is time.
        """
        async with create_task_group() as connections:
            try:
                async with create_task_group() as accepting:
                    for one, make in servers:
                        listener = await SocketListener.from_socket(one)
                        accepting.start_soon(self._accept, listener, self._handler(make), connections)
                    await closing.wait()
                    accepting.cancel_scope.cancel()
                if self._context is not None:
                    await self._context.terminated.set()
            finally:
                connections.cancel_scope.deadline = anyio.current_time() + GRACE
                for connection in self._open:  # their writes are shielded from cancellation
                    connection.hurry(GRACE)

    @staticmethod
    async def _accept(listener: SocketListener, handler: Any, connections: Any) -> None:
        async with listener:
            await listener.serve(handler, connections)

    def _handler(self, make: Callable[[], ASGIApp]) -> Callable[[ByteStream], Awaitable[None]]:
        lock, loaded = anyio.Lock(), list[Any]()

        async def handle(stream: ByteStream) -> None:
            if len(self._open) >= MOST:
                await stream.aclose()
                return
            connection = Patient(stream, self._patience)
            self._open.add(connection)
            try:
                async with lock:
                    if not loaded:
                        loaded.append(await anyio.to_thread.run_sync(self._load, make))
                await loaded[0](connection)
            finally:
                self._open.discard(connection)

        return handle

    def _load(self, make: Callable[[], ASGIApp]) -> Any:
        """Return what serves a connection."""
        from anycorn.config import Config
        from anycorn.tcp_server import tcp_server_handler
        from anycorn.typing import ConnectionState
        from anycorn.utils import wrap_app
        from anycorn.worker_context import WorkerContext

        config = Config()
        config.errorlog = None
        config.include_server_header = False
        config.graceful_timeout = GRACE
        self._context = self._context or WorkerContext(None)
        app: Any = make()
        return tcp_server_handler(wrap_app(app, 0, "asgi"), config, self._context, ConnectionState({}))


__all__ = ["GRACE", "MOST", "NEEDED", "STALLED_AFTER", "Connections", "Patient"]
