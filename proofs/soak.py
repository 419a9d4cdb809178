"""Proves that nothing is lost while components crash all the time: millions of messages, thousands of restarts.

``python proofs/soak.py [--messages N] [--every SECONDS] [--backend asyncio|trio|both] [--seed N]`` exits with 1 if
a message was lost, a function duplicated one, the books do not close, or memory has grown.
"""

from __future__ import annotations

import argparse
import gc
import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from headrace import Backoff, HarnessComponent, In, Out, RestartPolicy, ShutdownReport, System, component

__all__ = ["Soak", "main"]

ALLOWED_GROWTH = 1.2
"""Resident memory at the end, over that at a tenth."""
_LONGEST_PAUSE = 0.02
"""Seconds that a back-off may take."""
_SLOW = 0.002
"""Seconds that a slow consumer stops for, once in a while."""


class Source(HarnessComponent):
    """Sends the numbers; the next life goes on where the last one was, because it stays the same object."""

    out: Out[int]

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name)
        self.count = count
        self.sent = 0

    async def process(self) -> None:
        """Send a message, and only then count it: a send that was cancelled has reached nobody."""
        while self.sent < self.count:
            await self.out.send(self.sent)
            self.sent += 1


class Relay(HarnessComponent):
    """Sends on what it receives; crashes with a message in hand, before it has sent it or after."""

    in_: In[int]
    out: Out[int]
    accumulates = False
    doom = ""

    async def process(self) -> None:
        """Send on, slowly now and then."""
        async for number in self.in_:
            if self.doom == "before":
                raise Doomed(self.name)
            await self.out.send(number)
            if self.doom:
                raise Doomed(self.name)
            if number % 1_000 == 0:
                await anyio.sleep(_SLOW)


class Tally(HarnessComponent):
    """Counts how often each number has come; it never crashes."""

    in_: In[int]

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name)
        self.seen = bytearray(count)

    async def process(self) -> None:
        """Count."""
        seen = self.seen
        async for number in self.in_:
            seen[number] += 1

    @property
    def lost(self) -> int:
        """How many numbers have never come."""
        return self.seen.count(0)

    @property
    def duplicated(self) -> int:
        """How many came once too often."""
        return sum(self.seen) - (len(self.seen) - self.lost)


class Doomed(Exception):
    """Raised in a component that was picked."""


def odd(number: int) -> int:
    """Do a little work."""
    return number


async def slowly(number: int) -> int:
    """Wait now and then, with a message in hand."""
    if number % 100 == 0:
        await anyio.lowlevel.checkpoint()
    return number


RAW = ("source", "raw1", "raw2", "raw3", "raw4")
FUNCTIONS = ("double", "wait", "check", "race", "pass")


@dataclass
class Soak:
    """One run of the proof.

    Args:
        messages: How many numbers are sent, down two branches of five components each.
        every: Seconds between two crashes, on average.
        seed: For the choice of who crashes when.
        say: Told how far it is.
    """

    messages: int
    every: float = 0.05
    seed: int = 1
    say: Callable[[str], None] = print
    crashes: int = 0
    memory: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.raw = Tally("raw", self.messages)
        self.functions = Tally("functions", self.messages)
        self.source = Source("source", self.messages)
        self.system = self._build()

    def _build(self) -> System:
        system = System("soak", buffer_size=200, shutdown_timeout=60)
        system.add("source", self.source, restart=self._policy())
        for name in RAW[1:]:
            system.add(name, Relay, restart=self._policy(), attempts=1_000)
        kinds: dict[str, Any] = {
            "double": component(odd),
            "wait": component(slowly),
            "check": component(odd),
            "race": component(concurrency=4)(slowly),
            "pass": component(odd),
        }
        for name, kind in kinds.items():
            system.add(name, kind, restart=self._policy(), attempts=1_000)
        system.add("raw", self.raw)
        system.add("functions", self.functions)
        for chain in ((*RAW, "raw"), ("source", *FUNCTIONS, "functions")):
            for sender, receiver in pairwise(chain):
                system.connect(sender, receiver)
        return system

    def _policy(self) -> RestartPolicy:
        pause = self.chance.uniform(0, _LONGEST_PAUSE)
        return RestartPolicy(max_restarts=10_000_000, backoff=Backoff(pause, _LONGEST_PAUSE, jitter=1))

    async def run(self) -> ShutdownReport:
        """Run the system, and crash its components until it has ended."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._crash_now_and_then)
            tasks.start_soon(self._watch_memory)
            report = await self.system.run()
            tasks.cancel_scope.cancel()
        self.memory.append(resident_kib())
        return report

    async def _crash_now_and_then(self) -> None:
        while True:
            await anyio.sleep(self.chance.expovariate(1 / self.every))
            run = self.system._run
            name = self.chance.choice((*RAW, *FUNCTIONS))
            one = None if run is None else run.supervised.get(name)
            if one is None or not one.alive or one.between is not None:
                continue
            made = self.system.components[name]
            if isinstance(made, Relay) and self.chance.random() < 0.7:
                made.doom = self.chance.choice(("before", "after"))
            else:
                one.inject(Doomed(name))
            self.crashes += 1

    async def _watch_memory(self) -> None:
        tenth = 0
        while True:
            await anyio.sleep(0.02)
            if self.source.sent * 10 >= self.messages * (tenth + 1):
                tenth = self.source.sent * 10 // self.messages
                self.memory.append(resident_kib())
                self.say(
                    f"  {self.source.sent:>9,} messages, {self.crashes:>6,} crashes, {self.memory[-1]:,} KiB"
                )

    def verdict(self, report: ShutdownReport) -> list[str]:
        """Return what was promised and not kept."""
        redelivered = {one.component: one.redelivered for one in report.restarts}
        counted = sum(redelivered.get(name, 0) for name in RAW)
        restarts = sum(one.restarts for one in report.restarts)
        self.say(f"  crashes {self.crashes:,}, restarts {restarts:,}, {report.summary()}")
        self.say(f"  functions: {self.functions.lost:,} lost, {self.functions.duplicated:,} duplicated")
        self.say(
            f"  raw: {self.raw.lost:,} lost, {self.raw.duplicated:,} duplicated of {counted:,} redelivered"
        )
        promises = {
            "it finished": report.outcome == "finished",
            "functions lost and duplicated nothing": not (self.functions.lost or self.functions.duplicated),
            "raw components lost nothing": not self.raw.lost,
            "duplicates are at most what was redelivered": self.raw.duplicated <= counted,
            "nothing died": not report.dead_letters,
            "the ledger closes, with nothing lost": report.ledger.closes and not report.ledger.totals.lost,
            "everybody that crashed was restarted": restarts >= self.crashes * 0.9,
            "exit code 0": report.exit_code() == 0,
        }
        return [promise for promise, is_kept in promises.items() if not is_kept]

    def growth(self) -> float:
        """Return resident memory at the end over that at a tenth."""
        return self.memory[-1] / self.memory[0]


def resident_kib() -> int:
    """Return this process's resident memory now, in KiB (Linux)."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def prove(messages: int, every: float, backend: str, seed: int) -> bool:
    """Run the proof on one backend; returns whether all promises were kept."""
    print(f"{backend}: {messages:,} messages, a crash every {every * 1000:g} ms, seed {seed}", flush=True)
    began = time.perf_counter()
    soak = Soak(messages, every, seed, lambda line: print(line, flush=True))
    report = anyio.run(soak.run, backend=backend)
    broken = soak.verdict(report)
    if soak.growth() > ALLOWED_GROWTH:
        broken.append(f"memory is flat (it is {soak.growth():.2f} times what it was at a tenth)")
    seconds = time.perf_counter() - began
    print(
        f"  memory at the end over a tenth: {soak.growth():.2f}; {seconds:.1f} s, {messages / seconds:,.0f}/s"
    )
    print(f"  {'NOT held: ' + '; '.join(broken) if broken else 'held'}", flush=True)
    return not broken


def main(argv: Sequence[str] = ()) -> int:
    """Run it on one backend or both; 0 if everything was kept."""
    parser = argparse.ArgumentParser(prog="prove soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=5_000_000)
    parser.add_argument("--every", type=float, default=0.05, help="seconds between two crashes, on average")
    parser.add_argument("--backend", choices=("asyncio", "trio", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(list(argv))
    logging.getLogger("headrace").setLevel(logging.CRITICAL + 1)  # thousands of tracebacks that are meant
    backends = ("asyncio", "trio") if options.backend == "both" else (options.backend,)
    kept = [prove(options.messages, options.every, backend, options.seed) for backend in backends]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
