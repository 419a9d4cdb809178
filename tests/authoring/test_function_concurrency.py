"""``concurrency``: one function at work on several messages, in order or as they come, with exact books."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import Event, create_memory_object_stream, create_task_group, wait_all_tasks_blocked

from headrace.authoring.function_component import component
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import BlueprintError, ConfigError, SystemFailed
from headrace.model.message import Meta
from headrace.runtime.system_execution_harness import System


class Shop:
    """A system of numbers, a function that waits for a gate of each, and a sink."""

    def __init__(self, count: int = 6, **policy: Any) -> None:
        self.gates = [Event() for _ in range(count)]
        self.begun: list[int] = []
        self.got: list[int] = []
        self.broken: set[int] = set()

        def numbers() -> Iterator[int]:
            yield from range(count)

        async def work(number: int) -> int:
            self.begun.append(number)
            await self.gates[number].wait()
            if number in self.broken:
                raise ValueError(f"no {number}")
            return number

        self.system = System("shop")
        self.system.add("numbers", component(numbers))
        self.system.add("work", component(backoff=0, **policy)(work))
        self.system.add("sink", component(self.got.append))
        self.system.connect("numbers", "work")
        self.system.connect("work", "sink")

    @property
    def in_hand(self) -> int:
        return self.system.wiring.edges["numbers.out -> work.in"].ledger().in_hand

    async def open(self, *numbers: int) -> None:
        for number in numbers:
            self.gates[number].set()
        await wait_all_tasks_blocked()


async def test_it_works_on_as_many_as_said_and_sends_in_the_order_of_the_messages() -> None:
    shop = Shop(concurrency=3)
    async with create_task_group() as group:
        await group.start(shop.system.run)
        await wait_all_tasks_blocked()
        assert (shop.begun, shop.in_hand) == ([0, 1, 2], 3)
        await shop.open(2, 1)
        assert (shop.got, shop.in_hand) == ([], 3), "whoever is done waits for his turn"
        await shop.open(0)
        assert (shop.got, shop.begun, shop.in_hand) == ([0, 1, 2], [0, 1, 2, 3, 4, 5], 3)
        await shop.open(5, 4, 3)
    assert shop.got == [0, 1, 2, 3, 4, 5]
    report = shop.system.report
    assert report is not None
    assert report.clean
    assert report.ledger.closes


async def test_unordered_each_output_is_sent_when_it_is_there() -> None:
    shop = Shop(concurrency=3, ordered=False)
    async with create_task_group() as group:
        await group.start(shop.system.run)
        await wait_all_tasks_blocked()
        await shop.open(2)
        await shop.open(3)
        await shop.open(1)
        assert (shop.got, shop.in_hand) == ([2, 3, 1], 3)
        await shop.open(0, 4, 5)
    assert sorted(shop.got) == [0, 1, 2, 3, 4, 5]


async def test_a_message_that_fails_is_put_away_alone_and_the_others_go_on() -> None:
    shop = Shop(concurrency=3, attempts=2)
    shop.broken = {1}
    async with create_task_group() as group:
        await group.start(shop.system.run)
        await shop.open(*range(6))
    assert shop.got == [0, 2, 3, 4, 5]
    report = shop.system.report
    assert report is not None
    assert [(letter.message, letter.attempts) for letter in report.dead_letters] == [(1, 2)]
    assert report.dead_letters[0].edge == "numbers.out -> work.in"
    assert report.ledger.closes


async def test_a_crash_ends_all_of_them_and_leaves_what_was_in_hand_in_the_books() -> None:
    shop = Shop(concurrency=3, attempts=1, on_error="crash")
    shop.broken = {1}

    async def open_one_after_the_other() -> None:
        await shop.open(0)
        await shop.open(1)

    async with create_task_group() as group:
        group.start_soon(open_one_after_the_other)
        with pytest.raises(SystemFailed) as caught:
            await shop.system.run()
    assert isinstance(caught.value.__cause__, ValueError)
    assert shop.got == [0]
    report = caught.value.report
    assert report.ledger.closes
    assert {letter.message for letter in report.dead_letters} >= {1}


async def test_cancelled_it_keeps_in_hand_what_it_was_at() -> None:
    shop = Shop(concurrency=2)
    async with create_task_group() as group:
        await group.start(shop.system.run)
        await shop.open(1)
        group.cancel_scope.cancel()
    report = shop.system.report
    assert report is not None
    assert shop.got == []
    assert report.ledger.closes
    edge = report.ledger.edges[0]
    assert (edge.acknowledged, edge.in_hand, edge.buffered) == (0, 2, 4)


async def test_each_message_has_its_own_meta() -> None:
    seen: list[Meta] = []

    async def work(number: int, *, meta: Meta) -> int:
        seen.append(meta)
        await anyio.lowlevel.checkpoint()
        if meta.attempt == 1:
            raise ValueError("once")
        return number

    part = component(concurrency=2, backoff=0)(work).build("f")
    send, part.receive_streams["in"] = create_memory_object_stream[Any](5)
    part.send_streams["out"], out = create_memory_object_stream[Any](5)
    for number in range(3):
        send.send_nowait(number)
    send.close()
    await part.process()
    await part.cleanup()
    async with out:
        assert [item async for item in out] == [0, 1, 2]
    assert len({meta.id for meta in seen}) == 3
    assert sorted(meta.attempt for meta in seen) == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"ordered": 1}, {"fuse": "no"}])
def test_what_does_not_fit_is_refused(options: Any) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        component(**options)


def test_only_an_asynchronous_function_works_on_several_messages() -> None:
    made: Any = component(concurrency=2)(lambda message: message)
    with pytest.raises(ConfigError, match="concurrency is for asynchronous functions"):
        made.build("f")


def test_a_blueprint_sets_it_for_asynchronous_functions_alone(tmp_path: Path) -> None:
    (tmp_path / "concurrent_parts.py").write_text(
        "def numbers():\n    yield 1\n\nasync def ask(number):\n    return number\n\ndef show(number): ...\n"
    )
    text = """
system: s
defaults: {concurrency: 3}
components:
  numbers: {type: "concurrent_parts:numbers"}
  ask: {type: "concurrent_parts:ask", ordered: false}
  show: {type: "concurrent_parts:show"}
connections:
  - numbers -> ask -> show
"""
    (tmp_path / "s.yaml").write_text(text)
    (tmp_path / "wrong.yaml").write_text(text.replace('parts:show"', 'parts:show", concurrency: 2'))
    harness = load_system(tmp_path / "s.yaml").harness
    found = {
        name: (part.attempts.concurrency, part.attempts.ordered) for name, part in harness.components.items()
    }
    assert found == {"numbers": (1, True), "ask": (3, False), "show": (1, True)}
    with pytest.raises(
        BlueprintError, match=r":7:\d+: error E230 .*concurrency is for asynchronous functions"
    ):
        load_system(tmp_path / "wrong.yaml")
