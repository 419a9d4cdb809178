"""The one way a run ends: sources stop, the end travels downstream, and a deadline names who did not.

Cycles are the one place where no end arrives by itself; ``CycleUnit`` sees when one has come to rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import anyio

from headrace.model.options import Timeouts
from headrace.model.report import Overrun
from headrace.streams.edge import AnyEdge

from .supervisor import Supervised


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
        self._ended = False
        for one in self._members:
            for inlet in one.member.inlets.values():
                inlet.on_idle = self.look

    def look(self) -> None:
        """End the inner edges if the cycle has come to rest; called whenever a member begins to wait."""
        if self._ended or not self._at_rest():
            return
        self._ended = True
        for edge in self._inner:
            edge.end_sender()

    def _at_rest(self) -> bool:
        if any(edge.buffer for edge in self._inner):
            return False
        if not all(edge.sender_ended and not edge.buffer for edge in self._outer):
            return False
        return all(not one.alive or _waits_to_receive(one) for one in self._members)


def _waits_to_receive(one: Supervised) -> bool:
    inlets = one.member.inlets.values()
    return any(inlet.hungry for inlet in inlets) and all(inlet.idle for inlet in inlets)


class Drain:
    """Stops a running system, once.

    Args:
        running: The running members, by name.
        timeouts: The deadlines.
        logger: For what happens.
    """

    def __init__(self, running: Mapping[str, Supervised], timeouts: Timeouts, logger: Any) -> None:
        self._running = running
        self._timeouts = timeouts
        self._logger = logger
        self.overruns: list[Overrun] = []

    async def run(self) -> None:
        """Let sources end, then everything downstream; cancel and name what is left at the deadline."""
        deadline = anyio.current_time() + self._timeouts.shutdown
        grace = min(self._timeouts.source_grace, self._timeouts.shutdown)
        await anyio.sleep(grace)
        for one in self._running.values():
            if one.alive and one.member.is_source:
                one.cancel("grace")
        await anyio.sleep_until(deadline)
        self.cut_off()

    def cut_off(self) -> None:
        """Name everything that still runs and what it waits for, and cancel it."""
        for name, one in self._running.items():
            if one.alive and not one.stopping:
                overrun = Overrun(name, "process", self._timeouts.shutdown, one.awaiting)
                self.overruns.append(overrun)
                self._logger.error("drain overran", component=name, awaiting=overrun.awaiting)
        for one in self._running.values():
            if one.alive:
                one.cancel("deadline")


__all__ = ["CycleUnit", "Drain"]
