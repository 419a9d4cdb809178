"""A blueprint of 300 components and 1,000 connections: how long `check` takes, and `run` until all of it runs.

Prints ``name backend value unit requirement PASS|MISS``; a figure that misses its requirement makes the exit
code 1. Values are medians of several processes, so that nothing is measured that an earlier run has warmed up.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random

BACKENDS = ("asyncio", "trio")
LIMIT = 1.0  # seconds, of each figure
COMPONENTS = 300
CONNECTIONS = 1_000
PARTS = '''
"""Components with types and settings, as an engineer's own are."""

from collections.abc import AsyncIterator

import anyio
import msgspec

from headrace import HarnessComponent, In, Out, component


class Reading(msgspec.Struct):
    sensor: str
    value: float


@component
async def source(*, sensor: str, every: float = 1.0) -> AsyncIterator[Reading]:
    while True:  # silent while it is measured: what one message costs is measured elsewhere
        await anyio.sleep(3600)
        yield Reading(sensor, every)


@component
async def stage(reading: Reading, *, factor: float = 1.0) -> Reading:
    return Reading(reading.sensor, reading.value * factor)


class Sink(HarnessComponent):
    in_: In[Reading]

    class Config(msgspec.Struct):
        label: str = ""

    async def process(self) -> None:
        async for _ in self.receive_streams["in"]:
            pass
'''


@dataclass(frozen=True)
class Figure:
    """One measured value, in seconds, against its requirement; ``cpu`` is what a whole process took."""

    name: str
    backend: str
    value: float
    cpu: float
    requirement: str
    passed: bool

    def __str__(self) -> str:
        verdict = "PASS" if self.passed else "MISS"
        value = f"{self.value:>10,.3f} s {self.requirement:>10}"
        return f"{self.name:36}{self.backend:9}{value}  {verdict}  (cpu {self.cpu:.3f} s)"


def blueprint(components: int, connections: int) -> str:
    """Return a blueprint of this size: sources, stages in a random graph without cycles, sinks."""
    rnd = Random(3)
    ends = max(1, components // 20)
    names = [f"c{number:04}" for number in range(components)]
    lines = ["system: large", "defaults: {buffer_size: 10}", "components:"]
    for number, name in enumerate(names):
        if number < ends:
            lines.append(f'  {name}: {{type: "parts:source", config: {{sensor: s{number}, every: 0.5}}}}')
        elif number < components - ends:
            lines.append(f'  {name}: {{type: "parts:stage", config: {{factor: {number / 10}}}, attempts: 2}}')
        else:
            lines.append(f'  {name}: {{type: "parts:Sink", config: {{label: "the {number}th"}}}}')
    lines.append("connections:")
    senders = names[: components - ends]
    made = {
        (rnd.choice(senders[:number]), name)
        for number, name in enumerate(names)
        if ends <= number < len(senders)
    }
    made |= {(name, rnd.choice(names[max(number + 1, ends) :])) for number, name in enumerate(senders)}
    made |= {(rnd.choice(senders), name) for name in names[components - ends :]}
    while len(made) < connections:
        receiver = rnd.randrange(ends, components)
        made.add((rnd.choice(senders[:receiver]), names[receiver]))
    for sender, target in sorted(made):
        if rnd.random() < 0.5:
            lines.append(f"  - {sender} -> {target}")
        else:
            lines.append(f"  - {{from: {sender}.out, to: {target}.in, buffer_size: 20}}")
    return "\n".join(lines) + "\n"


# --- what is measured: each in a process of its own ------------------------------------------------------------

IN_PROCESS = {
    "check": """
import contextlib, io, sys, time
from headrace.cli.main import run_cli
began = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    code = run_cli(["check", sys.argv[1]])
print(time.perf_counter() - began if code == 0 else "failed")
""",
    "run": """
import sys, time
import anyio
from headrace.edges.yaml_blueprint import load_system
async def main():
    began = time.perf_counter()
    system = load_system(sys.argv[1]).harness
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        print(time.perf_counter() - began)
        await system.stop()
anyio.run(main, backend=sys.argv[2])
""",
}


def in_process(what: str, file: Path, backend: str) -> float:
    """Return the seconds that a call takes in a process that has imported headrace and nothing of the blueprint."""
    command = [sys.executable, "-c", IN_PROCESS[what], file.name, backend]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def check_command(file: Path) -> float:
    """Return the seconds that ``headrace check`` takes, from its start to its end."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "headrace", "check", file.name]
    subprocess.run(command, cwd=file.parent, capture_output=True, check=True)
    return time.perf_counter() - began


def run_command(file: Path, backend: str) -> float:
    """Return the seconds from the start of ``headrace run`` until it says that all components run."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "headrace", "run", file.name, "--backend", backend]
    with subprocess.Popen(
        command, cwd=file.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("running "):
                seconds = time.perf_counter() - began
                process.terminate()
                process.stderr.read()
                return seconds
    raise SystemExit(f"headrace run ended with {process.wait()} before all components ran")


def measure(file: Path, backends: list[str], repeat: int) -> Iterator[Figure]:
    """Yield each figure."""
    yield judged("check", "-", partial(in_process, "check", file, ""), repeat)
    yield judged("check, as a command", "-", partial(check_command, file), repeat)
    for backend in backends:
        yield judged(
            "load and start, to all running", backend, partial(in_process, "run", file, backend), repeat
        )
        yield judged(
            "run, as a command, to all running", backend, partial(run_command, file, backend), repeat
        )


def judged(name: str, backend: str, sample: Callable[[], float], repeat: int) -> Figure:
    """Return the median of some samples with its verdict."""
    before = os.times()
    value = statistics.median(sample() for _ in range(repeat))
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Figure(name, backend, value, cpu / repeat, f"< {LIMIT:g} s", value < LIMIT)


def profile(file: Path) -> None:
    """Print where loading and starting spend their time, in this process."""
    import anyio

    from headrace.edges.yaml_blueprint import load_system

    os.chdir(file.parent)
    profiler = cProfile.Profile()

    async def main() -> None:
        profiler.enable()
        system = load_system(file.name).harness
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            profiler.disable()
            await system.stop()

    anyio.run(main)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="default: both")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="processes per figure; default: 5")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    return parser.parse_args()


def main() -> int:
    """Measure, print the table, and return 1 where a figure misses."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.yaml")
        file.write_text(blueprint(COMPONENTS, CONNECTIONS), encoding="utf-8")
        Path(folder, "parts.py").write_text(PARTS, encoding="utf-8")
        if options.profile:
            profile(file)
            return 0
        print(f"{COMPONENTS} components, {CONNECTIONS:,} connections")
        figures = []
        for figure in measure(file, options.backend or list(BACKENDS), options.repeat):
            print(figure, flush=True)
            figures.append(figure)
    missed = [f"{figure.name} ({figure.backend})" for figure in figures if not figure.passed]
    print(f"{len(figures)} figures, medians of {options.repeat}; missed: {', '.join(missed) or 'none'}")
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
