"""Plain generators, one inside the other: the floor. Nobody waits, nothing is bounded, nothing is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator

from headrace_bench.measuring import TimedRun
from headrace_bench.workload import Message, messages, passed, swallow


def pass_on(inputs: Iterator[Message]) -> Iterator[Message]:
    """Yield all messages."""
    for message in inputs:  # noqa: UP028 - a hop that looks at each message; `yield from` would not
        yield message


def apply(inputs: Iterator[Message]) -> Iterator[Message]:
    """Yield what a function makes of each message."""
    for message in inputs:
        yield passed(message)


def in_line(hops: int) -> TimedRun:
    """Return a run of a line that only hands messages on, as what sends and iterates does."""

    def run(count: int, _: str) -> float:
        began = time.perf_counter()
        chain = messages(count)
        for _hop in range(hops - 1):
            chain = pass_on(chain)
        for _message in chain:
            pass
        return time.perf_counter() - began

    return run


def in_line_of_functions(hops: int) -> TimedRun:
    """Return a run of a line that calls a function at each stage, and one at the end."""

    def run(count: int, _: str) -> float:
        began = time.perf_counter()
        chain = messages(count)
        for _hop in range(hops - 1):
            chain = apply(chain)
        for message in chain:
            swallow(message)
        return time.perf_counter() - began

    return run


__all__ = ["in_line", "in_line_of_functions"]
