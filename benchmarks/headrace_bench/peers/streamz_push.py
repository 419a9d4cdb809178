"""streamz: synchronous push, a Python call a stage."""

from __future__ import annotations

import time

from streamz import Stream

from headrace_bench.workload import messages, passed, swallow


def run_line(count: int) -> float:
    """Push messages through a map; return the seconds."""
    began = time.perf_counter()
    source = Stream()
    source.map(passed).sink(swallow)
    for message in messages(count):
        source.emit(message)
    return time.perf_counter() - began


__all__ = ["run_line"]
