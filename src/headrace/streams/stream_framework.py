"""Sends messages as bytes over any AnyIO object stream: to one, to many, to a named group, or asking for a reply.

One receiver's trouble stays its own: a broadcast returns a report instead of raising.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream, ObjectStream

from headrace.exceptions import (
    GroupConflictError,
    RequestTimeoutError,
    UnknownGroupError,
)
from headrace.model.endpoint import did_you_mean
from headrace.model.message import Envelope

from .message_protocol import MessageProtocol
from .message_replies import Handler, ReplyCounts, ReplyDesk, ReplyServer, error_reply, reply_to_header

__all__ = ["BroadcastReport", "StreamFramework", "StreamFrameworkStatistics"]

Sink = ObjectSendStream[bytes]
Source = ObjectReceiveStream[bytes]


@dataclass(frozen=True, slots=True)
class BroadcastReport:
    """What became of a message that was sent to many.

    Args:
        delivered: the receivers whose stream took it, by name, or by position where they have no names.
        failed: the others, each with the reason in words.
        errors: the others, each with the exception itself.
    """

    delivered: tuple[Hashable, ...]
    failed: Mapping[Hashable, str]
    errors: Mapping[Hashable, Exception] = field(default_factory=dict, repr=False, compare=False)

    @property
    def complete(self) -> bool:
        """Whether every receiver got it."""
        return not self.failed


@dataclass(frozen=True, slots=True)
class StreamFrameworkStatistics:
    """What one framework has done so far.

    Args:
        sent: messages that a stream took, each receiver of a broadcast counted; replies of ``serve`` are not.
        received: messages that were received and read.
        failed_deliveries: receivers that a broadcast or multicast did not reach.
        pending_requests: requests that wait for their reply now.
        late_replies: replies whose request was no longer, or never, waiting.
        unexpected_messages: messages on a reply stream that were no replies, dropped.
        undecodable_messages: messages to ``serve`` or on a reply stream without a readable envelope.
    """

    sent: int
    received: int
    failed_deliveries: int
    pending_requests: int
    late_replies: int
    unexpected_messages: int
    undecodable_messages: int


class StreamFramework:
    """Messages over AnyIO object streams of bytes.

    Args:
        protocol: makes the bytes and reads them; a new ``MessageProtocol`` unless given.
        broadcast_timeout: seconds that a receiver of a broadcast or multicast has unless the call says otherwise;
            None waits for the slowest.
        request_timeout: seconds that a reply has unless the call says otherwise.
    """

    def __init__(
        self,
        protocol: MessageProtocol | None = None,
        *,
        broadcast_timeout: float | None = None,
        request_timeout: float | None = 5.0,
    ) -> None:
        self.message_protocol = MessageProtocol() if protocol is None else protocol
        self._broadcast_timeout = broadcast_timeout
        self._request_timeout = request_timeout
        self._groups: dict[str, dict[Hashable, Sink]] = {}
        self._desks: dict[int, ReplyDesk] = {}
        self._counts = ReplyCounts()
        self._sent = self._received = self._failed = 0

    def statistics(self) -> StreamFrameworkStatistics:
        """Return the counts as they are now."""
        return StreamFrameworkStatistics(
            sent=self._sent,
            received=self._received,
            failed_deliveries=self._failed,
            pending_requests=sum(desk.pending for desk in self._desks.values()),
            late_replies=self._counts.late,
            unexpected_messages=self._counts.unexpected,
            undecodable_messages=self._counts.undecodable,
        )

    # --- one to one

    async def send_message(
        self, stream: Sink, message: Any, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send one message.

        Args:
            stream: where to.
            message: anything the protocol serialises.
            headers: text to travel beside it.

        Raises:
            SerializationError: if it cannot travel; nothing was sent.
            MessageTooLargeError: if it is too large; nothing was sent.
            anyio.ClosedResourceError: and the stream's other errors, as they are.
        """
        await self._send(stream, self.message_protocol.serialize(message, headers=headers))

    async def receive_message(self, stream: Source) -> Any:
        """Return the next message.

        Raises:
            DeserializationError: if what came is not one; the next call goes on after it.
            MessageTooLargeError: if it is too large; the next call goes on after it.
            anyio.EndOfStream: and the stream's other errors, as they are.
        """
        return (await self.receive_envelope(stream)).message

    async def receive_envelope(self, stream: Source) -> Envelope:
        """Return the next message with its metadata, as ``reply`` wants it.

        Raises:
            DeserializationError: as ``receive_message``, and so are the others.
        """
        envelope = self.message_protocol.decode(await stream.receive())
        self._received += 1
        return envelope

    # --- one to many

    async def broadcast_message(
        self,
        streams: Mapping[Any, Sink] | Iterable[Sink],
        message: Any,
        *,
        timeout: float | None = None,
    ) -> BroadcastReport:
        """Send one message to all of the streams at once.

        Args:
            streams: where to, named by the keys of a mapping or else by position.
            message: anything the protocol serialises.
            timeout: seconds each receiver has; the framework's ``broadcast_timeout`` unless given.

        Returns:
            Who took it and who did not, and why. A closed, failed or slow receiver does not touch the others.

        Raises:
            SerializationError: if it cannot travel; nothing was sent.
            MessageTooLargeError: if it is too large; nothing was sent.
        """
        data = self.message_protocol.serialize(message)
        named = dict(streams if isinstance(streams, Mapping) else enumerate(streams))
        limit = self._broadcast_timeout if timeout is None else timeout
        errors: dict[Hashable, Exception] = {}

        async def deliver(name: Hashable, stream: Sink) -> None:
            try:
                with anyio.move_on_after(limit) as scope:
                    await self._send(stream, data)
                if scope.cancelled_caught:
                    errors[name] = TimeoutError(f"not taken within {limit} s")
            except (
                Exception
            ) as error:  # whatever this stream's trouble is, it is reported, and the others go on
                errors[name] = error

        async with anyio.create_task_group() as task_group:
            for name, stream in named.items():
                task_group.start_soon(deliver, name, stream)
        self._failed += len(errors)
        failed = {name: _in_words(errors[name]) for name in named if name in errors}
        return BroadcastReport(tuple(name for name in named if name not in errors), failed, errors)

    async def multicast_message(
        self, group: str, message: Any, *, timeout: float | None = None
    ) -> BroadcastReport:
        """Send one message to all who are in the group when the call begins.

        Args:
            group: the group's name.
            message: anything the protocol serialises.
            timeout: as for ``broadcast_message``.

        Returns:
            As ``broadcast_message``, by the members' names.

        Raises:
            UnknownGroupError: if there is no such group.
            SerializationError: if it cannot travel; nothing was sent.
            MessageTooLargeError: if it is too large; nothing was sent.
        """
        return await self.broadcast_message(dict(self._members(group)), message, timeout=timeout)

    # --- groups

    @property
    def groups(self) -> Mapping[str, tuple[Hashable, ...]]:
        """The groups and the names of their members, as they are now."""
        return {group: tuple(members) for group, members in self._groups.items()}

    def create_group(self, group: str, streams: Mapping[Any, Sink] | Iterable[Sink] = ()) -> None:
        """Make a group.

        Args:
            group: its name.
            streams: its first members, named by the keys of a mapping or else by position.

        Raises:
            GroupConflictError: if there is such a group.
        """
        if group in self._groups:
            raise GroupConflictError(f"there is a group {group!r} already; delete it first, or add to it")
        self._groups[group] = dict(streams if isinstance(streams, Mapping) else enumerate(streams))

    def add_to_group(self, group: str, stream: Sink, *, name: Hashable | None = None) -> Hashable:
        """Add a member to a group.

        Args:
            group: the group's name.
            stream: the member.
            name: what to call it in reports; the first free number unless given.

        Returns:
            The member's name.

        Raises:
            UnknownGroupError: if there is no such group.
            GroupConflictError: if another member has that name.
        """
        members = self._members(group)
        if name is None:
            name = next(number for number in range(len(members) + 1) if number not in members)
        if members.setdefault(name, stream) is not stream:
            raise GroupConflictError(f"group {group!r} has another member called {name!r}")
        return name

    def remove_from_group(self, group: str, member: Hashable | Sink) -> None:
        """Take a member out of a group; a multicast that has begun still reaches it.

        Args:
            group: the group's name.
            member: the member's name, or its stream.

        Raises:
            UnknownGroupError: if there is no such group, or no such member in it.
        """
        members = self._members(group)
        for name, stream in members.items():
            if stream is member or name == member:
                del members[name]
                return
        raise UnknownGroupError(f"group {group!r} has no member {member!r}; it has {list(members)}")

    def delete_group(self, group: str) -> None:
        """Delete a group; its streams stay open.

        Raises:
            UnknownGroupError: if there is no such group.
        """
        self._members(group)
        del self._groups[group]

    # --- request and reply

    async def request(
        self,
        stream: Sink | ObjectStream[bytes],
        message: Any,
        *,
        reply_stream: Source | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Send a message and return the reply to it. Any number of requests may share a pair of streams.

        While requests wait, the framework reads the reply stream; nobody else should.

        Args:
            stream: where to.
            message: anything the protocol serialises.
            reply_stream: where the reply comes from; ``stream`` itself if it goes both ways.
            timeout: seconds, the sending included; the framework's ``request_timeout`` unless given.

        Raises:
            RequestTimeoutError: if no reply came in time. One that comes later is dropped and counted.
            RequestFailedError: if the other side's handler raised, or could not read the request.
            DeserializationError: if the reply came and could not be read.
            anyio.EndOfStream: if the reply stream ended first; the streams' other errors as they are.
        """
        source: Any = stream if reply_stream is None else reply_stream
        limit = self._request_timeout if timeout is None else timeout
        request_id = self.message_protocol.new_id()
        data = self.message_protocol.serialize(message, id=request_id)
        desk = self._desks.setdefault(id(source), ReplyDesk(self.message_protocol, source, self._counts))
        try:
            with desk.expecting(request_id) as waiter, anyio.move_on_after(limit):
                await self._send(stream, data)
                await desk.wait(waiter)
        finally:
            if not desk.pending:
                self._desks.pop(id(source), None)
        if waiter.outcome is None:
            raise RequestTimeoutError(f"no reply to request {request_id} within {limit} s")
        return waiter.result()

    async def reply(self, stream: Sink, request: Envelope, message: Any) -> None:
        """Answer a request that ``receive_envelope`` returned.

        Args:
            stream: where the requester awaits the reply.
            request: the request with its metadata.
            message: the answer.

        Raises:
            SerializationError: if it cannot travel, and the rest as ``send_message``.
        """
        await self.send_message(stream, message, headers=reply_to_header(request.id))

    async def reply_error(self, stream: Sink, request: Envelope, error: Exception) -> None:
        """Answer a request with an error; the requester gets a ``RequestFailedError`` with its type and text.

        Args:
            stream: where the requester awaits the reply.
            request: the request with its metadata.
            error: what went wrong.
        """
        await self._send(stream, error_reply(self.message_protocol, request.id, error))

    async def serve(
        self,
        stream: Source | ObjectStream[bytes],
        handler: Handler,
        *,
        reply_stream: Sink | None = None,
        workers: int = 1,
    ) -> None:
        """Answer requests with what ``handler`` returns, until the stream ends.

        What the handler raises goes to the requester, and serving goes on.

        Args:
            stream: where the requests come from.
            handler: takes the message, returns the reply; a function or a coroutine function.
            reply_stream: where the replies go to; ``stream`` itself if it goes both ways.
            workers: how many requests are handled at once.

        Raises:
            ValueError: if ``workers`` is less than 1.
            anyio.BrokenResourceError: if nobody reads the replies; the streams' other errors as they are.
        """
        sink: Any = stream if reply_stream is None else reply_stream
        server = ReplyServer(self.message_protocol, handler, self._counts)
        await server.run(stream, sink, workers)

    async def _send(self, stream: Sink, data: bytes) -> None:
        await stream.send(data)
        self._sent += 1

    def _members(self, group: str) -> dict[Hashable, Sink]:
        try:
            return self._groups[group]
        except KeyError:
            hint = did_you_mean(group, self._groups)
            raise UnknownGroupError(
                f"there is no group {group!r}; {hint or 'create_group() makes one'}"
            ) from None


def _in_words(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
