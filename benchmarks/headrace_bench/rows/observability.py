"""What it costs to be watched: both watchdogs, and statistics, ledger and health ten times a second, over none.

And what it costs an edge at full speed to be tapped by somebody who reads and encodes all that the tap shows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from time import perf_counter

import anyio
from anyio import create_task_group
from msgspec.json import encode

from headrace import System
from headrace.model.options import Watching
from headrace_bench.measuring import Sample, Throughput, TimedRun
from headrace_bench.pipelines import class_line, timed
from headrace_bench.race import Contender, Race, row

ON = "watched"
OFF = "not watched"
TAPPED = "tapped"
UNTAPPED = "not tapped"
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


async def _read(system: System) -> None:
    async with system.tap("source.out", where="v >= 0") as tap:
        async for record in tap:
            encode(record)


async def _seconds_of(system: System, *, tapped: bool) -> float:
    async with create_task_group() as group:
        await group.start(system.run)
        if tapped:
            group.start_soon(_read, system)
        began = perf_counter()
        await system.wait()
        ended = perf_counter()
    return ended - began


def _line(*, tapped: bool) -> TimedRun:
    """Return a run of the shortest line."""

    def run(count: int, backend: str) -> float:
        return anyio.run(partial(_seconds_of, class_line(1, count), tapped=tapped), backend=backend)

    return run


def _longer(run: TimedRun) -> Sample:
    throughput = Throughput(run)
    return lambda effort: throughput(replace(effort, seconds=effort.seconds * LONGER))


RACES = (
    Race(
        "2 hops while all observability is on",
        "us/message",
        (Contender(ON, _cost(True)), Contender(OFF, _cost(False))),
        (row("observability/on-over-off", ON, OFF, reach="<= 1.1 x", stretch="<= 1.03 x"),),
    ),
    Race(
        "1 hop while its edge is tapped",
        "messages/s",
        (Contender(TAPPED, _longer(_line(tapped=True))), Contender(UNTAPPED, _longer(_line(tapped=False)))),
        (row("observability/tap", TAPPED, UNTAPPED, reach=">= 90 %", stretch=">= 95 %"),),
    ),
)

__all__ = ["RACES"]
