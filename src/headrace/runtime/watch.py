"""All that is watched of one run: who waits for whom, what is set up and cleaned up slowly, and the event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from headrace.model.options import Watching
from headrace.model.trouble import Deadlock, LoopBlock, SlowStep, Trouble
from headrace.streams.pace import use_loop_clock

from .dead_letters import DeadLetterStore
from .failing import Failing
from .home import Home
from .lifecycle import Lifecycle
from .log import get_logger
from .loop_watch import LoopWatch
from .resources import Resources
from .supervisor import Supervised
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .system_execution_harness import SystemExecutionHarness

STEPS = 5
"""A set-up or clean-up may take this many times as long as a stall before it is told, and half of its deadline."""


class Watch:
    """Watches one run; a context manager around it.

    Args:
        harness: The system.
        running: Its running members, by name.
        dead_letters: Where messages go that failed for good.
        lifecycle: Sets its members up and cleans them up.
        resources: Opens and closes what they share.
        home: The event loop.

    Attributes:
        clock: Gives the seconds of the event loop; may be called in any thread.
        failing: Knows which components only fail.
    """

    def __init__(
        self,
        harness: SystemExecutionHarness,
        running: Mapping[str, Supervised],
        dead_letters: DeadLetterStore,
        lifecycle: Lifecycle,
        resources: Resources,
        home: Home,
    ) -> None:
        logger = get_logger(journal=harness.journal, system=harness.name)
        options: Watching = harness.watching
        self.clock = harness.journal.steady = home.clock
        self._after = options.stall_after
        self._lifecycle = lifecycle
        self._resources = resources
        self._timeouts = harness.timeouts
        self.failing = Failing(harness.wiring, running)
        self._dog: Watchdog | None = None
        if options.stall_after:
            self._dog = Watchdog(
                harness.wiring,
                running,
                dead_letters,
                self._slow_steps,
                self.failing,
                options,
                self.clock,
                logger,
            )
        self._loop: LoopWatch | None = None
        if options.blocked_after:
            self._loop = LoopWatch(harness, running, options.blocked_after, home, logger)

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What is wrong, as of the last look."""
        return () if self._dog is None else self._dog.troubles

    @property
    def blocked(self) -> LoopBlock | None:
        """Who blocks the event loop now."""
        return None if self._loop is None else self._loop.blocked

    @property
    def unresolved(self) -> tuple[Deadlock, ...]:
        """The deadlocks that there were at the deadline of the drain."""
        return () if self._dog is None else self._dog.unresolved

    def look_at_deadline(self) -> None:
        """Take note of the deadlocks that there are before everything is cancelled."""
        if self._dog is not None:
            self._dog.look_at_deadline()

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        if self._dog is not None:
            await self._dog.run()

    def __enter__(self) -> Self:
        use_loop_clock(self.clock)
        if self._loop is not None:
            self._loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.stop()

    def _slow_steps(self) -> Iterator[SlowStep]:
        setup = min(STEPS * self._after, self._timeouts.setup / 2)
        cleanup = min(STEPS * self._after, self._timeouts.cleanup / 2)
        yield from self._resources.slow_steps(setup, cleanup)
        yield from self._lifecycle.slow_steps(setup, cleanup)


__all__ = ["STEPS", "Watch"]
