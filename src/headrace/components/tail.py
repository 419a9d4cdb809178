"""Files that grow, read on as they do: across rotation, truncation and half-written lines.

Everything here blocks, so a thread does it.

A file is known by its place on the disk, not by its name. One that is renamed or deleted is read on for a while,
because its writer may have it open still; then its last line counts as finished.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from .file_positions import FilePlace, FilePositions
from .input_file import UsedInThread, is_packed, match_files
from .line_files import PORTION, Portion
from .line_formats import Batch, LineFormat
from .line_splitter import LineSplitter

LOOK_EVERY = 1.0
"""Seconds between two searches for new files, at the least, while there is something to read."""

Tell = Callable[..., None]


class Growing:
    """One open file that may grow.

    Args:
        path: What it is called.
        form: How lines become rows.
        max_line: Bytes of a line.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str, form: LineFormat, max_line: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._form = form
        self._max_line = max_line
        self._splitter = LineSplitter(max_line)
        self._seen = (0, 0)  # size and time of the last change when it was looked at
        self.offset = 0
        self.gone_since: float | None = None
        try:
            self.place = FilePlace(path, self._descriptor)
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """What it is called now."""
        return self.place.path

    def begin_at(self, offset: int, lines: int) -> None:
        """Read from somewhere; from the beginning where it is shorter than that, so another one."""
        if offset > os.fstat(self._descriptor).st_size:
            offset, lines = 0, 0
        self.offset = offset
        self.place.done.value = (offset, lines)
        self._splitter = LineSplitter(self._max_line, offset, lines)

    def begin_at_last_line(self) -> None:
        """Read only what is written from now on, and the line that is half written now; lines count from there."""
        size = os.fstat(self._descriptor).st_size
        begin = max(0, size - self._max_line)
        self.begin_at(begin + os.pread(self._descriptor, size - begin, begin).rfind(b"\n") + 1, 0)

    def read(self, tell: Tell) -> tuple[list[Batch], bool]:
        """Return rows of the next bytes, and whether there were any bytes."""
        batches = self._look_at_changes(tell)
        data = os.pread(self._descriptor, PORTION, self.offset)
        self.offset += len(data)
        for lines in self._splitter.feed(data) if data else []:
            batches.append(self._form.batch(lines, self.path, with_ends=True))
        return batches, bool(data)

    def _look_at_changes(self, tell: Tell) -> list[Batch]:
        status = os.fstat(self._descriptor)
        seen, self._seen = self._seen, (status.st_size, status.st_mtime_ns)
        if self._seen == seen:
            return []
        if status.st_size >= self.offset and self.place.begins_alike():
            return []
        cut_off = self._cut_off()
        tell("file truncated", file=self.path, read=self.offset, size=status.st_size)
        self.place.begin_anew()
        self.offset = 0
        self._splitter = LineSplitter(self._max_line)
        return [cut_off] if cut_off else []

    def _cut_off(self) -> Batch | None:
        held = self._splitter.finish()
        if not held:
            return None
        return Batch([self._form.cut_off(held[0].data, self.path, held[0].number)], [])

    def finish(self) -> list[Batch]:
        """Return the row of the last line, that has no line end: nobody will write it on."""
        self.place.end = self.offset
        return [self._form.batch(one, self.path, with_ends=True) for one in self._splitter.finish()]

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Tail(UsedInThread):
    """The files of some patterns, as they grow, come and go.

    Args:
        patterns: Their names; a file that is not there yet is waited for.
        form: How lines become rows.
        max_line: Bytes of a line.
        from_end: Whether of the files that are there at the beginning only what is written from then on is read.
        rotate_wait: Seconds for which a file that was renamed or deleted is read on, after it last grew.
        positions: Where it is kept how far they have been read.
        tell: Called from the thread with what people should know, as the logger is.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        form: LineFormat,
        *,
        max_line: int,
        from_end: bool,
        rotate_wait: float,
        positions: FilePositions | None,
        tell: Tell,
    ) -> None:
        super().__init__()
        self._patterns = patterns
        self._form = form
        self._max_line = max_line
        self._from_end = from_end
        self._rotate_wait = rotate_wait
        self._positions = positions
        self._tell = tell
        self._files: dict[tuple[int, int], Growing] = {}
        self._finished: list[FilePlace] = []
        self._unreadable: dict[str, str] = {}
        self._passed_over: set[str] = set()
        self._looked = float("-inf")
        self._idle = True
        self._opened.callback(self._close_all)

    def open(self) -> None:
        """Look for the files for the first time."""
        with self._in_use():
            self._look(float("-inf"), first=True)

    def read(self, now: float) -> list[Portion] | None:
        """Return rows of all files that have grown, of each at most a portion; nothing where none has.

        Args:
            now: Seconds of a clock that never goes back.
        """
        with self._in_use():
            if self._closing:
                return None
            if self._idle or now - self._looked >= LOOK_EVERY:
                self._looked = now
                self._look(now)
            found: list[Portion] = []
            self._idle = True
            for file in list(self._files.values()):
                found += self._read(file, now)
            return found

    def _read(self, file: Growing, now: float) -> list[Portion]:
        try:
            batches, has_grown = file.read(self._tell)
        except OSError as error:  # its disk is gone, say: it is opened anew as soon as it can be
            self._cannot_read(file.path, error)
            self._drop(file)
            return []
        if has_grown:
            self._idle = False
            if file.gone_since is not None:
                file.gone_since = now
        elif file.gone_since is not None and now - file.gone_since >= self._rotate_wait:
            batches += file.finish()
            self._drop(file)
            self._finished.append(file.place)
        done = file.place.done if self._positions else None
        return [Portion(batch, done) for batch in batches]

    def _drop(self, file: Growing) -> None:
        del self._files[file.place.key]
        file.close()

    def _look(self, now: float, *, first: bool = False) -> None:
        found = self._found()
        for key, path in found.items():
            known = self._files.get(key)
            if known is None:
                self._begin(path, first=first)
            else:
                known.place.path, known.gone_since = path, None
        for key, file in self._files.items():
            if key not in found and file.gone_since is None:
                file.gone_since = now
        if first and self._positions is not None:
            for path in self._positions.unfinished_elsewhere(self._files):
                self._begin(path, first=False)

    def _found(self) -> dict[tuple[int, int], str]:
        found: dict[tuple[int, int], str] = {}
        for pattern in self._patterns:
            for path in match_files(pattern):
                try:
                    status = os.stat(path)
                except OSError:  # it has just gone
                    continue
                if not stat.S_ISREG(status.st_mode):
                    continue
                if is_packed(path):
                    self._pass_over(path)
                    continue
                found.setdefault((status.st_dev, status.st_ino), path)
        return found

    def _begin(self, path: str, *, first: bool) -> None:
        try:
            file = Growing(path, self._form, self._max_line)
            known = None if self._positions is None else self._positions.find(file.place)
            if known is not None:
                file.begin_at(*known)
            elif first and self._from_end:
                file.begin_at_last_line()
        except FileNotFoundError:
            return
        except OSError as error:
            self._cannot_read(path, error)
            return
        self._unreadable.pop(path, None)
        old = self._files.get(file.place.key)
        if old is not None:  # it came between two looks
            file.close()
            return
        self._files[file.place.key] = file
        self._tell("file found", file=path, begins_at=file.offset)

    def _cannot_read(self, path: str, error: OSError) -> None:
        reason = error.strerror or str(error)
        if self._unreadable.get(path) != reason:
            self._unreadable[path] = reason
            self._tell("file cannot be read", file=path, reason=reason)

    def _pass_over(self, path: str) -> None:
        if path not in self._passed_over:
            self._passed_over.add(path)
            self._tell("file passed over", file=path, reason="it is packed, and cannot be read as it grows")

    def places(self) -> list[FilePlace]:
        """Return how far each file has been read; a finished one for the last time."""
        finished = list(self._finished)
        self._finished = [place for place in finished if not place.is_finished]
        return [*finished, *(file.place for file in list(self._files.values()))]

    def health(self) -> dict[str, Any]:
        """Return what is to be said of the files; not healthy where one cannot be read."""
        health: dict[str, Any] = {"files": len(self._files)}
        if self._unreadable:
            path, reason = next(iter(self._unreadable.items()))
            health |= {"healthy": False, "reason": f"{path}: cannot be read: {reason}"}
        return health

    def _close_all(self) -> None:
        for file in list(self._files.values()):
            file.close()
        self._files.clear()


__all__ = ["Growing", "Tail"]
