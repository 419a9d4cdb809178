"""``mqtt_source`` and ``mqtt_sink`` with a real Mosquitto, that is killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.servers.mosquitto import Mosquitto

from headrace import Backoff, HarnessComponent, In, System, SystemFailed, component
from headrace.components import MqttSink, MqttSource
from headrace.edges.mqtt import MqttSession, Options
from headrace.exceptions import ComponentError, ConfigError, MissingExtraError, UnavailableError
from headrace.model.carried import Given, Taken

SOON = Backoff(first=0.01, longest=0.05)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Return a server for the tests that leave it alone; each has a topic of its own."""
    with Mosquitto(tmp_path_factory.mktemp("mqtt")) as one:
        yield one


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mosquitto]:
    """Return a server that may be killed."""
    with Mosquitto(tmp_path) as one:
        yield one


_numbers = iter(range(1_000_000))


@pytest.fixture
def topic() -> str:
    """Return a topic that no other test has."""
    return f"t{next(_numbers)}"


def url(server: Mosquitto) -> str:
    """Return where a server listens."""
    return f"mqtt://127.0.0.1:{server.port}"


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what another process does sets no event of ours
            await anyio.sleep(0.005)


def publish(server: Mosquitto, topic: str, *contents: bytes, qos: int = 1, retain: bool = False) -> None:
    """Publish contents, by a connection of its own."""
    session = MqttSession(Options("127.0.0.1", server.port, qos=qos, retain=retain))
    session.open()
    try:
        assert session.publish([Given(topic, one, "", None) for one in contents]) == []
    finally:
        session.close()


class Reader:
    """Reads a topic, by a connection of its own that the server remembers."""

    def __init__(self, server: Mosquitto, topic: str) -> None:
        options = Options(
            "127.0.0.1", server.port, topic=topic, client_id=f"reader of {topic}", session_expiry=100
        )
        self._session = MqttSession(options)
        self._session.open()
        self.taken: list[Taken] = []

    def read(self, wait: float = 0.3) -> list[Taken]:
        """Return all that has come, and acknowledge it."""
        self._session.open()
        while taken := self._session.fetch(256, wait):
            self._session.settle(taken)
            self.taken += taken
        return self.taken

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


@asynccontextmanager
async def reading(
    server: Mosquitto, collect: Any, *, sink: Any = None, **config: Any
) -> AsyncIterator[tuple[System, Any, Any, Any]]:
    """Run a source; yields the system, the source, what it sends and what it rejects. It is stopped at the end."""
    system = System("reading", buffer_size=10)
    source: Any = system.add("feed", MqttSource, {"url": url(server), "timeout": 2, **config}).component
    source._server._backoff = SOON
    kept, bad = sink or collect("kept"), collect("bad")
    for port, one in (("out", kept), ("rejected", bad)):
        system.add(one.name, one)
        system.connect(f"feed.{port}", f"{one.name}.in")
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


async def test_what_is_published_becomes_rows_with_their_topics(
    collect: Any, shared: Mosquitto, topic: str
) -> None:
    async with reading(shared, collect, topic=f"{topic}/+", topic_field="from") as (_, source, kept, bad):
        await anyio.to_thread.run_sync(publish, shared, f"{topic}/a", *(b'{"n": %d}' % n for n in range(500)))
        await anyio.to_thread.run_sync(publish, shared, f"{topic}/b", b"no", b'{"n": 500}')
        await until(lambda: len(kept.messages) == 501 and len(bad.messages) == 1)
        assert (await source.health_check())["connected"] is True
    assert kept.messages[0] == {"n": 0, "from": f"{topic}/a"}
    assert [row["n"] for row in kept.messages] == list(range(501))
    assert bad.messages[0].reason.startswith(f"{topic}/b: no json: ")


async def test_a_run_goes_on_where_the_last_one_with_its_name_ended(
    collect: Any, shared: Mosquitto, topic: str
) -> None:
    config = {"topic": topic, "client_id": f"{topic} reader"}
    seen: list[int] = []
    async with reading(shared, collect, **config):
        pass
    for begin in (0, 100, 200):
        contents = [b'{"n": %d}' % n for n in range(begin, begin + 100)]
        await anyio.to_thread.run_sync(publish, shared, topic, *contents)
        async with reading(shared, collect, **config) as (_, _, kept, _):
            await until(lambda kept=kept: len(kept.messages) == 100)
        seen += [row["n"] for row in kept.messages]
    assert seen == list(range(300))


async def test_what_a_kill_has_lost_comes_again(collect: Any, shared: Mosquitto, topic: str) -> None:
    program = f"""
from headrace import System, component
from headrace.components import MqttSource

@component
def show(row):
    print(row["n"], flush=True)

system = System("killed")
system.add("feed", MqttSource, url="{url(shared)}", topic="{topic}", client_id="{topic} reader")
system.add("show", show)
system.connect("feed.out", "show")
system.run_blocking()
"""
    config = {"topic": topic, "client_id": f"{topic} reader"}
    async with reading(shared, collect, **config):
        pass
    await anyio.to_thread.run_sync(publish, shared, topic, *(b'{"n": %d}' % n for n in range(300)))

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
    async with reading(shared, collect, **config) as (_, _, kept, _):
        await until(lambda: seen | {row["n"] for row in kept.messages} == set(range(300)))


async def test_a_server_that_is_killed_is_read_on_once_it_is_back(collect: Any, server: Mosquitto) -> None:
    async with reading(server, collect, topic="t") as (_, source, kept, _):
        await anyio.to_thread.run_sync(publish, server, "t", *(b'{"n": %d}' % n for n in range(100)))
        await until(lambda: len(kept.messages) == 100)
        await anyio.to_thread.run_sync(server.kill)
        await until(lambda: source._server.tries >= 2)
        health = await source.health_check()
        assert (health["healthy"], health["connected"]) == (False, False)
        assert f"127.0.0.1:{server.port} has been away" in health["reason"]
        await anyio.to_thread.run_sync(server.start)
        await until(lambda: not source._server.is_away)
        await anyio.to_thread.run_sync(publish, server, "t", *(b'{"n": %d}' % n for n in range(100, 200)))
        await until(lambda: {row["n"] for row in kept.messages} == set(range(200)))


async def test_no_more_is_on_its_way_than_may_be(shared: Mosquitto, topic: str, collect: Any) -> None:
    may = anyio.Event()

    class Waits(collect):  # type: ignore[misc, valid-type]
        async def process(self) -> None:
            await may.wait()
            await super().process()

    config = {"topic": topic, "max_unacked": 20}
    async with reading(shared, collect, sink=Waits("kept"), **config) as (_, source, kept, _):
        await anyio.to_thread.run_sync(publish, shared, topic, *(b'{"n": %d}' % n for n in range(500)))
        await until(lambda: len(source._session._order) == 20)
        assert len(source._open) <= 20
        may.set()
        await until(lambda: len(kept.messages) == 500)
    assert [row["n"] for row in kept.messages] == list(range(500))


async def test_the_source_goes_on_where_one_of_two_readers_ends_by_itself(
    shared: Mosquitto, topic: str, collect: Any
) -> None:
    class TakesThree(HarnessComponent):
        in_: In[Any]

        async def process(self) -> None:
            for _ in range(3):
                await self.in_.receive()

    system = System("reading", buffer_size=15)
    feed = {"url": url(shared), "timeout": 2, "topic": topic, "max_unacked": 20}
    source: Any = system.add("feed", MqttSource, feed).component
    system.add("kept", kept := collect("kept"))
    system.add("few", TakesThree("few"))
    system.connect("feed.out", "kept.in")
    system.connect("feed.out", "few.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: not source._server.is_away)
        await anyio.to_thread.run_sync(publish, shared, topic, *(b'{"n": %d}' % n for n in range(200)))
        await until(lambda: {row["n"] for row in kept.messages} == set(range(200)))
        await until(lambda: not source._open)
        with anyio.fail_after(20):
            await system.stop()


async def test_with_quality_0_what_comes_too_fast_is_lost_and_counted(
    shared: Mosquitto, topic: str, collect: Any
) -> None:
    may = anyio.Event()

    class Waits(collect):  # type: ignore[misc, valid-type]
        async def process(self) -> None:
            await may.wait()
            await super().process()

    config = {"topic": topic, "qos": 0, "max_unacked": 20, "format": "text"}
    async with reading(shared, collect, sink=Waits("kept"), **config) as (_, source, kept, _):
        for begin in range(0, 2000, 100):
            texts = [b"%d" % n for n in range(begin, begin + 100)]
            await anyio.to_thread.run_sync(publish, shared, topic, *texts)
        await until(lambda: source._session.dropped > 1000)
        may.set()
        await until(lambda: len(kept.messages) + source._session.dropped == 2000)
        assert (await source.health_check())["dropped"] == source._session.dropped


# --- the sink ----------------------------------------------------------------------------------------------


@component
def numbers(*, count: int) -> Any:
    """Yield some rows."""
    for number in range(count):
        yield {"n": number, "room": "hall" if number % 2 == 0 else "attic"}


def sending(server: Mosquitto, count: int, **config: Any) -> tuple[System, Any]:
    """Return a system that publishes numbers."""
    system = System("sending", buffer_size=20)
    system.add("numbers", numbers, count=count)
    sink: Any = system.add("sink", MqttSink, {"url": url(server), "timeout": 2, **config}).component
    sink._server._backoff = SOON
    system.connect("numbers", "sink.in")
    return system, sink


@pytest.mark.parametrize("qos", [0, 1])
async def test_messages_are_published_under_the_topics_that_their_fields_make(
    shared: Mosquitto, topic: str, qos: int
) -> None:
    reader = await anyio.to_thread.run_sync(Reader, shared, f"{topic}/#")
    system, sink = sending(shared, 500, topic=f"{topic}/{{room}}", qos=qos)
    report = await system.run()
    found = await anyio.to_thread.run_sync(reader.read)
    await anyio.to_thread.run_sync(reader.close)
    assert len(found) == sink.sent == 500
    assert (found[0].subject, found[0].data) == (f"{topic}/hall", b'{"n":0,"room":"hall"}')
    assert {one.subject for one in found} == {f"{topic}/hall", f"{topic}/attic"}
    assert report.ledger.totals.lost == 0


async def test_a_server_that_is_killed_again_and_again_gets_every_message(server: Mosquitto) -> None:
    reader = await anyio.to_thread.run_sync(Reader, server, "t")
    system, sink = sending(server, 2000, topic="t")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        for count in (300, 900, 1500):
            await until(lambda count=count: sink.sent >= count)
            losses = sink._server.losses
            await anyio.to_thread.run_sync(
                reader.read, 1.5
            )  # a second after which it is on the server's disk
            await anyio.to_thread.run_sync(server.kill)
            await until(lambda losses=losses: sink._server.losses > losses or sink.sent == 2000)
            if sink.sent < 2000:
                assert (await sink.health_check())["healthy"] is False
            await anyio.to_thread.run_sync(server.start)
    assert system.report is not None
    assert system.report.ledger.totals.lost == 0
    found = await anyio.to_thread.run_sync(reader.read)
    await anyio.to_thread.run_sync(reader.close)
    assert {one.data for one in found} == {
        b'{"n":%d,"room":"%s"}' % (n, b"attic" if n % 2 else b"hall") for n in range(2000)
    }


async def test_the_last_message_of_a_topic_may_be_kept_for_who_comes_later(
    shared: Mosquitto, topic: str, collect: Any
) -> None:
    system, _ = sending(shared, 10, topic=f"{topic}/{{room}}", retain=True)
    await system.run()
    async with reading(shared, collect, topic=f"{topic}/+") as (_, _, kept, _):
        await until(lambda: len(kept.messages) == 2)
    assert sorted(row["n"] for row in kept.messages) == [8, 9]


async def test_what_cannot_be_published_is_rejected(run_through: Any, shared: Mosquitto, topic: str) -> None:
    config = {"url": url(shared), "topic": f"{topic}/{{room}}"}
    rows = [
        {"n": 1, "room": "a"},
        {"n": 2},
        {"n": 3, "room": "a/b"},
        {"n": 4, "room": object},
        {"n": 5, "room": "c"},
    ]
    seen = await run_through(MqttSink, config, in_=rows)
    assert [one.message["n"] for one in seen.rejected] == [2, 3, 4]
    assert seen.reasons[:2] == [
        "no field 'room', known: n",
        "field 'room' has 'a/b', which cannot be in a name",
    ]
    assert seen.component.sent == 2


def test_what_is_refused_is_told_although_the_rest_is_not_confirmed(shared: Mosquitto, topic: str) -> None:
    session = MqttSession(Options("127.0.0.1", shared.port, timeout=0.2))
    session.open()
    try:
        messages = [Given(f"{topic}/#", b"1", "", "bad"), Given(topic, b"2", "", "good")]
        session._confirmed_of = lambda waiting: (_ for _ in ()).throw(UnavailableError("silent"))  # type: ignore[method-assign]
        ((refused, why),) = session.publish(messages)
        assert (refused.message, "wildcards" in why) == ("bad", True)
        assert [one.message for one in messages] == ["good"]
        with pytest.raises(UnavailableError, match="silent"):
            session.publish(messages)
    finally:
        session.close()


def test_a_message_that_is_undone_holds_up_no_acknowledgement_and_comes_again(
    shared: Mosquitto, topic: str
) -> None:
    options = Options("127.0.0.1", shared.port, topic=topic, client_id=f"undone {topic}", session_expiry=100)
    session = MqttSession(options)
    session.open()
    try:
        publish(shared, topic, b"1", b"2", b"3")
        taken: list[Taken] = []
        while len(taken) < 3:
            taken += session.fetch(10, 5)
        session.settle(taken[1:], undone=taken[:1])
        assert not session._order
        session.disconnect()
        session.open()
        assert [one.data for one in session.fetch(10, 5)] == [b"1"]
    finally:
        session.close()


# --- the server --------------------------------------------------------------------------------------------


async def test_a_server_that_does_not_let_us_in_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    with Mosquitto(tmp_path, user="me", password="secret") as server:
        for kind in (MqttSource, MqttSink):
            inputs = {"in_": []} if kind is MqttSink else {}
            with pytest.raises(SystemFailed) as caught:
                await run_through(
                    kind, {"url": url(server), "topic": "a", "user": "me", "password": "no"}, **inputs
                )
            assert isinstance(caught.value.errors[0], ComponentError)
            assert str(caught.value.errors[0]) == (
                f"it: 127.0.0.1:{server.port} does not let us in: Not authorized"
            )
        config = {"url": url(server), "topic": "a", "user": "me", "password": "secret"}
        await run_through(MqttSink, config, in_=[{"n": 1}])


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        (MqttSource, {"topic": ""}, "topic is empty"),
        (MqttSource, {"topic": "a", "url": "http://a"}, "url must begin with mqtt://"),
        (MqttSource, {"topic": "a", "url": "mqtt://a:x"}, "url is no address"),
        (MqttSource, {"topic": "a", "url": "mqtt://me:secret@a"}, "url has a name or a password"),
        (MqttSource, {"topic": "a", "max_unacked": 0}, "max_unacked must be at least 1"),
        (MqttSink, {"topic": ""}, "topic is empty"),
        (MqttSink, {"topic": "a/{b"}, "topic has a brace that does not close"),
        (MqttSink, {"topic": "a", "timeout": 0}, "timeout must be a duration above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind: Any, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        kind("x", config)


def test_without_the_extra_there_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "headrace.edges.mqtt", None)
    monkeypatch.delattr("headrace.edges.mqtt", raising=False)
    for kind in (MqttSource, MqttSink):
        with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[mqtt\]'"):
            kind("x", {"topic": "a"})
