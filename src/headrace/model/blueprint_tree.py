"""What a blueprint's text says before anyone asks what it means: scalars, lists and tables with their places.

`TreeBuilder` takes the parser's events one by one, so that limits hold before anything grows: no recursion,
bounded depth, aliases and size. Scalars are strict: only what JSON would call a number is one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .blueprint import Complaints, Position
from .blueprint_variables import MAX_NODES, Surroundings, expand_variables
from .endpoint import did_you_mean
from .secret import Secret

MAX_DEPTH = 50
MAX_ALIASES = 1_000

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 400  # digits; more is no setting, and Python refuses to read 4,300 of them
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A single value.

    Attributes:
        value: What it says: text, a number, a bool or None.
        text: The text it was read from.
        position: Where it stands.
        lead: How many characters the text begins after that place; None where it is not written out there
            character by character (escapes, variables, several lines).
        flawed: Whether a mistake in it was told already.
        expanded: Whether variables were replaced in it; where one was a secret, its value is a ``Secret``.
    """

    value: str | int | float | bool | None
    text: str
    position: Position
    lead: int | None = None
    flawed: bool = False
    expanded: bool = False

    def place_of(self, index: int) -> Position:
        """Return where a character of the text stands, or the scalar where that is not known."""
        return self.position if self.lead is None else self.position.right(self.lead + index)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """Several values in a row."""

    items: tuple[Node, ...]
    position: Position
    flawed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Values by key; the keys keep their places."""

    entries: Mapping[str, tuple[Scalar, Node]]
    position: Position
    flawed: bool = False


Node = Scalar | Listing | Table


def plain(node: Node) -> Any:
    """Return what a node says as plain Python values."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return {key.value: plain(value) for key, value in node.entries.values()}


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar says: null, true, false, a number, or the text as it is."""
    if text in _WORDS:
        return _WORDS[text]  # type: ignore[no-any-return]
    if len(text) <= _LONGEST_NUMBER:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and not math.isinf(number := float(text)):
            return number
    return text


@dataclass(slots=True)
class _Frame:
    """A list or table that is still open."""

    is_table: bool
    position: Position
    anchor: str | None
    complaints_before: int
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 0


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    size: int
    height: int


class TreeBuilder:
    """Makes a tree from a parser's events.

    Args:
        complaints: Where mistakes go.
        around: What ``${...}`` stands for, and how much room there is.
    """

    def __init__(self, complaints: Complaints, around: Surroundings | None = None) -> None:
        self.complaints = complaints
        self.around = around or Surroundings()
        self.around.secrets = complaints.sources.secrets
        self.root: Node | None = None
        self.stopped = False
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._aliases = 0
        self._size = 0

    # --- events --------------------------------------------------------------------------------------

    def scalar(
        self,
        text: str,
        position: Position,
        *,
        is_plain: bool,
        lead: int | None = None,
        anchor: str | None = None,
        tag: str | None = None,
    ) -> None:
        """Take a scalar."""
        before = self.complaints.count
        self._refuse_tag(tag, position)
        expanded = "${" in text and not self._expects_key()
        if expanded:
            text = self._expand(Scalar(text, text, position, lead))
            lead = None
            is_plain = is_plain and text != "" and not isinstance(text, Secret)
        value = resolve_scalar(text) if is_plain else text
        flawed = self.complaints.count > before
        self._take(_Anchored(Scalar(value, text, position, lead, flawed, expanded), 1, 0), anchor)

    def open(
        self, position: Position, *, is_table: bool, anchor: str | None = None, tag: str | None = None
    ) -> None:
        """Take the beginning of a list or a table."""
        before = self.complaints.count
        self._refuse_tag(tag, position)
        if len(self._frames) >= MAX_DEPTH:
            self._stop(position, f"more than {MAX_DEPTH} levels deep", "make it flatter")
            return
        self._frames.append(_Frame(is_table, position, anchor, before))

    def close(self) -> None:
        """Take the end of the list or table that is open."""
        frame = self._frames.pop()
        entries = self._entries(frame) if frame.is_table else {}
        flawed = self.complaints.count > frame.complaints_before or any(item.flawed for item in frame.items)
        node: Node
        if frame.is_table:
            node = Table(entries, frame.position, flawed)
        else:
            node = Listing(tuple(frame.items), frame.position, flawed)
        self._size -= frame.size - 1
        self._take(_Anchored(node, frame.size, frame.height + 1), frame.anchor)

    def alias(self, name: str, position: Position) -> None:
        """Take an alias: the node of that anchor once more."""
        self._aliases += 1
        target = self._anchors.get(name)
        if any(frame.anchor == name for frame in self._frames):
            self.complaints.error(position, "E108", f"'*{name}' is inside itself", "write the value out")
            target = None
        elif target is None:
            hint = did_you_mean(name, self._anchors) or f"mark a value with '&{name}' before it"
            self.complaints.error(position, "E108", f"there is no anchor '&{name}' before '*{name}'", hint)
        if self._aliases > MAX_ALIASES:
            self._stop(position, f"more than {MAX_ALIASES:,} aliases", "write the values out")
        elif target is not None and len(self._frames) + target.height > MAX_DEPTH:
            self._stop(position, f"more than {MAX_DEPTH} levels deep", "make it flatter")
        else:
            self._take(target or _Anchored(Scalar(None, "", position, flawed=True), 1, 0), None)

    # --- inside --------------------------------------------------------------------------------------

    def _refuse_tag(self, tag: str | None, position: Position) -> None:
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            hint = "write the plain value, in quotes if it is text"
            self.complaints.error(position, "E106", f"the tag '{shown}' is not allowed", hint)

    def _expects_key(self) -> bool:
        return bool(self._frames) and self._frames[-1].is_table and len(self._frames[-1].items) % 2 == 0

    def _expand(self, written: Scalar) -> str:
        text, flaws = expand_variables(written.text, self.around)
        for flaw in flaws:
            place = written.place_of(flaw.index)
            if flaw.code == "E107":
                self._stop(place, flaw.message, flaw.hint)
                break
            self.complaints.error(place, flaw.code, flaw.message, flaw.hint)
        return text

    def _stop(self, position: Position, what: str, hint: str) -> None:
        self.complaints.error(position, "E107", what, hint)
        self.stopped = True

    def _take(self, taken: _Anchored, anchor: str | None) -> None:
        self._size += taken.size
        if self._size > self.around.room.nodes:
            message = f"more than {MAX_NODES:,} values, with all the files it names"
            self._stop(taken.node.position, message, "repeat fewer of them by alias")
            return
        if anchor is not None:
            self._anchors[anchor] = taken
        if not self._frames:
            self.root = taken.node
            self.around.room.nodes -= self._size
            return
        frame = self._frames[-1]
        frame.items.append(taken.node)
        frame.size += taken.size
        frame.height = max(frame.height, taken.height)

    def _entries(self, frame: _Frame) -> dict[str, tuple[Scalar, Node]]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(frame.items[::2], frame.items[1::2], strict=True):
            if not isinstance(key, Scalar) or not key.text:
                self.complaints.error(key.position, "E104", "a key must be a text", "write 'key: value'")
            elif key.text == "<<":
                hint = "write the keys out; what is the same everywhere can go to 'defaults'"
                self.complaints.error(key.position, "E115", "there are no merge keys", hint)
                merged.update(value.entries if isinstance(value, Table) else {})
            elif key.text in entries:
                first = entries[key.text][0].position
                hint = f"delete one of the two; the first is in line {first.line}"
                self.complaints.error(key.position, "E105", f"key '{key.text}' is there twice", hint)
            else:
                entries[key.text] = (key, value)
        return {**merged, **entries}  # what was merged is read, so that nothing else seems to be missing


__all__ = [
    "MAX_ALIASES",
    "MAX_DEPTH",
    "MAX_NODES",
    "Listing",
    "Node",
    "Scalar",
    "Table",
    "TreeBuilder",
    "plain",
    "resolve_scalar",
]
