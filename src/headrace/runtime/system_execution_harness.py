"""The harness: what users put components into, connect, run and stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from headrace.exceptions import HarnessAlreadyRunning, HarnessError, HarnessNotRunning
from headrace.model.ledger import SystemLedger
from headrace.model.options import DEFAULT_BUFFER_SIZE, Timeouts, Watching
from headrace.model.report import Crash, DeadLetter, ShutdownReport
from headrace.model.restart_policy import RestartPolicy, Strategy, When, check_strategy

from .books import system_ledger
from .controlling import restart_some, stop_some, wait_ended
from .health import SystemHealth, ask_all, health_of
from .hosting import Host, hosted, in_event_loop
from .pausing import members_of
from .raising import raise_system_failed
from .run import Run
from .statistics import Looked, SystemStatistics, take_statistics
from .supervisor import inside
from .system_looks import SystemLooks


class SystemExecutionHarness(SystemLooks):
    """Runs a system of components: sets them up, runs them in one task group, stops them cleanly.

    Args:
        name: The system's name, for logs and reports.
        buffer_size: The capacity of an edge that says nothing else, in messages.
        setup_timeout: Seconds that one component's set-up may take.
        cleanup_timeout: Seconds that one component's clean-up may take.
        shutdown_timeout: Seconds that a drain may take; what still runs then is cancelled and named.
        source_grace: Seconds that a source has to end by itself when the system stops.
        dead_letter_limit: How many dead letters are kept before the components that fail wait.
        fuse: Whether linear runs of synchronous functions may work in one task.
        restart: When components are restarted that do not say so themselves: ``never`` where None.
        strategy: Who is restarted with a component that failed: ``one_for_one``, nobody else; ``rest_for_one``, all
            downstream of it; ``one_for_all``, all.
        stall_after: Seconds for which a component may keep others waiting until that is told; None or 0 for never.
        blocked_after: Seconds for which the event loop may be kept from turning, likewise; a thread watches it.

    Raises:
        ConfigError: A number does not fit.
    """

    def __init__(
        self,
        name: str = "system",
        *,
        buffer_size: int = DEFAULT_BUFFER_SIZE,
        setup_timeout: float = 30.0,
        cleanup_timeout: float = 5.0,
        shutdown_timeout: float = 5.0,
        source_grace: float = 0.5,
        dead_letter_limit: int = 10_000,
        fuse: bool = True,
        restart: RestartPolicy | When | None = None,
        strategy: Strategy = "one_for_one",
        stall_after: float | None = 1.0,
        blocked_after: float | None = 0.5,
    ) -> None:
        super().__init__(name, buffer_size, restart, dead_letter_limit)
        self.strategy = check_strategy(strategy)
        self.timeouts = Timeouts(setup_timeout, cleanup_timeout, shutdown_timeout, source_grace)
        self.fuse = fuse
        self.watching = Watching(
            0 if stall_after is None else stall_after, 0 if blocked_after is None else blocked_after
        )
        self._run: Run | None = None
        self._last: Run | None = None
        self._entered: list[AbstractAsyncContextManager[Any]] = []

    # --- what it holds ---------------------------------------------------------------------------

    @property
    def task_group(self) -> TaskGroup | None:
        """The task group in which the components run; None while they do not."""
        return None if self._run is None else self._run.task_group

    @property
    def running(self) -> bool:
        """Whether a run is under way, from the call of ``run()`` to its return."""
        return self._run is not None

    @property
    def stopping(self) -> bool:
        """Whether the run under way has begun to stop; may be read from any thread."""
        return self._run is not None and self._run.stop_event.is_set()

    @property
    def report(self) -> ShutdownReport | None:
        """How the last run ended; None before the first end."""
        return None if self._last is None else self._last.report

    def ledger(self) -> SystemLedger:
        """Return the books as they stand now."""
        run = self._run or self._last
        return system_ledger(self.wiring, self.summary, 0 if run is None else run.dead)

    def statistics(self) -> SystemStatistics:
        """Return a snapshot of all components and edges; may be called from any thread."""
        run, last = self._run, self._run or self._last
        return take_statistics(Looked(self.name, run, last, self.wiring, self.summary, self._dead_letters))

    def last_crash(self, name: str) -> Crash | None:
        """Return the last crash of a component in this run, or the last; listeners of its status may ask."""
        run = self._run or self._last
        one = None if run is None else run.supervised.get(name)
        return None if one is None else one.crash

    def health(self) -> SystemHealth:
        """Return whether the system is ready to work, and if not why; may be called from any thread."""
        return health_of(self.name, self._run, self.report, self.wiring)

    async def check_health(self, timeout: float = 2.0) -> SystemHealth:
        """Return what ``health()`` does, after asking all components for their ``health_check()``.

        One that raises, or has not answered in ``timeout`` seconds, is not well, and is named.
        """
        told = await ask_all(self.wiring, timeout)
        return health_of(self.name, self._run, self.report, self.wiring, told)

    # --- running -----------------------------------------------------------------------------------

    async def run(
        self,
        *,
        handle_signals: bool = False,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> ShutdownReport:
        """Run the system until it has finished by itself or was stopped.

        Args:
            handle_signals: Whether SIGINT and SIGTERM drain the system (the second one stops it at once).
            task_status: For ``await task_group.start(harness.run)``: started when all components run.

        Returns:
            How it ended, with the books.

        Raises:
            HarnessAlreadyRunning: A run is under way.
            WiringError: A required input is not connected; nothing was set up.
            SystemFailed: A component failed; the first error is its cause.
        """
        return await self._begin().execute(handle_signals=handle_signals, task_status=task_status)

    def _begin(self, redrive: tuple[DeadLetter, ...] | None = None) -> Run:
        if self._run is not None:
            self._run.home.refuse_elsewhere()
            raise HarnessAlreadyRunning(f"{self.name} is running already; await stop() first")
        problems = self.wiring.problems()
        if problems:
            raise problems[0]
        self.wiring.open()
        self._run = self._last = Run(self, self.timeouts, self._dead_letters, self._has_ended, redrive)
        for watcher in self.watchers:
            watcher.run_begins(self.wiring)
        return self._run

    def _has_ended(self) -> None:
        for watcher in self.watchers:
            watcher.run_ends()
        self._run = None

    async def start(self) -> None:
        """Start the system and return once all its components run; ``stop()`` or ``wait()`` ends that.

        It runs in a task of its own in this event loop, for programs with no block to put it around: cells of a
        notebook, start-up hooks. Where there is a block, ``async with system`` is the better way.

        Raises:
            HarnessAlreadyRunning: A run is under way.
            WiringError: A required input is not connected; nothing was set up.
            SystemFailed: A component failed while the system was starting.
        """
        await Host(self._begin(), self.name).start()

    async def stop(self) -> ShutdownReport | None:
        """Drain the system and wait until it has ended; from within a component, request it and return.

        Returns:
            How the run ended; None where there was none, or from within a component.
        """
        run = self._run
        if run is None:
            return None
        run.home.refuse_elsewhere()
        run.begin_stop()
        if any(harness is self for harness in inside.get()):
            return None
        await run.over.wait()
        return run.report

    def request_stop(self) -> None:
        """Ask for a drain and return at once; from any thread, and from signal handlers."""
        run = self._run
        if run is not None:
            run.request_stop()

    async def pause(self, name: str | None = None) -> None:
        """Pause a component, or the whole system, and wait until what was in hand is finished.

        Messages wait on the edges, and neighbours see nothing but full or empty ones; a source is held at its
        next send. Pausing twice is pausing once. A component that restarts stays paused; ``stop()`` resumes all,
        so that it can drain. Cancelling this leaves the pause as it is. From within a component it only asks.

        Args:
            name: The component: all its replicas, or one of them by its own name; everything where None.

        Raises:
            HarnessNotRunning: No run is under way, or it is stopping.
            UnknownComponentError: There is no such component.
            ComponentEndedError: The component has ended for good.
        """
        run = self._running_run("pause")
        members = run.pausing.pause(name)
        if not any(harness is self for harness in inside.get()):
            await run.pausing.rest(members)

    async def resume(self, name: str | None = None) -> None:
        """Let a paused component, or everything that is paused, go on; nothing happens if nothing is.

        Args:
            name: The component; everything where None, also what was paused by its name.

        Raises:
            HarnessNotRunning: No run is under way.
            UnknownComponentError: There is no such component.
        """
        self._running_run("resume").pausing.resume(name)

    async def restart_component(self, name: str) -> None:
        """End the life of a component and begin its next one, and wait until it runs again.

        It is cleaned up, made anew where its class makes it, set up and started, as after a crash; its edges stay,
        what it had in hand comes again, and its restart policy counts nothing. The system's ``strategy`` says who
        goes along. From within a component it only asks.

        Args:
            name: The component: all its replicas, or one of them by its own name.

        Raises:
            HarnessNotRunning: No run is under way, or it is starting or stopping.
            UnknownComponentError: There is no such component.
            ComponentEndedError: The component has ended for good.
        """
        begun = restart_some(self._running_run("restart"), self.wiring, name)
        if not any(harness is self for harness in inside.get()):
            for over in begun:
                await over.wait()

    async def stop_component(self, name: str) -> None:
        """Let a component finish what has arrived and end for good, and wait until it has; the others go on.

        Its outputs end, and with that everything downstream that has no other sender; whoever sent to nobody but it
        ends as well. From within a component it only asks.

        Args:
            name: The component: all its replicas, or one of them by its own name.

        Raises:
            HarnessNotRunning: No run is under way, or it is starting or stopping.
            UnknownComponentError: There is no such component.
            ComponentEndedError: The component has ended for good.
        """
        ending = stop_some(self._running_run("stop"), self.wiring, name)
        if not any(harness is self for harness in inside.get()):
            await wait_ended(ending)

    def request_pause(self, name: str | None = None) -> None:
        """Ask for a pause and return at once; from any thread. A run that is stopping by then is not paused.

        Raises:
            UnknownComponentError: There is no such component.
        """
        self._request(name, lambda run: run.pausing.pause(name))

    def request_resume(self, name: str | None = None) -> None:
        """Ask to go on and return at once; from any thread.

        Raises:
            UnknownComponentError: There is no such component.
        """
        self._request(name, lambda run: run.pausing.resume(name))

    def _request(self, name: str | None, what: Callable[[Run], object]) -> None:
        members_of(self.wiring, name)
        run = self._run
        if run is not None:
            run.request(lambda: what(run))

    def _running_run(self, what: str) -> Run:
        run = self._run
        if run is None:
            raise HarnessNotRunning(
                f"{self.name} does not run, so there is nothing to {what}: `await system.start()` first"
            )
        run.home.refuse_elsewhere()
        return run

    async def wait(self) -> ShutdownReport:
        """Wait until the run under way has ended, or return how the last one did.

        Raises:
            HarnessNotRunning: There has been no run.
            SystemFailed: The run failed.
        """
        run = self._run or self._last
        if run is None:
            raise HarnessNotRunning(f"{self.name} has not been run")
        if run is self._run:
            run.home.refuse_elsewhere()
        await run.over.wait()
        assert run.report is not None  # whatever happened
        raise_system_failed(run.report)
        return run.report

    async def _redrive(self, letters: Iterable[DeadLetter]) -> int:
        if self._run is not None:
            self._run.home.refuse_elsewhere()
            return self._run.redrive(letters)
        wanted = tuple(letters)
        if not wanted:
            return 0
        run = self._begin(redrive=wanted)
        await run.execute()
        return run.redriven

    def _repr_html_(self) -> str:
        """Return the drawn graph, for notebooks."""
        from headrace.model.graph_svg import draw_svg

        from .picture import picture_of

        return draw_svg(picture_of(self))

    def to_yaml(self) -> str:
        """Return the system as a blueprint, where everything in it has an importable name.

        Raises:
            NotSerializableSystemError: Something has none; the error lists all of it.
        """
        from .to_blueprint import to_yaml

        return to_yaml(self)

    def run_blocking(self, *, backend: str = "asyncio", handle_signals: bool = True) -> ShutdownReport:
        """Run the system in an event loop of its own, with its signals; for programs that do nothing else.

        Args:
            backend: ``asyncio`` or ``trio``.
            handle_signals: Whether SIGINT and SIGTERM drain the system.

        Raises:
            HarnessError: An event loop runs in this thread already, as in a notebook.
        """
        if in_event_loop():
            raise HarnessError(
                f"{self.name}: an event loop runs here already; `await system.run()`, or `await system.start()`"
            )

        async def main() -> ShutdownReport:
            return await self.run(handle_signals=handle_signals)

        return anyio.run(main, backend=backend)

    async def __aenter__(self) -> Self:
        """Start the system; a block around which it runs, and at whose end it is drained.

        A system that fails meanwhile does not cancel the block; its ``SystemFailed`` is raised at the exit.
        """
        manager = hosted(self._begin(), self.name)
        await manager.__aenter__()
        self._entered.append(manager)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self._entered.pop().__aexit__(exc_type, exc_val, exc_tb)

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<{type(self).__name__} {self.name!r} {state}, {len(self.components)} components>"


System = SystemExecutionHarness

__all__ = ["System", "SystemExecutionHarness"]
