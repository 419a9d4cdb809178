"""The dead-letter store: bounded, never dropping, and reported when it blocks a drain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after

from headrace.authoring.function_component import component
from headrace.runtime.dead_letters import DeadLetterStore
from headrace.runtime.system_execution_harness import System


async def test_letters_are_numbered_and_kept_until_they_are_discarded() -> None:
    store = DeadLetterStore(clock=lambda: 5.0)
    await store.put("parse", "m1", ValueError("bad"), attempts=3, edge="a.out -> parse.in")
    store.put_now("parse", "m2", ValueError("bad"), attempts=1, edge="")
    first, second = store.letters()
    assert (first.number, first.message, first.attempts, first.at) == (1, "m1", 3, 5.0)
    assert "ValueError: bad" in first.traceback
    assert second.number == store.total == len(store) == 2
    assert store.discard(7) == 0
    assert store.discard(1) == 1
    assert store.discard() == 1
    assert (len(store), store.total) == (0, 2)


async def test_a_full_store_makes_who_fails_wait_until_there_is_room() -> None:
    store = DeadLetterStore(limit=1)
    error = ValueError("bad")
    await store.put("parse", 1, error, attempts=1, edge="")
    async with create_task_group() as group:
        for number in (2, 3):
            group.start_soon(lambda n=number: store.put("parse", n, error, attempts=1, edge=""))
        await anyio.wait_all_tasks_blocked()
        assert [letter.message for letter in store.letters()] == [1]
        store.discard()
        await anyio.wait_all_tasks_blocked()
        assert len(store) == 1
        store.discard()
    assert store.total == 3


@pytest.mark.fault(17)
async def test_a_poison_message_is_tried_put_away_and_the_rest_goes_on(parts: SimpleNamespace) -> None:
    tried = 0

    @component(attempts=3, backoff=0)
    async def fragile(number: int) -> int:
        nonlocal tried
        if number == 1:
            tried += 1
            raise ValueError("poison")
        return number

    system, sink = System(), parts.Collect()
    system.register_component("numbers", parts.Numbers(count=3))
    system.add("fragile", fragile)
    system.register_component("sink", sink)
    system.connect("numbers", "fragile")
    system.connect("fragile", "sink")
    report = await system.run()
    assert (tried, sink.got) == (3, [0, 2])
    [letter] = report.dead_letters
    assert (letter.message, letter.attempts, letter.edge) == (1, 3, "numbers.out -> fragile.in")
    assert report.ledger.totals.dead == 1
    assert report.ledger.edges[0].dead_lettered == 1
    assert report.exit_code() == 4
    assert report.exit_code(allow_dead=True) == 0


@pytest.mark.fault(18)
async def test_a_store_that_blocks_a_drain_is_reported_and_nothing_is_dropped(parts: SimpleNamespace) -> None:
    @component(attempts=1)
    async def fragile(number: int) -> None:
        raise ValueError("poison")

    system = System(dead_letter_limit=2, shutdown_timeout=0.1)
    system.register_component("numbers", parts.Numbers(count=5))
    system.add("fragile", fragile)
    system.connect("numbers", "fragile")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert [late.component for late in report.overruns] == ["fragile"]
    edge = report.ledger.edges[0]
    assert (edge.dead_lettered, edge.in_hand, edge.buffered) == (2, 1, 2)
    assert dict(report.ledger.dropped) == {}
    assert report.ledger.closes


async def test_a_component_may_put_a_message_away_itself(parts: SimpleNamespace) -> None:
    async def body(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            stream = self.receive_streams["in"]
            await self.context.dead_letter(message, OSError("no"), attempts=1, edge=stream.edge_in_hand)
            stream.settle("dead_lettered")

    system = System()
    system.register_component("numbers", parts.Numbers(count=1))
    system.register_component("one", parts.Acting("one", body))
    system.connect("numbers.out", "one.in")
    report = await system.run()
    assert [letter.component for letter in report.dead_letters] == ["one"]
    assert report.ledger.totals.lost == 0
