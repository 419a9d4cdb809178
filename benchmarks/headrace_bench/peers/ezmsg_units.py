"""ezmsg: three units in one process, publishers and subscribers between them.

A process of its own measures it: ``python -m headrace_bench.peers.ezmsg_units COUNT`` prints seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator

import ezmsg.core as ez

from headrace_bench.workload import Message, messages, passed, swallow

_MARKS: list[float] = []


class SourceSettings(ez.Settings):
    """How many messages."""

    count: int


class Source(ez.Unit):
    """Publishes messages, then None."""

    SETTINGS = SourceSettings
    OUTPUT = ez.OutputStream(object)

    @ez.publisher(OUTPUT)
    async def produce(self) -> AsyncGenerator[tuple[ez.OutputStream, Message | None], None]:
        """Publish all."""
        _MARKS.append(time.perf_counter())
        for message in messages(self.SETTINGS.count):
            yield self.OUTPUT, message
        yield self.OUTPUT, None
        raise ez.Complete


class Stage(ez.Unit):
    """Passes messages on."""

    INPUT = ez.InputStream(object)
    OUTPUT = ez.OutputStream(object)

    @ez.subscriber(INPUT)
    @ez.publisher(OUTPUT)
    async def work(
        self, message: Message | None
    ) -> AsyncGenerator[tuple[ez.OutputStream, Message | None], None]:
        """Apply the function."""
        yield self.OUTPUT, None if message is None else passed(message)


class Sink(ez.Unit):
    """Takes messages; ends the run at None."""

    INPUT = ez.InputStream(object)

    @ez.subscriber(INPUT)
    async def consume(self, message: Message | None) -> None:
        """Take it."""
        if message is None:
            _MARKS.append(time.perf_counter())
            raise ez.NormalTermination
        swallow(message)


def main(arguments: list[str]) -> None:
    """Print the seconds of one run."""
    source, stage, sink = Source(SourceSettings(count=int(arguments[0]))), Stage(), Sink()
    ez.run(
        SOURCE=source,
        STAGE=stage,
        SINK=sink,
        connections=((source.OUTPUT, stage.INPUT), (stage.OUTPUT, sink.INPUT)),
    )
    print(_MARKS[-1] - _MARKS[0])


if __name__ == "__main__":
    main(sys.argv[1:])
