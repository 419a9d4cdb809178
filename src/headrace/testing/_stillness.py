"""Tells whether anything can still happen in a test by itself, by looking at what every task waits for.

A component that waits for a message, or for room, is still until somebody gives it one; one that waits for a
timer, a thread or a socket is at work. So a test knows at once, and without a sleep, that nothing will come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import CodeType, FrameType
from typing import Any, TypeVar

from anyio import TaskInfo, get_current_task, get_running_tasks

from headrace.runtime.awaiting import DRIVEN, awaiting, frames_of
from headrace.runtime.drain import CycleUnit, Drain
from headrace.runtime.resources import Resources
from headrace.runtime.restarting import Comeback
from headrace.runtime.run import Run
from headrace.runtime.supervisor import Supervised
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.send_stream import EdgeSendStream

F = TypeVar("F", bound=Callable[..., Any])

_ON_STREAMS = (EdgeReceiveStream.wait.__code__, EdgeSendStream._wait_and_send.__code__)
_RUN = Run.execute.__code__
_RUNNING = Run._wait_for_all.__code__
_COMPONENT = Supervised.run.__code__
_CYCLE = CycleUnit.watch.__code__
_DRAIN = Drain.run.__code__
_RESOURCE = Resources._watch.__code__
_COMEBACK = Comeback.run.__code__
_PASSIVE: dict[CodeType, Callable[[Mapping[str, Any]], bool]] = {}


def passive(is_idle: Callable[[Mapping[str, Any]], bool]) -> Callable[[F], F]:
    """Mark a coroutine function: a task that waits in it does nothing by itself.

    Args:
        is_idle: Tells from the function's local variables whether that is so at the moment.
    """

    def mark(fn: F) -> F:
        _PASSIVE[fn.__code__] = is_idle
        return fn

    return mark


def tasks_now() -> frozenset[int]:
    """Return the ids of the tasks that there are."""
    return frozenset(task.id for task in get_running_tasks())


class Stillness:
    """Looks at the tasks that were started since it was made, but for those that merely run a system."""

    def __init__(self) -> None:
        self._before = tasks_now()

    def at_work(self) -> list[str]:
        """Return what may still do something by itself: who, and what for."""
        return [said for said, is_still in self._look() if not is_still]

    def at_rest(self) -> list[str]:
        """Return what waits for a message, or for room: who, and where."""
        return [said for said, is_still in self._look() if is_still]

    def _look(self) -> list[tuple[str, bool]]:
        """Say of each task what it awaits, and whether it only waits for others."""
        tasks = {task.id: task for task in get_running_tasks()}
        frames = {number: list(frames_of(_coroutine(task))) for number, task in tasks.items()}
        mine = get_current_task().id
        parents = {task.parent_id for task in tasks.values()}
        found: list[tuple[str, bool]] = []
        for number, task in tasks.items():
            if number == mine or number in self._before:
                continue
            if _winds_up(frames[number]):
                found.append((f"the system awaits {_awaiting(task, frames[number])}", False))
            elif _COMEBACK in _codes(frames[number]):
                found.append((_local(frames[number], _COMEBACK, "self").text, False))
            elif name := self._name(task, tasks, frames):
                is_still = _is_still(frames[number], has_children=number in parents)
                found.append((f"{name} awaits {_awaiting(task, frames[number])}", is_still))
        return found

    def _name(self, task: TaskInfo, tasks: dict[int, TaskInfo], frames: dict[int, list[FrameType]]) -> str:
        """Return what to call a task: its component, or its own name; nothing for one that merely runs a system."""
        for number in _lineage(task, tasks, self._before):
            codes = _codes(frames[number])
            if _COMPONENT in codes:
                return str(_local(frames[number], _COMPONENT, "self").member.name)
            if _RESOURCE in codes or _RUN in codes:
                return ""
        return task.name or "a task of the test"


def _winds_up(frames: list[FrameType]) -> bool:
    """Whether a task of the runtime is ending a system, or will do so by itself."""
    codes = _codes(frames)
    if _CYCLE in codes:
        return bool(_local(frames, _CYCLE, "self").is_cut_off())
    return _DRAIN in codes or (_RUN in codes and _RUNNING not in codes)


def _codes(frames: list[FrameType]) -> set[CodeType]:
    return {frame.f_code for frame in frames}


def _lineage(task: TaskInfo, tasks: dict[int, TaskInfo], before: Collection[int]) -> Iterator[int]:
    """Yield a task and those that started it, innermost first, as far as they still run."""
    number: int | None = task.id
    while number is not None and number in tasks and number not in before:
        yield number
        number = tasks[number].parent_id


def _is_still(frames: list[FrameType], *, has_children: bool) -> bool:
    for frame in frames:
        if frame.f_code in _ON_STREAMS:
            return not frame.f_locals["waiter"].served
        if frame.f_code in _PASSIVE:
            return _PASSIVE[frame.f_code](frame.f_locals)
        if frame.f_code.co_qualname == "TaskGroup.__aexit__":
            return has_children
    return False


def _awaiting(task: TaskInfo, frames: list[FrameType]) -> str:
    """Return where a task waits: in the component's own code, where it drives any."""
    driven = next((frame.f_locals[DRIVEN] for frame in frames if DRIVEN in frame.f_locals), None)
    return awaiting(driven or _coroutine(task))


def _local(frames: list[FrameType], code: Any, name: str) -> Any:
    return next(frame.f_locals[name] for frame in frames if frame.f_code is code)


def _coroutine(task: TaskInfo) -> Any:
    return getattr(task, "coro", None)


__all__ = ["Stillness", "passive", "tasks_now"]
