"""Liveness and readiness: who only fails is not ready, who cannot go on is not live, and both say why."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from headrace import Backoff, RestartPolicy, System, component
from headrace.edges.yaml_blueprint import parse_blueprint
from headrace.exceptions import BlueprintError, ConfigError
from headrace.runtime.assembly import assemble


def fed(fn: Any, inbox: list[Any], **options: Any) -> tuple[System, Any]:
    """Return a system in which a function gets what is put into a list, and a call that waits until it has."""
    seen = anyio.Event()
    more = anyio.Event()

    async def source(self: Any) -> None:
        nonlocal more
        while True:
            while inbox:
                await self.send_streams["out"].send(inbox.pop(0))
            seen.set()
            await more.wait()
            more = anyio.Event()

    async def feed(*messages: Any) -> None:
        inbox.extend(messages)
        more.set()
        await anyio.wait_all_tasks_blocked()

    made = System("probed", source_grace=0.01, shutdown_timeout=0.1)
    made.add("fn", fn, **options)
    made.register_component("source", _Acting("source", source))
    made.connect("source.out", "fn")
    return made, feed


@pytest.fixture(autouse=True)
def _acting(parts: SimpleNamespace) -> None:
    global _Acting
    _Acting = parts.Acting


_Acting: Any = None


@component(attempts=1)
def odd(number: int) -> None:
    """Fail on even numbers."""
    if number % 2 == 0:
        raise ValueError(number)


async def test_a_component_that_only_fails_is_not_ready_until_it_succeeds(parts: SimpleNamespace) -> None:
    made, feed = fed(odd, [])
    async with create_task_group() as group:
        await group.start(made.run)
        await feed(0, 2)
        assert made.health().ready, "two failures say nothing of a component"
        await feed(4)
        health = made.health()
        assert (health.ready, health.live, health.state) == (False, True, "running")
        assert health.reason == "fn: its last 3 messages have failed"
        assert health.unhealthy == {"fn": "its last 3 messages have failed"}
        await feed(1, 3)  # the next receive acknowledges the first
        assert made.health().ready
        await feed(6, 1, 8, 1, 10, 1)
        assert made.health().ready, "half of them fail, and that is not all"
        made.request_stop()


async def test_one_that_is_optional_is_told_of_and_does_not_count(parts: SimpleNamespace) -> None:
    made, feed = fed(odd, [], health="optional")
    async with create_task_group() as group:
        await group.start(made.run)
        await feed(0, 2, 4)
        health = made.health()
        made.request_stop()
    assert (health.ready, health.reason) == (True, "")
    assert health.unhealthy == {"fn": "its last 3 messages have failed"}
    assert health.as_dict()["unhealthy"] == dict(health.unhealthy)


def test_what_is_neither_required_nor_optional_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"health must be one of required, optional, not 'optionel'.*did you"
    ):
        System().add("odd", odd, health="optionel")


async def test_a_component_in_a_restart_loop_is_not_ready_in_any_of_its_lives(parts: SimpleNamespace) -> None:
    lives = 0
    hold = anyio.Event()

    async def flaky(self: Any) -> None:
        nonlocal lives
        lives += 1
        if lives == 3:
            await hold.wait()
            async for _ in self.receive_streams["in"]:
                pass
            return
        raise OSError("not yet")

    made = System("probed", source_grace=0.01)
    again = RestartPolicy(backoff=Backoff(0.001, 0.001))
    made.register_component("numbers", parts.Numbers("numbers", count=3))
    made.add("flaky", parts.Acting("flaky", flaky), restart=again)
    made.connect("numbers.out", "flaky.in")
    async with create_task_group() as group:
        await group.start(made.run)
        reasons = set()
        while lives < 3:
            reasons.add(made.health().reason)
            await checkpoint()
        await anyio.wait_all_tasks_blocked()
        last = made.health()
        hold.set()
    assert any(reason.startswith("flaky: it is being restarted, awaiting") for reason in reasons)
    assert not last.ready
    assert last.reason.startswith("flaky: it has done nothing in ")
    assert last.reason.endswith(" since its restart number 2")


async def test_a_deadlocked_system_is_neither_live_nor_ready(parts: SimpleNamespace) -> None:
    told = anyio.Event()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "what", "") == "deadlock":
                told.set()

    async def greedy(self: Any) -> None:
        for number in range(100):
            await self.send_streams["out"].send(number)

    handler = Listening()
    logging.getLogger("headrace").addHandler(handler)
    made = System("probed", stall_after=0.02, shutdown_timeout=0.05)
    for name in "ab":
        made.register_component(name, parts.Acting(name, greedy))
    made.connect("a.out", "b.in", buffer_size=1)
    made.connect("b.out", "a.in", buffer_size=1)
    async with create_task_group() as group:
        await group.start(made.run)
        assert made.health().live
        await told.wait()
        health = made.health()
        made.request_stop()
    logging.getLogger("headrace").removeHandler(handler)
    assert (health.live, health.ready) == (False, False)
    assert health.reason.startswith(
        "deadlock: a.out -> b.in (1/1) and b.out -> a.in (1/1) wait for each other"
    )
    assert made.health().live, "what has ended is not stuck"


# --- what components say of themselves -----------------------------------------------------------------


async def asked(parts: SimpleNamespace, check: Any, timeout: float = 5) -> Any:
    """Return the health of a running system of one component with this ``health_check``."""
    made = System("probed", source_grace=0.01, shutdown_timeout=0.1)
    body = parts.Acting("db", lambda self: anyio.sleep_forever())
    body.health_check = check
    made.register_component("db", body)
    async with create_task_group() as group:
        await group.start(made.run)
        health = await made.check_health(timeout)
        assert made.health().ready, "who is not asked says nothing"
        made.request_stop()
    return health


async def test_health_checks_are_taken_in(parts: SimpleNamespace) -> None:
    async def well() -> dict[str, Any]:
        return {"name": "db", "healthy": True}

    async def sick() -> dict[str, Any]:
        return {"name": "db", "healthy": False, "connections": 0}

    assert (await asked(parts, well)).ready
    assert (await asked(parts, sick)).reason == "db: its health_check() says no: {'connections': 0}"


async def test_a_reason_of_its_own_is_what_is_said(parts: SimpleNamespace) -> None:
    async def away() -> dict[str, Any]:
        return {"name": "db", "healthy": False, "state": "running", "reason": "its server is away"}

    assert (await asked(parts, away)).reason == "db: its server is away"


async def test_one_that_raises_is_named_and_takes_nothing_down(parts: SimpleNamespace) -> None:
    async def broken() -> dict[str, Any]:
        raise OSError("gone")

    assert (await asked(parts, broken)).reason == "db: its health_check() raised OSError gone"


async def test_one_that_hangs_is_named_with_the_line_where_it_does_even_if_it_holds_on(
    parts: SimpleNamespace,
) -> None:
    async def hanging() -> None:
        while True:
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep_forever()

    health = await asked(parts, hanging, timeout=0.02)
    line = hanging.__code__.co_firstlineno + 3
    assert health.reason == (
        f"db: its health_check() has not answered in 0.02 s, awaiting hanging() at test_health.py:{line}"
    )


async def test_a_system_that_does_not_run_may_be_asked_too(parts: SimpleNamespace) -> None:
    @component
    def numbers() -> Iterator[int]:
        yield 1

    made = System("probed")
    made.add("numbers", numbers)
    health = await made.check_health()
    assert (health.state, health.ready, health.live) == ("new", False, True)


# --- in a blueprint ------------------------------------------------------------------------------------

BLUEPRINT = """
system: s
defaults: {stall_after: 2s, blocked_after: 0}
components:
  rows: {type: csv_source, config: {path: a.csv}}
  show: {type: console_sink, health: optional}
connections: [rows -> show]
"""


def test_a_blueprint_says_it_too_and_is_written_with_it() -> None:
    system = assemble(parse_blueprint(BLUEPRINT, env={})).harness
    again = assemble(parse_blueprint(system.to_yaml(), env={})).harness
    for made in (system, again):
        found = {name: member.marks.health for name, member in made.wiring.members.items()}
        assert found == {"rows": "required", "show": "optional"}
        assert (made.watching.stall_after, made.watching.blocked_after) == (2, 0)


def test_a_mistake_in_a_blueprint_is_told_with_its_place() -> None:
    with pytest.raises(BlueprintError) as caught:
        parse_blueprint(BLUEPRINT.replace("health: optional", "health: optonal"), env={})
    [problem] = caught.value.problems
    assert problem.position.line == 6
    assert "did you mean 'optional'" in str(problem)
