"""A component whose server is away says so, is not ready, and tries again with growing pauses."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from headrace import HarnessComponent, System
from headrace.authoring.context import Context
from headrace.components.connection import Connection
from headrace.model.restart_policy import Backoff


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append(("warning", event, values))

    def info(self, event: str, **values: Any) -> None:
        self.lines.append(("info", event, values))


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def connection(log: Log, watch: Watch, backoff: Backoff) -> Connection:
    made = Connection("postgresql at db:5432", backoff)
    made.begin(Context("store", logger=log, clock=watch, random=random.Random(1)))
    return made


def test_pauses_grow_up_to_the_longest_and_begin_anew_once_it_is_back() -> None:
    made = connection(Log(), Watch(), Backoff(first=1, longest=5, jitter=0))
    assert [made.lost("refused") for _ in range(5)] == [1, 2, 4, 5, 5]
    assert made.lost("busy", at_least=60) == 60
    made.found()
    assert made.lost("refused") == 1
    assert made.losses == 2


def test_jitter_makes_pauses_shorter_but_never_shorter_than_asked() -> None:
    made = connection(Log(), Watch(), Backoff(first=1, longest=1, jitter=0.5))
    pauses = [made.lost("refused") for _ in range(20)]
    assert 0.5 <= min(pauses) < max(pauses) <= 1
    assert made.lost("busy", at_least=1) == 1


def test_the_first_failure_and_the_return_are_logged() -> None:
    log, watch = Log(), Watch()
    made = connection(log, watch, Backoff())
    made.found()
    made.lost(ConnectionRefusedError("nobody there"))
    made.lost("still nobody")
    watch.now += 2.5
    made.found()
    made.found()
    assert log.lines == [
        ("warning", "server away", {"server": made.what, "reason": "ConnectionRefusedError nobody there"}),
        ("info", "server back", {"server": made.what, "away_seconds": 2.5}),
    ]


def test_its_health_says_for_how_long_and_why() -> None:
    watch = Watch()
    made = connection(Log(), watch, Backoff())
    assert made.health() == {"connected": True, "losses": 0}
    made.lost("refused")
    made.lost("refused again")
    watch.now += 3
    assert made.is_away
    assert made.tries == 2
    reason = "postgresql at db:5432 has been away for 3.0 s (2 tries): refused again"
    assert made.health() == {"connected": False, "losses": 1, "healthy": False, "reason": reason}
    made.found()
    assert made.health() == {"connected": True, "losses": 1}


def test_begin_comes_first() -> None:
    with pytest.raises(RuntimeError, match=r"begin\(\) comes first"):
        Connection("it").lost("refused")


class Caller(HarnessComponent):
    """Tries to reach its server until it stops, or until the server is there."""

    def __init__(self, name: str, backoff: Backoff) -> None:
        super().__init__(name)
        self.connection = Connection("it", backoff)
        self.there = False
        self.failed = anyio.Event()

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        await super().setup(harness_context)
        self.connection.begin(self.context)

    async def process(self) -> None:
        while not self.there:
            self.failed.set()
            if not await self.connection.wait_unless_stopping("refused"):
                return
        self.connection.found()
        await self.context.stop_event.wait()

    async def health_check(self) -> dict[str, Any]:
        return {**await super().health_check(), **self.connection.health()}


async def test_a_component_is_not_ready_while_its_server_is_away() -> None:
    system = System("calls")
    caller = Caller("caller", Backoff(first=0.01, longest=0.01))
    system.register_component("caller", caller)
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await caller.failed.wait()
        health = await system.check_health()
        assert not health.ready
        assert health.reason.startswith("caller: it has been away for ")
        caller.there = True
        with anyio.fail_after(10):
            while caller.connection.is_away:
                await checkpoint()
        assert (await system.check_health()).ready
        system.request_stop()


async def test_a_stop_ends_the_wait_of_a_source() -> None:
    system = System("calls")
    caller = Caller("caller", Backoff(first=3600, longest=3600))
    system.register_component("caller", caller)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            await caller.failed.wait()
            system.request_stop()


async def test_wait_sleeps_as_long_as_the_pause() -> None:
    made = connection(Log(), Watch(), Backoff(first=0.02, longest=0.02, jitter=0))
    began = anyio.current_time()
    await made.wait("refused")
    assert anyio.current_time() - began >= 0.015
