"""Components that wait: a source for the stop, the others for messages."""

from __future__ import annotations

from headrace import HarnessComponent, In, Out

from .workload import Message


class Alone(HarnessComponent):
    """Is joined to nothing, and waits until the system stops."""

    async def process(self) -> None:
        """Wait."""
        await self.context.stop_event.wait()


class IdleSource(HarnessComponent):
    """Sends nothing until the system stops."""

    out: Out[Message]

    async def process(self) -> None:
        """Wait."""
        await self.context.stop_event.wait()


class Idle(HarnessComponent):
    """Passes on what never comes."""

    in_: In[Message]
    out: Out[Message]

    async def process(self) -> None:
        """Wait for messages."""
        async for message in self.in_:
            await self.out.send(message)


class IdleSink(HarnessComponent):
    """Takes what never comes."""

    in_: In[Message]

    async def process(self) -> None:
        """Wait for messages."""
        async for _ in self.in_:
            pass


__all__ = ["Alone", "Idle", "IdleSink", "IdleSource"]
