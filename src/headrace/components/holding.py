"""What holds the latest message of each key back for a time, and acknowledges it when it was sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

import anyio
from anyio import EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.model.message import Rejected
from headrace.streams.manual_stream import ManualReceiveStream

from .rows import keyer, why_no_key


@dataclass(slots=True)
class HeldBack:
    """The latest message of a key, and when it is due."""

    message: Any
    latest: float
    due: float


class HoldingBack(HarnessComponent):
    """Holds the latest message of each key back until it is due."""

    ack = "manual"
    accumulates = False

    in_: In[Any]
    out: Out[Any]
    rejected: Out[Rejected[Any]]

    def hold_by(self, by: Sequence[str], *, quiet: float, longest: float, max_keys: int) -> None:
        """Say how messages are held.

        Args:
            by: The fields of the key.
            quiet: Seconds after a message in which it is due, if none follows.
            longest: Seconds after the first message of a key in which one is due in any case.
            max_keys: Of how many keys one is held at most.
        """
        self._by = list(by)
        self._key_of = keyer(by)
        self._quiet, self._longest, self._max_keys = quiet, longest, max_keys
        self._begin()

    def _begin(self) -> None:
        self._acknowledges = False
        self._held: dict[Any, HeldBack] = {}
        self._dues: list[tuple[float, int, Any]] = []
        self._count = count()
        self.superseded = 0
        self.sent_early = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin with no messages."""
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Send each message that is due."""
        self._acknowledges = isinstance(self.receive_streams["in"], ManualReceiveStream)
        self.accumulates = not self._acknowledges  # else what is held comes again
        while True:
            try:
                messages = await self._receive()
            except EndOfStream:
                break
            await self._send(self._due(self.context.clock()))
            for message in messages:
                await self._hold(message)
        await self._send(self._due(math.inf))

    async def _receive(self) -> Sequence[Any]:
        first = self._first_due()
        wait = None if first == math.inf else max(0.0, first - self.context.clock())
        with anyio.move_on_after(wait):
            return await self.in_.receive_many()
        return ()

    def _first_due(self) -> float:
        dues = self._dues
        while dues:
            due, _, key = dues[0]
            held = self._held.get(key)
            if held is not None and held.due == due:
                return due
            heappop(dues)
        return math.inf

    async def _hold(self, message: Any) -> None:
        try:
            key = self._key_of(message)
            held = self._held.get(key)
        except (KeyError, TypeError) as error:
            await self.rejected.send(Rejected(message, why_no_key(message, error, self._by)))
            self._ack(message)
            return
        now = self.context.clock()
        if held is None:
            latest = now + self._longest
            held = self._held[key] = HeldBack(message, latest, min(latest, now + self._quiet))
        else:
            self._ack(held.message)
            self.superseded += 1
            held.message, held.due = message, min(held.latest, now + self._quiet)
        self._push(held.due, key)
        if len(self._held) > self._max_keys:
            self.sent_early += 1
            await self._send([self._take_first()])

    def _push(self, due: float, key: Any) -> None:
        """Note when a key is due; outdated notes are thrown away where they are most of all."""
        heappush(self._dues, (due, next(self._count), key))
        if len(self._dues) > 2 * len(self._held) + 16:
            self._dues = [(held.due, next(self._count), key) for key, held in self._held.items()]
            heapify(self._dues)

    def _take_first(self) -> Any:
        self._first_due()  # what is outdated goes
        key = heappop(self._dues)[2]
        return self._held.pop(key).message

    def _due(self, now: float) -> list[Any]:
        """Return the messages that are due, in that order."""
        due: list[Any] = []
        while self._held and self._first_due() <= now:
            due.append(self._take_first())
        return due

    async def _send(self, messages: Sequence[Any]) -> None:
        for message in messages:
            await self.out.send(message)
            self._ack(message)

    def _ack(self, message: Any) -> None:
        if self._acknowledges:  # with ``ack: auto`` each receive has done so
            self.in_.ack(message)

    async def health_check(self) -> dict[str, Any]:
        """Add how many messages are held, were followed by others, or were sent early."""
        return {
            **await super().health_check(),
            "held": len(self._held),
            "superseded": self.superseded,
            "sent_early": self.sent_early,
        }


__all__ = ["HoldingBack"]
