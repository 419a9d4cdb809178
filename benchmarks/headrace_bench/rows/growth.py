"""Whether a message costs the same in a large system: lines of ten components, more and more of them.

All sizes move the same number of messages times hops; start-up and end are not counted.
"""

from __future__ import annotations

import itertools
import time

import anyio

from headrace import HarnessComponent, In, Out, System
from headrace_bench.measuring import Effort, Sample
from headrace_bench.pipelines import Stage
from headrace_bench.race import Contender, Race, Row, row
from headrace_bench.workload import CAPACITY, Message, message_of

HOPS = 1_000_000
LENGTH = 10  # components a line
SIZES = (10, 100, 1_000, 10_000)  # components


class Gate:
    """Where all sources wait for the start, and all sinks report that they are done."""

    def __init__(self, lines: int) -> None:
        self.open = anyio.Event()
        self.done = anyio.Event()
        self._missing = lines

    def arrive(self) -> None:
        """Report one line as done."""
        self._missing -= 1
        if not self._missing:
            self.done.set()


class GatedSource(HarnessComponent):
    """Sends its messages once the gate is open."""

    out: Out[Message]

    async def process(self) -> None:
        """Wait, then send."""
        await self.config["gate"].open.wait()
        for number in range(self.config["count"]):
            await self.out.send(message_of(number))


class GatedSink(HarnessComponent):
    """Reports when all messages of its line are there."""

    in_: In[Message]

    async def process(self) -> None:
        """Count down."""
        left = self.config["count"]
        async for _ in self.in_:
            left -= 1
            if not left:
                self.config["gate"].arrive()


async def seconds_of_flow(lines: int, count: int) -> float:
    """Return the seconds from the opening of the gate until every line is done."""
    gate = Gate(lines)
    system = System("lines", buffer_size=CAPACITY)
    for number in range(lines):
        names = [f"l{number}c{place}" for place in range(LENGTH)]
        system.add(names[0], GatedSource, gate=gate, count=count)
        for name in names[1:-1]:
            system.add(name, Stage)
        system.add(names[-1], GatedSink, gate=gate, count=count)
        for one, other in itertools.pairwise(names):
            system.connect(one, other)
    async with system:
        began = time.perf_counter()
        gate.open.set()
        await gate.done.wait()
        return time.perf_counter() - began


def cost_of(components: int) -> Sample:
    """Return a sample of the microseconds a message and hop."""

    def sample(effort: Effort) -> float:
        lines = max(1, effort.sized(components, components // 100) // LENGTH)
        count = effort.sized(HOPS, HOPS // 100) // (lines * (LENGTH - 1))
        seconds = anyio.run(seconds_of_flow, lines, max(1, count), backend=effort.backend)
        return seconds * 1e6 / (lines * max(1, count) * (LENGTH - 1))

    return sample


def _name(components: int) -> str:
    return f"{components:,} components"


def _row(components: int) -> Row:
    judged = {"reach": "<= 1.5 x", "stretch": "<= 1.2 x"} if components >= 1_000 else {}
    name = f"growth/{components}-components"
    against = "" if components == SIZES[0] else _name(SIZES[0])
    return row(name, _name(components), against, x=components, **judged)


RACES = (
    Race(
        "cost of a message and hop as components grow",
        "us",
        tuple(Contender(_name(components), cost_of(components)) for components in SIZES),
        tuple(map(_row, SIZES)),
        curve="components",
        warm_up=False,
        rounds=3,
    ),
)

__all__ = ["RACES"]
