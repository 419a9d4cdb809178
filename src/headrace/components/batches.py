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
    rows: In[Row], work: Callable[[list[Row]], Results], out: Out[Row], rejected: Out[Rejected[Any]]
) -> None:
    """Send what ``work`` makes of all rows of an input, until its end.

    A batch is acknowledged by the next receive, so not before all that it gave was sent. Where ``work`` raises,
    nothing of its batch is sent, and all of it is in hand.

    Args:
        rows: Where the rows come from.
        work: Returns what is to be sent for a batch, and what is rejected of it; it must not wait.
        out: Where the former goes.
        rejected: Where the latter goes.
    """
    while True:
        try:
            batch = await rows.receive_many()
        except EndOfStream:
            return
        outputs, turned_away = work(batch)
        if outputs:
            await out.send_many(outputs)
        if turned_away:
            await rejected.send_many(turned_away)


__all__ = ["Results", "work_in_batches"]
