"""What testers broke, kept from breaking again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from headrace import Component, HarnessComponent, System, component
from headrace.exceptions import ConfigError, NotAComponentError


class Sends(HarnessComponent):
    async def process(self) -> None:
        for number in range(10):
            await self.send_streams["out"].send(number)


class Passes(HarnessComponent):
    async def process(self) -> None:
        async for message in self.receive_streams["in"]:
            await self.send_streams["out"].send(message)


class Batches(HarnessComponent):
    """Reads in one task of its own and sends, later, in another."""

    async def process(self) -> None:
        kept: list[Any] = []
        ended = anyio.Event()

        async def flush() -> None:
            while not ended.is_set() or kept:
                with anyio.move_on_after(0.02):
                    await ended.wait()
                while kept:
                    await self.send_streams["out"].send(kept.pop(0))

        async with anyio.create_task_group() as group:
            group.start_soon(flush)
            async for message in self.receive_streams["in"]:
                kept.append(message)  # noqa: PERF401 - the other task takes them out meanwhile
            ended.set()


class Keeps(HarnessComponent):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: list[Any] = []
        self.full = anyio.Event()

    async def process(self) -> None:
        async for message in self.receive_streams["in"]:
            self.seen.append(message)
            if len(self.seen) == 10:
                self.full.set()


async def test_a_cycle_does_not_end_while_a_task_of_a_members_own_still_works() -> None:
    class Late(HarnessComponent):
        async def process(self) -> None:
            async def later() -> None:
                await anyio.sleep(0.1)
                await self.send_streams["out"].send("late")

            async with anyio.create_task_group() as group:
                group.start_soon(later)
                seen.extend([message async for message in self.receive_streams["in"]])

    seen: list[str] = []
    system = System()
    system.add("late", Late)
    system.add("back", Passes)
    system.connect("late.out", "back.in")
    system.connect("back.out", "late.in")
    report = await system.run()
    assert seen == ["late"]
    assert report.clean


async def test_a_member_with_tasks_that_all_receive_lets_its_cycle_end() -> None:
    class TwoInputs(HarnessComponent):
        async def process(self) -> None:
            async def read(port: str) -> None:
                async for message in self.receive_streams[port]:
                    if message < 20:
                        await self.send_streams["out"].send(message + 10)

            async with anyio.create_task_group() as group:
                group.start_soon(read, "in")
                group.start_soon(read, "loop")

    system = System()
    system.add("source", Sends)
    system.add("two", TwoInputs)
    system.add("back", Passes)
    system.connect("source.out", "two.in")
    system.connect("two.out", "back.in")
    system.connect("back.out", "two.loop")
    with anyio.fail_after(30):
        report = await system.run()
    assert report.outcome == "finished"
    assert report.clean


async def test_stopping_in_the_tick_in_which_a_system_ends_is_harmless() -> None:
    class Returns(Component):
        async def process(self) -> None:
            """Return."""

    for ticks in range(6):
        for stop in ("stop", "request_stop"):
            system = System()
            system.add("c", Returns("c"))
            async with anyio.create_task_group() as group:
                await group.start(system.run)
                for _ in range(ticks):
                    await checkpoint()
                if stop == "stop":
                    await system.stop()
                else:
                    system.request_stop()
            assert not system.running
    async with System():
        pass


@pytest.mark.parametrize("state", ["running", "stopping", "stopped"])
async def test_a_status_listener_that_raises_takes_nothing_down(state: str) -> None:
    def listener(status: Any, move: Any) -> None:
        if move.target == state:
            raise ZeroDivisionError

    system = System()
    source, keeps = Sends("source"), Keeps("keeps")
    source.status.add_listener(listener)
    system.add("source", source)
    system.add("keeps", keeps)
    system.connect("source.out", "keeps.in")
    report = await system.run()
    assert keeps.seen == list(range(10))
    assert report.outcome == "finished"


async def test_a_short_shutdown_time_leaves_sources_their_grace() -> None:
    @component
    async def endless() -> AsyncIterator[int]:
        while True:
            yield 1
            await checkpoint()

    system = System(shutdown_timeout=0.3)
    keeps = Keeps("keeps")
    system.add("endless", endless)
    system.add("keeps", keeps)
    system.connect("endless", "keeps")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        report = await system.stop()
    assert report is not None
    assert report.overruns == ()
    assert report.exit_code() == 0


def test_a_connection_that_fails_leaves_nothing_behind() -> None:
    class Closed:
        __slots__ = ()

        async def setup(self) -> None: ...
        async def process(self) -> None: ...
        async def cleanup(self) -> None: ...

    system = System()
    system.add("closed", Closed())
    system.add("keeps", Keeps("keeps"))
    for _ in range(2):
        with pytest.raises(NotAComponentError):
            system.connect("closed.out", "keeps.in")
    assert system.streams == {}


def test_a_dead_letter_store_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        System(dead_letter_limit=0)


async def test_a_set_up_with_a_keyword_only_context_gets_it() -> None:
    got: list[Any] = []

    class Named(Component):
        async def setup(self, *, harness_context: Any = None) -> None:  # type: ignore[override]
            got.append(harness_context["name"])

        async def process(self) -> None:
            """Return."""

    system = System()
    system.add("named", Named("named"))
    await system.run()
    assert got == ["named"]


async def test_a_batching_member_of_a_cycle_loses_nothing() -> None:
    system = System()
    keeps = Keeps("keeps")
    system.add("source", Sends)
    system.add("batches", Batches)
    system.add("back", Back)
    system.add("keeps", keeps)
    system.connect("source.out", "batches.in")
    system.connect("batches.out", "back.in")
    system.connect("back.again", "batches.in")
    system.connect("back.out", "keeps.in")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            await keeps.full.wait()
            await system.stop()
    assert sorted(keeps.seen) == list(range(10))


class Back(HarnessComponent):
    """Sends a message round once more, then out."""

    async def process(self) -> None:
        sent: set[int] = set()
        async for message in self.receive_streams["in"]:
            port = "out" if message in sent else "again"
            sent.add(message)
            await self.send_streams[port].send(message)
