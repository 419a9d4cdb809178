"""Functions for the tests of ``run_in``: a worker process imports them from here."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

from headrace import Meta, Rejected, Resource, component

RELEASED = threading.Event()
"""Lets threads go on that are stuck in ``get_stuck``."""
STUCK = threading.Event()
"""Tells that one is."""


@component
def numbers(*, count: int) -> Iterator[int]:
    yield from range(count)


@component
def endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


@component(attempts=2, backoff=0)
def various(number: int) -> Iterator[int | Rejected[int] | None]:
    """Give three outputs, one, none, a rejection, or an error that is not the first thing it does."""
    match number % 7:
        case 0:
            yield from (number, number, number)
        case 1:
            yield None
        case 2:
            yield Rejected(number, "two")
        case 3:
            yield number
            raise ValueError(f"three in {number}")
        case _:
            yield number


@component
def plus(number: int, *, step: int = 1) -> int:
    return number + step


@component
def where(_number: int) -> int:
    return os.getpid()


@component
def die_at(number: int, *, fatal: int) -> int:
    if number == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@component(on_error="crash", attempts=1)
def fail_at(number: int, *, fatal: int) -> int:
    if number == fatal:
        raise ValueError("fatal")
    return number


@component
def leave(number: int) -> int:
    if number == 10:
        raise SystemExit(3)
    return number


@component(attempts=3, backoff=0)
def told(number: int, *, meta: Meta) -> tuple[int, int]:
    """Fail twice on the odd ones, and tell the attempt."""
    if number % 2 and meta.attempt < 3:
        raise ValueError("once more")
    return number, meta.attempt


@component
def looked_up(number: int, *, table: Resource[dict[int, str]]) -> str:
    return table.get(number, "?")


@component
def get_stuck(number: int) -> int:
    STUCK.set()
    RELEASED.wait()
    return number


@component
def once_round(number: int) -> int | None:
    return number - 1 if number else None


@component
async def asynchronous(number: int) -> int:
    return number


@component(run_in="process")
def away(number: int) -> int:
    return os.getpid()


class Part:
    """No function."""

    def __init__(self, name: str, config: object = None) -> None:
        self.name = name

    async def setup(self) -> None: ...

    async def process(self) -> None: ...

    async def cleanup(self) -> None: ...
