"""A gateway: a request goes through the graph as a row, and its answer comes back to who has asked.

``gateway_requests`` is where requests come out of, ``gateway_replies`` where the answers go; what joins them is the
resource ``gateway``. So the graph has no cycle, and a drain answers what is at work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.authoring.resource import Resource
from headrace.exceptions import (
    ConfigError,
    MessageError,
    RequestFailedError,
    RequestRefusedError,
    RequestTimeoutError,
)
from headrace.model.message import Rejected
from headrace.runtime.tracing import traced, traceparent

from .rows import Row
from .times import Duration, seconds


@dataclass(slots=True)
class _Asked:
    """A request at work."""

    row: Row
    traceparent: str = ""
    done: anyio.Event = field(default_factory=anyio.Event)
    reply: Row | None = None
    error: MessageError | None = None

    def answer(self, reply: Row | None, error: MessageError | None = None) -> None:
        self.reply, self.error = reply, error
        self.done.set()


class Gateway:
    """Takes requests from the program around the system, and gives each its answer.

    Args:
        max_requests: How many are at work at most; one more is refused at once.
        timeout: Seconds until a request without an answer is given up.
        id_field: The field of a row by which its answer is known; what the graph does must keep it.

    Raises:
        ConfigError: These do not fit.

    Attributes:
        answered: How many requests got an answer.
        refused: How many were refused at once.
        timed_out: How many were given up.
        unasked: How many answers came for no request at work: too late, or a second one.
        url: Where it is asked over HTTP; empty where it is not.
    """

    def __init__(
        self, *, max_requests: int = 1000, timeout: Duration = 30.0, id_field: str = "request_id"
    ) -> None:
        if max_requests < 1:
            raise ConfigError("max_requests must be at least 1", field="max_requests")
        if not id_field:
            raise ConfigError("id_field is empty", field="id_field")
        self._most = max_requests
        self._timeout = seconds(timeout, "timeout")
        self._id_field = id_field
        self._at_work: dict[int, _Asked] = {}
        self._new: deque[int] = deque()
        self._came = anyio.Event()
        self._number = 0
        self._is_open = False
        self.url = ""
        self.answered = self.refused = self.timed_out = self.unasked = 0

    def __len__(self) -> int:
        """Return how many requests are at work."""
        return len(self._at_work)

    @property
    def is_open(self) -> bool:
        """Whether it takes requests: from the set-up of the system to the beginning of its drain."""
        return self._is_open

    async def ask(self, row: Mapping[str, Any], *, timeout: float | None = None) -> Row:
        """Send a row through the graph, and return the answer.

        Who is cancelled while it waits gives the request up.

        Args:
            row: The request; a field for its id is added to a copy.
            timeout: Seconds until it is given up; as the gateway says unless given.

        Raises:
            RequestRefusedError: Too many are at work, or the system does not run (any more).
            RequestFailedError: The request was rejected.
            RequestTimeoutError: No answer came in time.
        """
        if not self._is_open or len(self._at_work) >= self._most:
            self.refused += 1
            why = f"{self._most:,} requests are at work" if self._is_open else "the system takes no requests"
            raise RequestRefusedError(f"the request was refused: {why}")
        self._number += 1
        number = self._number
        asked = self._at_work[number] = _Asked({**row, self._id_field: number}, traceparent())
        self._new.append(number)
        self._came.set()
        wait = self._timeout if timeout is None else timeout
        try:
            with anyio.move_on_after(wait):
                await asked.done.wait()
        finally:
            self._at_work.pop(number, None)
        return self._result(asked, wait)

    def _result(self, asked: _Asked, waited: float) -> Row:
        if asked.error is not None:
            raise asked.error
        if asked.reply is None:
            self.timed_out += 1
            raise RequestTimeoutError(f"no answer came within {waited:g} s")
        self.answered += 1
        return asked.reply

    # --- for the two components ----------------------------------------------------------------------

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Gateway]:
        """Be the resource of a system: ``system.resource("gateway", gateway.opened)``."""
        try:
            yield self
        finally:
            self.give_up()

    def start(self) -> None:
        """Take requests from now on."""
        self._is_open = True

    def close(self) -> None:
        """Take no more requests."""
        self._is_open = False
        self._came.set()

    async def next_request(self) -> Row | None:
        """Return the next request; None when there is none and no more will come."""
        while True:
            while self._new:
                asked = self._at_work.get(self._new.popleft())
                if asked is not None:  # it was not given up meanwhile
                    return asked.row
            if not self._is_open:
                return None
            self._came = anyio.Event()
            await self._came.wait()

    def traceparent_of(self, row: Mapping[str, Any]) -> str:
        """Return the header of the trace in which a request at work was asked; empty where there is none."""
        asked = self._at_work.get(row[self._id_field])
        return "" if asked is None else asked.traceparent

    def reply(self, message: Any) -> bool:
        """Give an answer to who has asked; a ``Rejected`` is one too. Returns whether somebody has."""
        rejected = message if isinstance(message, Rejected) else None
        row = message if rejected is None else rejected.message
        number = row.get(self._id_field) if isinstance(row, Mapping) else None
        asked = self._at_work.pop(number, None) if isinstance(number, int) else None
        if asked is None:
            self.unasked += 1
        elif rejected is not None:
            asked.answer(None, RequestFailedError("Rejected", rejected.reason))
        else:
            asked.answer({name: value for name, value in row.items() if name != self._id_field})
        return asked is not None

    def give_up(self) -> None:
        """Tell all that still wait that no answer will come."""
        self.close()
        self._new.clear()
        for asked in self._at_work.values():
            asked.answer(None, RequestRefusedError("the system has ended before an answer came"))
        self._at_work.clear()


@asynccontextmanager
async def open_gateway(
    max_requests: int = 1000, timeout: float = 30.0, id_field: str = "request_id"
) -> AsyncIterator[Gateway]:
    """Make the gateway of a system; for a blueprint, whose components ask it."""
    async with Gateway(max_requests=max_requests, timeout=timeout, id_field=id_field).opened() as gateway:
        yield gateway


class GatewayRequests(HarnessComponent):
    """Sends the requests of the resource ``gateway``: rows with an id in the field ``request_id``.

    When the system stops it takes no more of them, and sends what there is.

    Args:
        name: Names the component.
        config: It has no settings.
    """

    accumulates = False

    out: Out[Row]
    gateway: Resource[Gateway]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """It has no settings; those of the gateway are with the resource."""

    config: Config

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Take requests from now on; all that they go through is set up."""
        await super().setup(harness_context)
        self.gateway.start()

    async def process(self) -> None:
        """Send requests until the system stops."""
        gateway = self.gateway
        try:
            async with anyio.create_task_group() as watching:
                watching.start_soon(self._close_at_stop, self.context.stop_event.wait)
                while (row := await gateway.next_request()) is not None:
                    with traced(gateway.traceparent_of(row), self.name, self.out):
                        await self.out.send(row)
                watching.cancel_scope.cancel()
        finally:
            gateway.close()

    async def _close_at_stop(self, wait_for_stop: Any) -> None:
        await wait_for_stop()
        self.gateway.close()


class GatewayReplies(HarnessComponent):
    """Gives each row, by its field ``request_id``, to who has asked; a ``Rejected`` of a row is an error there.

    Answers for which nobody waits (any more) are counted. What is still without one at its end gets none.

    Args:
        name: Names the component.
        config: It has no settings.
    """

    accumulates = False

    in_: In[Any]
    gateway: Resource[Gateway]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """It has no settings; those of the gateway are with the resource."""

    config: Config

    async def process(self) -> None:
        """Give the answers until the end of the input."""
        async for message in self.in_:
            self.gateway.reply(message)
        self.gateway.give_up()

    async def health_check(self) -> dict[str, Any]:
        """Add how many requests are at work, were answered, refused or given up, and answers to nobody."""
        gateway = getattr(self, "gateway", None)
        counts = (
            {}
            if gateway is None
            else {
                "at_work": len(gateway),
                "answered": gateway.answered,
                "refused": gateway.refused,
                "timed_out": gateway.timed_out,
                "unasked": gateway.unasked,
            }
        )
        return {**await super().health_check(), **counts}


__all__ = ["Gateway", "GatewayReplies", "GatewayRequests", "open_gateway"]
