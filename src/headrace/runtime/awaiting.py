"""Says where a coroutine waits: the innermost line of the user's own code in its chain of awaits.

Where there is none (a function component waits in our code), it says for which edge.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from gc import get_referents
from pathlib import Path
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType
from typing import Any

from headrace.authoring.function_away import Away
from headrace.streams.manual_stream import ManualReceiveStream
from headrace.streams.pace import Pace
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.send_stream import EdgeSendStream

from .dead_letters import DeadLetterStore

DRIVEN = "driven_coroutine"
"""The local variable in which a generator of ours keeps the coroutine that it drives by hand."""

_OURS = str(Path(__file__).resolve().parents[1])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_SUSPENDABLE = (AsyncGeneratorType, CoroutineType)


def awaiting(coroutine: Any) -> str:
    """Return ``function() at file.py:41`` for a suspended coroutine, or that it is at work.

    Args:
        coroutine: A coroutine that some task is driving.
    """
    theirs = ours = first = hindrance = ""
    current = coroutine
    while current is not None:
        frame, current = _look_into(current)
        if frame is not None:
            code: CodeType = frame.f_code
            line = f"{code.co_name}() at {Path(code.co_filename).name}:{frame.f_lineno}"
            first = first or line
            if code.co_filename.startswith(_OURS):
                ours = _in_ours(frame) or ours or line
                hindrance = hindrance or _hindrance(frame)
            elif not code.co_filename.startswith((*_LIBRARIES, "<")):
                theirs = line
    if theirs and hindrance:
        return f"{theirs}, for {hindrance}"
    return theirs or ours or first or "nothing: it is not suspended"


def frames_of(coroutine: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, outermost first, also through ours that drives one."""
    current = coroutine
    while current is not None:
        frame, current = _look_into(current)
        if frame is not None:
            yield frame
            current = current or frame.f_locals.get(DRIVEN)


def _hindrance(frame: Any) -> str:
    """Say what hinders a call of the user's to return, where its line alone does not tell."""
    if frame.f_code is DeadLetterStore.put.__code__:
        return _in_ours(frame)
    if frame.f_code is not ManualReceiveStream.wait_for_ack.__code__:
        return ""
    return ManualReceiveStream.what_for(frame.f_locals["self"])


def _in_ours(frame: Any) -> str:
    """Say what a wait in a stream, or for workers, is for; nothing for any other frame of ours."""
    if frame.f_code is Away.work.__code__:
        return f"its workers (run_in: {frame.f_locals['component'].attempts.run_in})"
    if frame.f_code is EdgeReceiveStream.wait.__code__:
        inlet = frame.f_locals["inlet"]
        return f"a message on {inlet.name}{' (paused)' if inlet.paused else ''}"
    if frame.f_code is EdgeSendStream._wait_and_send.__code__:
        return "room on " + " or ".join(edge.key for edge in frame.f_locals["edges"])
    if frame.f_code is DeadLetterStore.put.__code__:
        return f"room among the dead letters (limit {frame.f_locals['self'].limit:,})"
    return "its turn in the event loop" if frame.f_code is Pace.give_way.__code__ else ""


def _look_into(awaitable: Any) -> tuple[Any, Any]:
    """Return an awaitable's frame and what it awaits in turn, each as far as it has one."""
    for frame, following in (
        ("cr_frame", "cr_await"),
        ("gi_frame", "gi_yieldfrom"),
        ("ag_frame", "ag_await"),
    ):
        if hasattr(awaitable, frame):
            return getattr(awaitable, frame), getattr(awaitable, following)
    if type(awaitable).__name__.startswith(("async_generator_", "coroutine_wrapper")):
        # What iterates an async generator shows it to nobody but the garbage collector.
        inner = [held for held in get_referents(awaitable) if isinstance(held, _SUSPENDABLE)]
        return None, inner[0] if inner else None
    return None, None


__all__ = ["DRIVEN", "awaiting", "frames_of"]
