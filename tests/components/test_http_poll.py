"""``http_poll``: what is sent, what is not sent twice, and what becomes of it while the server is away."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.servers.http import HttpServer

from headrace import System
from headrace.components import HttpPoll
from headrace.exceptions import ConfigError, MissingExtraError
from headrace.model.restart_policy import Backoff


@pytest.fixture
def server(http_server: HttpServer) -> HttpServer:
    """Return a server that knows of nothing."""
    return http_server


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what a server does sets no event of ours
            await anyio.sleep(0.005)


@asynccontextmanager
async def polling(server: HttpServer, collect: Any, **config: Any) -> AsyncIterator[tuple[System, Any, Any]]:
    """Run a poll of the page ``/`` that tries again soon, and a sink; it is stopped at the end."""
    system = System("poll")
    poll: Any = system.add("poll", HttpPoll, {"url": f"{server.url}/", "every": 0.01, **config}).component
    poll._server._backoff = Backoff(first=0.01, longest=0.02)
    end = collect("end")
    system.add("end", end)
    system.connect("poll.out", "end.in")
    with anyio.fail_after(30):
        async with system:
            yield system, poll, end


# --- what is sent --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "messages"),
    [
        ("json", '[{"a": 1}, 2]', [{"a": 1}, 2]),
        ("json", '{"a": [1]}', [{"a": [1]}]),
        ("json", "[]", []),
        ("lines", '{"a": 1}\n\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
        ("text", "grün\n", ["grün\n"]),
        ("bytes", "abc", [b"abc"]),
    ],
)
async def test_what_is_found_is_sent(
    run_through: Any, server: HttpServer, kind: str, body: str, messages: list[Any]
) -> None:
    server.serve({"/a": ({}, body)})
    config = {"url": f"{server.url}/a", "format": kind, "token": "hush", "headers": {"X-Who": "me"}}
    seen = await run_through(HttpPoll, config)
    assert seen.out == messages
    assert seen.rejected == []
    (asked,) = server.requests()
    assert asked["headers"]["Authorization"] == "Bearer hush"
    assert asked["headers"]["X-Who"] == "me"


@pytest.mark.parametrize(
    ("kind", "body", "good", "bad"),
    [("json", "{", [], [b"{"]), ("lines", "1\nx\n2", [1, 2], [b"x"])],
)
async def test_what_cannot_be_decoded_is_rejected(
    run_through: Any, server: HttpServer, kind: str, body: str, good: list[Any], bad: list[bytes]
) -> None:
    server.serve({"/": ({}, body)})
    seen = await run_through(HttpPoll, {"url": f"{server.url}/", "format": kind})
    assert seen.out == good
    assert [one.message for one in seen.rejected] == bad
    assert seen.reasons[0].startswith("no JSON: ")


@pytest.mark.parametrize("header", [{"ETag": '"1"'}, {"Last-Modified": "Thu, 26 Nov 2026 10:00:00 GMT"}])
async def test_what_has_not_changed_is_not_sent_again(
    server: HttpServer, collect: Any, header: dict[str, str]
) -> None:
    server.serve({"/": (header, '["old"]')})
    async with polling(server, collect) as (system, poll, end):
        await until(lambda: poll.unchanged >= 2)
        assert end.messages == ["old"]
        server.serve({"/": ({"ETag": '"2"'}, '["new"]')})
        await until(lambda: len(end.messages) == 2)
        assert end.messages == ["old", "new"]
        health = await poll.health_check()
        assert health["polls"] > health["unchanged"] >= 2
        assert health["errors"] == 0
        assert (await system.check_health()).ready


async def test_pages_that_are_linked_are_read(run_through: Any, server: HttpServer) -> None:
    pages = {
        "/a?p=1": ({"Link": '</a?p=2>; rel="next", </>; rel="first"'}, "[1, 2]"),
        "/a?p=2": ({"Link": f'<{server.url}/a?p=3>; rel="next"'}, "[3]"),
        "/a?p=3": ({}, "[4]"),
    }
    server.serve(pages)
    config = {"url": f"{server.url}/a?p=1", "follow_links": True}
    assert (await run_through(HttpPoll, config)).out == [1, 2, 3, 4]
    assert (await run_through(HttpPoll, {**config, "follow_links": False})).out == [1, 2]


# --- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "config", "says"),
    [
        ((500, {}, "broken"), {}, "answered 500: broken"),
        ((404, {}, ""), {}, "answered 404"),
        ((301, {"Location": "http://other/"}, ""), {}, "answered 301: it is at http://other/ now"),
        ((304, {}, ""), {}, "answered 304"),
        ((200, {}, "x" * 100), {"max_body": 99}, "the answer has more than 99 bytes"),
        (
            (200, {"Link": '<http://other/>; rel="next"'}, "[]"),
            {"follow_links": True},
            "a link leads to another server, other",
        ),
        (
            (200, {"Link": '</>; rel="next"'}, "[]"),
            {"follow_links": True, "max_pages": 1},
            "there are more than 1 pages",
        ),
    ],
)
async def test_after_an_error_it_is_not_ready_and_asks_again(
    server: HttpServer, collect: Any, answer: Any, config: dict[str, Any], says: str
) -> None:
    server.serve({"/": ({}, "[1]")})
    server.answer(*[answer] * 1000)
    async with polling(server, collect, **config) as (system, poll, end):
        await until(lambda: poll.errors >= 2)
        health = await system.check_health()
        assert not health.ready
        assert says in health.reason
        server.answer()
        await until(lambda: end.messages[:1] == [1])
        await until(lambda: not poll._server.is_away)


async def test_retry_after_is_waited_for_and_a_stop_ends_the_wait(server: HttpServer, collect: Any) -> None:
    server.answer((429, {"Retry-After": "1000"}, ""))
    async with polling(server, collect) as (system, poll, _):
        await until(lambda: poll.errors == 1)
        system.request_stop()
        await system.wait()
    assert len(server.requests()) == 1


async def test_a_stop_ends_a_request_under_way(collect: Any) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        asked = anyio.Event()

        async def never_answer(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                await stream.receive()
                asked.set()
                await anyio.sleep_forever()

        system = System("poll", source_grace=3600)
        system.add("poll", HttpPoll, {"url": f"http://127.0.0.1:{port}", "timeout": 3600})
        system.add("end", collect("end"))
        system.connect("poll.out", "end.in")
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, never_answer)
                async with system:
                    await asked.wait()
                    system.request_stop()
                    assert (await system.wait()).clean
                group.cancel_scope.cancel()


async def test_a_server_that_is_killed_is_asked_again_once_it_is_back(
    server: HttpServer, collect: Any
) -> None:
    server.serve({"/": ({"ETag": '"1"'}, "[1]")})
    async with polling(server, collect) as (system, poll, end):
        await until(lambda: end.messages == [1])
        server.kill()
        await until(lambda: poll._server.tries >= 2)
        assert not (await system.check_health()).ready
        server.serve({"/": ({"ETag": '"2"'}, "[2]")})
        server.start()
        await until(lambda: end.messages == [1, 2])
        assert (await system.check_health()).ready


# --- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"url": "nowhere"}, "url"),
        ({"every": 0}, "every"),
        ({"max_pages": 0}, "max_pages"),
        ({"max_body": 0}, "max_body"),
        ({"timeout": "soon"}, "timeout"),
        ({"headers": {"X": "ü"}}, "headers"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(more: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpPoll("it", {"url": "http://host/", **more})
    assert caught.value.field == field


def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "headrace.edges.http_client", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"http_poll .*pip install 'headrace\[http\]'"):
        HttpPoll("it", {"url": "http://host/"})
