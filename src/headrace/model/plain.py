"""Messages as plain data for people and tools: dicts, lists, texts and numbers, however large the message is.

No property of the user's is asked for it, and the size of the result is bounded: a look at a message must
not cost what the message weighs.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

import msgspec

from .secret import HIDDEN, Secret

__all__ = ["MOST_TEXT", "fields_of", "plain"]

MOST_VALUES = 500
"""How many values a message shows; what is beyond is counted."""
MOST_TEXT = 2000
"""How many characters of a text are shown."""
_DEEPEST = 12
_LARGEST = 10**300
_MORE = "..."
_TEXTS = (decimal.Decimal, uuid.UUID, PurePath, datetime.timedelta)
_TIMES = (datetime.datetime, datetime.date, datetime.time)


class _Walk:
    """One walk through a message; ``left`` is how many more values it may show."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def show(self, value: Any, depth: int = 0) -> Any:
        self.left -= 1
        basic = _BASIC.get(type(value))
        if basic is not None:
            return basic(value)
        if depth >= _DEEPEST:
            return f"<{type(value).__name__}>"
        if isinstance(value, Mapping):
            return self._table(value.items(), len(value), depth)
        if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_fields"):
            return self._items(value, len(value), depth)
        return self._leaf(value, depth)

    def _table(self, items: Iterable[tuple[Any, Any]], length: int, depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, item in islice(items, max(self.left, 0)):
            if self.left <= 0:
                break
            shown[key if type(key) is str and len(key) <= MOST_TEXT else _name(key)] = self.show(
                item, depth + 1
            )
        if len(shown) < length:
            shown[_MORE] = f"{length - len(shown):,} more"
        return shown

    def _items(self, items: Iterable[Any], length: int, depth: int) -> list[Any]:
        shown: list[Any] = []
        for item in islice(items, max(self.left, 0)):
            if self.left <= 0:
                break
            shown.append(self.show(item, depth + 1))
        if len(shown) < length:
            shown.append(f"{_MORE} {length - len(shown):,} more")
        return shown

    def _leaf(self, value: Any, depth: int) -> Any:
        """Show a value that is no container of Python's."""
        text = _as_text(value)
        if text is not None:
            return text
        if isinstance(value, enum.Enum):
            return self.show(value.value, depth + 1)
        if isinstance(value, (bool, int, float, str)):  # a class of the user's that is one
            return self.show(_basic(value), depth + 1)
        if isinstance(value, type) or callable(value):
            return _said(value)
        size = getattr(value, "nbytes", None)
        if isinstance(size, int) and hasattr(value, "tolist"):  # an array, or one of its numbers
            few = size <= MOST_VALUES * 8
            return self.show(value.tolist(), depth + 1) if few else _array(value)
        fields = fields_of(value)
        if fields is None:
            return _said(value)
        return self._table(fields.items(), len(fields), depth)


def plain(value: Any, most: int = MOST_VALUES) -> Any:
    """Return a message as plain data: what JSON can hold, bounded in size.

    Records become tables of their public fields, times and the like texts, bytes text with escapes; a secret
    stays hidden.

    Args:
        value: The message.
        most: How many values it shows at most.
    """
    return _Walk(most).show(value)


def fields_of(value: Any) -> Mapping[str, Any] | None:
    """Return the public fields of a record: of a table, a structure, a dataclass, a named tuple, or what has
    attributes of its own; None where there are none. Properties are not asked: they are code of the user's.
    """
    if isinstance(value, Mapping):
        return value
    names: Iterable[str]
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = value.__dataclass_fields__
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=False))
    else:
        own = getattr(value, "__dict__", None)
        if not isinstance(own, dict):
            return None
        names = own
    return dict(_public(value, names))


def _public(value: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    missing = object()
    for name in tuple(names):
        if not name.startswith("_"):
            found = getattr(value, name, missing)
            if found is not missing and found is not msgspec.UNSET:
                yield name, found


def _as_text(value: Any) -> str | None:
    """Return what stands for a value as text; None where that would lose something."""
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _cut(bytes(value[: MOST_TEXT + 1]).decode("utf-8", "backslashreplace"), len(value))
    if isinstance(value, _TIMES):
        return value.isoformat()
    if isinstance(value, _TEXTS):
        return _cut(str(value))
    if isinstance(value, BaseException):
        return _cut(f"{type(value).__name__}: {_said(value, str)}")
    return None


def _basic(value: bool | int | float | str) -> int | float | str:
    """Return a value of a class of the user's as the value of Python's that it is."""
    if isinstance(value, str):
        return str.__str__(value)
    return float.__float__(value) if isinstance(value, float) else int.__int__(value)


def _int(value: int) -> int | str:
    return value if -_LARGEST < value < _LARGEST else f"<int of {value.bit_length()} bits>"


def _float(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _cut(text: str, length: int | None = None) -> str:
    whole = len(text) if length is None else length
    return text if whole <= MOST_TEXT else f"{text[:MOST_TEXT]}... {whole - MOST_TEXT:,} more"


def _name(key: Any) -> str:
    return _cut(str.__str__(key)) if isinstance(key, str) else _said(key)


def _array(value: Any) -> str:
    shape, kind = getattr(value, "shape", ""), getattr(value, "dtype", "")
    return f"<{type(value).__name__} {shape} {kind}>"


def _itself(value: Any) -> Any:
    return value


_BASIC: Mapping[type, Callable[[Any], Any]] = {
    str: _cut,
    int: _int,
    float: _float,
    bool: _itself,
    type(None): _itself,
}


def _said(value: Any, say: Any = repr) -> str:
    try:
        return _cut(say(value))
    except Exception as error:  # code of the user's; a look must not fail for it
        return f"<{type(value).__name__}: its text raises {type(error).__name__}>"
