"""``mqtt_source`` and ``mqtt_sink``: messages from and to MQTT 5 (``pip install 'headrace[mqtt]'``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from headrace.exceptions import ConfigError, MissingExtraError
from headrace.model.carried import Given
from headrace.model.secret import Secret

from .broker_end import Session
from .broker_sink import BrokerSink
from .broker_source import BrokerSource
from .payloads import Addresses, PayloadFormat
from .times import Duration, seconds

_THIS_RUN = 300.0  # seconds for which the server remembers us under a name that nobody will have again


class MqttSource(BrokerSource):
    """Sends the messages of a topic as rows; what does not parse to ``rejected``.

    With ``qos: 1`` each message is acknowledged once everything here was done with it, and comes again where that
    did not happen, as long as the server remembers ``client_id``: at least once. With ``qos: 0`` nothing is
    acknowledged: what comes while nobody listens, or faster than it is taken, is lost.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package paho-mqtt is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an MQTT source.

        Attributes:
            topic: What to read; ``+`` stands for one part of a topic, and ``#`` for all that follow;
                ``$share/GROUP/TOPIC`` shares the messages among all of the group.
            url: The server, ``mqtt://HOST:PORT`` or ``mqtts://``.
            qos: 1 to have each message at least once, 0 to lose some rather than to wait.
            client_id: The name by which the server remembers what we have not had; no two may have the same. Where
                not given, one for this run.
            session_expiry: How long it remembers that while we are away.
            format: ``json`` or ``msgpack`` (an object is a row), ``text`` or ``bytes`` (in the field ``data``).
            topic_field: The field that gets the topic; none where not given.
            max_unacked: How many messages may be at work; with ``qos: 0``, how many may wait.
            user: A name, where the server asks for one.
            password: Its password.
            timeout: How long the server may take to answer.
        """

        topic: str
        url: str = "mqtt://127.0.0.1:1883"
        qos: Literal[0, 1] = 1
        client_id: str = ""
        session_expiry: Duration = "24h"
        format: PayloadFormat = "json"
        topic_field: str = ""
        max_unacked: int = 1000
        user: str = ""
        password: Secret = Secret("")
        timeout: Duration = 5.0

    config: Config

    def _make_session(self) -> tuple[Session, str]:
        settings = self.config
        if not settings.topic:
            raise ConfigError("topic is empty", field="topic")
        self.acknowledges = settings.qos > 0
        remembered = seconds(settings.session_expiry, "session_expiry", or_zero=True)
        return _session(
            settings,
            self._timeout,
            topic=settings.topic,
            client_id=settings.client_id or f"headrace-{uuid4().hex[:14]}",
            session_expiry=int(remembered if settings.client_id else min(remembered, _THIS_RUN)),
        )

    def _subject_field(self) -> str:
        return self.config.topic_field


class MqttSink(BrokerSink):
    """Publishes each message; with ``qos: 1`` it is acknowledged once the server has it.

    A server that is away makes the component not ready, and it goes on by itself. What was not confirmed is
    published again, so who reads may have it twice. With ``qos: 0`` a message is acknowledged once it was written.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package paho-mqtt is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an MQTT sink.

        Attributes:
            topic: Where to publish; fields of the row in braces: ``sensors/{room}``.
            url: The server, ``mqtt://HOST:PORT`` or ``mqtts://``.
            qos: 1 to publish each message at least once, 0 to lose some rather than to wait.
            retain: Whether the server keeps the last message of each topic for who comes later.
            client_id: The name by which the server knows us; one of its own where not given.
            format: ``json`` or ``msgpack``, or ``text`` or ``bytes`` (the message, or its field ``data``).
            max_unacked: How many messages may be on their way.
            user: A name, where the server asks for one.
            password: Its password.
            timeout: How long the server may take to answer.
        """

        topic: str
        url: str = "mqtt://127.0.0.1:1883"
        qos: Literal[0, 1] = 1
        retain: bool = False
        client_id: str = ""
        format: PayloadFormat = "json"
        max_unacked: int = 100
        user: str = ""
        password: Secret = Secret("")
        timeout: Duration = 5.0

    config: Config

    def _make_session(self) -> tuple[Session, str]:
        self._topics = Addresses(self.config.topic, "+#/\0", "topic")
        return _session(self.config, self._timeout, retain=self.config.retain)

    def _made(self, message: Any) -> Given:
        return Given(self._topics.of(message), self._payloads.write(message), "", message)


def _session(settings: Any, timeout: float, **more: Any) -> tuple[Session, str]:
    try:
        from headrace.edges import mqtt
    except ImportError:
        raise MissingExtraError("mqtt", "mqtt") from None
    host, port, tls = _address(settings.url)
    if settings.max_unacked < 1:
        raise ConfigError("max_unacked must be at least 1", field="max_unacked")
    options: Mapping[str, Any] = {
        "client_id": settings.client_id,
        "user": settings.user,
        "password": str(settings.password),
        "timeout": timeout,
        "qos": settings.qos,
        "max_unacked": settings.max_unacked,
        **more,
    }
    return mqtt.MqttSession(mqtt.Options(host, port, tls, **options)), f"{host}:{port}"


def _address(url: str) -> tuple[str, int, bool]:
    try:
        parsed = urlsplit(url)
        port = parsed.port
    except ValueError as error:
        raise ConfigError(f"url is no address: {error}", field="url") from None
    if parsed.scheme not in ("mqtt", "mqtts") or not parsed.hostname:
        raise ConfigError(
            "url must begin with mqtt:// or mqtts:// and name a host",
            hint="for example mqtt://127.0.0.1:1883",
            field="url",
        )
    if parsed.username or parsed.password:
        raise ConfigError("url has a name or a password", hint="set user and password", field="url")
    tls = parsed.scheme == "mqtts"
    return parsed.hostname, port or (8883 if tls else 1883), tls


__all__ = ["MqttSink", "MqttSource"]
