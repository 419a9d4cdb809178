"""NATS and JetStream, by nats-py (``pip install 'headrace[nats]'``), which knows asyncio alone: so in a thread.

Everything here blocks, so a thread calls it; several may at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import nats.errors
import nats.js.errors
from anyio.from_thread import BlockingPortal, start_blocking_portal
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from headrace.exceptions import HeadraceError, UnavailableError
from headrace.model.carried import Given, Taken

T = TypeVar("T")

_LOGIN = (nats.errors.AuthorizationError, nats.errors.InvalidUserCredentialsError)
_NOT_THIS = (nats.errors.MaxPayloadError, nats.errors.BadSubjectError)
_NO_STREAM = (
    nats.js.errors.NoStreamResponseError,
    nats.errors.NoRespondersError,
    nats.js.errors.NotFoundError,
)
_AWAY = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)
_LOOK = 0.25  # seconds from one look at a connection to the next
_REST = 0.01  # seconds for the messages that come after the first


@dataclass(frozen=True, slots=True)
class Options:
    """How to reach a server.

    Attributes:
        servers: Their addresses.
        user: A name, where it asks for one.
        password: Its password.
        token: Or a token.
        credentials: Or a file of credentials.
        timeout: Seconds for what it is asked.
        stream: The JetStream stream; empty for NATS without memory.
        subjects: The subjects of the stream, where it is to be made.
    """

    servers: Sequence[str]
    user: str = ""
    password: str = ""
    token: str = ""
    credentials: str = ""
    timeout: float = 5.0
    stream: str = ""
    subjects: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Consumer:
    """What is read.

    Attributes:
        subject: Its subject, with ``*`` and ``>``.
        durable: The name by which a stream remembers how far we are; or of the group that shares messages.
        deliver: Whether a new one begins with ``all`` there is or what is ``new``.
        ack_wait: Seconds until what was not acknowledged is delivered again.
        max_unacked: How many messages may be unacknowledged.
    """

    subject: str
    durable: str
    deliver: Literal["all", "new"] = "all"
    ack_wait: float = 30.0
    max_unacked: int = 1000


class NatsSession:
    """A connection that is opened, lost, and opened again.

    Args:
        options: How to reach the server.
        consumer: What is read, if anything is.
    """

    def __init__(self, options: Options, consumer: Consumer | None = None) -> None:
        self._options = options
        self._consumer = consumer
        self._running: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None
        self._client: Client | None = None
        self._closed: asyncio.Event | None = None
        self._read: Callable[[int, float], Awaitable[list[Any]]] | None = None
        self._waiting: asyncio.Future[Any] | None = None
        self._pulled: Any = None
        self._why = ""
        self.dropped = 0
        """How many messages without memory came faster than they were read."""

    # --- called from threads -----------------------------------------------------------------------

    def open(self) -> None:
        """Connect, if it is not.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: It does not let us in.
        """
        if self._portal is None:
            self._running = start_blocking_portal("asyncio", name="headrace nats")
            self._portal = self._running.__enter__()
        self._call(self._open)

    def publish(self, messages: list[Given]) -> list[tuple[Given, str]]:
        """Publish messages, and take those out of the list that the server has; returns what it never will.

        Raises:
            UnavailableError: It is away; the list has what it did not confirm.
        """
        return self._call(self._publish, messages)

    def fetch(self, count: int, wait: float) -> list[Taken]:
        """Return the messages that there are, none after ``wait`` seconds without one; ``interrupt`` ends that.

        Raises:
            UnavailableError: The server is away.
        """
        return self._call(self._fetch, count, wait)

    def settle(
        self, done: Sequence[Taken], undone: Sequence[Taken] = (), working: Sequence[Taken] = ()
    ) -> None:
        """Tell the stream what was done with, what is to be delivered again, and what is still at work.

        Raises:
            UnavailableError: It is away; it delivers them again.
        """
        self._call(self._settle, done, undone, working)

    def interrupt(self, since: float = 0.0) -> None:
        """End a fetch that waits for a first message; one that has some returns them."""
        portal = self._portal
        if portal is not None:
            portal.start_task_soon(self._cut_short)

    def stop_reading(self) -> None:
        """Ask the stream for nothing more, and give back what came meanwhile.

        Raises:
            UnavailableError: The server is away.
        """
        if self._pulled is not None:
            self._call(self._stop_reading)

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._portal is not None:
            self._call(self._disconnect)

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self._running is None:
            return
        with contextlib.suppress(HeadraceError):
            self.disconnect()
        running, self._running, self._portal = self._running, None, None
        running.__exit__(None, None, None)

    def _call(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        assert self._portal is not None
        try:
            return self._portal.call(fn, *args)
        except HeadraceError:
            raise
        except _LOGIN as error:
            raise HeadraceError(f"does not let us in: {error}") from error
        except _NO_STREAM as error:
            raise UnavailableError(f"has no such stream: {error}; make it, or set `create_stream`") from error
        except _AWAY as error:
            if "authorization" in f"{error} {self._why}".lower():
                raise HeadraceError(f"does not let us in: {_said(error)}") from error
            raise UnavailableError(self._why or str(error) or type(error).__name__) from error

    # --- in the loop of its own --------------------------------------------------------------------

    async def _open(self) -> None:
        if self._client is not None and self._client.is_connected:
            return
        options = self._options
        self._why = ""
        closed = self._closed = asyncio.Event()

        async def note(error: Exception) -> None:
            if isinstance(error, nats.errors.SlowConsumerError):
                self.dropped += 1
            else:
                self._why = str(error) or type(error).__name__

        async def end() -> None:
            closed.set()

        login: dict[str, Any] = {"user": options.user, "password": options.password, "token": options.token}
        client = Client()
        try:
            async with asyncio.timeout(options.timeout):
                await client.connect(
                    servers=list(options.servers),
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # of each server, before it gives up
                    reconnect_time_wait=0,
                    connect_timeout=max(1, round(options.timeout)),
                    error_cb=note,
                    closed_cb=end,
                    disconnected_cb=end,
                    user_credentials=options.credentials or None,
                    **{key: value for key, value in login.items() if value},
                )
        except BaseException:
            with contextlib.suppress(*_AWAY):
                await client.close()
            raise
        self._client = client
        if options.stream and options.subjects:
            await self._make_stream()
        if self._consumer is not None:
            self._read = await self._subscribed(self._consumer)

    async def _make_stream(self) -> None:
        assert self._client is not None
        stream = self._client.jetstream(timeout=self._options.timeout)
        try:
            await stream.stream_info(self._options.stream)
        except nats.js.errors.NotFoundError:
            await stream.add_stream(name=self._options.stream, subjects=list(self._options.subjects))

    async def _subscribed(self, consumer: Consumer) -> Callable[[int, float], Awaitable[list[Any]]]:
        assert self._client is not None
        if not self._options.stream:
            one = await self._client.subscribe(
                consumer.subject, queue=consumer.durable, pending_msgs_limit=consumer.max_unacked
            )

            async def take(count: int, wait: float) -> list[Any]:
                found = [await self._first(one.next_msg(wait))]
                while len(found) < count and one.pending_msgs:
                    found.append(await one.next_msg(wait))
                return found

            return take
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=consumer.ack_wait,
            max_ack_pending=consumer.max_unacked,
            deliver_policy=DeliverPolicy.ALL if consumer.deliver == "all" else DeliverPolicy.NEW,
        )
        stream = self._client.jetstream(timeout=self._options.timeout)
        pulled = await stream.pull_subscribe(
            consumer.subject, durable=consumer.durable, stream=self._options.stream, config=config
        )

        self._pulled = pulled

        async def pull(count: int, wait: float) -> list[Any]:
            found: list[Any] = await self._first(pulled.fetch(1, wait))
            if count > 1:  # fetch waits for the last of them as long as it may
                with contextlib.suppress(TimeoutError):  # its own one, or plainly that
                    found += await pulled.fetch(count - 1, _REST)
            return found

        return pull

    async def _first(self, coming: Awaitable[T]) -> T:
        """Wait for what an interruption may cut short."""
        waiting = self._waiting = asyncio.ensure_future(coming)
        waiting.add_done_callback(lambda one: one.cancelled() or one.exception())  # whoever waits for it then
        try:
            await asyncio.wait({waiting})
            if waiting.cancelled():
                raise UnavailableError("was interrupted")
            found: T = waiting.result()
            return found
        finally:
            self._waiting = None
            waiting.cancel()

    async def _cut_short(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    async def _gone(self) -> None:
        """Return once the connection is closed; nats-py does not call us back where its last write fails."""
        client, closed = self._client, self._closed
        while client is not None and closed is not None and not client.is_closed and not closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await closed.wait()

    async def _while_connected(self, waiting: Awaitable[T]) -> T:
        """Wait for something, but no longer than the connection is there."""
        task = asyncio.ensure_future(waiting)
        closed = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({task, closed}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await task
            raise UnavailableError(self._why or "the connection is lost")
        finally:
            for one in (task, closed):
                one.cancel()
            await asyncio.gather(task, closed, return_exceptions=True)

    async def _publish(self, messages: list[Given]) -> list[tuple[Given, str]]:
        assert self._client is not None
        if self._client.is_closed:
            raise UnavailableError(self._why or "the connection is lost")
        send = self._send_to_stream if self._options.stream else self._send
        found = await self._while_connected(asyncio.gather(*map(send, messages), return_exceptions=True))
        rejected = [
            (one, _said(error))
            for one, error in zip(messages, found, strict=True)
            if isinstance(error, _NOT_THIS)
        ]
        errors = [
            error for error in found if isinstance(error, BaseException) and not isinstance(error, _NOT_THIS)
        ]
        if not self._options.stream and not errors:
            await self._while_connected(self._client.flush(max(1, round(self._options.timeout))))
        messages[:] = [
            one
            for one, error in zip(messages, found, strict=True)
            if isinstance(error, BaseException) and not isinstance(error, _NOT_THIS)
        ]
        if errors and not rejected:
            raise errors[0]
        return rejected

    async def _send(self, one: Given) -> None:
        assert self._client is not None
        await self._client.publish(one.subject, one.data)

    async def _send_to_stream(self, one: Given) -> None:
        assert self._client is not None
        headers: Mapping[str, str] | None = {"Nats-Msg-Id": one.key} if one.key else None
        stream = self._client.jetstream(timeout=self._options.timeout)
        await stream.publish(one.subject, one.data, headers=dict(headers) if headers else None)

    async def _fetch(self, count: int, wait: float) -> list[Taken]:
        assert self._client is not None
        if self._client.is_closed or self._read is None:
            raise UnavailableError(self._why or "the connection is lost")
        try:
            found = await self._while_connected(self._read(count, wait))
        except TimeoutError:
            return []
        return [Taken(one.data, one.subject, one.reply if self._options.stream else "") for one in found]

    async def _stop_reading(self) -> None:
        pulled, self._pulled, self._read = self._pulled, None, None
        loose: list[Any] = []
        if pulled is not None and self._client is not None and not self._client.is_closed:
            # unsubscribe() forgets us before the server does: what comes in between would be lost for ack_wait
            await self._client._send_unsubscribe(pulled._sub._id)
            await self._while_connected(self._client.flush(max(1, round(self._options.timeout))))
            waiting = pulled._sub._pending_queue  # nothing public says what has come
            while not waiting.empty():
                loose.append(waiting.get_nowait())
            taken = [
                Taken(one.data, one.subject, one.reply) for one in loose if one.reply.startswith("$JS.ACK.")
            ]
            await pulled.unsubscribe()
            await self._settle((), taken, ())

    async def _settle(self, done: Sequence[Taken], undone: Sequence[Taken], working: Sequence[Taken]) -> None:
        client = self._client
        if client is None or client.is_closed:
            raise UnavailableError("the connection is lost")
        for said, some in ((b"+ACK", done), (b"-NAK", undone), (b"+WPI", working)):
            for one in some:
                if one.reply:
                    await client.publish(one.reply, said)
        await self._while_connected(client.flush(max(1, round(self._options.timeout))))

    async def _disconnect(self) -> None:
        client, self._client, self._read = self._client, None, None
        self._pulled = None
        if client is not None:
            with contextlib.suppress(*_AWAY):
                await client.close()


def _said(error: BaseException) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__


__all__ = ["Consumer", "NatsSession", "Options"]
