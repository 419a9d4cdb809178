"""One component under a probe, on both backends."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from headrace.authoring.function_component import component
from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.authoring.resource import Resource
from headrace.exceptions import (
    ConfigError,
    NoMessageError,
    PortEndedError,
    SystemFailed,
    UnknownPortError,
    UnknownResourceError,
    UnsettledError,
)
from headrace.model.message import Rejected
from headrace.testing import Fed, Probe, feed_all, probe


class Parse(HarnessComponent):
    """Typed ports, a setting, rejects and crashes."""

    in_: In[bytes]
    out: Out[str]
    rejected: Out[Rejected[bytes]]

    @dataclasses.dataclass
    class Config:
        unit: str = "C"

    async def process(self) -> None:
        async for raw in self.in_:
            if raw == b"crash":
                raise KeyError("id")
            if raw == b"bad":
                await self.rejected.send(Rejected(raw, "bad"))
            else:
                await self.out.send(raw.decode() + self.config.unit)


class Untyped(HarnessComponent):
    """Sends on what it receives, through ports it does not declare."""

    async def process(self) -> None:
        async for message in self.receive_streams["in"]:
            await self.send_streams["out"].send(message)


class Sum(HarnessComponent):
    """Says the sum when its input has ended; has two inputs."""

    in_: In[int]
    side: In[int]
    out: Out[int]

    async def process(self) -> None:
        total = 0
        async for number in self.in_:
            total += number
        async for number in self.side:
            total += 100 * number
        await self.out.send(total)


class Stuck(HarnessComponent):
    """Waits for something of its own on the first message."""

    in_: In[Any]
    out: Out[Any]

    async def process(self) -> None:
        async for _ in self.in_:
            await anyio.sleep_forever()


class Early(HarnessComponent):
    """Ends after its first message."""

    in_: In[Any]
    out: Out[Any]

    async def process(self) -> None:
        await self.out.send(await self.in_.receive())


class BadSetup(HarnessComponent):
    """Cannot be set up."""

    async def setup(self, harness_context: Any = None) -> None:
        raise OSError("no licence")

    async def process(self) -> None: ...


@component
def count() -> Iterator[int]:
    """Count for ever."""
    number = 0
    while True:
        yield number
        number += 1


@component
def three() -> Iterator[int]:
    """Count to two."""
    yield from range(3)


@component
def invert(number: float) -> float:
    """Fail on 0."""
    return 1 / number


@component
async def look_up(key: str, *, db: Resource[dict[str, int]]) -> int:
    """Read a resource."""
    return db[key]


async def test_what_is_fed_comes_out_as_the_component_makes_it() -> None:
    async with probe(Parse, unit="F") as p:
        await p.feed(b"1", b"bad", b"2")
        assert [await p.next(), await p.next("out")] == ["1F", "2F"]
        assert (await p.next("rejected")).reason == "bad"
        assert p.rejected == [Rejected(b"bad", "bad")]
        assert p.outputs() == ["1F", "2F"]


async def test_a_probe_shows_the_component_and_its_context() -> None:
    async with probe(Parse, name="parse", config={"unit": "K"}) as p:
        assert isinstance(p.component, Parse)
        assert p.context.name == "parse"
        assert p.report is None
        assert p.failure is None
    assert p.report is not None
    assert p.report.clean
    assert p.report.ledger.closes


async def test_finish_ends_the_inputs_and_returns_all_outputs() -> None:
    async with probe(Sum) as p:
        await p.feed(1, 2, port="in")
        await p.feed(3, port="Sum.side")
        assert p.outputs() == []
        assert await p.finish() == {"out": [303]}
        assert await p.next() == 303
        with pytest.raises(
            NoMessageError, match=r"no further message at Sum.out: the system has ended \(1 came\)"
        ):
            await p.next()
        with pytest.raises(PortEndedError, match=r"its end was sent already"):
            await p.feed(1, port="in")
        assert await p.finish() == {"out": [303]}


async def test_the_end_of_the_block_ends_the_inputs_too() -> None:
    async with probe(Sum) as p:
        await p.feed(1, port="in")
    assert p.outputs() == [1]
    assert p.report is not None
    assert p.report.clean


async def test_next_knows_at_once_that_nothing_will_come() -> None:
    async with probe(Parse, timeout=1000) as p:
        with pytest.raises(
            NoMessageError, match=r"no further message at Parse.out.*\(none ever came\).*waits for a"
        ):
            await p.next()
        await p.feed(b"bad")
        with pytest.raises(NoMessageError, match=r"Parse waits for a message"):
            await p.next()


async def test_next_says_why_a_message_was_given_up() -> None:
    async with probe(invert, timeout=1000) as p:
        await p.feed(0)
        with pytest.raises(NoMessageError, match=r"gave up on 0: ZeroDivisionError: division by zero"):
            await p.next()


async def test_next_says_which_output_stands_in_the_way() -> None:
    @component
    def two_ways() -> Iterator[int | Rejected[int]]:
        yield from range(10)
        yield Rejected(1, "odd")

    async with probe(two_ways) as p:
        with pytest.raises(NoMessageError, match=r"waits for room on 'two_ways.out', so read that first"):
            await p.next("rejected")


async def test_a_source_goes_on_as_it_is_asked_and_is_stopped_at_the_end() -> None:
    async with probe(count) as p:
        assert [await p.next() for _ in range(100)] == list(range(100))
        await p.settle()
        assert len(p.outputs()) <= 102
    assert p.report is not None
    assert p.report.outcome == "stopped"


async def test_a_source_that_ignores_the_stop_is_stopped_too() -> None:
    class Clock(HarnessComponent):
        out: Out[int]

        async def process(self) -> None:
            for number in range(10**9):
                await self.out.send(number)

    async with probe(Clock) as p:
        assert await p.next() == 0


async def test_the_end_of_a_source_is_told() -> None:
    async with probe(three) as p:
        assert await p.finish() == {"out": [0, 1, 2]}
    async with probe(three) as p:
        assert [await p.next() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(NoMessageError, match=r"three has ended"):
            await p.next()


async def test_messages_that_fail_are_tried_without_a_pause_and_put_away() -> None:
    async with probe(component(attempts=5, backoff=1000)(lambda n: 1 / n), name="inv") as p:
        await p.feed(0, 2)
        assert await p.next() == 0.5
        (letter,) = p.dead_letters
        assert (letter.component, letter.message, letter.attempts) == ("inv", 0, 5)


async def test_attempts_and_on_error_can_be_said_for_the_test() -> None:
    async with probe(invert, attempts=1, on_error="reject") as p:
        await p.feed(0)
        assert (await p.next("rejected")).message == 0
        assert p.dead_letters == ()


async def test_attempts_of_a_class_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"attempts is for function components"):
        async with probe(Parse, attempts=2):
            pass


async def test_a_finished_component_and_a_plain_function_can_be_probed() -> None:
    async with probe(Untyped("mine")) as p:
        await p.feed("a")
        assert await p.next("mine.out") == "a"
    async with probe(functools.partial(lambda n, by: n * by, by=3)) as p:
        await p.feed(2)
        assert await p.next() == 6


async def test_ports_that_are_not_declared_are_named_to_the_probe() -> None:
    class Fork(HarnessComponent):
        async def process(self) -> None:
            async for message in self.receive_streams["words"]:
                await self.send_streams["short" if len(message) < 4 else "long"].send(message)

    async with probe(Fork, inputs=("words",), outputs=("short", "long")) as p:
        await p.feed("fox", "quick")
        assert await p.next("short") == "fox"
        assert await p.next("long") == "quick"
        with pytest.raises(UnknownPortError, match=r"did you mean 'long'"):
            await p.next("lon")
        with pytest.raises(UnknownPortError, match=r"'Fork.other' is not in the probe"):
            await p.next("other")


async def test_a_port_that_the_component_does_not_have_is_refused() -> None:
    async with probe(Parse) as p:
        with pytest.raises(UnknownPortError, match=r"did you mean 'rejected'"):
            await p.next("rejectd")
        with pytest.raises(UnknownPortError, match=r"has no input port 'other'"):
            await p.feed(b"1", port="other")
    async with probe(Sum) as p:
        with pytest.raises(Exception, match=r"several input ports"):
            await p.feed(1)


async def test_a_sink_is_fed_until_it_has_done_its_work() -> None:
    got: list[int] = []

    @component
    def keep(number: int) -> None:
        got.append(number)

    async with probe(keep) as p:
        await p.feed(1, 2)
        await p.settle()
        assert got == [1, 2]


@pytest.mark.parametrize("given", [{"a": 1}, lambda: {"a": 1}], ids=["a value", "a function that makes it"])
async def test_resources_are_values_or_made(given: Any) -> None:
    async with probe(look_up, resources={"db": given}) as p:
        await p.feed("a")
        assert await p.next() == 1
        assert p.context.resources["db"] == {"a": 1}


async def test_a_resource_that_is_opened_is_closed_again() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def opening() -> AsyncIterator[dict[str, int]]:
        seen.append("open")
        yield {"a": 2}
        seen.append("closed")

    async def generating() -> AsyncIterator[dict[str, int]]:
        async with opening() as db:
            yield db

    factories: list[Callable[..., Any]] = [opening, generating]
    for factory in factories:
        async with probe(look_up, resources={"db": factory}) as p:
            await p.feed("a")
            assert await p.next() == 2
    assert seen == ["open", "closed"] * 2


async def test_a_resource_that_is_missing_is_told_before_anything_runs() -> None:
    with pytest.raises(UnknownResourceError, match=r"db"):
        async with probe(look_up):
            pass


async def test_a_crash_is_raised_by_next_and_not_again() -> None:
    async with probe(Parse) as p:
        await p.feed(b"crash")
        with pytest.raises(SystemFailed, match=r"Parse failed in process: KeyError 'id'") as caught:
            await p.next()
        assert isinstance(caught.value.__cause__, KeyError)


async def test_a_crash_that_nobody_looked_at_is_raised_at_the_end_of_the_block() -> None:
    with pytest.raises(SystemFailed, match=r"KeyError"):
        async with probe(Parse) as p:
            await p.feed(b"crash")


async def test_a_crash_that_was_read_is_not_raised() -> None:
    async with probe(Parse) as p:
        await p.feed(b"crash")
        with pytest.raises(SystemFailed):
            await p.settle()
        assert p.failure is not None
        assert p.dead_letters[0].message == b"crash"


async def test_a_crash_is_noted_on_the_error_of_the_test() -> None:
    with pytest.raises(AssertionError, match=r"mine") as caught:  # noqa: PT012
        async with probe(Parse) as p:
            await p.feed(b"crash")
            raise AssertionError("mine")
    assert "KeyError" in "".join(caught.value.__notes__)


async def test_a_crash_is_raised_by_finish_and_by_feed() -> None:
    for call in (Probe.finish, lambda p: p.feed(b"x")):
        async with probe(Parse) as p:
            await p.feed(b"crash")
            with pytest.raises(SystemFailed, match=r"KeyError"):  # noqa: PT012
                while True:
                    await call(p)


async def test_a_failed_set_up_is_raised_instead_of_the_block() -> None:
    with pytest.raises(SystemFailed, match=r"no licence"):
        async with probe(BadSetup):
            pytest.fail("it must not be entered")


async def test_feeding_one_that_has_ended_is_refused() -> None:
    async with probe(Early) as p:
        await p.feed(1)
        assert await p.next() == 1
        await p.settle()
        with pytest.raises(PortEndedError, match=r"Early has ended"):
            await p.feed(2)


async def test_one_that_hangs_is_named_with_what_it_awaits() -> None:
    with pytest.raises(UnsettledError, match=r"Stuck overran its process .*awaiting process\(\) at "):  # noqa: PT012
        async with probe(Stuck, timeout=0.05) as p:
            await p.feed(1)
            with pytest.raises(UnsettledError, match=r"Stuck awaits process\(\) at test_component_probe.py"):
                await p.next()


async def test_one_that_does_not_end_with_its_inputs_is_told() -> None:
    class Two(HarnessComponent):
        in_: In[int]

        async def process(self) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.read)
                await anyio.sleep_forever()

        async def read(self) -> None:
            async for _ in self.in_:
                pass

    with pytest.raises(UnsettledError, match=r"overran"):  # noqa: PT012
        async with probe(Two, timeout=0.05) as p:
            with pytest.raises(UnsettledError, match=r"waited 0.05 s for Two to end"):
                await p.finish()


async def test_a_timer_of_the_component_is_waited_for() -> None:
    @component
    async def later(number: int) -> int:
        await anyio.sleep(0.01)
        return number

    async with probe(later) as p:
        await p.feed(1)
        assert await p.next() == 1


async def test_work_in_a_thread_is_waited_for() -> None:
    @component
    async def in_thread(number: int) -> int:
        return await anyio.to_thread.run_sync(lambda: number + 1)

    async with probe(in_thread) as p:
        await p.feed(1)
        assert await p.next() == 2


async def test_another_task_of_the_test_may_still_feed() -> None:
    async with probe(Untyped) as p, anyio.create_task_group() as group:

        async def feed_later() -> None:
            await anyio.sleep(0.01)
            await p.feed("late")

        group.start_soon(feed_later)
        assert await p.next() == "late"


async def test_a_cancelled_test_cancels_the_component() -> None:
    with anyio.CancelScope() as scope:
        async with probe(Stuck) as p:
            await p.feed(1)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert p.report is not None
    assert p.report.outcome == "cancelled"


async def test_more_messages_than_fit_wait_until_they_are_read() -> None:
    @component
    def many(number: int) -> Iterator[int]:
        yield from range(number)

    async with probe(many) as p:
        await p.feed(10_000)
        await p.feed(10)  # what one message gives is sent together, so it waits for room first
        await p.settle()
        assert len(p.outputs()) == 10_000
        assert [await p.next() for _ in range(10_010)] == [*range(10_000), *range(10)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_feed_all_is_for_tests_that_are_not_async(backend: str) -> None:
    fed = feed_all(Parse, [b"1", b"bad"], unit="F", backend=backend)
    assert isinstance(fed, Fed)
    assert fed.out == ["1F"]
    assert fed.rejected == [Rejected(b"bad", "bad")]
    assert fed.dead_letters == ()
    assert fed.report.clean
    assert feed_all(Sum, {"in": [1], "side": [2]}, backend=backend).outputs == {"out": [201]}
    assert feed_all(three, backend=backend).out == [0, 1, 2]
