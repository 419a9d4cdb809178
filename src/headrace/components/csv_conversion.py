"""From the text of CSV records to rows: types, null values, and what is wrong with a record.

Pure, and by column: a batch is converted with one C call a column (5.5 us a row of 19 columns, half of it
for the dict); only a batch with something wrong in it is looked at record by record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from headrace.exceptions import ConfigError, RowError
from headrace.model.endpoint import did_you_mean
from headrace.model.message import Rejected

from .rows import Row

ColumnType = Literal["int", "float", "str", "bool"]
Record = list[str]

_MOST_KNOWN = 10_000  # texts of a column that are worth remembering: 1 MB

_BOOLEANS = {
    "true": True,
    "t": True,
    "yes": True,
    "1": True,
    "false": False,
    "f": False,
    "no": False,
    "0": False,
}


class CsvConversion:
    """Makes rows of the records of one file.

    Args:
        path: The file's name, for reasons.
        header: The names of its columns.
        types: The type of each column that is not text.
        null_values: Texts that mean "no value", in every column.
        columns: The columns to keep, in this order; all of them where None.

    Raises:
        ConfigError: The header has no such column, or has one twice.
    """

    def __init__(
        self,
        path: str,
        header: Sequence[str],
        *,
        types: Mapping[str, ColumnType],
        null_values: Collection[str],
        columns: Sequence[str] | None = None,
    ) -> None:
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"column '{twice}' is there twice", hint="each column needs a name of its own")
        for name in [*types, *(columns or ())]:
            if name not in header:
                raise ConfigError(f"no column '{name}'", hint=did_you_mean(name, header), field="types")
        self._path = path
        self._width = len(header)
        self._nulls = frozenset(null_values)
        self._names = list(header if columns is None else columns)
        self._plan = [(header.index(name), name, types.get(name, "str")) for name in self._names]
        self._is_plain = columns is None and all(kind == "str" for _, _, kind in self._plan)
        self._columns = [(place, _Column(kind, self._nulls)) for place, _, kind in self._plan]

    def convert(
        self, records: Sequence[Record], lines: Sequence[int], *, checked: bool = False
    ) -> list[Row | Rejected[Any]]:
        """Make rows of records, and ``Rejected`` of those that do not parse; blank lines are left out.

        Args:
            records: The fields of each record.
            lines: The line of the file on which each record begins.
            checked: Whether it is known that all of it is text.
        """
        if not records:
            return []
        if set(map(len, records)) == {self._width} and (checked or _is_text("".join(map("".join, records)))):
            try:
                return list(self._by_column(records))
            except ValueError:
                pass
        return [self._one(record, line) for record, line in zip(records, lines, strict=False) if record]

    def _by_column(self, records: Sequence[Record]) -> Iterable[Row]:
        if self._is_plain and self._nulls.isdisjoint(chain.from_iterable(records)):
            names = self._names
            return [dict(zip(names, record, strict=True)) for record in records]
        columns = list(zip(*records, strict=True))
        kept = [convert(columns[place]) for place, convert in self._columns]
        names = self._names
        return [dict(zip(names, values, strict=True)) for values in zip(*kept, strict=True)]

    def _one(self, record: Record, line: int) -> Row | Rejected[Any]:
        try:
            return self.row(record)
        except ValueError as error:
            reason = RowError(str(error), path=self._path, line=line)
            return Rejected([_printable(field) for field in record], str(reason))

    def row(self, record: Record) -> Row:
        """Return the row of a record.

        Raises:
            ValueError: It has other fields than the header, or a value does not convert.
        """
        if len(record) != self._width:
            raise ValueError(f"{len(record)} fields where the header has {self._width}")
        row: Row = {}
        for place, name, kind in self._plan:
            text = record[place]
            if not _is_text(text):
                raise ValueError(f"column '{name}' is not in the file's encoding: {_printable(text)!r}")
            try:
                row[name] = None if text in self._nulls else _CONVERTERS[kind](text)
            except ValueError:
                raise ValueError(f"column '{name}' is not {_ARTICLED[kind]}: {text[:80]!r}") from None
        return row


class _Known(dict[str, Any]):
    """The values of texts that were converted before."""

    def __init__(self, convert: Callable[[str], Any], nulls: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(nulls))
        self._convert = convert

    def __missing__(self, text: str) -> Any:
        value = self[text] = self._convert(text)
        return value


class _Column:
    """Converts the texts of one column, a batch at a time.

    Most texts come again and again: looking a value up takes half the time of converting it (0.1 us to 0.2 us), and
    equal values are one object. A column of more different texts than are worth remembering is converted each time.
    """

    def __init__(self, kind: ColumnType, nulls: Collection[str]) -> None:
        self._nulls = frozenset(nulls)
        self._convert = _CONVERTERS[kind]
        self._known = None if kind == "str" else _Known(self._convert, nulls)

    def __call__(self, texts: Sequence[str]) -> Sequence[Any]:
        """Return the values.

        Raises:
            ValueError: A text does not convert.
        """
        known, nulls, convert = self._known, self._nulls, self._convert
        if known is not None:
            values = list(map(known.__getitem__, texts))
            if len(known) > _MOST_KNOWN:
                self._known = None
            return values
        if convert is not str:
            return [None if text in nulls else convert(text) for text in texts]
        if nulls.isdisjoint(texts):
            return texts
        return [None if text in nulls else text for text in texts]


def _is_text(text: str) -> bool:
    """Whether it has none of the lone surrogates that stand for bytes which could not be decoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode() if not _is_text(text) else text


def _to_int(text: str) -> int:
    if "_" in text:
        raise ValueError(text)
    return int(text)


def _to_float(text: str) -> float:
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _to_bool(text: str) -> bool:
    found = _BOOLEANS.get(text.strip().lower())
    if found is None:
        raise ValueError(text)
    return found


_CONVERTERS: dict[ColumnType, Callable[[str], Any]] = {
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "str": str,
}
_ARTICLED = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}

__all__ = ["ColumnType", "CsvConversion", "Record"]
