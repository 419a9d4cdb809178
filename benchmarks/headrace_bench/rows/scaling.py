"""Curves: throughput by the width of a fan-out, and by the size of a message."""

from __future__ import annotations

import anyio

from headrace import HarnessComponent, Out, System
from headrace_bench.measuring import Sample, Throughput
from headrace_bench.pipelines import Sink, fan_out, seconds_of, timed
from headrace_bench.race import Contender, Race, row
from headrace_bench.workload import CAPACITY, Message

WIDTHS = (1, 2, 4, 8, 16, 32, 64)
FIELDS = (2, 20, 200)


class LargeSource(HarnessComponent):
    """Sends one message with many fields, again and again: making it anew would be all that is measured."""

    out: Out[Message]

    async def process(self) -> None:
        """Send all."""
        message = dict.fromkeys(self.config["names"], 1.5)
        for _ in range(self.config["count"]):
            await self.out.send(message)


def _sized(fields: int, *, copy: bool) -> Sample:
    names = [f"field{number}" for number in range(fields)]

    def run(count: int, backend: str) -> float:
        system = System("large-messages", buffer_size=CAPACITY)
        system.add("source", LargeSource, count=count, names=names)
        system.add("sink", Sink)
        system.connect("source", "sink", copy=copy)
        return anyio.run(seconds_of, system, backend=backend)

    return Throughput(run)


def _deliveries(width: int) -> Sample:
    throughput = Throughput(timed(fan_out, width))
    return lambda effort: throughput(effort) * width


def _width(width: int) -> str:
    return f"fan-out {width}"


def _message(fields: int, how: str) -> str:
    return f"{fields} fields, {how}"


RACES = (
    Race(
        "deliveries by width of a fan-out",
        "messages/s",
        tuple(Contender(_width(width), _deliveries(width)) for width in WIDTHS),
        tuple(
            row(f"scaling/fan-out/{width}", _width(width), "" if width == 1 else _width(1), x=width)
            for width in WIDTHS
        ),
        curve="width of the fan-out",
        rounds=3,
    ),
    *(
        Race(
            f"1 hop by size of a message, {how}",
            "messages/s",
            tuple(Contender(_message(fields, how), _sized(fields, copy=copy)) for fields in FIELDS),
            tuple(
                row(
                    f"scaling/message-size/{how}/{fields}",
                    _message(fields, how),
                    "" if fields == FIELDS[0] else _message(FIELDS[0], how),
                    x=fields,
                )
                for fields in FIELDS
            ),
            curve="fields of a message",
            rounds=3,
        )
        for how, copy in (("shared", False), ("copied", True))
    ),
)

__all__ = ["RACES"]
