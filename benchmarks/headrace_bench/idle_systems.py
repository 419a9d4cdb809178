"""Systems that are there and do nothing: what it costs to start, to keep and to stop them.

``python -m headrace_bench.idle_systems BACKEND COMPONENTS`` prints the resident kilobytes of one; with
COMPONENTS ``bare``, those of Python and AnyIO alone.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING

import anyio

from .children import resident_kilobytes

if TYPE_CHECKING:
    from headrace import System


def idle_system(components: int) -> System:
    """Return a system of idle components, each joined to the two before it; twice as many edges as components.

    headrace is imported here, so that a process that measures Python and AnyIO alone has no part of it.
    """
    from headrace import System

    from .idle_components import Alone, Idle, IdleSink, IdleSource

    system = System("idle", buffer_size=100)
    system.add("c0", IdleSource if components > 1 else Alone)
    for number in range(1, components):
        system.add(f"c{number}", Idle if number < components - 1 else IdleSink)
        system.connect(f"c{number - 1}.out", f"c{number}.in")
        if number >= 2:
            system.connect(f"c{number - 2}.out", f"c{number}.in")
    return system


async def seconds_to_start(components: int) -> float:
    """Return the seconds from the first ``add`` until all components run."""
    began = time.perf_counter()
    system = idle_system(components)
    async with system:
        seconds = time.perf_counter() - began
        await system.stop()
    return seconds


async def seconds_to_stop(components: int) -> float:
    """Return the seconds from ``stop()`` until all components are cleaned up."""
    async with idle_system(components) as system:
        began = time.perf_counter()
        await system.stop()
        return time.perf_counter() - began


async def kilobytes_of(components: int) -> float:
    """Return the resident memory of this process while a system runs in it."""
    async with idle_system(components) as system:
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        kilobytes = resident_kilobytes()
        await system.stop()
    return kilobytes


async def bare_kilobytes() -> float:
    """Return the resident memory of a process that has imported AnyIO and runs its loop."""
    await anyio.wait_all_tasks_blocked()
    gc.collect()
    return resident_kilobytes()


def main(arguments: list[str]) -> None:
    """Print the figure that was asked for."""
    backend, components = arguments
    if components == "bare":
        print(anyio.run(bare_kilobytes, backend=backend))
    else:
        print(anyio.run(kilobytes_of, int(components), backend=backend))


if __name__ == "__main__":
    main(sys.argv[1:])
