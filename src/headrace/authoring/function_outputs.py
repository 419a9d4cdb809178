"""Where the outputs of a function go: to the edges of a harness at once, to AnyIO's own streams one by one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from headrace.exceptions import ReaderEndedError


class Outputs:
    """The streams ``out`` and ``rejected`` of a function component.

    Args:
        streams: The send streams by port; what has none goes nowhere.
        out: What takes the place of the stream ``out``.

    Attributes:
        room: How many outputs ``put`` could take when ``look`` was called last.
        is_fused: Whether others work in our task.
    """

    __slots__ = ("_ports", "is_fused", "out", "rejected", "room")

    def __init__(self, streams: Mapping[str, Any], out: Any = None) -> None:
        self.out: Any = out if out is not None else streams.get("out")
        self.rejected = streams.get("rejected")
        self.is_fused = out is not None
        self.room = 0
        ports = (self.out, self.rejected)
        # What nothing is connected to has room for ever; the others are asked for each batch.
        self._ports = [port for port in ports if port is not None and getattr(port, "free", 0) < _UNLIMITED]

    def look(self) -> int:
        """Return how many outputs can be put at once, whichever port they go to; 0 where each may have to wait."""
        room = _UNLIMITED
        for port in self._ports:
            free = getattr(port, "free", 0)
            if free < room:
                room = free
        self.room = room
        return room

    def put(self, outputs: Sequence[Any], rejected: Sequence[Any]) -> None:
        """Send at once, without waiting; there must have been room for all but what one message gave."""
        if outputs and rejected:
            _rehearse(((self.out, outputs), (self.rejected, rejected)))
        if outputs and self.out is not None:
            self.out.put_all(outputs)
        if rejected and self.rejected is not None:
            self.rejected.put_all(rejected)

    @property
    def is_late(self) -> bool:
        """Whether those who work in our task had a backlog at the last ``look``, so that they should go first."""
        return self.is_fused and bool(self.out.is_late)

    async def catch_up(self) -> None:
        """Let them work it off, if they can; there must be nothing in hand."""
        await self.out.catch_up()

    async def send(self, outputs: Sequence[Any], rejected: Sequence[Any]) -> None:
        """Send what one message gave: wait for room for the first output, and then send all of them at once.

        A call that is cancelled, or fails, has sent none, on the edges of a harness.
        """
        if self.out is not None and len(outputs) == 1 and not rejected:
            await self.out.send(outputs[0])
            return
        ways = ((self.out, outputs), (self.rejected, rejected))
        _rehearse(ways)
        waited = False
        for port, items in ways:
            if items and port is not None:
                await _send_all(port, items, at_once=waited)
                waited = True


async def _send_all(port: Any, items: Sequence[Any], *, at_once: bool) -> None:
    """Send all of some items together: at once, or when there is room for the first one."""
    if not hasattr(port, "put_all"):
        for item in items:
            await port.send(item)
    elif at_once:
        port.put_all(items)
    else:
        await port.send(items[0])
        if len(items) > 1:
            port.put_all(items[1:])


def _rehearse(ways: Iterable[tuple[Any, Sequence[Any]]]) -> None:
    for port, items in ways:
        if items and hasattr(port, "rehearse"):  # else AnyIO's own
            port.rehearse(items)


async def outputs_of(result: Any) -> list[Any]:
    """Return what comes of one message: what a generator yields, or the result itself, awaited if it has to be."""
    if inspect.isawaitable(result):
        result = await result
    if inspect.isgenerator(result):
        try:
            return list(result)
        finally:
            result.close()
    if inspect.isasyncgen(result):
        async with aclosing(result):
            return [item async for item in result]
    return [result]


def tells_of_readers(error: BaseException) -> bool:
    """Whether an error only says that nobody reads the outputs any more."""
    if isinstance(error, BaseExceptionGroup):
        return all(tells_of_readers(one) for one in error.exceptions)
    return isinstance(error, ReaderEndedError)


_UNLIMITED = 1 << 30

__all__ = ["Outputs", "outputs_of", "tells_of_readers"]
