"""Says where a coroutine waits: the innermost line of the user's own code in its chain of awaits."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from types import CodeType
from typing import Any

_OURS = str(Path(__file__).resolve().parents[1])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def awaiting(coroutine: Any) -> str:
    """Return ``function() at file.py:41`` for a suspended coroutine, or that it is at work.

    Args:
        coroutine: A coroutine that some task is driving.
    """
    theirs = deepest = ""
    current = coroutine
    while current is not None:
        frame = _attribute(current, "frame")
        if frame is not None:
            code: CodeType = frame.f_code
            deepest = f"{code.co_name}() at {Path(code.co_filename).name}:{frame.f_lineno}"
            if _is_theirs(code.co_filename):
                theirs = deepest
        current = _attribute(current, "await")
    return theirs or deepest or "nothing: it is not suspended"


def _attribute(awaitable: Any, what: str) -> Any:
    for prefix in ("cr_", "gi_", "ag_"):
        found = getattr(
            awaitable, prefix + what if what != "await" or prefix != "gi_" else "gi_yieldfrom", None
        )
        if found is not None:
            return found
    return None


def _is_theirs(filename: str) -> bool:
    return not filename.startswith((_OURS, *_LIBRARIES, "<"))


__all__ = ["awaiting"]
