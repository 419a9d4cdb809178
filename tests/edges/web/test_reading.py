"""What can be asked of a running system."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from headrace.edges.web import answers, records
from headrace.edges.web.access import Access
from headrace.edges.web.application import application
from headrace.edges.web.site import Site
from headrace.runtime.system_execution_harness import System

NUMBERS = "numbers.out -> double.in"


async def numbers() -> AsyncIterator[int]:
    for number in range(10):
        yield number
    await anyio.sleep_forever()


def double(number: int) -> int:
    if number == 7:
        raise ValueError("no sevens")
    return 2 * number


def nothing(number: int) -> None:
    return None


@pytest.fixture
def system() -> System:
    made = System("shown", source_grace=0.01)
    made.add("numbers", numbers)
    made.add("double", double)
    made.add("nothing", nothing)
    made.connect("numbers", "double")
    made.connect("double", "nothing")
    return made


def client(system: System, access: Access | None = None, **options: Any) -> httpx.AsyncClient:
    site = Site(system, access or Access(), **options)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application(site), raise_app_exceptions=False),
        base_url="http://localhost",
    )


async def test_a_snapshot_says_what_every_component_and_edge_has_done(system: System) -> None:
    async with system, client(system) as web:
        with anyio.fail_after(30):
            while not system.statistics().totals.dead:  # noqa: ASYNC110 - nobody is told of a death
                await anyio.sleep(0.01)
        await anyio.wait_all_tasks_blocked()
        response = await web.get("/api/v1/statistics")
        assert response.headers["content-type"] == "application/json"
        found = msgspec.json.decode(response.content, type=records.Snapshot)
    assert (found.version, found.system.name, found.system.state) == (1, "shown", "running")
    assert found.system.totals == records.TotalsRecord(taken_in=10, given_out=9, rejected=0, dead=1, lost=0)
    one = found.components["double"]
    assert (one.condition, one.received, one.acknowledged, one.sent) == ("running", 10, 9, 9)
    assert one.dead == {"ValueError": 1}
    edge = found.edges[NUMBERS]
    assert (edge.sender, edge.output, edge.receiver, edge.input) == ("numbers", "out", "double", "in")
    assert (edge.accepted, edge.delivered, edge.acknowledged, edge.dead, edge.left) == (10, 10, 9, 1, 0)
    assert edge.pressure == "idle"
    assert edge.open


async def test_the_graph_has_components_in_layers_from_the_sources(system: System) -> None:
    async with client(system) as web:
        response = await web.get("/api/v1/graph")
    graph = msgspec.json.decode(response.content, type=answers.Graph)
    assert {one.name: one.layer for one in graph.components} == {"numbers": 0, "double": 1, "nothing": 2}
    assert next((one.name, one.edges) for one in graph.links) == (NUMBERS, [NUMBERS])


async def test_what_is_not_there_is_answered_with_404_and_a_reason(system: System) -> None:
    async with client(system) as web:
        for path in (
            "components/none",
            "edges/none",
            "dead-letters/3",
            "dead-letters/x",
            "dead-letters?component=x",
        ):
            response = await web.get(f"/api/v1/{path}")
            assert response.status_code == 404, path
            assert msgspec.json.decode(response.content, type=answers.Problem).error
