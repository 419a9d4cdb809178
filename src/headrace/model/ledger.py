"""The books: what every edge accepted and what became of it. At every stop they must close.

Per edge: accepted = acknowledged + dropped(reason) + dead-lettered + remaining (buffered or in hand).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class EdgeLedger:
    """The books of one edge, in messages. ``buffered`` and ``in_hand`` are counted, not computed."""

    edge: str
    accepted: int = 0
    acknowledged: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    dead_lettered: int = 0
    buffered: int = 0
    in_hand: int = 0

    @property
    def remaining(self) -> int:
        """Messages accepted and not settled: buffered or in hand."""
        return self.buffered + self.in_hand

    @property
    def lost(self) -> int:
        """Messages dropped for any reason, and those that remain."""
        return sum(self.dropped.values()) + self.remaining

    @property
    def imbalance(self) -> int:
        """Accepted minus everything accounted for; 0 when the books close."""
        settled = self.acknowledged + sum(self.dropped.values()) + self.dead_lettered
        return self.accepted - settled - self.remaining

    @property
    def closes(self) -> bool:
        """Whether every accepted message is accounted for."""
        return self.imbalance == 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The one-line summary of a run, in messages."""

    taken_in: int
    given_out: int
    rejected: int
    dead: int
    lost: int

    def __str__(self) -> str:
        line = f"in {self.taken_in:,} out {self.given_out:,} rejected {self.rejected:,} lost {self.lost:,}"
        return f"{line} dead {self.dead:,}" if self.dead else line


@dataclass(frozen=True, slots=True)
class SystemLedger:
    """The books of a whole system.

    Attributes:
        edges: One ledger an edge, in the order of connection.
        discarded: Messages sent to outputs that nothing is connected to, by ``component.port``.
        totals: The summary: what sources took in, what sinks acknowledged, what was rejected.
    """

    edges: tuple[EdgeLedger, ...]
    discarded: Mapping[str, int]
    totals: Totals

    @property
    def closes(self) -> bool:
        """Whether the books of every edge close."""
        return all(edge.closes for edge in self.edges)

    @property
    def remaining(self) -> int:
        """Messages left on any edge."""
        return sum(edge.remaining for edge in self.edges)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Messages dropped on any edge, by reason."""
        return add_up(edge.dropped for edge in self.edges)

    def leftovers(self) -> tuple[EdgeLedger, ...]:
        """Return the ledgers of the edges on which something was left or dropped."""
        return tuple(edge for edge in self.edges if edge.lost)


def add_up(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    """Return the sum of several counters."""
    total: dict[str, int] = {}
    for count in counts:
        for reason, number in count.items():
            total[reason] = total.get(reason, 0) + number
    return MappingProxyType(total)


__all__ = ["EdgeLedger", "SystemLedger", "Totals", "add_up"]
