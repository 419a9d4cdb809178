"""``nats_sink``: messages to NATS, acknowledged once its stream has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from anyio import EndOfStream

from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError, UnavailableError
from headrace.model.message import Rejected
from headrace.model.secret import Secret

from .batches import acknowledge_written
from .nats_end import NatsEnd, nats_edge
from .payloads import WRONG, Addresses, PayloadFormat
from .times import Duration

if TYPE_CHECKING:
    from headrace.edges.nats import Given, NatsSession

_BATCH = 256


class NatsSink(NatsEnd):
    """Publishes each message; it is acknowledged once the stream has it or, without one, the server.

    A server that is away makes the component not ready, and it goes on by itself. What was not confirmed is
    published again: with ``id_field`` the stream knows it again, and has it once.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package nats-py is missing.
    """

    in_: In[Any]
    rejected: Out[Rejected[Any]]
    accumulates = False

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a NATS sink.

        Attributes:
            subject: Where to publish; fields of the row in braces: ``orders.{region}``.
            url: The server, or several of a cluster.
            stream: The stream of JetStream that keeps it.
            create_stream: Make the stream, for this subject, where it is missing.
            id_field: The field by which the stream knows a message again, so that it is there once.
            format: ``json`` or ``msgpack``, or ``text`` or ``bytes`` (the message, or its field ``data``).
            user: A name, where the server asks for one.
            password: Its password.
            token: Or a token.
            credentials: Or a file of credentials.
            timeout: How long the server may take to answer.
        """

        subject: str
        url: str | list[str] = "nats://127.0.0.1:4222"
        stream: str = ""
        create_stream: bool = False
        id_field: str = ""
        format: PayloadFormat = "json"
        user: str = ""
        password: Secret = Secret("")
        token: Secret = Secret("")
        credentials: str = ""
        timeout: Duration = 5.0

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if self.config.id_field and not self.config.stream:
            raise ConfigError("id_field needs stream", hint="nobody else knows ids again", field="id_field")
        self.sent = 0

    def _make_session(self, servers: list[str]) -> NatsSession:
        self._subjects = Addresses(self.config.subject, " .*>\t\r\n", "subject")
        edge = nats_edge()
        pattern = self._subjects.pattern("*")
        session: NatsSession = edge.NatsSession(edge.Options(**self._options(servers, [pattern])))
        self._given = edge.Given
        return session

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Connect; a server that is away keeps nobody from beginning.

        Raises:
            ComponentError: It does not let us in.
        """
        self.sent = 0
        await super().setup(harness_context)

    async def process(self) -> None:
        """Publish all messages.

        Raises:
            ComponentError: The server does not let us in.
        """
        async with self._thread.watched():
            while True:
                try:
                    batch = await self.in_.receive_many(_BATCH)
                except EndOfStream:
                    return
                await self._publish(batch)

    async def _publish(self, batch: list[Any]) -> None:
        given: list[Given] = []
        rejected: list[Rejected[Any]] = []
        for message in batch:
            try:
                given.append(self._made(message))
            except WRONG as error:
                rejected.append(Rejected(message, str(error)))
        while given:
            before = len(given)
            try:
                await self._connect()
                refused = await self._call(self._session.publish, given)
            except UnavailableError as error:
                self.sent += before - len(given)
                await self._server.wait(error)
            else:
                self._server.found()
                self.sent += before - len(given) - len(refused)
                rejected += [Rejected(one.message, f"the server refuses it: {why}") for one, why in refused]
        await acknowledge_written(self.in_, batch, rejected, self.rejected)

    def _made(self, message: Any) -> Given:
        field = self.config.id_field
        if field and not (isinstance(message, Mapping) and field in message):
            raise ValueError(f"no field '{field}'")
        given: Given = self._given(
            self._subjects.of(message),
            self._payloads.write(message),
            str(message[field]) if field else "",
            message,
        )
        return given


__all__ = ["NatsSink"]
