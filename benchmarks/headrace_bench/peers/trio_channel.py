"""trio's memory channels. They run on trio, whatever the others run on."""

from __future__ import annotations

import time

import trio

from headrace_bench.workload import CAPACITY, Message, messages


async def produce(outlet: trio.MemorySendChannel[Message], count: int) -> None:
    """Send messages."""
    async with outlet:
        for message in messages(count):
            await outlet.send(message)


async def pass_on(inlet: trio.MemoryReceiveChannel[Message], outlet: trio.MemorySendChannel[Message]) -> None:
    """Pass all messages on."""
    async with inlet, outlet:
        async for message in inlet:
            await outlet.send(message)


async def consume(inlet: trio.MemoryReceiveChannel[Message]) -> None:
    """Take all messages."""
    async with inlet:
        async for _ in inlet:
            pass


async def line(hops: int, count: int) -> float:
    """Run a line; return its seconds."""
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        outlet, inlet = trio.open_memory_channel[Message](CAPACITY)
        nursery.start_soon(produce, outlet, count)
        for _ in range(hops - 1):
            outlet, next_inlet = trio.open_memory_channel[Message](CAPACITY)
            nursery.start_soon(pass_on, inlet, outlet)
            inlet = next_inlet
        nursery.start_soon(consume, inlet)
    return time.perf_counter() - began


def run_line(hops: int, count: int) -> float:
    """Run a line in an event loop of its own; return its seconds."""
    return trio.run(line, hops, count)


__all__ = ["run_line"]
