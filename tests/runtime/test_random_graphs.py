"""Any graph runs to its end, delivers everything as often as there are ways, and its books close."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.runtime.system_execution_harness import System

Links = set[tuple[int, int]]


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[int, Links]:
    """Draw a number of components, and links from lower to higher ones."""
    size = draw(st.integers(2, 7))
    pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
    return size, set(draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=12)))


@st.composite
def cyclic(draw: st.DrawFn) -> tuple[int, Links]:
    """Draw a number of components, and any links between them, to oneself too."""
    size = draw(st.integers(1, 5))
    pairs = [(a, b) for a in range(size) for b in range(size)]
    return size, set(draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=8)))


def ways(size: int, links: Links) -> Counter[tuple[int, int]]:
    """Count the ways from each component without inputs to each component."""
    found: Counter[tuple[int, int]] = Counter()
    for source in range(size):
        if not any(b == source for _, b in links):
            found[source, source] = 1
            for node in range(source + 1, size):
                found[source, node] = sum(found[source, a] for a, b in links if b == node)
    return found


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=acyclic(), count=st.integers(0, 30), buffer_size=st.integers(1, 5))
def test_every_message_reaches_every_component_once_a_way(  # noqa: C901 - a whole system in one place
    parts: SimpleNamespace, backend: str, graph: tuple[int, Links], count: int, buffer_size: int
) -> None:
    size, links = graph
    got: dict[int, list[tuple[int, int]]] = {node: [] for node in range(size)}

    async def work(self: Any) -> None:
        node = int(self.name)
        outputs = list(self.send_streams.values())
        if not self.receive_streams:
            for number in range(count):
                for output in outputs:
                    await output.send((node, number))
            return
        async for message in self.receive_streams["in"]:
            got[node].append(message)
            for output in outputs:
                await output.send(message)

    async def main() -> None:
        system = System(buffer_size=buffer_size)
        for node in range(size):
            system.register_component(str(node), parts.Acting(str(node), work))
        for a, b in sorted(links):
            system.connect(f"{a}.out", f"{b}.in")
        with anyio.fail_after(30):
            report = await system.run()
        assert report.outcome == "finished"
        assert report.ledger.closes
        assert report.ledger.totals.lost == 0

    anyio.run(main, backend=backend)
    expected = ways(size, links)
    for node in range(size):
        if any(b == node for _, b in links):
            wanted = {(s, n): expected[s, node] for s in range(size) for n in range(count)}
            assert Counter(got[node]) == Counter({k: v for k, v in wanted.items() if v})


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=cyclic(), hops=st.integers(0, 5), inputs=st.integers(1, 2))
def test_a_graph_with_cycles_ends_by_itself_and_loses_nothing(  # noqa: C901 - a whole system in one place
    parts: SimpleNamespace, backend: str, graph: tuple[int, Links], hops: int, inputs: int
) -> None:
    size, links = graph

    async def relay(self: Any) -> None:
        async def read(stream: Any) -> None:
            async for left in stream:
                if left and "out" in self.send_streams:
                    await self.send_streams["out"].send(left - 1)

        async with anyio.create_task_group() as group:
            for stream in self.receive_streams.values():
                group.start_soon(read, stream)

    async def seed(self: Any) -> None:
        await self.send_streams["out"].send(hops)

    async def main() -> None:
        system = System(buffer_size=100_000)  # so that no cycle of full buffers comes up
        system.register_component("seed", parts.Acting("seed", seed))
        for node in range(size):
            system.register_component(str(node), parts.Acting(str(node), relay))
            system.connect("seed.out", f"{node}.in0")
        for a, b in sorted(links):
            system.connect(f"{a}.out", f"{b}.in{(a + b) % inputs}")
        with anyio.fail_after(30):
            report = await system.run()
        assert report.outcome == "finished"
        assert report.ledger.closes
        assert report.ledger.totals.lost == 0

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=acyclic(), after=st.integers(0, 40), buffer_size=st.integers(1, 5))
def test_a_graph_that_is_stopped_anywhere_drains_and_loses_nothing(  # noqa: C901 - a whole system in one place
    parts: SimpleNamespace, backend: str, graph: tuple[int, Links], after: int, buffer_size: int
) -> None:
    size, links = graph
    seen = 0

    async def work(self: Any) -> None:
        nonlocal seen
        output = self.send_streams.get("out")
        if not self.receive_streams:
            while not self.context.stop_event.is_set():
                await (anyio.lowlevel.checkpoint() if output is None else output.send(0))
            return
        async for message in self.receive_streams["in"]:
            seen += 1
            if seen > after:
                await system.stop()
            if output is not None:
                await output.send(message)

    async def main() -> None:
        nonlocal system
        system = System(buffer_size=buffer_size)
        for node in range(size):
            system.register_component(str(node), parts.Acting(str(node), work))
        for a, b in sorted(links):
            system.connect(f"{a}.out", f"{b}.in")
        with anyio.fail_after(30):
            report = await system.run()
        assert report.outcome == "stopped"
        assert report.overruns == ()
        assert report.ledger.closes
        assert report.ledger.totals.lost == 0

    system = System()
    anyio.run(main, backend=backend)
