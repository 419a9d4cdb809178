"""A blueprint of 300 components and 1,000 connections: how long ``check`` takes, and ``run`` until all of it runs.

Each sample is a process of its own, so that nothing is measured that an earlier one has warmed up.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from headrace_bench.measuring import Effort, NotAvailableError, Sample
from headrace_bench.race import Contender, Race, row

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


def check_in_process(file: Path, backend: str) -> float:
    """Return the seconds that checking takes."""
    return in_process("check", file, backend)


def run_in_process(file: Path, backend: str) -> float:
    """Return the seconds from loading until all components run."""
    return in_process("run", file, backend)


def check_command(file: Path, _: str) -> float:
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
    raise NotAvailableError(f"headrace run ended with {process.wait()} before all components ran")


@contextmanager
def large_blueprint(effort: Effort) -> Iterator[Path]:
    """Write the blueprint and the module of its components to a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.yaml")
        components, connections = effort.sized(COMPONENTS, 30), effort.sized(CONNECTIONS, 60)
        file.write_text(blueprint(components, connections), encoding="utf-8")
        Path(folder, "parts.py").write_text(PARTS, encoding="utf-8")
        yield file


def _sample(measure: Callable[[Path, str], float]) -> Sample:
    def sample(effort: Effort) -> float:
        with large_blueprint(effort) as file:
            return measure(file, effort.backend)

    return sample


def _race(name: str, title: str, measure: Callable[[Path, str], float], *, both_backends: bool) -> Race:
    return Race(
        title,
        "s",
        (Contender("headrace", _sample(measure)),),
        (row(f"large-blueprint/{name}", "headrace", reach="< 1 s"),),
        warm_up=False,
        both_backends=both_backends,
    )


_SIZE = f"{COMPONENTS} components, {CONNECTIONS:,} connections"

RACES = (
    _race("check", f"check {_SIZE}", check_in_process, both_backends=False),
    _race("check-command", f"`headrace check`, {_SIZE}", check_command, both_backends=False),
    _race("run", f"load and start {_SIZE}", run_in_process, both_backends=True),
    _race("run-command", f"`headrace run` until all run, {_SIZE}", run_command, both_backends=True),
)

__all__ = ["RACES", "blueprint", "large_blueprint"]
