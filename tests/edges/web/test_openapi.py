"""The OpenAPI document says what the routes do, and nothing that it allows breaks the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from headrace.edges.web.access import Access
from headrace.edges.web.application import ROUTES, application
from headrace.edges.web.openapi import openapi
from headrace.edges.web.site import Site
from headrace.runtime.system_execution_harness import System

DOCUMENT = openapi(ROUTES, "0")
STREAMS = ("/api/v1/events", "/api/v1/edges/{name}/tap")
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS: list[Any] = [status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    f"{method.upper()} {path}"
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path not in STREAMS
]


def system() -> System:
    """Return a system of which one message has died."""

    async def numbers() -> AsyncIterator[int]:
        yield 0
        await anyio.sleep_forever()

    def fails(number: int) -> None:
        raise ValueError(number)

    made = System("asked", source_grace=0.01)
    made.add("numbers", numbers)
    made.add("fails", fails, attempts=1)
    made.connect("numbers", "fails")
    return made


def client(made: System) -> httpx.AsyncClient:
    """Return a client of a system's application."""
    app = application(Site(made, Access(trusted=True)))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost"
    )


async def test_the_document_is_served_and_is_valid() -> None:
    async with client(system()) as web:
        found = (await web.get("/api/openapi.json")).json()
    assert found["openapi"] == "3.1.0"
    assert found["paths"].keys() == DOCUMENT["paths"].keys()
    schemathesis.openapi.from_dict(found).validate()


def test_every_operation_has_its_own_id_and_says_what_is_refused() -> None:
    operations = [one for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all("403" in one["responses"] for one in operations)
    for methods in DOCUMENT["paths"].values():
        if "post" in methods:
            assert methods["post"]["security"] == [{"token": []}]


def test_a_stream_says_the_types_of_its_events() -> None:
    content = DOCUMENT["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    assert content["x-events"]["delta"] == {"$ref": "#/components/schemas/Delta"}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("running", [True, False], ids=["running", "ended"])
def test_whatever_is_asked_is_answered_as_the_document_says(operation: str, running: bool) -> None:
    method, path = operation.split(" ", 1)
    cases = SCHEMA[path][method].as_strategy()

    @settings(
        max_examples=4,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(asked=st.lists(cases, min_size=4, max_size=4))
    def ask(asked: list[Any]) -> None:
        anyio.run(_ask_all, asked, running)

    ask()


async def _ask_all(asked: list[Any], running: bool) -> None:
    made = system()
    async with client(made) as web:
        if not running:
            await _send(web, asked)
            return
        async with made:
            await anyio.wait_all_tasks_blocked()
            await _send(web, asked)


async def _send(web: httpx.AsyncClient, asked: list[Any]) -> None:
    for case in asked:
        given_in = case.as_transport_kwargs(base_url="http://localhost")
        given_in.pop("cookies", None)
        response = await web.request(**given_in)
        is_probe = case.operation.path in ("/healthz", "/readyz")
        assert response.status_code < 500 or (is_probe and response.status_code == 503), response.text
        if response.status_code != 404 or case.operation.path.count("{"):
            case.validate_response(response, checks=CHECKS)
