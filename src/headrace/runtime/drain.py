"""The one way a run ends: sources stop, the end travels downstream, and deadlines name who did not.

Cycles are the one place where no end arrives by itself; ``CycleUnit`` sees when one has come to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from headrace.model.options import Timeouts
from headrace.model.report import Overrun
from headrace.streams.edge import AnyEdge

from .supervisor import Supervised

_LOOK_AGAIN = 0.03  # seconds; longer each time, up to one second


class CycleUnit:
    """A strongly connected part of the graph, which ends as one.

    When its outside inputs have ended and all its members wait to receive with nothing buffered or in
    hand, nothing can ever happen in it again: its inner edges end together.

    Args:
        members: The running members of the cycle.
        edges: All edges that lead into them.
    """

    def __init__(self, members: Iterable[Supervised], edges: Iterable[AnyEdge]) -> None:
        self._members = list(members)
        outlets = {id(out) for one in self._members for out in one.member.outlets.values()}
        into = list(edges)
        self._inner = [edge for edge in into if id(edge.outlet) in outlets]
        self._outer = [edge for edge in into if id(edge.outlet) not in outlets]
        self._stirred = anyio.Event()
        for one in self._members:
            one.on_task_end = self.stir
            for inlet in one.member.inlets.values():
                inlet.on_idle = self.stir

    def stir(self) -> None:
        """Have a look soon; called whenever a member begins to wait, and when a sender or a task ends."""
        if self._is_quiet():
            self._stirred.set()

    async def watch(self) -> None:
        """Wait until the cycle has come to rest for good, and end its inner edges.

        Where it rests while batches are gathered that nothing will be added to, these come first.
        """
        await self._wait_for_rest()
        inlets = [inlet for one in self._members for inlet in one.member.inlets.values()]
        while sum(inlet.complete_batches() for inlet in inlets):
            await self._wait_for_rest()
        for edge in self._inner:
            edge.end_sender()

    async def _wait_for_rest(self) -> None:
        pause = _LOOK_AGAIN
        while not self._at_rest():
            # What settles or drops a message, or ends a task we do not know, does not stir: look again anyway.
            with anyio.move_on_after(pause) as waiting:
                await self._stirred.wait()
            pause = min(1.7 * pause, 1) if waiting.cancelled_caught else _LOOK_AGAIN
            self._stirred = anyio.Event()
            await checkpoint()  # whoever was woken goes first

    def is_cut_off(self) -> bool:
        """Whether nothing can come from outside any more."""
        return all(edge.sender_ended and not edge.buffered for edge in self._outer)

    def _is_quiet(self) -> bool:
        return self.is_cut_off() and not any(edge.buffered for edge in self._inner)

    def _at_rest(self) -> bool:
        return self._is_quiet() and all(one.rests or not one.alive for one in self._members)


class Drain:
    """Stops a running system, once.

    Args:
        running: The running members, by name.
        timeouts: The deadlines.
        logger: For what happens.
        before_cut: Called when the deadline has come, before anything is cancelled.
    """

    def __init__(
        self,
        running: Mapping[str, Supervised],
        timeouts: Timeouts,
        logger: Any,
        before_cut: Callable[[], None] = lambda: None,
    ) -> None:
        self._before_cut = before_cut
        self._running = running
        self._timeouts = timeouts
        self._logger = logger
        self._began = anyio.current_time()
        self._has_begun = anyio.Event()
        self._overruns: dict[str, Overrun] = {}
        self._cut: set[str] = set()
        self._since: dict[str, float] = {}

    @property
    def overruns(self) -> tuple[Overrun, ...]:
        """Who did not end by itself."""
        return tuple(self._overruns.values())

    def begin(self) -> None:
        """Let the time that everybody has run from now on."""
        self._began = anyio.current_time()
        self._has_begun.set()

    def start_clock(self, group: TaskGroup, one: Supervised) -> None:
        """Keep the time of a component that has a deadline of its own."""
        seconds = one.member.stop_timeout
        if seconds is not None:
            group.start_soon(self._keep_time, one, seconds, name=f"stop_timeout of {one.member.name}")

    async def _keep_time(self, one: Supervised, seconds: float) -> None:
        """Cancel and name a component that takes too long after its inputs have ended; the others go on."""
        if one.member.is_source:
            await self._has_begun.wait()
        else:
            await _end_of_inputs(one)
        began = await _end_of_time(one, seconds)
        if one.alive:
            self.name(one, one.awaiting, deadline="stop_timeout", began=began)
            one.cancel("deadline")

    async def run(self) -> None:
        """Let sources end, then everything downstream; cancel and name what is left at the deadline."""
        deadline = self._began + self._timeouts.shutdown
        # Sources that are cancelled after their grace need time to end, and so does what is downstream.
        await anyio.sleep(min(self._timeouts.source_grace, self._timeouts.shutdown / 2))
        for one in self._running.values():
            if one.alive and one.member.is_source:
                one.cancel("grace")
        await anyio.sleep_until(deadline)
        self.cut_off()

    def cut_off(self, deadline: str = "shutdown_timeout") -> None:
        """Name everything that still runs and what it waits for, and cancel it; once each, however often asked."""
        late = [one for one in self._running.values() if one.alive and one.member.name not in self._cut]
        self._cut.update(one.member.name for one in late)
        if late:
            self._before_cut()
        # Whoever can only be roused by a message waits for one of the others: those are named first.
        for one in sorted(late, key=lambda one: one.rests):
            self.name(one, one.awaiting, deadline=deadline)
        for one in late:
            one.cancel("deadline")

    def name(
        self,
        one: Supervised,
        awaiting: str,
        *,
        deadline: str = "shutdown_timeout",
        began: float | None = None,
    ) -> None:
        """Enter a component among those that did not end by themselves; what is known last counts.

        Args:
            one: The component.
            awaiting: What it waits for.
            deadline: The setting by which its time was up.
            began: When its time began to run; with the drain where None.
        """
        name = one.member.name
        since = self._since.setdefault(name, self._began if began is None else began)
        left = {
            ledger.edge: ledger.remaining
            for inlet in one.member.inlets.values()
            for ledger in (edge.ledger() for edge in inlet.lanes)
            if ledger.remaining
        }
        if name in self._overruns:  # cut off by its own deadline already, and still not gone
            deadline, left = self._overruns[name].deadline, dict(self._overruns[name].left)
        after = anyio.current_time() - since
        self._overruns[name] = Overrun(name, "process", after, awaiting, deadline, MappingProxyType(left))
        self._logger.error("drain overran", component=name, awaiting=awaiting, deadline=deadline, left=left)


async def _end_of_time(one: Supervised, seconds: float) -> float:
    """Wait so long; a pause that reaches beyond that lets the time begin anew. Returns when it has begun."""
    while True:
        began = anyio.current_time()
        await anyio.sleep(seconds)
        if not one.member.paused:
            return began
        while one.member.paused:  # noqa: ASYNC110 - nobody is told of the end of a pause
            await anyio.sleep(_LOOK_AGAIN)


async def _end_of_inputs(one: Supervised) -> None:
    """Return when nothing more will be sent to a component; it may have messages yet."""
    inlets = [inlet for inlet in one.member.inlets.values() if inlet.lanes]
    ended = anyio.Event()

    def look() -> None:
        if all(inlet.all_ended or inlet.ended for inlet in inlets):
            ended.set()

    for inlet in inlets:
        inlet.on_sender_end = look
    look()
    await ended.wait()


__all__ = ["CycleUnit", "Drain"]
