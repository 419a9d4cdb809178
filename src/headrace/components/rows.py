"""What the standard components agree on about rows: a row is a ``dict`` of named fields.

A row that lacks a field a component needs is rejected with a reason; it never crashes the component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from headrace.exceptions import ConfigError
from headrace.model.endpoint import did_you_mean

Row = dict[str, Any]


def lacking(row: object, fields: Iterable[str]) -> str:
    """Say for people why a row cannot give some fields.

    Args:
        row: What was received.
        fields: The names of the fields that were wanted of it.
    """
    if not isinstance(row, Mapping):
        return f"not a row of named fields but a value of type {type(row).__name__}"
    missing = next((field for field in fields if field not in row), "")
    hint = did_you_mean(missing, [str(name) for name in row])
    return f"no field '{missing}'" + (f", {hint}" if hint else "")


def why_no_key(row: object, error: Exception, fields: Iterable[str]) -> str:
    """Say for people why a row has no key that can be looked up."""
    if isinstance(row, Mapping) and isinstance(error, TypeError):
        return f"its key cannot be looked up: {error}"
    return lacking(row, fields)


def picker(fields: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that takes the values of some fields out of a row, always as a tuple."""
    if not fields:
        return lambda row: ()
    if len(fields) == 1:
        only = fields[0]
        return lambda row: (row[only],)
    return itemgetter(*fields)


def keyer(fields: Sequence[str]) -> Callable[[Any], Any]:
    """Return a function that takes the key out of a row: a tuple, or the bare value of an only field."""
    return itemgetter(*fields) if fields else lambda row: ()


def require_names(names: Iterable[str], field: str) -> None:
    """Check a list of field names in a configuration.

    Raises:
        ConfigError: A name is empty or is there twice.
    """
    seen: set[str] = set()
    for name in names:
        if not name:
            raise ConfigError(f"{field} has an empty name", field=field)
        if name in seen:
            raise ConfigError(f"{field} names '{name}' twice", hint="name each field once", field=field)
        seen.add(name)


__all__ = ["Row", "keyer", "lacking", "picker", "require_names", "why_no_key"]
