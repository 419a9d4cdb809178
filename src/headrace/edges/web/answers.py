"""What the API says besides snapshots: the graph, dead letters, what was done, and what was refused."""

from __future__ import annotations

from typing import Any

from headrace.runtime.journal import LogEntry

from .records import Record


class Port(Record, frozen=True, kw_only=True):
    """A port: its name, what travels through it, and how an output spreads messages over its edges."""

    name: str
    type: str
    optional: bool
    fan_out: str


class Node(Record, frozen=True, kw_only=True):
    """A component of the graph, all its replicas as one; ``layer`` counts from the sources, from 0."""

    name: str
    type: str
    title: str
    layer: int
    inputs: list[Port]
    outputs: list[Port]
    replicas: list[str]
    run_in: str


class Link(Record, frozen=True, kw_only=True):
    """A connection of the graph; ``edges`` are the names of its edges, several where replicas are connected."""

    name: str
    sender: str
    output: str
    receiver: str
    input: str
    label: str
    capacity: int
    when_full: str
    edges: list[str]


class Graph(Record, frozen=True, kw_only=True):
    """The graph of a system: components in layers, and connections.

    Attributes:
        system: The name of the system.
        components: Its components.
        links: Its connections.
        sub_systems: Its sub-systems by name, each with all components in it; what is in ``a/b`` is in ``a``, too.
        cycles: Which components are in a circle.
    """

    system: str
    components: list[Node]
    links: list[Link]
    sub_systems: dict[str, list[str]]
    cycles: list[list[str]]


class Letter(Record, frozen=True, kw_only=True):
    """A message that failed for good.

    Attributes:
        number: Its number.
        component: Who failed on it.
        edge: The edge that it came by.
        at: When.
        attempts: How often it was tried.
        kind: The kind of error.
        error: The error in a line.
        message: The message as plain data, cut where it is very large.
    """

    number: int
    component: str
    edge: str
    at: float
    attempts: int
    kind: str
    error: str
    message: Any


class LetterDetail(Letter, frozen=True, kw_only=True):
    """A dead letter with its traceback, and the id that its message had."""

    traceback: str
    id: str = ""


class Letters(Record, frozen=True, kw_only=True):
    """Dead letters, the oldest first; ``kept`` counts all that are kept, ``limit`` how many may be."""

    letters: list[Letter]
    kept: int
    limit: int


class Done(Record, frozen=True, kw_only=True):
    """What was done; ``count`` says to how many."""

    done: str
    count: int | None = None


class Problem(Record, frozen=True, kw_only=True):
    """Why a request was refused, and what to do."""

    error: str
    hint: str = ""


class Logs(Record, frozen=True, kw_only=True):
    """Recent records of the log, oldest first; ``last`` is the number of the last one there is."""

    entries: list[LogEntry]
    last: int


class Access(Record, frozen=True, kw_only=True):
    """What whoever asks may do: ``control`` says it of this request, ``read_only`` that nobody may control."""

    control: bool
    read_only: bool


class TapState(Record, frozen=True, kw_only=True):
    """What a tap has done so far; together they are all messages that went by.

    Attributes:
        taken: Messages that were shown.
        unwanted: Messages that it looked at and did not want.
        failed: Messages that the condition could not be applied to.
        skipped: Messages that it did not look at, because that would have slowed the system.
        error: Why the last one failed; empty where none has.
    """

    taken: int
    unwanted: int
    failed: int
    skipped: int
    error: str = ""


__all__ = [
    "Access",
    "Done",
    "Graph",
    "Letter",
    "LetterDetail",
    "Letters",
    "Link",
    "Logs",
    "Node",
    "Port",
    "Problem",
    "TapState",
]
