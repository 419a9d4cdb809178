"""Classes that send and iterate, one message at a time, against everybody who does the same."""

from __future__ import annotations

from headrace_bench.measuring import Throughput
from headrace_bench.peers import anyio_streams, asyncio_queue, generators
from headrace_bench.pipelines import class_line, timed
from headrace_bench.race import Contender, Race, Row, row

OURS = "headrace"
WATCHED = "headrace, watched"
ANYIO = "AnyIO send + async for"
NOWAIT = "AnyIO *_nowait"
QUEUE = "asyncio.Queue"
TRIO = "trio channel"
FLOOR = "generators"


def _trio_line(hops: int) -> Throughput:
    def run(count: int, _: str) -> float:
        from headrace_bench.peers import trio_channel

        return trio_channel.run_line(hops, count)

    return Throughput(run)


def _race(label: str, hops: int, rows: tuple[Row, ...]) -> Race:
    contenders = (
        Contender(OURS, Throughput(timed(class_line, hops))),
        Contender(WATCHED, Throughput(timed(class_line, hops, watched=True))),
        Contender(ANYIO, Throughput(anyio_streams.in_line(hops))),
        Contender(NOWAIT, Throughput(anyio_streams.in_line(hops, anyio_streams.NOWAIT))),
        Contender(QUEUE, Throughput(asyncio_queue.in_line(hops))),
        Contender(TRIO, _trio_line(hops), needs=("trio",)),
        Contender(FLOOR, Throughput(generators.in_line(hops))),
    )
    return Race(f"send and async for, {label}", "messages/s", contenders, rows)


RACES = (
    _race(
        "1 hop",
        1,
        (
            row("send/1-hop/anyio", OURS, ANYIO, reach=">= 10 x", stretch=">= 17 x"),
            row("send/1-hop/generators", OURS, FLOOR, reach=">= 20 %", stretch=">= 36 %"),
            row("send/1-hop/anyio-nowait", OURS, NOWAIT),
            row("send/1-hop/asyncio-queue", OURS, QUEUE),
            row("send/1-hop/trio-channel", OURS, TRIO),
        ),
    ),
    _race(
        "2 hops",
        2,
        (
            row("send/2-hops/anyio", OURS, ANYIO, reach=">= 25 x", stretch=">= 38 x"),
            row("send/2-hops/generators", OURS, FLOOR, reach=">= 20 %", stretch=">= 36 %"),
            row("send/2-hops/asyncio-queue", WATCHED, QUEUE, reach=">= 1.8 x", stretch=">= 2.5 x"),
            row("send/2-hops/anyio-nowait", OURS, NOWAIT),
            row("send/2-hops/trio-channel", OURS, TRIO),
        ),
    ),
    _race(
        "10 stages",
        11,
        (
            row("send/10-stages/anyio", OURS, ANYIO, reach=">= 12 x", stretch=">= 21 x"),
            row("send/10-stages/generators", OURS, FLOOR, reach=">= 15 %", stretch=">= 25 %"),
        ),
    ),
)
"""10 stages are a source, ten components that pass on, and a sink: 11 hops."""

__all__ = ["RACES"]
