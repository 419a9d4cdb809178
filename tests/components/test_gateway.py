"""A gateway: each request gets its own answer, or an error that says why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from headrace import HarnessComponent, In, Out, Rejected, Resource, System
from headrace.components import GatewayReplies, GatewayRequests
from headrace.components.gateway import Gateway, open_gateway
from headrace.exceptions import (
    ConfigError,
    RequestFailedError,
    RequestRefusedError,
    RequestTimeoutError,
)

Row = dict[str, Any]


def service(gateway: Gateway, work: Any) -> System:
    """Return a system in which a component works between the two ends of a gateway."""
    system = System("service")
    system.resource("gateway", gateway.opened)
    system.add("requests", GatewayRequests)
    system.add("work", work)
    system.add("replies", GatewayReplies)
    system.connect("requests", "work.in")
    system.connect("work.out", "replies")
    return system


def double(row: Row) -> Row:
    """Answer with twice the number."""
    return {"request_id": row["request_id"], "twice": 2 * row["n"]}


class Held(HarnessComponent):
    """Gathers requests, and answers them backwards when it is told to."""

    in_: In[Row]
    out: Out[Row]

    def __init__(self, name: str, config: Any = None) -> None:
        super().__init__(name, config)
        self.rows: list[Row] = []
        self.go = anyio.Event()

    async def process(self) -> None:
        async for row in self.in_:
            self.rows.append(row)
            if row.get("of") == len(self.rows):
                await self.go.wait()
                await self.out.send_many(reversed(self.rows))


async def test_each_request_gets_its_own_answer_whatever_comes_first() -> None:
    gateway = Gateway()
    held = Held("work")
    answers: dict[int, Row] = {}

    async def ask(n: int) -> None:
        answers[n] = await gateway.ask({"n": n, "of": 5})

    async with service(gateway, held), anyio.create_task_group() as asking:
        for n in range(5):
            asking.start_soon(ask, n)
        await anyio.wait_all_tasks_blocked()
        assert (len(gateway), answers) == (5, {})
        held.go.set()
    assert answers == {n: {"n": n, "of": 5} for n in range(5)}
    assert (gateway.answered, gateway.unasked, len(gateway)) == (5, 0, 0)


async def test_a_request_too_many_is_refused_at_once() -> None:
    gateway = Gateway(max_requests=1)
    held = Held("work")
    async with service(gateway, held), anyio.create_task_group() as asking:
        asking.start_soon(gateway.ask, {"of": 1})
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RequestRefusedError, match="1 requests are at work"):
            await gateway.ask({})
        held.go.set()
    assert (gateway.refused, gateway.answered) == (1, 1)


async def test_a_rejected_request_says_why() -> None:
    def refuse(row: Row) -> Row | Rejected[Row]:
        return Rejected(row, "no such fruit")

    gateway = Gateway()
    system = service(gateway, refuse)
    system.connect("work.rejected", "replies")
    async with system:
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RequestFailedError, match="no such fruit"):
            await gateway.ask({"n": 1})


def test_a_request_without_an_answer_is_given_up_and_what_comes_later_is_counted(
    in_virtual_time: Callable[..., Any],
) -> None:
    async def main() -> None:
        gateway = Gateway(timeout="30s")
        held = Held("work")
        async with service(gateway, held):
            await anyio.sleep(1)
            with pytest.raises(RequestTimeoutError, match="no answer came within 30 s"):
                await gateway.ask({})
            assert anyio.current_time() >= 31
            with pytest.raises(RequestTimeoutError, match="within 2 s"):
                await gateway.ask({"of": 2}, timeout=2)
            held.go.set()
        assert (gateway.timed_out, gateway.unasked, gateway.answered) == (2, 2, 0)

    in_virtual_time(main)


async def test_who_is_cancelled_gives_the_request_up() -> None:
    gateway = Gateway()
    async with service(gateway, Held("work")):
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as asking:
            asking.start_soon(gateway.ask, {})
            await anyio.wait_all_tasks_blocked()
            assert len(gateway) == 1
            asking.cancel_scope.cancel()
        assert len(gateway) == 0


async def test_a_drain_answers_what_is_at_work_and_refuses_the_rest() -> None:
    gateway = Gateway()
    held = Held("work")
    answers: list[Row] = []

    async def ask() -> None:
        answers.append(await gateway.ask({"of": 1}))

    with pytest.raises(RequestRefusedError, match="takes no requests"):
        await gateway.ask({})
    system = service(gateway, held)
    async with anyio.create_task_group() as asking, system:
        await anyio.wait_all_tasks_blocked()
        asking.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        system.request_stop()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RequestRefusedError, match="takes no requests"):
            await gateway.ask({})
        held.go.set()
        report = await system.wait()
    assert answers == [{"of": 1}]
    assert report.ledger.closes


async def test_what_has_no_answer_at_the_end_is_told_so() -> None:
    def swallow(row: Row) -> Row | None:
        return None

    gateway = Gateway()
    errors: list[str] = []

    async def ask() -> None:
        with pytest.raises(RequestRefusedError) as caught:
            await gateway.ask({})
        errors.append(str(caught.value))

    async with anyio.create_task_group() as asking, service(gateway, swallow):
        await anyio.wait_all_tasks_blocked()
        asking.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
    assert errors == ["the system has ended before an answer came"]


@pytest.mark.parametrize("message", [5, {}, {"request_id": 99}, {"request_id": "1"}, Rejected(5, "no")])
def test_an_answer_to_nobody_is_counted(message: Any) -> None:
    gateway = Gateway()
    assert not gateway.reply(message)
    assert gateway.unasked == 1


async def test_a_component_can_ask_too_through_the_resource_of_a_blueprint() -> None:
    answers: list[Row] = []

    class Caller(HarnessComponent):
        gateway: Resource[Gateway]

        async def process(self) -> None:
            await anyio.wait_all_tasks_blocked()
            answers.append(await self.gateway.ask({"n": 4}))

    system = System("service")
    system.resource("gateway", open_gateway, max_requests=5)
    for name, part in {"requests": GatewayRequests, "work": double, "replies": GatewayReplies}.items():
        system.add(name, part)
    system.add("caller", Caller)
    system.connect("requests", "work")
    system.connect("work", "replies")
    async with system:
        while not answers:
            await anyio.wait_all_tasks_blocked()
    assert answers == [{"twice": 8}]


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"max_requests": 0}, "max_requests"), ({"timeout": 0}, "timeout"), ({"id_field": ""}, "id_field")],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Gateway(**settings)
    assert caught.value.field == field
