"""``nats_source`` and ``nats_sink``: messages from and to NATS, with or without the memory of JetStream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from headrace.exceptions import ConfigError, MissingExtraError
from headrace.model.carried import Given
from headrace.model.secret import Secret

from .broker_end import Session
from .broker_sink import BrokerSink
from .broker_source import BrokerSource
from .payloads import Addresses, PayloadFormat
from .times import Duration, seconds


class NatsSource(BrokerSource):
    """Sends the messages of a subject as rows; what does not parse to ``rejected``.

    With a ``stream`` of JetStream each message is acknowledged there once everything here was done with it, and
    comes again where that did not happen: after a crash or a kill, at least once. Without, what comes while nobody
    listens, or faster than it is taken, is lost.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package nats-py is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a NATS source.

        Attributes:
            subject: What to read; ``*`` stands for one part of a subject, and ``>`` for all that follow.
            url: The server, or several of a cluster.
            stream: The stream of JetStream that has it.
            durable: The name by which the stream remembers how far we are; the component's where not given. Sources
                of the same name share the messages. Without a stream, the queue group; none where not given.
            deliver: Whether a new durable name begins with ``all`` that is there, or with what is ``new``.
            create_stream: Make the stream, for this subject, where it is missing.
            format: ``json`` or ``msgpack`` (an object is a row), ``text`` or ``bytes`` (in the field ``data``).
            subject_field: The field that gets the subject; none where not given.
            ack_wait: How long the stream waits for an acknowledgement; what is at work is told to it meanwhile.
            max_unacked: How many messages may be at work; without a stream, how many may wait.
            user: A name, where the server asks for one.
            password: Its password.
            token: Or a token.
            credentials: Or a file of credentials.
            timeout: How long the server may take to answer.
        """

        subject: str
        url: str | list[str] = "nats://127.0.0.1:4222"
        stream: str = ""
        durable: str = ""
        deliver: Literal["all", "new"] = "all"
        create_stream: bool = False
        format: PayloadFormat = "json"
        subject_field: str = ""
        ack_wait: Duration = 30.0
        max_unacked: int = 1000
        user: str = ""
        password: Secret = Secret("")
        token: Secret = Secret("")
        credentials: str = ""
        timeout: Duration = 5.0

    config: Config

    def _make_session(self) -> tuple[Session, str]:
        settings = self.config
        if not settings.subject:
            raise ConfigError("subject is empty", field="subject")
        if settings.max_unacked < 1:
            raise ConfigError("max_unacked must be at least 1", field="max_unacked")
        self.ack_wait = seconds(settings.ack_wait, "ack_wait")
        self.acknowledges = bool(settings.stream)
        consumer = _edge().Consumer(
            settings.subject,
            settings.durable or (self.name.replace(".", "_") if settings.stream else ""),
            deliver=settings.deliver,
            ack_wait=self.ack_wait,
            max_unacked=settings.max_unacked,
        )
        return _session(settings, self._timeout, [settings.subject], consumer)

    def _subject_field(self) -> str:
        return self.config.subject_field


class NatsSink(BrokerSink):
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

    def _make_session(self) -> tuple[Session, str]:
        self._subjects = Addresses(self.config.subject, " .*>\t\r\n", "subject")
        return _session(self.config, self._timeout, [self._subjects.pattern("*")])

    def _made(self, message: Any) -> Given:
        field = self.config.id_field
        if field and not (isinstance(message, Mapping) and field in message):
            raise ValueError(f"no field '{field}'")
        key = str(message[field]) if field else ""
        return Given(self._subjects.of(message), self._payloads.write(message), key, message)


def _edge() -> Any:
    try:
        from headrace.edges import nats
    except ImportError:
        raise MissingExtraError("nats", "nats") from None
    return nats


def _session(
    settings: Any, timeout: float, subjects: Sequence[str], consumer: Any = None
) -> tuple[Session, str]:
    servers = [settings.url] if isinstance(settings.url, str) else list(settings.url)
    if not servers or not all(one.startswith(("nats://", "tls://")) for one in servers):
        raise ConfigError("url must begin with nats:// or tls://", field="url")
    if settings.create_stream and not settings.stream:
        raise ConfigError("create_stream needs stream", field="create_stream")
    edge = _edge()
    options = edge.Options(
        servers,
        user=settings.user,
        password=str(settings.password),
        token=str(settings.token),
        credentials=settings.credentials,
        timeout=timeout,
        stream=settings.stream,
        subjects=subjects if settings.create_stream else (),
    )
    session: Session = edge.NatsSession(options, consumer)
    return session, ", ".join(one.rpartition("@")[2].removeprefix("nats://") for one in servers)


__all__ = ["NatsSink", "NatsSource"]
