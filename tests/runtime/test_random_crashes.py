"""Any graph, whoever crashes in it when: the books close, nothing is lost, and functions duplicate nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.test_random_graphs import Links, acyclic, ways

from headrace import Backoff, HarnessComponent, RestartPolicy, System, component

POLICY = RestartPolicy(max_restarts=1_000, backoff=Backoff(0))
Crashes = dict[tuple[int, int], str]
"""By component and number of calls: whether it crashes before or after it has sent what it received."""


class Source(HarnessComponent):
    """Sends numbered messages; the next life goes on where the last one has ended."""

    def __init__(self, name: str, node: int, count: int) -> None:
        super().__init__(name)
        self.node = node
        self.left = list(range(count))

    async def process(self) -> None:
        while self.left:
            if "out" in self.send_streams:
                await self.send_streams["out"].send((self.node, self.left[0]))
            del self.left[0]


class Relay(HarnessComponent):
    """Sends on what it receives, and crashes when it is its turn."""

    def __init__(self, name: str, node: int, crashes: Crashes, got: Counter[Any]) -> None:
        super().__init__(name)
        self.node = node
        self.crashes = crashes
        self.got = got
        self.calls = 0

    async def process(self) -> None:
        async for message in self.receive_streams["in"]:
            self.calls += 1
            when = self.crashes.pop((self.node, self.calls), "")
            if when == "before":
                raise ValueError(self.calls)
            self.got[self.node, message] += 1
            if "out" in self.send_streams:
                await self.send_streams["out"].send(message)
            if when:
                raise ValueError(self.calls)


def function(node: int, crashes: Crashes, systems: list[System]) -> Any:
    """Return a function that sends on what it gets; a task beside it crashes its component at its next wait."""
    calls = 0

    def crash_soon() -> None:
        nonlocal calls
        calls += 1
        if crashes.pop((node, calls), ""):
            supervised(systems[0], str(node)).spawn(fail)

    async def slowly(message: Any) -> Any:
        crash_soon()
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        return message

    def at_once(message: Any) -> Any:
        crash_soon()
        return message

    return component(slowly if node % 2 else at_once)


async def fail() -> None:
    """Crash whoever has this for a task."""
    raise ValueError("beside it")


def supervised(system: System, name: str) -> Any:
    """Return a component of the run under way."""
    assert system._run is not None
    return system._run.supervised[name]


def build(
    graph: tuple[int, Links],
    count: int,
    crashes: Crashes,
    got: Counter[Any],
    functions: set[int],
    **options: Any,
) -> System:
    """Return the system of a graph, whose components are functions or relays."""
    size, links = graph
    systems: list[System] = [System(**options)]
    (system,) = systems
    for node in range(size):
        made: Any = Source(str(node), node, count)
        if any(b == node for _, b in links):
            made = (
                function(node, crashes, systems)
                if node in functions
                else Relay(str(node), node, crashes, got)
            )
        system.add(str(node), made, restart=POLICY)
    for a, b in sorted(links):
        system.connect(f"{a}.out", f"{b}.in")
    return system


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=15, deadline=None)
@given(
    graph=acyclic(),
    count=st.integers(0, 30),
    buffer_size=st.integers(1, 5),
    crashes=st.dictionaries(
        st.tuples(st.integers(0, 6), st.integers(1, 40)), st.sampled_from(["before", "after"]), max_size=12
    ),
    functions=st.sets(st.integers(0, 6)),
    strategy=st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]),
    fuse=st.booleans(),
)
def test_whoever_crashes_nothing_is_lost_and_the_books_close(
    backend: str,
    graph: tuple[int, Links],
    count: int,
    buffer_size: int,
    crashes: Crashes,
    functions: set[int],
    strategy: Any,
    fuse: bool,
) -> None:
    size, links = graph
    got: Counter[Any] = Counter()
    planned = dict(crashes)

    async def main() -> Any:
        system = build(
            graph, count, planned, got, functions, buffer_size=buffer_size, strategy=strategy, fuse=fuse
        )
        with anyio.fail_after(60):
            return await system.run()

    report = anyio.run(main, backend=backend)
    assert report.outcome == "finished"
    assert report.ledger.closes
    assert report.ledger.totals.lost == 0
    assert report.dead_letters == ()
    expected = ways(size, links)
    wanted = Counter(
        {
            (node, (source, number)): expected[source, node]
            for source in range(size)
            for node in range(size)
            if any(b == node for _, b in links) and node not in functions
            for number in range(count)
            if expected[source, node]
        }
    )
    assert got >= wanted, "nothing is lost"
    if strategy == "one_for_one" and "after" not in crashes.values():
        assert got == wanted, "nothing is there twice"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=8, deadline=None)
@given(
    graph=acyclic(),
    after=st.integers(0, 60),
    buffer_size=st.integers(1, 5),
    crashes=st.dictionaries(
        st.tuples(st.integers(0, 6), st.integers(1, 40)), st.sampled_from(["before", "after"]), max_size=12
    ),
    pause=st.sampled_from([0, 0.001, 1_000]),
    strategy=st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]),
)
def test_a_stop_at_any_moment_of_any_restart_ends_in_time_with_books_that_close(
    backend: str,
    graph: tuple[int, Links],
    after: int,
    buffer_size: int,
    crashes: Crashes,
    pause: float,
    strategy: Any,
) -> None:
    got: Counter[Any] = Counter()
    policy = RestartPolicy(max_restarts=1_000, backoff=Backoff(pause, 1_000))

    async def main() -> Any:
        options: dict[str, Any] = {"buffer_size": buffer_size, "strategy": strategy, "source_grace": 0.01}
        system = build(graph, 100_000, dict(crashes), got, set(), **options)
        for member in system.wiring.members.values():
            member.restart = policy
        with anyio.fail_after(60):
            async with system:
                for _ in range(after):
                    await anyio.lowlevel.checkpoint()
                return await system.stop()

    report = anyio.run(main, backend=backend)
    assert report.outcome == "stopped"
    assert report.overruns == ()
    assert report.ledger.closes
    assert report.ledger.totals.lost == 0
