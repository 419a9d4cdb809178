"""Any graph in which anybody is paused at any moment: everything is delivered as often as there are ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import HarnessComponent, component
from headrace.exceptions import ComponentEndedError, HarnessNotRunning
from headrace.model.restart_policy import Backoff, RestartPolicy
from headrace.runtime.system_execution_harness import System

KINDS = ("raw", "batches", "map", "flat", "async", "concurrent", "thread")
RESTARTS = RestartPolicy(max_restarts=10_000, backoff=Backoff(0.0, 0.0))
Links = set[tuple[int, int]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], Links]:
    """Draw components of some kinds, and links from lower to higher ones."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=6))
    pairs = [(a, b) for a in range(len(kinds)) for b in range(a + 1, len(kinds))]
    return kinds, set(draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=8)))


class Raw(HarnessComponent):
    """Sends on what it gets, or numbers where nothing is connected; crashes at every so many messages."""

    def __init__(self, name: str, kind: str, count: int, got: Counter[Any], crash_every: int) -> None:
        super().__init__(name)
        self.kind = kind
        self.count = count
        self.got = got
        self.crash_every = crash_every
        self.taken = 0

    async def process(self) -> None:
        if not self.receive_streams:
            for number in range(self.count):
                await self.send((self.name, number))
            return
        stream: Any = self.receive_streams["in"]
        if self.kind == "batches":
            async for batch in stream.batch(3, within=0.001):
                for message in batch:
                    await self.pass_on(message)
            return
        async for message in stream:
            await self.pass_on(message)

    async def pass_on(self, message: Any) -> None:
        self.taken += 1
        if self.crash_every and self.taken % self.crash_every == 0:
            raise ValueError("no")
        await self.send(message)

    async def send(self, message: Any) -> None:
        self.got[message] += 1
        if "out" in self.send_streams:
            await self.send_streams["out"].send(message)


def function(kind: str, got: Counter[Any]) -> Any:
    """Return a function component that sends on what it gets."""

    def take(message: tuple[str, int]) -> tuple[str, int]:
        got[message] += 1
        return message

    async def take_async(message: tuple[str, int]) -> tuple[str, int]:
        await checkpoint()
        return take(message)

    def take_flat(message: tuple[str, int]) -> Iterator[tuple[str, int]]:
        yield take(message)

    if kind == "concurrent":
        return component(concurrency=3)(take_async)
    if kind == "thread":
        return component(run_in="thread")(take)
    return component({"async": take_async, "flat": take_flat}.get(kind, take))


def source(name: str, count: int) -> Any:
    """Return a function that is a source."""

    def numbers() -> Iterator[tuple[str, int]]:
        yield from ((name, number) for number in range(count))

    return component(numbers)


async def pause_at_random(system: System, moves: list[tuple[str, int]]) -> None:
    """Pause and resume, a few turns of the event loop apart, and resume everything in the end."""
    for name, turns in moves:
        with suppress(ComponentEndedError, HarnessNotRunning):
            with anyio.move_on_after(0.002):
                await system.pause(name or None)
            for _ in range(turns):
                await checkpoint()
            if turns % 3:
                await system.resume(name or None)
    with suppress(HarnessNotRunning):
        await system.resume()


async def run_it(
    graph: tuple[list[str], Links], count: int, crash_every: int, options: dict[str, Any], moves: Any
) -> None:
    """Run a graph, pause as drawn, and look at what has arrived."""
    kinds, links = graph
    targets = {b for _, b in links}
    got: dict[int, Counter[Any]] = {node: Counter() for node in range(len(kinds))}
    system = System(**options)
    for node, kind in enumerate(kinds):
        made: Any = Raw(str(node), kind, count, got[node], crash_every)
        if kind not in ("raw", "batches"):
            made = function(kind, got[node]) if node in targets else source(str(node), count)
        system.add(str(node), made, restart=RESTARTS)
    for a, b in sorted(links):
        system.connect(f"{a}.out", f"{b}.in")
    with fail_after(30):
        async with create_task_group() as group:
            await group.start(system.run)
            await pause_at_random(system, [(str(int(n) % len(kinds)) if n else "", t) for n, t in moves])
    assert system.report is not None
    assert system.report.clean
    assert system.report.outcome == "finished"
    for node in targets:
        wanted = expected(len(kinds), links, node, count)
        assert got[node] == wanted if not crash_every else got[node] >= wanted  # batches come again


def expected(size: int, links: Links, node: int, count: int) -> Counter[Any]:
    """Count how often each message gets to a component: once for each way."""
    ways = [Counter[int]() for _ in range(size)]
    for one in range(size):
        sources = [a for a, b in links if b == one]
        ways[one] = sum((ways[a] for a in sources), Counter()) if sources else Counter({one: 1})
    return Counter({(str(s), n): times for s, times in ways[node].items() for n in range(count)})


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=40, deadline=None)
@given(
    graph=graphs(),
    count=st.integers(0, 40),
    buffer_size=st.integers(1, 8),
    fuse=st.booleans(),
    crash_every=st.sampled_from([0, 0, 5]),
    moves=st.lists(
        st.tuples(st.sampled_from(["", "0", "1", "2", "3", "4", "5"]), st.integers(0, 12)), max_size=8
    ),
)
def test_whoever_is_paused_everything_arrives(
    backend: str, graph: Any, count: int, buffer_size: int, fuse: bool, crash_every: int, moves: Any
) -> None:
    options = {"buffer_size": buffer_size, "fuse": fuse}
    anyio.run(run_it, graph, count, crash_every, options, moves, backend=backend)
