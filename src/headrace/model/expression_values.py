"""What a condition finds in messages, and what it may do with plain values; so that no code of a message runs."""

from __future__ import annotations

import ast
import decimal
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .endpoint import did_you_mean
from .plain import fields_of, plain

__all__ = [
    "FUNCTIONS",
    "METHODS",
    "OPERATORS",
    "field_of",
    "in_order",
    "is_in",
    "item_of",
    "number",
    "operand",
    "reckoned",
]

_BASIC = frozenset({str, int, float, bool, type(None), list, decimal.Decimal})
_MOST_BITS = 4096

OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def operand(value: Any) -> Any:
    """Return a value as one that can be compared: numbers, texts and lists are themselves, all else is made plain.

    A list of the message's is made plain too: its items may be anything.
    """
    kind = type(value)
    if kind is list and not all(type(item) in _BASIC and type(item) is not list for item in value):
        return plain(value)
    return value if kind in _BASIC else plain(value)


def number(value: Any) -> Any:
    """Return a value that arithmetic may be done with.

    Raises:
        TypeError: It is no number, or one too large to reckon with.
    """
    value = operand(value)
    if type(value) not in (int, float, decimal.Decimal):
        raise TypeError(f"cannot reckon with {type(value).__name__}")
    if type(value) is int and value.bit_length() > _MOST_BITS:
        raise TypeError("cannot reckon with a number that large")
    return value


def reckoned(reckon: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Return what arithmetic makes of two values.

    Raises:
        TypeError: That is nothing.
    """
    try:
        return reckon(number(left), number(right))
    except (ArithmeticError, TypeError) as error:
        raise TypeError(str(error)) from None


def in_order(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """Return whether two plain values are in an order.

    Raises:
        TypeError: They have none.
    """
    try:
        return compare(left, right)
    except TypeError:
        raise TypeError(f"cannot compare {type(left).__name__} with {type(right).__name__}") from None


def is_in(part: Any, whole: Any) -> bool:
    """Return whether a plain value is part of a text, an item of a list, or a field of a row.

    Raises:
        TypeError: There is nothing in such a value.
    """
    if isinstance(whole, str):
        return _text(part) in whole
    if isinstance(whole, (list, dict)):
        return part in (list(whole) if isinstance(part, (list, dict)) else whole)
    raise TypeError(f"cannot look for something in {type(whole).__name__}")


def field_of(value: Any, name: str) -> Any:
    """Return a field of a row or a record.

    Raises:
        KeyError: It has none of this name.
        TypeError: It has no fields.
    """
    fields = value if type(value) is dict else fields_of(value)
    if fields is None:
        raise TypeError(f"no field '{name}': {type(value).__name__} has none")
    try:
        return fields[name]
    except KeyError:
        hint = did_you_mean(name, [key for key in list(fields)[:50] if isinstance(key, str)])
        raise KeyError(f"no field '{name}'" + (f", {hint}" if hint else "")) from None


def item_of(value: Any, key: Any) -> Any:
    """Return an item: of a list by its place, of a row by its name.

    Raises:
        KeyError: There is none.
        TypeError: A value of this kind has no items.
    """
    if isinstance(key, str):
        return field_of(value, key)
    if type(key) is int:
        if isinstance(value, Mapping) and key in value:
            return value[key]
        if isinstance(value, (list, tuple, str)):
            if not -len(value) <= key < len(value):
                raise KeyError(f"no item {key} of {len(value)}")
            return value[key]
    raise TypeError(f"no item {key!r}: {type(value).__name__}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text but {type(value).__name__}")
    return value


def _starts(text: Any, part: Any) -> bool:
    return _text(text).startswith(_text(part))


def _ends(text: Any, part: Any) -> bool:
    return _text(text).endswith(_text(part))


def _contains(whole: Any, part: Any) -> bool:
    return is_in(part, whole)


def _length(value: Any) -> int:
    if not isinstance(value, (str, Sequence, Mapping)):
        raise TypeError(f"{type(value).__name__} has no length")
    return len(value)


METHODS: Mapping[str, tuple[Callable[..., Any], int]] = {
    "contains": (_contains, 1),
    "endswith": (_ends, 1),
    "lower": (lambda text: _text(text).lower(), 0),
    "startswith": (_starts, 1),
    "upper": (lambda text: _text(text).upper(), 0),
}
FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int]] = {
    "abs": (lambda value: abs(number(value)), 1),
    "len": (_length, 1),
}
