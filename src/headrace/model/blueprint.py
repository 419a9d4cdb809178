"""A system as written down: components, connections, defaults, and where in the file each of them stands.

Values only. They come from `blueprint_reader` and go to `runtime.assembly`; a place is kept for every name
and setting, so that whoever finds a mistake later can still point at it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from headrace.exceptions import ConfigError

from .options import FanOut, OnError, WhenFull

Severity = Literal["error", "warning"]

CODES: Mapping[str, str] = {
    "E100": "the file cannot be read",
    "E101": "the text is not YAML",
    "E102": "unknown key",
    "E103": "missing key",
    "E104": "a value of the wrong kind",
    "E105": "the same key twice in one table",
    "E106": "a YAML tag",
    "E107": "too large, too deep or too often repeated",
    "E108": "an alias without its anchor, or inside itself",
    "E109": "a variable that is not set, or not written ${NAME}",
    "E110": "not built yet",
    "E111": "a number or a duration out of range",
    "E112": "not one of the known words",
    "E113": "the file is not UTF-8",
    "E114": "the file is empty",
    "E115": "a merge key",
    "E120": "a connection that is not 'sender -> receiver'",
    "E200": "a component or a system that cannot be named or made so",
    "E201": "what is sent does not fit what is accepted",
    "E210": "a component of this name is registered already",
    "E211": "not a component",
    "E220": "not 'component.port', or a port that cannot be guessed",
    "E221": "no component of this name",
    "E222": "no port of this name",
    "E223": "the same connection twice",
    "E224": "a required input is not connected",
    "E230": "a setting that is missing, unknown or of the wrong type",
    "E240": "no component type of this name",
    "E241": "a module outside the blueprint's folder and the allowed packages",
    "E242": "a module that cannot be imported",
    "E243": "a module without this name",
    "E244": "a module's name is taken by another module",
    "E250": "a component's constructor raised",
    "W301": "an output is not connected",
    "W302": "a cycle that can block",
    "W303": "a component is not connected to anything",
}

_WINDOW = 100


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file; line and column count from 1, columns in characters."""

    file: str = ""
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def right(self, characters: int) -> Position:
        """Return the place so many characters further on the same line."""
        return Position(self.file, self.line, self.column + characters)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, or one warning, with its place and its mend.

    Attributes:
        position: Where it is.
        severity: ``error`` or ``warning``.
        code: One of ``CODES``.
        message: What is wrong.
        hint: What to do about it; may be empty.
        source: The line of the file at that place; empty where there is none.
    """

    position: Position
    severity: Severity
    code: str
    message: str
    hint: str = ""
    source: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        text = f"{self.position}: {self.severity} {self.code} {self.message}"
        return f"{text}, {self.hint}" if self.hint else text

    def excerpt(self) -> str:
        """Return the line of the file with a caret below the place, or nothing."""
        if not self.source.strip():
            return ""
        start = max(0, self.position.column - 1 - _WINDOW // 2)
        before = self.source[start : self.position.column - 1]
        caret = "".join("\t" if character == "\t" else " " for character in before) + "^"
        return f"{self.source[start : start + _WINDOW]}\n{caret}"


class Complaints:
    """Collects problems, so that all of a blueprint's mistakes are told at once.

    Args:
        lines: The lines of the file, for the excerpts.

    Attributes:
        count: How often something was found; the same thing in the same place is kept only once.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self.lines = tuple(lines)
        self.count = 0
        self._found: dict[Problem, None] = {}

    def error(self, position: Position, code: str, message: str, hint: str = "") -> None:
        """Note a mistake."""
        self._note(position, "error", code, message, hint)

    def warning(self, position: Position, code: str, message: str, hint: str = "") -> None:
        """Note something that is legal but probably not meant."""
        self._note(position, "warning", code, message, hint)

    def _note(self, position: Position, severity: Severity, code: str, message: str, hint: str) -> None:
        self.count += 1
        line = position.line
        source = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        problem = Problem(position, severity, code, _one_line(message), _one_line(hint), source)
        self._found.setdefault(problem)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was found, in the order of the file."""
        return tuple(sorted(self._found, key=lambda problem: (problem.position, problem.severity)))

    @property
    def has_errors(self) -> bool:
        """Whether there is a mistake among what was found."""
        return any(problem.severity == "error" for problem in self._found)


def _one_line(text: str) -> str:
    """Return a text as it can be shown: names in it may hold line ends and control sequences."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of a component or of a port, where it is written."""

    text: str
    position: Position = field(default=Position(), compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """How an output spreads its messages; ``key`` names the fields for ``by_key``."""

    fan_out: FanOut = "broadcast"
    key: tuple[str | int, ...] = ()
    position: Position = field(default=Position(), compare=False)


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component as written; what is None was not said.

    Attributes:
        name: Its name in the system.
        type: A registered name, or ``module:name``.
        config: Its settings.
        attempts: How often a function component tries a message in all.
        on_error: What happens after the last attempt.
        backoff: Seconds before the second attempt.
        outputs: How its outputs spread their messages, by port.
        position: Where its name stands.
        places: Where each of its keys and settings stands, by dotted name (``config.path``).
        broken: Whether mistakes were found in it, so that it cannot be made.
    """

    name: str
    type: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    attempts: int | None = None
    on_error: OnError | None = None
    backoff: float | None = None
    outputs: Mapping[str, OutputSpec] = field(default_factory=dict)
    position: Position = field(default=Position(), compare=False)
    places: Mapping[str, Position] = field(default_factory=dict, compare=False, repr=False)
    broken: bool = field(default=False, compare=False)

    def place(self, name: str) -> Position:
        """Return where a key or setting stands, or else what is nearest around it."""
        while name:
            if name in self.places:
                return self.places[name]
            name = name[: max(name.rfind("."), name.rfind("["), 0)]
        return self.position


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """A connection as written; what is None was not said."""

    sender: Reference
    receiver: Reference
    buffer_size: int | None = None
    when_full: WhenFull | None = None
    copy: bool | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for the whole system where nothing else is said; times in seconds."""

    buffer_size: int | None = None
    setup_timeout: float | None = None
    cleanup_timeout: float | None = None
    shutdown_timeout: float | None = None
    source_grace: float | None = None
    dead_letter_limit: int | None = None
    attempts: int | None = None
    on_error: OnError | None = None
    backoff: float | None = None

    def harness_options(self) -> dict[str, Any]:
        """Return what was said for the harness itself, as its keyword arguments."""
        names = [f.name for f in fields(self) if f.name not in ("attempts", "on_error", "backoff")]
        return {name: value for name in names if (value := getattr(self, name)) is not None}


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
        summary: What the one-line summary counts.
        file: The file's name, as it was given.
        directory: The folder whose modules may be used as component types; None for a text without one.
        position: Where its name stands.
        lines: The lines of the file.
        has_gaps: Whether connections were left out because they could not be read.
    """

    name: str
    components: tuple[ComponentSpec, ...] = ()
    connections: tuple[ConnectionSpec, ...] = ()
    defaults: Defaults = Defaults()
    summary: SummarySpec = SummarySpec()
    file: str = field(default="", compare=False)
    directory: str | None = field(default=None, compare=False)
    position: Position = field(default=Position(), compare=False)
    lines: tuple[str, ...] = field(default=(), compare=False, repr=False)
    has_gaps: bool = field(default=False, compare=False)


def field_key(*names: str | int) -> Callable[[Any], Hashable]:
    """Return a function that takes the named fields from a message, one bare, several as a tuple.

    A field is an item of a mapping or of a sequence, or else an attribute.

    Raises:
        ConfigError: (when called) The message has no such field; the error names both.
    """

    def key(message: Any) -> Hashable:
        if len(names) == 1:
            return _field_of(message, names[0])
        return tuple(_field_of(message, name) for name in names)

    return key


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
    "OutputSpec",
    "Position",
    "Problem",
    "Reference",
    "Severity",
    "SummarySpec",
    "field_key",
]
