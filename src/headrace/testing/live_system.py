"""A whole system, running in a test: what is sent anywhere in it, what comes out anywhere, and what it waits for.

Every port is tapped, so that nothing of what moved is missed; nothing is added to the graph itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, NoReturn

import anyio
from anyio import ClosedResourceError, Event, create_task_group, current_time, get_cancelled_exc_class
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from headrace.exceptions import NoMessageError, PortEndedError, ReaderEndedError, SystemFailed, UnsettledError
from headrace.model.component_status import ComponentState
from headrace.model.endpoint import Endpoint
from headrace.model.ledger import SystemLedger
from headrace.model.report import DeadLetter, ShutdownReport
from headrace.runtime.replicas import edges_of_target
from headrace.runtime.system_execution_harness import SystemExecutionHarness
from headrace.streams.edge import AnyEdge

from ._records import Records
from ._stand_ins import StandIn
from ._stillness import Stillness, passive

State = Literal["done", "over", "still"]

LONGEST_WAIT = 5.0
"""Seconds that a test waits for something that is at work, where it says nothing else."""

_ROUNDS = 3  # turns of the loop without any movement, before the tasks are looked at
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02


class LiveSystem:
    """A system under test while it runs; made by ``run_system``.

    Args:
        harness: The system.
        timeout: Seconds that a call waits while something is still at work.
    """

    def __init__(self, harness: SystemExecutionHarness, *, timeout: float = LONGEST_WAIT) -> None:
        self.harness = harness
        self.timeout = timeout
        self._host = _Host(harness)
        self._records = Records(harness.wiring)
        self._letters_before = len(harness.dead_letters())
        self._stillness = Stillness()

    # --- sending ---------------------------------------------------------------------------------

    async def send(self, port: str, *messages: Any) -> None:
        """Send messages, as if a component had: at an output to all it is connected to, at an input only there.

        Args:
            port: ``component.port``, or a component with one port.
            messages: What to send, in this order.

        Raises:
            WiringError: There is no such port.
            PortEndedError: Nothing can go through the port any more.
            NoMessageError: The edge is full, and nobody will make room.
        """
        endpoint, direction = self._records.find(port)
        for message in messages:
            if direction == "output":
                await self._send_from(endpoint, message)
            else:
                await self._put(endpoint, message)

    async def _send_from(self, endpoint: Endpoint, message: Any) -> None:
        outlets = self.harness.wiring.outlets(str(endpoint))
        outlet = next((one for one in outlets if not one.ended), None)
        if outlet is None:
            await self._refuse(str(endpoint))
        handle = outlet.open()

        def is_sent() -> bool:
            try:
                handle.send_nowait(message)
            except anyio.WouldBlock:
                return False
            return True

        try:
            await self._until_room(is_sent, str(endpoint))
        except (ReaderEndedError, ClosedResourceError):
            await self._refuse(str(endpoint))
        finally:
            handle.close()

    async def _put(self, endpoint: Endpoint, message: Any) -> None:
        members = self.harness.wiring.members_of(endpoint.component)
        lanes = [edge for member in members for edge in member.inlets[endpoint.port].lanes]

        def edges() -> list[AnyEdge]:
            return edges_of_target(lanes, message)

        await self._until_room(lambda: not any(edge.holds_back for edge in edges()), str(endpoint))
        chosen = edges()
        if not chosen:
            await self._refuse(str(endpoint))
        for edge in chosen:
            edge.append(message)
            edge.outlet.sent += 1  # as if its sender had sent it there alone, or its books would not close
        self._records.stirred()

    async def _until_room(self, done: Callable[[], bool], port: str) -> None:
        state = await self.until(done, f"room on {port}")
        if state == "over":
            await self._refuse(port)
        if state == "still":
            raise NoMessageError(f"{port} is full, and nothing at work will make room")

    async def _refuse(self, port: str) -> NoReturn:
        """Raise what a system that is failing fails with, or else that a port has ended."""
        await self.fail_if_failing()
        raise PortEndedError(
            f"{port} takes no messages any more: what sent there, or what received, has ended; "
            "replace a source by None to keep it open"
        )

    async def fail_if_failing(self) -> None:
        """Raise what the system fails with, once it has ended; nothing if no component has crashed.

        Raises:
            SystemFailed: It has failed.
        """
        parts = self.harness.statistics().components.values()  # once it is cleaned up, its state says no more
        if any(one.failed or one.state is ComponentState.ERROR for one in parts):
            await self.until(lambda: False, "the system to end")
        self.raise_failure()

    # --- what came -------------------------------------------------------------------------------

    async def next(self, port: str) -> Any:
        """Return the next message at a port that was not returned before.

        Args:
            port: An output, or an input (then: received by the component).

        Raises:
            WiringError: There is no such port.
            NoMessageError: None is there, and none will come; known at once, without waiting.
            SystemFailed: The system has failed, and none is there.
            UnsettledError: Something is still at work after the time-out; it says what.
        """
        endpoint, direction = self._records.find(port)
        record = self._records.of(endpoint, direction)
        state = await self.until(lambda: record.has_next, f"a message at {endpoint}")
        if state == "done":
            return record.take_next()
        self.raise_failure()
        why = "the system has ended" if state == "over" else "nothing is at work"
        seen = f"{record.count} came" if record.count else "none ever came"
        raise NoMessageError(f"no further message at {endpoint}: {why} ({seen}){self._dead()}")

    def sent(self, output: str) -> list[Any]:
        """Return all messages that an output has sent so far."""
        return self._records.of(self._records.output(output), "output").messages()

    def received(self, input: str) -> list[Any]:
        """Return all messages that a component has received at an input so far."""
        return self._records.of(self._records.input(input), "input").messages()

    async def settle(self) -> None:
        """Wait until nothing moves: every component waits for a message, or the system has ended.

        Raises:
            SystemFailed: The system has failed.
            UnsettledError: Something is still at work after the time-out; it says what.
        """
        await self.until(lambda: False, "the system to settle")
        self.raise_failure()

    # --- the end ---------------------------------------------------------------------------------

    async def finish(self) -> ShutdownReport:
        """End what stands in for sources, and wait until the system has ended by itself.

        Raises:
            SystemFailed: The system has failed.
            UnsettledError: It has not ended: something is still at work, or waits for a source that does not end.
        """
        self.release()
        state = await self.until(lambda: False, "the system to end")
        if state != "over":
            waiting = ", ".join(self._stillness.at_rest())
            raise UnsettledError(f"the system has not ended, and nothing is at work: {waiting}")
        self.raise_failure()
        assert self.report is not None
        return self.report

    def release(self) -> None:
        """Let what stands in for sources end."""
        for component in self.harness.components.values():
            if isinstance(component, StandIn):
                component.released.set()

    async def stop(self) -> ShutdownReport:
        """Drain the system.

        Raises:
            SystemFailed: The system has failed.
        """
        await self.harness.stop()
        await self._host.over.wait()
        self.raise_failure()
        assert self.report is not None
        return self.report

    # --- looking -----------------------------------------------------------------------------------

    @property
    def report(self) -> ShutdownReport | None:
        """How the run has ended; None before its end."""
        return self.harness.report if self._host.over.is_set() else None

    @property
    def failure(self) -> SystemFailed | None:
        """The error with which the system has failed; read here, it is not raised at the end of the test."""
        self._host.is_seen = True
        return self._host.failed if isinstance(self._host.failed, SystemFailed) else None

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The messages that have failed for good in this test."""
        return self.harness.dead_letters()[self._letters_before :]

    def ledger(self) -> SystemLedger:
        """Return the books as they stand now."""
        return self.harness.ledger()

    @property
    def has_failed(self) -> bool:
        """Whether the system has failed; asking does not count as looking at it."""
        return self._host.failed is not None

    def raise_failure(self) -> None:
        """Raise what the system has failed with, if it has."""
        if self._host.failed is not None:
            self._host.is_seen = True
            raise self._host.failed

    def _dead(self) -> str:
        letters = self.dead_letters
        if not letters:
            return ""
        last = letters[-1]
        return f"; {last.component} gave up on {last.message!r}: {type(last.error).__name__}: {last.error}"

    # --- waiting -----------------------------------------------------------------------------------

    @passive(lambda local: local["before"] == local["self"]._records.moves)
    async def until(self, done: Callable[[], bool], what: str) -> State:
        """Wait until something is so, or cannot become so any more.

        Args:
            done: Whether it is so.
            what: What is waited for, for the error.

        Returns:
            ``done``, or ``over`` where the system has ended, or ``still`` where nothing is at work.

        Raises:
            UnsettledError: Something is still at work after the time-out.
        """
        deadline = current_time() + self.timeout
        pause, before = _FIRST_PAUSE, self._records.moves
        while True:
            before = self._records.moves
            at_work = await self._look(done)
            if isinstance(at_work, str):
                return at_work
            if current_time() > deadline:
                who = ", ".join(sorted(set(at_work or self._stillness.at_work()))) or "messages keep moving"
                raise UnsettledError(f"waited {self.timeout:g} s for {what}, and it is still at work: {who}")
            if self._records.moves != before:
                pause = _FIRST_PAUSE
            await self._records.wait_moment(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    async def _look(self, done: Callable[[], bool]) -> State | list[str]:
        """Look at the state of things, twice where nothing is at work: what was just woken has its turn between."""
        at_work: list[str] = []
        for _ in range(2):
            for _ in range(_ROUNDS):
                if done():
                    return "done"
                if self._host.over.is_set():
                    return "done" if done() else "over"
                before = self._records.moves
                await checkpoint()
                if self._records.moves != before:
                    return at_work
            at_work = self._stillness.at_work()
            if at_work:
                return at_work
        return "done" if done() else "over" if self._host.over.is_set() else "still"

    # --- being run ---------------------------------------------------------------------------------

    async def start(self, group: TaskGroup) -> None:
        """Run the system in a task group; it runs, or has ended, when this returns."""
        self._records.attach()
        group.start_soon(self._host.run, name=f"test of {self.harness.name}")
        await self._host.ready.wait()

    async def end(self) -> None:
        """Drain the system if it still runs, and take the taps off."""
        try:
            await self.harness.stop()
            await self._host.over.wait()
        finally:
            self._records.detach()

    def raise_unseen(self) -> None:
        """Raise what has gone wrong and was not told yet.

        Raises:
            SystemFailed: The system has failed.
            UnsettledError: A component did not end in time.
        """
        if not self._host.is_seen:
            self.raise_failure()
        report = self.harness.report
        if self._host.failed is None and report is not None and report.overruns:
            raise UnsettledError("; ".join(map(str, report.overruns)))


class _Host(TaskStatus[None]):
    """Runs the system beside the test; ``ready`` is set once it runs, or never will."""

    def __init__(self, harness: SystemExecutionHarness) -> None:
        self.ready = Event()
        self.over = Event()
        self.failed: Exception | None = None
        self.is_seen = False
        self._harness = harness

    def started(self, value: None = None) -> None:
        self.ready.set()

    async def run(self) -> None:
        try:
            await self._harness.run(task_status=self)
        except get_cancelled_exc_class():
            raise
        except Exception as error:
            self.failed = error
        finally:
            self.over.set()
            self.ready.set()


@asynccontextmanager
async def hosting(live: LiveSystem, *, at_end: Callable[[], None] | None = None) -> AsyncIterator[None]:
    """Run a system around a block; what goes wrong in either is raised as it is, not in a group.

    Args:
        live: The system.
        at_end: Called when the block has ended, before the system is drained.
    """
    body_error: BaseException | None = None
    async with create_task_group() as group:
        await live.start(group)
        if not live.has_failed:
            try:
                yield
            except get_cancelled_exc_class():
                raise
            except BaseException as error:
                body_error = error
        if at_end is not None:
            at_end()
        await live.end()
    if body_error is None:
        live.raise_unseen()
        return
    failure = live.failure
    if failure is not None and failure is not body_error:
        body_error.add_note(f"the system has failed too: {failure}")
    raise body_error


__all__ = ["LONGEST_WAIT", "LiveSystem", "State", "hosting"]
