"""Who sends hears what became of each message, once every edge that it went by is done with it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, wait_all_tasks_blocked

from headrace import HarnessComponent, In, Out, System
from headrace.exceptions import ConfigError, SystemFailed
from headrace.streams.edge_store import MemoryStore
from headrace.streams.sampler import Sampler
from headrace.streams.settlements import Settlements
from headrace.streams.watched_store import attach, detach, mark

Row = dict[str, int]


class Source(HarnessComponent):
    """Sends rows, and notes what becomes of them."""

    out: Out[Row]

    def __init__(self, name: str, rows: int) -> None:
        super().__init__(name)
        self.rows = [{"n": number} for number in range(rows)]
        self.done: list[int] = []
        self.undone: list[int] = []
        self.left: list[int] = []

    async def process(self) -> None:
        sending: Any = self.out
        self.settlements = Settlements(sending.outlet, self.note)
        for row in self.rows:
            self.settlements.expect(row, row["n"])
        await self.out.send_many(self.rows)
        self.settlements.sent(self.rows)

    async def cleanup(self) -> None:
        self.left = self.settlements.close()
        await super().cleanup()

    def note(self, tokens: list[int], is_done: bool) -> None:
        (self.done if is_done else self.undone).extend(tokens)


class Sink(HarnessComponent):
    """Works through its messages as it is told."""

    in_: In[Row]

    def __init__(self, name: str, work: Any) -> None:
        super().__init__(name)
        self.work = work

    async def process(self) -> None:
        await self.work(self.in_)


async def takes_all(rows: In[Row]) -> None:
    async for _ in rows:
        pass


async def takes_in_batches(rows: In[Row]) -> None:
    async for _ in rows.batch(3):
        pass


async def gives_one_back(rows: In[Row]) -> None:
    given = False
    async for row in rows:
        if row["n"] == 1 and not given:
            given = True
            await rows.nack(row)


async def run(source: Source, *works: Any, ack: str = "auto", **options: Any) -> System:
    system = System("s")
    system.register_component("source", source)
    for number, work in enumerate(works):
        system.register_component(f"sink{number}", Sink(f"sink{number}", work), ack=ack)
        system.connect("source.out", f"sink{number}.in", **options)
    with fail_after(20):
        await system.run()
    return system


@pytest.mark.parametrize("work", [takes_all, takes_in_batches, gives_one_back])
async def test_all_are_done_once_the_reader_has_acknowledged_them(work: Any) -> None:
    source = Source("source", 250)
    await run(source, work)
    assert sorted(source.done) == list(range(250))
    assert (source.undone, source.left) == ([], [])


async def test_a_message_is_done_when_the_last_branch_is_done_with_it() -> None:
    opened = anyio.Event()
    source = Source("source", 20)

    async def waits(rows: In[Row]) -> None:
        async for row in rows:
            if row["n"] == 7:
                await opened.wait()

    async with create_task_group() as group:
        group.start_soon(run, source, takes_all, waits)
        await wait_all_tasks_blocked()
        assert 7 not in source.done
        assert len(source.done) < 8
        opened.set()
    assert sorted(source.done) == list(range(20))


async def test_what_is_never_acknowledged_is_undone() -> None:
    async def keeps_odd_ones(rows: In[Row]) -> None:
        async for row in rows:
            if row["n"] % 2 == 0:
                rows.ack(row)

    source = Source("source", 10)
    await run(source, keeps_odd_ones, ack="manual")
    assert (sorted(source.done), sorted(source.undone)) == ([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])


async def test_what_a_reader_that_fails_for_good_has_in_hand_is_undone() -> None:
    async def fails(rows: In[Row]) -> None:
        async for row in rows:
            if row["n"] == 4:
                raise OSError("the disk is gone")

    source = Source("source", 10)
    with pytest.raises(SystemFailed):
        await run(source, fails)
    assert sorted(source.done) == [0, 1, 2, 3]
    assert source.undone == [4, *range(5, 10)]


async def test_what_a_reader_that_ends_by_itself_leaves_unread_is_undone() -> None:
    source = Source("source", 30)

    async def takes_five(rows: In[Row]) -> None:
        for _ in range(5):
            await rows.receive()

    system = await run(source, takes_all, takes_five, buffer_size=8)
    dropped = system.ledger().edges[1].dropped["reader_ended"]
    assert dropped > 1
    assert sorted(source.undone) == list(range(5, 5 + len(source.undone)))
    assert sorted([*source.done, *source.undone]) == list(range(30))
    assert source.left == []


async def test_what_waits_to_be_delivered_again_when_the_reader_ends_is_undone() -> None:
    source = Source("source", 4)

    async def gives_all_back(rows: In[Row]) -> None:
        for _ in range(4):
            await rows.nack(await rows.receive(), delay=60)

    await run(source, gives_all_back, ack="manual")
    assert (source.done, sorted(source.undone), source.left) == ([], [0, 1, 2, 3], [])


async def test_what_was_acknowledged_is_done_when_the_port_is_closed_before_its_component_ends() -> None:
    source, closed, opened = Source("source", 10), anyio.Event(), anyio.Event()

    async def closes_early(rows: In[Row]) -> None:
        for _ in range(3):
            rows.ack(await rows.receive())
        rows.close()
        closed.set()
        await opened.wait()

    async with create_task_group() as group:
        group.start_soon(run, source, closes_early)
        await closed.wait()
        await wait_all_tasks_blocked()
        assert sorted(source.done) == [0, 1, 2]
        assert sorted(source.undone) == list(range(3, 3 + (len(source.undone) or 1)))
        opened.set()


async def test_a_dead_letter_of_a_message_that_was_at_fault_is_done() -> None:
    async def refuses(rows: In[Row]) -> None:
        async for row in rows:
            if row["n"] == 2:
                await rows.nack(row, error=ValueError("no"))

    source = Source("source", 5)
    system = await run(source, refuses)
    assert sorted(source.done) == [0, 1, 2, 3, 4]
    assert system.report is not None
    assert len(system.report.dead_letters) == 1


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_what_the_policy_of_an_edge_drops_is_done(policy: str) -> None:
    source = Source("source", 50)
    system = await run(source, takes_all, buffer_size=4, when_full=policy)
    assert system.ledger().edges[0].dropped[policy] > 0
    assert sorted(source.done) == list(range(50))


async def test_what_nobody_reads_is_done_when_it_was_sent() -> None:
    source = Source("source", 5)
    await run(source)
    assert source.done == [0, 1, 2, 3, 4]


async def test_an_edge_that_copies_is_refused() -> None:
    with pytest.raises(SystemFailed) as caught:
        await run(Source("source", 1), takes_all, copy=True)
    assert isinstance(caught.value.__cause__, ConfigError)
    assert "leave `copy` out" in str(caught.value.__cause__)


async def test_what_is_on_its_way_when_the_run_is_cancelled_is_neither() -> None:
    async def gets_stuck(rows: In[Row]) -> None:
        await rows.receive()
        await anyio.sleep_forever()

    source = Source("source", 5)
    with anyio.move_on_after(30) as scope:
        async with create_task_group() as group:
            group.start_soon(run, source, gets_stuck)
            await wait_all_tasks_blocked()
            scope.cancel()
    assert (source.done, source.undone, source.left) == ([], [], [0, 1, 2, 3, 4])


async def test_taps_and_hearing_do_not_disturb_each_other() -> None:
    system = System("s")
    system.register_component("source", Source("source", 0))
    system.register_component("sink", Sink("sink", takes_all))
    system.connect("source.out", "sink.in")
    system.wiring.open()
    edge = next(iter(system.wiring.edges.values()))
    told: list[tuple[list[int], bool]] = []
    sampler = Sampler(lambda key, number, message: message)
    attach(edge, sampler)
    settlements = Settlements(edge.outlet, lambda tokens, done: told.append((tokens, done)))
    detach(edge, sampler)
    mark(edge, None)
    row = {"n": 1}
    settlements.expect(row, 1)
    edge.outlet.offer(row)
    settlements.sent([row])
    assert len(settlements) == 1
    attach(edge, sampler)
    assert settlements.close() == [1]
    detach(edge, sampler)
    assert type(edge.store) is MemoryStore
    assert told == []
