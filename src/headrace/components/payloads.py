"""Rows out of the contents that brokers carry, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from headrace.exceptions import ConfigError
from headrace.model.message import Rejected

from .rows import Row, lacking

PayloadFormat = Literal["json", "msgpack", "text", "bytes"]

WRONG = (TypeError, ValueError, RecursionError, OverflowError, msgspec.MsgspecError)


class Payloads:
    """Between contents and rows: an object in JSON or msgpack is a row; text and bytes are in its field ``data``.

    Args:
        format: What a content is.
        subject_field: The field of a row with what a content came under; none where empty.
    """

    def __init__(self, format: PayloadFormat, subject_field: str = "") -> None:
        readers: dict[str, Callable[[bytes], Row]] = {
            "json": msgspec.json.Decoder(dict[str, Any]).decode,
            "msgpack": msgspec.msgpack.Decoder(dict[str, Any]).decode,
            "text": lambda data: {"data": data.decode()},
            "bytes": lambda data: {"data": data},
        }
        writers: dict[str, Callable[[Any], bytes]] = {
            "json": msgspec.json.encode,
            "msgpack": msgspec.msgpack.encode,
            "text": lambda row: _of_type(row, str).encode(),
            "bytes": lambda row: _of_type(row, bytes),
        }
        self.format = format
        self.write = writers[format]
        self._read = readers[format]
        self._subject_field = subject_field

    def read(self, data: bytes, subject: str) -> Row | Rejected[Any]:
        """Return the row of a content, or why there is none."""
        try:
            row = self._read(data)
        except msgspec.ValidationError:
            return Rejected(data, f"{subject}: not an object of named fields")
        except WRONG as error:
            return Rejected(data, f"{subject}: no {self.format}: {error}")
        if self._subject_field:
            row[self._subject_field] = subject
        return row


def _of_type(row: Any, kind: type[Any]) -> Any:
    value = row["data"] if isinstance(row, dict) and "data" in row else row
    if not isinstance(value, kind):
        raise TypeError(f"neither {kind.__name__} nor a row with such a field 'data'")
    return value


class Addresses:
    """Where rows go: under one name, or one that is made of their fields: ``sensors.{room}``.

    Args:
        template: The name.
        forbidden: What a value in it may not have.
        field: The setting.

    Raises:
        ConfigError: It is empty, or its braces do not close.
    """

    def __init__(self, template: str, forbidden: str, field: str) -> None:
        if not template:
            raise ConfigError(f"{field} is empty", field=field)
        self._parts: list[tuple[str, str]] = []
        self._forbidden = frozenset(forbidden)
        rest = template
        while "{" in rest:
            before, _, more = rest.partition("{")
            name, closed, rest = more.partition("}")
            if not closed or not name:
                raise ConfigError(f"{field} has a brace that does not close, or no name in it", field=field)
            self._parts.append((before, name))
        self._end = rest

    def pattern(self, wildcard: str) -> str:
        """Return the name with a wildcard in the place of each field."""
        return "".join(before + wildcard for before, _ in self._parts) + self._end

    def of(self, row: Any) -> str:
        """Return where a row goes.

        Raises:
            ValueError: It lacks a field, or has something there that cannot be in a name.
        """
        if not self._parts:
            return self._end
        found = ""
        for before, name in self._parts:
            if not isinstance(row, dict) or name not in row:
                raise ValueError(lacking(row, [name]))
            value = str(row[name])
            if not value or not self._forbidden.isdisjoint(value):
                raise ValueError(f"field '{name}' has {value!r}, which cannot be in a name")
            found += before + value
        return found + self._end


__all__ = ["WRONG", "Addresses", "PayloadFormat", "Payloads"]
