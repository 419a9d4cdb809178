"""The values that a blueprint's keys take: each check returns what was meant, or complains and returns None."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from .blueprint import Complaints, Reference
from .blueprint_tree import Listing, Node, Scalar, Table, resolve_scalar
from .endpoint import did_you_mean
from .secret import Secret

Check = Callable[[Node, str, Complaints], Any]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h)")
_TOO_LONG = 10**308  # seconds; `float` refuses what is still larger
_DURATION_HINT = "write seconds as a number, or 500ms, 10s, 2m, 1h"


def describe(node: Node) -> str:
    """Return what a node is, as a person says it."""
    if isinstance(node, Table):
        return "a table"
    if isinstance(node, Listing):
        return "a list"
    if isinstance(node.value, Secret):
        return "a secret"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return f"the truth value {node.text}"
    kind = "the text" if isinstance(node.value, str) else "the number"
    shown = node.text if len(node.text) <= 40 else node.text[:40] + "..."
    return f"{kind} '{shown}'"


def _value(node: Node) -> Any:
    """Return what a scalar says where no text is wanted; quotes around a variable do not count."""
    if not isinstance(node, Scalar):
        return None
    return resolve_scalar(node.text) if node.expanded else node.value


def holds_secret(node: Node) -> bool:
    """Return whether a node, or one inside it, is a secret."""
    if isinstance(node, Table):
        return any(holds_secret(value) for _, value in node.entries.values())
    if isinstance(node, Listing):
        return any(holds_secret(item) for item in node.items)
    return isinstance(node.value, Secret)


def text(node: Node, what: str, complaints: Complaints) -> str | None:
    """Take a text that is not empty."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.strip():
        return node.value
    number = isinstance(node, Scalar) and node.value is not None and not isinstance(node.value, str)
    hint = "put it in quotes" if number else "write a text"
    complaints.error(node.position, "E104", f"{what} must be a text, not {describe(node)}", hint)
    return None


def reference(node: Node, what: str, complaints: Complaints) -> Reference | None:
    """Take the name of a component or a port."""
    name = text(node, what, complaints)
    return None if name is None else Reference(name.strip(), node.position)


def references(node: Node, what: str, complaints: Complaints) -> tuple[Reference, ...] | None:
    """Take one name, or a list of them."""
    if not isinstance(node, Listing):
        one = reference(node, what, complaints)
        return None if one is None else (one,)
    found = [reference(item, what, complaints) for item in node.items if not item.flawed]
    return tuple(one for one in found if one is not None)


def truth(node: Node, what: str, complaints: Complaints) -> bool | None:
    """Take true or false."""
    value = _value(node)
    if isinstance(value, bool):
        return value
    complaints.error(
        node.position, "E104", f"{what} must be true or false, not {describe(node)}", "write true or false"
    )
    return None


def whole_number(node: Node, what: str, complaints: Complaints) -> int | None:
    """Take a whole number of at least 1."""
    value = _value(node)
    if isinstance(value, bool) or not isinstance(value, int):
        complaints.error(
            node.position, "E104", f"{what} must be a whole number, not {describe(node)}", "write 1 or more"
        )
        return None
    if value < 1:
        complaints.error(
            node.position, "E111", f"{what} must be at least 1, not {describe(node)}", "write 1 or more"
        )
        return None
    return value


def share(node: Node, what: str, complaints: Complaints) -> float | None:
    """Take a number from 0 to 1."""
    value = _value(node)
    hint = "write a number from 0 to 1"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        complaints.error(node.position, "E104", f"{what} must be a number, not {describe(node)}", hint)
    elif not 0 <= value <= 1:
        complaints.error(node.position, "E111", f"{what} must be from 0 to 1, not {describe(node)}", hint)
    else:
        return float(value)
    return None


def duration(node: Node, what: str, complaints: Complaints) -> float | None:
    """Take a time in seconds, more than 0."""
    return _time(node, what, complaints, allow_zero=False)


def duration_or_zero(node: Node, what: str, complaints: Complaints) -> float | None:
    """Take a time in seconds, 0 or more."""
    return _time(node, what, complaints, allow_zero=True)


def _time(node: Node, what: str, complaints: Complaints, *, allow_zero: bool) -> float | None:
    seconds = read_duration(_value(node))
    if seconds is None:
        message = f"{what} must be a duration, not {describe(node)}"
        complaints.error(node.position, "E111", message, _DURATION_HINT)
    elif not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not allow_zero):
        message = (
            f"{what} must be finite and {'not below' if allow_zero else 'above'} 0, not {describe(node)}"
        )
        complaints.error(node.position, "E111", message, _DURATION_HINT)
    else:
        return seconds
    return None


def read_duration(value: object) -> float | None:
    """Return the seconds that a number or a text such as ``500ms`` says; None where it is no duration."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < _TOO_LONG else math.inf if value > 0 else -math.inf
    if isinstance(value, float):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else float(found[1]) * _SECONDS[found[2]]


class OneOf:
    """A check that takes one of the known words.

    Attributes:
        words: The words.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)

    def __call__(self, node: Node, what: str, complaints: Complaints) -> str | None:
        """Return the word, or complain."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str) and value in self.words:
            return value
        known = "known: " + ", ".join(self.words)
        hint = did_you_mean(value, self.words) if isinstance(value, str) else known
        complaints.error(node.position, "E112", f"{what} cannot be {describe(node)}", hint)
        return None


def key_fields(node: Node, what: str, complaints: Complaints) -> tuple[str | int, ...] | None:
    """Take the name of a field, or a list of them; a number is the index of an item."""
    items = node.items if isinstance(node, Listing) else (node,)
    values = [item.value for item in items if isinstance(item, Scalar)]
    names = tuple(v for v in values if isinstance(v, (str, int)) and not isinstance(v, bool) and v != "")
    if names and len(names) == len(items):
        return names
    complaints.error(
        node.position, "E104", f"{what} must name a field, not {describe(node)}", "write 'key: FIELD'"
    )
    return None


__all__ = [
    "Check",
    "OneOf",
    "describe",
    "duration",
    "duration_or_zero",
    "holds_secret",
    "key_fields",
    "read_duration",
    "reference",
    "references",
    "share",
    "text",
    "truth",
    "whole_number",
]
