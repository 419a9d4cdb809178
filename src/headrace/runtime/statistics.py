"""One immutable snapshot of a system; everything that shows a system reads this and nothing else."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from headrace.model.component_status import ComponentState, Transition
from headrace.model.latency import LatencySummary
from headrace.model.ledger import EdgeLedger, Totals
from headrace.model.options import RunIn
from headrace.model.report import ShutdownReport, describe
from headrace.model.trouble import Deadlock, LoopBlock, SlowStep, Stall, WaitKind

from .books import Summary, totals_of
from .dead_letters import DeadLetterStore
from .health import SystemHealth, health_of
from .member import Member
from .replicas import names_of_replicas
from .run import Run
from .supervisor import Supervised
from .waits import main_wait, waits_of, waits_on_edges
from .wiring import Wiring
from .working_away import run_in_of

VERSION = 1
"""The version of what a snapshot holds; it grows when something in it changes its meaning."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """What a component waits for.

    Attributes:
        kind: ``send``, ``receive``, ``await`` (something of its own), ``turn`` (it is at work), ``workers``,
            ``dead_letters``, ``restart`` or ``paused``.
        text: The same in words: ``room on store.in (100/100)``, ``fetch() at store.py:41``.
        since: Since when, in seconds since the epoch.
        on: The components, any of which can end that; nobody where the component alone can.
    """

    kind: WaitKind
    text: str
    since: float
    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComponentStatistics:
    """A component at one moment.

    Attributes:
        name: Its name; each replica has its own.
        kind: Its class.
        state: Where it is in its life.
        error_count: How often it has failed.
        last_transition: When its state changed last, in seconds since the epoch.
        run_in: Where its function works.
        paused: Whether nothing is handed to it until it is resumed; it keeps its state meanwhile.
        restarts: How often it was restarted in the run.
        redelivered: How many messages it was given once more, because it had them in hand when a life of it ended.
        last_error: What it has failed with last in the run, in a line; empty where it has not.
        next_restart_in: Seconds until it is restarted, where it waits for that; None where it does not.
        failed: Whether it has failed for good in the run.
        waiting_for: What it waits for; None where it does not run.
        received: Messages that were handed to it; some may go back to their edges when it crashes.
        acknowledged: Messages that it is done with.
        sent: Messages that it has sent by all its outputs, each once.
        rejected: Those of them that left by its output ``rejected``.
        dead: Messages it has failed on for good, in all runs, by the kind of error.
        errors: How often it has failed, by the kind of error.
        history: Its last changes of state, the oldest first; those to ``error`` hold the error.
    """

    name: str
    kind: str
    state: ComponentState
    error_count: int
    last_transition: float
    run_in: RunIn = "loop"
    paused: bool = False
    restarts: int = 0
    redelivered: int = 0
    last_error: str = ""
    next_restart_in: float | None = None
    failed: bool = False
    waiting_for: WaitingFor | None = None
    received: int = 0
    acknowledged: int = 0
    sent: int = 0
    rejected: int = 0
    dead: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    history: tuple[Transition, ...] = ()

    @property
    def failures(self) -> tuple[Transition, ...]:
        """Its last failures, the oldest first."""
        return tuple(one for one in self.history if one.error is not None)


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """An edge at one moment.

    Attributes:
        ledger: Its books.
        capacity: How many messages it accepts before the reader takes them.
        waiting_senders: Tasks that wait for room.
        waiting_receivers: Tasks that wait for a message.
        open: Whether messages can still go through it.
        latency: How long messages lay on it, of a few that were followed; in seconds.
        redelivered: How many messages of it were delivered again after a crash of the reader.
        latencies: The same in buckets: the upper bound of each, in seconds, and how many fell into it.
    """

    ledger: EdgeLedger
    capacity: int
    waiting_senders: int
    waiting_receivers: int
    open: bool
    latency: LatencySummary = field(default_factory=LatencySummary)
    redelivered: int = 0
    latencies: tuple[tuple[float, int], ...] = ()

    @property
    def delivered(self) -> int:
        """Messages that were handed to the reader; a crash of it may put some back."""
        book = self.ledger
        return book.acknowledged + book.dead_lettered + book.in_hand + book.dropped.get("on_error", 0)

    @property
    def buffered(self) -> int:
        """Messages accepted and not yet taken by the reader."""
        return self.ledger.buffered


@dataclass(frozen=True, slots=True)
class SystemStatistics:
    """A system at one moment.

    Attributes:
        name: Its name.
        running: Whether a run is under way.
        components: Its components by name, each replica for itself.
        edges: Its edges by name.
        replicas: The names of the replicas of each component that has some.
        stalls: Who keeps others waiting, and which set-ups and clean-ups take long; as of the watchdog's last look.
        deadlocks: Who wait for each other for ever; as of the last look.
        loop_blocked: Who keeps the event loop from turning now.
        version: The version of what a snapshot holds.
        number: Grows with every snapshot that is taken in this process.
        time: When it was taken, in seconds since the epoch; and
        monotonic: by a clock that never jumps.
        started_at: When the run under way, or the last one, began, in seconds since the epoch; 0 before the first.
        uptime: How long that has run, in seconds.
        health: Whether the system is ready and live, and if not why.
        totals: The books in one line.
        dead_letters: How many dead letters are kept, and
        dead_letter_limit: how many may be.
    """

    name: str
    running: bool
    components: Mapping[str, ComponentStatistics]
    edges: Mapping[str, EdgeStatistics]
    replicas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stalls: tuple[Stall | SlowStep, ...] = ()
    deadlocks: tuple[Deadlock, ...] = ()
    loop_blocked: LoopBlock | None = None
    version: int = VERSION
    number: int = 0
    time: float = 0.0
    monotonic: float = 0.0
    started_at: float = 0.0
    uptime: float = 0.0
    health: SystemHealth | None = None
    totals: Totals = field(default_factory=lambda: Totals(0, 0, 0, 0, 0))
    dead_letters: int = 0
    dead_letter_limit: int = 0

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is wrong, each in a sentence that says who keeps whom waiting; the worst first."""
        found = [] if self.loop_blocked is None else [str(self.loop_blocked)]
        return (*found, *map(str, self.deadlocks), *map(str, self.stalls))


@dataclass(frozen=True, slots=True)
class Looked:
    """What a snapshot is taken of.

    Attributes:
        name: The system's name.
        run: The run under way.
        last: That, or the last one.
        wiring: The components and edges.
        summary: What counts as in, out and rejected.
        letters: The dead letters.
    """

    name: str
    run: Run | None
    last: Run | None
    wiring: Wiring
    summary: Summary
    letters: DeadLetterStore


def take_statistics(what: Looked) -> SystemStatistics:
    """Return the snapshot; safe from any thread, because it only reads."""
    name, run, last, wiring = what.name, what.run, what.last, what.wiring
    lives = {} if last is None else dict(last.supervised)
    letters = what.letters.counts.copy()
    hands = next((one.hands for one in lives.values()), None)
    now, epoch = (0.0, 0.0) if run is None else (run.watch.clock(), time.time())
    books = {key: edge.ledger() for key, edge in list(wiring.edges.items())}
    components = {
        member.name: ComponentStatistics(
            member.name,
            type(member.component).__name__,
            member.status.state,
            member.status.error_count,
            member.status.last_transition,
            run_in_of(member.component),
            run is not None and member.paused,
            waiting_for=_waiting_for(lives.get(member.name), wiring, now, epoch),
            dead=_of(member.name, letters),
            errors=member.status.errors,
            history=member.status.history,
            **_counts(member, books),
            **_lives(lives.get(member.name)),
        )
        for member in list(wiring.members.values())
    }
    edges = {
        key: EdgeStatistics(
            books[key],
            edge.options.buffer_size,
            len(edge.blocked),
            len(edge.inlet.hungry),
            not (edge.sender_ended or edge.reader_ended),
            edge.latency.histogram.summary(),
            redelivered=0 if hands is None else hands.redelivered[key],
            latencies=edge.latency.histogram.buckets(),
        )
        for key, edge in list(wiring.edges.items())
        if key in books
    }
    replicas = MappingProxyType(names_of_replicas(wiring.replicas))
    troubles = () if run is None else run.watch.troubles
    report = None if last is None else last.report
    return SystemStatistics(
        name,
        run is not None,
        MappingProxyType(components),
        MappingProxyType(edges),
        replicas,
        tuple(one for one in troubles if not isinstance(one, Deadlock)),
        tuple(one for one in troubles if isinstance(one, Deadlock)),
        None if run is None else run.watch.blocked,
        number=next(_numbers),
        time=time.time(),
        monotonic=time.monotonic(),
        started_at=0.0 if last is None else last.began_at,
        uptime=_uptime(last, report),
        health=health_of(name, run, report, wiring),
        totals=totals_of(wiring, what.summary, 0 if last is None else last.dead, books),
        dead_letters=len(what.letters),
        dead_letter_limit=what.letters.limit,
    )


def _uptime(last: Run | None, report: ShutdownReport | None) -> float:
    if report is not None:
        return report.seconds
    return 0.0 if last is None else max(0.0, time.monotonic() - last.began)


def _of(name: str, letters: Counter[tuple[str, str]]) -> Mapping[str, int]:
    return MappingProxyType({kind: number for (who, kind), number in letters.items() if who == name})


def _counts(member: Member, books: Mapping[str, EdgeLedger]) -> dict[str, Any]:
    """Return how many messages have gone in and out of a component."""
    own = [books[edge.key] for inlet in member.inlets.values() for edge in inlet.lanes if edge.key in books]
    acknowledged = sum(book.acknowledged for book in own)
    failed = sum(book.dead_lettered + book.dropped.get("on_error", 0) for book in own)
    rejected = member.outlets.get("rejected")
    return {
        "received": acknowledged + failed + sum(book.in_hand for book in own),
        "acknowledged": acknowledged,
        "sent": sum(outlet.accepted for outlet in member.outlets.values()),
        "rejected": 0 if rejected is None else rejected.accepted,
    }


def _waiting_for(one: Supervised | None, wiring: Wiring, now: float, epoch: float) -> WaitingFor | None:
    if one is None or not one.alive:
        return None
    wait = main_wait(waits_on_edges(one.member, now) or waits_of(one, now))
    edges = [edge for key in wait.edges if (edge := wiring.edges.get(key)) is not None]
    ends = [edge.inlet if wait.kind == "send" else edge.outlet for edge in edges]
    on = dict.fromkeys(end.name.rpartition(".")[0] for end in ends)
    return WaitingFor(wait.kind, wait.text, epoch - (now - wait.since), tuple(on))


def _lives(one: Supervised | None) -> dict[str, Any]:
    """Return what is known of a component's lives in the run under way, or in the last one."""
    if one is None:
        return {}
    at = one.next_restart
    return {
        "restarts": one.restarts,
        "redelivered": one.redelivered,
        "last_error": "" if one.last_error is None else describe(one.last_error),
        "failed": one.error is not None,
        "next_restart_in": None if at is None else max(0.0, at - time.monotonic()),
    }


__all__ = [
    "VERSION",
    "ComponentStatistics",
    "EdgeStatistics",
    "Looked",
    "SystemStatistics",
    "WaitingFor",
    "take_statistics",
]
