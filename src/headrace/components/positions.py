"""How far a source has read along a growing column: kept in a file, up to where everything was done with."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from headrace.exceptions import HeadraceError

_KINDS: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "int": (int, int),
    "float": (float, float),
    "str": (str, str),
    "datetime": (datetime, datetime.fromisoformat),
    "date": (date, date.fromisoformat),
    "decimal": (Decimal, Decimal),
    "uuid": (UUID, UUID),
}


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    column: str
    kind: str
    value: str


class PositionFile:
    """The file that keeps a position.

    Args:
        path: The file.
        column: The growing column.
    """

    def __init__(self, path: str, column: str) -> None:
        self.path = Path(path)
        self._column = column

    def read(self) -> Any:
        """Return the position; None where there is no file yet.

        Raises:
            HeadraceError: The file cannot be read, or is one of another column.
        """
        try:
            kept = msgspec.json.decode(self.path.read_bytes(), type=_Kept)
            value = _KINDS[kept.kind][1](kept.value)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, ArithmeticError, KeyError, msgspec.MsgspecError) as error:
            raise HeadraceError(
                f"{self.path}: holds no position: {error}; delete it to begin with the first row"
            ) from error
        if kept.column != self._column:
            raise HeadraceError(
                f"{self.path}: is the position in column '{kept.column}', not in '{self._column}'; "
                "give each source a file of its own"
            )
        return value

    def write(self, value: Any) -> None:
        """Write a position; whoever reads the file meanwhile, or after a crash, sees the old one or the new one.

        Raises:
            HeadraceError: It cannot be written.
        """
        name = next(name for name, (kind, _) in _KINDS.items() if type(value) is kind)
        text = value.isoformat() if isinstance(value, date) else str(value)
        fresh = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(_Kept(self._column, name, text)))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise HeadraceError(f"{self.path}: the position cannot be written: {error}") from error


def can_be_kept(value: object) -> bool:
    """Return whether a value can be a position in a file."""
    return any(type(value) is kind for kind, _ in _KINDS.values())


class _Group:
    __slots__ = ("left", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.left = 0


class DonePosition:
    """The value up to which all rows that were sent are done with.

    Rows with the same value belong together: the position moves past all of them, or none.

    Args:
        value: Where it begins.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self._groups: deque[_Group] = deque()

    def expect(self, values: Iterable[Any]) -> list[_Group]:
        """Take note of rows that are about to be sent, by their values; returns the token of each."""
        tokens: list[_Group] = []
        for value in values:
            if not tokens or tokens[-1].value != value:
                self._groups.append(_Group(value))
            group = self._groups[-1]
            group.left += 1
            tokens.append(group)
        return tokens

    def settle(self, tokens: list[Any], done: bool) -> None:
        """Take note of what became of rows; what is undone is read again in the next run."""
        if not done:
            return
        for group in tokens:
            group.left -= 1
        while self._groups and not self._groups[0].left:
            self.value = self._groups.popleft().value


__all__ = ["DonePosition", "PositionFile", "can_be_kept"]
