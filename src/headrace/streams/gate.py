"""What stands in the way of messages while a component is paused, in the place of edges.

A paused input reads from an edge on which there is never anything, a paused output waits for room on one that
is never free: both are things that the usual ways look at anyway, so that a pause costs them nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from headrace.model.options import EdgeOptions

from .edge import Edge, Waiter


@dataclass(frozen=True, slots=True)
class _Nothing:
    """An edge, as a reader sees it, from which nothing comes and that does not end."""

    sender_ended: bool = False
    store: tuple[()] = ()
    stored: int = 0
    pending: tuple[()] = ()

    @property
    def outlet(self) -> _Nothing:
        """Its other end, at which nothing is pending."""
        return self

    def pending_for(self, edge: object) -> int:
        """Count what is pending."""
        return 0


NOTHING_TO_READ = cast("list[Edge[Any]]", [_Nothing()])
"""What a paused input reads from."""


_NO_ROOM = EdgeOptions(buffer_size=1)


@dataclass(eq=False, slots=True)
class Gate:
    """Where the senders of a paused output wait; it has the parts of an edge that they look at.

    Attributes:
        name: The output.
        blocked: The tasks that wait, first come first.
        is_open: Whether they may go on.
    """

    name: str
    blocked: list[Waiter] = field(default_factory=list)
    options: EdgeOptions = _NO_ROOM
    is_open: bool = False

    @property
    def key(self) -> str:
        """What a sender waits for, in words."""
        return f"{self.name} (paused)"

    def look_after_senders(self) -> None:
        """Wake the next one, once it is open: one after the other, so that they go on in their order."""
        if self.is_open and self.blocked and not self.blocked[0].served:
            self.blocked[0].serve()

    def open(self) -> None:
        """Let those who wait go on."""
        self.is_open = True
        self.look_after_senders()


__all__ = ["NOTHING_TO_READ", "Gate"]
