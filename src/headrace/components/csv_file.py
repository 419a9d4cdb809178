"""A CSV file on disk, plain or packed, read in batches by a worker thread.

Everything here blocks. The file may be closed while a read that nobody waits for any more still runs.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from headrace.exceptions import ConfigError, InputFileError, RowError
from headrace.model.message import Rejected

from .csv_conversion import CsvConversion, Record
from .input_file import InputFile
from .rows import Row

MakeConversion = Callable[[Sequence[str]], CsvConversion]


class CsvFile(InputFile):
    """One CSV file, from its header to its end.

    Args:
        path: The file, plain or packed.
        make_conversion: Called with the header; says how records become rows.
        member: The file inside a zip archive; needed where it holds several.
        encoding: How its text is encoded.
        delimiter: What separates fields; one character.
    """

    def __init__(
        self,
        path: str,
        make_conversion: MakeConversion,
        *,
        member: str | None = None,
        encoding: str = "utf-8",
        delimiter: str = ",",
    ) -> None:
        super().__init__(path, member=member, encoding=encoding)
        self._make_conversion = make_conversion
        self._delimiter = delimiter
        self._ended = False
        self._reader: Any = None
        self._conversion: CsvConversion | None = None
        self._failure: InputFileError | None = None
        self._escaped = _escaped

    @property
    def line(self) -> int:
        """The last line that was read."""
        return 0 if self._reader is None else int(self._reader.line_num)

    def open(self) -> None:
        """Open the file and read its header.

        Raises:
            InputFileError: It cannot be read, or its header does not fit.
        """
        with self._in_use(), self._named_errors():
            binary = self._open_binary()
            encoding = "utf-8-sig" if self._encoding.lower() in ("utf-8", "utf8") else self._encoding
            text = io.TextIOWrapper(binary, encoding, errors="headrace.escape", newline="")
            self._opened.callback(text.close)
            self._reader = csv.reader(text, delimiter=self._delimiter, strict=True)
            self._conversion = self._conversion_for(self._header())

    def read(self, size: int) -> list[Row | Rejected[Any]]:
        """Return the next rows, at most ``size``; none at the end of the file.

        Raises:
            InputFileError: It cannot be read on; what came before has been returned.
        """
        with self._in_use():
            rows: list[Row | Rejected[Any]] = []
            while not (rows or self._ended or self._closing):
                if self._failure is not None:
                    raise self._failure
                rows = self._batch(size)
            return rows

    def _header(self) -> Record:
        try:
            header: Record = next(self._reader, [])
        except csv.Error as error:
            raise InputFileError(f"{self.path}:1: the header is not CSV: {error}") from None
        if not header:
            raise InputFileError(f"{self.path}:1: no header; the first line names the columns")
        text = "".join(header)
        if "\0" in text or any("\udc80" <= character <= "\udcff" for character in text):
            raise InputFileError(f"{self.path}:1: the header is not {self._encoding}; set `encoding`")
        return header

    def _conversion_for(self, header: Record) -> CsvConversion:
        try:
            return self._make_conversion(header)
        except ConfigError as error:
            raise InputFileError(f"{self.path}:1: {error}") from None

    def _batch(self, size: int) -> list[Row | Rejected[Any]]:
        assert self._conversion is not None
        records: list[Record] = []
        broken: list[Row | Rejected[Any]] = []
        reader = self._reader
        before = reader.line_num
        try:
            with self._named_errors():
                records.extend(islice(reader, size))  # 0.3 us a record; keeps those before an error
            self._ended = len(records) < size
        except InputFileError as error:
            self._failure = error
        except csv.Error as error:
            begins = self._lines_of(records, before)[-1]
            reason = f"{error} (up to line {reader.line_num})" if reader.line_num > begins else str(error)
            broken.append(Rejected([], str(RowError(reason, path=self.path, line=begins))))
        lines: Sequence[int] = range(before + 1, reader.line_num + 1)
        if len(lines) != len(records):  # some take several lines, or the last one is broken
            lines = self._lines_of(records, before)
        rows = self._conversion.convert(records, lines, checked=_escaped == self._escaped)
        return [*rows, *broken]

    @staticmethod
    def _lines_of(records: Sequence[Record], before: int) -> list[int]:
        """Return the line on which each record begins, and the one after them."""
        lines = [before + 1]
        for record in records:
            text = "".join(record)
            within = text.count("\n") + text.count("\r") - text.count("\r\n")
            lines.append(lines[-1] + 1 + within)
        return lines


_escaped = 0
"""How many bytes of any file were not in its encoding."""


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    global _escaped
    _escaped += 1
    return _surrogateescape(error)


_surrogateescape = codecs.lookup_error("surrogateescape")
codecs.register_error("headrace.escape", _escape)


__all__ = ["CsvFile", "MakeConversion"]
