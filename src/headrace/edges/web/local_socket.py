"""The Unix socket by which tools of the same user find a system: where it is, and who may open it."""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from headrace.exceptions import HarnessError

_LONGEST = 100  # bytes that a path of a Unix socket may have, and some less: 108 on Linux, 104 on macOS
_NAME = re.compile(r"(?P<system>.+)-(?P<pid>[0-9]{1,10})\.sock")


def folder() -> Path:
    """Return the folder of the sockets: ``$XDG_RUNTIME_DIR/headrace``, or one with the temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        return Path(runtime) / "headrace"
    return Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}"


def path_for(system: str, pid: int | None = None) -> Path:
    """Return where the socket of a system is, that runs in this process or another."""
    number = os.getpid() if pid is None else pid
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", system).lstrip(".") or "system"
    room = _LONGEST - len(os.fsencode(folder())) - len(f"/-{number}.sock")
    return folder() / f"{safe[: max(room, 1)]}-{number}.sock"


def open_socket(system: str) -> tuple[socket.socket, Path]:
    """Open the socket of a system of this process, for its owner only; those of dead processes are removed.

    Returns:
        The listening socket, and where it is.

    Raises:
        HarnessError: The folder belongs to somebody else, or the socket cannot be opened.
    """
    where = folder()
    try:
        where.mkdir(mode=0o700, exist_ok=True)
        _check_is_ours(where)
        remove_stale()
        path = _free(path_for(system))
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(str(path))
            path.chmod(0o600)
            made.listen(100)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        raise HarnessError(
            f"no local socket in {where}: {error}; set XDG_RUNTIME_DIR to a folder of yours"
        ) from error
    made.setblocking(False)
    return made, path


def _check_is_ours(where: Path) -> None:
    found = where.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise HarnessError(f"{where} is not a folder of this user; set XDG_RUNTIME_DIR to one that is")
    if found.st_mode & 0o077:
        where.chmod(0o700)


def _free(path: Path) -> Path:
    """Return a path that nothing is at: a process may run several systems of one name."""
    for number in range(2, 100):
        if not path.exists():
            return path
        path = path.with_name(re.sub(r"(~[0-9]+)?-([0-9]+)\.sock$", rf"~{number}-\2.sock", path.name))
    raise HarnessError(f"there are too many sockets like {path}; give the systems different names")


def found() -> Iterator[tuple[str, int, Path]]:
    """Yield the system, the process and the path of each socket whose process is there."""
    with suppress(FileNotFoundError):
        for path in sorted(folder().iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and is_alive(int(match["pid"])):
                yield match["system"], int(match["pid"]), path


def remove_stale() -> int:
    """Remove the sockets of processes that are gone; returns how many those were."""
    number = 0
    with suppress(FileNotFoundError):
        for path in folder().iterdir():
            match = _NAME.fullmatch(path.name)
            if match and not is_alive(int(match["pid"])):
                path.unlink(missing_ok=True)
                number += 1
    return number


def is_alive(pid: int) -> bool:
    """Return whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


__all__ = ["folder", "found", "is_alive", "open_socket", "path_for", "remove_stale"]
