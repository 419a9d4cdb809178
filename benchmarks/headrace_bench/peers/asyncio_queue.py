"""``asyncio.Queue``: a bounded queue a hop, None as the end. Runs on asyncio, whatever the others run on."""

from __future__ import annotations

import asyncio
import itertools
import time

from headrace_bench.measuring import TimedRun
from headrace_bench.workload import CAPACITY, Message, messages

Queue = asyncio.Queue[Message | None]


async def produce(outlet: Queue, count: int) -> None:
    """Put messages."""
    for message in messages(count):
        await outlet.put(message)
    await outlet.put(None)


async def pass_on(inlet: Queue, outlet: Queue) -> None:
    """Pass all messages on."""
    while (message := await inlet.get()) is not None:
        await outlet.put(message)
    await outlet.put(None)


async def consume(inlet: Queue) -> None:
    """Take all messages."""
    while await inlet.get() is not None:
        pass


async def line(hops: int, count: int) -> float:
    """Run a line; return its seconds."""
    began = time.perf_counter()
    queues: list[Queue] = [asyncio.Queue(CAPACITY) for _ in range(hops)]
    async with asyncio.TaskGroup() as group:
        group.create_task(produce(queues[0], count))
        for inlet, outlet in itertools.pairwise(queues):
            group.create_task(pass_on(inlet, outlet))
        group.create_task(consume(queues[-1]))
    return time.perf_counter() - began


def in_line(hops: int) -> TimedRun:
    """Return a run of a line."""
    return lambda count, _: asyncio.run(line(hops, count))


__all__ = ["in_line"]
