"""Both ends of request and reply: many requests may wait on one stream, with no background task between them.

One of the waiting requesters reads for all; when it has its own reply, or is cancelled, the next one reads on.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from headrace.exceptions import MessageError, RequestFailedError
from headrace.model.message import Envelope

from .message_protocol import MessageProtocol

__all__ = ["Handler", "ReplyCounts", "ReplyDesk", "ReplyServer", "Waiter", "error_reply", "reply_to_header"]

Handler = Callable[[Any], Any | Awaitable[Any]]

_REPLY_TO = "reply_to"
_ERROR = "error"
_LONGEST_REASON = 1000


def reply_to_header(request_id: str) -> dict[str, str]:
    """Return the headers that make a message the reply to a request."""
    return {_REPLY_TO: request_id}


def error_reply(protocol: MessageProtocol, request_id: str, error: Exception) -> bytes:
    """Return the reply that raises ``RequestFailedError`` at the requester."""
    headers = {_REPLY_TO: request_id, _ERROR: type(error).__name__}
    return protocol.serialize(str(error)[:_LONGEST_REASON], headers=headers)


@dataclass(slots=True)
class ReplyCounts:
    """What came on reply streams and was nobody's reply."""

    late: int = 0
    unexpected: int = 0
    undecodable: int = 0


@dataclass(slots=True)
class Waiter:
    """One request under way."""

    woken: anyio.Event = field(default_factory=anyio.Event)
    outcome: Envelope | MessageError | None = None

    def result(self) -> Any:
        """Return the reply's message, or raise what came in its place."""
        if isinstance(self.outcome, MessageError):
            raise self.outcome
        assert self.outcome is not None
        failed = self.outcome.headers.get(_ERROR)
        if failed is not None:
            raise RequestFailedError(failed, str(self.outcome.message))
        return self.outcome.message


class ReplyDesk:
    """The requests that wait for replies from one stream.

    Args:
        protocol: reads the replies.
        source: where they come from.
        counts: where what is nobody's reply is counted.
    """

    def __init__(
        self, protocol: MessageProtocol, source: ObjectReceiveStream[bytes], counts: ReplyCounts
    ) -> None:
        self._protocol = protocol
        self._source = source
        self._counts = counts
        self._waiting: dict[str, Waiter] = {}
        self._reading = False

    @property
    def pending(self) -> int:
        """How many requests are under way."""
        return len(self._waiting)

    @contextmanager
    def expecting(self, request_id: str) -> Iterator[Waiter]:
        """Accept the reply to ``request_id`` inside the block; one that comes after it is late."""
        waiter = self._waiting[request_id] = Waiter()
        try:
            yield waiter
        finally:
            del self._waiting[request_id]
            self._pass_on_reading()

    async def wait(self, waiter: Waiter) -> None:
        """Wait until the waiter has its outcome, reading for all while nobody else does.

        Raises:
            anyio.EndOfStream: if the stream ended first; as do the stream's other errors, for each who waits.
        """
        while waiter.outcome is None:
            if self._reading:
                await waiter.woken.wait()
                waiter.woken = anyio.Event()
            else:
                await self._read_until(waiter)

    async def _read_until(self, waiter: Waiter) -> None:
        self._reading = True
        try:
            while waiter.outcome is None:
                self._take(await self._source.receive())
        finally:
            self._reading = False

    def _pass_on_reading(self) -> None:
        if self._reading:
            return
        for waiter in self._waiting.values():
            if waiter.outcome is None:
                waiter.woken.set()
                return

    def _take(self, data: bytes) -> None:
        try:
            envelope = self._protocol.decode(data)
        except MessageError as error:
            self._refuse(data, error)
        else:
            self._hand_out(envelope.headers.get(_REPLY_TO), envelope)

    def _refuse(self, data: bytes, error: MessageError) -> None:
        try:
            _, headers = self._protocol.decode_headers(data)
        except MessageError:
            self._counts.undecodable += 1
        else:
            self._hand_out(headers.get(_REPLY_TO), error)

    def _hand_out(self, request_id: str | None, outcome: Envelope | MessageError) -> None:
        if request_id is None:
            self._counts.unexpected += 1
            return
        waiter = self._waiting.get(request_id)
        if waiter is None or waiter.outcome is not None:
            self._counts.late += 1
            return
        waiter.outcome = outcome
        waiter.woken.set()


class ReplyServer:
    """Answers requests with what a handler returns, or with what it raises.

    Args:
        protocol: reads the requests and makes the replies.
        handler: takes the message, returns the reply or an awaitable of it.
        counts: where requests without a readable envelope are counted.
    """

    def __init__(self, protocol: MessageProtocol, handler: Handler, counts: ReplyCounts) -> None:
        self._protocol = protocol
        self._handler = handler
        self._counts = counts

    async def run(
        self, source: ObjectReceiveStream[bytes], sink: ObjectSendStream[bytes], workers: int
    ) -> None:
        """Serve until ``source`` ends.

        Args:
            source: where the requests come from.
            sink: where the replies go to.
            workers: how many requests are handled at once.

        Raises:
            ValueError: if ``workers`` is less than 1.
            anyio.BrokenResourceError: and the streams' other errors, the first of them, as it is.
        """
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        turn = anyio.Lock()
        failures: list[Exception] = []

        async def work() -> None:
            try:
                await self._serve(source, sink, turn)
            except anyio.EndOfStream:
                return
            except Exception as error:  # it leaves the task group as itself, not as a group of one
                failures.append(error)
                task_group.cancel_scope.cancel()

        async with anyio.create_task_group() as task_group:
            for _ in range(workers):
                task_group.start_soon(work)
        if failures:
            raise failures[0]

    async def _serve(
        self, source: ObjectReceiveStream[bytes], sink: ObjectSendStream[bytes], turn: anyio.Lock
    ) -> None:
        while True:
            async with turn:
                data = await source.receive()
            answer = await self._answer(data)
            if answer is not None:
                await sink.send(answer)

    async def _answer(self, data: bytes) -> bytes | None:
        """Return the reply to the request in ``data``, or None where not even its id is readable."""
        try:
            request_id, _ = self._protocol.decode_headers(data)
        except MessageError:
            self._counts.undecodable += 1
            return None
        try:
            result = self._handler(self._protocol.deserialize(data))
            if inspect.isawaitable(result):
                result = await result
            return self._protocol.serialize(result, headers=reply_to_header(request_id))
        except Exception as error:  # the request's own failure: the requester is told, the next one is served
            return error_reply(self._protocol, request_id, error)
