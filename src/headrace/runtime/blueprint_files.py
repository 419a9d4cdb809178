"""The files of a blueprint: opened so that no pipe, device or folder can hang or flood whoever reads them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from errno import EINVAL, ENOENT, ENOTDIR
from pathlib import Path

from headrace.model.blueprint import Complaints, Position
from headrace.model.blueprint_variables import MAX_FILES, MAX_PARTS, MAX_TEXT, Room, Surroundings, Unreadable

MAX_BYTES = 1 << 20
MAX_SECRET = 1 << 16

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_HANDED_OVER = re.compile(r"/dev/(?:stdin|fd/[0-9]+)|/proc/self/fd/[0-9]+")  # by the shell: `<(...)`, a pipe
_SPECIAL = (
    (stat.S_ISDIR, "Is a directory"),
    (stat.S_ISFIFO, "Is a pipe, not a regular file"),
    (stat.S_ISSOCK, "Is a socket, not a regular file"),
    (lambda mode: not stat.S_ISREG(mode), "Is a device, not a regular file"),
)
_NOT_DATA = "is it a blueprint? Data belongs into files of its own"


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, as YAML counts them."""
    return _BREAK.split(text)


def read_bytes(path: str | os.PathLike[str], limit: int, *, anything: bool = False) -> bytes:
    """Read a file, but not more than one byte above a limit.

    Args:
        path: The file; it must be a regular one, though a link to one will do.
        limit: In bytes.
        anything: Whether pipes and devices are read too; this waits for whoever writes them.

    Raises:
        OSError: It cannot be read.
        ValueError: There is a NUL in its name.
    """
    descriptor = os.open(path, os.O_RDONLY | (0 if anything else _AT_ONCE))
    try:
        _refuse_special(os.fstat(descriptor).st_mode, anything=anything)
        content = bytearray()
        while len(content) <= limit and (piece := os.read(descriptor, limit + 1 - len(content))):
            content += piece
        return bytes(content)
    finally:
        os.close(descriptor)


def _refuse_special(mode: int, *, anything: bool) -> None:
    for is_kind, reason in _SPECIAL:
        if is_kind(mode) and (not anything or stat.S_ISDIR(mode)):
            raise OSError(EINVAL, reason)


def folder_of(file: str) -> str:
    """Return the folder of a file as its name says it; the current one for what a shell hands over."""
    return "" if _HANDED_OVER.fullmatch(file) else os.path.dirname(file)


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, without its name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class BlueprintFiles:
    """Reads the files of one blueprint, within the room that there is for all of them together.

    Args:
        complaints: Where mistakes go.
    """

    def __init__(self, complaints: Complaints) -> None:
        self.complaints = complaints
        self.room = Room()
        self._texts: dict[str, str | None] = {}
        self._secrets: dict[str, str | Unreadable] = {}

    # --- blueprints ----------------------------------------------------------------------------------

    def text(self, file: str, *, at: Position | None = None) -> str | None:
        """Return the text of a file; None where that was complained of.

        Args:
            file: The file.
            at: Where it is named; a mistake that has no place inside it is told there, and only a regular file
                is read.
        """
        if file not in self._texts:
            self._texts[file] = self._read(file, at)
        text = self._texts[file]
        if text is not None:
            self.room.text -= len(text)
        if self.room.text >= 0:
            return text
        message = f"all files together are larger than {MAX_TEXT:,} bytes"
        self.complaints.error(at or Position(file), "E107", message, _NOT_DATA)
        return None

    def take(self, file: str, text: str) -> None:
        """Take the text of a file that was read elsewhere."""
        self._texts[file] = text
        self.complaints.sources.lines[file] = tuple(split_lines(text))

    def _read(self, file: str, at: Position | None) -> str | None:
        named = "" if at is None else f"'{file}' "
        place = at or Position(file)
        if not self._room_for_a_file(place):
            return None
        is_handed_over = at is None and _HANDED_OVER.fullmatch(file) is not None
        try:
            content = read_bytes(file, MAX_BYTES, anything=is_handed_over)
        except (OSError, ValueError) as error:
            reason = reason_of(error)
            hint = "name the file in it" if reason == "Is a directory" else "check the path and its rights"
            self.complaints.error(place, "E100", f"{named}cannot be read: {reason}", hint)
            return None
        if len(content) > MAX_BYTES:
            message = f"the file {named}is larger than {MAX_BYTES:,} bytes"
            self.complaints.error(place, "E107", message, _NOT_DATA)
            return None
        text = self._decoded(content, file)
        if text is not None:
            self.take(file, text)
        return text

    def room_for_a_part(self, place: Position) -> bool:
        """Return whether one more component may be a blueprint; else complain."""
        self.room.parts -= 1
        if self.room.parts >= 0:
            return True
        message = f"more than {MAX_PARTS} components are blueprints, with those inside them"
        self.complaints.error(place, "E107", message, "name fewer of them")
        return False

    def _room_for_a_file(self, place: Position) -> bool:
        self.room.files -= 1
        if self.room.files >= 0:
            return True
        message = f"more than {MAX_FILES} files, with all the files it names"
        self.complaints.error(place, "E107", message, "name fewer of them")
        return False

    def _decoded(self, content: bytes, file: str) -> str | None:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = split_lines(content[: error.start].decode("utf-8-sig", "replace"))
            position = Position(file, len(before), len(before[-1]) + 1)
            message = f"the file is not UTF-8 (byte 0x{content[error.start]:02x})"
            self.complaints.error(position, "E113", message, "save it as UTF-8")
            return None

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more."""
        return self.room.files < 0 or self.room.text < 0

    # --- secrets -------------------------------------------------------------------------------------

    def around(self, variables: Mapping[str, str], folder: Path | None, mend: str) -> Surroundings:
        """Return what the ``${...}`` of a file refer to.

        Args:
            variables: The values of variables.
            folder: Where relative paths of secrets begin; no file may be named where None.
            mend: What to do about a variable that is not there.
        """
        found = Surroundings(variables, room=self.room, mend=mend)
        if folder is not None:
            found.read_file = lambda path: self._secret(os.path.join(folder, os.path.expanduser(path)))
        return found

    def _secret(self, path: str) -> str | Unreadable:
        if path not in self._secrets:
            self.room.files -= 1
            self._secrets[path] = self._read_secret(path)
        return self._secrets[path]

    def _read_secret(self, path: str) -> str | Unreadable:
        if self.room.files < 0:
            return Unreadable(f"more than {MAX_FILES} files are named in all")
        try:
            content = read_bytes(path, MAX_SECRET)
        except (OSError, ValueError) as error:
            is_missing = isinstance(error, OSError) and error.errno in (ENOENT, ENOTDIR)
            return Unreadable(reason_of(error), is_missing)
        if len(content) > MAX_SECRET:
            return Unreadable(f"it is larger than {MAX_SECRET:,} bytes")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return Unreadable("it is not UTF-8")
        return text.removesuffix("\n").removesuffix("\r")


__all__ = [
    "MAX_BYTES",
    "MAX_SECRET",
    "BlueprintFiles",
    "folder_of",
    "read_bytes",
    "reason_of",
    "split_lines",
]
