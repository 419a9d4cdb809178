"""``websocket_sink``: messages to a WebSocket server, or to all clients of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec
from anyio import CancelScope, EndOfStream

from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError, HeadraceError, UnavailableError
from headrace.model.message import Rejected
from headrace.model.secret import Secret

from .times import Duration, seconds
from .websocket_end import GOING_AWAY, TRY_LATER, WebSocketEnd

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from headrace.edges.websocket_client import WebSocketClient, WebSocketConnection

_AT_THE_END = 5.0  # seconds for clients to take what is left for them
_BATCH = 256  # messages that are confirmed together


class _Client:
    """A client, and what is still to be sent to it."""

    def __init__(self) -> None:
        self.left: deque[str | bytes] = deque()
        self.came = anyio.Event()
        self.is_slow = False
        self.sending = CancelScope()


class WebSocketSink(WebSocketEnd):
    """Sends messages to a WebSocket server, or to all clients of its own.

    To a server: messages are acknowledged once it has answered a ping behind them, so has read them; what it does
    with them then is its affair. While it is away the component is not ready, and sends what was not acknowledged
    again once it is back.

    To clients: each gets what comes while it is there. One that does not keep up never holds anything up: it is
    disconnected, or misses the oldest messages.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The libraries of the extra ``http`` are missing.
    """

    in_: In[Any]
    rejected: Out[Rejected[Any]]
    accumulates = False

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a WebSocket sink.

        Attributes:
            url: The server to connect to, ``ws://`` or ``wss://``.
            listen: Or where to listen for clients: ``HOST:PORT``; a port of 0 for a free one, which is logged.
            path: The path that clients ask for.
            format: ``json``, or ``text`` or ``bytes`` as the messages are.
            headers: More headers of the request to the server.
            token: Sent along, or asked of clients: ``Authorization: Bearer TOKEN`` or ``?token=TOKEN``.
            client_buffer: How many messages wait for a client at most.
            slow: What becomes of a client for whom more would wait: ``disconnect``, or ``drop_oldest`` message.
            max_clients: How many clients there may be at once.
            max_message: How many bytes a message of the server may have, which is not looked at.
            timeout: How long the server may take to let us in, and to confirm what it was sent.
            quiet: How long the server may be silent before it is asked whether it is there.
        """

        url: str = ""
        listen: str = ""
        path: str = "/"
        format: Literal["json", "text", "bytes"] = "json"
        headers: dict[str, str] = {}
        token: Secret = Secret("")
        client_buffer: int = 1000
        slow: Literal["disconnect", "drop_oldest"] = "disconnect"
        max_clients: int = 1000
        max_message: int = 1_000_000
        timeout: Duration = 10.0
        quiet: Duration = 20.0

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if self.config.client_buffer < 1:
            raise ConfigError("client_buffer must be at least 1", field="client_buffer")
        self._confirm_within = seconds(self.config.timeout, "timeout")
        self._begin()

    def _begin(self) -> None:
        self._listeners: set[_Client] = set()
        self._has_ended = False
        self._in_hand: list[str | bytes] = []
        self.sent = self.dropped = self.disconnected = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Listen, where it does; a connection to a server is opened later.

        Raises:
            UnavailableError: The address is in use, or is none of this computer's.
            ConfigError: Another component has this path.
        """
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Send all messages.

        Raises:
            ComponentError: The server does not let us in.
        """
        if self._client is not None:
            await self._send_to_server(self._client)
        else:
            await self._send_to_clients()

    async def _batch(self) -> list[str | bytes]:
        """Return the next messages as they are sent, after those that were rejected."""
        batch: list[str | bytes] = []
        for message in await self.in_.receive_many(_BATCH):
            try:
                batch.append(self._written(message))
            except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
                await self.rejected.send(
                    Rejected(message, f"cannot be written as {self.config.format}: {error}")
                )
        return batch

    def _written(self, message: Any) -> str | bytes:
        if self.config.format == "json":
            return msgspec.json.encode(message).decode()
        wanted = str if self.config.format == "text" else bytes
        if not isinstance(message, wanted):
            raise TypeError(f"a value of type {type(message).__name__}")
        return message

    # --- to a server -------------------------------------------------------------------------------

    async def _send_to_server(self, client: WebSocketClient) -> None:
        while not self._has_ended:
            try:
                async with client.connected() as one:
                    await self._send_while_it_is_there(one)
            except UnavailableError as error:
                await self._server.wait(error)
            except HeadraceError as error:
                raise self._failed(error) from error

    async def _send_while_it_is_there(self, one: WebSocketConnection) -> None:
        lost: list[HeadraceError] = []

        async def listen() -> None:
            try:
                while True:
                    await one.receive()
            except HeadraceError as error:
                lost.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            try:
                await self._send_all(one)
            except HeadraceError as error:
                lost.append(error)
            group.cancel_scope.cancel()
        if lost and not self._has_ended:
            raise lost[0]

    async def _send_all(self, one: WebSocketConnection) -> None:
        while True:
            if not self._in_hand:
                self._server.found()
                try:
                    self._in_hand = await self._batch()
                except EndOfStream:
                    self._has_ended = True
                    return
            for message in self._in_hand:
                await one.send(message)
            await one.confirm(self._confirm_within)
            self.sent += len(self._in_hand)
            self._in_hand = []
            self.in_.ack()

    # --- to clients --------------------------------------------------------------------------------

    async def _send_to_clients(self) -> None:
        assert self._listener is not None
        async with self._listener.serving():
            with suppress(EndOfStream):
                while True:
                    for message in await self._batch():
                        self._hand_out(message)
            self._has_ended = True
            for client in self._listeners:
                client.came.set()
            with anyio.move_on_after(_AT_THE_END):
                await self._until_all_have_left()
            self._interrupt()
            await self._until_all_have_left()

    def _hand_out(self, message: str | bytes) -> None:
        self.sent += 1
        for client in self._listeners:
            if len(client.left) >= self.config.client_buffer:
                if self.config.slow == "disconnect":
                    client.is_slow = True
                else:
                    client.left.popleft()
                    self.dropped += 1
            client.left.append(message)
            client.came.set()
        for client in [one for one in self._listeners if one.is_slow]:
            self._listeners.discard(client)
            client.sending.cancel()
            self.disconnected += 1

    def _is_over(self) -> bool:
        return self._has_ended

    async def _serve(self, one: WebSocket) -> None:
        from headrace.edges.web.listening import client_gone

        client = _Client()
        self._listeners.add(client)  # before it knows that it is one, so that it misses nothing
        try:
            await one.accept()
            async with anyio.create_task_group() as group:

                async def listen() -> None:
                    while (await one.receive())["type"] != "websocket.disconnect":
                        pass
                    group.cancel_scope.cancel()

                group.start_soon(listen)
                self._scopes.add(client.sending)
                with client.sending:
                    await self._send_to(client, one)
                code, why = (
                    (TRY_LATER, "too slow") if client.is_slow else (GOING_AWAY, "the system has ended")
                )
                with anyio.move_on_after(_AT_THE_END), suppress(*client_gone()):
                    await one.close(code, why)
                group.cancel_scope.cancel()
        finally:
            self._scopes.discard(client.sending)
            self._listeners.discard(client)

    async def _send_to(self, client: _Client, one: WebSocket) -> None:
        from headrace.edges.web.listening import client_gone

        with suppress(*client_gone()):
            while not client.is_slow:
                while client.left and not client.is_slow:
                    message = client.left.popleft()
                    await (one.send_text(message) if isinstance(message, str) else one.send_bytes(message))
                if self._has_ended:
                    return
                client.came = anyio.Event()
                await client.came.wait()


__all__ = ["WebSocketSink"]
