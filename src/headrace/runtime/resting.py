"""Says whether a component can still do something by itself, by looking at all its tasks.

A member of a cycle may hold messages in tasks of its own; only when every one of them waits to receive
can nothing but a message rouse it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from typing import Any

from anyio import TaskInfo, get_running_tasks

from headrace.streams.edge import Waiter
from headrace.streams.receive_stream import EdgeReceiveStream

from .awaiting import frames_of

_RECEIVING = EdgeReceiveStream.wait.__code__


def all_wait_to_receive(root: int, receivers: Container[Waiter]) -> bool:
    """Return whether a task and all it has started wait: to receive, or for tasks that do.

    Args:
        root: The id of the component's first task.
        receivers: What the tasks that may wait to receive wait for.
    """
    tasks: dict[int, TaskInfo] = {}
    children: dict[int | None, list[int]] = defaultdict(list)
    for task in get_running_tasks():
        tasks[task.id] = task
        children[task.parent_id].append(task.id)
    pending = [root]
    while pending:
        number = pending.pop()
        pending += children[number]
        if number in tasks and not _waits(tasks[number], receivers):
            return False
    return True


def _waits(task: Any, receivers: Container[Waiter]) -> bool:
    """Whether a task waits for a message, or at the end of a task group's block for the tasks in it."""
    for frame in frames_of(task.coro):
        if frame.f_code is _RECEIVING and frame.f_locals["waiter"] in receivers:
            return True
        if frame.f_code.co_qualname == "TaskGroup.__aexit__":
            return True
    return False


__all__ = ["all_wait_to_receive"]
