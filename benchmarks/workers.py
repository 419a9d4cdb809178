"""What a worker process costs and gives: microseconds a batch, bytes a second, and the speed-up of two.

``python benchmarks/workers.py`` prints a table; medians, interleaved, on both backends.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio import to_process

from headrace.authoring.function_component import component
from headrace.runtime.process_workers import ProcessWorkers
from headrace.runtime.workers import LoopWorkers, ThreadWorkers, Workers

ROUNDS = 5
MILLISECOND = 14_000
"""Steps of ``burn`` that take about a millisecond."""


@component
def echo(message: Any) -> Any:
    """Give back what comes."""
    return message


@component
def burn(message: int) -> int:
    """Use the processor for about a millisecond."""
    total = 0
    for step in range(MILLISECOND):
        total += step * step
    return message


def burn_batch(messages: list[int]) -> list[int]:
    """Do what ``burn`` does to a batch, for the peer ``anyio.to_process``."""
    return [burn.fn(message) for message in messages]


async def seconds(work: Callable[[], Awaitable[Any]], times: int) -> float:
    """Return the seconds that one of some repetitions takes."""
    start = time.perf_counter()
    for _ in range(times):
        await work()
    return (time.perf_counter() - start) / times


async def shared(rooms: Workers, batches: int, size: int) -> float:
    """Return the seconds for some batches, four under way at a time."""
    left = iter(range(batches))

    async def feed() -> None:
        for number in left:
            await rooms.run(list(range(number * size, (number + 1) * size)))

    start = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(feed)
    return time.perf_counter() - start


async def by_anyio(batches: int, size: int) -> float:
    """Return the seconds for the same batches by ``anyio.to_process``, two processes."""
    left = iter(range(batches))
    limiter = anyio.CapacityLimiter(2)

    async def feed() -> None:
        for number in left:
            messages = list(range(number * size, (number + 1) * size))
            await to_process.run_sync(burn_batch, messages, limiter=limiter)

    start = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(feed)
    return time.perf_counter() - start


def show(what: str, values: list[float], unit: str) -> None:
    """Print a median with its spread."""
    print(f"  {what:<44}{statistics.median(values):>10.1f} {unit}  ({min(values):.1f} .. {max(values):.1f})")


async def batches() -> None:
    """Measure single batches: what each of the three costs."""
    one, hundred = [{"id": 1, "v": 1.5}], [{"id": i, "v": i * 1.5} for i in range(100)]
    big = [os.urandom(1 << 20)] * 8
    rows: dict[str, list[float]] = {}
    async with (
        LoopWorkers(echo.fn) as loop,
        ThreadWorkers(echo.fn) as thread,
        ProcessWorkers(echo) as process,
    ):
        for _ in range(ROUNDS):
            for name, rooms in (("loop", loop), ("thread", thread), ("process", process)):
                for label, batch, times in (("batch of 1", one, 500), ("batch of 100", hundred, 200)):
                    each = 1e6 * await seconds(lambda r=rooms, b=batch: r.run(b), times)  # type: ignore[misc]
                    rows.setdefault(f"{name}, {label}", []).append(each)
            took = await seconds(lambda: process.run(big), 10)
            rows.setdefault("process, MB/s (8 messages of 1 MiB, echoed)", []).append(8 * 1.048576 / took)
    for what, values in rows.items():
        show(what, values, "" if "MB/s" in what else "us")


async def speed_up() -> None:
    """Measure a millisecond of work a message, by two processes, one, and none."""
    await by_anyio(4, 20)
    names = ("2 processes", "1 process", "anyio.to_process, 2", "2 processes with one giant batch each")
    rows: dict[str, list[float]] = {name: [] for name in names}
    opened: list[float] = []
    start = time.perf_counter()
    async with (
        ProcessWorkers(burn, processes=2) as two,
        ProcessWorkers(burn) as one,
        LoopWorkers(burn.fn) as loop,
    ):
        opened.append(1e3 * (time.perf_counter() - start))
        for _ in range(ROUNDS):
            base = await shared(loop, 40, 20)
            rows["2 processes"].append(base / await shared(two, 40, 20))
            rows["1 process"].append(base / await shared(one, 40, 20))
            rows["anyio.to_process, 2"].append(base / await by_anyio(40, 20))
            rows[names[-1]].append(base / await shared(two, 2, 400))
    show("three processes open, both cores busy", opened, "ms")
    for what, values in rows.items():
        spread = f"({min(values):.2f} .. {max(values):.2f})"
        print(f"  {what + ', over the loop':<56}{statistics.median(values):>6.2f} x  {spread}")


async def measure() -> None:
    """Measure everything on one backend."""
    await batches()
    await speed_up()


def main() -> None:
    """Print the table of both backends."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for backend in ("asyncio", "trio"):
        print(backend)
        anyio.run(measure, backend=backend)


if __name__ == "__main__":
    main()
