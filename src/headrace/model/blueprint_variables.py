"""What ``${...}`` in a blueprint stands for: variables of the environment, and files that hold secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .blueprint_problems import MAX_MISTAKES
from .endpoint import did_you_mean
from .secret import Redactor, Secret

MAX_FILES = 100
MAX_TEXT = 1 << 22
MAX_NODES = 50_000
MAX_PARTS = 500

_VARIABLE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_SECRET = re.compile(r"file:(?!-)(.*?)(?::-(.*))?", re.DOTALL)
_SECRET_HINT = "check the path, which is relative to the blueprint, and its rights"


@dataclass(slots=True)
class Room:
    """How much a blueprint may still hold, with all the files that it names.

    Attributes:
        files: How many more files may be read.
        text: How many more bytes may be read, and characters put in for variables.
        nodes: How many more values there may be.
        parts: How many more components may be blueprints.
    """

    files: int = MAX_FILES
    text: int = MAX_TEXT
    nodes: int = MAX_NODES
    parts: int = MAX_PARTS


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a file of secrets could not be read; ``is_missing`` where there is none."""

    reason: str
    is_missing: bool = False


ReadFile = Callable[[str], "str | Unreadable"]


def read_no_file(path: str) -> str | Unreadable:
    """Refuse every file, for a text that stands in no folder."""
    return Unreadable("a text without a folder names no files")


@dataclass(slots=True)
class Surroundings:
    """What the ``${...}`` of one file refer to.

    Attributes:
        variables: The values of variables; one that is a ``Secret`` makes what it is put into one.
        read_file: Returns the text of a file that holds a secret.
        room: What is left for all files together.
        used: Which variables were asked for.
        secrets: Where the texts of such files go, to be hidden.
        mend: What to do about a variable that is not there.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    read_file: ReadFile = read_no_file
    room: Room = field(default_factory=Room)
    used: set[str] = field(default_factory=set)
    secrets: Redactor = field(default_factory=Redactor)
    mend: str = "set it"


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong at an index of a text."""

    index: int
    code: str
    message: str
    hint: str


def expand_variables(text: str, around: Surroundings) -> tuple[str, list[Flaw]]:
    """Replace ``${NAME}``, ``${NAME:-default}`` and ``${file:PATH}``; ``$${`` stands for ``${``.

    Args:
        text: The text.
        around: What they stand for; an empty variable counts as not set where there is a default.

    Returns:
        The text with the values in it, a ``Secret`` where one of them was, and what is wrong.
    """
    return _Expansion(text, around).result()


class _Expansion:
    def __init__(self, text: str, around: Surroundings) -> None:
        self.text = text
        self.around = around
        self.flaws: list[Flaw] = []
        self.is_secret = False
        self.written: dict[int, str] = {}  # how the value at an index can be said without the variables

    def result(self) -> tuple[str, list[Flaw]]:
        expanded = _VARIABLE.sub(self._replaced, self.text)
        if not self.is_secret:
            return expanded, self.flaws
        written = _VARIABLE.sub(lambda found: self.written.get(found.start(), found[0]), self.text)
        return Secret(expanded, written), self.flaws

    def _replaced(self, found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        if len(self.flaws) > MAX_MISTAKES or self.around.room.text < 0:
            return ""  # nobody reads more of them, and nothing comes of this text
        secret, variable = _SECRET.fullmatch(found[1] or ""), _REFERENCE.fullmatch(found[1] or "")
        if secret is not None:
            value = self._secret(found.start(), secret[1], secret[2])
        elif variable is not None:
            value = self._variable(found.start(), variable[1], variable[2])
        else:
            hint = "write ${NAME}, ${NAME:-default} or ${file:PATH}, and $${ for the characters themselves"
            value = None
            self._flaw(found.start(), "E109", f"'{found[0]}' is not a variable", hint)
        if value is None:
            return found[0]
        self.around.room.text -= len(value)
        if self.around.room.text < 0:
            self._flaw(
                found.start(), "E107", "the variables hold too much text", "is it meant for a blueprint?"
            )
            return ""
        return value

    def _flaw(self, index: int, code: str, message: str, hint: str) -> None:
        self.flaws.append(Flaw(index, code, message, hint))

    def _variable(self, index: int, name: str, default: str | None) -> str | None:
        self.around.used.add(name)
        value = self.around.variables.get(name)
        if not value and default is not None:
            return default
        if value is None:
            hint = did_you_mean(name, self.around.variables) if len(name) > 2 else ""
            hint = hint if hint.startswith("did") else f"{self.around.mend}, or write ${{{name}:-default}}"
            self._flaw(index, "E109", f"variable '{name}' is not set", hint)
            return None
        self.is_secret = self.is_secret or isinstance(value, Secret)
        self.written[index] = value.written if isinstance(value, Secret) else value.replace("${", "$${")
        return value

    def _secret(self, index: int, path: str, default: str | None) -> str | None:
        if not path.strip():
            self._flaw(index, "E116", "'${file:...}' names no file", "write ${file:PATH}")
            return None
        text = self.around.read_file(path)
        if isinstance(text, Unreadable):
            if text.is_missing and default is not None:
                return default
            self._flaw(index, "E116", f"'{path}' cannot be read: {text.reason}", _SECRET_HINT)
            return None
        self.around.secrets.add(text)
        self.is_secret = True
        return text


__all__ = [
    "MAX_FILES",
    "MAX_NODES",
    "MAX_PARTS",
    "MAX_TEXT",
    "Flaw",
    "ReadFile",
    "Room",
    "Surroundings",
    "Unreadable",
    "expand_variables",
    "read_no_file",
]
