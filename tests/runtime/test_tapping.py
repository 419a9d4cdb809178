"""Taps on a running system: what they show, what they count, and when they end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group

from headrace.exceptions import ConfigError, HarnessNotRunning, UnknownComponentError, WiringError
from headrace.model.expression import ConditionError
from headrace.runtime.system_execution_harness import System
from headrace.runtime.tapping import Tap
from headrace.streams.edge_store import MemoryStore


class Gated:
    """A source that sends what it is given, and ends when it is told to."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._ended = False
        self._news = anyio.Event()

    def send(self, *messages: Any) -> None:
        self._messages += messages
        self._news.set()

    def close(self) -> None:
        self._ended = True
        self._news.set()

    def source(self) -> Any:
        async def numbers() -> Any:
            while True:
                while self._messages:
                    yield self._messages.pop(0)
                if self._ended:
                    return
                self._news = anyio.Event()
                await self._news.wait()

        return numbers


def system_of(gated: Gated, *, fuse: bool = True, **parts: Any) -> System:
    system = System("tapped", fuse=fuse)
    system.add("src", gated.source())
    for name, function in parts.items():
        system.add(name, function)
    return system


def double(message: dict[str, int]) -> dict[str, int]:
    message["v"] *= 2
    return message


def nothing(message: object) -> None:
    pass


async def values(tap: Tap) -> list[Any]:
    return [record.value async for record in tap]


async def test_a_tap_shows_messages_with_their_edge_number_and_time() -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")
    async with system, system.tap("src.out", n=2) as tap:
        gated.send({"v": 1})
        gated.send({"v": 2})
        first, second = [record async for record in tap]
        gated.close()
    assert first.edge == second.edge == "src.out -> sink.in"
    assert (first.id, second.id) == (1, 2)
    assert (first.value, second.value) == ({"v": 1}, {"v": 2})
    assert 0 <= second.time - first.time < 60
    assert tap.counts.taken == 2


@pytest.mark.parametrize(
    "what", ["src", "src.out", "sink", "sink.in", "src.out -> sink.in", "src.out->sink.in"]
)
async def test_an_edge_has_several_names(what: str) -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")
    async with system, system.tap(what, n=1) as tap:
        assert tap.edges == ("src.out -> sink.in",)
        gated.send(7)
        assert await values(tap) == [7]
        gated.close()


@pytest.mark.parametrize("fuse", [True, False])
async def test_a_message_is_shown_as_it_was_before_the_next_component_changed_it(fuse: bool) -> None:
    gated = Gated()
    system = System("tapped", fuse=fuse)
    system.add("src", gated.source())
    system.add("twice", lambda message: message)
    system.add("double", double)
    system.add("sink", nothing)
    system.connect("src.out", "twice.in")
    system.connect("twice.out", "double.in")
    system.connect("double.out", "sink.in")
    async with system, system.tap("twice.out") as before, system.tap("double.out") as after:
        for number in range(3):
            gated.send({"v": number})
        gated.close()
        assert await values(before) == [{"v": 0}, {"v": 1}, {"v": 2}]
        assert await values(after) == [{"v": 0}, {"v": 2}, {"v": 4}]


async def test_a_fused_function_that_fails_half_way_shows_each_message_once() -> None:
    gated = Gated()

    def fussy(message: int) -> int:
        if message == 2:
            raise ValueError(message)
        return message

    system = system_of(gated, first=lambda message: message, fussy=fussy, sink=nothing)
    system.connect("src.out", "first.in")
    system.connect("first.out", "fussy.in")
    system.connect("fussy.out", "sink.in")
    async with system, system.tap("first.out") as tap:
        for number in range(5):
            gated.send(number)
        gated.close()
        records = [record async for record in tap]
    assert [record.value for record in records] == [0, 1, 2, 3, 4]
    assert [record.id for record in records] == [1, 2, 3, 4, 5]


async def test_only_what_is_wanted_is_shown_and_the_rest_is_counted() -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")

    def odd(message: Any) -> bool:
        return bool(message % 2)

    async with system, system.tap("src.out", where=odd) as tap:
        for message in (1, 2, "x", 3):
            gated.send(message)
        gated.close()
        assert await values(tap) == [1, 3]
    counts = tap.counts
    assert (counts.taken, counts.unwanted, counts.failed, counts.skipped) == (2, 1, 1, 0)
    assert counts.error.startswith("not all arguments converted")


async def test_what_is_wanted_may_be_said_in_words() -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")
    async with system:
        with pytest.raises(ConditionError, match=r"v >\n     \^"):
            system.tap("src.out", where="v >")
        async with system.tap("src.out", where="v > 3 and name.startswith('a')") as tap:
            gated.send({"v": 4, "name": "ab"}, {"v": 4, "name": "b"}, {"v": 3, "name": "a"}, {"w": 4})
            gated.close()
            assert await values(tap) == [{"v": 4, "name": "ab"}]
    assert (tap.counts.unwanted, tap.counts.failed) == (2, 1)
    assert tap.counts.error == "no field 'v', known: w"


async def test_what_is_not_read_in_time_goes_by_and_is_counted() -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")
    async with system, system.tap("src.out", size=2) as tap:
        for number in range(10):
            gated.send(number)
        gated.close()
        await system.wait()
        assert await values(tap) == [0, 1]
    assert (tap.counts.taken, tap.counts.skipped) == (2, 8)


async def test_a_broadcast_is_seen_once_by_its_output_and_on_each_of_its_edges() -> None:
    gated = Gated()
    system = system_of(gated, one=nothing, other=nothing)
    system.connect("src.out", "one.in")
    system.connect("src.out", "other.in")
    async with (
        system,
        system.tap("src.out") as whole,
        system.tap("one.in") as one,
        system.tap("other.in") as other,
    ):
        gated.send(5)
        gated.send(6)
        gated.close()
        assert [await values(tap) for tap in (whole, one, other)] == [[5, 6]] * 3


async def test_all_replicas_are_tapped_as_one() -> None:
    gated = Gated()
    system = System("tapped")
    system.add("src", gated.source())
    system.add("work", nothing, replicas=3)
    system.connect("src.out", "work.in")
    async with system, system.tap("src.out") as sent, system.tap("src.out -> work.in") as received:
        for number in range(6):
            gated.send(number)
        gated.close()
        assert sorted(await values(sent)) == sorted(await values(received)) == [0, 1, 2, 3, 4, 5]
        assert len(sent.edges) == 3


async def test_a_restart_does_not_end_a_tap(parts: SimpleNamespace) -> None:
    gated = Gated()
    crashes = iter([True])

    async def fragile(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            if message == 2 and next(crashes, False):
                raise ValueError(message)
            await self.send_streams["out"].send(message)

    system = system_of(gated, sink=nothing)
    system.add("fragile", parts.Acting("fragile", fragile), restart="failure")
    system.connect("src.out", "fragile.in")
    system.connect("fragile.out", "sink.in")
    async with system, system.tap("src.out") as sent, system.tap("fragile.out") as tap:
        gated.send(0, 1, 2, 3)
        gated.close()
        assert await values(tap) == await values(sent) == [0, 1, 2, 3]
        assert system.statistics().components["fragile"].restarts == 1


async def test_a_tap_ends_with_the_run_whatever_becomes_of_it(parts: SimpleNamespace) -> None:
    system = System("tapped")
    system.register_component("numbers", parts.Numbers())
    system.register_component("slow", parts.Acting("slow", lambda self: anyio.sleep_forever()))
    system.connect("numbers.out", "slow.in", buffer_size=2)
    read = anyio.Event()

    async def look() -> None:
        async with system.tap("numbers.out") as tap:
            assert await values(tap) == []
        read.set()

    async with create_task_group() as group:
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                await system.run()

        group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        with anyio.fail_after(20):
            await read.wait()


async def test_a_closed_tap_leaves_the_edge_as_it_was(parts: SimpleNamespace) -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")
    async with system:
        store = system.wiring.edges["src.out -> sink.in"].store
        async with system.tap("src") as one, system.tap("src"):
            assert type(store) is not MemoryStore
            one.close()
            one.close()
            assert [record async for record in one] == []
        assert type(store) is MemoryStore
        gated.close()


async def test_a_cancelled_reader_loses_nothing() -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")
    async with system, system.tap("src", n=1) as tap:
        with anyio.move_on_after(0) as scope:
            await anext(tap)
        assert scope.cancelled_caught
        gated.send("kept")
        assert await values(tap) == ["kept"]
        gated.close()


async def test_what_cannot_be_tapped_is_refused_with_a_hint() -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing, loose=lambda message: message)
    system.connect("src.out", "sink.in")
    system.connect("src.out", "loose.in")
    with pytest.raises(HarnessNotRunning, match="nothing to tap"):
        system.tap("src")
    async with system:
        with pytest.raises(UnknownComponentError, match=r"no component is named 'scr'.*did you mean 'src'"):
            system.tap("scr.out")
        with pytest.raises(
            WiringError, match=r"no edge 'src.out -> sink.on'.*did you mean 'src.out -> sink.in'"
        ):
            system.tap("src.out -> sink.on")
        with pytest.raises(WiringError, match=r"nothing is connected to 'loose.out'"):
            system.tap("loose.out")
        with pytest.raises(ConfigError, match="n must be a whole number of at least 1, not 0"):
            system.tap("src", n=0)
        with pytest.raises(ConfigError, match="size must be"):
            system.tap("src", size=True)
        gated.close()


async def test_taps_share_the_time_that_there_is() -> None:
    gated = Gated()
    system = system_of(gated, sink=nothing)
    system.connect("src.out", "sink.in")
    async with system:
        async with system.tap("src") as one:
            alone = one._sampler.share
            async with system.tap("sink") as other:
                assert one._sampler.share == other._sampler.share == alone / 2
            assert one._sampler.share == alone
        assert repr(one) == "<Tap on src.out -> sink.in>"
        gated.close()
