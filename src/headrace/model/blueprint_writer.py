"""Plain values as the text of a blueprint, so that reading it gives the same values back.

Written by hand over the reader's own rules for scalars: whatever another reading of YAML could take for
something else stands in quotes, and `${` is written so that it stays what it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .blueprint_tree import MAX_DEPTH, MAX_NODES, resolve_scalar
from .secret import Secret

WIDTH = 100
"""How long a line may become before a table or a list is written one entry a line, in characters."""

_LONGEST_KEY = 1_000  # characters; YAML's own limit is 1,024
_LARGEST = 10**398  # what the reader still takes for a number
_LEVELS_IN_A_LINE = 2
_PLAIN = re.compile(
    r"(?:[^\W\d]|\.{0,2}/|\.(?=\w))(?:[\w./+>-]| (?=[\w./+>-]))*|[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)"
)
_OTHER_WORDS = frozenset(
    {"y", "n", "yes", "no", "on", "off"}
)  # truth values where YAML is read less strictly
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_yaml(document: Mapping[str, Any]) -> str:
    """Return a document as YAML: one entry a line, and what is short in brackets.

    Args:
        document: Plain values in which ``find_unwritable`` finds nothing.
    """
    lines: list[str] = []
    for key, value in document.items():
        if lines and _is_large(value):
            lines.append("")
        lines += _entry(_scalar(key, is_key=True) + ":", value, 0, in_line=not _is_large(value))
    return "\n".join(lines) + "\n"


def find_unwritable(value: object, place: str = "", *, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield what cannot be written so that it comes back: its place below ``place``, and why.

    Args:
        value: The value.
        place: What the value is called.
        depth: How many tables are open around it.
    """
    budget = [MAX_NODES]
    yield from _unwritable(value, place, depth, budget)
    if budget[0] < 0:
        yield place, f"holds more than {MAX_NODES:,} values"


# --- what can be written -------------------------------------------------------------------------


def _unwritable(value: object, place: str, depth: int, budget: list[int]) -> Iterator[tuple[str, str]]:
    budget[0] -= 1
    if budget[0] < 0:
        return
    if not isinstance(value, (dict, list)):
        reason = _why_no_scalar(value)
        if reason:
            yield place, reason
    elif depth >= MAX_DEPTH:
        yield place, f"is more than {MAX_DEPTH} levels deep, or inside itself"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unwritable(item, f"{place}[{number}]", depth + 1, budget)
    else:
        yield from _unwritable_keys(value, place)
        for key, item in value.items():
            yield from _unwritable(item, f"{place}.{key}" if place else str(key), depth + 1, budget)


def _unwritable_keys(table: dict[Any, Any], place: str) -> Iterator[tuple[str, str]]:
    seen: dict[str, Any] = {}
    for key in table:
        reason = _why_no_key(key)
        text = "" if reason else _key_text(key)
        if text in seen and not reason:
            reason = f"is the same key as {seen[text]!r} once written"
        if reason:
            yield place, f"has the key {key!r}, which {reason}"
        seen[text] = key


def _why_no_key(key: object) -> str:
    if key in ("", "<<"):
        return "means something else in a blueprint"
    reason = _why_no_scalar(key)
    if not reason and len(_scalar(key, is_key=True)) > _LONGEST_KEY:
        reason = f"is longer than {_LONGEST_KEY:,} characters"
    return reason


def _key_text(key: object) -> str:
    return key if isinstance(key, str) else _scalar(key, is_key=True)


def _why_no_scalar(value: object) -> str:
    kind = type(value)
    if kind in (str, Secret):
        assert isinstance(value, str)
        is_lone = any("\ud800" <= character <= "\udfff" for character in value)
        return "is a text with half a character (a lone surrogate)" if is_lone else ""
    if kind is int:
        assert isinstance(value, int)
        return "" if abs(value) < _LARGEST else "is a number of more than 398 digits"
    if value is None or kind in (bool, float):
        return ""
    return f"is of type {kind.__qualname__}, which is no plain value"


# --- lines ---------------------------------------------------------------------------------------


def _is_large(value: object) -> bool:
    """Whether a top-level entry gets lines of its own: a table of tables, or any list."""
    if isinstance(value, dict):
        return any(isinstance(item, dict) for item in value.values())
    return isinstance(value, list) and bool(value)


def _entry(head: str, value: object, indent: int, *, in_line: bool = True) -> list[str]:
    """Return the lines of one entry of a table or a list; ``head`` is its ``key:`` or its dash."""
    margin = " " * indent
    is_filled = isinstance(value, (dict, list)) and bool(value)
    short = _in_line(value) if in_line or not is_filled else None
    if short is not None and (not is_filled or indent + len(head) + len(short) < WIDTH):
        return [f"{margin}{head} {short}"]
    if isinstance(value, str):  # a paragraph
        return [f"{margin}{head} {'|' if value.endswith(chr(10)) else '|-'}", *_literal(value, indent + 2)]
    if isinstance(value, dict):
        return [f"{margin}{head}", *_rows(value, indent + 2)]
    assert isinstance(value, list)
    return [f"{margin}{head}", *(line for item in value for line in _item(item, indent + 2))]


def _rows(table: dict[Any, Any], indent: int) -> list[str]:
    rows: list[str] = []
    for key, value in table.items():
        rows += _entry(_scalar(key, is_key=True) + ":", value, indent)
    return rows


def _item(value: object, indent: int) -> list[str]:
    """Return the lines of one item of a list; a table or a list in it begins on the line of the dash."""
    whole = _entry("-", value, indent)
    if len(whole) == 1 or isinstance(value, str):
        return whole
    first = whole[1].removeprefix(" " * (indent + 2))
    return [f"{whole[0]} {first}", *whole[2:]]


def _literal(text: str, indent: int) -> list[str]:
    lines = _with_dollars(text).removesuffix("\n").split("\n")
    return [" " * indent + line if line else "" for line in lines]


def _in_line(value: object, levels: int = _LEVELS_IN_A_LINE) -> str | None:
    """Return a value on one line, or None where it needs several."""
    if isinstance(value, dict):
        return _in_brackets("{}", _pairs(value, levels), levels, bool(value))
    if isinstance(value, list):
        return _in_brackets("[]", (_in_line(item, levels - 1) for item in value), levels, bool(value))
    return None if type(value) is str and _is_paragraph(value) else _scalar(value)


def _pairs(table: dict[Any, Any], levels: int) -> Iterator[str | None]:
    for key, value in table.items():
        short = _in_line(value, levels - 1)
        yield None if short is None else f"{_scalar(key, is_key=True)}: {short}"


def _in_brackets(brackets: str, parts: Iterator[str | None], levels: int, is_filled: bool) -> str | None:
    if is_filled and levels <= 0:
        return None
    length, kept = 0, []
    for part in parts:
        length += 0 if part is None else len(part) + 2
        if part is None or length > WIDTH:
            return None
        kept.append(part)
    return f"{brackets[0]}{', '.join(kept)}{brackets[1]}"


# --- scalars -------------------------------------------------------------------------------------


def _is_paragraph(text: str) -> bool:
    """Whether a text of several lines can stand as it is, indented."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 2 or not lines[0] or not lines[-1] or lines[0].startswith(" "):
        return False
    return all(line.isprintable() and not (line and line.isspace()) for line in lines)


def _scalar(value: object, *, is_key: bool = False) -> str:
    if isinstance(value, Secret) and value.written:
        return f'"{"".join(map(_escaped, value.written))}"'
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _OTHER_WORDS and resolve_scalar(value) is value:
            return value
        return f'"{"".join(map(_escaped, value if is_key else _with_dollars(value)))}"'
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return repr(value)


def _with_dollars(text: str) -> str:
    """Return a value's text as it is written: where it is read, variables are replaced."""
    return text.replace("${", "$${")


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


__all__ = ["WIDTH", "find_unwritable", "write_yaml"]
