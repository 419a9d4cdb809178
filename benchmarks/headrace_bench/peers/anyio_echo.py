"""An echo over two AnyIO memory object streams."""

from __future__ import annotations

import time

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace_bench.workload import CAPACITY, Message, message_of


async def answer(inlet: MemoryObjectReceiveStream[Message], outlet: MemoryObjectSendStream[Message]) -> None:
    """Send back what comes."""
    async with inlet, outlet:
        async for message in inlet:
            await outlet.send(message)


async def echo(count: int) -> list[float]:
    """Return the seconds of each round trip."""
    seconds = []
    async with anyio.create_task_group() as group:
        out, requests = anyio.create_memory_object_stream[Message](CAPACITY)
        answers, replies = anyio.create_memory_object_stream[Message](CAPACITY)
        group.start_soon(answer, requests, answers)
        async with out, replies:
            for number in range(count):
                began = time.perf_counter()
                await out.send(message_of(number))
                await replies.receive()
                seconds.append(time.perf_counter() - began)
    return seconds


__all__ = ["echo"]
