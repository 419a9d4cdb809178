"""Looks at the messages of a running system, for people and tools: some of them, and samples as they go by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from headrace.authoring.handles import Connectable, Emits

from .collecting import collect
from .journal import LogEntry
from .system_letters import SystemLetters
from .tapping import Tap, Where

if TYPE_CHECKING:
    from .run import Run

M = TypeVar("M")


class SystemLooks(SystemLetters):
    """A system whose messages can be looked at; ``SystemExecutionHarness`` can run it as well."""

    @overload
    async def collect(self, output: Emits[M], n: int = 1, *, timeout: float | None = None) -> list[M]: ...

    @overload
    async def collect(
        self, output: Connectable, n: int = 1, *, timeout: float | None = None
    ) -> list[Any]: ...

    async def collect(self, output: Connectable, n: int = 1, *, timeout: float | None = None) -> list[Any]:
        """Return the next messages that a running component sends; they go their usual way as well.

        Args:
            output: The output: ``"component.port"``, a port of a handle, or a component with one output.
            n: How many; fewer come back where the run ends before.
            timeout: Seconds after which what has come until then is returned.

        Raises:
            HarnessNotRunning: No run is under way.
            WiringError: There is no such output.
        """
        run = self._running_run("collect")
        return await collect(run, self.wiring.outlets(output), n, timeout)

    def tap(
        self, what: Connectable, *, n: int | None = None, where: Where | None = None, size: int = 100
    ) -> Tap:
        """Return a tap: samples of the messages that go by, until the edge or the run ends.

        ``async with system.tap("parse.out") as tap: async for record in tap: print(record.value)``. It never slows
        the system by more than a few hundredths: what it has no time to look at it lets go by, and counts
        (``tap.counts``). Of an output with several readers each message is seen once.

        Args:
            what: An output, an input, a component with one of them, or an edge as ``"a.out -> b.in"``.
            n: After how many records it closes itself; None for never.
            where: Which messages are wanted: a condition as ``"v > 3 and name.startswith('a')"`` (see
                ``model.expression``), or a function of the message.
            size: How many records wait at most to be read; while there are so many, messages go by.

        Raises:
            HarnessNotRunning: No run is under way.
            WiringError: There is nothing of that name, or nothing is connected to it.
            ConfigError: A number does not fit.
        """
        return Tap(self._running_run("tap"), what, self.wiring, n=n, where=where, size=size)

    def logs(
        self, *, after: int = 0, n: int | None = None, component: str | None = None, level: str = "debug"
    ) -> tuple[LogEntry, ...]:
        """Return the recent records of the system and its components, oldest first; from any thread.

        The latest thousand are kept, from ``info`` on, whatever the program's logging shows. Of many that are
        alike a component has the first few, and then how many more there were.

        Args:
            after: Only those with larger numbers: the number of the last one that was seen.
            n: How many at most: the latest ones.
            component: Only those about it.
            level: The least level.
        """
        return self.journal.entries(after=after, n=n, component=component, level=level)

    def _running_run(self, what: str) -> Run:
        """Return the run under way."""
        raise NotImplementedError


__all__ = ["SystemLooks"]
