"""A system as written down: components, connections, defaults, and where in the file each of them stands.

Values only. They come from `blueprint_reader` and go to `runtime.assembly`; a place is kept for every name
and setting, so that whoever finds a mistake later can still point at it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from headrace.exceptions import ConfigError

from .blueprint_problems import CODES, Complaints, Position, Problem, Severity, Sources
from .options import Ack, Attempts, FanOut, Health, OnError, RunIn, WhenFull
from .restart_policy import RestartPolicy, Strategy

if TYPE_CHECKING:
    from .blueprint_tests import TestSpec


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of a component or of a port, where it is written."""

    text: str
    position: Position = field(default=Position(), compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """How an output, or an input of replicas, spreads its messages; ``key`` names the fields for ``by_key``."""

    fan_out: FanOut = "broadcast"
    key: tuple[str | int, ...] = ()
    position: Position = field(default=Position(), compare=False)


@dataclass(frozen=True, slots=True)
class ReplicasSpec:
    """How many instances of a component there are; ``key`` names the fields by which messages are spread."""

    count: int
    key: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component as written; what is None was not said.

    Attributes:
        name: Its name in the system.
        type: A registered name, or ``module:name``.
        config: Its settings.
        attempts: How often a message is tried in all.
        on_error: What happens after the last attempt.
        backoff: Seconds before the second attempt.
        concurrency: How many messages an asynchronous function works on at once.
        ordered: Whether its outputs keep the order of the messages.
        fuse: Whether a synchronous function may work in one task with its neighbours.
        run_in: Where a plain function works.
        outputs: How its outputs spread their messages, by port.
        replicas: How many instances of it there are.
        inputs: How the messages for its inputs spread over the replicas, by port.
        restart: When it is restarted.
        stop_timeout: Seconds that it may take once its inputs have ended, or as a source once the system stops.
        health: Whether the system is ready without it.
        ack: Who acknowledges what it has received.
        max_unacked: How many messages an input handle may have in hand.
        position: Where its name stands.
        places: Where each of its keys and settings stands, by dotted name (``config.path``).
        broken: Whether mistakes were found in it, so that it cannot be made.
        inner: The blueprint that it is, where its type names a file.
    """

    name: str
    type: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    attempts: int | None = None
    on_error: OnError | None = None
    backoff: float | None = None
    concurrency: int | None = None
    ordered: bool | None = None
    fuse: bool | None = None
    run_in: RunIn | None = None
    outputs: Mapping[str, OutputSpec] = field(default_factory=dict)
    replicas: ReplicasSpec | None = None
    inputs: Mapping[str, OutputSpec] = field(default_factory=dict)
    restart: RestartPolicy | None = None
    stop_timeout: float | None = None
    health: Health | None = None
    ack: Ack | None = None
    max_unacked: int | None = None
    position: Position = field(default=Position(), compare=False)
    places: Mapping[str, Position] = field(default_factory=dict, compare=False, repr=False)
    broken: bool = field(default=False, compare=False)
    inner: Blueprint | None = field(default=None, repr=False)

    def place(self, name: str) -> Position:
        """Return where a key or setting stands, or else what is nearest around it."""
        return _place(name, self.places, self.position)

    @property
    def is_blueprint(self) -> bool:
        """Whether its type names a file, which is a blueprint of its own."""
        return self.type.endswith((".yaml", ".yml"))


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """A resource as written: something shared, opened before set-up and closed after all clean-up.

    Attributes:
        name: Its name.
        type: ``module:name`` of what opens it, or a registered name.
        config: Its settings.
        position: Where its name stands.
        places: Where each of its keys and settings stands, by dotted name.
        broken: Whether mistakes were found in it, so that it cannot be made.
    """

    name: str
    type: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    position: Position = field(default=Position(), compare=False)
    places: Mapping[str, Position] = field(default_factory=dict, compare=False, repr=False)
    broken: bool = field(default=False, compare=False)

    def place(self, name: str) -> Position:
        """Return where a key or setting stands, or else what is nearest around it."""
        return _place(name, self.places, self.position)


def _place(name: str, places: Mapping[str, Position], otherwise: Position) -> Position:
    while name:
        if name in places:
            return places[name]
        name = name[: max(name.rfind("."), name.rfind("["), 0)]
    return otherwise


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """A connection as written; what is None was not said."""

    sender: Reference
    receiver: Reference
    buffer_size: int | None = None
    when_full: WhenFull | None = None
    copy: bool | None = None

    def changed_by(self, later: ConnectionSpec) -> ConnectionSpec:
        """Return this connection with what a later file says about it."""
        said = {name: getattr(later, name) for name in ("buffer_size", "when_full", "copy")}
        return replace(
            later, **{n: getattr(self, n) if value is None else value for n, value in said.items()}
        )


_OF_COMPONENTS = frozenset(f.name for f in fields(Attempts)) | {"restart"}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for the whole system where nothing else is said; times in seconds."""

    buffer_size: int | None = None
    setup_timeout: float | None = None
    cleanup_timeout: float | None = None
    shutdown_timeout: float | None = None
    source_grace: float | None = None
    dead_letter_limit: int | None = None
    stall_after: float | None = None
    blocked_after: float | None = None
    attempts: int | None = None
    on_error: OnError | None = None
    backoff: float | None = None
    concurrency: int | None = None
    ordered: bool | None = None
    fuse: bool | None = None
    run_in: RunIn | None = None
    restart: RestartPolicy | None = None

    def harness_options(self) -> dict[str, Any]:
        """Return what was said for the harness itself, as its keyword arguments."""
        names = [f.name for f in fields(self) if f.name not in _OF_COMPONENTS]
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def within(self, outer: Defaults) -> Defaults:
        """Return what holds in a part: what it says itself, and else what is said around it."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(outer, **{name: value for name, value in said.items() if value is not None})


@dataclass(frozen=True, slots=True)
class SummarySpec:
    """Which ports the one-line summary counts; what is None is taken from the shape of the graph."""

    taken_in: tuple[Reference, ...] | None = None
    given_out: tuple[Reference, ...] | None = None
    rejected: tuple[Reference, ...] | None = None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A system as written.

    Attributes:
        name: Its name.
        components: Its components, in the order of the file.
        connections: Its connections; a chain is several.
        defaults: What holds where nothing else is said.
        strategy: Who is restarted with a component that failed; what is None was not said.
        summary: What the one-line summary counts.
        resources: What its components share, in the order of the file.
        ports: As a component of another blueprint: its ports, each with the inner port that it is.
        tests: Its own tests.
        file: The file's name, as it was given; of several, the first.
        directory: The folder whose modules may be used as component types; None for a text without one.
        position: Where its name stands.
        sources: The files it was read from, with all those it names.
        has_gaps: Whether connections were left out because they could not be read.
    """

    name: str
    components: tuple[ComponentSpec, ...] = ()
    connections: tuple[ConnectionSpec, ...] = ()
    defaults: Defaults = Defaults()
    strategy: Strategy | None = None
    summary: SummarySpec = SummarySpec()
    resources: tuple[ResourceSpec, ...] = ()
    ports: Mapping[str, Reference] = field(default_factory=dict)
    tests: tuple[TestSpec, ...] = ()
    file: str = field(default="", compare=False)
    directory: str | None = field(default=None, compare=False)
    position: Position = field(default=Position(), compare=False)
    sources: Sources = field(default_factory=Sources, compare=False, repr=False)
    has_gaps: bool = field(default=False, compare=False)


class FieldKey:
    """Takes the named fields from a message, one bare, several as a tuple.

    A field is an item of a mapping or of a sequence, or else an attribute.

    Args:
        names: The fields.
    """

    __slots__ = ("names",)

    def __init__(self, names: tuple[str | int, ...]) -> None:
        self.names = names

    def __call__(self, message: Any) -> Hashable:
        """Return what the message has there.

        Raises:
            ConfigError: The message has no such field; the error names both.
        """
        if len(self.names) == 1:
            return _field_of(message, self.names[0])
        return tuple(_field_of(message, name) for name in self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldKey) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"field_key({', '.join(map(repr, self.names))})"


def field_key(*names: str | int) -> FieldKey:
    """Return a function that takes the named fields from a message; for ``fan_out="by_key"``.

    A field is an item of a mapping or of a sequence, or else an attribute. Unlike a lambda it can be written
    into a blueprint.
    """
    return FieldKey(names)


def _field_of(message: Any, name: str | int) -> Hashable:
    if isinstance(name, str) and not isinstance(message, Mapping) and hasattr(message, name):
        value: Hashable = getattr(message, name)
        return value
    try:
        item: Hashable = message[name]
    except (LookupError, TypeError):
        kind = type(message).__name__
        raise ConfigError(
            f"a message of type {kind} has no field {name!r} to spread by",
            hint="name another key for this output",
            field="key",
        ) from None
    return item


__all__ = [
    "CODES",
    "Blueprint",
    "Complaints",
    "ComponentSpec",
    "ConnectionSpec",
    "Defaults",
    "FieldKey",
    "OutputSpec",
    "Position",
    "Problem",
    "Reference",
    "ReplicasSpec",
    "ResourceSpec",
    "Severity",
    "Sources",
    "SummarySpec",
    "field_key",
]
