"""A coroutine that swallows cancellation is made to end; one that does not is never touched."""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

import anyio
import pytest
from anyio import CancelScope, create_task_group, get_cancelled_exc_class
from anyio.lowlevel import checkpoint

from headrace.exceptions import ComponentError
from headrace.runtime.driven import (
    ROPE,
    Driven,
    MadeToEnd,
    leaves,
    without_cancellation,
    without_groups_of_one,
)


async def drive(driven: Driven, *, insist: bool = True) -> CancelScope:
    """Start it in a scope, cancel that, and return it once the coroutine is gone."""
    scope = CancelScope()

    async def run() -> None:
        with scope:
            await driven

    async with create_task_group() as group:
        group.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        driven.insist = insist
        scope.cancel()
    return scope


async def test_its_result_is_the_coroutines() -> None:
    async def answer(number: int) -> int:
        await checkpoint()
        return number

    assert await Driven(answer, 42) == 42


async def test_what_is_not_awaitable_is_the_result() -> None:
    assert await Driven(lambda: "plain") == "plain"


async def test_an_awaitable_that_is_no_coroutine_is_awaited() -> None:
    class Custom:
        def __await__(self) -> Generator[Any, Any, str]:
            yield from checkpoint().__await__()
            return "custom"

    assert await Driven(Custom) == "custom"


async def test_its_error_is_the_coroutines() -> None:
    async def fail() -> None:
        await checkpoint()
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        await Driven(fail)


async def test_an_obedient_coroutine_is_cancelled_as_always() -> None:
    driven = Driven(anyio.sleep_forever)
    scope = await drive(driven)
    assert scope.cancelled_caught
    assert not driven.forced


async def test_a_clean_up_with_several_awaits_is_left_alone() -> None:
    met = 0

    async def careful() -> None:
        nonlocal met
        try:
            await anyio.sleep_forever()
        finally:
            for _ in range(ROPE - 1):
                try:
                    await checkpoint()
                except get_cancelled_exc_class():
                    met += 1

    driven = Driven(careful)
    scope = await drive(driven)
    assert scope.cancelled_caught
    assert met == ROPE - 1
    assert not driven.forced


async def test_one_that_swallows_cancellation_is_made_to_end_and_says_where_it_waited() -> None:
    async def swallow() -> None:
        while True:
            try:
                await anyio.sleep_forever()
            except get_cancelled_exc_class():
                pass

    driven = Driven(swallow)
    scope = await drive(driven)
    assert scope.cancelled_caught
    assert driven.forced.startswith("swallow() at test_driven.py:")
    assert not driven.abandoned


async def test_one_that_swallows_it_around_a_task_group_is_made_to_end() -> None:
    cleaned: list[bool] = []

    async def inner() -> None:
        async with create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            try:
                await anyio.sleep_forever()
            finally:
                with CancelScope(shield=True):
                    await checkpoint()  # a clean-up may still await
                cleaned.append(True)

    async def swallow() -> None:
        while True:
            try:
                await inner()
            except get_cancelled_exc_class():
                pass

    driven = Driven(swallow)
    scope = await drive(driven)
    assert scope.cancelled_caught
    assert driven.forced
    assert 1 < len(cleaned) <= ROPE + 1


async def test_one_that_returns_when_it_is_made_to_end_counts_as_cancelled() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await anyio.sleep_forever()
            except get_cancelled_exc_class():
                pass
            except MadeToEnd:
                return

    driven = Driven(stubborn)
    scope = await drive(driven)
    assert scope.cancelled_caught
    assert driven.forced


async def test_an_error_on_the_way_out_is_not_hidden() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await anyio.sleep_forever()
            except get_cancelled_exc_class():
                pass
            except MadeToEnd:
                raise OSError("disk") from None

    with pytest.raises(ExceptionGroup) as caught:
        await drive(Driven(stubborn))
    assert [str(leaf) for leaf in leaves(caught.value)] == ["disk"]


async def test_one_that_swallows_everything_is_left_behind() -> None:
    met = 0

    async def swallow() -> None:
        nonlocal met
        while True:
            try:
                await anyio.Event().wait()
            except BaseException:
                met += 1

    driven = Driven(swallow)
    scope = CancelScope()

    async def run() -> None:
        with scope:
            await driven

    async with create_task_group() as group:
        group.start_soon(run)
        for _ in range(5):
            await checkpoint()
        driven.insist = True
        scope.cancel()
    gc.collect()
    assert driven.abandoned
    assert met == 2 * ROPE


async def test_inside_a_scope_of_its_own_it_is_not_left_behind_on_asyncio(anyio_backend: str) -> None:
    met = 0

    async def swallow() -> None:
        nonlocal met
        with CancelScope():
            while met < 5 * ROPE:
                try:
                    await anyio.Event().wait()
                except BaseException:
                    met += 1

    driven = Driven(swallow)
    if anyio_backend == "asyncio":
        scope = await drive(driven)
        assert not driven.abandoned
        assert met == 5 * ROPE
        assert scope.cancel_called
    else:
        with pytest.raises(ExceptionGroup):  # trio's word for the scope that was left open
            await drive(driven)
        assert driven.abandoned


async def test_scopes_of_its_own_are_not_counted() -> None:
    rounds = 0

    async def patient() -> None:
        nonlocal rounds
        for _ in range(5 * ROPE):
            with anyio.move_on_after(0):
                await anyio.sleep_forever()
            rounds += 1

    driven = Driven(patient)
    await driven
    assert rounds == 5 * ROPE
    assert not driven.forced


async def test_closing_it_closes_the_coroutine() -> None:
    closed = []

    class Trap:
        def __await__(self) -> Generator[str, None, None]:
            yield "trap"

    async def waiting() -> None:
        try:
            await Trap()
        finally:
            closed.append(True)

    async def outer() -> None:
        await Driven(waiting)

    coroutine = outer()
    assert coroutine.send(None) == "trap"
    coroutine.close()
    assert closed == [True]


async def test_a_cancellation_that_nobody_asked_for_is_an_error(anyio_backend: str) -> None:
    if anyio_backend == "trio":
        return  # there a task can only be cancelled by a scope

    async def cancelled_future() -> None:
        import asyncio

        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    try:
        await Driven(cancelled_future)
    except BaseException as error:
        found = without_cancellation(error)
    assert isinstance(found, ComponentError)
    assert isinstance(found.__cause__, get_cancelled_exc_class())


async def test_what_is_left_of_a_group_without_cancellations() -> None:
    cancelled: list[BaseException] = []

    async def be_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        except get_cancelled_exc_class() as error:
            cancelled.append(error)
            raise

    async with create_task_group() as group:
        group.start_soon(be_cancelled)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    mixed = BaseExceptionGroup("mixed", [cancelled[0], ValueError("real")])
    assert str(without_cancellation(mixed)) == "real"
    assert without_cancellation(BaseExceptionGroup("only", [cancelled[0]])) is None


def test_a_group_of_one_is_its_error() -> None:
    error = ValueError("one")
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [error])])
    assert without_groups_of_one(nested) is error
    assert leaves(ExceptionGroup("outer", [ExceptionGroup("inner", [error]), OSError()]))[0] is error
