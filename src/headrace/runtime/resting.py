"""Says whether a component can still do something by itself, by looking at all its tasks.

A member of a cycle may hold messages in tasks of its own; only when every one of them waits to receive
can nothing but a message rouse it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from typing import Any

from anyio import TaskInfo, get_running_tasks

from .awaiting import frames_of


def all_wait_to_receive(root: int, receivers: Container[int]) -> bool:
    """Return whether a task and all it has started wait: to receive, or for tasks that do.

    Args:
        root: The id of the component's first task.
        receivers: The ids of the tasks that wait to receive.
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
        if number not in receivers and number in tasks and not _waits_for_its_own(tasks[number]):
            return False
    return True


def _waits_for_its_own(task: Any) -> bool:
    """Whether a task is at the end of a task group's block, waiting for the tasks in it."""
    return any(frame.f_code.co_qualname == "TaskGroup.__aexit__" for frame in frames_of(task.coro))


__all__ = ["all_wait_to_receive"]
