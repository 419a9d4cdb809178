"""Messages as a blueprint's tests write them: from plain values to a port's type, and back to be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal, TypeVar

import msgspec

_LONGEST = 200


def to_message(value: Any, kind: Any) -> Any:
    """Make a message of a plain value.

    Args:
        value: What stands in the blueprint.
        kind: The type of the port: a msgspec, attrs or pydantic class, a dataclass, bytes, or anything.

    Raises:
        ValueError: The value does not fit; the message says where.
    """
    if kind in (bytes, bytearray) and isinstance(value, str):
        return kind(value.encode())
    if kind is Any or isinstance(kind, TypeVar):
        return value
    try:
        return msgspec.convert(value, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    except TypeError:  # a type that msgspec does not know: the component gets what is written
        return value


def _decode(kind: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    if issubclass(kind, PurePath):
        return kind(value)
    return kind(**value) if isinstance(value, Mapping) else value


def to_plain(message: Any) -> Any:
    """Return a message as plain values: tables, lists, texts and numbers; times and the like as text."""
    try:
        return _plain(_builtins(message, "deterministic"))
    except TypeError:  # the keys of a table, or the items of a set, have no order
        return _plain(_builtins(message, None))


def _builtins(message: Any, order: Literal["deterministic"] | None) -> Any:
    return msgspec.to_builtins(message, builtin_types=(bytes, bytearray), enc_hook=_encode, order=order)


def _encode(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, PurePath) or not hasattr(value, "__dict__"):
        return str(value)
    return {name: item for name, item in vars(value).items() if not name.startswith("_")}


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def same(want: Any, got: Any, *, partial: bool = False) -> bool:
    """Return whether plain values are the same: numbers to nine digits, true and 1 are different.

    Args:
        want: What was expected.
        got: What came.
        partial: Whether tables of ``want`` may leave out keys.
    """
    if isinstance(want, dict) and isinstance(got, dict):
        keys_fit = want.keys() <= got.keys() if partial else want.keys() == got.keys()
        return keys_fit and all(same(item, got[key], partial=partial) for key, item in want.items())
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(
            same(one, other, partial=partial) for one, other in zip(want, got, strict=True)
        )
    if _is_number(want) and _is_number(got):
        return math.isclose(want, got, rel_tol=1e-9) or (math.isnan(want) and math.isnan(got))
    return type(want) is type(got) and bool(want == got)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def show(value: Any) -> str:
    """Return a plain value as JSON in one line, cut where it is very long."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


__all__ = ["same", "show", "to_message", "to_plain"]
