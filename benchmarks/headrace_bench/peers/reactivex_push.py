"""reactivex: synchronous push through operators; no queue, no back-pressure."""

from __future__ import annotations

import time

import reactivex
from reactivex import operators

from headrace_bench.workload import messages, passed, swallow


def run_line(count: int) -> float:
    """Push messages through a map; return the seconds."""
    began = time.perf_counter()
    reactivex.from_iterable(messages(count)).pipe(operators.map(passed)).subscribe(swallow)
    return time.perf_counter() - began


__all__ = ["run_line"]
