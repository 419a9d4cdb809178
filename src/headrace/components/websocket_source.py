"""``websocket_source``: the messages of a WebSocket server, or of the clients of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec

from headrace.authoring.ports import Out
from headrace.exceptions import HeadraceError, UnavailableError
from headrace.model.message import Rejected
from headrace.model.secret import Secret

from .times import Duration
from .websocket_end import GOING_AWAY, TOO_BIG, WebSocketEnd

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from headrace.edges.websocket_client import WebSocketClient, WebSocketConnection


class WebSocketSource(WebSocketEnd):
    """Sends the messages of a WebSocket server, or of the clients of its own; what does not parse to ``rejected``.

    A client is read no faster than its messages are taken. A server that goes away is connected to again, and the
    component is not ready meanwhile; what it sent in between is lost, because WebSockets have no memory.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The libraries of the extra ``http`` are missing.
    """

    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a WebSocket source.

        Attributes:
            url: The server to connect to, ``ws://`` or ``wss://``.
            listen: Or where to listen for clients: ``HOST:PORT``; a port of 0 for a free one, which is logged.
            path: The path that clients ask for.
            format: What a message is: ``json``, ``text`` or ``bytes``.
            subscribe: What is sent to the server each time it was connected to: texts, or values that become JSON.
            reconnect: Whether to connect again where the server closes the connection in good order; else it ends.
            headers: More headers of the request to the server.
            token: Sent along, or asked of clients: ``Authorization: Bearer TOKEN`` or ``?token=TOKEN``.
            max_message: How many bytes a message may have.
            max_clients: How many clients there may be at once.
            timeout: How long the server may take to let us in.
            quiet: How long the server may be silent before it is asked whether it is there.
        """

        url: str = ""
        listen: str = ""
        path: str = "/"
        format: Literal["json", "text", "bytes"] = "json"
        subscribe: list[Any] = []
        reconnect: bool = True
        headers: dict[str, str] = {}
        token: Secret = Secret("")
        max_message: int = 1_000_000
        max_clients: int = 1000
        timeout: Duration = 10.0
        quiet: Duration = 20.0

    config: Config

    async def process(self) -> None:
        """Send messages until the system stops.

        Raises:
            ComponentError: The server does not let us in.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._interrupt_at_stop)
            if self._client is not None:
                await self._receive(self._client)
            else:
                await self._receive_from_clients()
            group.cancel_scope.cancel()

    async def _interrupt_at_stop(self) -> None:
        await self.context.stop_event.wait()
        self._interrupt()

    async def _receive(self, client: WebSocketClient) -> None:
        from headrace.edges.websocket_client import ClosedByServerError

        while not self._is_over():
            try:
                async with client.connected() as one:
                    self._server.found()
                    await self._receive_all(one)
            except UnavailableError as error:
                if (
                    not self.config.reconnect
                    and isinstance(error, ClosedByServerError)
                    and error.code in (1000, 1001)
                ):
                    return
                if self._is_over() or not await self._server.wait_unless_stopping(error):
                    return
            except HeadraceError as error:
                raise self._failed(error) from error

    async def _receive_all(self, one: WebSocketConnection) -> None:
        for wish in self.config.subscribe:
            await one.send(wish if isinstance(wish, str) else msgspec.json.encode(wish).decode())
        while not self._is_over():
            message = await self._interruptible(one.receive)
            if message is not None:
                await self._emit(message)

    async def _receive_from_clients(self) -> None:
        assert self._listener is not None
        async with self._listener.serving():
            await self.context.stop_event.wait()
            await self._until_all_have_left()

    async def _serve(self, one: WebSocket) -> None:
        await one.accept()
        while not self._is_over():
            came = await self._interruptible(one.receive)
            if came is None:
                break
            if came["type"] == "websocket.disconnect":
                return
            message: str | bytes = came["text"] if came.get("text") is not None else came["bytes"]
            if len(message) > self.config.max_message:
                await one.close(TOO_BIG, f"more than {self.config.max_message:,} bytes")
                return
            await self._emit(message)
        await one.close(GOING_AWAY, "the system is stopping")

    async def _emit(self, message: str | bytes) -> None:
        try:
            value = self._read(message)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            await self.rejected.send(Rejected(message, f"no {self.config.format}: {error}"))
        else:
            await self.out.send(value)

    def _read(self, message: str | bytes) -> Any:
        if self.config.format == "json":
            return msgspec.json.decode(message)
        if self.config.format == "text":
            return message if isinstance(message, str) else message.decode()
        return message.encode() if isinstance(message, str) else message


__all__ = ["WebSocketSource"]
