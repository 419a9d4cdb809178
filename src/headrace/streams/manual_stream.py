"""A handle with manual acknowledgement: what was received stays in hand until it is acknowledged by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from headrace.exceptions import InputEndedError

from .edge import Waiter
from .hand import ManualHand
from .receive_stream import EdgeReceiveStream

if TYPE_CHECKING:
    from .inlet import Inlet

T = TypeVar("T")


class ManualReceiveStream(EdgeReceiveStream[T]):
    """A handle whose messages are acknowledged by ``ack`` alone.

    It takes no more than may be in hand, so that per message it does what a usual handle does.

    Attributes:
        max_unacked: How many messages may be in hand; whoever receives beyond that waits for an ``ack``.
    """

    __slots__ = ("_for_room", "max_unacked")

    def __init__(self, inlet: Inlet[T], max_unacked: int) -> None:
        super().__init__(inlet, ManualHand())
        self.max_unacked = max_unacked
        self._for_room: list[Waiter] = []

    @property
    def is_at_work(self) -> bool:
        """Whether something in hand goes on, although its component only waits: who would acknowledge it?"""
        return self._gathers

    @property
    def room(self) -> int:
        """How many more messages may be in hand."""
        gathered = sum(len(piece.messages) for batch in self.gathered for piece in batch.pieces)
        return self.max_unacked - len(self._hand.held()) - gathered

    async def next_chunk(self, take: Callable[[], bool]) -> None:
        """Have a chunk with at least one message; waits first where too many are in hand."""
        has_taken = False

        def take_or_stop() -> bool:
            nonlocal has_taken
            if self.room > 0:
                has_taken = take()
                return has_taken
            if self.inlet.hungry and self.inlet.has_stored:  # we have no use for what we were woken for
                self.inlet.wake()
            return True

        while not has_taken:
            while self.room <= 0:
                await self.wait_for_ack()
            await super().next_chunk(take_or_stop)

    def _take(self, at_most: int | None = None) -> bool:
        room = self.room
        if room <= 0:
            return False
        has_taken = super()._take(min(at_most or self._usual_size(), room))
        if (
            has_taken and self.inlet.exhausted
        ):  # other handles may wait for room, and nothing will come any more
            for handle in self.inlet.handles:
                handle.look_again()
        return has_taken

    async def wait_for_ack(self) -> None:
        """Wait until a message in hand is settled.

        Raises:
            ClosedResourceError: This handle is closed.
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        self._check_open()
        if self.inlet.exhausted:
            raise InputEndedError(f"{self.inlet.name}: every sender has ended")
        waiter = Waiter()
        self._for_room.append(waiter)
        try:
            await waiter.wait()
        finally:
            self._for_room.remove(waiter)

    def what_for(self) -> str:
        """Say for people what ``wait_for_ack`` waits for."""
        return f"an ack() on {self.inlet.name}: {self.max_unacked} are unacknowledged (max_unacked)"

    def look_again(self) -> None:
        """Let those have a look who wait for room in hand."""
        for waiter in self._for_room:
            waiter.serve()

    def _has_settled(self) -> None:
        self.look_again()
        super()._has_settled()

    def finish(self) -> None:
        """Settle what is in hand of a component that has ended: it has not said that it is done with it."""
        self.settle("dropped", UNACKNOWLEDGED)

    def shut(self) -> None:
        """Refuse further calls, and those that wait; the port's end is not touched."""
        super().shut()
        self.look_again()


UNACKNOWLEDGED = "unacknowledged"
"""Why a message counts as dropped that a component left in hand when it ended by itself."""

__all__ = ["UNACKNOWLEDGED", "ManualReceiveStream"]
