"""Tells the user's own code from ours and from libraries: errors are shown where the user can mend them."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from types import FrameType

from headrace.runtime.own_files import is_own, short


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


def one_line(parts: Iterable[str]) -> str:
    """Return texts as one line that can be shown: errors of others hold line ends and control sequences."""
    return printable(" ".join(" ".join(parts).split()))


def printable(text: str, keep: str = "") -> str:
    """Return a text with its control characters written out, except those to keep."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


__all__ = ["doing", "is_own", "location", "one_line", "own_frames", "printable", "short"]
