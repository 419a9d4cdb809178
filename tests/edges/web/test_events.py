"""Streams of events: first all, then what changes; a client that does not read costs the system nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import pytest
from anyio import create_task_group, fail_after

from headrace.edges.web.access import Access
from headrace.edges.web.application import application
from headrace.edges.web.connections import Connections
from headrace.edges.web.feed import Feed
from headrace.edges.web.recording import Recorder
from headrace.edges.web.site import MOST_STREAMS, Site
from headrace.runtime.system_execution_harness import System


def counting(most: int | None = None) -> tuple[System, list[int]]:
    """Return a system that counts to ``most``, and what its sink has got."""
    got: list[int] = []

    async def numbers() -> AsyncIterator[int]:
        number = 0
        while most is None or number < most:
            yield number
            number += 1
            await anyio.sleep(0 if most else 0.001)

    made = System("counting", source_grace=0.01)
    made.add("numbers", numbers)
    made.add("sink", got.append)
    made.connect("numbers", "sink")
    return made, got


@asynccontextmanager
async def serve(site: Site, patience: float = 5.0) -> AsyncIterator[int]:
    """Serve a site around a block; gives the port."""
    one = socket.create_server(("127.0.0.1", 0))
    one.setblocking(False)
    port, closing = one.getsockname()[1], anyio.Event()
    async with create_task_group() as group:
        group.start_soon(Connections(patience).serve, [(one, lambda: application(site))], closing)
        try:
            yield port
        finally:
            site.close()
            closing.set()


async def connect(port: int, path: str) -> anyio.abc.SocketStream:
    """Ask for a stream."""
    stream = await anyio.connect_tcp("127.0.0.1", port)
    await stream.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return stream


class events:  # noqa: N801 - it is read like a function
    """The events of a stream; no generator, which would have to be closed."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        self._text = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        while True:
            block, end, rest = self._text.partition("\n\n")
            if not end:
                try:
                    self._text += (await self._stream.receive()).decode()
                except anyio.EndOfStream:
                    raise StopAsyncIteration from None
                continue
            self._text = rest
            lines = dict(line.partition(": ")[::2] for line in block.splitlines() if ": " in line)
            if "event" in lines:
                return lines["event"], json.loads(lines["data"])


def site_of(system: System, **options: Any) -> Site:
    """Return a site with quick ticks."""
    return Site(system, Access(), Feed(Recorder(system), tick=0.02), **options)


async def test_a_stream_begins_with_all_and_goes_on_with_what_has_changed() -> None:
    system, _ = counting()
    site = site_of(system)
    with fail_after(30):
        async with serve(site) as port, system, await connect(port, "/api/v1/events") as stream:
            state: dict[str, Any] = {}
            rates: list[float] = []
            async for name, data in events(stream):
                if name == "snapshot":
                    assert not state
                    state = data
                elif name == "delta":
                    assert data["since"] == state["number"]
                    state["number"] = data["number"]
                    state["edges"] |= data["edges"]
                    rates += [one["rate"] for one in data["edges"].values() if one["rate"]]
                if rates:
                    break
            assert state["edges"]["numbers.out -> sink.in"]["accepted"] > 0
            assert state["edges"]["numbers.out -> sink.in"]["pressure"] == "flowing"


async def test_where_nothing_changes_there_are_only_heartbeats() -> None:
    system, _ = counting(3)
    site = site_of(system, heartbeat=0.05)
    with fail_after(30):
        async with serve(site) as port:
            await system.run()
            async with await connect(port, "/api/v1/events") as stream:
                names = []
                async for name, _data in events(stream):
                    names.append(name)
                    if len(names) == 4:
                        break
    assert names == ["snapshot", "heartbeat", "heartbeat", "heartbeat"]


async def test_fifty_clients_share_one_snapshot_a_tick_and_none_is_taken_without_a_client() -> None:
    system, _ = counting()
    site = site_of(system)
    seen = 0

    async def watch(port: int) -> None:
        nonlocal seen
        async with await connect(port, "/api/v1/events") as stream:
            number = 0
            async for _name, _data in events(stream):
                number += 1
                seen += 1
                if number == 10:
                    return

    with fail_after(60):
        async with serve(site) as port, system:
            assert site.feed.taken == 0
            async with create_task_group() as group:
                for _client in range(50):
                    group.start_soon(watch, port)
            while site.streams:  # noqa: ASYNC110 - the server is told of the end later
                await anyio.sleep(0.01)
            taken = site.feed.taken
            assert seen == 500
            assert taken < 250  # each for itself would have taken 500
            await anyio.sleep(0.1)
            assert site.feed.taken == taken


async def test_a_client_that_does_not_read_is_dropped_and_the_system_does_all_its_work() -> None:
    system, got = counting(20_000)
    site = site_of(system)
    big = b"event: delta\ndata: " + b"x" * 2_000_000 + b"\n\n"
    site.feed.delta = lambda *_: big  # type: ignore[method-assign]  # so that the buffers of the kernel are full soon
    with fail_after(60):
        async with serve(site, patience=0.2) as port, await connect(port, "/api/v1/events"):
            while not site.streams:  # noqa: ASYNC110 - the server is told later
                await anyio.sleep(0.01)
            report = await system.run()
            while site.streams:  # noqa: ASYNC110 - nobody is told when a client is dropped
                await anyio.sleep(0.01)
    assert got == list(range(20_000))
    assert report.ledger.closes
    assert site.feed.taken < 2_000


async def test_a_client_that_does_not_read_does_not_keep_the_server_from_its_end() -> None:
    system, _ = counting()
    site = site_of(system, stalled_after=600)
    site.feed.delta = lambda *_: b"x" * 4_000_000  # type: ignore[method-assign]
    with fail_after(30):  # ten minutes, if it waited for the client
        async with system, serve(site, patience=600) as port:
            stream = await connect(port, "/api/v1/events")
            while not site.streams:  # noqa: ASYNC110 - the server is told later
                await anyio.sleep(0.01)
            await anyio.sleep(0.2)  # so that it is within a write
    await stream.aclose()


async def test_streams_end_with_the_server_and_say_so() -> None:
    system, _ = counting()
    site = site_of(system)
    names: list[str] = []
    with fail_after(30):
        async with create_task_group() as group, system, serve(site) as port:
            stream = await connect(port, "/api/v1/events")

            async def listen() -> None:
                async for name, _data in events(stream):
                    names.append(name)

            group.start_soon(listen)
            while not names:  # noqa: ASYNC110 - waits for the other side
                await anyio.sleep(0.01)
    assert names[-1] == "end"
    await stream.aclose()


async def test_before_a_stream_ends_it_tells_how_the_run_has_ended() -> None:
    system, got = counting()
    site = site_of(system)
    told: list[tuple[str, Any]] = []
    seen = anyio.Event()
    with fail_after(30):
        async with create_task_group() as group, serve(site) as port, system:
            stream = await connect(port, "/api/v1/events")

            async def listen() -> None:
                async for name, data in events(stream):
                    told.append((name, data))
                    seen.set()

            group.start_soon(listen)
            await seen.wait()
    systems = [data["system"] for name, data in told if name == "delta" and data["system"]]
    assert (systems[-1]["state"], systems[-1]["totals"]["given_out"]) == ("stopped", len(got))
    assert told[-1][0] == "end"
    await stream.aclose()


async def test_there_is_a_bound_on_streams() -> None:
    system, _ = counting()
    site = site_of(system)
    site.streams = MOST_STREAMS
    async with serve(site) as port, await connect(port, "/api/v1/events") as stream:
        assert (await stream.receive()).startswith(b"HTTP/1.1 503")


async def test_a_tap_streams_messages_and_counts() -> None:
    system, _ = counting()
    site = site_of(system)
    with fail_after(30):
        async with serve(site) as port, system:
            found = []
            path = "/api/v1/edges/numbers.out/tap?n=3&where=message%20%3E%205"
            async with await connect(port, path) as stream:
                async for name, data in events(stream):
                    found.append((name, data))
                    if name == "end":
                        break
    names = [name for name, _ in found]
    assert names[0] == "counts"
    assert names.count("message") == 3
    assert names[-2:] == ["counts", "end"]
    messages = [data for name, data in found if name == "message"]
    assert all(one["value"] > 5 and one["edge"] == "numbers.out -> sink.in" for one in messages)
    assert found[-2][1]["taken"] >= 3  # there may be more than were asked for, which are not sent


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("none.out/tap", 404),
        ("numbers.out/tap?n=0", 400),
        ("numbers.out/tap?n=x", 400),
        ("numbers.out/tap?where=import%20os", 400),
    ],
)
async def test_a_tap_that_cannot_be_is_refused(path: str, code: int) -> None:
    system, _ = counting()
    async with serve(site_of(system)) as port, system, await connect(port, f"/api/v1/edges/{path}") as stream:
        assert (await stream.receive()).startswith(f"HTTP/1.1 {code}".encode())


async def test_a_tap_of_a_system_that_does_not_run_is_a_conflict() -> None:
    system, _ = counting()
    async with serve(site_of(system)) as port, await connect(port, "/api/v1/edges/numbers.out/tap") as stream:
        assert (await stream.receive()).startswith(b"HTTP/1.1 409")
