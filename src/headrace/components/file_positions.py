"""How far files have been read: kept in a file, so that the next run goes on there, whatever their names."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from headrace.exceptions import HeadraceError

from .positions import DonePosition

HEAD = 256
"""Bytes at the beginning of a file by which it is known again."""


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """How far a file was read, and what it is known again by: what it is on its disk, and how it begins."""

    path: str
    device: int
    inode: int
    head: str
    head_length: int
    offset: int
    lines: int


Place = tuple[int, int]
"""How far a file was read: bytes and lines."""


class FilePlace:
    """How far an open file has been read and everything been done with.

    Args:
        path: What it is called now.
        descriptor: The open file.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self.key = (status.st_dev, status.st_ino)
        self.head = os.pread(descriptor, HEAD, 0)
        self.done = DonePosition((0, 0))
        self.end: int | None = None
        """Where it ends, once it was read to the end and will not grow."""

    @property
    def is_finished(self) -> bool:
        """Whether it was read to its end, and everything in it done with."""
        return self.end is not None and bool(self.done.value[0] >= self.end)

    def begins_alike(self) -> bool:
        """Return whether the file still begins as it did; takes in what its beginning has grown by."""
        head = os.pread(self._descriptor, HEAD, 0)
        alike = head.startswith(self.head)
        self.head = head
        return alike

    def begin_anew(self) -> None:
        """Take note that it has another content now."""
        self.head = os.pread(self._descriptor, HEAD, 0)
        self.done = DonePosition((0, 0))

    def kept(self) -> Kept:
        """Return what is to be kept of it."""
        offset, lines = self.done.value
        head = self.head[:offset]  # of what was read: the rest may still be rewritten
        return Kept(self.path, *self.key, _digest(head), len(head), offset, lines)


class FilePositions:
    """The file that keeps how far files have been read.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._kept: dict[tuple[int, int], Kept] = {}
        self._now_at: dict[tuple[int, int], tuple[str, int]] = {}
        self._written: list[Kept] | None = None

    def read(self) -> None:
        """Read what an earlier run has kept.

        Raises:
            HeadraceError: The file cannot be read, or is another one.
        """
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=list[Kept])
        except FileNotFoundError:
            found = []
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise HeadraceError(
                f"{self.path}: holds no positions of files: {error}; delete it to begin with the first lines"
            ) from error
        self._kept = {(one.device, one.inode): one for one in found}
        self._now_at = self._where_they_are()
        self._written = None
        for key, one in list(self._kept.items()):
            if key not in self._now_at and not os.path.exists(one.path):
                del self._kept[key]

    def _where_they_are(self) -> dict[tuple[int, int], tuple[str, int]]:
        """Return the path and size of each kept file that is in its folder still, whatever its name."""
        found: dict[tuple[int, int], tuple[str, int]] = {}
        for folder in sorted({os.path.dirname(one.path) or "." for one in self._kept.values()}):
            with contextlib.suppress(OSError):
                for entry in os.scandir(folder):
                    status = entry.stat()
                    if (status.st_dev, status.st_ino) in self._kept:
                        found[status.st_dev, status.st_ino] = (entry.path, status.st_size)
        return found

    def find(self, place: FilePlace) -> Place | None:
        """Return how far a file has been read; None where it is not known.

        It is known again by its place on the disk, whatever its name, if it begins as it did. A copy is another
        file: better read twice than passed over.
        """
        one = self._kept.get(place.key)
        if one is None or _digest(place.head[: one.head_length]) != one.head:
            return None
        return one.offset, one.lines

    def unfinished_elsewhere(self, found: Iterable[tuple[int, int]]) -> list[str]:
        """Return the files that were being read and have another name in their folder since.

        Args:
            found: The devices and inodes of the files that are known already.
        """
        known = set(found)
        return [
            path
            for key, (path, size) in self._now_at.items()
            if key not in known and size > self._kept[key].offset
        ]

    def write(self, places: Iterable[FilePlace]) -> None:
        """Keep how far files have been read; whoever reads meanwhile, or after a crash, sees the old or the new.

        What is not among them is kept as it was.

        Raises:
            HeadraceError: It cannot be written.
        """
        for place in places:
            if place.is_finished:
                self._kept.pop(place.key, None)
            else:
                self._kept[place.key] = place.kept()
        entries = sorted(self._kept.values(), key=lambda one: (one.path, one.inode))
        if entries == self._written:
            return
        fresh = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(entries), indent=1) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise HeadraceError(f"{self.path}: the positions cannot be written: {error}") from error
        self._written = list(entries)


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()[:32]


__all__ = ["HEAD", "FilePlace", "FilePositions", "Kept", "Place"]
