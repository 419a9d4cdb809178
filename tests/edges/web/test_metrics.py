"""What Prometheus reads: right by its own rules, and counters that only grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import anyio
import httpx
from anyio import fail_after
from prometheus_client.parser import text_string_to_metric_families
from tests.servers import program

from headrace.edges.web.access import Access
from headrace.edges.web.application import application
from headrace.edges.web.metrics import BOUNDS
from headrace.edges.web.site import Site
from headrace.runtime.system_execution_harness import System


def system(turns: list[anyio.Event]) -> System:
    """Return a system that sends a message at each turn, and fails on the 2."""

    async def numbers() -> AsyncIterator[int]:
        for number, turn in enumerate(turns):
            await turn.wait()
            yield number

    def fails(number: int) -> int:
        if number == 2:
            raise ValueError('a "quoted" message')
        return number

    got: list[int] = []
    made = System('the "system"', source_grace=0.01)
    made.add("numbers", numbers)
    made.add("fails", fails, attempts=1)
    made.add("sink", got.append)
    made.connect("numbers", "fails")
    made.connect("fails", "sink", buffer_size=7)
    return made


def client(made: System) -> httpx.AsyncClient:
    """Return a client of a system's application."""
    transport = httpx.ASGITransport(application(Site(made, Access(trusted=True))))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def read(web: httpx.AsyncClient) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return all samples."""
    text = (await web.get("/metrics")).text
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(one for one in sample.labels.items() if one[0] != "system"))
            found[sample.name, labels] = sample.value
    return found


async def test_promtool_has_nothing_to_say(anyio_backend: str) -> None:
    turns = [anyio.Event() for _ in range(5)]
    made = system(turns)
    async with made, client(made) as web:
        for turn in turns:
            turn.set()
        await anyio.wait_all_tasks_blocked()
        response = await web.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    done = await anyio.run_process(
        [program("promtool"), "check", "metrics"], input=response.content, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_the_figures_are_those_of_the_snapshot() -> None:
    turns = [anyio.Event() for _ in range(5)]
    made = system(turns)
    async with made, client(made) as web:
        for turn in turns:
            turn.set()
        await made.wait()
        found = await read(web)
    way = "fails.out -> sink.in"
    assert found["headrace_messages_total", (("way", "in"),)] == 5
    assert found["headrace_messages_total", (("way", "out"),)] == 4
    assert (
        found["headrace_component_dead_letters_total", (("component", "fails"), ("kind", "ValueError"))] == 1
    )
    assert found["headrace_component_messages_sent_total", (("component", "fails"),)] == 4
    assert found["headrace_edge_messages_accepted_total", (("edge", way),)] == 4
    assert found["headrace_edge_messages_capacity", (("edge", way),)] == 7
    assert found["headrace_component_state", (("component", "sink"), ("state", "stopped"))] == 1
    assert found["headrace_component_state", (("component", "sink"), ("state", "running"))] == 0
    assert found["headrace_up", ()] == 0
    buckets = [
        found["headrace_edge_wait_seconds_bucket", (("edge", way), ("le", f"{one:g}"))] for one in BOUNDS
    ]
    assert buckets == sorted(buckets)


async def test_counters_do_not_go_down_over_crashes_restarts_and_redrives() -> None:
    turns = [anyio.Event() for _ in range(60)]
    made = system(turns)
    seen: list[Mapping[Any, float]] = []
    with fail_after(60):
        async with made, client(made) as web:
            for number, turn in enumerate(turns[:40]):
                turn.set()
                if number % 10 == 3:
                    await made.restart_component("fails")
                if number % 10 == 7:
                    await made.redrive()
                await anyio.wait_all_tasks_blocked()
                seen.append(await read(web))
    counters = [key for key in seen[-1] if key[0].endswith(("_total", "_bucket", "_sum", "_count"))]
    assert len(counters) > 40
    for before, after in pairwise(seen):
        for key in counters:
            assert after.get(key, 0) >= before.get(key, 0), key
    assert seen[-1]["headrace_component_restarts_total", (("component", "fails"),)] == 4
    # The 2 died once, and again each time it was sent once more.
    assert (
        seen[-1]["headrace_component_dead_letters_total", (("component", "fails"), ("kind", "ValueError"))]
        == 5
    )
