"""What the API says, as typed records: the JSON of the answers, of the events, and of the OpenAPI document.

Times are in seconds since the epoch, spans in seconds, counts in messages.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Condition = Literal[
    "created", "ready", "running", "paused", "restarting", "stopping", "stopped", "failed", "error"
]
Pressure = Literal["closed", "idle", "flowing", "filling", "blocked"]
TroubleKind = Literal[
    "blocked", "slow", "dead_letters", "paused", "restarting", "deadlock", "loop", "slow_step"
]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What all records are: immutable, and made with names."""


class Waiting(Record, frozen=True, kw_only=True):
    """What a component waits for.

    Attributes:
        kind: ``send``, ``receive``, ``await``, ``turn`` (it is at work), ``workers``, ``dead_letters``,
            ``restart`` or ``paused``.
        text: The same in words: ``room on store.in (100/100)``.
        since: Since when.
        on: The components, any of which can end that; none where it alone can.
    """

    kind: str
    text: str
    since: float
    on: list[str] = []


class Component(Record, frozen=True, kw_only=True):
    """A component at one moment; each replica is one.

    Attributes:
        name: Its name.
        kind: Its class.
        group: The name that it shares with other replicas; its own where it is the only one.
        state: Where it is in its life: ``created``, ``ready``, ``running``, ``stopping``, ``stopped`` or ``error``.
        condition: What people want to know of it in one word; ``failed`` is for good.
        run_in: Where its function works: ``loop``, ``thread`` or ``process``.
        paused: Whether nothing is handed to it until it is resumed.
        since: When its state changed last.
        received: Messages that were handed to it; some may go back to their edges when it crashes.
        acknowledged: Messages that it is done with.
        sent: Messages that it has sent, each once.
        rejected: Those of them that left by its output ``rejected``.
        dead: Messages that it has failed on for good, by the kind of error.
        error_count: How often it has failed, and
        errors: that by the kind of error.
        restarts: How often it was restarted in this run.
        redelivered: How many messages it was given once more after a crash.
        last_error: What it has failed with last in this run, in a line; empty where it has not.
        next_restart_in: Seconds until it is restarted, where it waits for that.
        waiting_for: What it waits for; null where it does not run.
        in_rate: Messages that it finishes a second; null where that is not known yet.
        out_rate: Messages that it sends a second; null where that is not known yet.
    """

    name: str
    kind: str
    group: str
    state: str
    condition: Condition
    run_in: str
    paused: bool
    since: float
    received: int
    acknowledged: int
    sent: int
    rejected: int
    dead: dict[str, int]
    error_count: int
    errors: dict[str, int]
    restarts: int
    redelivered: int
    last_error: str = ""
    next_restart_in: float | None = None
    waiting_for: Waiting | None = None
    in_rate: float | None = None
    out_rate: float | None = None


class Change(Record, frozen=True, kw_only=True):
    """A change of state; ``error`` is what it failed with, in a line."""

    state: str
    at: float
    error: str = ""


class FailureRecord(Record, frozen=True, kw_only=True):
    """A failure of a component, with its traceback."""

    at: float
    kind: str
    error: str
    traceback: str


class ComponentDetail(Component, frozen=True, kw_only=True):
    """A component, with what is too much for a stream.

    Attributes:
        timeline: Its last changes of state, the oldest first: at most 100.
        failures: Its last failures with their tracebacks, the oldest first: at most 5.
        inputs: The edges that it reads.
        outputs: The edges that it sends on.
        source: File and line of what it does; empty where that is not Python.
        registered: File and line of where it was added; empty where that was a blueprint.
        settings: Its settings, those that it has by itself too; null for whoever may not control.
    """

    timeline: list[Change]
    failures: list[FailureRecord]
    inputs: list[str]
    outputs: list[str]
    source: str = ""
    registered: str = ""
    settings: dict[str, Any] | None = None


class Latency(Record, frozen=True, kw_only=True):
    """How long messages lay on an edge, of those that were followed; 0 where there were none."""

    samples: int
    p50: float
    p99: float
    highest: float


class Edge(Record, frozen=True, kw_only=True):
    """An edge at one moment.

    Attributes:
        name: ``parse.out -> store.in``; with the names of replicas where there are some.
        link: The connection that it is of, by the names that were connected.
        sender: The component that sends on it, and its
        output: port.
        receiver: The component that reads it, and its
        input: port.
        buffered: Messages that lie on it.
        capacity: How many may.
        in_hand: Messages that the reader has and is not done with.
        accepted: Messages that it has taken from its sender.
        delivered: Messages that were handed to the reader; some may go back when it crashes.
        acknowledged: Messages that the reader is done with.
        dropped: Messages that were dropped, by the reason.
        dead: Messages that became dead letters and have not been sent again.
        left: Messages accepted and not settled: buffered or in hand.
        redelivered: How many were delivered once more after a crash of the reader.
        waiting_senders: Tasks that wait for room.
        waiting_receivers: Tasks that wait for a message.
        open: Whether messages can still go through it.
        latency: How long messages lie on it.
        pressure: ``idle``, ``flowing``, ``filling`` (its sender waits now and then, or it is half full),
            ``blocked`` (its sender waits and nothing is taken, or that has lasted so long that it is told) or
            ``closed``.
        rate: Messages that are taken from it a second; null where that is not known yet.
    """

    name: str
    link: str
    sender: str
    output: str
    receiver: str
    input: str
    buffered: int
    capacity: int
    in_hand: int
    accepted: int
    delivered: int
    acknowledged: int
    dropped: dict[str, int]
    dead: int
    left: int
    redelivered: int
    waiting_senders: int
    waiting_receivers: int
    open: bool
    latency: Latency
    pressure: Pressure
    rate: float | None = None


class Bucket(Record, frozen=True, kw_only=True):
    """How many of the followed messages lay on an edge up to ``le`` seconds, and longer than the bucket before."""

    le: float
    count: int


class EdgeDetail(Edge, frozen=True, kw_only=True):
    """An edge, with what is too much for a stream: the histogram of its latency, and its options."""

    histogram: list[Bucket]
    when_full: str
    confirms: bool


class TroubleRecord(Record, frozen=True, kw_only=True):
    """What is wrong, in a sentence that says who keeps whom waiting.

    Attributes:
        kind: What kind of trouble.
        text: The sentence.
        components: Who causes it.
        blocked: Who waits because of it, the one next to it first.
        edge: The edge that the first of these waits on; empty where there is none.
    """

    kind: TroubleKind
    text: str
    components: list[str]
    blocked: list[str] = []
    edge: str = ""


class TotalsRecord(Record, frozen=True, kw_only=True):
    """The books in one line: what came in, what went out, what was rejected, what died, what would be lost now."""

    taken_in: int
    given_out: int
    rejected: int
    dead: int
    lost: int


class System(Record, frozen=True, kw_only=True):
    """A system at one moment.

    Attributes:
        name: Its name.
        state: ``new``, ``starting``, ``running``, ``stopping``, or how the last run ended: ``finished``,
            ``stopped``, ``failed`` or ``cancelled``.
        ready: Whether it does its work.
        live: Whether it can: no deadlock, and its event loop turns.
        reason: Why it is not ready, or not live.
        paused: Whether all of its components that have not ended are paused.
        started_at: When the run began; 0 before the first.
        totals: The books in one line.
        dead_letters: How many dead letters are kept, and
        dead_letter_limit: how many may be.
        troubles: What is wrong, the worst first.
        unhealthy: What is wrong with which components.
    """

    name: str
    state: str
    ready: bool
    live: bool
    reason: str
    paused: bool
    started_at: float
    totals: TotalsRecord
    dead_letters: int
    dead_letter_limit: int
    troubles: list[TroubleRecord]
    unhealthy: dict[str, str]


class Snapshot(Record, frozen=True, kw_only=True):
    """A system with all that is in it: the answer of ``/statistics``, and the first event of a stream.

    Attributes:
        version: The version of what a snapshot holds: 1.
        number: Grows from snapshot to snapshot of this process.
        time: When it was taken.
        monotonic: The same by a clock of this computer that never jumps.
        uptime: How long the run has lasted.
        system: The system.
        components: Its components by name.
        edges: Its edges by name.
        groups: The names of the replicas of each component that has some.
    """

    version: int
    number: int
    time: float
    monotonic: float
    uptime: float
    system: System
    components: dict[str, Component]
    edges: dict[str, Edge]
    groups: dict[str, list[str]]


class Delta(Record, frozen=True, kw_only=True):
    """What has changed since the snapshot or delta before it in the same stream; what is not named is as it was.

    Attributes:
        number: The number of the snapshot that it leads to.
        since: The number of the one before.
        time: When that was taken.
        monotonic: The same by a clock that never jumps.
        uptime: How long the run has lasted.
        system: The system, where that has changed.
        components: Those that have changed, each as a whole.
        edges: Those that have changed, each as a whole.
        gone: Names of components and edges that are there no more.
    """

    number: int
    since: int
    time: float
    monotonic: float
    uptime: float
    system: System | None = None
    components: dict[str, Component] = {}
    edges: dict[str, Edge] = {}
    gone: list[str] = []


class Beat(Record, frozen=True, kw_only=True):
    """Said when there has been nothing else to say for a while."""

    number: int
    time: float
    uptime: float


__all__ = [
    "Beat",
    "Bucket",
    "Change",
    "Component",
    "ComponentDetail",
    "Condition",
    "Delta",
    "Edge",
    "EdgeDetail",
    "FailureRecord",
    "Latency",
    "Pressure",
    "Record",
    "Snapshot",
    "System",
    "TotalsRecord",
    "TroubleKind",
    "TroubleRecord",
    "Waiting",
]
