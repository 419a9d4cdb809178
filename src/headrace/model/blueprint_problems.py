"""What is wrong with a blueprint, and where: places, problems, their codes, and who collects them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from headrace.exceptions import BlueprintError

from .secret import Redactor

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
    "E116": "a secret that cannot be read, or that stands where none may",
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
    "E225": "a resource of this name is registered already",
    "E226": "no resource of this name",
    "E227": "what a resource is does not fit what is asked for",
    "E230": "a setting that is missing, unknown or of the wrong type",
    "E240": "no component type of this name",
    "E241": "a module or a blueprint outside the blueprint's folder and the allowed packages",
    "E242": "a module that cannot be imported",
    "E243": "a module without this name",
    "E244": "a module's name is taken by another module",
    "E245": "a blueprint inside itself, or too many inside each other",
    "E250": "a component's constructor raised",
    "W301": "an output is not connected",
    "W302": "a cycle that can block",
    "W303": "a component is not connected to anything",
    "W304": "no component asks for a resource",
    "W305": "the type of a port is not known at run time",
    "W306": "a system without components",
    "W307": "more attempts than there may be restarts",
    "W310": "a call that blocks the event loop",
    "W311": "a coroutine that is not awaited",
    "W312": "a detached task, or what works on asyncio only",
    "W313": "a handler that swallows cancellation",
    "W314": "a declared port that its component never uses",
}

MAX_MISTAKES = 100

_WINDOW = 100
_LONGEST = 600  # characters of a message or a hint


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file; line and column count from 1, columns in characters."""

    file: str = ""
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{_one_line(self.file)}:{self.line}:{self.column}"

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
        shown = self.source[start : start + _WINDOW]
        safe = "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in shown)
        return f"{safe}\n{caret}"


class Sources:
    """The files that a blueprint was read from: their lines, for excerpts, and what may not be shown of them.

    Attributes:
        lines: The lines of each file, in the order in which the files were read.
        secrets: Hides the secrets.
    """

    def __init__(self) -> None:
        self.lines: dict[str, tuple[str, ...]] = {}
        self.secrets = Redactor()

    def line_at(self, position: Position) -> str:
        """Return the line at a place; nothing where it is not known."""
        lines = self.lines.get(position.file, self.lines.get("", ()))
        return lines[position.line - 1] if 0 < position.line <= len(lines) else ""

    def rank(self, file: str) -> int:
        """Return which file this is, in the order of reading."""
        return next((number for number, name in enumerate(self.lines) if name == file), len(self.lines))


class Complaints:
    """Collects problems, so that all of a blueprint's mistakes are told at once.

    Whoever notes more than ``MAX_MISTAKES`` gets a ``BlueprintError``: nobody reads more, and to look for
    them would take long.

    Args:
        lines: The lines of the file, for the excerpts, where there is one file.
        sources: The files, where they are known; their secrets are hidden in every problem.

    Attributes:
        count: How often something was found; the same thing in the same place is kept only once.
    """

    def __init__(self, lines: Iterable[str] = (), *, sources: Sources | None = None) -> None:
        self.sources = sources or Sources()
        if lines := tuple(lines):
            self.sources.lines[""] = lines
        self.count = 0
        self._errors = 0
        self._found: dict[Problem, None] = {}

    def error(self, position: Position, code: str, message: str, hint: str = "") -> None:
        """Note a mistake."""
        self._note(position, "error", code, message, hint)

    def warning(self, position: Position, code: str, message: str, hint: str = "") -> None:
        """Note something that is legal but probably not meant."""
        self._note(position, "warning", code, message, hint)

    def _note(self, position: Position, severity: Severity, code: str, message: str, hint: str) -> None:
        self.take(Problem(position, severity, code, message, hint))

    def take(self, problem: Problem) -> None:
        """Note what was found elsewhere; its excerpt, where it has none, is that of its place.

        Raises:
            BlueprintError: There are more mistakes than ``MAX_MISTAKES``.
        """
        self.count += 1
        hide = self.sources.secrets.hide
        message, hint = (_one_line(_shortened(hide(text))) for text in (problem.message, problem.hint))
        source = problem.source or self.sources.line_at(problem.position)
        found = replace(problem, message=message, hint=hint, source=source)
        if found.severity == "error" and found not in self._found:
            self._take_mistake(found)
        else:
            self._found.setdefault(found)

    def _take_mistake(self, found: Problem) -> None:
        if self._errors == MAX_MISTAKES:
            message = f"there are more than {MAX_MISTAKES} mistakes: the others are not told"
            found = replace(found, code="E107", message=message, hint="mend these first")
        if self._errors <= MAX_MISTAKES:
            self._found[found] = None
            self._errors += 1
        if self._errors > MAX_MISTAKES:
            raise BlueprintError(self.problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was found, in the order of the files."""
        ranks = {name: number for number, name in enumerate(self.sources.lines)}
        last = len(ranks)

        def order(problem: Problem) -> tuple[int, Position, str]:
            return ranks.get(problem.position.file, last), problem.position, problem.severity

        return tuple(sorted(self._found, key=order))

    @property
    def has_errors(self) -> bool:
        """Whether there is a mistake among what was found."""
        return self._errors > 0


def _shortened(text: str) -> str:
    """Return a text without its middle where it repeats what is too long to be shown."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


def _one_line(text: str) -> str:
    """Return a text as it can be shown: names in it may hold line ends and control sequences."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


__all__ = ["CODES", "MAX_MISTAKES", "Complaints", "Position", "Problem", "Severity", "Sources"]
