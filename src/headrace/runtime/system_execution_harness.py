"""The harness: what users put components into, connect, run and stop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from headrace.exceptions import HarnessAlreadyRunning, HarnessNotRunning
from headrace.model.ledger import SystemLedger
from headrace.model.options import (
    DEFAULT_BUFFER_SIZE,
    Attempts,
    EdgeOptions,
    FanOut,
    KeyFn,
    OutputOptions,
    Timeouts,
    WhenFull,
)
from headrace.model.report import DeadLetter, ShutdownReport
from headrace.model.topology import Topology
from headrace.streams.stream_manager import StreamManager

from .books import Summary, system_ledger
from .dead_letters import DeadLetterStore
from .hosting import hosted
from .run import Run, raise_system_failed
from .statistics import SystemStatistics, take_statistics
from .supervisor import inside
from .wiring import ComponentHandle, Connectable, Connection, Wiring


class SystemExecutionHarness:
    """Runs a system of components: sets them up, runs them in one task group, stops them cleanly.

    Args:
        name: The system's name, for logs and reports.
        buffer_size: The capacity of an edge that says nothing else, in messages.
        setup_timeout: Seconds that one component's set-up may take.
        cleanup_timeout: Seconds that one component's clean-up may take.
        shutdown_timeout: Seconds that a drain may take; what still runs then is cancelled and named.
        source_grace: Seconds that a source has to end by itself when the system stops.
        dead_letter_limit: How many dead letters are kept before the components that fail wait.

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
    ) -> None:
        self.name = name
        self.buffer_size = EdgeOptions(buffer_size).buffer_size
        self.timeouts = Timeouts(setup_timeout, cleanup_timeout, shutdown_timeout, source_grace)
        self.wiring = Wiring()
        self.summary = Summary()
        self._dead_letters = DeadLetterStore(dead_letter_limit)
        self._run: Run | None = None
        self._last: Run | None = None
        self._entered: list[AbstractAsyncContextManager[Any]] = []

    # --- what it holds ---------------------------------------------------------------------------

    @property
    def components(self) -> dict[str, Any]:
        """The registered components, by name."""
        return self.wiring.components

    @property
    def streams(self) -> dict[str, tuple[Any, Any]]:
        """The pair of send and receive stream of each edge, by ``"a.out -> b.in"``."""
        return self.wiring.streams

    @property
    def stream_manager(self) -> StreamManager:
        """The table of the system's open streams; its statistics cover every edge of a run."""
        return self.wiring.stream_manager

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

    @property
    def topology(self) -> Topology:
        """The shape of the graph."""
        return self.wiring.topology()

    def ledger(self) -> SystemLedger:
        """Return the books as they stand now."""
        run = self._run or self._last
        return system_ledger(self.wiring, self.summary, 0 if run is None else run.dead)

    def statistics(self) -> SystemStatistics:
        """Return a snapshot of all components and edges; may be called from any thread."""
        return take_statistics(self.name, self.running, self.wiring)

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return the messages that failed for good, oldest first."""
        return self._dead_letters.letters()

    def discard_dead_letters(self, number: int | None = None) -> int:
        """Forget one dead letter, or all; returns how many. Components that wait for room go on."""
        return self._dead_letters.discard(number)

    # --- wiring ------------------------------------------------------------------------------------

    def register_component(self, name: str, component: Any) -> None:
        """Take a component into the system.

        Args:
            name: Its name in the system.
            component: Any object with ``setup``, ``process`` and ``cleanup``, or a function component.

        Raises:
            ComponentAlreadyRegistered: The name is taken.
            NotAComponentError: A method is missing.
            HarnessAlreadyRunning: A run is under way.
        """
        self.add(name, component)

    def add(
        self, name: str, factory: Any, config: Mapping[str, Any] | None = None, /, **settings: Any
    ) -> ComponentHandle:
        """Make a component from a class or a function and take it into the system.

        Args:
            name: Its name in the system.
            factory: A class called as ``factory(name, config)``, a function, or a finished component.
            config: Its settings as a mapping.
            settings: Its settings by name; they win over ``config``.

        Returns:
            A handle whose attributes are its ports, for ``connect``.

        Raises:
            WiringError: The name is taken, the settings do not fit, or it is no component.
            HarnessAlreadyRunning: A run is under way.
        """
        return self._add(name, factory, {**(config or {}), **settings}, None)

    def _add(
        self, name: str, factory: Any, config: Mapping[str, Any], attempts: Attempts | None
    ) -> ComponentHandle:
        self._refuse_while_running("add a component")
        member = self.wiring.register(name, factory, config, attempts=attempts)
        return ComponentHandle(name, member.component)

    def connect(
        self,
        from_output: Connectable,
        to_input: Connectable,
        *,
        buffer_size: int | None = None,
        when_full: WhenFull = "block",
        copy: bool = False,
    ) -> Connection:
        """Join an output to an input; the same output may go to several inputs, and the other way round.

        Args:
            from_output: ``"component.port"``, a port of a handle, or a component with one output.
            to_input: ``"component.port"``, a port of a handle, or a component with one input.
            buffer_size: The capacity of the edge in messages; the system's where None.
            when_full: ``block``, ``drop_oldest``, ``drop_newest`` or ``error``.
            copy: Whether each message is deep-copied.

        Raises:
            WiringError: An endpoint is unknown, the types do not fit, or the two are connected already.
            HarnessAlreadyRunning: A run is under way.
        """
        self._refuse_while_running("connect")
        size = self.buffer_size if buffer_size is None else buffer_size
        return self.wiring.connect(from_output, to_input, EdgeOptions(size, when_full, copy))

    def spread(self, output: Connectable, fan_out: FanOut, *, key: KeyFn | None = None) -> None:
        """Say how an output with several edges spreads its messages.

        Args:
            output: The output.
            fan_out: ``broadcast`` (each message to all), ``balance`` (to one with room) or ``by_key``.
            key: For ``by_key``: a function of the message; equal keys go to the same edge.
        """
        self._refuse_while_running("change an output")
        self.wiring.spread(output, OutputOptions(fan_out, key))

    def summarize(
        self,
        *,
        taken_in: str | list[str] | None = None,
        given_out: str | list[str] | None = None,
        rejected: str | list[str] | None = None,
    ) -> None:
        """Say which ports the one-line summary counts; what is not said is taken from the graph's shape.

        Args:
            taken_in: Outputs whose messages count as taken in (all sources).
            given_out: Inputs whose acknowledged messages count as given out (all sinks).
            rejected: Outputs whose messages count as rejected (all named ``rejected``).

        Raises:
            WiringError: A port is unknown.
        """
        self.summary = Summary(
            self.wiring.endpoints(taken_in, "output"),
            self.wiring.endpoints(given_out, "input"),
            self.wiring.endpoints(rejected, "output"),
        )

    def _refuse_while_running(self, what: str) -> None:
        if self.running:
            raise HarnessAlreadyRunning(f"{self.name}: cannot {what} during a run; await stop() first")

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
        if self.running:
            raise HarnessAlreadyRunning(f"{self.name} is running already; await stop() first")
        problems = self.wiring.problems()
        if problems:
            raise problems[0]
        self.wiring.open()
        run = self._run = self._last = Run(self, self.timeouts, self._dead_letters)
        try:
            return await run.execute(handle_signals=handle_signals, task_status=task_status)
        finally:
            self._run = None
            run.over.set()

    async def stop(self) -> ShutdownReport | None:
        """Drain the system and wait until it has ended; from within a component, request it and return.

        Returns:
            How the run ended; None where there was none, or from within a component.
        """
        run = self._run
        if run is None:
            return None
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

    async def wait(self) -> ShutdownReport:
        """Wait until the run under way has ended, or return how the last one did.

        Raises:
            HarnessNotRunning: There has been no run.
            SystemFailed: The run failed.
        """
        run = self._run or self._last
        if run is None:
            raise HarnessNotRunning(f"{self.name} has not been run")
        await run.over.wait()
        assert run.report is not None  # whatever happened
        raise_system_failed(run.report)
        return run.report

    def run_blocking(self, *, backend: str = "asyncio", handle_signals: bool = True) -> ShutdownReport:
        """Run the system in an event loop of its own, with its signals; for programs that do nothing else.

        Args:
            backend: ``asyncio`` or ``trio``.
            handle_signals: Whether SIGINT and SIGTERM drain the system.
        """

        async def main() -> ShutdownReport:
            return await self.run(handle_signals=handle_signals)

        return anyio.run(main, backend=backend)

    async def __aenter__(self) -> Self:
        """Start the system; a block around which it runs, and at whose end it is drained.

        A system that fails meanwhile does not cancel the block; its ``SystemFailed`` is raised at the exit.
        """
        manager = hosted(self)
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
