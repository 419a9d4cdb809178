"""A component that computes 1 ms a message: two worker processes on two cores, over one in the loop."""

from __future__ import annotations

from typing import Any

import anyio

from headrace import System, component
from headrace_bench.measuring import Effort, Sample
from headrace_bench.pipelines import numbers, seconds_of, swallowing
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
        system = System("cpu-bound", buffer_size=CAPACITY)
        system.add("source", numbers, count=count)
        system.add("compute", compute, **options)
        system.add("sink", swallowing)
        system.connect("source", "compute")
        system.connect("compute", "sink")
        return count / anyio.run(seconds_of, system, backend=effort.backend)

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
