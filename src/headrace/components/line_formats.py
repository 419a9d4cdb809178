"""Rows out of lines: their text, or the JSON object that each is. What is none is rejected, with file and line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from headrace.exceptions import ConfigError, RowError
from headrace.model.message import Rejected

from .line_splitter import Lines
from .rows import Row

Added = Literal["path", "number"]

_WRONG = (ValueError, RecursionError, msgspec.MsgspecError)


class Batch(NamedTuple):
    """What became of some lines.

    Attributes:
        rows: The rows, and what was rejected, in the order of the lines.
        ends: Where in the file the line of each ends, and its number; empty where nobody asked.
    """

    rows: list[Row | Rejected[Any]]
    ends: list[tuple[int, int]]


class LineFormat:
    """How a line becomes a row.

    Args:
        add: What is added to each row: ``path`` of the file, ``number`` of the line.
    """

    encoding = "utf-8"

    def __init__(self, add: Sequence[Added] = ()) -> None:
        self._add = tuple(add)

    def _all(self, data: bytes) -> list[Row]:
        """Return the rows of some lines; raises where any of them is wrong."""
        raise NotImplementedError

    def _one(self, line: bytes) -> Row | None:
        """Return the row of a line, which has no line end; None where it is nothing. Raises where it is wrong."""
        raise NotImplementedError

    def batch(self, lines: Lines, path: str, *, with_ends: bool = False) -> Batch:
        """Return the rows of some lines.

        Args:
            lines: The lines.
            path: The file they are of.
            with_ends: Whether it is wanted where each ends.
        """
        if lines.too_long:
            reason = f"the line has {lines.too_long:,} bytes, and max_line does not allow that"
            rejected = self._rejected(lines.data, reason, path, lines.number)
            return Batch([rejected], [(lines.begin + lines.too_long, lines.number)] if with_ends else [])
        if lines.number == 1 and lines.data.startswith(codecs.BOM_UTF8) and self.encoding == "utf-8":
            rest = lines._replace(data=lines.data[3:], begin=lines.begin + 3)
            return self.batch(rest, path, with_ends=with_ends) if rest.data else Batch([], [])
        try:
            rows: list[Row] = self._all(lines.data)
            if len(rows) != lines.how_many:  # some are blank, or have two values: then line by line
                return self._one_by_one(lines, path)
        except _WRONG:
            return self._one_by_one(lines, path)
        if self._add:
            for number, row in enumerate(rows, lines.number):
                self._added(row, path, number)
        return Batch([*rows], list(_ends(lines)) if with_ends else [])

    def _one_by_one(self, lines: Lines, path: str) -> Batch:
        rows: list[Row | Rejected[Any]] = []
        ends: list[tuple[int, int]] = []
        split = lines.data.removesuffix(b"\n").split(b"\n")
        for line, end in zip(split, _ends(lines), strict=True):
            number = end[1]
            try:
                row = self._one(line)
            except _WRONG as error:
                rows.append(self._rejected(line, str(error), path, number))
            else:
                if row is None:
                    continue
                rows.append(self._added(row, path, number))
            ends.append(end)
        return Batch(rows, ends)

    def _added(self, row: Row, path: str, number: int) -> Row:
        for what in self._add:
            row[what] = path if what == "path" else number
        return row

    def _rejected(self, line: bytes, reason: str, path: str, number: int) -> Rejected[Any]:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode(self.encoding, "backslashreplace")
        return Rejected(text, str(RowError(reason, path=path, line=number)))

    def cut_off(self, beginning: bytes, path: str, number: int) -> Rejected[Any]:
        """Return what becomes of the beginning of a line whose rest will never come."""
        return self._rejected(beginning, "the file was truncated in the middle of this line", path, number)


def _ends(lines: Lines) -> Iterator[tuple[int, int]]:
    end = lines.begin
    last = lines.begin + len(lines.data)
    for number, line in enumerate(lines.data.removesuffix(b"\n").split(b"\n"), lines.number):
        end = min(end + len(line) + 1, last)
        yield end, number


class TextLines(LineFormat):
    """Each line is text: a row ``{"line": ...}``; its line end, also one of Windows, is left out.

    Args:
        encoding: How it is encoded.
        add: What is added to each row.

    Raises:
        ConfigError: The encoding is unknown, or lines cannot be found in it.
    """

    def __init__(self, encoding: str = "utf-8", add: Sequence[Added] = ()) -> None:
        super().__init__(add)
        try:
            self.encoding = codecs.lookup(encoding).name
            plain = "a\n".encode(self.encoding) == b"a\n"
        except (LookupError, UnicodeError, TypeError):
            raise ConfigError(f"encoding '{encoding}' is unknown", field="encoding") from None
        if not plain:
            raise ConfigError(
                f"the lines of a file in {encoding} cannot be found before it is decoded",
                hint="write it in utf-8, as `iconv -t utf-8` does",
                field="encoding",
            )

    def _all(self, data: bytes) -> list[Row]:
        text = data.decode(self.encoding)
        lines = text.removesuffix("\n").split("\n")
        if "\r" in text:
            return [{"line": line.removesuffix("\r")} for line in lines]
        return [{"line": line} for line in lines]

    def _one(self, line: bytes) -> Row | None:
        try:
            return {"line": line.removesuffix(b"\r").decode(self.encoding)}
        except UnicodeDecodeError as error:
            raise ValueError(f"not {self.encoding} at byte {error.start + 1} of the line") from None


class JsonLines(LineFormat):
    """Each line is a JSON object, in UTF-8; blank lines are nothing."""

    def __init__(self, add: Sequence[Added] = ()) -> None:
        super().__init__(add)
        self._decoder = msgspec.json.Decoder(dict[str, Any])

    def _all(self, data: bytes) -> list[Row]:
        return self._decoder.decode_lines(data)

    def _one(self, line: bytes) -> Row | None:
        if not line.strip():
            return None
        try:
            return self._decoder.decode(line)
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except msgspec.ValidationError as error:
            raise ValueError(f"not a JSON object: {error}") from None
        except msgspec.DecodeError as error:
            raise ValueError(f"not JSON: {error}") from None


__all__ = ["Added", "Batch", "JsonLines", "LineFormat", "TextLines"]
