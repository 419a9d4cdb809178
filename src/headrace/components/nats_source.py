"""``nats_source``: messages from NATS, with or without the memory of JetStream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
import msgspec
from anyio import CancelScope, CapacityLimiter

from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError, HeadraceError, UnavailableError
from headrace.model.message import Rejected
from headrace.model.secret import Secret
from headrace.streams.settlements import Settlements

from .nats_end import NatsEnd, nats_edge
from .payloads import PayloadFormat
from .row_files import Sending
from .rows import Row
from .times import Duration, seconds

if TYPE_CHECKING:
    from headrace.edges.nats import NatsSession, Taken

_BATCH = 256
_WAIT = 30.0  # seconds of a fetch that nothing comes for; a stop ends it at once


class NatsSource(NatsEnd):
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

    out: Out[Row]
    rejected: Out[Rejected[Any]]

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

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self._open: dict[int, Taken] = {}
        self._settlements: list[Settlements] = []
        self._done: list[Taken] = []
        self._undone: list[Taken] = []
        self._told = anyio.Event()
        self._sending = Sending(lambda: self.context.clock())

    def _make_session(self, servers: list[str]) -> NatsSession:
        settings = self.config
        if not settings.subject:
            raise ConfigError("subject is empty", field="subject")
        if settings.max_unacked < 1:
            raise ConfigError("max_unacked must be at least 1", field="max_unacked")
        self._ack_wait = seconds(settings.ack_wait, "ack_wait")
        edge = nats_edge()
        consumer = edge.Consumer(
            settings.subject,
            settings.durable or (self.name.replace(".", "_") if settings.stream else ""),
            deliver=settings.deliver,
            ack_wait=self._ack_wait,
            max_unacked=settings.max_unacked,
        )
        session: NatsSession = edge.NatsSession(
            edge.Options(**self._options(servers, [settings.subject])), consumer
        )
        return session

    async def process(self) -> None:
        """Send messages until the system stops.

        Raises:
            ComponentError: The server does not let us in.
        """
        stop = self.context.stop_event
        if self.config.stream:
            outs: list[Any] = [self.rejected, self.out]
            self._settlements = [Settlements(out.outlet, self._settle) for out in outs]
        async with anyio.create_task_group() as group:
            if self.config.stream:
                group.start_soon(self._acknowledge_on_and_on)
                group.start_soon(self._tell_what_is_at_work)
            async with self._thread.watched(stop.wait):
                while not stop.is_set() and await self._take_some():
                    pass
            group.cancel_scope.cancel()

    async def _take_some(self) -> bool:
        """Send what there is; returns False where the system stops."""
        try:
            await self._connect()
            self._server.found()
            taken = await self._call(self._session.fetch, _BATCH, _WAIT)
        except UnavailableError as error:
            stopping = self.context.stop_event.is_set()
            return not stopping and await self._server.wait_unless_stopping(error)
        rows = [self._payloads.read(one.data, one.subject) for one in taken]
        for row, one in zip(rows, taken, strict=True):
            if self._settlements:
                self._open[id(one)] = one
                self._settlements[type(row) is dict].expect(row, one)
        for are_rows, run in self._sending.runs(rows):
            port: Out[Any] = self.out if are_rows else self.rejected
            await port.send_many(run)
            if self._settlements:
                self._settlements[are_rows].sent(run)
        return True

    # --- acknowledgements --------------------------------------------------------------------------

    def _settle(self, tokens: list[Any], done: bool) -> None:
        for one in tokens:
            self._open.pop(id(one), None)
        (self._done if done else self._undone).extend(tokens)
        self._told.set()

    async def _acknowledge_on_and_on(self) -> None:
        while True:
            await self._told.wait()
            self._told = anyio.Event()
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        done, self._done = self._done, []
        undone, self._undone = self._undone, []
        if done or undone:
            await self._tell(done, undone)

    async def _tell_what_is_at_work(self) -> None:
        while True:
            await anyio.sleep(self._ack_wait / 3)
            if self._open:
                await self._tell((), (), list(self._open.values()))

    async def _tell(self, *what: Sequence[Taken]) -> None:
        """Tell the stream; it delivers again what it did not hear of."""
        try:
            await anyio.to_thread.run_sync(partial(self._session.settle, *what), limiter=CapacityLimiter(1))
        except HeadraceError as error:
            if self.context.logger is not None:
                self.context.logger.debug("not acknowledged", count=len(what[0]), reason=str(error))

    async def cleanup(self) -> None:
        """Acknowledge what was done with, give back what was not, and close the connection and the streams."""
        try:
            with CancelScope(shield=True):
                for settlements in self._settlements:
                    self._undone += settlements.close()
                self._settlements = []
                self._open.clear()
                with suppress(HeadraceError):  # the stream delivers again what it did not hear of
                    await anyio.to_thread.run_sync(self._session.stop_reading, limiter=CapacityLimiter(1))
                await self._acknowledge()
        finally:
            await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add how many messages are at work, and how many were lost because they came too fast."""
        return {**await super().health_check(), "at_work": len(self._open), "dropped": self._session.dropped}


__all__ = ["NatsSource"]
