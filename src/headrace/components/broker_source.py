"""What the sources of brokers share: messages become rows, and are acknowledged when all was done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from anyio import CancelScope, CapacityLimiter

from headrace.authoring.ports import Out
from headrace.exceptions import HeadraceError, UnavailableError
from headrace.model.carried import Taken
from headrace.model.message import Rejected
from headrace.streams.settlements import Settlements

from .broker_end import BrokerEnd
from .row_files import Sending
from .rows import Row

_BATCH = 256
_WAIT = 30.0  # seconds of a fetch that nothing comes for; a stop ends it at once


class BrokerSource(BrokerEnd):
    """Sends the messages of a broker; a subclass has the ``Config``, and makes the session.

    Attributes:
        acknowledges: Whether the broker is told what was done with.
        ack_wait: Seconds after which it delivers again what it did not hear of; None where it waits for ever.
    """

    out: Out[Row]
    rejected: Out[Rejected[Any]]
    acknowledges = False
    ack_wait: float | None = None

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self._open: dict[int, Taken] = {}
        self._settlements: list[Settlements] = []
        self._done: list[Taken] = []
        self._undone: list[Taken] = []
        self._told = anyio.Event()
        self._sending = Sending(lambda: self.context.clock())

    async def process(self) -> None:
        """Send messages until the system stops.

        Raises:
            ComponentError: The server does not let us in.
        """
        stop = self.context.stop_event
        if self.acknowledges:
            outs: list[Any] = [self.rejected, self.out]
            self._settlements = [Settlements(out.outlet, self._settle) for out in outs]
        async with anyio.create_task_group() as group:
            if self.acknowledges:
                group.start_soon(self._acknowledge_on_and_on)
                if self.ack_wait is not None:
                    group.start_soon(self._tell_what_is_at_work, self.ack_wait / 3)
            async with self._thread.watched(stop.wait):
                while not stop.is_set() and await self._take_some():
                    pass
            group.cancel_scope.cancel()

    async def _take_some(self) -> bool:
        """Send what there is; returns False where the system stops."""
        try:
            await self._connect()
            self._server.found()
            if self.context.stop_event.is_set():
                return False
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
        done, undone = list(self._done), list(self._undone)
        if done or undone:
            await self._tell(done, undone)  # once more in cleanup(), where this is cancelled
            del self._done[: len(done)], self._undone[: len(undone)]

    async def _tell_what_is_at_work(self, every: float) -> None:
        while True:
            await anyio.sleep(every)
            if self._open:
                await self._tell((), (), list(self._open.values()))

    async def _tell(
        self, done: Sequence[Taken], undone: Sequence[Taken] = (), working: Sequence[Taken] = ()
    ) -> None:
        """Tell the broker; it delivers again what it did not hear of."""
        try:
            await anyio.to_thread.run_sync(
                partial(self._session.settle, done, undone, working), limiter=CapacityLimiter(1)
            )
        except HeadraceError as error:
            if self.context.logger is not None:
                self.context.logger.debug("not acknowledged", count=len(done), reason=str(error))

    async def cleanup(self) -> None:
        """Acknowledge what was done with, give back what was not, and close the connection and the streams."""
        try:
            with CancelScope(shield=True):
                for settlements in self._settlements:
                    self._undone += settlements.close()
                self._settlements = []
                self._open.clear()
                with suppress(HeadraceError):  # the broker delivers again what it did not hear of
                    await anyio.to_thread.run_sync(self._session.stop_reading, limiter=CapacityLimiter(1))
                await self._acknowledge()
        finally:
            await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add how many messages are at work, and how many were lost because they came too fast."""
        return {**await super().health_check(), "at_work": len(self._open), "dropped": self._session.dropped}


__all__ = ["BrokerSource"]
