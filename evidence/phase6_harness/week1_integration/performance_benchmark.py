"""The figures of spec.md section 5, measured: each against its requirement, on both backends.

Prints ``name backend value unit requirement PASS|MISS``, and beside it the goal of targets.md for information.
A figure that misses its requirement makes the exit code 1. Values are medians of several runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import anyio

from headrace import HarnessComponent, StreamFramework, StreamManager, SystemExecutionHarness
from headrace.exceptions import HeadraceError

BACKENDS = ("asyncio", "trio")
REQUIREMENTS = {
    "startup": ("<", 100.0, "ms"),  # per component
    "latency": ("<", 10.0, "ms"),
    "throughput": (">", 1000.0, "msg/s"),  # per stream
    "memory": ("<", 50.0, "MB"),  # resident baseline
    "cpu": ("<", 1.0, "%"),  # ours: spec.md names no figure for an idle system
    "shutdown": ("<", 5.0, "s"),
}
GOALS = {
    "startup of each of 1,000 components": 1.0,
    "latency p50": 0.1,
    "memory over bare Python and AnyIO": 20.0,
    "memory per idle component": 10.0,
    "shutdown of 1,000 idle components": 1.0,
}  # of targets.md, in the unit of the figure; each is to be below
Samples = dict[str, float]


@dataclass(frozen=True)
class Figure:
    """One measured value; ``requirement`` and ``passed`` are None where it is for information."""

    name: str
    backend: str
    value: float
    unit: str
    requirement: str | None
    passed: bool | None
    goal: float | None

    def __str__(self) -> str:
        verdict = "info" if self.passed is None else "PASS" if self.passed else "MISS"
        goal = ""
        if self.goal is not None:
            met = "met" if self.value < self.goal else "not met"
            goal = f"(goal < {self.goal:g} {self.unit}: {met})"
        value = f"{self.value:>14,.3f} {self.unit:7}{self.requirement or '-':>14}"
        return f"{self.name:37}{self.backend:9}{value}  {verdict} {goal}".rstrip()


# --- the systems that are measured ------------------------------------------------------------------------


class Idle(HarnessComponent):
    """Waits: for the stop where it is the source, else for messages on both of its inputs."""

    async def process(self) -> None:
        if not self.receive_streams:
            await self.context.stop_event.wait()
            return
        for stream in self.receive_streams.values():
            async for _ in stream:
                pass


def idle_chain(components: int) -> SystemExecutionHarness:
    """Return a chain of idle components, each joined to the next by two edges."""
    harness = SystemExecutionHarness("idle", shutdown_timeout=60)
    for number in range(components):
        harness.register_component(f"c{number}", Idle(f"c{number}"))
    for number in range(components - 1):
        harness.connect(f"c{number}.out", f"c{number + 1}.in")
        harness.connect(f"c{number}.more", f"c{number + 1}.more")
    return harness


class Endless(HarnessComponent):
    """Sends until the system stops, or as many messages as it is told."""

    async def process(self) -> None:
        send, number = self.send_streams["out"].send, 0
        while not self.context.stop_event.is_set() and number != self.config.get("count"):
            await send({"id": number, "v": number * 1.5})
            number += 1


class Stage(HarnessComponent):
    """Passes on what it receives."""

    async def process(self) -> None:
        send = self.send_streams["out"].send
        async for item in self.receive_streams["in"]:
            await send(item)


class Sink(HarnessComponent):
    """Counts what it receives, and says when there were some."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.count = 0
        self.some = anyio.Event()

    async def process(self) -> None:
        async for _ in self.receive_streams["in"]:
            self.count += 1
            if self.count == 1000:
                self.some.set()


def busy_chain(hops: int, count: int | None) -> tuple[SystemExecutionHarness, Sink]:
    """Return a chain of one source, stages and a sink, joined by this many streams."""
    harness, sink = SystemExecutionHarness("busy", buffer_size=1000), Sink("sink")
    harness.register_component("c0", Endless("c0", {"count": count}))
    for number in range(1, hops):
        harness.register_component(f"c{number}", Stage(f"c{number}"))
        harness.connect(f"c{number - 1}.out", f"c{number}.in")
    harness.register_component("sink", sink)
    harness.connect(f"c{hops - 1}.out", "sink.in")
    return harness, sink


# --- the measurements: each returns one sample of each of its figures ----------------------------------------


async def startup(scale: float) -> Samples:
    """Build, wire, set up and start; per component, in ms."""
    samples = {}
    for components in (100, 1000):
        size = max(2, int(components * scale))
        began = time.perf_counter()
        harness = idle_chain(size)
        async with harness:
            samples[f"startup of each of {components:,} components"] = (
                (time.perf_counter() - began) / size * 1e3
            )
    return samples


async def latency(scale: float) -> Samples:
    """Send one message at a time to a waiting reader; from before ``send`` to after ``receive``, in ms."""
    taken: list[float] = []
    turn = [anyio.Event()]
    rounds = int(5000 * scale)

    class Ping(HarnessComponent):
        async def process(self) -> None:
            for _ in range(rounds):
                turn[0] = anyio.Event()
                await self.send_streams["out"].send(time.perf_counter())
                await turn[0].wait()

    class Pong(HarnessComponent):
        async def process(self) -> None:
            async for began in self.receive_streams["in"]:
                taken.append((time.perf_counter() - began) * 1e3)
                turn[0].set()

    harness = SystemExecutionHarness("latency")
    harness.add("ping", Ping)
    harness.add("pong", Pong)
    harness.connect("ping.out", "pong.in")
    await harness.run()
    taken.sort()
    return {
        "latency p50": taken[len(taken) // 2],
        "latency p99": taken[int(len(taken) * 0.99)],
        "latency max": taken[-1],
    }


async def throughput(scale: float) -> Samples:
    """Send many messages; per second and stream."""
    samples = {}
    for hops, count in ((1, int(200_000 * scale)), (10, int(30_000 * scale))):
        harness, sink = busy_chain(hops, count)
        began = time.perf_counter()
        await harness.run()
        samples[f"throughput per stream, {hops} hop{'s'[: hops > 1]}"] = count / (time.perf_counter() - began)
        if sink.count != count:
            raise SystemExit(f"{sink.count} of {count} messages arrived; the figures mean nothing")
    samples["throughput, StreamManager"] = await _stream_rate(int(30_000 * scale), framed=False)
    samples["throughput, StreamFramework"] = await _stream_rate(int(15_000 * scale), framed=True)
    return samples


async def _stream_rate(count: int, *, framed: bool) -> float:
    """Return messages a second through a stream of a manager, as objects or as serialised messages."""
    framework = StreamFramework()
    send, receive = StreamManager().create_stream(1000)

    async def read() -> None:
        async with receive:
            for _ in range(count):
                await (framework.receive_message(receive) if framed else receive.receive())

    began = time.perf_counter()
    async with anyio.create_task_group() as group, send:
        group.start_soon(read)
        for number in range(count):
            message = {"id": number, "v": number * 1.5}
            await (framework.send_message(send, message) if framed else send.send(message))
    return count / (time.perf_counter() - began)


async def cpu(scale: float) -> Samples:
    """Let a system of idle components stand for a second; the processor time it takes, in % of a core."""
    async with idle_chain(100):
        await anyio.sleep(0.1)
        began, used = time.perf_counter(), time.process_time()
        await anyio.sleep(max(0.2, scale))
        share = (time.process_time() - used) / (time.perf_counter() - began)
    return {"cpu of 100 idle components": share * 100}


async def shutdown(scale: float) -> Samples:
    """Stop gracefully; in seconds, from the request to the end of clean-up."""
    samples = {}
    harness = idle_chain(max(2, int(1000 * scale)))
    async with anyio.create_task_group() as group:
        await group.start(harness.run)
        samples["shutdown of 1,000 idle components"] = await _time_of(harness.stop)
    harness, sink = busy_chain(10, None)
    async with anyio.create_task_group() as group:
        await group.start(harness.run)
        await sink.some.wait()
        samples["shutdown under load, 10 hops"] = await _time_of(harness.stop)
    report = harness.report
    if report is None or report.ledger.totals.lost or report.overruns:
        raise SystemExit("the shutdown under load lost messages; its time means nothing")
    return samples


async def _time_of(what: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await what()
    return time.perf_counter() - began


# --- memory: each sample in a fresh process ------------------------------------------------------------------

RESIDENT = """
import sys, anyio
def resident():
    try:
        return int(open("/proc/self/statm").read().split()[1]) * __import__("resource").getpagesize()
    except OSError:
        return __import__("resource").getrusage(0).ru_maxrss * 1024
"""
BARE = """
async def main():
    print(resident())
"""
RUNNING = """
from headrace import HarnessComponent, SystemExecutionHarness
class Waits(HarnessComponent):
    async def process(self):
        for stream in self.receive_streams.values():
            async for _ in stream: pass
        await self.context.stop_event.wait()
def system(size):
    harness = SystemExecutionHarness()
    for n in range(size):
        harness.register_component(f"c{n}", Waits(f"c{n}"))
        if n:
            harness.connect(f"c{n - 1}.out", f"c{n}.in")
            harness.connect(f"c{n - 1}.more", f"c{n}.more")
    return harness
"""
BASELINE = (
    RUNNING
    + """
async def main():
    async with system(1):
        print(resident())
"""
)
GROWTH = (
    RUNNING
    + """
async def main():
    async with system(100):
        before = resident()
        async with system(int(sys.argv[2])):
            print(resident() - before)
"""
)
LAST = "anyio.run(main, backend=sys.argv[1])\n"


def probe(code: str, backend: str, *args: str) -> float:
    """Return what a program prints in a process of its own."""
    command = [sys.executable, "-c", RESIDENT + code + LAST, backend, *args]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory(backend: str, scale: float) -> Samples:
    """Measure a running harness and what each component adds; in MB and kB, resident."""
    size = max(100, int(1000 * scale))
    bare, baseline = probe(BARE, backend), probe(BASELINE, backend)
    return {
        "memory, running harness": baseline / 1e6,
        "memory over bare Python and AnyIO": (baseline - bare) / 1e6,
        "memory per idle component": probe(GROWTH, backend, str(size)) / size / 1e3,
    }


# --- the table --------------------------------------------------------------------------------------------------

INFORMATION = {
    "latency max": "ms",  # the worst of a run says more about what else the machine does than about us
    "memory over bare Python and AnyIO": "MB",
    "memory per idle component": "kB",
}
MEASURES: dict[str, Callable[[float], Awaitable[Samples]]] = {
    "startup": startup,
    "latency": latency,
    "throughput": throughput,
    "cpu": cpu,
    "shutdown": shutdown,
}


def sample(group: str, backend: str, scale: float) -> Samples:
    """Take one sample of each figure of a group."""
    if group == "memory":
        return memory(backend, scale)
    return anyio.run(MEASURES[group], scale, backend=backend)


def judge(group: str, backend: str, samples: list[Samples], limits: dict[str, float]) -> Iterator[Figure]:
    """Yield the median of each figure of a group, with its verdict."""
    sign, _, unit = REQUIREMENTS[group]
    for name in samples[0]:
        value = statistics.median(one[name] for one in samples)
        if name in INFORMATION:
            yield Figure(name, backend, value, INFORMATION[name], None, None, GOALS.get(name))
            continue
        passed = value < limits[group] if sign == "<" else value > limits[group]
        yield Figure(name, backend, value, unit, f"{sign} {limits[group]:,g}", passed, GOALS.get(name))


def requirement(text: str) -> tuple[str, float]:
    """Read ``name=value``."""
    name, _, value = text.partition("=")
    if name not in REQUIREMENTS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(REQUIREMENTS)}")
    return name, float(value)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="default: both")
    parser.add_argument("--only", choices=list(REQUIREMENTS), action="append", help="default: all")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs per figure; default: 5")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="size of each run; default: 1")
    parser.add_argument("--require", type=requirement, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def main() -> int:
    """Measure, print the table, and return 1 where a figure misses."""
    options = parse()
    limits = {name: limit for name, (_, limit, _) in REQUIREMENTS.items()} | dict(options.require)
    print(f"{'name':37}{'backend':9}{'value':>14} {'unit':7}{'requirement':>14}  verdict")
    figures: list[Figure] = []
    for backend in options.backend or BACKENDS:
        for group in options.only or REQUIREMENTS:
            samples = [sample(group, backend, options.scale) for _ in range(options.repeat)]
            for figure in judge(group, backend, samples, limits):
                print(figure, flush=True)
                figures.append(figure)
    missed = [f"{figure.name} ({figure.backend})" for figure in figures if figure.passed is False]
    print(f"{len(figures)} figures, medians of {options.repeat}; missed: {', '.join(missed) or 'none'}")
    if options.json:
        write_json(options.json, figures)
    return 1 if missed else 0


def write_json(path: str, figures: list[Figure]) -> None:
    """Write the figures as a JSON array."""
    rows: list[dict[str, Any]] = [asdict(figure) for figure in figures]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (HeadraceError, subprocess.CalledProcessError) as error:
        sys.exit(f"the benchmark could not run: {error}")
