"""AnyIO memory object streams: as the docs have it, ``send`` and ``async for``, and with ``*_nowait``."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import anyio
from anyio import EndOfStream, WouldBlock
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace_bench.measuring import TimedRun
from headrace_bench.workload import CAPACITY, Message, messages

SendStream = MemoryObjectSendStream[Message]
ReceiveStream = MemoryObjectReceiveStream[Message]


async def produce(outlets: Sequence[SendStream], count: int) -> None:
    """Send messages, each to all outlets."""
    for message in messages(count):
        for outlet in outlets:
            await outlet.send(message)
    for outlet in outlets:
        await outlet.aclose()


async def produce_to_one(outlet: SendStream, count: int) -> None:
    """Send messages."""
    async with outlet:
        for message in messages(count):
            await outlet.send(message)


async def pass_on(inlet: ReceiveStream, outlet: SendStream) -> None:
    """Pass all messages on."""
    async with inlet, outlet:
        async for message in inlet:
            await outlet.send(message)


async def consume(inlet: ReceiveStream) -> None:
    """Take all messages."""
    async with inlet:
        async for _ in inlet:
            pass


async def pass_on_nowait(inlet: ReceiveStream, outlet: SendStream) -> None:
    """Pass messages on without waiting where that can be."""
    async with inlet, outlet:
        while (message := await take(inlet)) is not None:
            await give(outlet, message)


async def consume_nowait(inlet: ReceiveStream) -> None:
    """Take messages without waiting where that can be."""
    async with inlet:
        while await take(inlet) is not None:
            pass


async def produce_nowait(outlet: SendStream, count: int) -> None:
    """Send messages without waiting where that can be."""
    async with outlet:
        for message in messages(count):
            try:
                outlet.send_nowait(message)
            except WouldBlock:
                await outlet.send(message)


async def take(inlet: ReceiveStream) -> Message | None:
    """Return the next message, or None at the end."""
    try:
        return inlet.receive_nowait()
    except WouldBlock:
        pass
    except EndOfStream:
        return None
    try:
        return await inlet.receive()
    except EndOfStream:
        return None


async def give(outlet: SendStream, message: Message) -> None:
    """Send one message."""
    try:
        outlet.send_nowait(message)
    except WouldBlock:
        await outlet.send(message)


Part = Callable[..., Coroutine[Any, Any, None]]


async def line(parts: tuple[Part, Part, Part], hops: int, count: int) -> float:
    """Run a line of a producer, stages and a consumer; return its seconds."""
    produce_part, stage, consume_part = parts
    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        outlet, inlet = anyio.create_memory_object_stream[Message](CAPACITY)
        group.start_soon(produce_part, outlet, count)
        for _ in range(hops - 1):
            outlet, next_inlet = anyio.create_memory_object_stream[Message](CAPACITY)
            group.start_soon(stage, inlet, outlet)
            inlet = next_inlet
        group.start_soon(consume_part, inlet)
    return time.perf_counter() - began


async def spread(width: int, count: int) -> float:
    """Send each message to several consumers; return the seconds."""
    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        pairs = [anyio.create_memory_object_stream[Message](CAPACITY) for _ in range(width)]
        group.start_soon(produce, [outlet for outlet, _ in pairs], count)
        for _, inlet in pairs:
            group.start_soon(consume, inlet)
    return time.perf_counter() - began


async def merge(width: int, count: int) -> float:
    """Let several producers share the messages and one consumer; return the seconds."""
    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        outlet, inlet = anyio.create_memory_object_stream[Message](CAPACITY)
        async with outlet:
            for _ in range(width):
                group.start_soon(produce_to_one, outlet.clone(), count // width)
        group.start_soon(consume, inlet)
    return time.perf_counter() - began


IDIOMATIC: tuple[Part, Part, Part] = (produce_to_one, pass_on, consume)
NOWAIT: tuple[Part, Part, Part] = (produce_nowait, pass_on_nowait, consume_nowait)


def in_line(hops: int, parts: tuple[Part, Part, Part] = IDIOMATIC) -> TimedRun:
    """Return a run of a line."""
    return lambda count, backend: anyio.run(partial(line, parts, hops, count), backend=backend)


def fan_out(width: int) -> TimedRun:
    """Return a run with one producer and several consumers."""
    return lambda count, backend: anyio.run(partial(spread, width, count), backend=backend)


def fan_in(width: int) -> TimedRun:
    """Return a run with several producers and one consumer."""
    return lambda count, backend: anyio.run(partial(merge, width, count), backend=backend)


__all__ = ["IDIOMATIC", "NOWAIT", "fan_in", "fan_out", "in_line"]
