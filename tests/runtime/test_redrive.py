"""Dead letters, sent once more after a mend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from headrace import DeadLetter, DeadLetters, Meta, System, SystemFailed, component


class Bench:
    """A system whose function fails until it is mended, fed by hand."""

    def __init__(self) -> None:
        self.broken = True
        self.got: list[tuple[int, int]] = []
        self.calls = 0
        self.send, self.receive = anyio.create_memory_object_stream[int](100)
        self.system = System(source_grace=0.01)

        @component
        async def source() -> AsyncIterator[int]:
            async for number in self.receive:
                yield number

        @component(attempts=1)
        def work(number: int) -> int:
            self.calls += 1
            if self.broken and number % 3 == 0:
                raise ValueError(f"no {number}")
            return number

        @component
        def sink(number: int) -> None:
            self.got.append((number, self.calls))

        for name, function in {"source": source, "work": work, "sink": sink}.items():
            self.system.add(name, function)
        self.system.connect("source", "work")
        self.system.connect("work", "sink")

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.got]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.send.close()
    made.receive.close()


async def feed(bench: Bench, numbers: range) -> None:
    for number in numbers:
        await bench.send.send(number)
    await anyio.wait_all_tasks_blocked()


async def test_during_a_run_they_come_through_after_a_mend(bench: Bench) -> None:
    async with bench.system:
        await feed(bench, range(1, 10))
        letters = bench.system.dead_letters()
        assert [letter.message for letter in letters] == [3, 6, 9]
        bench.broken = False
        assert await letters.redrive() == 3
        await anyio.wait_all_tasks_blocked()
        assert bench.numbers == [1, 2, 4, 5, 7, 8, 3, 6, 9]
        assert bench.system.dead_letters() == ()
    report = bench.system.report
    assert report is not None
    assert report.exit_code() == 0
    assert (report.ledger.totals.dead, report.ledger.totals.lost) == (0, 0)
    assert report.ledger.closes


async def test_without_a_mend_they_die_again_under_a_new_number(bench: Bench) -> None:
    async with bench.system:
        await feed(bench, range(3, 4))
        assert await bench.system.redrive() == 1
        await anyio.wait_all_tasks_blocked()
        (letter,) = bench.system.dead_letters()
        assert letter.number == 2
    report = bench.system.report
    assert report is not None
    assert (report.ledger.totals.dead, report.exit_code()) == (1, 4)
    assert report.ledger.closes


async def test_one_letter_goes_alone_and_an_unknown_one_not_at_all(bench: Bench) -> None:
    async with bench.system:
        await feed(bench, range(1, 7))
        bench.broken = False
        assert await bench.system.redrive(2) == 1
        assert await bench.system.redrive(17) == 0
        await anyio.wait_all_tasks_blocked()
        assert bench.numbers == [1, 2, 4, 5, 6]
        old = bench.system.dead_letters()
        assert await old.redrive() == 1
        assert await old.redrive() == 0


async def test_they_go_ahead_of_what_waits(bench: Bench) -> None:
    async with bench.system:
        await feed(bench, range(3, 4))
        bench.broken = False
        bench.send.send_nowait(10)
        bench.send.send_nowait(11)
        await bench.system.redrive()
        await anyio.wait_all_tasks_blocked()
        assert bench.numbers == [3, 10, 11]


async def test_after_the_run_they_get_a_run_of_their_own_with_silent_sources(bench: Bench) -> None:
    for number in range(1, 10):
        bench.send.send_nowait(number)
    bench.send.close()
    report = await bench.system.run()
    assert report.exit_code() == 4
    bench.broken = False
    assert await bench.system.redrive() == 3
    assert bench.numbers == [1, 2, 4, 5, 7, 8, 3, 6, 9]
    again = bench.system.report
    assert again is not None
    assert again is not report
    assert again.exit_code() == 0
    assert str(again.ledger.totals) == "in 3 out 3 rejected 0 lost 0"
    assert again.ledger.closes
    assert await bench.system.redrive() == 0


async def test_a_letter_of_an_earlier_run_comes_through_in_this_one(bench: Bench) -> None:
    async with bench.system:
        await feed(bench, range(3, 4))
    bench.broken = False
    async with bench.system:
        assert await bench.system.redrive() == 1
        await anyio.wait_all_tasks_blocked()
        assert bench.numbers == [3]
    report = bench.system.report
    assert report is not None
    assert report.ledger.closes


async def test_the_message_of_a_crashed_component_is_redriven_in_a_run_of_its_own() -> None:
    broken = [True]
    got: list[int] = []

    @component
    def source() -> Iterator[int]:
        yield 1

    @component(attempts=1, on_error="crash")
    def sink(number: int) -> None:
        if broken:
            raise ValueError("no")
        got.append(number)

    system = System()
    system.add("source", source)
    system.add("sink", sink)
    system.connect("source", "sink")
    with pytest.raises(SystemFailed):
        await system.run()
    broken.clear()
    assert await system.redrive() == 1
    assert got == [1]


async def test_a_run_of_letters_that_fails_raises_what_run_raises(bench: Bench) -> None:
    bench.send.send_nowait(3)
    bench.send.close()
    await bench.system.run()

    @component(attempts=1, on_error="crash")
    def worse(number: int) -> int:
        raise ValueError("worse")

    bench.system.replace("work", worse)
    with pytest.raises(SystemFailed, match="worse"):
        await bench.system.redrive()


async def test_letters_are_a_tuple_of_letters(bench: Bench) -> None:
    letters = bench.system.dead_letters()
    assert isinstance(letters, DeadLetters)
    assert letters == ()
    assert await letters.redrive() == 0


async def test_a_message_has_the_same_id_at_every_attempt_and_in_its_letter() -> None:
    seen: list[Meta] = []

    @component
    def source() -> Iterator[str]:
        yield from "ab"

    @component(attempts=3, backoff=0)
    async def work(letter: str, *, meta: Meta) -> None:
        seen.append(meta)
        if letter == "a":
            raise ValueError

    system = System()
    system.add("source", source)
    system.add("work", work)
    system.connect("source", "work")
    await system.run()
    first = seen[:3]
    assert [meta.attempt for meta in seen] == [1, 2, 3, 1]
    assert len({meta.id for meta in first}) == 1
    assert first[0].id < seen[3].id
    (letter,) = system.dead_letters()
    assert isinstance(letter, DeadLetter)
    assert letter.id == first[0].id


async def test_receive_with_meta_gives_a_message_and_what_is_known_of_it(parts: Any) -> None:
    got: list[tuple[Any, Meta]] = []

    async def body(self: Any) -> None:
        while True:
            got.append(await self.receive_streams["in"].receive_with_meta())

    @component
    def source() -> Iterator[str]:
        yield from "ab"

    system = System()
    system.add("source", source)
    system.add("reader", parts.Acting("reader", body))
    system.connect("source", "reader")
    report = await system.run()
    assert [message for message, _ in got] == ["a", "b"]
    assert got[0][1].id < got[1][1].id
    assert report.ledger.totals.lost == 0
