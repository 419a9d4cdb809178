"""A system inside another program: ``async with``, ``task_group.start``, ``wait``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint

from headrace.exceptions import HarnessAlreadyRunning, SystemFailed, UnconnectedPortError
from headrace.runtime.system_execution_harness import System


def alone(parts: SimpleNamespace, body: Any) -> System:
    """Return a system of one component."""
    system = System("guest")
    system.register_component("one", parts.Acting("one", body))
    return system


async def until_stopped(self: Any) -> None:
    """Work until the system is stopped."""
    await self.context.stop_event.wait()


async def test_a_block_runs_beside_the_system_and_drains_it_at_its_end(parts: SimpleNamespace) -> None:
    system = System()
    numbers, sink = parts.Numbers(), parts.Collect()
    system.register_component("numbers", numbers)
    system.register_component("sink", sink)
    system.connect("numbers.out", "sink.in")
    async with system as entered:
        assert entered is system
        assert system.running is True
        assert system.task_group is not None
        await sink.reached.wait()
    assert system.running is False
    assert system.report is not None
    assert system.report.outcome == "stopped"
    assert system.report.ledger.totals.lost == 0


async def test_a_block_can_be_entered_again(parts: SimpleNamespace) -> None:
    system = alone(parts, until_stopped)
    for _ in range(2):
        async with system:
            assert system.running
        assert not system.running


async def test_the_error_of_the_block_comes_out_bare_after_the_drain(parts: SimpleNamespace) -> None:
    system = alone(parts, until_stopped)
    with pytest.raises(KeyError, match="mine") as caught:
        async with system:
            raise KeyError("mine")
    assert not hasattr(caught.value, "__notes__")
    assert system.report is not None
    assert system.report.outcome == "stopped"


async def test_a_failure_does_not_cancel_the_block_and_comes_out_at_its_end(parts: SimpleNamespace) -> None:
    async def fail(self: Any) -> None:
        raise OSError("broken")

    system, finished = alone(parts, fail), False
    with pytest.raises(SystemFailed, match="broken"):  # noqa: PT012
        async with system:
            with pytest.raises(SystemFailed, match="broken"):
                await system.wait()
            await checkpoint()
            finished = True
    assert finished


async def test_where_both_fail_the_error_of_the_block_names_the_other(parts: SimpleNamespace) -> None:
    async def fail(self: Any) -> None:
        raise OSError("broken")

    with pytest.raises(KeyError, match="mine") as caught:
        async with alone(parts, fail):
            raise KeyError("mine")
    assert caught.value.__notes__ == ["the system failed too: guest: one failed in process: OSError broken"]


async def test_a_failed_set_up_is_raised_at_the_entry(parts: SimpleNamespace) -> None:
    class Bad(parts.Stranger):  # type: ignore[misc]
        async def setup(self) -> None:
            raise OSError("no disk")

    system, entered = System(), False
    system.register_component("bad", Bad())
    with pytest.raises(SystemFailed, match="no disk"):
        async with system:
            entered = True
    assert not entered
    assert not system.running


async def test_a_wiring_error_is_raised_at_the_entry() -> None:
    from headrace.authoring.function_component import component

    @component
    def lonely(message: int) -> None:
        """Take a message."""

    system = System()
    system.add("lonely", lonely)
    with pytest.raises(UnconnectedPortError):
        async with system:
            pass


async def test_a_second_block_is_refused_while_the_system_runs(parts: SimpleNamespace) -> None:
    system = alone(parts, until_stopped)
    async with system:
        with pytest.raises(HarnessAlreadyRunning):
            async with system:
                pass
        assert system.running


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_in_a_component_ends_the_block_and_comes_out_bare(
    parts: SimpleNamespace, kind: type[BaseException]
) -> None:
    async def interrupt(self: Any) -> None:
        raise kind(3)

    with fail_after(30), pytest.raises(kind):
        async with alone(parts, interrupt):
            await anyio.sleep_forever()


async def test_a_block_that_is_cancelled_cancels_the_system(parts: SimpleNamespace) -> None:
    system = alone(parts, until_stopped)
    with anyio.CancelScope() as scope:
        async with system:
            scope.cancel()
            await checkpoint()
    assert scope.cancelled_caught
    assert system.report is not None
    assert system.report.outcome == "cancelled"


async def test_a_system_that_ends_by_itself_leaves_the_block_alone(parts: SimpleNamespace) -> None:
    async def end(self: Any) -> None:
        await checkpoint()

    system = alone(parts, end)
    async with system:
        report = await system.wait()
        assert report.outcome == "finished"
        assert not system.running


async def test_start_of_a_task_group_returns_when_all_components_run(parts: SimpleNamespace) -> None:
    running: list[bool] = []

    async def body(self: Any) -> None:
        running.append(self.status.is_running)
        await self.context.stop_event.wait()

    system = alone(parts, body)
    async with create_task_group() as group:
        await group.start(system.run)
        assert system.running
        assert system.components["one"].status.is_running
        await system.stop()
    assert running == [True]


async def test_start_of_a_task_group_raises_what_set_up_raised(parts: SimpleNamespace) -> None:
    class Bad(parts.Stranger):  # type: ignore[misc]
        async def setup(self) -> None:
            raise OSError("no disk")

    system = System()
    system.register_component("bad", Bad())
    async with create_task_group() as group:
        with pytest.raises(SystemFailed, match="no disk"):
            await group.start(system.run)
