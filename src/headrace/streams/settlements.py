"""What became of the messages that an output has sent, told to who has sent them: once every edge is done with one.

A source that takes from a broker acknowledges there no sooner. Messages are plain objects that nobody wraps:
they are known by their identity, so each has to be an object of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from headrace.exceptions import ConfigError

from .edge import GIVEN_UP, READER_ENDED, AnyEdge, Settlement
from .manual_stream import UNACKNOWLEDGED
from .watched_store import hear, hear_no_more

if TYPE_CHECKING:
    from .outlet import AnyOutlet

UNDONE = frozenset({GIVEN_UP, READER_ENDED, UNACKNOWLEDGED})
"""The reasons for which a message leaves an edge although nobody has done with it what was to be done."""


class _Sent:
    """A message on its way: on which edges it still is, and whether one of them has lost it."""

    __slots__ = ("lost", "message", "places", "token")

    def __init__(self, message: object, token: Any) -> None:
        self.message = message  # which keeps its identity from being another's
        self.token = token
        self.places: list[AnyEdge] = []
        self.lost = False


class Settlements:
    """Hears of what an output has sent and the readers have settled.

    A message is done once it is acknowledged, put away as a dead letter or dropped by a policy, on every edge
    that it went by. It is undone where its reader has ended without that. What is still buffered is neither.

    Args:
        outlet: The output.
        told: Called with the tokens of messages, and whether they are done; it must not wait.

    Raises:
        ConfigError: An edge copies its messages, so that nobody knows them again.
    """

    def __init__(self, outlet: AnyOutlet, told: Callable[[list[Any], bool], None]) -> None:
        for edge in outlet.lanes:
            if edge.options.copy:
                raise ConfigError(
                    f"{edge.key} copies its messages, and the server could not be told what was acknowledged",
                    hint="leave `copy` out on this edge",
                )
        self._outlet = outlet
        self._told = told
        self._sent: dict[int, _Sent] = {}
        self._edges = list(outlet.lanes)
        for edge in self._edges:
            hear(edge, self)

    def __len__(self) -> int:
        """Return how many messages are on their way."""
        return len(self._sent)

    def expect(self, message: object, token: Any) -> None:
        """Take note of a message that is about to be sent; it must be an object of its own.

        Args:
            message: The message.
            token: What ``told`` is called with.
        """
        self._sent[id(message)] = _Sent(message, token)

    def sent(self, messages: Iterable[object]) -> None:
        """Take note that messages were sent: what is on no edge now was dropped by a policy, so it is done."""
        self._outlet.flush()
        here = [self._sent.get(id(message)) for message in messages]
        self._tell([one for one in here if one is not None and not one.places], done=True)

    def close(self) -> list[Any]:
        """Hear nothing more; returns the tokens of what is neither done nor undone."""
        for edge in self._edges:
            hear_no_more(edge, self)
        left = [one.token for one in self._sent.values()]
        self._sent.clear()
        return left

    # --- told by the stores of the edges -----------------------------------------------------------------

    def stored(self, edge: AnyEdge, messages: Iterable[object]) -> None:
        """Take note of messages that an edge has accepted."""
        for message in messages:
            one = self._sent.get(id(message))
            if one is not None:
                one.places.append(edge)

    def settled(self, edge: AnyEdge, messages: Iterable[object], outcome: Settlement, reason: str) -> None:
        """Take note of what became of messages on an edge; it may be told so twice."""
        undone = outcome != "acknowledged" and reason in UNDONE
        finished = []
        for message in messages:
            one = self._sent.get(id(message))
            if one is not None and edge in one.places:
                one.places.remove(edge)
                one.lost = one.lost or undone
                if not one.places:
                    finished.append(one)
        self._tell([one for one in finished if not one.lost], done=True)
        self._tell([one for one in finished if one.lost], done=False)

    def _tell(self, some: Sequence[_Sent], *, done: bool) -> None:
        if not some:
            return
        for one in some:
            del self._sent[id(one.message)]
        self._told([one.token for one in some], done)


__all__ = ["UNDONE", "Settlements"]
