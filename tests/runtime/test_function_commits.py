"""Functions commit what a message gives together with its acknowledgement: in crashes, cancellations and ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from headrace import (
    Backoff,
    HarnessComponent,
    In,
    Meta,
    Out,
    Rejected,
    RestartPolicy,
    System,
    SystemFailed,
    component,
)
from headrace.model.report import ShutdownReport

AT_ONCE = RestartPolicy(max_restarts=1_000, backoff=Backoff(0))


async def run(system: System) -> ShutdownReport:
    with anyio.fail_after(30):
        report = await system.run()
    assert report.ledger.closes
    return report


def line(parts: SimpleNamespace, work: Any, count: int = 12, **options: Any) -> tuple[System, Any]:
    """Return numbers -> work -> sink, and the sink."""
    system, sink = System("line", buffer_size=options.pop("buffer_size", 4)), parts.Collect()
    system.register_component("numbers", parts.Numbers(count=count))
    system.add("work", work, restart=AT_ONCE, **options)
    system.register_component("sink", sink)
    system.connect("numbers", "work")
    system.connect("work.out", "sink")
    return system, sink


# --- crashes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"ordered": True}, {"ordered": False}])
async def test_with_several_messages_at_work_only_the_poison_dies(
    parts: SimpleNamespace, options: dict[str, Any]
) -> None:
    tries: Counter[int] = Counter()

    @component(concurrency=3, on_error="crash", attempts=2, backoff=0, **options)
    async def work(number: int) -> int:
        tries[number] += 1
        await anyio.lowlevel.checkpoint()
        if number % 5 == 3:
            raise ValueError(number)
        return number

    system, sink = line(parts, work)
    report = await run(system)
    assert sorted(sink.got) == [n for n in range(12) if n % 5 != 3]
    if options["ordered"]:
        assert sink.got == sorted(sink.got)
    assert [(one.message, one.attempts) for one in report.dead_letters] == [(3, 2), (8, 2)]
    if options["ordered"]:
        assert tries[3] == tries[8] == 2, "else another one may have crashed while it was tried"
    assert report.ledger.totals.lost == 0


async def test_a_message_keeps_its_id_and_is_told_its_attempt_from_one_life_to_the_next(
    parts: SimpleNamespace,
) -> None:
    told: list[tuple[int, int, str]] = []
    systems: list[System] = []

    async def fail() -> None:
        raise ValueError("beside it")

    @component(attempts=5, backoff=0)
    async def work(number: int, *, meta: Meta) -> int:
        told.append((number, meta.attempt, meta.id))
        if number == 1 and meta.attempt < 4:
            assert systems[0]._run is not None
            systems[0]._run.supervised["work"].spawn(fail)
            await anyio.sleep_forever()
        return number

    system, sink = line(parts, work, count=3)
    systems.append(system)
    await run(system)
    assert sink.got == [0, 1, 2]
    assert [(number, attempt) for number, attempt, _ in told] == [
        (0, 1),
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 1),
    ]
    assert len({number_id for number, _, number_id in told if number == 1}) == 1
    assert len({one for _, _, one in told}) == 3


async def test_a_life_that_ends_while_outputs_wait_for_room_has_sent_none_of_them(
    parts: SimpleNamespace,
) -> None:
    class Slow(HarnessComponent):
        in_: In[Any]
        got: list[Any] = []  # noqa: RUF012 - of all its lives

        async def process(self) -> None:
            async for message in self.in_:
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                self.got.append(message)

    @component
    def work(number: int) -> Iterator[Any]:
        yield number, "a"
        yield number, "b"
        yield Rejected(number, "c")

    crashed: list[int] = []

    class Beside(HarnessComponent):
        in_: In[Any]

        async def process(self) -> None:
            async for number in self.in_:
                if number % 7 == 3 and number not in crashed:
                    crashed.append(number)
                    raise ValueError(number)

    system = System("strategy", buffer_size=1, strategy="one_for_all")
    numbers = parts.Numbers(count=20)
    slow = Slow("slow")
    system.register_component("numbers", numbers)
    system.add("work", work, restart=AT_ONCE)
    system.add("slow", slow, restart=AT_ONCE)
    system.add("bad", parts.Collect())
    system.add("beside", Beside, restart=AT_ONCE)
    system.connect("numbers.out", "work.in")
    system.connect("numbers.out", "beside.in")
    system.connect("work.out", "slow.in")
    system.connect("work.rejected", "bad.in")
    report = await run(system)
    edges = {edge.edge: edge for edge in report.ledger.edges}
    messages = edges["numbers.out -> work.in"]
    assert messages.acknowledged == messages.accepted >= 20
    assert edges["work.out -> slow.in"].accepted == 2 * messages.accepted
    assert edges["work.rejected -> bad.in"].accepted == messages.accepted
    assert crashed == [3, 10, 17]


async def test_what_a_key_raises_is_raised_before_anything_was_sent(parts: SimpleNamespace) -> None:
    class Odd(Exception):
        pass

    def key(message: tuple[int, str]) -> int:
        if message == (2, "b"):
            raise Odd
        return message[0]

    @component
    def work(number: int) -> Iterator[tuple[int, str]]:
        yield number, "a"
        yield number, "b"

    system, sink = line(parts, work, count=4)
    system.register_component("other", parts.Collect())
    system.connect("work.out", "other")
    system.spread("work.out", "by_key", key=key)
    report = await run(system)
    got = [*sink.got, *system.components["other"].got]
    assert sorted(got) == [(n, letter) for n in (0, 1, 3) for letter in "ab"]
    assert [(one.message, one.attempts) for one in report.dead_letters] == [(2, 3)]


# --- ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"concurrency": 3}, {"concurrency": 3, "ordered": False}])
async def test_messages_whose_outputs_have_reached_nobody_do_not_count_as_acknowledged(
    parts: SimpleNamespace, options: dict[str, Any]
) -> None:
    class Two(HarnessComponent):
        in_: In[int]

        async def process(self) -> None:
            for _ in range(2):
                await self.in_.receive()

    @component(**options)
    async def work(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return number

    system = System("ends", buffer_size=1)
    system.register_component("numbers", parts.Numbers(count=10))
    system.add("work", work)
    system.add("two", Two)
    system.connect("numbers", "work")
    system.connect("work.out", "two")
    report = await run(system)
    edges = {edge.edge: edge for edge in report.ledger.edges}
    into, out = edges["numbers.out -> work.in"], edges["work.out -> two.in"]
    assert into.acknowledged == out.accepted
    assert into.dropped["reader_ended"] == into.accepted - into.acknowledged


async def test_each_message_of_a_function_that_gives_awaitables_has_an_id_of_its_own(
    parts: SimpleNamespace,
) -> None:
    told: list[Meta] = []

    async def later(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        raise ValueError(number)

    @component(attempts=2, backoff=0)
    def work(number: int, *, meta: Meta) -> Any:
        told.append(meta)
        return number if number < 4 else later(number)

    system, sink = line(parts, work, count=12, buffer_size=100)
    report = await run(system)
    assert sink.got == [0, 1, 2, 3]
    assert len({meta.id for meta in told}) == 12
    tries = Counter(meta.id for meta in told)
    assert [tries[one.id] for one in report.dead_letters] == [2] * 8


async def test_a_cycle_whose_member_gathers_a_batch_ends_by_itself(parts: SimpleNamespace) -> None:
    class Gather(HarnessComponent):
        in_: In[int]
        again: Out[int]
        seen: list[list[int]] = []  # noqa: RUF012 - a test's own class

        async def process(self) -> None:
            async for batch in self.in_.batch(4):
                self.seen.append(batch)
                await self.again.send_many([number - 1 for number in batch if number > 1])

    system = System("cycle")
    system.register_component("numbers", parts.Numbers(count=5))
    gather = Gather("gather")
    system.register_component("gather", gather)
    system.connect("numbers.out", "gather.in")
    system.connect("gather.again", "gather.in")
    report = await run(system)
    assert [number for batch in Gather.seen for number in sorted(batch)].count(1) == 4
    assert sum(map(len, Gather.seen)) == 1 + 1 + 2 + 3 + 4
    assert report.ledger.totals.lost == 0


async def test_a_cycle_whose_member_never_acknowledges_ends_by_itself_too(parts: SimpleNamespace) -> None:
    class Keep(HarnessComponent):
        in_: In[int]
        again: Out[int]
        ack = "manual"

        async def process(self) -> None:
            async for number in self.in_:
                if number:
                    await self.again.send(number - 1)
            self.in_.ack()

    system = System("cycle")
    system.register_component("numbers", parts.Numbers(count=4))
    system.add("keep", Keep)
    system.connect("numbers.out", "keep.in")
    system.connect("keep.again", "keep.in")
    report = await run(system)
    assert report.ledger.totals.lost == 0


async def test_without_a_restart_the_others_at_work_are_not_dead_letters(parts: SimpleNamespace) -> None:
    @component(concurrency=3, on_error="crash", attempts=1)
    async def work(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        if number == 1:
            raise ValueError(number)
        return number

    system = System("never")
    system.register_component("numbers", parts.Numbers(count=5))
    system.add("work", work)
    system.connect("numbers", "work")
    with pytest.raises(SystemFailed) as caught:
        await system.run()
    report = caught.value.report
    assert report is not None
    assert [one.message for one in report.dead_letters] == [1]
    assert report.ledger.closes
