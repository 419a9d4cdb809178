"""eventkit: synchronous push of events through operators."""

from __future__ import annotations

import asyncio
import time

from headrace_bench.workload import messages, passed, swallow


async def line(count: int) -> float:
    """Push messages through a map; return the seconds."""
    import eventkit  # asks for the running event loop when it is imported

    began = time.perf_counter()
    source = eventkit.Event("source")
    mapped = source.map(passed)
    mapped += swallow
    for message in messages(count):
        source.emit(message)
    return time.perf_counter() - began


def run_line(count: int) -> float:
    """Run it in an event loop of its own; return its seconds."""
    return asyncio.run(line(count))


__all__ = ["run_line"]
