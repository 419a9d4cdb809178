"""One run of a system, from set-up to the report."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio
from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    Event,
    create_task_group,
    current_time,
    get_cancelled_exc_class,
    get_current_task,
)
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from headrace.authoring.context import Context
from headrace.authoring.function_component import FunctionComponent
from headrace.model.component_status import ComponentState
from headrace.model.options import Timeouts
from headrace.model.report import DeadLetter, Failure, Outcome, ShutdownReport
from headrace.model.restart_policy import RestartCounter
from headrace.model.scope import seen_from
from headrace.streams.message_ids import MessageIds

from .books import system_ledger
from .context_calls import ContextCalls
from .dead_letters import DeadLetterStore
from .drain import CycleUnit, Drain
from .driven import root_task, without_groups_of_one
from .fusing import fuse
from .hands import Hands
from .home import Home
from .lifecycle import Lifecycle
from .log import get_logger
from .moving import surviving_listeners
from .pausing import Pausing
from .raising import raise_failures
from .redriving import Redriving
from .renewal import renew
from .resources import Resources
from .restarting import Restarter, Site, restarts_of
from .supervisor import Supervised
from .watch import Watch
from .wiring import Member
from .working_away import give_workers

if TYPE_CHECKING:
    from .system_execution_harness import SystemExecutionHarness
    from .tapping import Tap


class Run:
    """One run of a harness; made by ``run()`` and thrown away after it.

    Args:
        harness: The system to run.
        timeouts: Its deadlines.
        dead_letters: Where messages go that failed for good.
        on_end: Called when it is over.
        redrive: For a run in which sources stay silent: the letters to send once more.
    """

    def __init__(
        self,
        harness: SystemExecutionHarness,
        timeouts: Timeouts,
        dead_letters: DeadLetterStore,
        on_end: Callable[[], None],
        redrive: tuple[DeadLetter, ...] | None = None,
    ) -> None:
        self.over = Event()
        self.began, self.began_at = time.monotonic(), time.time()
        self.report: ShutdownReport | None = None
        self.task_group: TaskGroup | None = None
        self.stop_event = Event()
        self.signal: int | None = None
        self._harness = harness
        self._wiring = harness.wiring
        self._timeouts = timeouts
        self._dead_letters = dead_letters
        self._on_end = on_end
        self._redriving = Redriving(harness.wiring, dead_letters)
        self._to_redrive = redrive
        self.redriven = 0
        self.taps: list[Tap] = []
        self.announced = False
        self.home = Home(harness.name)
        self._log = get_logger(journal=harness.journal, system=harness.name)
        self._lifecycle = Lifecycle(harness, self._context_of, self._log)
        self._resources = Resources(
            harness.wiring.resources.values(), self._log, self._resource_failed, harness
        )
        ids = MessageIds()
        self._new_id = lambda: ids(time.time())
        self._running: dict[str, Supervised] = {}
        self._alive = 0
        self.watch = Watch(harness, self._running, dead_letters, self._lifecycle, self._resources, self.home)
        self._drain = Drain(self._running, timeouts, self._log, self.watch.look_at_deadline)
        self.pausing = Pausing(harness.wiring, self._running, self.stop_event, self._log)
        self._units: dict[str, CycleUnit] = {}
        self._failures: list[Failure] = []
        self._all_ended = Event()
        self._hurry = Event()
        self._outside = copy_context()
        self.restarter: Restarter | None = None
        self._phases = CancelScope()
        self._stop_began: float | None = None
        self._stop_requested = False

    # --- being stopped ---------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Ask for a drain, from any thread or from a signal handler; returns at once.

        Raises:
            HarnessForkedError: This process was forked after the run had begun.
        """
        self.request(self.begin_stop)

    def request(self, what: Callable[[], object]) -> None:
        """Have something done in the event loop, from any thread; what comes too late is only logged."""
        self.home.request(what, self._log)

    def begin_stop(self) -> None:
        """Begin the drain; a second call changes nothing."""
        self._stop_requested = True
        self._begin_drain()

    def _begin_drain(self) -> None:
        if self._stop_began is not None:
            return
        self._stop_began = current_time()
        self.stop_event.set()
        self._hurry.set()
        self._log.info("stopping")
        self.pausing.resume(None)  # so that nothing is left behind
        self._drain.begin()
        if self._all_ended.is_set():
            return  # nothing is left to drain, and the task group may be closed already
        if self.task_group is not None:
            self.task_group.start_soon(self._drain.run, name="drain")
        elif not self._running:
            self._phases.cancel()

    def cut_off(self) -> None:
        """Stop at once: no drain, and little time for clean-up."""
        self._begin_drain()
        self._lifecycle.hurry()
        self._drain.cut_off("at_once")

    async def _watch_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrivals:
            task_status.started()
            async for number in arrivals:
                if self.signal is None:
                    self.signal = int(number)
                    self._log.warning("draining; the same signal again stops at once", signal=number.name)
                    self.begin_stop()
                else:
                    self._log.warning("stopping at once", signal=number.name)
                    self.cut_off()

    # --- the run ----------------------------------------------------------------------------------

    async def execute(
        self, *, handle_signals: bool = False, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> ShutdownReport:
        """Set up, run, drain, clean up, and report.

        Raises:
            SystemFailed: The system did not end well.
        """
        before = root_task.set(get_current_task())
        try:
            with self.watch:
                return await self._execute(handle_signals, task_status)
        finally:
            root_task.reset(before)
            self._end()

    def give_up(self) -> None:
        """Report a run that was cancelled before its first step."""
        self._wiring.release_streams()
        self.report = self._make_report("cancelled", current_time())
        self._end()

    def _end(self) -> None:
        for tap in tuple(self.taps):
            tap.close()
        self._on_end()
        self.over.set()

    async def _execute(self, handle_signals: bool, task_status: TaskStatus[None]) -> ShutdownReport:
        began = current_time()
        outcome: Outcome = "cancelled"
        on_main_thread = threading.current_thread() is threading.main_thread()  # others get no signals
        try:
            async with create_task_group() as watchers:
                watchers.start_soon(self.watch.run, name="watchdog")
                if handle_signals and on_main_thread:
                    await watchers.start(self._watch_signals)
                try:
                    with self._phases:
                        if await self._resources.open(watchers, self._timeouts.setup):
                            await self._phases_of_work(task_status)
                    outcome = "stopped" if self._stop_requested else "finished"
                finally:
                    with CancelScope(shield=True):
                        await self._lifecycle.clean_up(self._timeouts.cleanup)
                        await self._resources.close(self._timeouts.cleanup)
                    watchers.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise without_groups_of_one(group) from None
        finally:
            self._wiring.release_streams()
            self.report = self._make_report(outcome, began)
            self._log.tell_repeats(at_end=True)
            self._log.info("ended", outcome=self.report.outcome, summary=self.report.summary())
        raise_failures(self.report)
        if not self.announced:  # stopped during set-up: whoever waits for the start need not wait on
            task_status.started()
        return self.report

    async def _phases_of_work(self, task_status: TaskStatus[None]) -> None:
        topology = self._wiring.topology()
        members = self._wiring.members
        layers = [[members[name] for name in layer] for layer in topology.layers]
        for endpoint in self._wiring.unconnected_outputs():
            self._log.warning("output is not connected; its messages are discarded", port=str(endpoint))
        for member in members.values():
            self._give_resources(member)
        give_workers(self._wiring, self._timeouts.cleanup)
        if not await self._lifecycle.set_up(layers, self._timeouts.setup):
            return
        try:
            async with create_task_group() as self.task_group:
                await self._start([members[name] for name in topology.downstream_first], topology.cycles)
                self.announced = True
                task_status.started()
                await self._wait_for_all(self.task_group)
        finally:
            self.task_group = None

    def _give_resources(self, member: Member) -> None:
        """Fill the attributes that a component class declares as resources."""
        if not isinstance(member.component, FunctionComponent):
            seen = seen_from(member.name, self._resources.values)
            for name in member.needs:
                setattr(member.component, name, seen.get(name))

    def _resource_failed(self) -> None:
        """Take note that a resource failed while it was in use: nobody can go on without it."""
        self._begin_drain()

    async def _wait_for_all(self, group: TaskGroup) -> None:
        try:
            await self._all_ended.wait()
        except get_cancelled_exc_class():
            for one in self._running.values():
                one.insist()
            raise
        group.cancel_scope.cancel()

    async def _start(self, members: list[Member], cycles: tuple[tuple[str, ...], ...]) -> None:
        """Start all members, downstream first: whoever sends finds its reader there."""
        fuse(self._wiring, enabled=self._harness.fuse)
        assert self.task_group is not None
        self._outside = copy_context()
        self.restarter = self._make_restarter()
        hands, chance = Hands(self._dead_letters), random.random
        for member in members:
            counter = RestartCounter(member.restart, clock=current_time, random=chance)
            one = Supervised(member, self._harness, self, hands, counter, self._log)
            calls = ContextCalls(member.name, self._running, self._dead_letters, self._log)
            hands.take_over(member, calls.dead_letter)
            one.silent = self._to_redrive is not None and member.is_source
            self._running[member.name] = one
        self._alive = len(members)
        self.redriven += self.redrive(self._to_redrive or ())
        for cycle in cycles:
            inlets = [inlet for name in cycle for inlet in self._wiring.members[name].inlets.values()]
            unit = CycleUnit([self._running[n] for n in cycle], [e for inlet in inlets for e in inlet.lanes])
            self._units.update(dict.fromkeys(cycle, unit))
            self.task_group.start_soon(unit.watch, name=f"cycle of {', '.join(cycle)}")
        for member in members:
            with surviving_listeners(self._log, member.name):
                member.status.transition_to(ComponentState.RUNNING)
            self.task_group.start_soon(self._running[member.name].run, name=member.name)
            self._drain.start_clock(self.task_group, self._running[member.name])
            await checkpoint()  # in this order, on trio too
        if not members:
            self._all_ended.set()
        self._log.info("running", components=len(members), edges=len(self._wiring.edges))

    def _make_restarter(self) -> Restarter:
        site = Site(
            running=self._running,
            topology=self._wiring.topology(),
            strategy=self._harness.strategy,
            timeouts=self._timeouts,
            lifecycle=self._lifecycle,
            dead_letters=self._dead_letters,
            renew=self._renew,
            launch=self._launch,
            hurry=self._hurry,
            logger=self._log,
        )
        return Restarter(site)

    def _renew(self, member: Member) -> None:
        renew(self._wiring, member)
        self._give_resources(member)

    def _launch(self, fn: Callable[..., Coroutine[Any, Any, None]], *args: object, name: str) -> None:
        """Start a task; it sees the context variables as they were before any component ran."""
        assert self.task_group is not None
        self._outside.run(partial(self.task_group.start_soon, fn, *args, name=name))

    @property
    def supervised(self) -> Mapping[str, Supervised]:
        """The members that run, or have run, by name."""
        return self._running

    @property
    def draining(self) -> bool:
        """Whether the system is to end."""
        return self._stop_began is not None

    def restart(self, one: Supervised, pause: float) -> None:
        """Have a component live again, after a pause; called in its task, so it must not wait."""
        assert self.restarter is not None
        self.restarter.restart(one, pause)

    def has_ended(self, one: Supervised) -> None:
        """Take note of a member's end; runs in its task, so it must not wait."""
        if one.forced_at:
            self._drain.name(one, f"{one.forced_at}, which swallows cancellation")
        if one.error is not None:
            self._failures += one.failures
            self._begin_drain()
        if one.member.name in self._units:
            self._units[one.member.name].stir()
        self._wiring.release_ended(one.member)
        self._alive -= 1
        if not self._alive:
            self._all_ended.set()

    def redrive(self, letters: Iterable[DeadLetter]) -> int:
        """Put letters back on the edges they came by, where the reader has not ended; returns how many."""
        number = self._redriving.redrive(letters)
        if number:
            self._log.info("redriven", letters=number)
        return number

    # --- the result --------------------------------------------------------------------------------

    def _make_report(self, outcome: Outcome, began: float) -> ShutdownReport:
        now = current_time()
        failures = (*self._resources.failures, *self._failures, *self._lifecycle.failures)
        ledger = system_ledger(self._wiring, self._harness.summary, self.dead)
        for wrong in ledger.disagreements():
            self._log.error(f"the ledger does not close: {wrong}", where=wrong.where, by=wrong.by)
        return ShutdownReport(
            system=self._harness.name,
            outcome="failed" if failures and outcome != "cancelled" else outcome,
            signal=self.signal,
            seconds=now - began,
            drain_seconds=0.0 if self._stop_began is None else now - self._stop_began,
            failures=failures,
            overruns=(*self._drain.overruns, *self._lifecycle.overruns, *self._resources.overruns),
            ledger=ledger,
            dead_letters=self._redriving.letters(),
            restarts=restarts_of(self._running.values(), self._lifecycle.between_lives),
            deadlocks=tuple(map(str, self.watch.unresolved)),
        )

    @property
    def first_failure(self) -> Failure | None:
        """The first thing that went wrong; None while nothing has."""
        return next(iter((*self._resources.failures, *self._failures, *self._lifecycle.failures)), None)

    @property
    def dead(self) -> int:
        """How many messages have died in this run, also those whose letters were discarded."""
        return self._redriving.dead

    def _context_of(self, member: Member) -> Context:
        calls = ContextCalls(member.name, self._running, self._dead_letters, self._log)
        again = {"restart": calls.restarts} if calls.restarts else {}
        return Context(
            name=member.name,
            system=self._harness.name,
            config=getattr(member.component, "config", {}),
            logger=self._log.bind(component=member.name, **again).telling(member.about_hand),
            stop_event=self.stop_event,
            resources=MappingProxyType(seen_from(member.name, self._resources.values)),
            spawn=calls.spawn,
            report_status=calls.report_status,
            dead_letter=calls.dead_letter,
            new_id=self._new_id,
            restarts=calls.restarts,
        )


__all__ = ["Run"]
