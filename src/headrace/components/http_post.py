"""``http_post``: messages to an HTTP server, acknowledged once it has taken them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import anyio
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError, MissingExtraError, UnavailableError
from headrace.model.message import Rejected
from headrace.model.secret import Secret
from headrace.runtime.tracing import traceparent

from .connection import Connection
from .times import Duration, seconds

if TYPE_CHECKING:
    from headrace.edges.http_client import Answer, HttpClient

_CLOSING = 5.0  # seconds
_MOST_IN_HAND = 10_000
_OF_CONTENT = frozenset({400, 409, 413, 422})  # answers that one message of many may be to blame for


class _Parcel(NamedTuple):
    """What one request carries: messages as they came and as they are written, a key, and a trace."""

    messages: Sequence[Any]
    parts: Sequence[bytes]
    key: str
    trace: str


def _lines(parts: Sequence[bytes]) -> bytes:
    return b"".join(part + b"\n" for part in parts)


def _json_list(parts: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _msgpack_list(parts: Sequence[bytes]) -> bytes:
    return msgspec.msgpack.encode([msgspec.Raw(part) for part in parts])


_FORMATS: dict[str, tuple[str, Callable[[Any], bytes], Callable[[Sequence[bytes]], bytes]]] = {
    "json": ("application/json", msgspec.json.encode, _json_list),
    "lines": ("application/x-ndjson", msgspec.json.encode, _lines),
    "msgpack": ("application/msgpack", msgspec.msgpack.encode, _msgpack_list),
}


class HttpPost(HarnessComponent):
    """Sends messages to an HTTP server, one a request or in batches, and acknowledges them after a 2xx answer.

    While the server does not answer, or answers 408, 429, 502, 503 or the like, the component is not ready and
    tries again, after the time that ``Retry-After`` says or growing pauses: nothing is lost. What it answers 3xx
    or 4xx, or 500 again and again, goes to ``rejected``. Where a connection breaks after the request nobody can
    tell whether it was taken: it is sent again, with the same ``Idempotency-Key``.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package httpx is missing.

    Attributes:
        sent: How many messages the server has taken.
        refused: How many it has not, and never will.
    """

    in_: In[Any]
    rejected: Out[Rejected[Any]]
    ack = "manual"
    max_unacked = _MOST_IN_HAND
    accumulates = False

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an HTTP sink.

        Attributes:
            url: Where messages are sent.
            method: ``POST``, ``PUT`` or ``PATCH``.
            format: ``json``, ``msgpack``, or ``lines`` of JSON; a batch is a list, or its lines.
            batch: How many messages a request has at most; each has its own, and no list, where not given.
            within: How long a message waits for its batch at most.
            concurrency: How many requests there may be at once; with more than one, messages overtake others.
            headers: More headers.
            token: Sent along as ``Authorization: Bearer TOKEN``.
            idempotency_header: The header with a key that is the same each time a request is made; empty for none.
            timeout: How long a request may take, from the connection to the end of the answer.
            max_attempts: How often a request is made at most that is answered 500.
        """

        url: str
        method: Literal["POST", "PUT", "PATCH"] = "POST"
        format: Literal["json", "lines", "msgpack"] = "json"
        batch: int | None = None
        within: Duration = 0.5
        concurrency: int = 1
        headers: dict[str, str] = {}
        token: Secret = Secret("")
        idempotency_header: str = "Idempotency-Key"
        timeout: Duration = 10.0
        max_attempts: int = 5

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        for field in ("batch", "concurrency", "max_attempts"):
            number = getattr(settings, field)
            if number is not None and number < 1:
                raise ConfigError(f"{field} must be at least 1, not {number}", field=field)
        if ((settings.batch or 1) + 1) * settings.concurrency > _MOST_IN_HAND:
            raise ConfigError(f"batch times concurrency must be below {_MOST_IN_HAND}", field="batch")
        self._within = seconds(settings.within, "within", or_zero=True)
        kind, self._encode, self._join = _FORMATS[settings.format]
        self._client = self._make_client(kind)
        self._server = Connection(self._client.what)
        self._begin()

    def _make_client(self, kind: str) -> HttpClient:
        try:
            from headrace.edges.http_client import HttpClient
        except ImportError:
            raise MissingExtraError("http_post", "http") from None
        settings = self.config
        token = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        return HttpClient(
            settings.url,
            headers={"Content-Type": kind, **token, **settings.headers},
            timeout=seconds(settings.timeout, "timeout"),
            connections=settings.concurrency,
            cut=True,
        )

    def _begin(self) -> None:
        self.sent = 0
        self.refused = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready; the server is first asked when there is something to send."""
        self._begin()
        await super().setup(harness_context)
        self._server.begin(self.context)
        await self._client.__aenter__()

    async def process(self) -> None:
        """Send all messages."""
        room = anyio.Semaphore(self.config.concurrency)
        async with anyio.create_task_group() as group, aclosing(self._parcels()) as parcels:
            await room.acquire()
            async for parcel in parcels:
                group.start_soon(self._deliver, parcel, room)
                await room.acquire()  # so that no more is received than is sent

    async def _parcels(self) -> AsyncGenerator[_Parcel, None]:
        """Yield what is to be sent. What cannot be written is turned away."""
        if self.config.batch is not None:
            async for messages in self.in_.batch(self.config.batch, within=self._within):
                yield await self._packed(messages, self.context.new_id(), "")
            return
        while True:
            try:
                message, meta = await self.in_.receive_with_meta()
            except anyio.EndOfStream:
                return
            yield await self._packed([message], meta.id, meta.trace)

    async def _packed(self, messages: Sequence[Any], key: str, trace: str) -> _Parcel:
        good: list[Any] = []
        parts: list[bytes] = []
        for message in messages:
            try:
                parts.append(self._encode(message))
            except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
                await self._reject([message], f"cannot be written as {self.config.format}: {error}")
            else:
                good.append(message)
        return _Parcel(good, parts, key, traceparent() or trace)

    async def _deliver(self, parcel: _Parcel, room: anyio.Semaphore) -> None:
        try:
            if parcel.messages:
                await self._send(parcel)
        finally:
            room.release()

    async def _send(self, parcel: _Parcel) -> None:
        """Send messages, and acknowledge them; of those that are not taken, find the ones to blame."""
        answer = await self._answer_to(parcel)
        messages = parcel.messages
        if answer.is_success:
            self.sent += len(messages)
            for message in messages:
                self.in_.ack(message)
        elif len(messages) > 1 and answer.status in _OF_CONTENT:
            half = len(messages) // 2
            for part in (slice(half), slice(half, None)):
                key = self.context.new_id()  # another content is another request
                await self._send(_Parcel(messages[part], parcel.parts[part], key, parcel.trace))
        else:
            await self._reject(messages, f"{self._client.what} {answer.told()}")

    async def _reject(self, messages: Sequence[Any], reason: str) -> None:
        for message in messages:
            await self.rejected.send(Rejected(message, reason))
            self.refused += 1
            self.in_.ack(message)

    async def _answer_to(self, parcel: _Parcel) -> Answer:
        """Make a request until it has an answer that will not change."""
        content = parcel.parts[0] if self.config.batch is None else self._join(parcel.parts)
        if self.config.format == "lines":
            content = _lines(parcel.parts)
        headers = {self.config.idempotency_header: parcel.key} if self.config.idempotency_header else {}
        if parcel.trace:
            headers["traceparent"] = parcel.trace
        failures = 0
        while True:
            try:
                answer = await self._client.request(self.config.method, content=content, headers=headers)
            except UnavailableError as error:
                await self._server.wait(str(error))
                continue
            failures += answer.status == 500
            if not answer.is_passing or failures >= self.config.max_attempts:
                self._server.found()
                return answer
            await self._server.wait(answer.told(), at_least=answer.retry_after())

    async def cleanup(self) -> None:
        """Close the connections and the streams."""
        with anyio.move_on_after(_CLOSING, shield=True):
            await self._client.__aexit__(None, None, None)
        await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add how many messages were sent and refused, and whether the server is there."""
        counts = {"sent": self.sent, "refused": self.refused}
        return {**await super().health_check(), **counts, **self._server.health()}


__all__ = ["HttpPost"]
