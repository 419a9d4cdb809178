"""A CSV file on disk, plain or packed, read in batches by a worker thread.

Everything here blocks. The file may be closed while a read that nobody waits for any more still runs.
"""

from __future__ import annotations

import csv
import gzip
import io
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from headrace.exceptions import ConfigError, InputFileError, RowError
from headrace.model.message import Rejected

from .csv_conversion import CsvConversion, Record
from .rows import Row

MakeConversion = Callable[[Sequence[str]], CsvConversion]


class CsvFile:
    """One CSV file, from its header to its end.

    Args:
        path: The file; ``.gz`` and ``.zip`` are unpacked while reading.
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
        self.path = path
        self._make_conversion = make_conversion
        self._member = member
        self._encoding = encoding
        self._delimiter = delimiter
        self._opened = ExitStack()
        self._lock = threading.Lock()
        self._closing = False
        self._ended = False
        self._reader: Any = None
        self._conversion: CsvConversion | None = None
        self._failure: InputFileError | None = None

    @property
    def line(self) -> int:
        """The last line that was read."""
        return 0 if self._reader is None else int(self._reader.line_num)

    @property
    def _place(self) -> str:
        return f"{self.path}: after line {self.line}" if self.line else self.path

    def open(self) -> None:
        """Open the file and read its header.

        Raises:
            InputFileError: It cannot be read, or its header does not fit.
        """
        with self._in_use(), self._named_errors():
            binary = self._opened.enter_context(_open_binary(self.path, self._member, self._opened))
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

    def close(self) -> None:
        """Close the file; a read that still runs closes it when it is done."""
        self._closing = True
        if self._lock.acquire(blocking=False):
            try:
                self._opened.close()
            finally:
                self._lock.release()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            if self._closing:
                self.close()

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

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Raise what can be wrong with a file as an error that names the file and the place."""
        try:
            yield
        except UnicodeError as error:
            raise InputFileError(
                f"{self.path}: not {self._encoding} after line {self.line}: {error}; set `encoding`"
            ) from error
        except (EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise InputFileError(
                f"{self._place}: damaged or truncated: {error}; get the file again"
            ) from error
        except FileNotFoundError:
            raise InputFileError(
                f"{self.path}: no such file (looked in {Path.cwd()}); check `path`"
            ) from None
        except OSError as error:
            raise InputFileError(f"{self._place}: cannot be read: {error.strerror or error}") from error


def _open_binary(path: str, member: str | None, opened: ExitStack) -> IO[bytes]:
    if path.endswith(".zip"):
        return _open_member(path, member, opened)
    if path.endswith(".gz"):
        return gzip.open(path)  # type: ignore[return-value]
    return open(path, "rb")


def _open_member(path: str, member: str | None, opened: ExitStack) -> IO[bytes]:
    try:
        archive = opened.enter_context(zipfile.ZipFile(path))
        return archive.open(member or _only_member(path, archive.namelist()))
    except zipfile.BadZipFile as error:
        raise InputFileError(f"{path}: not a zip archive, or a damaged one: {error}") from error
    except KeyError:
        held = ", ".join(archive.namelist()[:8])
        raise InputFileError(f"{path}: holds no '{member}'; it holds {held}") from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in a way unknown here
        raise InputFileError(f"{path}: cannot be unpacked: {error}") from error


def _only_member(path: str, names: Sequence[str]) -> str:
    files = [name for name in names if not name.endswith("/")]
    if len(files) == 1:
        return files[0]
    held = f"several files ({', '.join(files[:8])}); name one with `member`" if files else "no file"
    raise InputFileError(f"{path}: holds {held}")


__all__ = ["CsvFile", "MakeConversion"]
