"""How the standard components work through their rows: batch by batch, at little cost a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anyio import EndOfStream

from headrace.authoring.ports import In, Out
from headrace.model.message import Rejected

from .rows import Row

Results = tuple[Sequence[Row], Sequence[Rejected[Any]]]


async def work_in_batches(
    rows: In[Any], work: Callable[[list[Any]], Sequence[Sequence[Any]]], *outs: Out[Any] | None
) -> None:
    """Send what ``work`` makes of all rows of an input, until its end.

    A batch is acknowledged by the next receive, so not before all that it gave was sent. Where ``work`` raises,
    nothing of its batch is sent, and all of it is in hand.

    Args:
        rows: Where the rows come from.
        work: Returns what is to be sent for a batch, for each output; it must not wait.
        outs: The outputs.
    """
    while True:
        try:
            batch = await rows.receive_many()
        except EndOfStream:
            return
        for out, some in zip(outs, work(batch), strict=True):
            if some and out is not None:
                await out.send_many(some)


async def acknowledge_written(
    inlet: In[Any], batch: Sequence[Any], rejected: Sequence[Rejected[Any]], port: Out[Any]
) -> None:
    """Acknowledge what a sink has written, at once, so that it does not come again whatever happens next.

    Args:
        inlet: Where the batch came from.
        batch: All of it.
        rejected: What was not written, and is sent to ``port``, and acknowledged then.
        port: The output for it.
    """
    if not rejected:
        inlet.ack()
        return
    bad = {id(one.message) for one in rejected}
    for message in batch:
        if id(message) not in bad:
            inlet.ack(message)
    for one in rejected:
        await port.send(one)
        inlet.ack(one.message)


__all__ = ["Results", "acknowledge_written", "work_in_batches"]
