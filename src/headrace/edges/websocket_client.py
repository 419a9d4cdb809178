"""The client's side of a WebSocket, by wsproto: messages of bounded size, read no faster than they are taken."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

import anyio
from anyio.abc import ByteStream
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws
from wsproto.utilities import ProtocolError

from headrace.exceptions import ConfigError, HeadraceError, UnavailableError

_LOST = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
_PORTION = 65_536
_CLOSING = 2.0  # seconds for the other side to say good-bye
_PASSING = frozenset({408, 425, 429})  # and all above 499


class ClosedByServerError(UnavailableError):
    """The server has closed the connection, with a code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class WebSocketClient:
    """What is needed to open WebSockets to one address.

    Args:
        url: Where; ``ws://`` or ``wss://``.
        headers: Headers of the request that opens one.
        timeout: Seconds until it is open.
        max_message: Bytes that a message of the other side may have.
        quiet: Seconds without a word of the other side after which it is asked whether it is there; after as many
            more the connection counts as lost.

    Raises:
        ConfigError: The address is none.

    Attributes:
        what: The server, for people.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str], timeout: float, max_message: int, quiet: float
    ) -> None:
        self._url = _parsed(url)
        self._headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        self._timeout = timeout
        self._max_message = max_message
        self._quiet = quiet
        self.what = f"{self._url.scheme}://{self._url.netloc.rpartition('@')[2]}"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[WebSocketConnection]:
        """Open one; it is closed at the end of the block.

        Raises:
            UnavailableError: The server is not there, or wants to be asked later.
            HeadraceError: It does not let us in.
        """
        try:
            with anyio.fail_after(self._timeout):
                stream = await self._connect()
                one = WebSocketConnection(stream, self._max_message, self._quiet)
                try:
                    await one.open(self._url, self._headers)
                except BaseException:
                    await anyio.aclose_forcefully(stream)
                    raise
        except TimeoutError:
            raise UnavailableError(f"has not answered within {self._timeout:g} s") from None
        try:
            yield one
        finally:
            await one.close()

    async def _connect(self) -> ByteStream:
        url = self._url
        secure = url.scheme == "wss"
        host, port = url.hostname or "", url.port or (443 if secure else 80)
        try:
            if secure:
                context = ssl.create_default_context()
                return await anyio.connect_tcp(
                    host, port, tls=True, ssl_context=context, tls_standard_compatible=False
                )
            return await anyio.connect_tcp(host, port)
        except ssl.SSLCertVerificationError as error:
            raise HeadraceError(f"its certificate is not valid: {error.verify_message}") from None
        except OSError as error:
            raise UnavailableError(f"cannot be reached: {error.strerror or error}") from None


class WebSocketConnection:
    """One open WebSocket. One task may send while another one receives.

    Args:
        stream: The connection.
        max_message: Bytes that a message may have.
        quiet: Seconds without a word after which to ask.
    """

    def __init__(self, stream: ByteStream, max_message: int, quiet: float) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._max_message = max_message
        self._quiet = quiet
        self._sending = anyio.Lock()
        self._parts: list[str | bytes] = []
        self._size = 0
        self._confirmed: dict[bytes, anyio.Event] = {}
        self._pings = 0

    async def open(self, url: SplitResult, headers: list[tuple[bytes, bytes]]) -> None:
        """Ask for it.

        Raises:
            UnavailableError: The server is away or wants to be asked later.
            HeadraceError: It does not want this.
        """
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        host = url.netloc.rpartition("@")[2]
        await self._send(ws.Request(host=host, target=target, extra_headers=headers))
        while True:
            for event in self._protocol.events():
                if isinstance(event, ws.AcceptConnection):
                    return
                if isinstance(event, ws.RejectConnection):
                    passing = event.status_code >= 500 or event.status_code in _PASSING
                    kind = UnavailableError if passing else HeadraceError
                    raise kind(f"answered {event.status_code} to the wish for a WebSocket")
            await self._read()

    async def send(self, message: str | bytes) -> None:
        """Send a message.

        Raises:
            UnavailableError: The connection is lost.
        """
        await self._send(ws.TextMessage(message) if isinstance(message, str) else ws.BytesMessage(message))

    async def confirm(self, within: float) -> None:
        """Wait until the other side has answered a ping, so has read all that was sent before it.

        Somebody must receive meanwhile.

        Raises:
            UnavailableError: It does not answer in time, or the connection is lost.
        """
        self._pings += 1
        key = b"%d" % self._pings
        self._confirmed[key] = anyio.Event()
        try:
            with anyio.fail_after(within):
                await self._send(ws.Ping(key))
                await self._confirmed[key].wait()
        except TimeoutError:
            raise UnavailableError(f"has not confirmed what it was sent within {within:g} s") from None
        finally:
            del self._confirmed[key]

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            UnavailableError: The connection is lost, or was closed.
            HeadraceError: A message is too long.
        """
        while True:
            for event in self._protocol.events():
                if isinstance(event, ws.Message):
                    message = self._whole(event)
                    if message is not None:
                        return message
                else:
                    await self._take(event)
            await self._read_or_ask()

    def _whole(self, event: ws.Message[Any]) -> str | bytes | None:
        data: str | bytes = event.data if isinstance(event.data, str) else bytes(event.data)
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._max_message:
            raise HeadraceError(f"sent a message of more than {self._max_message:,} bytes; set `max_message`")
        if not event.message_finished:
            return None
        parts, self._parts, self._size = self._parts, [], 0
        return "".join(parts) if isinstance(data, str) else b"".join(parts)  # type: ignore[arg-type]

    async def _take(self, event: ws.Event) -> None:
        if isinstance(event, ws.Ping):
            await self._send(event.response())
        elif isinstance(event, ws.Pong):
            waiting = self._confirmed.get(bytes(event.payload))
            if waiting is not None:
                waiting.set()
        elif isinstance(event, ws.CloseConnection):
            with suppress(UnavailableError, ProtocolError):
                await self._send(event.response())
            why = f": {event.reason}" if event.reason else ""
            raise ClosedByServerError(f"closed the connection ({int(event.code)}{why})", int(event.code))

    async def _read_or_ask(self) -> None:
        with anyio.move_on_after(self._quiet):
            await self._read()
            return
        await self._send(ws.Ping(b"there?"))
        with anyio.move_on_after(self._quiet):
            await self._read()
            return
        raise UnavailableError(f"has not said a word for {2 * self._quiet:g} s")

    async def _read(self) -> None:
        try:
            data = await self._stream.receive(_PORTION)
            self._protocol.receive_data(data)
        except ProtocolError as error:
            raise HeadraceError(f"does not speak WebSocket: {error}") from None
        except _LOST as error:
            raise UnavailableError(f"the connection is lost: {_said(error)}") from None

    async def _send(self, event: ws.Event) -> None:
        data = self._protocol.send(event)
        try:
            async with self._sending:
                await self._stream.send(data)
        except _LOST as error:
            raise UnavailableError(f"the connection is lost: {_said(error)}") from None

    async def close(self) -> None:
        """Say good-bye, and close it."""
        with (
            anyio.move_on_after(_CLOSING, shield=True),
            suppress(UnavailableError, ProtocolError, HeadraceError),
        ):
            await self._send(ws.CloseConnection(code=1000))
            while True:
                await self.receive()
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)


def _parsed(url: str) -> SplitResult:
    try:
        parsed = urlsplit(url)
        parsed.port  # noqa: B018 - raises where it is no number
        url.encode("ascii")
    except ValueError as error:
        raise ConfigError(f"url is no address: {error}", field="url") from None
    if parsed.scheme not in ("ws", "wss") or not parsed.hostname:
        raise ConfigError("url must begin with ws:// or wss:// and name a host", field="url")
    return parsed


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


__all__ = ["ClosedByServerError", "WebSocketClient", "WebSocketConnection"]
