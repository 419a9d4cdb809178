"""Where in the user's program a call came from, so that wiring errors can name the line to mend."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import FrameType

_PACKAGE = os.path.join(str(Path(__file__).resolve().parents[1]), "")
_HARNESS = frozenset(
    {
        __file__,
        contextlib.__file__,
        *(
            os.path.join(_PACKAGE, "runtime", f"{name}.py")
            for name in ("system_builder", "system_execution_harness")
        ),
    }
)


def caller() -> tuple[str, int]:
    """Return file and line of the first frame outside the harness; nothing where that is our own code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in _HARNESS:
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith((_PACKAGE, "<frozen")):
        return "", 0
    return frame.f_code.co_filename, frame.f_lineno


__all__ = ["caller"]
