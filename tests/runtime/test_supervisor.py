"""One component at work: crashes, spawned tasks, normal ends, and exceptions that are not ours."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, get_cancelled_exc_class
from anyio.lowlevel import checkpoint

from headrace.exceptions import ComponentError, SystemFailed
from headrace.runtime.system_execution_harness import System

Body = Callable[[Any], Awaitable[None]]


def alone(parts: SimpleNamespace, body: Body, **options: Any) -> System:
    """Return a system of one component."""
    system = System("alone", **options)
    system.register_component("one", parts.Acting("one", body))
    return system


# --- crashes -----------------------------------------------------------------------------------


async def test_a_crash_drains_and_fails_the_system_with_everything_in_the_books(
    parts: SimpleNamespace,
) -> None:
    async def crash(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            if message == 3:
                raise ValueError("three")

    system = System("factory")
    numbers, sink = parts.Numbers(), parts.Collect()
    system.register_component("numbers", numbers)
    system.register_component("fragile", parts.Acting("fragile", crash))
    system.register_component("sink", sink)
    system.connect("numbers.out", "fragile.in")
    system.connect("numbers.out", "sink.in")
    with fail_after(30), pytest.raises(SystemFailed) as caught:
        await system.run()
    error = caught.value
    assert str(error) == "factory: fragile failed in process: ValueError three"
    assert isinstance(error.__cause__, ValueError)
    assert error.errors == (error.__cause__,)
    report = error.report
    assert report is system.report
    assert report.exit_code() == 1
    assert report.ledger.closes
    [letter] = report.dead_letters
    assert (letter.component, letter.message, letter.edge) == ("fragile", 3, "numbers.out -> fragile.in")
    assert "ValueError: three" in letter.traceback
    fragile, other = report.ledger.edges
    assert (fragile.acknowledged, fragile.dead_lettered, fragile.remaining) == (3, 1, 0)
    assert other.acknowledged == other.accepted == len(sink.got)  # the other branch was drained
    assert system.components["fragile"].status.error_count == 1
    assert isinstance(system.components["fragile"].status.last_error, ValueError)
    assert report.overruns == ()
    assert not system.running


async def test_dead_letters_of_an_earlier_run_are_not_counted_again(parts: SimpleNamespace) -> None:
    fail = True

    async def crash(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            if fail:
                raise ValueError("bad")

    system = System()
    numbers = parts.Numbers(count=1)
    system.register_component("numbers", numbers)
    system.register_component("fragile", parts.Acting("fragile", crash))
    system.connect("numbers.out", "fragile.in")
    with pytest.raises(SystemFailed) as caught:
        await system.run()
    assert caught.value.report.ledger.totals.dead == 1
    assert system.ledger().totals.dead == 1
    fail, numbers.sent = False, 0
    report = await system.run()
    assert report.dead_letters == ()
    assert report.ledger.totals.dead == 0
    assert report.exit_code() == 0
    assert len(system.dead_letters()) == 1  # the store still has it
    assert system.discard_dead_letters(1) == 1


async def test_two_crashes_are_both_reported_the_first_one_first(parts: SimpleNamespace) -> None:
    async def first(self: Any) -> None:
        raise ValueError("first")

    async def second(self: Any) -> None:
        await self.context.stop_event.wait()
        raise OSError("second")

    system = alone(parts, first)
    system.register_component("two", parts.Acting("two", second))
    with pytest.raises(SystemFailed, match="and 1 more") as caught:
        await system.run()
    assert [str(error) for error in caught.value.errors] == ["first", "second"]


async def test_the_default_process_says_that_it_was_not_overridden() -> None:
    from headrace.authoring.harness_component import HarnessComponent

    system = System()
    system.register_component("bare", HarnessComponent("bare"))
    with pytest.raises(SystemFailed, match="does not override process"):
        await system.run()


async def test_a_process_that_is_not_async_is_explained(parts: SimpleNamespace) -> None:
    class Sync(parts.Stranger):  # type: ignore[misc]
        def process(self) -> int:
            return 1

    system = System()
    system.register_component("sync", Sync())
    with pytest.raises(SystemFailed, match="write `async def process`"):
        await system.run()


@pytest.mark.fault(12)
async def test_every_leaf_of_a_group_is_logged(
    parts: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(self: Any) -> None:
        raise ExceptionGroup("all", [ValueError("one"), ExceptionGroup("in", [OSError("two")])])

    with pytest.raises(SystemFailed, match="ValueError one; OSError two"):
        await alone(parts, body).run()
    assert [str(r.exc_info[1]) for r in caplog.records if r.exc_info] == ["one", "two"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, BaseException, GeneratorExit])
@pytest.mark.parametrize("spawned", [False, True])
@pytest.mark.fault(13)
async def test_what_is_no_exception_comes_out_bare_with_the_same_report(
    parts: SimpleNamespace, kind: type[BaseException], spawned: bool
) -> None:
    class Special(kind):  # type: ignore[misc, valid-type]
        pass

    async def interrupt() -> None:
        raise Special(3)

    async def body(self: Any) -> None:
        if not spawned:
            await interrupt()
        self.context.spawn(interrupt)
        await anyio.sleep_forever()

    system, sink = alone(parts, body), parts.Collect()
    system.register_component("numbers", parts.Numbers())
    system.register_component("sink", sink)
    system.connect("numbers.out", "sink.in")
    with fail_after(30), pytest.raises(Special):
        await system.run()
    report = system.report
    assert report is not None
    assert report.outcome == "failed"
    assert report.exit_code() == 1
    assert [failure.component for failure in report.failures] == ["one"]
    assert report.ledger.totals.lost == 0
    with pytest.raises(SystemFailed):  # who only waits is not interrupted
        await system.wait()


async def test_an_interrupt_in_a_group_comes_out_bare(parts: SimpleNamespace) -> None:
    async def body(self: Any) -> None:
        raise BaseExceptionGroup("both", [ValueError("and"), BaseExceptionGroup("in", [SystemExit(3)])])

    with pytest.raises(SystemExit):
        await alone(parts, body).run()


async def test_a_future_that_something_else_cancelled_is_a_crash(
    parts: SimpleNamespace, anyio_backend: str
) -> None:
    async def body(self: Any) -> None:
        import asyncio

        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    if anyio_backend == "asyncio":
        with fail_after(30), pytest.raises(SystemFailed, match="cancelled, by something other") as caught:
            await alone(parts, body).run()
        assert isinstance(caught.value.__cause__, ComponentError)


async def test_an_error_on_the_way_out_of_a_cancelled_run_is_in_the_report(parts: SimpleNamespace) -> None:
    async def body(self: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("while unwinding")

    system = alone(parts, body)
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert system.report is not None
    assert system.report.outcome == "cancelled"
    assert [str(failure.error) for failure in system.report.failures] == ["while unwinding"]


# --- spawned tasks -----------------------------------------------------------------------------


async def test_a_component_ends_when_all_it_spawned_has_ended(parts: SimpleNamespace) -> None:
    order: list[str] = []

    async def later(go: anyio.Event) -> None:
        await go.wait()
        order.append("spawned")

    async def body(self: Any) -> None:
        go = anyio.Event()
        self.context.spawn(later, go, name="later")
        go.set()
        order.append("process")

    await alone(parts, body).run()
    assert order == ["process", "spawned"]


async def test_a_spawned_task_that_fails_crashes_the_component(parts: SimpleNamespace) -> None:
    unwound = False

    async def fail() -> None:
        raise ValueError("spawned")

    async def body(self: Any) -> None:
        nonlocal unwound
        self.context.spawn(fail)
        try:
            await anyio.sleep_forever()
        finally:
            unwound = True

    with pytest.raises(SystemFailed, match="ValueError spawned"):
        await alone(parts, body).run()
    assert unwound


async def test_several_failed_tasks_are_a_group(parts: SimpleNamespace) -> None:
    async def fail(text: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError(text)

    async def body(self: Any) -> None:
        self.context.spawn(fail, "spawned")
        await checkpoint()
        raise OSError("own")

    with pytest.raises(SystemFailed, match="OSError own; ValueError spawned"):
        await alone(parts, body).run()


async def test_spawn_is_refused_outside_of_process(parts: SimpleNamespace) -> None:
    contexts: list[Any] = []

    class Eager(parts.Stranger):  # type: ignore[misc]
        async def setup(self, harness_context: Any) -> None:
            contexts.append(harness_context)
            with pytest.raises(RuntimeError, match="call it from process"):
                harness_context.spawn(anyio.sleep, 0)

        async def cleanup(self) -> None:
            with pytest.raises(RuntimeError, match="call it from process"):
                contexts[0].spawn(anyio.sleep, 0)

    system = System()
    system.register_component("eager", Eager())
    await system.run()


# --- normal ends -------------------------------------------------------------------------------


async def test_word_that_the_input_has_ended_is_a_normal_end(parts: SimpleNamespace) -> None:
    async def body(self: Any) -> None:
        while True:
            await self.receive_streams["in"].receive()

    system = alone(parts, body)
    system.register_component("numbers", parts.Numbers(count=3))
    system.connect("numbers.out", "one.in")
    assert (await system.run()).outcome == "finished"


async def test_it_is_a_normal_end_of_the_one_spawned_task_that_hears_it(parts: SimpleNamespace) -> None:
    async def feed(stream: Any) -> None:
        for number in range(50):
            await stream.send(number)

    async def both(self: Any) -> None:
        self.context.spawn(feed, self.send_streams["a"])
        self.context.spawn(feed, self.send_streams["b"])

    async def nothing(self: Any) -> None:
        self.receive_streams["in"].close()

    system, sink = alone(parts, both, buffer_size=5), parts.Collect()
    system.register_component("deaf", parts.Acting("deaf", nothing))
    system.register_component("sink", sink)
    system.connect("one.a", "deaf.in")
    system.connect("one.b", "sink.in")
    report = await system.run()
    assert report.outcome == "finished"
    assert sink.got == list(range(50))


async def test_a_real_error_is_not_hidden_by_a_normal_end(parts: SimpleNamespace) -> None:
    async def fail() -> None:
        raise ValueError("real")

    async def body(self: Any) -> None:
        self.context.spawn(fail)
        await self.receive_streams["in"].receive()

    async def close(self: Any) -> None:
        self.send_streams["out"].close()

    system = alone(parts, body)
    system.register_component("closing", parts.Acting("closing", close))
    system.connect("closing.out", "one.in")
    with pytest.raises(SystemFailed, match="ValueError real"):
        await system.run()


async def test_a_broken_resource_of_the_components_own_is_a_crash(parts: SimpleNamespace) -> None:
    async def body(self: Any) -> None:
        raise anyio.BrokenResourceError("socket")

    with pytest.raises(SystemFailed, match="BrokenResourceError socket"):
        await alone(parts, body).run()


# --- swallowed cancellation --------------------------------------------------------------------


async def swallow(self: Any) -> None:
    """Swallow every cancellation."""
    while True:
        try:
            await anyio.sleep_forever()
        except get_cancelled_exc_class():
            pass


async def swallow_everything(self: Any) -> None:
    """Swallow whatever comes."""
    never = anyio.Event()
    while True:
        with contextlib.suppress(BaseException):
            await never.wait()


@pytest.mark.parametrize("body", [swallow, swallow_everything])
@pytest.mark.fault(7)
async def test_a_component_that_swallows_cancellation_is_named_and_run_returns(
    parts: SimpleNamespace, body: Body
) -> None:
    system = alone(parts, body, shutdown_timeout=0.3, source_grace=0.2)
    began, cpu = time.monotonic(), time.process_time()
    async with create_task_group() as group:
        await group.start(system.run)
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    [late] = report.overruns
    assert late.component == "one"
    assert late.awaiting.startswith(f"{body.__name__}() at test_supervisor.py:")
    assert late.awaiting.endswith("which swallows cancellation")
    assert report.exit_code() == 5
    assert time.process_time() - cpu < (time.monotonic() - began) / 2


@pytest.mark.fault(7)
async def test_cancelling_a_run_with_a_component_that_swallows_it_returns(parts: SimpleNamespace) -> None:
    system = alone(parts, swallow)
    with fail_after(30):
        async with create_task_group() as group:
            await group.start(system.run)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert system.report is not None
    assert system.report.outcome == "cancelled"
    assert [late.component for late in system.report.overruns] == ["one"]


async def test_a_spawned_task_that_swallows_it_does_not_outlive_a_crash(parts: SimpleNamespace) -> None:
    async def body(self: Any) -> None:
        self.context.spawn(swallow, self)
        await checkpoint()
        raise ValueError("own")

    with fail_after(30), pytest.raises(SystemFailed, match="ValueError own"):
        await alone(parts, body).run()
