"""Files that are written: whole records only, rotated by size and time, or shown only when they are complete.

Everything here blocks, so a thread does it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from headrace.exceptions import HeadraceError, UnavailableError

from .input_file import UsedInThread

Pack = Callable[[bytes], bytes]

_PASSING = frozenset(
    {
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOENT,
        errno.ENOSPC,
        errno.EROFS,
        errno.ESTALE,
    }
)
"""What can be over by itself, or be mended while the system runs."""

_STAMP = r"-\d{8}T\d{6}Z(?:-\d+)?"
_BEGINNING = 64 * 1024


def packer_of(path: str) -> Pack | None:
    """Return what packs a portion of a file, so that all portions one after the other are a packed file too."""
    if path.endswith(".gz"):
        return lambda data: gzip.compress(data, 6, mtime=0)
    if path.endswith((".zst", ".zstd")):
        compress: Pack = import_module("zstandard").compress
        return compress
    return None


class RotatedNames:
    """The names that a file's predecessors get: ``orders.jsonl`` was ``orders-20261127T101500Z.jsonl``.

    Args:
        path: The file.
        keep: How many of them stay; None for all.
    """

    def __init__(self, path: str, keep: int | None) -> None:
        self.path = Path(path)
        name = self.path.name
        stem = name[: name.index(".", 1)] if "." in name[1:] else name
        self._stem, self._ending = stem, name[len(stem) :]
        self._pattern = re.compile(re.escape(stem) + _STAMP + re.escape(self._ending))
        self._keep = keep

    @property
    def part(self) -> Path:
        """Where it lies while it is not complete."""
        return self.path.with_name(f".{self.path.name}.part")

    def next(self) -> Path:
        """Return the name for what is written now; none that is there."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        number = 0
        while True:
            more = f"-{number}" if number else ""
            found = self.path.with_name(f"{self._stem}-{stamp}{more}{self._ending}")
            if not found.exists():
                return found
            number += 1

    def remove_old(self) -> None:
        """Remove the oldest, so many that no more stay than are to be kept."""
        if self._keep is None:
            return
        found = [one for one in self.path.parent.iterdir() if self._pattern.fullmatch(one.name)]
        found.sort(key=lambda one: (one.stat().st_mtime_ns, one.name))
        for old in found[: max(0, len(found) - self._keep)]:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()


class OutputFile(UsedInThread):
    """One file that is written, and those that it was before it was rotated.

    Args:
        path: The file; ``.gz`` and ``.zst`` are packed while writing.
        begin: Called with the beginning of the file; returns what is written before the first record.
        atomic: Whether it is seen only when it is complete.
        rotates: Whether it is rotated, by ``rotate_size`` or by calls.
        rotate_size: Bytes that a file has at most, unless a single record has more; 0 for any.
        keep: How many predecessors stay; None for all.
        sync: Whether what is written is on the disk itself before ``write`` returns.
    """

    def __init__(
        self,
        path: str,
        begin: Callable[[bytes], bytes],
        *,
        atomic: bool = False,
        rotates: bool = False,
        rotate_size: int = 0,
        keep: int | None = None,
        sync: bool = False,
    ) -> None:
        super().__init__()
        self.names = RotatedNames(path, keep)
        self._now_at = self.names.part if atomic else self.names.path
        self._begin = begin
        self._pack = packer_of(path)
        self._atomic = atomic
        self._rotates = rotates
        self._rotate_size = rotate_size
        self._sync = sync
        self._descriptor: int | None = None
        self._identity = (0, 0)
        self.size = 0
        self._opened.callback(self._close)

    @property
    def path(self) -> str:
        """The file."""
        return str(self.names.path)

    def open(self, *, go_on: bool) -> None:
        """Open the file; its folder is made where it is missing.

        Args:
            go_on: Whether what an earlier life has written of an incomplete file belongs to it.

        Raises:
            HeadraceError: It cannot be opened, or holds something else.
        """
        with self._in_use():
            try:
                self.names.path.parent.mkdir(parents=True, exist_ok=True)
                if self._pack and not self._atomic and not go_on:
                    self._put_away()  # its end may be torn, and what is appended could not be unpacked
                self._open(fresh=self._atomic and not go_on)
            except OSError as error:
                raise HeadraceError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def _put_away(self) -> None:
        if self.names.path.exists() and self.names.path.stat().st_size:
            self.names.path.rename(self.names.next())

    def _open(self, *, fresh: bool = False) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        descriptor = os.open(self._now_at, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HeadraceError(f"{self.path}: is written by another program or component already") from None
        except OSError:
            pass  # a file system without locks
        if fresh:
            os.ftruncate(descriptor, 0)
        status = os.fstat(descriptor)
        self._descriptor, self._identity, self.size = (
            descriptor,
            (status.st_dev, status.st_ino),
            status.st_size,
        )
        if self.size and not self._pack:
            self._go_on_after(os.pread(descriptor, 1, self.size - 1))

    def _go_on_after(self, last: bytes) -> None:
        """Begin with a new line; a record that a crash has torn stays for itself."""
        assert self._descriptor is not None
        if last != b"\n":
            self._put(b"\n")
        try:
            self._begin(os.pread(self._descriptor, _BEGINNING, 0))
        except (ValueError, StopIteration) as error:
            self._close()
            raise HeadraceError(f"{self.path}: cannot be appended to: {error}") from None

    def write(self, records: list[bytes]) -> None:
        """Write records, and take them out of the list: where that fails, those stay there that are in no file.

        Raises:
            UnavailableError: It could not be written now.
            HeadraceError: It cannot be written.
        """
        with self._in_use():
            try:
                self._find_again()
                while records:
                    count = self._how_many_fit(records) if self._rotate_size else len(records)
                    self._write(b"".join(records[:count]))
                    del records[:count]
            except OSError as error:
                kind = UnavailableError if error.errno in _PASSING else HeadraceError
                raise kind(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def _how_many_fit(self, records: Sequence[bytes]) -> int:
        """Return how many records fit into the file, or into a new one where none does; at least one."""
        for room in (self._rotate_size - self.size, self._rotate_size):
            count = 0
            for record in records:
                room -= len(record)
                if room < 0:
                    break
                count += 1
            if count:
                return count
        return 1

    def _write(self, data: bytes) -> None:
        if self._rotate_size and self.size and self.size + len(data) > self._rotate_size:
            self._rotate()
        begin = b"" if self.size else self._begin(b"")
        packed = begin + data
        self._put(self._pack(packed) if self._pack else packed)

    def _put(self, data: bytes) -> None:
        assert self._descriptor is not None
        before = self.size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
            if self._sync:
                os.fdatasync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise
        self.size = before + len(data)

    def _find_again(self) -> None:
        """Open the file anew where somebody has renamed or deleted it, as logrotate does."""
        try:
            status = os.stat(self._now_at)
            if (status.st_dev, status.st_ino) == self._identity and self._descriptor is not None:
                return
        except FileNotFoundError:
            self.names.path.parent.mkdir(parents=True, exist_ok=True)
        self._close()
        self._open()

    def rotate(self) -> None:
        """Put what is written now away under a name of its own, and begin a new file.

        Raises:
            UnavailableError: That is not possible now.
        """
        with self._in_use():
            try:
                self._find_again()
                if self.size:
                    self._rotate()
            except OSError as error:
                raise UnavailableError(
                    f"{self.path}: cannot be rotated: {error.strerror or error}"
                ) from error

    def _rotate(self) -> None:
        self._show(self.names.next())
        self._open()

    def _show(self, as_what: Path) -> None:
        if self._descriptor is not None and (self._sync or self._atomic):
            os.fsync(self._descriptor)
        self._now_at.rename(as_what)
        self._close()
        self.names.remove_old()

    def finish(self) -> None:
        """Show the file, if it is not seen until it is complete.

        Raises:
            UnavailableError: That is not possible now.
        """
        with self._in_use():
            if not self._atomic or self._descriptor is None:
                return
            try:
                if self._rotates and not self.size:
                    self._now_at.unlink()
                    self._close()
                else:
                    if not self.size:
                        self._put_beginning()
                    self._show(self.names.next() if self._rotates else self.names.path)
            except OSError as error:
                raise UnavailableError(f"{self.path}: cannot be shown: {error.strerror or error}") from error

    def _put_beginning(self) -> None:
        begin = self._begin(b"")
        if begin.strip():
            self._put(self._pack(begin) if self._pack else begin)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


__all__ = ["OutputFile", "RotatedNames", "packer_of"]
