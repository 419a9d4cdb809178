"""The dead-letter store: bounded, never dropping, and reported when it blocks a drain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import create_task_group, fail_after

from headrace import Backoff, HarnessComponent, In, RestartPolicy
from headrace.authoring.function_component import component
from headrace.exceptions import UnknownComponentError
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
    assert store.letters(7) == store.letters(1, ["other"]) == ()
    assert store.discard(store.letters(1)) == 1
    assert store.discard([first]) == 0
    assert store.discard(store.letters(components=["parse"])) == 1
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
        store.discard(store.letters())
        await anyio.wait_all_tasks_blocked()
        assert len(store) == 1
        store.discard(store.letters())
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


# --- by component, and between two lives -------------------------------------------------------------

AT_ONCE = RestartPolicy(max_restarts=100, backoff=Backoff(0))


def two_that_fail(parts: SimpleNamespace) -> tuple[System, list[int]]:
    """Return a system in which every message dies in 'left' and in both replicas of 'right', until mended."""
    mended: list[int] = []

    @component(attempts=1)
    def fail(number: int) -> int:
        if not mended:
            raise ValueError(number)
        return number

    system = System()
    system.register_component("numbers", parts.Numbers(count=4))
    system.add("left", fail)
    system.add("right", fail, replicas=2)
    for name in ("left", "right"):
        system.connect("numbers", name)
    return system, mended


async def test_letters_are_found_redriven_and_forgotten_by_component_and_number(
    parts: SimpleNamespace,
) -> None:
    system, mended = two_that_fail(parts)
    await system.run()
    assert len(system.dead_letters()) == 8
    assert {letter.component for letter in system.dead_letters(component="right")} == {"right[0]", "right[1]"}
    assert len(system.dead_letters(component="right[0]")) == 2
    assert [letter.number for letter in system.dead_letters(3)] == [3]
    assert system.dead_letters(3, component="numbers") == ()
    with pytest.raises(UnknownComponentError, match="did you mean 'left'"):
        system.dead_letters(component="lefft")
    assert system.discard_dead_letters(component="right[0]") == 2
    assert system.dead_letters(component="right").discard() == 2
    mended.append(1)
    first, *_ = system.dead_letters()
    assert await system.redrive(first.number, component="right") == 0
    assert await system.redrive(component="left") == 4
    assert system.dead_letters() == ()


class Poisoned(HarnessComponent):
    """Crashes on messages below 0."""

    in_: In[int]

    async def process(self) -> None:
        async for number in self.in_:
            if number < 0:
                raise ValueError(number)


@pytest.mark.parametrize("pause", [0, 1_000])
async def test_letters_are_redriven_while_their_component_is_between_two_lives(
    parts: SimpleNamespace, pause: float
) -> None:
    async def send(self: Any) -> None:
        for number in (-1, 2, 3):
            await self.send_streams["out"].send(number)
        await self.context.stop_event.wait()

    system = System()
    system.register_component("numbers", parts.Acting("numbers", send))
    policy = RestartPolicy(max_restarts=100, backoff=Backoff(pause, 1_000))
    system.add("middle", Poisoned, restart=policy, attempts=1)
    system.connect("numbers", "middle")
    with fail_after(30):
        async with system:
            while not system.dead_letters():
                await anyio.lowlevel.checkpoint()
            assert system.statistics().components["middle"].next_restart_in is not None or not pause
            assert await system.redrive() == 1
            report = await system.stop()
    assert report is not None
    assert [letter.message for letter in report.dead_letters] == [-1]
    assert report.ledger.closes
    assert report.ledger.totals.lost == 0


async def test_a_component_is_not_restarted_before_there_is_room_for_its_next_dead_letter(
    parts: SimpleNamespace,
) -> None:
    async def send(self: Any) -> None:
        for number in (-1, -2, -3, 4):
            await self.send_streams["out"].send(number)

    system = System(dead_letter_limit=1, shutdown_timeout=0.1)
    system.register_component("numbers", parts.Acting("numbers", send))
    system.add("middle", Poisoned, restart=AT_ONCE, attempts=1)
    system.connect("numbers", "middle")
    with fail_after(30):
        async with system:
            await anyio.wait_all_tasks_blocked()
            assert [letter.message for letter in system.dead_letters()] == [-1]
            assert system.discard_dead_letters() == 1
            await anyio.wait_all_tasks_blocked()
            assert [letter.message for letter in system.dead_letters()] == [-2]
            report = await system.stop()
    assert report is not None
    [late] = report.overruns
    assert late.component == "middle"
    assert late.awaiting == "room in the dead-letter store (1/1)"
    assert report.ledger.closes
    assert report.ledger.remaining == 2, "blocked, never dropped"
    assert report.exit_code() == 5
