"""One component restarted, or ended, on somebody's word: nothing is lost, and the others go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, wait_all_tasks_blocked

from headrace import Replicas
from headrace.exceptions import ComponentEndedError, HarnessNotRunning, UnknownComponentError
from headrace.model.component_status import ComponentState
from headrace.runtime.system_execution_harness import System


@asynccontextmanager
async def running(system: System) -> AsyncIterator[System]:
    """Run a system around a block; at its end it is stopped, and has to end soon."""
    async with create_task_group() as group:
        await group.start(system.run)
        with fail_after(30):
            yield system
            await system.stop()


class Lives:
    """Counts the lives of a component that keeps a message in hand until it is let go."""

    def __init__(self, parts: SimpleNamespace) -> None:
        self.went_on = anyio.Event()
        self.seen: list[Any] = []
        self.set_up = 0
        lives = self

        async def body(self: Any) -> None:
            async for message in self.receive_streams["in"]:
                lives.seen.append(message)
                if message == 3:
                    await lives.went_on.wait()
                await self.send_streams["out"].send(message)

        class Holding(parts.Acting):  # type: ignore[name-defined,misc]
            async def setup(self) -> None:
                lives.set_up += 1

        self.part = Holding("middle", body)


def three(parts: SimpleNamespace, count: int | None = 10) -> tuple[System, Lives, Any]:
    """Return a system with a component in its middle that waits at the message 3."""
    system, lives, sink = System(source_grace=0.01), Lives(parts), parts.Collect(at_least=10)
    system.register_component("numbers", parts.Numbers(count=count))
    system.register_component("middle", lives.part)
    system.register_component("sink", sink)
    system.connect("numbers.out", "middle.in")
    system.connect("middle.out", "sink.in")
    return system, lives, sink


async def test_a_restart_delivers_again_what_was_in_hand_and_loses_nothing(parts: SimpleNamespace) -> None:
    system, lives, sink = three(parts)
    async with running(system):
        await wait_all_tasks_blocked()
        assert lives.seen == [0, 1, 2, 3]
        await system.restart_component("middle")
        assert system.components["middle"].status.state is ComponentState.RUNNING
        await wait_all_tasks_blocked()
        assert lives.seen == [0, 1, 2, 3, 3]
        one = system.statistics().components["middle"]
        assert (one.restarts, one.redelivered, one.error_count, lives.set_up) == (1, 1, 0, 2)
        lives.went_on.set()
        await sink.reached.wait()
        assert sink.got == list(range(10))
    assert system.report is not None
    assert (system.report.ledger.totals.lost, system.report.failures) == (0, ())


async def test_a_restart_on_word_is_none_that_the_policy_counts(parts: SimpleNamespace) -> None:
    system, lives, _ = three(parts)  # its policy is never to restart
    async with running(system):
        for _again in range(3):
            await wait_all_tasks_blocked()
            await system.restart_component("middle")
        assert system.statistics().components["middle"].restarts == 3
        lives.went_on.set()


async def test_a_function_is_restarted_too_while_it_is_fused(parts: SimpleNamespace) -> None:
    system, sink = System(source_grace=0.01), parts.Collect(at_least=10)
    turn = anyio.Event()

    async def numbers() -> AsyncIterator[int]:
        for number in range(10):
            if number == 5:
                await turn.wait()
            yield number

    def plus(number: int) -> int:
        return number + 1

    system.add("numbers", numbers)
    system.add("first", plus)
    system.add("second", plus)
    system.register_component("sink", sink)
    for sender, receiver in (("numbers", "first"), ("first", "second"), ("second", "sink")):
        system.connect(sender, receiver)
    async with running(system):
        await wait_all_tasks_blocked()
        await system.restart_component("first")
        await system.restart_component("second")
        turn.set()
        await sink.reached.wait()
    assert sink.got == list(range(2, 12))


async def test_all_replicas_are_restarted_by_their_name_and_one_by_its_own(parts: SimpleNamespace) -> None:
    system, sink = System(), parts.Collect()

    def work(number: int) -> int:
        return number

    turn = anyio.Event()

    async def waiting(self: Any) -> None:
        await turn.wait()

    system.register_component("numbers", parts.Acting("numbers", waiting))
    system.add("work", work, replicas=Replicas(2))
    system.register_component("sink", sink)
    system.connect("numbers.out", "work")
    system.connect("work", "sink.in")
    async with running(system):
        names = system.statistics().replicas["work"]
        await system.restart_component("work")
        await system.restart_component(names[0])
        assert [system.statistics().components[name].restarts for name in names] == [2, 1]
        turn.set()


async def test_the_strategy_says_who_is_restarted_along(parts: SimpleNamespace) -> None:
    system, lives, _ = three(parts)
    system.strategy = "rest_for_one"
    async with running(system):
        await wait_all_tasks_blocked()
        await system.restart_component("middle")
        restarts = {name: one.restarts for name, one in system.statistics().components.items()}
        assert restarts == {"numbers": 0, "middle": 1, "sink": 1}
        lives.went_on.set()


async def test_a_stopped_source_ends_and_what_it_sent_gets_through(parts: SimpleNamespace) -> None:
    system, lives, sink = three(parts, count=None)
    async with running(system):
        await wait_all_tasks_blocked()
        lives.went_on.set()
        await system.stop_component("numbers")
        assert system.components["numbers"].status.state is ComponentState.STOPPED
        await system.wait()
    assert system.report is not None
    assert system.report.outcome == "finished"
    assert system.report.ledger.totals.lost == 0
    assert sink.got == list(range(len(sink.got)))


async def test_a_stopped_component_finishes_what_has_arrived(parts: SimpleNamespace) -> None:
    system, lives, sink = three(parts, count=None)
    async with running(system):
        await wait_all_tasks_blocked()
        arrived = system.statistics().edges["numbers.out -> middle.in"].ledger.accepted
        async with create_task_group() as group:
            group.start_soon(system.stop_component, "middle")
            await wait_all_tasks_blocked()
            assert system.statistics().components["middle"].state is ComponentState.RUNNING
            lives.went_on.set()
        assert system.components["middle"].status.state is ComponentState.STOPPED
        await system.wait()
    assert sink.got == list(range(arrived))
    assert system.report is not None
    assert (system.report.ledger.totals.lost, system.report.outcome) == (0, "finished")


async def test_a_stop_ends_a_pause_so_that_nothing_is_left(parts: SimpleNamespace) -> None:
    system, lives, sink = three(parts, count=20)
    lives.went_on.set()
    async with running(system):
        await system.pause("middle")
        await system.stop_component("middle")
        await system.wait()
    assert system.report is not None
    assert system.report.ledger.totals.lost == 0
    assert sink.got == list(range(len(sink.got)))


async def test_other_readers_of_an_output_go_on_after_a_stop(parts: SimpleNamespace) -> None:
    system, one, other = System(source_grace=0.01), parts.Collect("one"), parts.Collect("other")
    turn = anyio.Event()

    async def body(self: Any) -> None:
        await self.send_streams["out"].send(1)
        await turn.wait()
        await self.send_streams["out"].send(2)

    system.register_component("source", parts.Acting("source", body))
    system.register_component("one", one)
    system.register_component("other", other)
    system.connect("source.out", "one.in")
    system.connect("source.out", "other.in")
    async with running(system):
        await wait_all_tasks_blocked()
        await system.stop_component("one")
        turn.set()
        await system.wait()
    assert (one.got, other.got) == ([1], [1, 2])


@pytest.mark.parametrize("what", ["restart_component", "stop_component"])
async def test_what_cannot_be_done_is_said(parts: SimpleNamespace, what: str) -> None:
    system, lives, _ = three(parts)
    lives.went_on.set()
    with pytest.raises(HarnessNotRunning):
        await getattr(system, what)("middle")
    turn = anyio.Event()

    async def waiting(self: Any) -> None:
        await turn.wait()

    system.register_component("alone", parts.Acting("alone", waiting))
    async with running(system):
        with pytest.raises(UnknownComponentError, match="did you mean 'middle'"):
            await getattr(system, what)("midle")
        await wait_all_tasks_blocked()
        with pytest.raises(ComponentEndedError, match="middle has ended"):
            await getattr(system, what)("middle")
        turn.set()


@pytest.mark.parametrize("what", ["restart_component", "stop_component"])
async def test_a_component_may_ask_for_its_own(parts: SimpleNamespace, what: str) -> None:
    system, asked = System(source_grace=0.01), anyio.Event()

    async def body(self: Any) -> None:
        if not asked.is_set():
            asked.set()
            await getattr(system, what)("alone")
            await anyio.sleep_forever()

    system.register_component("alone", parts.Acting("alone", body))
    async with running(system):
        await system.wait()
    assert system.report is not None
    assert system.report.failures == ()
