"""The books: what every edge accepted and what became of it. At every stop they must close.

Per edge: accepted = acknowledged + dropped(reason) + dead-lettered + remaining (buffered or in hand).
Across edges: what an output sent is on its edges, and what is dead on an edge is a letter.
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
class OutputLedger:
    """The books of one output, in messages.

    Attributes:
        port: Its name.
        sent: What its component sent, each message once; without those that nothing was connected for.
        accepted: What its edges accepted, all together.
        copies: To how many edges a message may go. It went to fewer where a reader had ended.
    """

    port: str
    sent: int
    accepted: int
    copies: int = 1

    @property
    def closes(self) -> bool:
        """Whether every message that was sent is on an edge, and none on more than it may be."""
        return self.sent <= self.accepted <= self.sent * self.copies


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A place in the books where two numbers that have to agree do not.

    Attributes:
        where: The edge, the output, or ``dead letters``.
        by: By how many messages.
        numbers: The numbers, by name.
    """

    where: str
    by: int
    numbers: Mapping[str, int]

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {number:,}" for name, number in self.numbers.items())
        return f"{self.where} by {self.by:+,}: {numbers}"


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
        outputs: One ledger for each output that has edges.
    """

    edges: tuple[EdgeLedger, ...]
    discarded: Mapping[str, int]
    totals: Totals
    outputs: tuple[OutputLedger, ...] = ()

    @property
    def closes(self) -> bool:
        """Whether all numbers agree: of every edge, of every output, and of the dead letters."""
        return not self.disagreements()

    @property
    def accepted(self) -> int:
        """Messages accepted on any edge."""
        return sum(edge.accepted for edge in self.edges)

    @property
    def acknowledged(self) -> int:
        """Messages acknowledged on any edge."""
        return sum(edge.acknowledged for edge in self.edges)

    @property
    def dead_lettered(self) -> int:
        """Messages that failed for good, on any edge."""
        return sum(edge.dead_lettered for edge in self.edges)

    @property
    def remaining(self) -> int:
        """Messages left on any edge."""
        return sum(edge.remaining for edge in self.edges)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Messages dropped on any edge, by reason."""
        return add_up(edge.dropped for edge in self.edges)

    def disagreements(self) -> tuple[Disagreement, ...]:
        """Return every place where the books do not close; none, unless the harness has a bug."""
        found = [_of_edge(edge) for edge in self.edges if not edge.closes]
        found += [_of_output(output) for output in self.outputs if not output.closes]
        if self.dead_lettered > self.totals.dead:
            numbers = {"on edges": self.dead_lettered, "letters": self.totals.dead}
            found.append(Disagreement("dead letters", self.dead_lettered - self.totals.dead, numbers))
        return tuple(found)

    def leftovers(self) -> tuple[EdgeLedger, ...]:
        """Return the ledgers of the edges on which something was left or dropped."""
        return tuple(edge for edge in self.edges if edge.lost)


def _of_edge(edge: EdgeLedger) -> Disagreement:
    numbers = {
        "accepted": edge.accepted,
        "acknowledged": edge.acknowledged,
        "dropped": sum(edge.dropped.values()),
        "dead": edge.dead_lettered,
        "left": edge.remaining,
    }
    return Disagreement(edge.edge, edge.imbalance, numbers)


def _of_output(output: OutputLedger) -> Disagreement:
    least, most = output.sent, output.sent * output.copies
    by = least - output.accepted if output.accepted < least else most - output.accepted
    numbers = {"sent": output.sent, "accepted": output.accepted, "copies": output.copies}
    return Disagreement(output.port, by, numbers)


def add_up(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    """Return the sum of several counters."""
    total: dict[str, int] = {}
    for count in counts:
        for reason, number in count.items():
            total[reason] = total.get(reason, 0) + number
    return MappingProxyType(total)


__all__ = ["Disagreement", "EdgeLedger", "OutputLedger", "SystemLedger", "Totals", "add_up"]
