"""The one-line summary counts by the shape of the graph: a sink that rejects is a sink all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace import HarnessComponent, In, Out, Rejected, System


def numbers() -> Iterator[int]:
    """Yield five numbers."""
    yield from range(5)


class Keep(HarnessComponent):
    """Keeps even numbers and rejects odd ones."""

    in_: In[int]
    rejected: Out[Rejected[int]]

    async def process(self) -> None:
        async for number in self.in_:
            if number % 2:
                await self.rejected.send(Rejected(number, "odd"))


@pytest.mark.parametrize("heard", [True, False], ids=["the bad goes on", "nobody takes the bad"])
async def test_what_a_sink_rejects_is_not_given_out(heard: bool) -> None:
    system = System("s")
    system.add("numbers", numbers)
    system.add("keep", Keep)
    system.add("plain", [].append)
    system.connect("numbers", "keep.in")
    system.connect("numbers", "plain")
    if heard:
        system.add("bad", [].append)
        system.connect("keep.rejected", "bad")
    totals = (await system.run()).ledger.totals
    assert (totals.taken_in, totals.given_out, totals.rejected, totals.lost) == (5, 3 + 5, 2, 0)
