"""What it costs to be watched: both watchdogs, and statistics, ledger and health ten times a second, over none."""

from __future__ import annotations

from dataclasses import replace

from headrace import System
from headrace.model.options import Watching
from headrace_bench.measuring import Sample, Throughput
from headrace_bench.pipelines import class_line, timed
from headrace_bench.race import Contender, Race, row

ON = "watched"
OFF = "not watched"
LONGER = 4  # times the usual sample: a few per cent are to be told apart, and some looks are to be taken


def _unwatched_line(size: int, count: int) -> System:
    """Return the line with both of its watchdogs switched off."""
    system = class_line(size, count)
    system.watching = Watching(stall_after=0, blocked_after=0)
    return system


def _cost(watched: bool) -> Sample:
    """Return the microseconds a message."""
    make = class_line if watched else _unwatched_line
    throughput = Throughput(timed(make, 2, watched=watched))
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
