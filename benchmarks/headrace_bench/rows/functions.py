"""Function components against everybody who calls a function for each message."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from headrace_bench.children import figure_of
from headrace_bench.measuring import Effort, Sample, Throughput
from headrace_bench.peers import generators
from headrace_bench.pipelines import function_line, timed
from headrace_bench.race import Contender, Race, row

OURS = "headrace functions"
FLOOR = "hand-chained generators"
REACTIVEX = "reactivex"
BYTEWAX = "Bytewax, batch 1000"
BYTEWAX_SINGLY = "Bytewax, batch 1"
AIOSTREAM = "aiostream"
EVENTKIT = "eventkit"
STREAMZ = "streamz"
EZMSG = "ezmsg"
RAY = "Ray actors, batch 1000"


def _peer(module: str, *settings: int) -> Throughput:
    """Return the throughput of a peer whose module is imported when it runs."""

    def run(count: int, _: str) -> float:
        run_line: Callable[..., float] = import_module(f"headrace_bench.peers.{module}").run_line
        return run_line(count, *settings)

    return Throughput(run)


def _in_child(module: str, full: int, quick: int, *settings: int) -> Sample:
    """Return the throughput of a peer that brings processes along, measured in one of its own."""

    def sample(effort: Effort) -> float:
        count = effort.sized(full, quick)
        return count / figure_of(f"peers.{module}", count, *settings)

    return sample


RACES = (
    Race(
        "functions, 2 hops",
        "messages/s",
        (
            Contender(OURS, Throughput(timed(function_line, 2))),
            Contender(FLOOR, Throughput(generators.in_line_of_functions(2))),
            Contender(REACTIVEX, _peer("reactivex_push"), needs=("reactivex",)),
            Contender(BYTEWAX, _peer("bytewax_flow", 1000), needs=("bytewax",)),
            Contender(BYTEWAX_SINGLY, _peer("bytewax_flow", 1), needs=("bytewax",)),
            Contender(AIOSTREAM, _peer("aiostream_pipe"), needs=("aiostream",)),
            Contender(EVENTKIT, _peer("eventkit_push"), needs=("eventkit",)),
            Contender(STREAMZ, _peer("streamz_push"), needs=("streamz",)),
        ),
        (
            row("functions/2-hops/reactivex", OURS, REACTIVEX, reach=">= 1.3 x", stretch=">= 2 x"),
            row("functions/2-hops/bytewax", OURS, BYTEWAX, reach=">= 1.3 x", stretch=">= 2 x"),
            row("functions/2-hops/generators", OURS, FLOOR, reach=">= 60 %", stretch=">= 85 %"),
            row("functions/2-hops/bytewax-singly", OURS, BYTEWAX_SINGLY),
            row("functions/2-hops/aiostream", OURS, AIOSTREAM),
            row("functions/2-hops/eventkit", OURS, EVENTKIT),
            row("functions/2-hops/streamz", OURS, STREAMZ),
        ),
    ),
    Race(
        "functions, 10 stages",
        "messages/s",
        (
            Contender(OURS, Throughput(timed(function_line, 11))),
            Contender(FLOOR, Throughput(generators.in_line_of_functions(11))),
        ),
        (row("functions/10-stages/generators", OURS, FLOOR, reach=">= 90 %", stretch=">= 120 %"),),
    ),
    Race(
        "functions, 2 hops, peers with processes of their own",
        "messages/s",
        (
            Contender(OURS, Throughput(timed(function_line, 2))),
            Contender(EZMSG, _in_child("ezmsg_units", 10_000, 500), needs=("ezmsg",)),
            Contender(RAY, _in_child("ray_actors", 300_000, 5_000, 1000), needs=("ray",)),
        ),
        (
            row("functions/2-hops/ezmsg", OURS, EZMSG),
            row("functions/2-hops/ray", OURS, RAY),
        ),
        warm_up=False,
        rounds=3,
    ),
)

__all__ = ["RACES"]
