"""Which of several targets a message goes to: the edges of an output, and groups of edges that share the work.

A group is one target of its output, however many edges it has: the replicas of a component are one. What is
here only chooses; nothing moves, so that a sender that has to wait has reached nobody.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from typing import ClassVar, Generic, TypeVar

from headrace.model.options import OutputOptions

from .edge import Edge

T = TypeVar("T")
_BROADCAST = OutputOptions()
_64_BITS = (1 << 64) - 1


class Spread(Generic[T]):
    """Targets, and how messages spread over them.

    Attributes:
        options: Whether each message goes to all of them, to one with room, or to that of its key.
        targets: Edges, and groups of edges; a key keeps its target, so none is ever taken out.
        alive: Those that have not ended.
    """

    __slots__ = ("alive", "options", "targets")
    _salt: ClassVar[int] = 0

    def __init__(self, options: OutputOptions | None = None) -> None:
        self.options = options or _BROADCAST
        self.targets: list[Edge[T] | Group[T]] = []
        self.alive: list[Edge[T] | Group[T]] = []

    def refresh(self) -> None:
        """Find out anew which targets have ended."""
        for target in self.targets:
            if isinstance(target, Group):
                target.refresh()
        self.alive = [target for target in self.targets if not target.ended]

    @property
    def has_key(self) -> bool:
        """Whether a function of the user's chooses, here or in a group."""
        groups = (target for target in self.targets if isinstance(target, Group))
        return self.options.key is not None or any(group.has_key for group in groups)

    @property
    def accepted(self) -> int:
        """How many messages went to the targets."""
        return sum(target.accepted for target in self.targets)

    @property
    def copies(self) -> int:
        """To how many edges a message may go."""
        each = [target.copies if isinstance(target, Group) else 1 for target in self.targets]
        return sum(each) if self.options.fan_out == "broadcast" else max(each, default=0)

    # --- where a message goes ------------------------------------------------------------------------

    def choose(self, item: T) -> list[Edge[T]]:
        """Return the edges that a message goes to as things are; some may have no room."""
        how = self.options.fan_out
        if how == "broadcast":
            return [edge for target in self.alive for edge in _choose(target, item)]
        if how == "by_key":
            return _choose(self._target_of(item), item)
        return self._next_with_room(item)

    def _target_of(self, item: T) -> Edge[T] | Group[T]:
        assert self.options.key is not None
        number = _mixed(_digest(self.options.key(item)) ^ self._salt)
        return self.targets[number * len(self.targets) >> 64]

    def _next_with_room(self, item: T) -> list[Edge[T]]:
        """Choose the next target with room; without any, rather one to wait for than one that drops.

        Whose turn it is follows from how many messages were accepted: a message that waits takes no turn.
        """
        alive = self.alive or self.targets
        first = self.accepted % len(alive)
        to_wait_for = otherwise = None
        for target in (*alive[first:], *alive[:first]):
            chosen = _choose(target, item)
            if not any(edge.full for edge in chosen):
                return chosen
            if to_wait_for is None and any(edge.holds_back for edge in chosen):
                to_wait_for = chosen
            otherwise = otherwise or chosen
        return to_wait_for or otherwise or []

    # --- who has to wait -----------------------------------------------------------------------------

    def room_for(self, item: T) -> list[Edge[T]]:
        """Return the full edges of which any one having room makes it worth to try a message again."""
        how = self.options.fan_out
        if how == "balance":
            return [edge for target in self.alive for edge in _room_for(target, item)]
        if how == "by_key":
            return _room_for(self._target_of(item), item)
        chosen = [(target, _choose(target, item)) for target in self.alive]
        holding = [target for target, edges in chosen if any(edge.holds_back for edge in edges)]
        full = [target for target, edges in chosen if any(edge.full for edge in edges)]
        return _room_for((holding or full)[0], item)

    def queue(self) -> list[Edge[T]]:
        """Return edges on which others wait for room, and behind whom any message has to queue up; or none."""
        if self._is_keyed or not any(target.blocked for target in self.targets):
            return []
        if self.options.fan_out == "balance":
            return self.edges()
        return next((edges for target in self.targets if (edges := _queue(target))), [])

    @property
    def _is_keyed(self) -> bool:
        """Whether which edge matters depends on the message."""
        how = self.options.fan_out
        inner = any(isinstance(target, Group) and target._is_keyed for target in self.targets)
        return how == "by_key" or (how == "balance" and inner)

    def edges(self) -> list[Edge[T]]:
        """Return all edges that have not ended."""
        return [edge for target in self.alive for edge in _edges(target)]


class Group(Spread[T]):
    """Several edges that are one target of an output."""

    __slots__ = ()
    _salt = 21  # else all keys that an output deals to this group by key would share a few of its edges

    @property
    def ended(self) -> bool:
        """Whether nothing can go through any of them any more."""
        return not self.alive

    @property
    def blocked(self) -> bool:
        """Whether a sender waits for room on any of them."""
        return any(target.blocked for target in self.targets)


def _choose(target: Edge[T] | Group[T], item: T) -> list[Edge[T]]:
    return [target] if isinstance(target, Edge) else target.choose(item)


def _room_for(target: Edge[T] | Group[T], item: T) -> list[Edge[T]]:
    return [target] if isinstance(target, Edge) else target.room_for(item)


def _edges(target: Edge[T] | Group[T]) -> list[Edge[T]]:
    return [target] if isinstance(target, Edge) else target.edges()


def _queue(target: Edge[T] | Group[T]) -> list[Edge[T]]:
    if isinstance(target, Edge):
        return [target] if target.blocked else []
    return target.queue()


def _digest(key: Hashable) -> int:
    """Return the same number for equal keys; for text, bytes and tuples of them in every process too."""
    if isinstance(key, str):
        return zlib.crc32(key.encode("utf-8", "surrogatepass"))
    if isinstance(key, bytes):
        return zlib.crc32(key)
    if isinstance(key, tuple):
        return zlib.crc32(",".join(str(_digest(part)) for part in key).encode())
    return hash(key)


def _mixed(digest: int) -> int:
    """Return 64 bits that all depend on the whole digest: those of even ints, or of "d0" to "d9", do not.

    Two rounds of multiplication (0.8 us) deal all regular sequences of keys that were tried evenly.
    """
    digest = digest * 0x9E3779B97F4A7C15 & _64_BITS
    return (digest ^ digest >> 32) * 0xC4CEB9FE1A85EC53 & _64_BITS


__all__ = ["Group", "Spread"]
