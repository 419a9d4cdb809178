"""MQTT 5, by paho (``pip install 'headrace[mqtt]'``), which has a thread of its own for the network.

Everything here blocks, so a thread calls it; several may at once.
"""

from __future__ import annotations

import contextlib
import queue
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from headrace.exceptions import HeadraceError, UnavailableError
from headrace.model.carried import Given, Taken

_FAILED = 0x80  # reason codes from here on say no
_LOGIN = frozenset(
    {0x84, 0x85, 0x86, 0x87, 0x8C}
)  # version, client id, name or password, not authorized, method
_LONGEST = 0xFFFFFFFF
_NOBODY = "headrace/nobody"  # a topic that nobody has subscribed to


@dataclass(frozen=True, slots=True)
class Options:
    """How to reach a server.

    Attributes:
        host: Its name.
        port: Its port.
        tls: Whether the connection is encrypted, and the server's certificate checked.
        client_id: The name by which the server remembers what we have not had.
        session_expiry: Seconds for which it does, while we are away.
        user: A name, where it asks for one.
        password: Its password.
        timeout: Seconds for what it is asked.
        qos: The quality of service, 0 or 1.
        retain: Whether it keeps the last message of each topic for who comes later.
        topic: What is read; empty for nothing.
        max_unacked: How many messages may be unacknowledged, on either way.
    """

    host: str
    port: int
    tls: bool = False
    client_id: str = ""
    session_expiry: int = 0
    user: str = ""
    password: str = ""
    timeout: float = 5.0
    qos: int = 1
    retain: bool = False
    topic: str = ""
    max_unacked: int = 1000


class MqttSession:
    """A connection that is opened, lost, and opened again.

    Args:
        options: How to reach the server.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client: paho.Client | None = None
        self._life = 0  # connections so far: packet ids are of one of them
        self._changed = threading.Condition()
        self._code: int | None = (
            None  # what the server has said to the wish for a connection, or a subscription
        )
        self._why = ""
        self._is_lost = False
        self._has_acknowledged = False
        self._confirmed: dict[int, int] = {}
        self._order: dict[int, None] = {}  # packet ids that are not acknowledged, as they came
        self._done: set[int] = set()
        self._given_back = 0  # of these, how many come again with the next connection
        self._came: queue.SimpleQueue[Taken | None] = queue.SimpleQueue()
        self.dropped = 0
        """How many messages that need no acknowledgement came faster than they were read."""

    # --- called from threads -----------------------------------------------------------------------

    def open(self) -> None:
        """Connect and subscribe, if it is not.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: It does not let us in.
        """
        if self._client is not None and not self._is_lost and not self._is_clogged:
            return
        self.disconnect()
        self._begin_anew()
        client = self._made()
        options = self._options
        properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = min(65_535, options.max_unacked)
        properties.SessionExpiryInterval = min(_LONGEST, options.session_expiry)
        try:
            client.connect(
                options.host,
                options.port,
                keepalive=30,
                clean_start=not options.client_id,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            raise UnavailableError(
                f"cannot be reached: {getattr(error, 'strerror', None) or error}"
            ) from error
        self._client = client
        client.loop_start()
        try:
            self._expect("has not answered")
            if options.topic:
                self._code = None
                wish = SubscribeOptions(qos=options.qos)
                client.subscribe(options.topic, options=wish)
                self._expect(f"has not answered the wish for '{options.topic}'")
        except HeadraceError:
            self.disconnect()
            raise

    def publish(self, messages: list[Given]) -> list[tuple[Given, str]]:
        """Publish messages, and take those out of the list that the server has; returns what it never will.

        Raises:
            UnavailableError: It is away; the list has what it did not confirm.
        """
        rejected: list[tuple[Given, str]] = []
        waiting = self._handed_over(messages, rejected)
        try:
            while waiting and (found := self._confirmed_of(waiting)):
                for mid, code in found.items():
                    one = waiting.pop(mid)
                    messages.remove(one)
                    if code >= _FAILED:
                        rejected.append((one, f"reason code {code:#x}"))
            if messages:
                raise UnavailableError(self._why or "the connection is lost")
        except UnavailableError:
            if not rejected:  # what it refuses is told first; the rest is still in the list
                raise
        return rejected

    def _handed_over(self, messages: list[Given], rejected: list[tuple[Given, str]]) -> dict[int, Given]:
        """Give messages to the network's thread, as long as there is a connection; returns them by packet id."""
        client, options = self._connected(), self._options
        waiting: dict[int, Given] = {}
        for one in list(messages):
            try:
                sent = client.publish(one.subject, one.data, qos=options.qos, retain=options.retain)
            except (ValueError, TypeError) as error:
                rejected.append((one, str(error)))
                messages.remove(one)
                continue
            if sent.rc != paho.MQTT_ERR_SUCCESS:
                break
            waiting[sent.mid] = one
        return waiting

    def _confirmed_of(self, waiting: Mapping[int, Given]) -> dict[int, int]:
        """Wait for the server to confirm some messages; returns the reason codes, none where it is lost.

        Raises:
            UnavailableError: It confirms none in time.
        """
        with self._changed:
            is_over = self._changed.wait_for(
                lambda: self._is_lost or not self._confirmed.keys().isdisjoint(waiting), self._options.timeout
            )
            if not is_over:
                raise UnavailableError(f"has confirmed nothing for {self._options.timeout:g} s")
            return {mid: self._confirmed.pop(mid) for mid in self._confirmed.keys() & waiting.keys()}

    def fetch(self, count: int, wait: float) -> list[Taken]:
        """Return the messages that there are, none after ``wait`` seconds without one; ``interrupt`` ends that.

        Raises:
            UnavailableError: The server is away.
        """
        self._connected()
        found: list[Taken] = []
        with contextlib.suppress(queue.Empty):
            one = self._came.get(timeout=wait)
            while one is not None:
                found.append(one)
                if len(found) == count:
                    break
                one = self._came.get_nowait()
        if not found:
            self._connected()
        return found

    def settle(
        self, done: Sequence[Taken], undone: Sequence[Taken] = (), working: Sequence[Taken] = ()
    ) -> None:
        """Acknowledge what was done with, in the order in which it came; the rest comes with the next connection.

        Raises:
            UnavailableError: The connection is lost; the server delivers them again.
        """
        client = self._connected()
        with self._changed:
            for one in done:
                life, _, mid = one.reply.partition(":")
                if mid and int(life) == self._life and int(mid) in self._order:
                    self._done.add(int(mid))
            for one in undone:  # it comes with the next connection, and holds nothing up until then
                life, _, mid = one.reply.partition(":")
                if mid and int(life) == self._life and int(mid) in self._order:
                    del self._order[int(mid)]
                    self._given_back += 1
            while self._order and (first := next(iter(self._order))) in self._done:
                del self._order[first]
                self._done.discard(first)
                client.ack(first, 1)
                self._has_acknowledged = True

        if self._is_clogged:
            self._came.put(None)

    @property
    def _is_clogged(self) -> bool:
        """Whether what was given back takes half of the window: the server counts it as on its way."""
        return self._given_back * 2 >= self._options.max_unacked

    def interrupt(self, since: float = 0.0) -> None:
        """End a fetch that waits."""
        self._came.put(None)

    def stop_reading(self) -> None:
        """Do nothing: what was not acknowledged comes with the next connection."""

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            if self._has_acknowledged:
                self._wait_until_heard(client)
            client.disconnect()
            client.loop_stop()

    def _wait_until_heard(self, client: paho.Client) -> None:
        """Wait until the server has dealt with all acknowledgements; a closed connection could lose the last."""
        with self._changed:
            self._code = None
        client.unsubscribe(_NOBODY)  # which it answers after them
        with self._changed:
            self._changed.wait_for(lambda: self._code is not None or self._is_lost, self._options.timeout)

    def close(self) -> None:
        """Close the connection and end the thread."""
        self.disconnect()

    def _connected(self) -> paho.Client:
        client = self._client
        if client is None or self._is_lost:
            raise UnavailableError(self._why or "the connection is lost")
        return client

    def _begin_anew(self) -> None:
        with self._changed:
            self._life += 1
            self._code, self._why, self._is_lost = None, "", False
            self._has_acknowledged = False
            self._confirmed.clear()
            self._order.clear()
            self._done.clear()
            self._given_back = 0
            self._came = queue.SimpleQueue()

    def _expect(self, otherwise: str) -> None:
        """Wait for what the server says to a wish."""
        with self._changed:
            self._changed.wait_for(lambda: self._code is not None or self._is_lost, self._options.timeout)
            code = self._code
        if code is None:
            raise UnavailableError(self._why or f"{otherwise} within {self._options.timeout:g} s")
        if code >= _FAILED:
            kind = HeadraceError if code in _LOGIN else UnavailableError
            raise kind(f"does not let us in: {self._why or f'reason code {code:#x}'}")

    # --- in the thread of its own ------------------------------------------------------------------

    def _made(self) -> paho.Client:
        options = self._options
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = options.timeout
        client.max_inflight_messages_set(min(65_535, options.max_unacked))
        if options.user:
            client.username_pw_set(options.user, options.password)
        if options.tls:
            client.tls_set_context(ssl.create_default_context())
        client.on_connect = self._on_answer
        client.on_connect_fail = self._on_fail
        client.on_subscribe = self._on_subscribed
        client.on_unsubscribe = self._on_subscribed
        client.on_disconnect = self._on_lost
        client.on_publish = self._on_published
        client.on_message = self._on_message
        return client

    def _on_answer(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            self._code = int(reason.value)
            self._why = str(reason) if self._code >= _FAILED else ""
            self._changed.notify_all()

    def _on_subscribed(self, client: Any, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        self._on_answer(client, data, None, reasons[0], properties)

    def _on_fail(self, client: Any, data: Any) -> None:
        self._lose("the connection is lost")

    def _on_lost(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if client is self._client or self._client is None:
            self._lose(f"the connection is lost: {reason}")

    def _lose(self, why: str) -> None:
        with self._changed:
            self._is_lost = True
            self._why = self._why or why
            self._changed.notify_all()
        self._came.put(None)

    def _on_published(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._confirmed[mid] = int(reason.value)
            self._changed.notify_all()

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        if message.qos == 0:
            if self._came.qsize() >= self._options.max_unacked:
                self.dropped += 1
                return
            self._came.put(Taken(message.payload, message.topic, ""))
            return
        with self._changed:
            self._order[message.mid] = None
        self._came.put(Taken(message.payload, message.topic, f"{self._life}:{message.mid}"))


__all__ = ["MqttSession", "Options"]
