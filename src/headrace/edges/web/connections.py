"""Connections that end: anycorn writes shielded from cancellation, so a client that does not read needs a limit.

Everything that knows how anycorn is made is here; its own ``serve`` has no place to put the limit.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CancelScope, EndOfStream, aclose_forcefully, create_task_group
from anyio.abc import ByteStream, SocketListener

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MOST = 256
"""How many connections there may be at once; further ones are closed."""
STALLED_AFTER = 10.0
"""Seconds that a client may leave what it was sent unread before it is dropped."""
HEAD_WITHIN = 10.0
"""Seconds that a client has to say what it wants, however often a byte comes."""
GRACE = 1.0
"""Seconds that connections have to end by themselves when the server does."""

NEEDED = ("anycorn.config", "anycorn.tcp_server", "anycorn.utils", "anycorn.worker_context")
"""What is loaded when the first client comes, or before."""


_current: ContextVar[Patient] = ContextVar("connection")


class Patient(ByteStream):
    """A connection whose client has so many seconds to ask, and to read what it is sent; it is closed then.

    Args:
        inner: The connection.
        seconds: How long one write may take.
        head_within: How long the client may take from one answer to the end of its next request's head.
    """

    def __init__(self, inner: ByteStream, seconds: float, head_within: float = HEAD_WITHIN) -> None:
        self._inner = inner
        self._seconds = seconds
        self._writing: CancelScope | None = None
        self._head_within = head_within
        self._head_by = anyio.current_time() + head_within
        self._reading: CancelScope | None = None
        self._answering = 0

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
        with CancelScope(deadline=math.inf if self._answering else self._head_by) as self._reading:
            return await self._inner.receive(max_bytes)
        await aclose_forcefully(self._inner)
        raise EndOfStream

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Be patient with the client in this block, in which it is answered; its head is complete."""
        self._answering += 1
        self._read_by(math.inf)
        try:
            yield
        finally:
            self._answering -= 1
            if not self._answering:
                self._head_by = anyio.current_time() + self._head_within
                self._read_by(self._head_by)

    def _read_by(self, when: float) -> None:
        if self._reading is not None:
            self._reading.deadline = when

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
        head_within: Seconds that a client may take to say what it wants.
        most: How many there may be at once; further ones are closed.
    """

    def __init__(self, patience: float, head_within: float = HEAD_WITHIN, most: int = MOST) -> None:
        self._patience = patience
        self._head_within = head_within
        self._most = most
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
            if len(self._open) >= self._most:
                await stream.aclose()
                return
            connection = Patient(stream, self._patience, self._head_within)
            _current.set(connection)
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

        async def patient(scope: Scope, receive: Receive, send: Send) -> None:
            with _current.get().answering():
                await app(scope, receive, send)

        wrapped: Any = patient
        return tcp_server_handler(wrap_app(wrapped, 0, "asgi"), config, self._context, ConnectionState({}))


__all__ = ["GRACE", "HEAD_WITHIN", "MOST", "NEEDED", "STALLED_AFTER", "Connections", "Patient"]
