"""aiostream: asynchronous generators joined by pipes; no queue between them."""

from __future__ import annotations

import asyncio
import time

from aiostream import pipe, stream

from headrace_bench.workload import messages, passed, swallow


async def line(count: int) -> float:
    """Run messages through a map; return the seconds."""
    began = time.perf_counter()
    async with (stream.iterate(messages(count)) | pipe.map(passed)).stream() as results:
        async for message in results:
            swallow(message)
    return time.perf_counter() - began


def run_line(count: int) -> float:
    """Run it in an event loop of its own; return its seconds."""
    return asyncio.run(line(count))


__all__ = ["run_line"]
