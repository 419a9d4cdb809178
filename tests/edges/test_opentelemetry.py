"""Traces: which messages are followed, what their spans say, and that nothing is there where nobody traces."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from headrace import HarnessComponent, In, Out, System, component
from headrace.components import GatewayReplies, GatewayRequests, SqliteSink
from headrace.components.gateway import Gateway
from headrace.edges.opentelemetry import WIDEST, trace_system
from headrace.exceptions import ConfigError
from headrace.runtime.log import tell_traces
from headrace.runtime.tracing import traced, traceparent
from headrace.streams.edge_store import MemoryStore

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Spans:
    """What was traced."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def of(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.of(name)
        return span


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    above = child.parent
    return (
        above is not None
        and above.span_id == parent.context.span_id
        and child.context.trace_id == parent.context.trace_id
    )


@pytest.fixture
def spans() -> Iterator[Spans]:
    yield Spans()
    tell_traces(dict)


class Front(HarnessComponent):
    """Stands for a server: sends the requests that it is given, each in a task of its own."""

    out: Out[dict[str, Any]]

    def __init__(self, name: str, requests: list[tuple[str, dict[str, Any]]]) -> None:
        super().__init__(name)
        self.requests = requests

    async def process(self) -> None:
        async with anyio.create_task_group() as group:
            for header, row in self.requests:
                group.start_soon(self._serve, header, row)

    async def _serve(self, header: str, row: dict[str, Any]) -> None:
        with traced(header, "POST /orders", self.out):
            await anyio.lowlevel.checkpoint()
            await self.out.send(row)


def numbers() -> Iterator[int]:
    yield from range(100)


def double(number: int) -> int:
    return number * 2


def nothing(number: object) -> None:
    pass


async def test_one_trace_goes_from_a_request_into_the_database(spans: Spans, tmp_path: Path) -> None:
    seen: list[str] = []

    @component(run_in="thread")
    def price(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(traceparent())
        return {**row, "price": row["n"] * 3}

    def keep(row: dict[str, Any]) -> dict[str, Any] | None:
        return row if row["n"] else None

    system = System("shop")
    system.add("front", Front("front", [("", {"n": 0}), (TRACEPARENT, {"n": 7}), ("nonsense", {"n": 9})]))
    system.add("keep", keep)
    system.add("price", price)
    system.add("store", SqliteSink, path=str(tmp_path / "shop.db"), table="orders")
    system.connect("front.out", "keep.in")
    system.connect("keep.out", "price.in")
    system.connect("price.out", "store.in")
    trace_system(system, tracer_provider=spans.provider, per_second=0)
    await system.run()

    mine = [span for span in spans.all() if format(span.context.trace_id, "032x") == TRACE_ID]
    request, kept, priced, stored = sorted(mine, key=lambda span: span.start_time or 0)
    assert [span.name for span in (request, kept, priced, stored)] == [
        "POST /orders",
        "keep",
        "price",
        "store",
    ]
    assert request.parent is not None
    assert format(request.parent.span_id, "016x") == "b7ad6b7169203331"
    assert is_child(kept, request)
    assert is_child(priced, kept)
    assert is_child(stored, priced)
    assert stored.attributes is not None
    assert stored.attributes["headrace.edge"] == "price.out -> store.in"
    assert float(str(stored.attributes["headrace.waited"])) >= 0
    assert len({span.context.trace_id for span in spans.all()}) == 3
    assert f"00-{TRACE_ID}-{priced.context.span_id:016x}-01" in seen
    with sqlite3.connect(tmp_path / "shop.db") as database:
        assert sorted(database.execute("SELECT n, price FROM orders")) == [(7, 21), (9, 27)]


async def test_of_a_source_a_message_now_and_then_is_followed(spans: Spans) -> None:
    system = System("s")
    system.add("numbers", numbers)
    system.add("double", double)
    system.add("sink", nothing)
    system.connect("numbers", "double")
    system.connect("double", "sink")
    trace_system(system, tracer_provider=spans.provider, per_second=0.001)
    report = await system.run()
    assert report.ledger.edges[0].accepted == 100
    begun, doubled, sunk = spans.one("numbers"), spans.one("double"), spans.one("sink")
    assert begun.parent is None
    assert is_child(doubled, begun)
    assert is_child(sunk, doubled)
    assert begun.attributes == {"headrace.system": "s", "headrace.component": "numbers"}


async def test_messages_are_all_there_and_in_order_while_many_are_followed(spans: Spans) -> None:
    got: list[int] = []
    system = System("s")
    system.add("numbers", numbers)
    system.add("double", double)
    system.add("sink", got.append)
    system.connect("numbers", "double")
    system.connect("double", "sink")
    trace_system(system, tracer_provider=spans.provider, per_second=1e9)
    report = await system.run()
    assert got == [2 * number for number in range(100)]
    assert report.ledger.disagreements() == ()
    assert len(spans.of("sink")) == len(spans.of("double")) == len(spans.of("numbers")) > 1


async def test_what_a_message_becomes_is_followed_on_every_way_up_to_a_bound(spans: Spans) -> None:
    def many(row: dict[str, int]) -> Iterator[int]:
        yield from range(WIDEST + 20)

    system = System("s")
    system.add("front", Front("front", [(TRACEPARENT, {})]))
    system.add("many", many)
    system.add("one", nothing)
    system.add("other", nothing)
    system.connect("front.out", "many.in")
    system.connect("many.out", "one.in")
    system.connect("many.out", "other.in")
    trace_system(system, tracer_provider=spans.provider, per_second=0)
    await system.run()
    assert len(spans.of("one")) == len(spans.of("other")) == WIDEST
    assert all(is_child(span, spans.one("many")) for span in spans.of("one") + spans.of("other"))


async def test_a_dead_letter_is_an_error_in_its_span_and_its_log_says_which_trace(spans: Spans) -> None:
    def fail(row: object) -> None:
        raise ValueError("no")

    system = System("s")
    system.add("front", Front("front", [(TRACEPARENT, {"n": 1})]))
    system.add("fail", fail, attempts=1)
    system.connect("front.out", "fail.in")
    trace_system(system, tracer_provider=spans.provider, per_second=0)
    await system.run()
    failed = spans.one("fail")
    assert (failed.status.status_code, failed.status.description) == (
        trace.StatusCode.ERROR,
        "the message is a dead letter",
    )
    [entry] = [entry for entry in system.logs() if entry.event == "message dead-lettered"]
    assert entry.trace_id == TRACE_ID


async def test_spans_of_the_user_are_part_of_the_trace(spans: Spans) -> None:
    tracer = spans.provider.get_tracer("mine")

    class Own(HarnessComponent):
        in_: In[Any]
        out: Out[Any]

        async def process(self) -> None:
            async for message in self.in_:
                with tracer.start_as_current_span("mine"):
                    await self.out.send(message)

    system = System("s")
    system.add("front", Front("front", [(TRACEPARENT, {})]))
    system.add("own", Own)
    system.add("sink", nothing)
    system.connect("front.out", "own.in")
    system.connect("own.out", "sink.in")
    trace_system(system, tracer_provider=spans.provider, per_second=0)
    await system.run()
    assert is_child(spans.one("mine"), spans.one("own"))
    assert is_child(spans.one("sink"), spans.one("mine"))


async def test_a_source_with_spans_of_its_own_begins_no_trace_beside_them(spans: Spans) -> None:
    tracer = spans.provider.get_tracer("mine")

    class Source(HarnessComponent):
        out: Out[int]

        async def process(self) -> None:
            for number in range(3):
                with tracer.start_as_current_span("mine"):
                    await self.out.send(number)

    system = System("s")
    system.add("source", Source)
    system.add("sink", nothing)
    system.connect("source.out", "sink.in")
    trace_system(system, tracer_provider=spans.provider, per_second=0.001)
    await system.run()
    assert spans.of("source") == []
    assert is_child(spans.one("sink"), spans.of("mine")[0])


async def test_what_came_unsampled_is_not_followed_and_nothing_is_sent_on(spans: Spans) -> None:
    sent: list[str] = []

    def look(row: object) -> None:
        sent.append(traceparent())

    system = System("s")
    system.add("front", Front("front", [(TRACEPARENT[:-1] + "0", {})]))
    system.add("look", look)
    system.connect("front.out", "look.in")
    trace_system(system, tracer_provider=spans.provider, per_second=0)
    await system.run()
    assert spans.all() == []
    assert sent == [""]


async def test_a_span_ends_when_the_message_is_settled_not_with_the_run(spans: Spans) -> None:
    done = anyio.Event()

    async def source() -> Any:
        yield 1
        await done.wait()

    system = System("s")
    system.add("source", source)
    system.add("sink", nothing)
    system.connect("source", "sink")
    trace_system(system, tracer_provider=spans.provider)
    async with system:
        await anyio.wait_all_tasks_blocked()
        assert [span.name for span in spans.all()] == ["source", "sink"]
        done.set()


async def test_after_a_run_its_edges_are_as_they_were_and_a_second_run_is_traced_too(spans: Spans) -> None:
    system = System("s")
    system.add("numbers", numbers)
    system.add("sink", nothing)
    system.connect("numbers", "sink")
    trace_system(system, tracer_provider=spans.provider, per_second=0.001)
    for number in (1, 2):
        await system.run()
        assert len(spans.of("sink")) == number
        assert all(type(edge.store) is MemoryStore for edge in system.wiring.edges.values())
        assert all(not outlet.taps for outlet in system.wiring.outlets("numbers"))


def test_a_rate_below_none_is_refused(spans: Spans) -> None:
    with pytest.raises(ConfigError, match="per_second must be at least 0, not -1"):
        trace_system(System("s"), per_second=-1)


def test_where_nobody_traces_nothing_is_loaded_and_nothing_is_done() -> None:
    program = (
        "import sys, anyio\n"
        "from headrace import System\n"
        "from headrace.runtime.tracing import traced, traceparent\n"
        "from headrace.streams.edge_store import MemoryStore\n"
        "system = System('s')\n"
        "def one():\n    yield 1\n"
        "system.add('one', one)\n"
        "system.add('sink', lambda message: None)\n"
        "system.connect('one', 'sink')\n"
        "system.run_blocking()\n"
        "with traced('00-0-0-01', 'x'):\n    assert traceparent() == ''\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
        "assert all(type(edge.store) is MemoryStore for edge in system.wiring.edges.values())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_the_extra_the_error_says_how_to_get_it() -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from headrace.exceptions import MissingExtraError\n"
        "try:\n    import headrace.edges.opentelemetry\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'headrace[otel]'" in done.stdout


async def test_one_trace_goes_from_http_through_a_gateway_into_the_database(
    spans: Spans, tmp_path: Path
) -> None:
    gateway = Gateway()

    async def orders(request: Request) -> JSONResponse:
        with traced(request.headers.get("traceparent", ""), "POST /orders"):
            return JSONResponse(await gateway.ask(await request.json()))

    def price(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "price": row["n"] * 3}

    system = System("shop")
    system.resource("gateway", gateway.opened)
    system.add("requests", GatewayRequests)
    system.add("price", price)
    system.add("store", SqliteSink, path=str(tmp_path / "shop.db"), table="orders", columns=["n", "price"])
    system.add("replies", GatewayReplies)
    system.connect("requests.out", "price.in")
    system.connect("price.out", "store.in")
    system.connect("price.out", "replies.in")
    trace_system(system, tracer_provider=spans.provider, per_second=0)
    site = httpx.ASGITransport(Starlette(routes=[Route("/orders", orders, methods=["POST"])]))
    async with system, httpx.AsyncClient(transport=site, base_url="http://shop") as client:
        answer = await client.post("/orders", json={"n": 7}, headers={"traceparent": TRACEPARENT})
        assert answer.json() == {"n": 7, "price": 21}

    assert {format(span.context.trace_id, "032x") for span in spans.all()} == {TRACE_ID}
    request, asked = spans.one("POST /orders"), spans.one("requests")
    assert is_child(asked, request)
    assert is_child(spans.one("price"), asked)
    assert is_child(spans.one("store"), spans.one("price"))
    assert is_child(spans.one("replies"), spans.one("price"))
    with sqlite3.connect(tmp_path / "shop.db") as database:
        assert list(database.execute("SELECT n, price FROM orders")) == [(7, 21)]
