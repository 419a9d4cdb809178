"""One component restarted, or ended for good, by somebody who looks after the system, while the others go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from headrace.exceptions import ComponentEndedError, HarnessNotRunning

from .pausing import members_of
from .supervisor import Supervised
from .wiring import Wiring

if TYPE_CHECKING:
    from .run import Run


def restart_some(run: Run, wiring: Wiring, name: str) -> list[anyio.Event]:
    """End the life of a component, and begin the next; of all its replicas, where it has some.

    Nothing is lost: what it had in hand is first in line for the next life, and its policy counts no restart. One
    that waits for its restart already just goes on with that.

    Returns:
        Events that are set when it runs again, or has ended for good.

    Raises:
        HarnessNotRunning: The system is starting, or stopping.
        UnknownComponentError: There is no such component.
        ComponentEndedError: It has ended for good.
    """
    found = _found(run, wiring, name, "restart")
    assert run.restarter is not None  # somebody runs
    return [run.restarter.renew(one).over for one in found if one.between is None]


def stop_some(run: Run, wiring: Wiring, name: str) -> list[Supervised]:
    """Let a component finish what has arrived, and end; of all its replicas, where it has some.

    A source is ended as at a stop of the system. Of another one the inputs end: whoever sends to nobody else then
    ends too. A pause of it ends, so that it can finish.

    Returns:
        Those that are ending.

    Raises:
        HarnessNotRunning: The system is starting, or stopping.
        UnknownComponentError: There is no such component.
        ComponentEndedError: It has ended for good.
    """
    found = _found(run, wiring, name, "stop")
    run.pausing.resume(name)
    for one in found:
        _stop(one)
    return found


def _stop(one: Supervised) -> None:
    lanes = [edge for inlet in one.member.inlets.values() for edge in inlet.lanes]
    if lanes:
        for edge in lanes:
            edge.end_sender()
    elif one.between is not None and not one.lives:
        one.between.cut_off(one)
    else:
        one.cancel("grace")


async def wait_ended(ending: Sequence[Supervised]) -> None:
    """Wait until components have ended for good."""
    pause = 0.001
    while any(one.alive for one in ending):
        await anyio.sleep(pause)
        pause = min(1.7 * pause, 0.05)


def _found(run: Run, wiring: Wiring, name: str, what: str) -> list[Supervised]:
    members = list(members_of(wiring, name))
    if run.draining:
        raise HarnessNotRunning(f"cannot {what} {name}: the system is stopping")
    running = [run.supervised.get(member.name) for member in members]
    if any(one is None for one in running):
        raise HarnessNotRunning(f"cannot {what} {name}: the system is starting")
    found = [one for one in running if one is not None and one.alive]
    if not found:
        raise ComponentEndedError(f"{name} has ended; there is nothing to {what}", component=name)
    return found


__all__ = ["restart_some", "stop_some", "wait_ended"]
