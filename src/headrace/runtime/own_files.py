"""Tells the user's own files from ours and from libraries: what is told is told where the user can mend it."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

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


def short(filename: str) -> str:
    """Return a file's path from the current directory, where it lies below it."""
    relative = os.path.relpath(filename)
    return filename if relative.startswith("..") else relative


__all__ = ["is_own", "short"]
