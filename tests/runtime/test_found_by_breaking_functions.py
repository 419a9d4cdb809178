"""What testers broke of functions, kept from breaking again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from headrace import System, SystemFailed, component
from headrace.authoring import function_stage


@component
def ten_numbers() -> Iterator[int]:
    yield from range(10)


def around(middle: Any, *, fuse: bool = True, **options: Any) -> tuple[System, list[Any]]:
    got: list[Any] = []

    @component
    def keep(message: Any) -> None:
        got.append(message)

    system = System("found", fuse=fuse)
    system.add("numbers", ten_numbers)
    system.add("middle", middle, **options)
    system.add("keep", keep)
    system.connect("numbers", "middle")
    system.connect("middle.out", "keep")
    return system, got


@pytest.mark.parametrize("fuse", [True, False])
async def test_a_function_that_raises_stop_iteration_fails_on_its_message(fuse: bool) -> None:
    @component(attempts=2, backoff=0)
    def first_odd(number: int) -> int:
        return next(one for one in (number, number) if one % 5)

    system, got = around(first_odd, fuse=fuse)
    report = await system.run()
    assert got == [1, 2, 3, 4, 6, 7, 8, 9]
    assert report.ledger.totals.dead == 2
    assert [letter.message for letter in report.dead_letters] == [0, 5]
    assert report.exit_code() == 4


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_cancellation_nobody_asked_for_fails_a_concurrent_function(
    ordered: bool, anyio_backend_name: str
) -> None:
    def error() -> BaseException:  # trio's own cannot be made by others
        return anyio.get_cancelled_exc_class()() if anyio_backend_name == "asyncio" else KeyError("crash")

    @component(concurrency=4, ordered=ordered, attempts=1, on_error="crash")
    async def unlucky(number: int) -> int:
        await checkpoint()
        if number == 7:
            raise error()
        return number

    system, _ = around(unlucky)
    with pytest.raises(SystemFailed):
        await system.run()
    report = system.report
    assert report is not None
    assert report.ledger.closes
    totals = report.ledger.totals
    assert totals.taken_in == totals.given_out + totals.lost + totals.dead


async def test_system_exit_in_a_concurrent_function_ends_the_run_with_a_report() -> None:
    @component(concurrency=4)
    async def leaves(number: int) -> int:
        await checkpoint()
        if number == 5:
            sys.exit(0)
        return number

    system, _ = around(leaves)
    with pytest.raises(SystemExit):
        await system.run()
    assert system.report is not None
    assert system.report.ledger.closes
    assert system.report.outcome == "failed"


async def test_a_function_that_turns_slow_does_not_hold_up_a_whole_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(function_stage, "perf_counter", lambda: now[0])

    def slow(number: int) -> int:
        now[0] += 0.005
        return number

    stage = function_stage.Stage(slow, "map")
    messages = iter(list(range(1000)))
    batch = stage.run(messages, 1000)
    assert len(batch.outputs) == 64
    assert next(messages) == 64
