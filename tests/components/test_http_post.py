"""``http_post``: what is sent, what is refused, and what becomes of messages while the server is away."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from tests.servers.http import HttpServer

from headrace import HarnessComponent, Out, System
from headrace.components import HttpPost
from headrace.exceptions import ConfigError, MissingExtraError
from headrace.model.secret import Secret
from headrace.runtime import tracing

ROWS = [{"id": n} for n in range(5)]


@pytest.fixture
def server(http_server: HttpServer) -> HttpServer:
    """Return a server that knows of nothing."""
    return http_server


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - what a server does sets no event of ours
            await anyio.sleep(0.005)


class Told(HarnessComponent):
    """Sends what it is told."""

    out: Out[Any]

    async def process(self) -> None:
        await anyio.sleep_forever()


@asynccontextmanager
async def running(server: HttpServer, **config: Any) -> AsyncIterator[tuple[System, Told, HttpPost]]:
    """Run a source that is told what to send, and a sink; it is cancelled at the end."""
    system = System("line", source_grace=0.01)
    told = Told("told")
    system.add("told", told)
    sink: Any = system.add("sink", HttpPost, {"url": server.url, **config}).component
    system.connect("told.out", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        yield system, told, sink
        group.cancel_scope.cancel()


# --- what is sent --------------------------------------------------------------------------------------


async def test_each_message_is_a_request(run_through: Any, server: HttpServer) -> None:
    config = {"url": f"{server.url}/in?a=1", "method": "PUT", "headers": {"X-Who": "me"}, "token": "hush"}
    seen = await run_through(HttpPost, config, in_=ROWS)
    assert server.taken() == ROWS
    asked = server.requests()[0]
    assert (asked["method"], asked["path"]) == ("PUT", "/in?a=1")
    assert asked["headers"]["Content-Type"] == "application/json"
    assert asked["headers"]["X-Who"] == "me"
    assert asked["headers"]["Authorization"] == "Bearer hush"
    assert len({one["headers"]["Idempotency-Key"] for one in server.requests()}) == 5
    assert seen.report.clean
    assert seen.report.ledger.closes
    assert seen.component.sent == 5
    health = await seen.component.health_check()
    assert (health["sent"], health["refused"], health["connected"]) == (5, 0, True)


async def test_a_batch_is_a_list(run_through: Any, server: HttpServer) -> None:
    await run_through(HttpPost, {"url": server.url, "batch": 2, "within": 60}, in_=ROWS)
    assert server.taken() == [ROWS[:2], ROWS[2:4], ROWS[4:]]


async def test_a_batch_may_be_lines(run_through: Any, server: HttpServer) -> None:
    config = {"url": server.url, "batch": 5, "within": 60, "format": "lines", "idempotency_header": ""}
    await run_through(HttpPost, config, in_=ROWS)
    (asked,) = server.requests()
    assert asked["body"] == "".join(f'{{"id":{n}}}\n' for n in range(5))
    assert asked["headers"]["Content-Type"] == "application/x-ndjson"
    assert "Idempotency-Key" not in asked["headers"]


@pytest.mark.parametrize("batch", [None, 3])
async def test_messages_may_be_msgpack(run_through: Any, server: HttpServer, batch: int | None) -> None:
    config = {"url": server.url, "batch": batch, "within": 60, "format": "msgpack"}
    await run_through(HttpPost, config, in_=ROWS[:3])
    bodies = [msgspec.msgpack.decode(one["body"].encode("latin-1")) for one in server.requests()]
    assert bodies == (ROWS[:3] if batch is None else [ROWS[:3]])


async def test_several_requests_may_be_under_way(run_through: Any, server: HttpServer) -> None:
    rows = [{"id": n} for n in range(30)]
    seen = await run_through(HttpPost, {"url": server.url, "concurrency": 4, "batch": 2}, in_=rows)
    assert sorted(row["id"] for batch in server.taken() for row in batch) == list(range(30))
    assert seen.report.ledger.closes
    assert seen.report.clean


async def test_a_trace_goes_on_at_the_server(
    run_through: Any, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    monkeypatch.setattr(tracing._Hooks, "send", staticmethod(lambda: trace))
    await run_through(HttpPost, {"url": server.url}, in_=ROWS[:1])
    assert server.requests()[0]["headers"]["traceparent"] == trace


# --- what is refused -----------------------------------------------------------------------------------


async def test_what_the_server_refuses_is_rejected(run_through: Any, server: HttpServer) -> None:
    server.answer((404, {}, "no such\nplace"))
    seen = await run_through(HttpPost, {"url": server.url}, in_=ROWS[:2])
    assert [(one.message, one.reason) for one in seen.rejected] == [
        (ROWS[0], f"{server.url} answered 404: no such place")
    ]
    assert server.taken() == ROWS[1:2]
    assert (seen.component.sent, seen.component.refused) == (1, 1)


async def test_of_a_batch_only_what_is_refused_is_rejected(run_through: Any, server: HttpServer) -> None:
    server.refuse(['"id":3}'])
    seen = await run_through(HttpPost, {"url": server.url, "batch": 5, "within": 60}, in_=ROWS)
    assert [one.message for one in seen.rejected] == [ROWS[3]]
    assert [row for batch in server.taken() for row in batch] == [ROWS[0], ROWS[1], ROWS[2], ROWS[4]]
    keys = {one["headers"]["Idempotency-Key"] for one in server.requests()}
    assert len(keys) == len(server.requests())


async def test_a_batch_that_may_not_be_sent_is_not_tried_in_parts(
    run_through: Any, server: HttpServer
) -> None:
    server.answer((401, {}, "who are you"))
    seen = await run_through(HttpPost, {"url": server.url, "batch": 5, "within": 60}, in_=ROWS)
    assert len(seen.rejected) == 5
    assert len(server.requests()) == 1


async def test_what_cannot_be_written_is_rejected(run_through: Any, server: HttpServer) -> None:
    rows = [object(), ROWS[0], {"a": "\ud800"}]
    seen = await run_through(HttpPost, {"url": server.url, "batch": 3, "within": 60}, in_=rows)
    assert [one.message for one in seen.rejected] == [rows[0], rows[2]]
    assert seen.reasons[0].startswith("cannot be written as json: ")
    assert server.taken() == [[ROWS[0]]]
    assert seen.report.ledger.closes


async def test_a_redirection_is_not_followed(run_through: Any, server: HttpServer) -> None:
    server.answer((307, {"Location": "http://127.0.0.1:1/"}, ""))
    seen = await run_through(HttpPost, {"url": server.url, "token": "hush"}, in_=ROWS[:1])
    assert seen.reasons == [f"{server.url} answered 307: it is at http://127.0.0.1:1/ now"]


async def test_what_the_server_fails_on_again_and_again_is_rejected(
    run_through: Any, server: HttpServer
) -> None:
    server.answer(*[(500, {}, "")] * 3)
    seen = await run_through(HttpPost, {"url": server.url, "max_attempts": 3}, in_=ROWS[:2])
    assert seen.reasons == [f"{server.url} answered 500"]
    assert server.taken() == ROWS[1:2]
    keys = [one["headers"]["Idempotency-Key"] for one in server.requests()]
    assert keys[0] == keys[1] == keys[2] != keys[3]


# --- the server goes away ------------------------------------------------------------------------------


async def test_what_is_answered_later_is_sent_again(run_through: Any, server: HttpServer) -> None:
    server.answer((503, {}, ""), (429, {"Retry-After": "0"}, ""), (502, {}, ""))
    seen = await run_through(HttpPost, {"url": server.url}, in_=ROWS[:2])
    assert server.taken() == ROWS[:2]
    assert seen.rejected == []
    assert seen.component._server.losses == 1


async def test_retry_after_is_what_it_waits_for(server: HttpServer) -> None:
    server.answer((429, {"Retry-After": "1000"}, "busy"))
    async with running(server) as (system, told, sink):
        pauses: list[float] = []
        wait = sink._server.wait

        async def told_to_wait(error: str, *, at_least: float = 0.0) -> None:
            pauses.append(at_least)
            await wait(error)

        sink._server.wait = told_to_wait  # type: ignore[method-assign]
        await told.out.send(ROWS[0])
        await until(lambda: system.ledger().edges[0].acknowledged == 1)
        assert pauses == [1000]


async def test_a_server_that_is_killed_gets_all_messages_once_it_is_back(server: HttpServer) -> None:
    async with running(server, batch=5, within=0.01, concurrency=2) as (system, told, sink):

        async def send() -> None:
            for number in range(200):
                await told.out.send(number)
                await anyio.sleep(0.0005)

        def acknowledged() -> int:
            return system.ledger().edges[0].acknowledged

        def written() -> set[int]:
            return {number for batch in server.taken() for number in batch}

        async with anyio.create_task_group() as sending:
            sending.start_soon(send)
            await until(lambda: acknowledged() >= 50)
            server.kill()
            await until(lambda: sink._server.is_away)
            before = acknowledged()
            assert before <= len(written())
            health = await system.check_health()
            assert not health.ready
            assert f"sink: {server.url} has been away for" in health.reason
            await until(lambda: sink._server.tries >= 3)
            assert acknowledged() == before
            server.start()
        await until(lambda: acknowledged() == 200)
        assert (await system.check_health()).ready
    assert written() == set(range(200))


async def test_a_server_that_is_not_there_yet_is_waited_for(server: HttpServer) -> None:
    server.kill()
    async with running(server) as (_, told, sink):
        await told.out.send(1)
        await until(lambda: sink._server.tries >= 2)
        assert sink.sent == 0
        server.start()
        await until(lambda: sink.sent == 1)
    assert server.taken() == [1]


async def test_a_request_is_the_same_after_a_restart(server: HttpServer) -> None:
    """Its key tells the server that it has it: the answer had not come when the component was restarted."""
    server.answer((503, {"Retry-After": "1000"}, ""))
    async with running(server) as (system, told, sink):
        await told.out.send({"id": 1})
        await until(lambda: sink._server.is_away)
        await system.restart_component("sink")
        await until(lambda: system.ledger().edges[0].acknowledged == 1)
    first, second = server.requests()
    assert first["body"] == second["body"]
    assert first["headers"]["Idempotency-Key"] == second["headers"]["Idempotency-Key"]


async def test_a_server_that_does_not_answer_is_away() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        sink = HttpPost("sink", {"url": f"http://me:hush@127.0.0.1:{port}/?key=hush", "timeout": 0.05})
        system = System("silent", source_grace=0.01)
        told = Told("told")
        system.add("told", told)
        system.add("sink", sink)
        system.connect("told.out", "sink.in")
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            await told.out.send(1)
            await until(lambda: sink._server.tries >= 2)
            reason = str((await sink.health_check())["reason"])
            group.cancel_scope.cancel()
        assert "no whole answer within 0.05 s" in reason
        assert "hush" not in reason
        assert system.ledger().edges[0].acknowledged == 0


# --- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"url": "nowhere"}, "url"),
        ({"url": "ftp://host/"}, "url"),
        ({"url": "http://[:::/"}, "url"),
        ({"batch": 0}, "batch"),
        ({"batch": 5000, "concurrency": 2}, "batch"),
        ({"concurrency": 0}, "concurrency"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"timeout": 0}, "timeout"),
        ({"within": -1}, "within"),
        ({"headers": {"X": "a\nb"}}, "headers"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(more: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpPost("it", {"url": "http://host/", **more})
    assert caught.value.field == field


def test_a_token_is_not_shown() -> None:
    made = HttpPost("it", {"url": "http://host/", "token": Secret("hush")})
    assert "hush" not in repr(made.config)


def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "headrace.edges.http_client", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"http_post .*pip install 'headrace\[http\]'"):
        HttpPost("it", {"url": "http://host/"})
