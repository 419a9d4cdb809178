"""Whether several producers of one full edge get the same share of it."""

from __future__ import annotations

from collections import Counter

from headrace import HarnessComponent, In, Out, System
from headrace_bench.measuring import Effort
from headrace_bench.race import Contender, Race, row

PRODUCERS = 4


class Producer(HarnessComponent):
    """Sends its own number until the system stops."""

    out: Out[int]

    async def process(self) -> None:
        """Send for ever."""
        while True:
            await self.out.send(self.config["number"])


class Consumer(HarnessComponent):
    """Takes a number of messages, counting who sent them, then returns."""

    in_: In[int]
    shares: Counter[int]

    async def process(self) -> None:
        """Count, after a first part in which all get going."""
        taken, total = 0, self.config["total"]
        self.shares = Counter()
        async for number in self.in_:
            taken += 1
            if taken > total // 10:
                self.shares[number] += 1
            if taken >= total:
                return


def unfairness(capacity: int, effort: Effort) -> float:
    """Return the largest share over the smallest."""
    system = System("fairness", buffer_size=capacity)
    consumer = system.add("consumer", Consumer, total=effort.sized(20, 2) * max(capacity, 100) * PRODUCERS)
    for number in range(PRODUCERS):
        system.add(f"producer{number}", Producer, number=number)
        system.connect(f"producer{number}", "consumer")
    system.run_blocking(backend=effort.backend, handle_signals=False)
    shares = [consumer.shares[number] for number in range(PRODUCERS)]
    return max(shares) / min(shares) if min(shares) else float("inf")


def _race(capacity: int) -> Race:
    def sample(effort: Effort) -> float:
        return unfairness(capacity, effort)

    return Race(
        f"shares of 4 producers, capacity {capacity:,}",
        "max/min",
        (Contender("headrace", sample),),
        (row(f"fairness/capacity-{capacity}", "headrace", reach="<= 1.2 max/min"),),
    )


RACES = tuple(_race(capacity) for capacity in (1, 100, 1000))

__all__ = ["RACES"]
