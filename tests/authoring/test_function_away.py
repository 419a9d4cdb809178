"""How large a batch for a worker is, and whose turn it is."""

from __future__ import annotations

import anyio
import pytest

from headrace.authoring.function_away import WORTH, Span
from headrace.authoring.function_concurrency import Turns


def test_a_batch_grows_to_what_is_worth_the_way_and_shrinks_at_once() -> None:
    span, now = Span(1), 0.0
    sizes = []
    for cost in [WORTH / 40] * 7 + [WORTH * 3] * 2:
        began, now = now, now + span.size * cost
        span.note(span.size, began, now)
        sizes.append(span.size)
    assert sizes[:5] == [2, 4, 8, 16, 32]
    assert all(size in (39, 40) for size in sizes[5:7])
    assert sizes[7:] == [1, 1]


def test_the_wait_for_an_earlier_batch_does_not_count() -> None:
    span = Span(1)
    span.note(1, began=0.0, ended=10.0)
    span.note(1, began=0.0, ended=10.0 + WORTH / 2)  # given away at once, begun when the worker was free
    assert span.size == 2


def test_several_workers_are_free_one_after_the_other() -> None:
    span = Span(2)
    for ended in (10.0, 10.0, 10.0 + WORTH / 4):
        span.note(1, began=0.0, ended=ended)
    assert span.size == 2


def test_a_batch_is_never_endless() -> None:
    span = Span(1)
    for _ in range(20):
        span.note(span.size, began=1.0, ended=1.0)
    assert span.size == 1024


async def test_turns_come_in_the_order_of_the_numbers_whoever_ends_first() -> None:
    turns, order = Turns(), list[int]()
    first, second, third = turns.draw(), turns.draw(), turns.draw()

    async def wait(number: int) -> None:
        await turns.wait(number)
        order.append(number)
        turns.end(number)

    async with anyio.create_task_group() as group:
        group.start_soon(wait, third)
        await anyio.wait_all_tasks_blocked()
        turns.end(second)  # without its turn: nobody is called
        await anyio.wait_all_tasks_blocked()
        assert order == []
        turns.end(first)
    assert order == [third]
    with pytest.raises(KeyError):
        turns.end(first)
