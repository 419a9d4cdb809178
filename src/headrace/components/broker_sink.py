"""What the sinks of brokers share: messages are acknowledged once the broker has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio import EndOfStream

from headrace.authoring.ports import In, Out
from headrace.exceptions import UnavailableError
from headrace.model.carried import Given
from headrace.model.message import Rejected

from .batches import acknowledge_written
from .broker_end import BrokerEnd
from .payloads import WRONG

_BATCH = 256


class BrokerSink(BrokerEnd):
    """Publishes messages; a subclass has the ``Config``, makes the session, and says where a message goes."""

    in_: In[Any]
    rejected: Out[Rejected[Any]]
    accumulates = False

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self.sent = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Connect; a server that is away keeps nobody from beginning.

        Raises:
            ComponentError: It does not let us in.
        """
        self.sent = 0
        await super().setup(harness_context)

    async def process(self) -> None:
        """Publish all messages.

        Raises:
            ComponentError: The server does not let us in.
        """
        async with self._thread.watched():
            while True:
                try:
                    batch = await self.in_.receive_many(_BATCH)
                except EndOfStream:
                    return
                await self._publish(batch)

    async def _publish(self, batch: list[Any]) -> None:
        given: list[Given] = []
        rejected: list[Rejected[Any]] = []
        for message in batch:
            try:
                given.append(self._made(message))
            except WRONG as error:
                rejected.append(Rejected(message, str(error)))
        while given:
            before = len(given)
            try:
                await self._connect()
                refused = await self._call(self._session.publish, given)
            except UnavailableError as error:
                self.sent += before - len(given)
                await self._server.wait(error)
            else:
                self._server.found()
                self.sent += before - len(given) - len(refused)
                rejected += [Rejected(one.message, f"the server refuses it: {why}") for one, why in refused]
        await acknowledge_written(self.in_, batch, rejected, self.rejected)

    def _made(self, message: Any) -> Given:
        """Return what is published; raises where a message cannot be."""
        raise NotImplementedError


__all__ = ["BrokerSink"]
