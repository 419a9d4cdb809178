"""A request over HTTP goes through the graph and its answer comes back; what has none is told why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from anyio import fail_after
from anyio.lowlevel import checkpoint

from headrace import Rejected, System, component
from headrace.components import GatewayReplies, GatewayRequests
from headrace.components.gateway import Gateway
from headrace.components.http_gateway import open_http_gateway
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import ConfigError, SystemFailed

Row = dict[str, Any]


@component
def price(row: dict[str, Any]) -> dict[str, Any] | Rejected[dict[str, Any]]:
    """Answer with a price, where there is one."""
    if row.get("fruit") == "stone":
        return Rejected(row, "no such fruit")
    return {**row, "price": 10}


class Asked:
    """A running system behind HTTP, and a client."""

    def __init__(self, system: System, client: httpx.AsyncClient) -> None:
        self.system = system
        self.client = client
        self.gateway: Gateway

    async def ask(self, row: object) -> httpx.Response:
        return await self.client.post(self.gateway.url, json=row)

    async def ask_into(self, answers: list[int], row: object) -> None:
        answers.append((await self.ask(row)).status_code)

    async def until_at_work(self, number: int) -> None:
        while len(self.gateway) < number:
            await checkpoint()


@asynccontextmanager
async def asked(work: Callable[..., Any] = price, **settings: Any) -> AsyncIterator[Asked]:
    """Run a system that answers requests in this block."""
    made = Asked(System("prices", shutdown_timeout=20), httpx.AsyncClient())

    @asynccontextmanager
    async def opened() -> AsyncIterator[Gateway]:
        async with open_http_gateway("127.0.0.1:0", **settings) as made.gateway:
            yield made.gateway

    system = made.system
    system.resource("gateway", opened)
    system.add("requests", GatewayRequests)
    system.add("work", work)
    system.add("replies", GatewayReplies)
    system.connect("requests", "work")
    system.connect("work.out", "replies")
    system.connect("work.rejected", "replies")
    with fail_after(60):
        async with made.client, system:
            yield made


async def test_a_request_is_answered_by_what_the_graph_makes_of_it() -> None:
    async with asked(path="/price") as made:
        answer = await made.ask({"fruit": "plum"})
        assert (answer.status_code, answer.json()) == (200, {"fruit": "plum", "price": 10})
        by_query = await made.client.get(made.gateway.url, params={"fruit": "fig"})
        assert by_query.json() == {"fruit": "fig", "price": 10}
        assert made.gateway.answered == 2


async def test_what_is_rejected_is_422_and_what_is_no_row_400() -> None:
    async with asked() as made:
        answer = await made.ask({"fruit": "stone"})
        assert (answer.status_code, answer.json()) == (422, {"error": "no such fruit"})
        assert (await made.ask([1])).json() == {
            "error": "the body must be an object of named fields, not list"
        }
        assert (await made.client.post(made.gateway.url, content=b"x")).status_code == 415
        assert (await made.client.delete(made.gateway.url)).status_code == 405


class Held:
    """Answers once it may."""

    def __init__(self) -> None:
        self.may = anyio.Event()

    def work(self) -> Callable[..., Any]:
        @component(concurrency=8)
        async def held(row: dict[str, Any]) -> dict[str, Any]:
            await self.may.wait()
            return row

        return held


async def test_past_its_capacity_it_is_503_with_retry_after() -> None:
    held, answers = Held(), list[int]()
    async with asked(held.work(), max_requests=2, retry_after=3) as made:
        async with anyio.create_task_group() as group:
            for number in range(2):
                group.start_soon(made.ask_into, answers, {"n": number})
            await made.until_at_work(2)
            refused = await made.ask({"n": 3})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
            assert refused.json()["error"] == "the request was refused: 2 requests are at work"
            held.may.set()
        assert answers == [200, 200]


async def test_no_answer_in_time_is_504() -> None:
    held = Held()
    async with asked(held.work(), timeout="50ms") as made:
        answer = await made.ask({"n": 1})
        assert (answer.status_code, answer.json()) == (504, {"error": "no answer came within 0.05 s"})
        held.may.set()


async def test_a_drain_answers_what_is_at_work_and_refuses_what_is_new() -> None:
    held, answers = Held(), list[int]()
    async with asked(held.work()) as made:
        async with anyio.create_task_group() as group:
            group.start_soon(made.ask_into, answers, {"n": 1})
            await made.until_at_work(1)
            made.system.request_stop()
            while made.gateway.is_open:
                await checkpoint()
            refused = await made.ask({"n": 2})
            assert refused.status_code == 503
            assert refused.json()["error"] == "the request was refused: the system takes no requests"
            held.may.set()
        assert answers == [200]
        await made.system.wait()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as late:
            await late.get(made.gateway.url)


async def test_who_leaves_is_not_answered_and_holds_nobody_up() -> None:
    held = Held()
    async with asked(held.work()) as made:
        address = httpx.URL(made.gateway.url)
        stream = await anyio.connect_tcp(address.host, address.port or 0)
        await stream.send(b"GET /?n=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        await made.until_at_work(1)
        await stream.aclose()
        held.may.set()
        assert (await made.ask({"n": 2})).status_code == 200
        with fail_after(30):
            while len(made.gateway):
                await checkpoint()


@pytest.mark.parametrize(
    ("settings", "field"), [({"path": "x"}, "path"), ({"max_requests": 0}, "max_requests")]
)
async def test_settings_that_do_not_fit_fail_the_start(settings: Mapping[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with open_http_gateway("127.0.0.1:0", **settings):
            raise AssertionError
    assert caught.value.field == field


async def test_a_blueprint_names_it(tmp_path: Any) -> None:
    from tests.servers import free_port

    port = free_port()
    path = tmp_path / "prices.yaml"
    path.write_text(
        f"""system: prices
resources:
  gateway: {{type: "headrace.components.http_gateway:open_http_gateway", config: {{listen: "127.0.0.1:{port}"}}}}
components:
  requests: {{type: gateway_requests}}
  price: {{type: map, config: {{rename: {{fruit: name}}}}}}
  replies: {{type: gateway_replies}}
connections:
  - requests -> price -> replies
"""
    )
    system = load_system(path).harness
    with fail_after(60):
        async with system, httpx.AsyncClient() as client:
            answer = await client.post(f"http://127.0.0.1:{port}/", json={"fruit": "plum"})
            assert answer.json() == {"name": "plum"}


async def test_an_address_in_use_is_told(tmp_path: Any) -> None:
    async with asked() as made:
        address = httpx.URL(made.gateway.url)
        system = System("other")
        system.resource("gateway", open_http_gateway, listen=f"127.0.0.1:{address.port}")
        system.add("requests", GatewayRequests)
        with pytest.raises(SystemFailed, match="Address already in use; take another port"):
            await system.run()
