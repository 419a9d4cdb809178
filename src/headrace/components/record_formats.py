"""Records of a file out of messages: lines of JSON or of text, or CSV. What cannot be written is rejected."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.model.message import Rejected

from .rows import lacking, picker

_WRONG = (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError, csv.Error)


class Encoded(NamedTuple):
    """What became of some messages.

    Attributes:
        records: Bytes to be written; each begins and ends with a record.
        rejected: The messages that cannot be written.
    """

    records: list[bytes]
    rejected: list[Rejected[Any]]


class RecordFormat:
    """How messages are written."""

    def begin_file(self, beginning: bytes) -> bytes:
        """Return what a file begins with before its first record.

        Args:
            beginning: The beginning of the file, where it has one already.

        Raises:
            ValueError: It does not go with what is to be written.
        """
        return b""

    def _all(self, messages: Sequence[Any]) -> bytes:
        """Return the records of some messages; raises where any of them cannot be written."""
        raise NotImplementedError

    def _one(self, message: Any) -> bytes:
        return self._all([message])

    def _why_not(self, message: Any, error: Exception) -> str:
        return f"cannot be written: {error}"

    def encode(self, messages: Sequence[Any], *, singly: bool = False) -> Encoded:
        """Return the records of some messages.

        Args:
            messages: The messages.
            singly: Whether each is wanted by itself.
        """
        if not singly:
            try:
                return Encoded([self._all(messages)], [])
            except (KeyError, *_WRONG):
                pass  # one of them is wrong: which?
        records: list[bytes] = []
        rejected: list[Rejected[Any]] = []
        for message in messages:
            try:
                records.append(self._one(message))
            except (KeyError, *_WRONG) as error:
                rejected.append(Rejected(message, self._why_not(message, error)))
        return Encoded(records, rejected)


class JsonRecords(RecordFormat):
    """A line of JSON for each message."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def _all(self, messages: Sequence[Any]) -> bytes:
        return self._encoder.encode_lines(messages)


class TextRecords(RecordFormat):
    """A line of text for each message.

    Args:
        field: The field of a row that has the text; a message that is text itself needs none.
    """

    def __init__(self, field: str) -> None:
        self._field = field

    def _all(self, messages: Sequence[Any]) -> bytes:
        return b"".join(map(self._one, messages))

    def _one(self, message: Any) -> bytes:
        text = message if isinstance(message, str) else message[self._field]
        if not isinstance(text, str):
            raise TypeError(f"not text but a value of type {type(text).__name__}")
        if "\n" in text:
            raise ValueError("the text has a line end within")
        return text.encode() + b"\n"

    def _why_not(self, message: Any, error: Exception) -> str:
        is_row = isinstance(message, Mapping)
        if not isinstance(message, str) and not (is_row and self._field in message):
            return lacking(message, [self._field])
        return super()._why_not(message, error)


class CsvRecords(RecordFormat):
    """A CSV record for each row, below a header.

    Args:
        columns: The fields to write; those of the first row, or of the file that is appended to, where empty.
        delimiter: What separates them.
    """

    def __init__(self, columns: Sequence[str], delimiter: str) -> None:
        self._wanted = list(columns)
        self._delimiter = delimiter
        self._columns: list[str] = []
        self._values_of = picker([])
        self._take(self._wanted)

    def _take(self, columns: list[str]) -> None:
        self._columns = columns
        self._values_of = picker(columns)

    def begin_file(self, beginning: bytes) -> bytes:
        """Return the header; or compare it with that of the file."""
        if not beginning:
            return self._written([self._columns])
        header = next(
            csv.reader(io.StringIO(beginning.decode("utf-8-sig", "replace")), delimiter=self._delimiter)
        )
        if not self._columns:
            self._take(header)
        elif header != self._columns:
            raise ValueError(f"it has the columns {', '.join(header)}, not {', '.join(self._columns)}")
        return b""

    def _written(self, records: Sequence[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerows(records)
        return text.getvalue().encode()

    def _all(self, messages: Sequence[Any]) -> bytes:
        if not self._columns:
            first = next((row for row in messages if isinstance(row, Mapping) and row), None)
            if first is None:
                raise TypeError("not a row of named fields")
            self._take([str(name) for name in first])
        width = len(self._columns)
        if not self._wanted and any(len(row) != width for row in messages):
            raise ValueError("it has a field that is no column")
        return self._written(list(map(self._values_of, messages)))

    def _why_not(self, message: Any, error: Exception) -> str:
        if not isinstance(message, Mapping) or not all(name in message for name in self._columns):
            return lacking(message, self._columns)
        more = next((name for name in message if name not in self._columns), None)
        if not self._wanted and more is not None:
            return f"field '{more}' is no column of the file; name those to write with `columns`"
        return super()._why_not(message, error)


__all__ = ["CsvRecords", "Encoded", "JsonRecords", "RecordFormat", "TextRecords"]
