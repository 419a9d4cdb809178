"""What a component waits for, read from where its tasks are suspended and from the queues of its edges.

Nothing is recorded for it while messages move: a task that waits has left its traces. So it may be asked from any
thread; a component that goes on meanwhile is at work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from types import CodeType, CoroutineType, FrameType
from typing import Any

import anyio

from headrace.authoring.function_away import Away
from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.function_concurrency import Turns
from headrace.model.trouble import Wait, span
from headrace.streams.edge import AnyEdge, Waiter
from headrace.streams.gate import Gate
from headrace.streams.manual_stream import ManualReceiveStream
from headrace.streams.pace import Pace
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.send_stream import EdgeSendStream

from .awaiting import frames_of
from .dead_letters import DeadLetterStore
from .driven import Driven
from .own_files import is_own
from .supervisor import Supervised
from .wiring import Member
from .workers import run_batch

Frames = tuple[FrameType, ...]

_AT_GROUP_END = ("TaskGroup.__aexit__", "NurseryManager.__aexit__")
_WORKERS = run_batch.__code__.co_filename
_BY_WEIGHT = ("paused", "restart", "dead_letters", "send", "await", "workers", "receive", "turn")


def place(frame: FrameType) -> str:
    """Return ``fetch() at store.py:41``."""
    return f"{frame.f_code.co_name}() at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def own_place(frame: FrameType | None) -> str:
    """Return the innermost place in the user's own code, from a frame outwards; nothing where there is none."""
    while frame is not None and not is_own(frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None else place(frame)


# --- by its edges ---------------------------------------------------------------------------------


def waits_on_edges(member: Member, now: float) -> tuple[Wait, ...]:
    """Return the waits of a component that its edges tell of: for room, or else for a message with none in hand."""
    if member.paused:
        return (Wait("paused", "somebody to resume it", now),)
    sends: dict[Waiter, list[AnyEdge]] = {}
    for outlet in tuple(member.outlets.values()):
        for edge in outlet.lanes:
            for waiter in tuple(edge.blocked):
                if not waiter.served:
                    sends.setdefault(waiter, []).append(edge)
    if sends:
        return tuple(_for_room(waiter, edges) for waiter, edges in sends.items())
    inlets = tuple(member.inlets.values())
    if any(handle.has_hand for inlet in inlets for handle in tuple(inlet.handles)):
        return ()
    return tuple(_for_message(inlet, inlet.hungry[0], "") for inlet in inlets if inlet.hungry)


def _for_room(waiter: Waiter, edges: list[AnyEdge], where: str = "") -> Wait:
    keys = tuple(edge.key for edge in edges if not edge.ended)
    text = "room on " + " or ".join(
        f"{edge.inlet.name} ({edge.buffered}/{edge.options.buffer_size})" for edge in edges
    )
    return Wait("send", text, waiter.since, keys, where)


def _for_message(inlet: Any, waiter: Waiter, where: str) -> Wait:
    keys = tuple(edge.key for edge in inlet.lanes if not edge.sender_ended)
    return Wait("receive", f"a message on {inlet.name}", waiter.since, keys, where)


# --- by its tasks ---------------------------------------------------------------------------------


def waits_of(one: Supervised, now: float) -> tuple[Wait, ...]:
    """Return what each task of a running component waits for; at least one wait.

    Args:
        one: The component.
        now: The moment, on the clock of the loop.
    """
    if one.between is not None:
        return (_for_restart(one, now),)
    waits = [wait for driven in one.at_work for wait in _waits_of_task(driven, now)]
    return tuple(waits) or (Wait("turn", "its first turn", now),)


def _for_restart(one: Supervised, now: float) -> Wait:
    """Return what a component waits for between two lives."""
    left = 0.0 if one.next_restart is None else one.next_restart - monotonic()
    how = f"restarts in {span(left)}" if left > 0 else f"is being restarted, awaiting {one.awaiting}"
    return Wait("restart", f"{how} ({one.restarts} restarts so far)", now)


def main_wait(waits: tuple[Wait, ...]) -> Wait:
    """Return the wait that says most of a component."""
    return min(waits, key=lambda wait: (_BY_WEIGHT.index(wait.kind), not wait.where, wait.since))


def _waits_of_task(driven: Driven, now: float) -> Iterator[Wait]:
    top = driven.coroutine
    if top is None or getattr(top, "cr_running", False):
        yield Wait("turn", "its turn", now)
        return
    for frames in _leaves(top):
        # When a task began to wait that the component has started by itself is not known.
        since = driven.since if frames and frames[0] is getattr(top, "cr_frame", None) else now
        wait = _wait_in(frames, since)
        if wait is not None:
            yield wait


def _leaves(coroutine: Any) -> Iterator[Frames]:
    """Yield the frames, outermost first, of a task and of those it waits for at the end of a group."""
    frames = tuple(frames_of(coroutine))
    for frame in reversed(frames):
        if frame.f_code.co_qualname in _AT_GROUP_END:
            children = _children_of(frame.f_locals.get("self"))
            if children:
                for child in children:
                    yield from _leaves(child)
                return
    yield frames


def _children_of(group: Any) -> tuple[Any, ...]:
    """Return the coroutines of the tasks in a group; AnyIO keeps them to itself, so they may not be found."""
    nursery = getattr(group, "_nursery", None)
    tasks = getattr(group, "_tasks", ()) if nursery is None else nursery.child_tasks
    found = (task.coro if hasattr(task, "coro") else task.get_coro() for task in tuple(tasks))
    return tuple(coroutine for coroutine in found if isinstance(coroutine, CoroutineType))


def tasks_of(one: Supervised) -> Iterator[Any]:
    """Yield the coroutines of the tasks that a component has started by itself, as far as they can be found."""
    for driven in one.at_work:
        if driven.coroutine is not None:
            yield from _below(driven.coroutine)


def _below(coroutine: Any) -> Iterator[Any]:
    for frame in frames_of(coroutine):
        if frame.f_code.co_qualname in _AT_GROUP_END:
            for child in _children_of(frame.f_locals.get("self")):
                yield child
                yield from _below(child)


def _wait_in(frames: Frames, since: float) -> Wait | None:
    """Return what the task of these frames waits for; None for one that waits for its siblings."""
    where = own_place_in(frames)
    for frame in reversed(frames):
        tell = _TELLERS.get(frame.f_code)
        if tell is not None:
            return tell(frame.f_locals, since, where)
    return Wait("await", where or _any_place(frames), since, (), where)


def own_place_in(frames: Frames) -> str:
    """Return the innermost place in the user's own code; nothing where there is none."""
    return next((place(frame) for frame in reversed(frames) if is_own(frame.f_code.co_filename)), "")


def _any_place(frames: Frames) -> str:
    return place(frames[0]) if frames else "its turn"


def _receiving(local: Mapping[str, Any], since: float, where: str) -> Wait:
    waiter = local.get("waiter")
    if waiter is None or waiter.served:
        return Wait("turn", "its turn", since, (), where)
    return _for_message(local["inlet"], waiter, where)


def _sending(local: Mapping[str, Any], since: float, where: str) -> Wait:
    waiter = local.get("waiter")
    if waiter is None or waiter.served:
        return Wait("turn", "its turn", since, (), where)
    if any(isinstance(edge, Gate) for edge in local["edges"]):
        return Wait("paused", "somebody to resume it", waiter.since, (), where)
    return _for_room(waiter, local["edges"], where)


def _for_letters(local: Mapping[str, Any], since: float, where: str) -> Wait:
    store = local["self"]
    text = f"room in the dead-letter store ({len(store)}/{store.limit})"
    return Wait("dead_letters", text, local.get("began", since), (), where)


def _for_workers(local: Mapping[str, Any], since: float, where: str) -> Wait:
    at = _thread_with(local.get("messages"))
    return Wait("workers", f"its worker, which is in {at}" if at else "its workers", since, (), at or where)


def _thread_with(messages: object) -> str:
    """Return where the thread that works on a batch is, in the user's own code."""
    for innermost in sys._current_frames().values():
        frame: FrameType | None = innermost
        while frame is not None and frame.f_code.co_filename != _WORKERS:
            frame = frame.f_back
        while frame is not None and frame.f_code.co_filename == _WORKERS:
            if frame.f_locals.get("messages") is messages:
                return own_place(innermost)
            frame = frame.f_back
    return ""


def _for_ack(local: Mapping[str, Any], since: float, where: str) -> Wait:
    text = ManualReceiveStream.what_for(local["self"])
    return Wait("await", f"{where}, for {text}" if where else text, since, (), where)


def _before_attempt(local: Mapping[str, Any], since: float, where: str) -> Wait:
    text = where or f"the pause before attempt {local.get('attempt', 2)}"
    return Wait("await", text, since, (), where)


def _turn(local: Mapping[str, Any], since: float, where: str) -> Wait:
    return Wait("turn", "its turn", since, (), where)


def _sibling(local: Mapping[str, Any], since: float, where: str) -> None:
    return None


_TELLERS: Mapping[CodeType, Callable[[Mapping[str, Any], float, str], Wait | None]] = {
    EdgeReceiveStream.wait.__code__: _receiving,
    EdgeSendStream._wait_and_send.__code__: _sending,
    ManualReceiveStream.wait_for_ack.__code__: _for_ack,
    DeadLetterStore._wait.__code__: _for_letters,
    Away.run.__code__: _for_workers,
    FunctionComponent._attempt.__code__: _before_attempt,
    Pace.give_way.__code__: _turn,
    anyio.lowlevel.checkpoint.__code__: _turn,
    Turns.wait.__code__: _sibling,
}

__all__ = [
    "main_wait",
    "own_place",
    "own_place_in",
    "place",
    "tasks_of",
    "waits_of",
    "waits_on_edges",
]
