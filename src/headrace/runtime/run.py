"""One run of a system, from set-up to the report."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CancelScope, Event, create_task_group, current_time
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import current_token

from headrace.authoring.context import Context
from headrace.exceptions import SystemFailed
from headrace.model.component_status import ComponentState
from headrace.model.options import Timeouts
from headrace.model.report import Failure, Outcome, ShutdownReport

from .books import system_ledger
from .dead_letters import DeadLetterStore
from .drain import CycleUnit, Drain
from .lifecycle import Lifecycle
from .log import get_logger
from .supervisor import Supervised
from .wiring import Member

if TYPE_CHECKING:
    from .system_execution_harness import SystemExecutionHarness

_HASTY_CLEANUP = 0.5


class Run:
    """One run of a harness; made by ``run()`` and thrown away after it.

    Args:
        harness: The system to run.
        timeouts: Its deadlines.
        dead_letters: Where messages go that failed for good.
    """

    def __init__(
        self, harness: SystemExecutionHarness, timeouts: Timeouts, dead_letters: DeadLetterStore
    ) -> None:
        self.over = Event()
        self.report: ShutdownReport | None = None
        self.failure: BaseException | None = None
        self.task_group: TaskGroup | None = None
        self.stop_event = Event()
        self.signal: int | None = None
        self._harness = harness
        self._wiring = harness.wiring
        self._timeouts = timeouts
        self._dead_letters = dead_letters
        self._log = get_logger(system=harness.name)
        self._native_token: Any = current_token().native_token
        self._lifecycle = Lifecycle(self._context_of, self._log)
        self._running: dict[str, Supervised] = {}
        self._drain = Drain(self._running, timeouts, self._log)
        self._units: list[CycleUnit] = []
        self._failures: list[Failure] = []
        self._fatal: BaseException | None = None
        self._all_ended = Event()
        self._phases = CancelScope()
        self._cleaning: CancelScope | None = None
        self._cut_off = False
        self._stop_began: float | None = None
        self._stop_requested = False

    # --- being stopped ---------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Ask for a drain, from any thread or from a signal handler; returns at once."""
        schedule: Callable[..., object] = (
            getattr(self._native_token, "call_soon_threadsafe", None) or self._native_token.run_sync_soon
        )
        try:
            schedule(self.begin_stop)
        except RuntimeError as error:  # the loop has just ended, and the run with it
            self._log.debug("stop came too late", error=str(error))
        except Exception as error:
            if type(error).__name__ != "RunFinishedError":
                raise
            self._log.debug("stop came too late", error=str(error))

    def begin_stop(self) -> None:
        """Begin the drain; a second call changes nothing."""
        self._stop_requested = True
        self._begin_drain()

    def _begin_drain(self) -> None:
        if self._stop_began is not None:
            return
        self._stop_began = current_time()
        self.stop_event.set()
        self._log.info("stopping")
        if self._running and self.task_group is not None:
            self.task_group.start_soon(self._drain.run, name="drain")
        else:
            self._phases.cancel()

    def cut_off(self) -> None:
        """Stop at once: no drain, and little time for clean-up."""
        self._begin_drain()
        self._cut_off = True
        if self._cleaning is not None:
            self._cleaning.cancel()
        self._drain.cut_off()
        if not self._running:
            self._phases.cancel()

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

    async def execute(self, *, handle_signals: bool, task_status: TaskStatus[None]) -> ShutdownReport:
        """Set up, run, drain, clean up, and report.

        Raises:
            SystemFailed: The system did not end well.
        """
        began = current_time()
        outcome: Outcome = "cancelled"
        try:
            async with create_task_group() as watchers:
                if handle_signals:
                    await watchers.start(self._watch_signals)
                try:
                    with self._phases:
                        await self._phases_of_work(task_status)
                    outcome = self._outcome()
                finally:
                    await self._clean_up()
                    watchers.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise (group.exceptions[0] if len(group.exceptions) == 1 else group) from None
        finally:
            self.report = self._make_report(outcome, began)
            self._log.info("ended", outcome=self.report.outcome, summary=self.report.summary())
        return self._result(self.report)

    async def _phases_of_work(self, task_status: TaskStatus[None]) -> None:
        topology = self._wiring.topology()
        members = self._wiring.members
        layers = [[members[name] for name in layer] for layer in topology.layers]
        if not await self._lifecycle.set_up(layers, self._timeouts.setup):
            return
        async with create_task_group() as group:
            self.task_group = group
            self._start([members[name] for name in topology.downstream_first], topology.cycles)
            task_status.started()
            await self._all_ended.wait()
            group.cancel_scope.cancel()

    def _start(self, members: list[Member], cycles: tuple[tuple[str, ...], ...]) -> None:
        """Start all members, downstream first: whoever sends finds its reader there."""
        assert self.task_group is not None
        for member in members:
            one = Supervised(member, self._harness, self._dead_letters, self._has_ended, self._log)
            self._running[member.name] = one
        for cycle in cycles:
            into = [
                edge for name in cycle for i in self._wiring.members[name].inlets.values() for edge in i.lanes
            ]
            self._units.append(CycleUnit([self._running[name] for name in cycle], into))
        for member in members:
            member.status.transition_to(ComponentState.RUNNING)
            self.task_group.start_soon(self._running[member.name].run, name=member.name)
        if not members:
            self._all_ended.set()
        self._log.info("running", components=len(members), edges=len(self._wiring.edges))

    def _has_ended(self, one: Supervised) -> None:
        """Take note of a member's end; runs in its task, so it must not wait."""
        if one.verdict == "crashed":
            assert one.error is not None
            self._failures.append(Failure(one.member.name, "process", one.error))
            if not isinstance(one.error, Exception) and self._fatal is None:
                self._fatal = one.error
            self._begin_drain()
        for unit in self._units:
            unit.look()
        if not any(other.alive for other in self._running.values()):
            self._all_ended.set()

    async def _clean_up(self) -> None:
        timeout = min(self._timeouts.cleanup, _HASTY_CLEANUP) if self._cut_off else self._timeouts.cleanup
        with CancelScope(shield=True) as self._cleaning:
            await self._lifecycle.clean_up(timeout)

    # --- the result --------------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        if self._failures or self._lifecycle.failures:
            return "failed"
        return "stopped" if self._stop_requested else "finished"

    def _make_report(self, outcome: Outcome, began: float) -> ShutdownReport:
        now = current_time()
        letters = self._dead_letters.letters()
        failures = (*self._failures, *self._lifecycle.failures)
        return ShutdownReport(
            system=self._harness.name,
            outcome="failed" if failures and outcome != "cancelled" else outcome,
            signal=self.signal,
            seconds=now - began,
            drain_seconds=0.0 if self._stop_began is None else now - self._stop_began,
            failures=failures,
            overruns=(*self._drain.overruns, *self._lifecycle.overruns),
            ledger=system_ledger(self._wiring, self._harness.summary, len(letters)),
            dead_letters=letters,
        )

    def _result(self, report: ShutdownReport) -> ShutdownReport:
        if self._fatal is not None:
            raise self._fatal
        if not report.failures:
            return report
        first = report.failures[0]
        more = len(report.failures) - 1
        also = f" (and {more} more)" if more else ""
        errors = [failure.error for failure in report.failures]
        raise SystemFailed(f"{report.system}: {first}{also}", errors=errors, report=report) from first.error

    def _context_of(self, member: Member) -> Context:
        name = member.name

        def spawn(fn: Callable[..., Any], *args: object, **options: Any) -> None:
            if name not in self._running:
                raise RuntimeError(f"{name}: spawn() works while the component runs: call it from process()")
            self._running[name].spawn(fn, *args, **options)

        async def dead_letter(message: object, error: BaseException, *, attempts: int, edge: str) -> None:
            self._log.warning(
                "message dead-lettered", component=name, edge=edge, attempts=attempts, error=str(error)
            )
            await self._dead_letters.put(name, message, error, attempts=attempts, edge=edge)

        resources: Mapping[str, Any] = MappingProxyType({})
        return Context(
            name=name,
            system=self._harness.name,
            config=getattr(member.component, "config", {}),
            logger=self._log.bind(component=name),
            random=random.Random(),
            stop_event=self.stop_event,
            resources=resources,
            spawn=spawn,
            report_status=lambda text: self._log.info("status", component=name, text=text),
            dead_letter=dead_letter,
        )


__all__ = ["Run"]
