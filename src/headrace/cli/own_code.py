"""Tells the user's own code from ours and from libraries: errors are shown where the user can mend them."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

_LIBRARIES = tuple(
    {
        os.path.join(folder, "")
        for folder in (
            str(Path(__file__).resolve().parents[1]),
            *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")),
        )
    }
)


def is_own(filename: str) -> bool:
    """Return whether a file is the user's own: not ours, not a library's, and a file at all."""
    return not filename.startswith((*_LIBRARIES, "<"))


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the user's own frames in an error's traceback, innermost last."""
    own = [frame for frame in traceback.walk_tb(error.__traceback__) if is_own(frame[0].f_code.co_filename)]
    return list(traceback.StackSummary.extract(iter(own)))


def location(error: BaseException) -> str:
    """Return ``file.py:31``, the innermost place in the user's own code; nothing where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{short(error.filename)}:{error.lineno or 1}"
    frames = own_frames(error)
    return f"{short(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""


def doing(frame: FrameType | None) -> str:
    """Return ``crunch() at file.py:31``, where a thread is in the user's own code; nothing where it is not."""
    while frame is not None and not is_own(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return ""
    return f"{frame.f_code.co_name}() at {short(frame.f_code.co_filename)}:{frame.f_lineno}"


def short(filename: str) -> str:
    """Return a file's path from the current directory, where it lies below it."""
    relative = os.path.relpath(filename)
    return filename if relative.startswith("..") else relative


def one_line(parts: Iterable[str]) -> str:
    """Return texts as one line: errors of others may hold several."""
    return " ".join(" ".join(parts).split())


__all__ = ["doing", "is_own", "location", "one_line", "own_frames", "short"]
