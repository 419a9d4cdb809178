"""``websocket_source`` and ``websocket_sink`` with real peers, by ``websockets``: killed, slow, wrong, away."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import websockets.exceptions
from tests.servers import free_port
from tests.servers.websocket import WebSocketServer
from websockets.sync.client import ClientConnection, connect

from headrace import Backoff, HarnessComponent, In, System, SystemFailed, component
from headrace.components import WebSocketSink, WebSocketSource
from headrace.exceptions import ComponentError, ConfigError, MissingExtraError

SOON = Backoff(first=0.01, longest=0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebSocketServer]:
    """Return a running server."""
    with WebSocketServer(tmp_path) as one:
        yield one


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what another process does sets no event of ours
            await anyio.sleep(0.005)


@asynccontextmanager
async def receiving(collect: Any, **config: Any) -> AsyncIterator[tuple[System, Any, Any, Any]]:
    """Run a source; yields the system, the source, what it sends and what it rejects. It is stopped at the end."""
    system = System("receiving")
    source: Any = system.add("feed", WebSocketSource, config).component
    source._server._backoff = SOON
    kept, bad = collect("kept"), collect("bad")
    for port, sink in (("out", kept), ("rejected", bad)):
        system.add(sink.name, sink)
        system.connect(f"feed.{port}", f"{sink.name}.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        yield system, source, kept, bad
        with anyio.fail_after(20):
            report = await system.stop()
    assert report.ledger.totals.lost == 0
    assert report.overruns == ()


@contextmanager
def client(url: str, **options: Any) -> Iterator[ClientConnection]:
    """Return a client; call its methods in threads."""
    with connect(url, compression=None, close_timeout=1, **options) as one:
        yield one


def closed_with(one: ClientConnection) -> tuple[int, str]:
    """Return how a connection ends, after what is still to be read."""
    try:
        while True:
            one.recv(timeout=20)
    except websockets.exceptions.ConnectionClosed as error:
        return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (0, "without a word")


def next_text(one: ClientConnection) -> str | None:
    """Return the next message; None at the end."""
    try:
        return str(one.recv(timeout=20))
    except websockets.exceptions.ConnectionClosed:
        return None


# --- the source as a client --------------------------------------------------------------------------------


async def test_what_a_server_sends_becomes_messages(collect: Any, server: WebSocketServer) -> None:
    server.tell('{"n": 1}', "no", '{"n": 2}')
    async with receiving(
        collect, url=server.url, subscribe=["all", {"topic": "x"}], token="secret", headers={"X-Me": "here"}
    ) as (_, source, kept, bad):
        await until(lambda: len(kept.messages) == 2 and len(server.got()) == 3)
        assert (await source.health_check())["connected"] is True
    assert kept.messages == [{"n": 1}, {"n": 2}]
    assert bad.messages[0].message == "no"
    assert bad.messages[0].reason.startswith("no json: ")
    asked, *subscribed = server.got()
    assert (asked["headers"]["authorization"], asked["headers"]["x-me"]) == ("Bearer secret", "here")
    assert (asked["path"], subscribed) == ("/feed", ["all", '{"topic":"x"}'])


async def test_a_server_that_is_killed_is_connected_to_again(collect: Any, server: WebSocketServer) -> None:
    server.tell('{"n": 1}')
    async with receiving(collect, url=server.url, subscribe=["all"]) as (_, source, kept, _):
        await until(lambda: len(kept.messages) == 1)
        await anyio.to_thread.run_sync(server.kill)
        await until(lambda: source._server.tries >= 2)
        health = await source.health_check()
        assert (health["healthy"], health["connected"]) == (False, False)
        assert f"ws://127.0.0.1:{server.port} has been away" in health["reason"]
        server.tell('{"n": 2}')
        await anyio.to_thread.run_sync(server.start)
        await until(lambda: len(kept.messages) == 2)
        assert (await source.health_check())["connected"] is True
    assert [row["n"] for row in kept.messages] == [1, 2]
    assert server.got().count("all") == 2


async def test_a_server_that_is_there_late_is_waited_for(collect: Any, tmp_path: Path) -> None:
    server = WebSocketServer(tmp_path)
    server.tell('{"n": 1}')
    async with receiving(collect, url=server.url) as (_, source, kept, _):
        await until(lambda: source._server.tries >= 2)
        try:
            await anyio.to_thread.run_sync(server.start)
            await until(lambda: len(kept.messages) == 1)
        finally:
            await anyio.to_thread.run_sync(server.kill)


async def test_where_it_is_not_to_connect_again_it_ends_with_the_server(
    run_through: Any, server: WebSocketServer
) -> None:
    server.tell('{"n": 1}', then="close")
    seen = await run_through(WebSocketSource, {"url": server.url, "reconnect": False})
    assert seen.out == [{"n": 1}]
    assert seen.report.outcome == "finished"


async def test_a_server_that_does_not_let_us_in_fails_the_run(
    run_through: Any, server: WebSocketServer
) -> None:
    server.tell(status=403)
    with pytest.raises(SystemFailed) as caught:
        await run_through(WebSocketSource, {"url": server.url})
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]) == (
        f"it: ws://127.0.0.1:{server.port}: answered 403 to the wish for a WebSocket"
    )


async def test_a_server_that_wants_to_be_asked_later_is(collect: Any, server: WebSocketServer) -> None:
    server.tell(status=503)
    async with receiving(collect, url=server.url) as (_, source, kept, _):
        await until(lambda: source._server.tries >= 2)
        server.tell('{"n": 1}')
        await until(lambda: len(kept.messages) == 1)


async def test_a_message_that_is_too_long_fails_the_run(run_through: Any, server: WebSocketServer) -> None:
    server.tell("x" * 2_000)
    with pytest.raises(SystemFailed, match="sent a message of more than 1,000 bytes; set `max_message`"):
        await run_through(WebSocketSource, {"url": server.url, "max_message": 1_000})


async def test_who_speaks_no_websocket_is_told_and_a_silent_one_is_given_up(collect: Any) -> None:
    async def serve(stream: Any) -> None:
        async with stream:
            await stream.receive()
            if answers:
                await stream.send(answers.pop())
            await anyio.sleep_forever()

    answers = [b"what?\r\n\r\n"]
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        system = System()
        system.add("feed", WebSocketSource, url=f"ws://127.0.0.1:{port}")
        system.add("kept", collect("kept"))
        system.connect("feed.out", "kept.in")
        with pytest.raises(SystemFailed, match="does not speak WebSocket"):
            await system.run()
        async with receiving(collect, url=f"ws://127.0.0.1:{port}", timeout=0.05) as (_, source, _, _):
            await until(lambda: source._server.tries >= 2)
            assert "has not answered within 0.05 s" in (await source.health_check())["reason"]
        group.cancel_scope.cancel()
    await listener.aclose()


async def test_a_server_that_falls_silent_is_asked_and_given_up(collect: Any) -> None:
    from wsproto import ConnectionType, WSConnection
    from wsproto import events as ws

    asked = anyio.Event()

    async def serve(stream: Any) -> None:
        protocol = WSConnection(ConnectionType.SERVER)
        async with stream:
            while True:
                try:
                    protocol.receive_data(await stream.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                for event in protocol.events():
                    if isinstance(event, ws.Request):
                        await stream.send(protocol.send(ws.AcceptConnection()))
                    elif isinstance(event, ws.Ping):
                        asked.set()  # and no answer

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        async with receiving(collect, url=f"ws://127.0.0.1:{port}", quiet=0.05) as (_, source, _, _):
            await until(lambda: source._server.losses >= 1)
            assert asked.is_set()
        group.cancel_scope.cancel()
    await listener.aclose()


# --- the source as a server --------------------------------------------------------------------------------


async def test_what_clients_send_becomes_messages(collect: Any) -> None:
    async with receiving(collect, listen="127.0.0.1:0", path="/in") as (_, source, kept, bad):

        def talk() -> None:
            with client(source.url) as one, client(source.url) as other:
                one.send('{"n": 1}')
                other.send(b'{"n": 2}')
                one.send("no")

        await anyio.to_thread.run_sync(talk)
        await until(lambda: len(kept.messages) == 2 and len(bad.messages) == 1)
        await until(lambda: source.clients == 0)
    assert sorted(row["n"] for row in kept.messages) == [1, 2]


async def test_at_a_stop_clients_are_told_and_what_they_have_sent_is_kept(collect: Any) -> None:
    ends: list[tuple[int, str]] = []
    async with anyio.create_task_group() as group, receiving(collect, listen="127.0.0.1:0") as running:
        _, source, kept, _ = running

        def talk() -> None:
            with client(source.url) as one:
                one.send('{"n": 1}')
                ends.append(closed_with(one))

        group.start_soon(anyio.to_thread.run_sync, talk)
        await until(lambda: kept.messages)
    assert ends == [(1001, "the system is stopping")]


async def test_a_client_needs_the_token_and_its_messages_have_a_size_and_there_are_not_too_many(
    collect: Any,
) -> None:
    config = {"listen": "127.0.0.1:0", "token": "secret", "max_message": 10, "max_clients": 1}
    async with receiving(collect, **config) as (_, source, kept, _):

        def talk() -> list[Any]:
            for url in (source.url, f"{source.url}?token=wrong"):
                with pytest.raises(websockets.exceptions.InvalidStatus) as caught, client(url):
                    pass
                assert caught.value.response.status_code == 403
            with client(source.url, additional_headers={"Authorization": "Bearer secret"}) as one:
                with pytest.raises(websockets.exceptions.InvalidStatus), client(f"{source.url}?token=secret"):
                    pass
                one.send('{"n": 1}')
                one.send("x" * 11)
                return [closed_with(one)]

        assert await anyio.to_thread.run_sync(talk) == [(1009, "more than 10 bytes")]
        await until(lambda: kept.messages == [{"n": 1}] and source.clients == 0)
        health = await source.health_check()
        assert (health["clients"], health["refused"]) == (0, 3)


async def test_a_client_is_read_no_faster_than_its_messages_are_taken() -> None:
    may = anyio.Event()

    class Slow(HarnessComponent):
        in_: In[Any]
        seen = 0

        async def process(self) -> None:
            await may.wait()
            async for _ in self.in_:
                self.seen += 1

    system = System(buffer_size=5)
    source: Any = system.add("feed", WebSocketSource, {"listen": "127.0.0.1:0", "format": "text"}).component
    slow = Slow("slow")
    system.add("slow", slow)
    system.connect("feed.out", "slow.in")
    sent: list[int] = []
    has_ended = threading.Event()

    def talk() -> None:
        with client(source.url) as one:
            for number in range(300):
                one.send("x" * 100_000)
                sent.append(number)
        has_ended.set()

    async with anyio.create_task_group() as group:
        await group.start(system.run)
        group.start_soon(anyio.to_thread.run_sync, talk)
        before = -1
        while len(sent) != before:  # until the client is held up
            before = len(sent)
            await anyio.sleep(0.3)
        assert len(sent) < 250
        may.set()
        await until(has_ended.is_set)
        await until(lambda: slow.seen == 300)
        await system.stop()


# --- the sink as a client ----------------------------------------------------------------------------------


@component
def numbers(*, count: int) -> Any:
    """Yield some rows."""
    for number in range(count):
        yield {"n": number}


def to_server(server: WebSocketServer, count: int) -> tuple[System, Any]:
    """Return a system that sends numbers to a server."""
    system = System("sending", buffer_size=20)
    system.add("numbers", numbers, count=count)
    sink: Any = system.add("sink", WebSocketSink, {"url": server.url}).component
    sink._server._backoff = SOON
    system.connect("numbers", "sink.in")
    return system, sink


def numbers_got(server: WebSocketServer) -> list[int]:
    """Return the numbers that a server has."""
    return [json.loads(one)["n"] for one in server.got() if isinstance(one, str)]


async def test_messages_are_acknowledged_once_the_server_has_them(server: WebSocketServer) -> None:
    system, sink = to_server(server, 1000)
    report = await system.run()
    await until(lambda: numbers_got(server) == list(range(1000)))  # it has read them, and is still writing
    assert (report.ledger.totals.lost, sink.sent) == (0, 1000)


class Cable:
    """What leads to a server, and can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: list[Any] = []

    async def serve(self, near: Any) -> None:
        """Carry bytes both ways until it is cut."""
        far = await anyio.connect_tcp("127.0.0.1", self._port)
        self._ends += [near, far]
        async with near, far, anyio.create_task_group() as group:
            for here, there in ((near, far), (far, near)):
                group.start_soon(self._carry, here, there, group.cancel_scope)

    async def _carry(self, here: Any, there: Any, scope: anyio.CancelScope) -> None:
        try:
            while True:
                await there.send(await here.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            scope.cancel()

    async def cut(self) -> None:
        """Cut it: both sides find their connection broken."""
        ends, self._ends = self._ends, []
        for end in ends:
            await anyio.aclose_forcefully(end)


async def test_a_connection_that_breaks_again_and_again_loses_no_message(server: WebSocketServer) -> None:
    cable = Cable(server.port)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    system, sink = to_server(server, 3000)
    sink._client._url = sink._client._url._replace(
        netloc=f"127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    )
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, cable.serve)
        async with anyio.create_task_group() as running:
            await running.start(system.run)
            for count in (300, 900, 1500):
                await until(lambda count=count: len(server.got()) >= count)
                losses = sink._server.losses
                await cable.cut()
                await until(lambda losses=losses: sink._server.losses > losses)
        group.cancel_scope.cancel()
    assert system.report is not None
    await until(lambda: set(numbers_got(server)) == set(range(3000)))
    assert system.report.ledger.totals.lost == 0


async def test_while_the_server_is_killed_it_is_not_ready_and_then_goes_on(server: WebSocketServer) -> None:
    system, sink = to_server(server, 2000)
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: len(server.got()) >= 300)
        await anyio.to_thread.run_sync(server.kill)
        await until(lambda: sink._server.tries >= 2)
        assert (await sink.health_check())["healthy"] is False
        before = sink.sent
        await anyio.to_thread.run_sync(server.start)
    # what it had read and not yet kept, died with it
    await until(lambda: set(range(before, 2000)) <= set(numbers_got(server)))
    assert system.report is not None
    assert system.report.ledger.totals.lost == 0


async def test_what_cannot_be_written_is_rejected(run_through: Any, server: WebSocketServer) -> None:
    seen = await run_through(WebSocketSink, {"url": server.url}, in_=[{"n": 1}, object, {"n": 2}])
    assert [one.message for one in seen.rejected] == [object]
    await until(lambda: numbers_got(server) == [1, 2])
    seen = await run_through(WebSocketSink, {"url": server.url, "format": "bytes"}, in_=[b"\x01", "text"])
    assert seen.reasons == ["cannot be written as bytes: a value of type str"]
    await until(lambda: server.got()[-1] == {"bytes": [1]})


# --- the sink as a server ----------------------------------------------------------------------------------


class Given(HarnessComponent):
    """Sends what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.send, self._receive = anyio.create_memory_object_stream[Any](1000)

    async def process(self) -> None:
        async with self._receive:
            async for message in self._receive:
                await self.send_streams["out"].send(message)


@asynccontextmanager
async def broadcasting(**config: Any) -> AsyncIterator[tuple[Any, Any]]:
    """Run a sink that listens; yields how it is given messages, and the sink. Its input ends with the block."""
    system = System("broadcasting")
    given = Given("given")
    system.add("given", given)
    sink: Any = system.add("sink", WebSocketSink, {"listen": "127.0.0.1:0", **config}).component
    system.connect("given.out", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        yield given.send, sink
        given.send.close()
        with anyio.fail_after(20):
            report = await system.wait()
    assert report.ledger.totals.lost == 0


async def test_each_client_gets_what_comes_while_it_is_there_and_the_rest_at_the_end() -> None:
    got: dict[str, list[Any]] = {}
    ends: dict[str, tuple[int, str]] = {}

    def listen(name: str, url: str) -> None:
        with client(url) as one:
            texts = got[name] = []
            while (text := next_text(one)) is not None:
                texts.append(json.loads(text)["n"])
            ends[name] = closed_with(one)

    async with anyio.create_task_group() as group, broadcasting(path="/out") as (send, sink):
        await send.send({"n": 0})
        await until(lambda: sink.sent == 1)
        for number in (1, 2):
            group.start_soon(anyio.to_thread.run_sync, listen, f"client {number}", sink.url)
            await until(lambda number=number: sink.clients == number)
            await send.send({"n": number})
            await until(lambda number=number: sink.sent == number + 1)
        for number in range(3, 500):
            await send.send({"n": number})
    assert got == {"client 1": list(range(1, 500)), "client 2": list(range(2, 500))}
    assert set(ends.values()) == {(1001, "the system has ended")}


@pytest.mark.parametrize("slow", ["disconnect", "drop_oldest"])
async def test_a_client_that_does_not_keep_up_holds_nothing_up(slow: str) -> None:
    long = "x" * 100_000
    may, is_there = threading.Event(), threading.Event()
    numbers: list[int] = []

    def listen(url: str) -> None:
        with connect(url, compression=None, close_timeout=1, max_queue=1) as one:
            is_there.set()
            may.wait(30)
            while (text := next_text(one)) is not None:
                numbers.append(json.loads(text)["n"])

    async with anyio.create_task_group() as group, broadcasting(client_buffer=10, slow=slow) as (send, sink):
        group.start_soon(anyio.to_thread.run_sync, listen, sink.url)
        await until(lambda: sink.clients == 1)
        with anyio.fail_after(20):
            for number in range(400):
                await send.send({"n": number, "text": long})
            await until(lambda: sink.sent == 400)
        if slow == "disconnect":
            assert sink.disconnected == 1
            await until(lambda: sink.clients == 0)
        else:
            assert sink.dropped > 100
        may.set()
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 300
    assert (slow == "drop_oldest") == (399 in numbers)


async def test_a_client_that_goes_is_forgotten() -> None:
    async with broadcasting() as (send, sink):

        def come_and_go() -> None:
            with client(sink.url) as one:
                one.send("which nobody looks at")

        for _ in range(3):
            await anyio.to_thread.run_sync(come_and_go)
        await until(lambda: sink.clients == 0)
        await send.send({"n": 1})
        await until(lambda: sink.sent == 1)
        assert (await sink.health_check())["clients"] == 0


# --- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "set either url or listen"),
        ({"url": "ws://a", "listen": "127.0.0.1:0"}, "set either url or listen"),
        ({"url": "http://a"}, "url must begin with ws://"),
        ({"url": "ws://a:x"}, "url is no address"),
        ({"listen": "x"}, "listen"),
        ({"listen": "127.0.0.1:0", "path": "x"}, "path must begin with /"),
        ({"url": "ws://a", "max_message": 0}, "max_message must be at least 1"),
        ({"url": "ws://a", "quiet": 0}, "quiet must be a duration above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config: dict[str, Any], said: str) -> None:
    for kind in (WebSocketSource, WebSocketSink):
        with pytest.raises(ConfigError, match=said):
            kind("x", config)


async def test_an_address_that_is_in_use_fails_the_set_up(run_through: Any) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SystemFailed, match="cannot listen on"):
            await run_through(WebSocketSource, {"listen": f"127.0.0.1:{other.getsockname()[1]}"})


def test_without_the_extra_there_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wsproto", None)
    monkeypatch.delitem(sys.modules, "headrace.edges.websocket_client", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[http\]'"):
        WebSocketSource("x", {"url": f"ws://127.0.0.1:{free_port()}"})
