"""Files to read, plain or packed, found by paths and patterns; everything here blocks, so a thread does it.

A file may be closed while a read that nobody waits for any more still runs.
"""

from __future__ import annotations

import glob
import gzip
import io
import lzma
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, cast

from headrace.exceptions import ConfigError, InputFileError, MissingExtraError

_MAGIC = frozenset("*?[")
_PACKED = (".gz", ".zip", ".zst", ".zstd", ".bz2", ".xz")


def is_packed(path: str) -> bool:
    """Return whether a file is unpacked while it is read."""
    return path.endswith(_PACKED)


def find_files(patterns: Sequence[str]) -> list[str]:
    """Return the files that paths and patterns name, each once; those of one pattern are sorted.

    Args:
        patterns: Paths of files, folders (what lies in them, hidden files left out), or patterns as of a shell,
            ``**`` for folders at any depth.

    Raises:
        InputFileError: A path is none, or a pattern names nothing.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        matches = match_files(pattern)
        if not matches:
            raise InputFileError(_why_none(pattern))
        for match in matches:
            found.setdefault(os.path.realpath(match), match)
    return list(found.values())


def match_files(pattern: str) -> list[str]:
    """Return the files that a path or a pattern names now; none at all is fine."""
    if os.path.isdir(pattern):
        return sorted(
            one.path for one in os.scandir(pattern) if one.is_file() and not one.name.startswith(".")
        )
    if os.path.exists(pattern):  # a pattern may be a name too
        return [pattern]
    if not _MAGIC.intersection(pattern):
        return []
    return sorted(one for one in glob.iglob(pattern, recursive=True) if os.path.isfile(one))


def _why_none(pattern: str) -> str:
    if os.path.isdir(pattern):
        return f"{pattern}: the folder holds no file"
    if _MAGIC.intersection(pattern):
        return f"{pattern}: no file matches (looked in {Path.cwd()}); check `path`"
    return f"{pattern}: no such file (looked in {Path.cwd()}); check `path`"


def as_patterns(path: str | Sequence[str]) -> list[str]:
    """Return the setting ``path`` as a list.

    Raises:
        ConfigError: It is empty.
    """
    patterns = [path] if isinstance(path, str) else list(path)
    if not patterns or not all(patterns):
        raise ConfigError("path is empty", hint="name the file", field="path")
    return patterns


def check_packing(patterns: Sequence[str], what: str) -> None:
    """Refuse to go on where a file is packed in a way that needs an extra.

    Raises:
        MissingExtraError: It is missing.
    """
    if any(one.endswith((".zst", ".zstd")) for one in patterns):
        try:
            import_module("zstandard")
        except ImportError:
            raise MissingExtraError(f"{what}: a file packed by zstd", "zstd") from None


class UsedInThread:
    """What a worker thread uses, one call at a time, and what may be closed while a call still runs."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._lock = threading.Lock()
        self._closing = False

    def close(self) -> None:
        """Close it; a call that still runs closes it when it is done."""
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


class InputFile(UsedInThread):
    """A file that is opened, read bit by bit, and closed.

    Args:
        path: The file; ``.gz``, ``.zip``, ``.zst``, ``.bz2`` and ``.xz`` are unpacked while reading.
        member: The file inside a zip archive; needed where it holds several.
        encoding: How its text is encoded, for what is said of it.
    """

    def __init__(self, path: str, *, member: str | None = None, encoding: str = "utf-8") -> None:
        super().__init__()
        self.path = path
        self._member = member
        self._encoding = encoding

    @property
    def line(self) -> int:
        """The last line that was read; 0 before the first."""
        return 0

    @property
    def _place(self) -> str:
        return f"{self.path}: after line {self.line}" if self.line else self.path

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Raise what can be wrong with a file as an error that names the file and the place."""
        try:
            yield
        except UnicodeError as error:
            raise InputFileError(
                f"{self.path}: not {self._encoding} after line {self.line}: {error}; set `encoding`"
            ) from error
        except _damage() as error:
            raise InputFileError(
                f"{self._place}: damaged or truncated: {error}; get the file again"
            ) from error
        except FileNotFoundError:
            raise InputFileError(_why_none(self.path)) from None
        except OSError as error:
            raise InputFileError(f"{self._place}: cannot be read: {error.strerror or error}") from error

    def _open_binary(self) -> IO[bytes]:
        """Open it for reading; it is closed with everything else."""
        path = self.path
        if path.endswith(".zip"):
            return self._opened.enter_context(self._open_member())
        if path.endswith(".gz"):
            return self._opened.enter_context(cast(IO[bytes], gzip.open(path)))
        if path.endswith((".zst", ".zstd")):
            opened = self._opened.enter_context(io.FileIO(path))
            unpacker = import_module("zstandard").ZstdDecompressor()
            unpacked = unpacker.stream_reader(
                opened, read_across_frames=True
            )  # several may follow one another
            return self._opened.enter_context(io.BufferedReader(unpacked))
        if path.endswith(".xz"):
            return self._opened.enter_context(cast(IO[bytes], lzma.open(path)))
        if path.endswith(".bz2"):
            return self._opened.enter_context(cast(IO[bytes], import_module("bz2").open(path)))
        return self._opened.enter_context(open(path, "rb"))

    def _open_member(self) -> IO[bytes]:
        path = self.path
        try:
            archive = self._opened.enter_context(zipfile.ZipFile(path))
            return archive.open(self._member or _only_member(path, archive.namelist()))
        except zipfile.BadZipFile as error:
            raise InputFileError(f"{path}: not a zip archive, or a damaged one: {error}") from error
        except KeyError:
            held = ", ".join(archive.namelist()[:8])
            raise InputFileError(f"{path}: holds no '{self._member}'; it holds {held}") from None
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in a way unknown here
            raise InputFileError(f"{path}: cannot be unpacked: {error}") from error


def _damage() -> tuple[type[Exception], ...]:
    """Return what readers of packed files raise where one is damaged."""
    found: tuple[type[Exception], ...] = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
    try:
        return (*found, import_module("zstandard").ZstdError)
    except ImportError:
        return found


def _only_member(path: str, names: Sequence[str]) -> str:
    files = [name for name in names if not name.endswith("/")]
    if len(files) == 1:
        return files[0]
    held = f"several files ({', '.join(files[:8])}); name one with `member`" if files else "no file"
    raise InputFileError(f"{path}: holds {held}")


__all__ = [
    "InputFile",
    "UsedInThread",
    "as_patterns",
    "check_packing",
    "find_files",
    "is_packed",
    "match_files",
]
