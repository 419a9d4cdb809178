"""A CSV file on disk, plain or packed, read in batches by a worker thread.

Everything here blocks. The file may be closed while a read that nobody waits for any more still runs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
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
            text = io.TextIOWrapper(binary, encoding, errors="surrogateescape", newline="")
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
        lines: list[int] = []
        broken: list[Row | Rejected[Any]] = []
        reader = self._reader
        begins = reader.line_num + 1
        try:
            with self._named_errors():
                for record in reader:
                    records.append(record)
                    lines.append(begins)
                    begins = reader.line_num + 1
                    if len(records) == size:
                        break
                else:
                    self._ended = True
        except InputFileError as error:
            self._failure = error
        except csv.Error as error:
            reason = f"{error} (up to line {reader.line_num})" if reader.line_num > begins else str(error)
            broken.append(Rejected([], str(RowError(reason, path=self.path, line=begins))))
        return [*self._conversion.convert(records, lines), *broken]


__all__ = ["CsvFile", "MakeConversion"]
