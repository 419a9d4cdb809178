"""Files of lines, read one after the other to their ends. Everything here blocks, so a thread does it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

from .file_positions import FilePlace, FilePositions
from .input_file import InputFile
from .line_formats import Batch, LineFormat
from .line_splitter import Lines, LineSplitter
from .positions import DonePosition

PORTION = 128 * 1024
"""Bytes of one read: some 1,000 lines, that take the thread about 1 ms."""


class Portion(NamedTuple):
    """Some rows of a file.

    Attributes:
        batch: The rows.
        done: How far everything in the file has been done with; None where nobody keeps that.
    """

    batch: Batch
    done: DonePosition | None


class LineFile(InputFile):
    """One file of lines.

    Args:
        path: The file, plain or packed.
        max_line: Bytes of a line.
        member: The file inside a zip archive; needed where it holds several.
    """

    def __init__(self, path: str, max_line: int, *, member: str | None = None) -> None:
        super().__init__(path, member=member)
        self._max_line = max_line
        self._splitter = LineSplitter(max_line)
        self._binary: IO[bytes] | None = None
        self.place: FilePlace | None = None

    @property
    def line(self) -> int:
        """The last line that was read."""
        return self._splitter.number

    def open(self, positions: FilePositions | None = None) -> None:
        """Open it, and go where an earlier run has left off.

        Raises:
            InputFileError: It cannot be opened.
        """
        with self._in_use(), self._named_errors():
            self._binary = self._open_binary()
            if positions is not None:
                self.place = FilePlace(self.path, self._binary.fileno())
                self._go_to(*positions.find(self.place) or (0, 0))

    def _go_to(self, offset: int, lines: int) -> None:
        assert self._binary is not None
        assert self.place is not None
        if offset > os.fstat(self._binary.fileno()).st_size:  # it is shorter than it was: another one
            offset, lines = 0, 0
        self.place.done.value = (offset, lines)
        self._binary.seek(offset)
        self._splitter = LineSplitter(self._max_line, offset, lines)

    def read(self) -> list[Lines] | None:
        """Return the next lines, that may be none yet; None at the end.

        Raises:
            InputFileError: It cannot be read on; what came before has been returned.
        """
        with self._in_use(), self._named_errors():
            if self._closing or self._binary is None:
                return None
            data: bytes = self._binary.read1(PORTION)  # type: ignore[attr-defined]
            if data:
                return self._splitter.feed(data)
            return self._splitter.finish() or None


class FilesInTurn:
    """Several files of lines, one after the other.

    Args:
        paths: The files.
        form: How lines become rows.
        max_line: Bytes of a line.
        member: The file inside a zip archive.
        positions: Where it is kept how far they have been read.
    """

    def __init__(
        self,
        paths: Sequence[str],
        form: LineFormat,
        *,
        max_line: int,
        member: str | None = None,
        positions: FilePositions | None = None,
    ) -> None:
        self._left = [LineFile(path, max_line, member=member) for path in paths]
        self._form = form
        self._positions = positions
        self._now: LineFile | None = None
        self._places: list[FilePlace] = []

    def open(self) -> None:
        """Open the first file.

        Raises:
            InputFileError: It cannot be opened.
        """
        self._next()

    def read(self, now: float) -> list[Portion] | None:
        """Return the next rows, of one file; None at the end of the last.

        Args:
            now: Seconds of any clock; it does not matter here.

        Raises:
            InputFileError: A file cannot be opened or read on.
        """
        while (file := self._now) is not None:
            lines = file.read()
            if lines is None:
                file.close()
                self._next()
            elif lines:
                done = file.place.done if file.place else None
                return [Portion(self._batch(one, file), done) for one in lines]
        return None

    def _batch(self, lines: Lines, file: LineFile) -> Batch:
        return self._form.batch(lines, file.path, with_ends=file.place is not None)

    def _next(self) -> None:
        self._now = self._left.pop(0) if self._left else None
        if self._now is not None:
            self._now.open(self._positions)
            if self._now.place is not None:
                self._places.append(self._now.place)

    def places(self) -> list[FilePlace]:
        """Return how far each file has been read that was opened."""
        return list(self._places)

    def health(self) -> dict[str, Any]:
        """Return what is to be said of the files."""
        return {"file": self._now.path if self._now else None, "files_left": len(self._left)}

    def close(self) -> None:
        """Close the file that is open."""
        if self._now is not None:
            self._now.close()


__all__ = ["PORTION", "FilesInTurn", "LineFile", "Portion"]
