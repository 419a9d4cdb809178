"""What it costs to be looked at: statistics, ledger and health, ten times a second, over nobody looking."""

from __future__ import annotations

from dataclasses import replace

from headrace_bench.measuring import Sample, Throughput
from headrace_bench.pipelines import class_line, timed
from headrace_bench.race import Contender, Race, row

ON = "watched"
OFF = "not watched"
LONGER = 4  # times the usual sample: a few per cent are to be told apart, and some looks are to be taken


def _cost(watched: bool) -> Sample:
    """Return the microseconds a message."""
    throughput = Throughput(timed(class_line, 2, watched=watched))
    return lambda effort: 1e6 / throughput(replace(effort, seconds=effort.seconds * LONGER))


RACES = (
    Race(
        "2 hops while all observability is on",
        "us/message",
        (Contender(ON, _cost(True)), Contender(OFF, _cost(False))),
        (row("observability/on-over-off", ON, OFF, reach="<= 1.1 x", stretch="<= 1.03 x"),),
    ),
)

__all__ = ["RACES"]
