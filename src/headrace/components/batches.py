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


__all__ = ["Results", "work_in_batches"]
