"""Pause and resume: what a component has in hand is finished, and nothing more is handed to it.

A pause is a thing of the ports, which outlive a component's crashes, so a paused component that restarts stays
paused. The ports make it look like an empty input and a full output: see ``streams/gate.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anyio

from headrace.exceptions import ComponentEndedError, HarnessNotRunning, UnknownComponentError
from headrace.model.endpoint import did_you_mean

from .supervisor import Supervised
from .wiring import Member, Wiring

_LOOK_AGAIN = 0.001  # seconds; longer each time, up to a twentieth of a second


class Pausing:
    """Pauses the components of one run.

    Args:
        wiring: The system.
        running: The members that run or have run, by name.
        stop_event: Set when the drain begins, in which nothing may be paused.
        logger: For what happens.
    """

    def __init__(
        self, wiring: Wiring, running: Mapping[str, Supervised], stop_event: anyio.Event, logger: Any
    ) -> None:
        self._wiring = wiring
        self._running = running
        self._stop_event = stop_event
        self._logger = logger

    def pause(self, name: str | None) -> list[Member]:
        """Pause a component, or all that have not ended; returns those that are paused now.

        Raises:
            HarnessNotRunning: The system is stopping.
            UnknownComponentError: There is no such component.
            ComponentEndedError: It has ended for good, so that there is nothing to hold.
        """
        if self._stop_event.is_set():
            raise HarnessNotRunning(f"cannot pause {name or 'the system'}: it is stopping, and drains")
        wanted = members_of(self._wiring, name)
        members = [member for member in wanted if self._has_work(member)]
        if not members and name is not None:
            raise ComponentEndedError(f"{name} has ended; there is nothing to pause", component=name)
        for member in members:
            if not member.paused:
                _close(member)
                self._logger.info("paused", component=member.name)
        return members

    def resume(self, name: str | None) -> None:
        """Let a component go on, or all; nothing happens to those that are not paused.

        Raises:
            UnknownComponentError: There is no such component.
        """
        for member in members_of(self._wiring, name):
            if member.paused:
                _open(member)
                self._logger.info("resumed", component=member.name)

    async def rest(self, members: Sequence[Member]) -> None:
        """Wait until paused components have finished what they had in hand, or are not paused any more."""
        pause = _LOOK_AGAIN
        while any(member.paused and self._is_at_work(member) for member in members):
            await anyio.sleep(pause)
            pause = min(1.7 * pause, 0.05)

    def _has_work(self, member: Member) -> bool:
        one = self._running.get(member.name)
        return one is None or one.alive

    def _is_at_work(self, member: Member) -> bool:
        """Whether it has something in hand that it can finish: not only wait to receive, or for who is paused."""
        if not self._has_work(member):
            return False
        handles = [handle for inlet in member.inlets.values() for handle in inlet.handles]
        busy = sum(handle.has_hand and not handle.closed and not handle.waiters for handle in handles)
        lanes = [edge for outlet in member.outlets.values() for edge in outlet.lanes]
        held = {waiter for edge in lanes if edge.inlet.paused for waiter in edge.blocked}
        return busy > len(held)


def members_of(wiring: Wiring, name: str | None) -> Iterable[Member]:
    """Return the members behind a name: a component, all its replicas, or one of them; all where it is None.

    Raises:
        UnknownComponentError: There is no such component.
    """
    if name is None:
        return list(wiring.members.values())
    if wiring.get(name) is None:
        raise UnknownComponentError(
            f"no component is named '{name}'", hint=did_you_mean(name, wiring.registered)
        )
    return wiring.members_of(name)


def _close(member: Member) -> None:
    for inlet in member.inlets.values():
        if inlet.lanes:
            inlet.pause()
    if member.is_source:
        for outlet in member.outlets.values():
            outlet.pause()


def _open(member: Member) -> None:
    for inlet in member.inlets.values():
        inlet.resume()
    for outlet in member.outlets.values():
        outlet.resume()


__all__ = ["Pausing", "members_of"]
