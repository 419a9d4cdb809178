"""A component that computes 1 ms a message: two worker processes on two cores, over one in the loop.

The clock runs from the first message to the last, so that the start of the processes (0.3 s) does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import anyio

from headrace import System, component
from headrace_bench.measuring import Effort, Sample
from headrace_bench.pipelines import numbers
from headrace_bench.race import Contender, Race, row
from headrace_bench.workload import CAPACITY, Message

WORK = 14_000  # steps; about a millisecond of pure Python
IN_LOOP = "1 in the loop"
IN_PROCESSES = "2 worker processes"


@component
def compute(message: Message) -> Message:
    """Compute for about a millisecond."""
    total = 0
    for number in range(WORK):
        total += number * number
    return {**message, "total": total}


def throughput(**options: Any) -> Sample:
    """Return a sample of the messages a second of a line with this component in the middle."""

    def sample(effort: Effort) -> float:
        count = effort.sized(1_500, 50)
        times: list[float] = []

        def source() -> Iterator[Message]:
            times.append(perf_counter())
            yield from numbers(count=count)

        def sink(_message: Message) -> None:
            times[1:] = [perf_counter()]

        system = System("cpu-bound", buffer_size=CAPACITY)
        system.add("source", source)
        system.add("compute", compute, **options)
        system.add("sink", sink)
        system.connect("source", "compute")
        system.connect("compute", "sink")
        anyio.run(system.run, backend=effort.backend)
        return count / (times[1] - times[0])

    return sample


RACES = (
    Race(
        "1 ms of computing a message",
        "messages/s",
        (
            Contender(IN_PROCESSES, throughput(run_in="process", replicas=2)),
            Contender(IN_LOOP, throughput()),
        ),
        (row("cpu-bound/2-processes", IN_PROCESSES, IN_LOOP, reach=">= 1.7 x", stretch=">= 1.9 x"),),
        warm_up=False,
        rounds=3,
    ),
)

__all__ = ["RACES"]
