"""The books of a whole system, added up from its edges and ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from headrace.model.endpoint import Endpoint
from headrace.model.ledger import EdgeLedger, OutputLedger, SystemLedger, Totals

from .wiring import Wiring


@dataclass(frozen=True, slots=True)
class Summary:
    """Which ports the one-line summary counts; what is None is counted from the shape of the graph."""

    taken_in: tuple[Endpoint, ...] | None = None
    given_out: tuple[Endpoint, ...] | None = None
    rejected: tuple[Endpoint, ...] | None = None


def system_ledger(wiring: Wiring, summary: Summary, dead: int) -> SystemLedger:
    """Return the books as they stand.

    Args:
        wiring: The system.
        summary: What to count as in, out and rejected.
        dead: How many messages have died.
    """
    ledgers = {key: edge.ledger() for key, edge in wiring.edges.items()}
    totals = totals_of(wiring, summary, dead, ledgers)
    discarded = {
        outlet.name: outlet.discarded
        for member in wiring.members.values()
        for outlet in member.outlets.values()
        if outlet.discarded
    }
    outputs = tuple(_output_ledgers(wiring, ledgers))
    return SystemLedger(tuple(ledgers.values()), MappingProxyType(discarded), totals, outputs)


def totals_of(wiring: Wiring, summary: Summary, dead: int, ledgers: Mapping[str, EdgeLedger]) -> Totals:
    """Return the one-line summary.

    Args:
        wiring: The system.
        summary: What to count as in, out and rejected.
        dead: How many messages have died.
        ledgers: The books of its edges, by name.
    """
    return Totals(
        taken_in=_sent(wiring, summary.taken_in or _source_outputs(wiring)),
        given_out=_acknowledged(wiring, ledgers, summary.given_out),
        rejected=_sent(wiring, summary.rejected or _rejected_outputs(wiring)),
        dead=dead,
        lost=sum(ledger.lost for ledger in ledgers.values()),
    )


def _output_ledgers(wiring: Wiring, ledgers: Mapping[str, EdgeLedger]) -> Iterator[OutputLedger]:
    for member in wiring.members.values():
        for outlet in member.outlets.values():
            if outlet.lanes:
                accepted = sum(ledgers[edge.key].accepted for edge in outlet.lanes)
                sent = outlet.accepted - outlet.discarded
                yield OutputLedger(outlet.name, sent, accepted, outlet.copies)


def _sent(wiring: Wiring, ports: Iterable[Endpoint]) -> int:
    return sum(
        member.outlets[port.port].accepted for port in ports for member in wiring.members_of(port.component)
    )


def _source_outputs(wiring: Wiring) -> list[Endpoint]:
    return [
        Endpoint(member.name, port)
        for member in wiring.members.values()
        if member.is_source
        for port in member.outlets
        if port != "rejected"
    ]


def _rejected_outputs(wiring: Wiring) -> list[Endpoint]:
    return [Endpoint(name, "rejected") for name, m in wiring.members.items() if "rejected" in m.outlets]


def _acknowledged(
    wiring: Wiring, ledgers: Mapping[str, EdgeLedger], ports: tuple[Endpoint, ...] | None
) -> int:
    """Count what arrived at the given inputs, or else at all sinks by other ports than ``rejected``.

    A component that sends by no other port than that is a sink; what it has rejected is not given out.
    """
    ways = [(ledger, wiring.connection_of(key)) for key, ledger in ledgers.items()]
    if ports is not None:
        wanted = set(ports)
        return sum(ledger.acknowledged for ledger, way in ways if way.receiver in wanted)
    ways = [(ledger, way) for ledger, way in ways if way.sender.port != "rejected"]
    senders = {way.sender.component for _, way in ways}
    arrived = [(ledger, way) for ledger, way in ways if way.receiver.component not in senders]
    sinks = {way.receiver.component for _, way in arrived}
    rejected = _sent(wiring, [port for port in _rejected_outputs(wiring) if port.component in sinks])
    return max(0, sum(ledger.acknowledged for ledger, _ in arrived) - rejected)


__all__ = ["Summary", "system_ledger", "totals_of"]
