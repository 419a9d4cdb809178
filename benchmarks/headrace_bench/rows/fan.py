"""One output to four inputs, and four outputs into one input."""

from __future__ import annotations

from headrace_bench.measuring import Throughput
from headrace_bench.peers import anyio_streams
from headrace_bench.pipelines import fan_in, fan_out, timed
from headrace_bench.race import Contender, Race, row

WIDTH = 4
OURS = "headrace"
ANYIO = "AnyIO send + async for"

RACES = (
    Race(
        "fan-out to 4, each message to all",
        "messages/s",
        (
            Contender(OURS, Throughput(timed(fan_out, WIDTH))),
            Contender(ANYIO, Throughput(anyio_streams.fan_out(WIDTH))),
        ),
        (row("fan-out/4/anyio", OURS, ANYIO, reach=">= 30 x", stretch=">= 48 x"),),
    ),
    Race(
        "fan-in from 4",
        "messages/s",
        (
            Contender(OURS, Throughput(timed(fan_in, WIDTH))),
            Contender(ANYIO, Throughput(anyio_streams.fan_in(WIDTH))),
        ),
        (row("fan-in/4/anyio", OURS, ANYIO, reach=">= 20 x", stretch=">= 30 x"),),
    ),
)

__all__ = ["RACES"]
