"""What idle components cost: to start them, to keep them, to stop them."""

from __future__ import annotations

import anyio

from headrace_bench.children import figure_of
from headrace_bench.idle_systems import seconds_to_start, seconds_to_stop
from headrace_bench.measuring import Effort
from headrace_bench.race import Contender, Race, row

COMPONENTS = 1_000
OURS = "headrace"


def start(effort: Effort) -> float:
    """Return the milliseconds a component from building a system until all of it runs."""
    components = effort.sized(COMPONENTS, 50)
    return anyio.run(seconds_to_start, components, backend=effort.backend) * 1000 / components


def stop(effort: Effort) -> float:
    """Return the seconds that an orderly stop takes."""
    return anyio.run(seconds_to_stop, effort.sized(COMPONENTS, 50), backend=effort.backend)


def harness_memory(effort: Effort) -> float:
    """Return the megabytes that headrace with one idle component adds to Python and AnyIO."""
    ours = figure_of("idle_systems", effort.backend, 1)
    return (ours - figure_of("idle_systems", effort.backend, "bare")) / 1000


def component_memory(effort: Effort) -> float:
    """Return the kilobytes that one more idle component with its two edges adds."""
    few, many = effort.sized(200, 20), effort.sized(1_200, 120)
    sizes = [figure_of("idle_systems", effort.backend, components) for components in (few, many)]
    return (sizes[1] - sizes[0]) / (many - few)


RACES = (
    Race(
        "start 1,000 components with 2,000 edges, build included, a component",
        "ms",
        (Contender(OURS, start),),
        (row("startup/1000-components", OURS, reach="< 1 ms", stretch="< 0.2 ms"),),
    ),
    Race(
        "stop 1,000 idle components",
        "s",
        (Contender(OURS, stop),),
        (row("stop/1000-components", OURS, reach="< 1 s", stretch="< 0.1 s"),),
    ),
    Race(
        "memory of a running harness over Python and AnyIO",
        "MB",
        (Contender(OURS, harness_memory),),
        (row("memory/harness", OURS, reach="< 20 MB", stretch="< 8 MB"),),
        warm_up=False,
        rounds=3,
    ),
    Race(
        "memory of an idle component with 2 edges",
        "kB",
        (Contender(OURS, component_memory),),
        (row("memory/idle-component", OURS, reach="< 10 kB", stretch="< 4 kB"),),
        warm_up=False,
        rounds=3,
    ),
)

__all__ = ["RACES"]
