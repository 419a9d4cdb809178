"""``nats_source`` and ``nats_sink`` with a real server, that is killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from nats.js import JetStreamContext
from tests.servers.nats import NatsServer

from headrace import Backoff, HarnessComponent, In, RestartPolicy, System, SystemFailed, component
from headrace.components import NatsSink, NatsSource
from headrace.edges.nats import Consumer, NatsSession, Options
from headrace.exceptions import ComponentError, ConfigError, MissingExtraError
from headrace.model.carried import Given

SOON = Backoff(first=0.01, longest=0.05)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Return a server for the tests that leave it alone; each has a stream of its own."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as one:
        yield one


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """Return a server that may be killed."""
    with NatsServer(tmp_path) as one:
        yield one


_numbers = iter(range(1_000_000))


@pytest.fixture
def stream() -> str:
    """Return a name that no other test has."""
    return f"s{next(_numbers)}"


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what another process does sets no event of ours
            await anyio.sleep(0.005)


def publish(server: NatsServer, stream: str, *contents: bytes, subject: str = "") -> None:
    """Put contents into a stream, by a connection of its own."""
    session = NatsSession(Options([server.url], stream=stream, subjects=[f"{stream}.>"]))
    session.open()
    try:
        given = [Given(subject or f"{stream}.a", one, "", None) for one in contents]
        assert session.publish(given) == []
    finally:
        session.close()


def contents(server: NatsServer, stream: str) -> list[tuple[str, bytes]]:
    """Return what is in a stream: subject and content."""
    session = NatsSession(
        Options([server.url], stream=stream), Consumer(f"{stream}.>", "reader", max_unacked=100_000)
    )
    session.open()
    found: list[tuple[str, bytes]] = []
    try:
        while taken := session.fetch(256, 0.3):
            found += [(one.subject, one.data) for one in taken]
    finally:
        session.close()
    return found


def unacknowledged(server: NatsServer, stream: str, durable: str) -> int:
    """Return how many messages a durable name has not acknowledged, or not seen."""

    async def ask() -> int:
        import nats

        client = await nats.connect(server.url)
        info = await client.jetstream().consumer_info(stream, durable)
        await client.close()
        return int(info.num_ack_pending or 0) + int(info.num_pending or 0)

    return anyio.run(ask)


@asynccontextmanager
async def reading(
    server: NatsServer, collect: Any, *, sink: Any = None, restart: RestartPolicy | None = None, **config: Any
) -> AsyncIterator[tuple[System, Any, Any, Any]]:
    """Run a source; yields the system, the source, what it sends and what it rejects. It is stopped at the end."""
    system = System("reading", buffer_size=10)
    source: Any = system.add("feed", NatsSource, {"url": server.url, **config}).component
    source._server._backoff = SOON
    kept, bad = sink or collect("kept"), collect("bad")
    system.add("kept", kept, restart=restart)
    system.add("bad", bad)
    system.connect("feed.out", "kept.in")
    system.connect("feed.rejected", "bad.in")
    opened = []  # what is published before that may be for nobody
    opens = source._session.open
    source._session.open = lambda: opened.append(opens())
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: opened)
        yield system, source, kept, bad
        with anyio.fail_after(20):
            report = await system.stop()
    assert report.ledger.totals.lost == 0
    assert report.overruns == ()


# --- the source --------------------------------------------------------------------------------------------


def test_a_first_message_is_given_though_the_fetch_of_the_others_ends_in_a_plain_time_out(
    shared: NatsServer, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = JetStreamContext.PullSubscription.fetch

    async def late(self: Any, batch: int = 1, *args: Any, **options: Any) -> Any:
        if batch > 1:
            raise TimeoutError  # as nats-py does where the server's answer comes after its deadline
        return await whole(self, batch, *args, **options)

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", late)
    publish(shared, stream, b"one", b"two")
    session = NatsSession(Options([shared.url], stream=stream), Consumer(f"{stream}.>", "reader"))
    session.open()
    try:
        assert [one.data for _ in range(2) for one in session.fetch(256, 30)] == [b"one", b"two"]
    finally:
        session.close()


async def test_what_is_in_a_stream_is_read_and_acknowledged_and_not_read_again(
    collect: Any, shared: NatsServer, stream: str
) -> None:
    await anyio.to_thread.run_sync(
        publish, shared, stream, *(b'{"n": %d}' % n for n in range(1000)), b"no", b"[1]"
    )
    config = {"stream": stream, "subject": f"{stream}.*", "durable": "d", "subject_field": "from"}
    async with reading(shared, collect, **config) as (_, source, kept, bad):
        await until(lambda: len(kept.messages) == 1000 and len(bad.messages) == 2)
        assert (await source.health_check())["connected"] is True
    assert kept.messages == [{"n": n, "from": f"{stream}.a"} for n in range(1000)]
    assert [one.reason for one in bad.messages] == [
        f"{stream}.a: no json: Input data was truncated",
        f"{stream}.a: not an object of named fields",
    ]
    assert await anyio.to_thread.run_sync(unacknowledged, shared, stream, "d") == 0
    await anyio.to_thread.run_sync(publish, shared, stream, b'{"n": 1000}')
    async with reading(shared, collect, **config) as (_, _, kept, _):
        await until(lambda: kept.messages)
        assert kept.messages == [{"n": 1000, "from": f"{stream}.a"}]


async def test_what_is_at_work_at_a_stop_is_acknowledged_once_it_is_done(
    collect: Any, shared: NatsServer, stream: str
) -> None:
    await anyio.to_thread.run_sync(publish, shared, stream, *(b'{"n": %d}' % n for n in range(2000)))
    seen: list[int] = []
    for _ in range(100):

        class Some(collect):  # type: ignore[misc, valid-type]
            async def process(self) -> None:
                async for row in self.in_:
                    self.messages.append(row["n"])

        config = {"stream": stream, "subject": f"{stream}.*", "durable": "d", "ack_wait": 60}
        async with reading(shared, collect, sink=Some("kept"), **config) as (_, _, kept, _):
            wanted = min(300, 2000 - len(seen))
            await until(lambda kept=kept, wanted=wanted: len(kept.messages) >= wanted)
        seen += kept.messages
        if len(seen) >= 2000:
            break
    assert sorted(seen) == list(range(2000))  # none twice: what was not done with was given back at once


async def test_what_a_crash_has_lost_comes_again_from_the_stream(
    collect: Any, shared: NatsServer, stream: str
) -> None:
    await anyio.to_thread.run_sync(publish, shared, stream, *(b'{"n": %d}' % n for n in range(300)))
    program = f"""
import os, sys
from headrace import System, component
from headrace.components import NatsSource

@component
def show(row):
    print(row["n"], flush=True)

system = System("killed")
system.add("feed", NatsSource, url="{shared.url}", stream="{stream}", subject="{stream}.*", durable="d", ack_wait=1)
system.add("show", show)
system.connect("feed.out", "show")
system.run_blocking()
"""

    def run_and_kill() -> set[int]:
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = set()
            for line in process.stdout:
                if line.endswith("\n"):
                    seen.add(int(line))
                if len(seen) == 100:
                    process.send_signal(signal.SIGKILL)
            return seen

    seen = await anyio.to_thread.run_sync(run_and_kill)
    assert len(seen) >= 100
    async with reading(
        shared, collect, stream=stream, subject=f"{stream}.*", durable="d", ack_wait=1
    ) as running:
        kept = running[2]
        await until(lambda: seen | {row["n"] for row in kept.messages} == set(range(300)))


async def test_a_server_that_is_killed_is_read_on_once_it_is_back(collect: Any, server: NatsServer) -> None:
    await anyio.to_thread.run_sync(publish, server, "s", *(b'{"n": %d}' % n for n in range(500)))
    async with reading(server, collect, stream="s", subject="s.*", durable="d", ack_wait=1) as running:
        _, source, kept, _ = running
        await until(lambda: len(kept.messages) >= 500)
        await anyio.to_thread.run_sync(server.kill)
        await until(lambda: source._server.tries >= 2)
        health = await source.health_check()
        assert (health["healthy"], health["connected"]) == (False, False)
        assert f"127.0.0.1:{server.port} has been away" in health["reason"]
        await anyio.to_thread.run_sync(server.start)
        await anyio.to_thread.run_sync(publish, server, "s", *(b'{"n": %d}' % n for n in range(500, 1000)))
        await until(lambda: {row["n"] for row in kept.messages} == set(range(1000)))
        assert (await source.health_check())["connected"] is True


async def test_a_server_that_is_killed_is_missed_also_where_the_client_does_not_say_so(
    monkeypatch: pytest.MonkeyPatch, collect: Any, server: NatsServer
) -> None:
    from nats.aio.client import Client

    ends = Client._close

    async def fails_as_its_last_write_does(client: Any, status: int, do_cbs: bool = True) -> None:
        if do_cbs and not client.is_closed:
            client._status = status
            client._transport.close()
            await client._transport.wait_closed()
            raise ConnectionResetError
        await ends(client, status, do_cbs)

    await anyio.to_thread.run_sync(publish, server, "s", b'{"n": 0}')
    async with reading(server, collect, stream="s", subject="s.*", durable="d") as (_, source, kept, _):
        await until(lambda: kept.messages)
        monkeypatch.setattr(Client, "_close", fails_as_its_last_write_does)
        await anyio.to_thread.run_sync(server.kill)
        await until(lambda: source._server.tries >= 2)
        monkeypatch.undo()


async def test_what_takes_long_is_told_to_be_at_work(shared: NatsServer, stream: str, collect: Any) -> None:
    await anyio.to_thread.run_sync(publish, shared, stream, b'{"n": 1}')
    may = anyio.Event()

    class Slow(HarnessComponent):
        in_: In[Any]

        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.messages: list[Any] = []

        async def process(self) -> None:
            async for row in self.in_:
                self.messages.append(row)
                await may.wait()

    config = {"stream": stream, "subject": f"{stream}.*", "durable": "d", "ack_wait": 0.6}
    async with reading(shared, collect, sink=Slow("kept"), **config) as (_, source, kept, _):
        await until(lambda: kept.messages)
        told: list[int] = []
        real = source._session.settle

        def settle(done: Any, undone: Any = (), working: Any = ()) -> None:
            real(done, undone, working)
            told.append(len(working))

        source._session.settle = settle
        await until(lambda: len(told) >= 8)  # 0.2 s each: more than twice what the stream waits
        may.set()
        await until(lambda: not source._open)
    assert len(kept.messages) == 1


async def test_without_a_stream_what_comes_while_nobody_listens_is_lost_and_the_rest_is_shared(
    collect: Any, shared: NatsServer, stream: str
) -> None:
    def shout(count: int) -> None:
        session = NatsSession(Options([shared.url]))
        session.open()
        session.publish([Given(f"{stream}.x", b"%d" % n, "", None) for n in range(count)])
        session.close()

    await anyio.to_thread.run_sync(shout, 5)
    config = {"subject": f"{stream}.>", "durable": "group", "format": "text"}
    async with (
        reading(shared, collect, **config) as (_, _, kept, _),
        reading(shared, collect, **config) as other,
    ):
        await anyio.to_thread.run_sync(shout, 100)
        also = other[2]
        await until(lambda: len(kept.messages) + len(also.messages) == 100)
    assert kept.messages
    assert also.messages
    assert sorted(int(row["data"]) for row in [*kept.messages, *also.messages]) == list(range(100))


async def test_without_a_stream_what_comes_too_fast_is_lost_and_counted(
    shared: NatsServer, stream: str, collect: Any
) -> None:
    may = anyio.Event()

    class Waits(collect):  # type: ignore[misc, valid-type]
        async def process(self) -> None:
            await may.wait()
            await super().process()

    config = {"subject": f"{stream}.x", "format": "bytes", "max_unacked": 20}
    async with reading(shared, collect, sink=Waits("kept"), **config) as (_, source, kept, _):

        def shout() -> None:
            session = NatsSession(Options([shared.url]))
            session.open()
            for begin in range(0, 5000, 100):
                session.publish(
                    [Given(f"{stream}.x", b"%d" % n, "", None) for n in range(begin, begin + 100)]
                )
            session.close()

        await anyio.to_thread.run_sync(shout)
        await until(lambda: source._session.dropped > 4000)
        may.set()
        await until(lambda: len(kept.messages) + source._session.dropped == 5000)
        assert (await source.health_check())["dropped"] == source._session.dropped


# --- the sink ----------------------------------------------------------------------------------------------


@component
def numbers(*, count: int) -> Any:
    """Yield some rows."""
    for number in range(count):
        yield {"n": number, "kind": "even" if number % 2 == 0 else "odd"}


def sending(server: NatsServer, count: int, **config: Any) -> tuple[System, Any]:
    """Return a system that publishes numbers."""
    system = System("sending", buffer_size=20)
    system.add("numbers", numbers, count=count)
    sink: Any = system.add("sink", NatsSink, {"url": server.url, "timeout": 1, **config}).component
    sink._server._backoff = SOON
    system.connect("numbers", "sink.in")
    return system, sink


async def test_messages_are_in_the_stream_under_the_subject_that_their_fields_make(
    shared: NatsServer, stream: str
) -> None:
    system, sink = sending(shared, 500, stream=stream, subject=f"{stream}.{{kind}}", create_stream=True)
    report = await system.run()
    found = await anyio.to_thread.run_sync(contents, shared, stream)
    assert len(found) == sink.sent == 500
    assert {subject for subject, _ in found} == {f"{stream}.even", f"{stream}.odd"}
    assert found[0] == (f"{stream}.even", b'{"n":0,"kind":"even"}')
    assert report.ledger.totals.lost == 0


async def test_a_server_that_is_killed_again_and_again_has_every_message_once(server: NatsServer) -> None:
    system, sink = sending(server, 3000, stream="s", subject="s.a", create_stream=True, id_field="n")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        for count in (300, 1000, 1800):
            await until(lambda count=count: sink.sent >= count)
            losses = sink._server.losses
            await anyio.to_thread.run_sync(server.kill)
            await until(lambda losses=losses: sink._server.losses > losses)
            assert (await sink.health_check())["healthy"] is False
            await anyio.to_thread.run_sync(server.start)
    assert system.report is not None
    assert system.report.ledger.totals.lost == 0
    found = await anyio.to_thread.run_sync(contents, server, "s")
    assert sorted(data for _, data in found) == sorted(
        b'{"n":%d,"kind":"%s"}' % (n, b"odd" if n % 2 else b"even") for n in range(3000)
    )


async def test_what_cannot_be_published_is_rejected(
    run_through: Any, shared: NatsServer, stream: str
) -> None:
    config = {
        "url": shared.url,
        "stream": stream,
        "subject": f"{stream}.{{to}}",
        "create_stream": True,
        "id_field": "id",
    }
    rows = [
        {"id": 1, "to": "a"},
        {"id": 2},
        {"id": 3, "to": "a b"},
        {"to": "a"},
        {"id": 5, "to": "a", "x": object},
        {"id": 6, "to": "a", "text": "x" * 2_000_000},
        {"id": 7, "to": "b"},
    ]
    seen = await run_through(NatsSink, config, in_=rows)
    assert [one.message["id"] for one in seen.rejected if "id" in one.message] == [2, 3, 5, 6]
    assert seen.reasons[:3] == [
        "no field 'to', known: id",
        "field 'to' has 'a b', which cannot be in a name",
        "no field 'id'",
    ]
    assert seen.reasons[4] == "the server refuses it: maximum payload exceeded"
    assert len(await anyio.to_thread.run_sync(contents, shared, stream)) == 2


async def test_a_stream_that_nobody_has_made_is_waited_for_and_named(shared: NatsServer, stream: str) -> None:
    system, sink = sending(shared, 3, stream=stream, subject=f"{stream}.a")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: sink._server.tries >= 2)
        assert "has no such stream" in (await sink.health_check())["reason"]
        await anyio.to_thread.run_sync(publish, shared, stream)
    assert sink.sent == 3


async def test_text_and_bytes_are_published_without_a_stream(
    collect: Any, shared: NatsServer, stream: str
) -> None:
    async with reading(shared, collect, subject=f"{stream}.a", format="text") as (_, _, kept, _):
        system = System()

        @component
        def texts() -> Any:
            yield "zwölf"
            yield {"data": "eleven"}
            yield {"data": 1}

        bad = collect("bad_texts")
        system.add("texts", texts)
        system.add("sink", NatsSink, url=shared.url, subject=f"{stream}.a", format="text")
        system.add("bad_texts", bad)
        system.connect("texts", "sink.in")
        system.connect("sink.rejected", "bad_texts.in")
        await system.run()
        await until(lambda: len(kept.messages) == 2)
    assert [row["data"] for row in kept.messages] == ["zwölf", "eleven"]
    assert [one.message for one in bad.messages] == [{"data": 1}]


# --- the server --------------------------------------------------------------------------------------------


async def test_a_server_that_does_not_let_us_in_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    with NatsServer(tmp_path, token="secret") as server:
        for kind in (NatsSource, NatsSink):
            inputs = {"in_": []} if kind is NatsSink else {}
            with pytest.raises(SystemFailed) as caught:
                await run_through(kind, {"url": server.url, "subject": "a", "token": "no"}, **inputs)
            assert isinstance(caught.value.errors[0], ComponentError)
            assert str(caught.value.errors[0]).startswith(f"it: 127.0.0.1:{server.port} does not let us in: ")
        config = {"url": server.url, "subject": "a", "token": "secret"}
        await run_through(NatsSink, config, in_=[{"n": 1}])


async def test_no_thread_stays(run_through: Any, shared: NatsServer, stream: str) -> None:
    def portals() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if "nats" in thread.name]

    await run_through(NatsSink, {"url": shared.url, "subject": stream}, in_=[{"n": 1}])
    assert portals() == []


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        (NatsSource, {"subject": ""}, "subject is empty"),
        (NatsSource, {"subject": "a", "url": "http://a"}, "url must begin with nats://"),
        (NatsSource, {"subject": "a", "create_stream": True}, "create_stream needs stream"),
        (NatsSource, {"subject": "a", "max_unacked": 0}, "max_unacked must be at least 1"),
        (NatsSource, {"subject": "a", "ack_wait": 0}, "ack_wait must be a duration above 0"),
        (NatsSink, {"subject": ""}, "subject is empty"),
        (NatsSink, {"subject": "a.{b"}, "subject has a brace that does not close"),
        (NatsSink, {"subject": "a.{}"}, "no name in it"),
        (NatsSink, {"subject": "a", "url": []}, "url must begin with nats://"),
        (NatsSink, {"subject": "a", "id_field": "id"}, "id_field needs stream"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind: Any, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        kind("x", config)


def test_without_the_extra_there_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "headrace.edges.nats", None)
    monkeypatch.delattr("headrace.edges.nats", raising=False)
    for kind in (NatsSource, NatsSink):
        with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[nats\]'"):
            kind("x", {"subject": "a"})
