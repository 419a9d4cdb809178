"""Awaits a component's coroutine the way its task would, so that one that swallows cancellation ends too.

It is first told to end by a cancellation, as always. Once it has swallowed several, ``MadeToEnd`` is
thrown where its wait was aborted, which ``except Exception`` and ``except Cancelled`` let through.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any, NamedTuple

from anyio import CancelScope, TaskInfo, current_effective_deadline, get_cancelled_exc_class

from headrace.exceptions import ComponentError
from headrace.model.report import Phase
from headrace.streams.pace import loop_clock

from .awaiting import awaiting

ROPE = 10
"""How many cancellations a coroutine may swallow (or meet in its clean-up) before it is made to end."""

root_task: ContextVar[TaskInfo | None] = ContextVar("headrace_root_task", default=None)
"""The task of the run that the current task belongs to: asyncio cancels all tasks one by one when a loop ends."""

_abandoned: list[Any] = []  # kept from the garbage collector, which would run their code in some other task


class MadeToEnd(BaseException):
    """Thrown into a coroutine that has swallowed its cancellation; never seen outside of it.

    Not ``GeneratorExit``: that would close inner coroutines, in which clean-ups could not await any more.
    """


class Work(NamedTuple):
    """Whose work a coroutine does: of which system and component, in which phase of its life."""

    system: object
    component: str
    phase: Phase


class Driven:
    """One coroutine of a component, to be awaited once.

    Args:
        call: Called in the task that awaits; what it returns is awaited.
        args: Its arguments.
        work: Whose work it is.

    Attributes:
        insist: Set from outside once it has been cancelled for good: it shall not swallow that.
        forced: Where it waited when it was made to end; empty if it went by itself.
        abandoned: Whether it swallowed even that, and was left behind.
        since: When it began to wait, on the clock of the loop; 0 before.
        work: Whose work it is, where that is known.
    """

    __slots__ = (
        "_args",
        "_call",
        "_cancelled",
        "_coroutine",
        "_outside",
        "_swallowed",
        "abandoned",
        "forced",
        "insist",
        "since",
        "work",
    )

    def __init__(self, call: Callable[..., Any], *args: object, work: Work | None = None) -> None:
        self.work = work
        self.since = 0.0
        self.insist = False
        self.forced = ""
        self.abandoned = False
        self._call = call
        self._args = args
        self._coroutine: Any = None
        self._swallowed = 0
        self._cancelled: BaseException | None = None
        self._outside: object = None

    @property
    def coroutine(self) -> Any:
        """What is driven; None before its first step."""
        return self._coroutine

    @property
    def awaiting(self) -> str:
        """Where it waits, as a line of its own source."""
        return awaiting(self._coroutine)

    def __await__(self) -> Generator[Any, Any, Any]:
        self._outside = _innermost_scope()
        result = self._call(*self._args)
        if not inspect.isawaitable(result):
            return result
        self._coroutine = driven_coroutine = result if inspect.iscoroutine(result) else _as_coroutine(result)
        clock = loop_clock()
        step, value = driven_coroutine.send, None
        while True:
            try:
                trap = step(value)
            except BaseException as error:
                return self._ended(error)
            self.since = clock()
            try:
                step, value = driven_coroutine.send, (yield trap)
            except GeneratorExit:
                driven_coroutine.close()
                raise
            except BaseException as error:
                step, value = driven_coroutine.throw, error
            if self.insist and self._is_being_swallowed(value):
                step, value = driven_coroutine.throw, MadeToEnd()

    def _ended(self, error: BaseException) -> Any:
        """Return the result or raise the error that it ended with; the cancellation if it was made to end."""
        stopped = isinstance(error, StopIteration)
        if self._cancelled is not None and (stopped or _is_forced_end(error)):
            raise self._cancelled from None
        if isinstance(error, StopIteration):
            return error.value
        raise error

    def _is_being_swallowed(self, value: Any) -> bool:
        """Whether it is resumed with yet another cancellation, after all that it has swallowed."""
        cancelled = _cancellation(value)
        if cancelled is not None:
            self._swallowed += 1
            if self._swallowed > ROPE:
                self._give_it_up(cancelled)
                return True
        return False

    def _give_it_up(self, cancelled: BaseException) -> None:
        """Force it to end from now on; leave it behind, suspended, if it has swallowed that too.

        On asyncio a coroutine inside a cancel scope of its own cannot be left: AnyIO would deliver the
        cancellation to the scope that was never exited, for ever.
        """
        self.forced = self.forced or self.awaiting
        self._cancelled = cancelled
        if self._swallowed > 2 * ROPE and _innermost_scope() is self._outside:
            self.abandoned = True
            _abandoned.append(self._coroutine)
            raise cancelled


async def _as_coroutine(result: Awaitable[Any]) -> Any:
    return await result


def _innermost_scope() -> object:
    """Return AnyIO's current cancel scope on asyncio; None on trio, which mends a scope left open itself."""
    probe = CancelScope()
    with probe:
        found: object = getattr(probe, "_parent_scope", None)
    return found


def _cancellation(value: Any) -> BaseException | None:
    """Return the cancellation that a task is resumed with: thrown (asyncio), or sent as an outcome (trio)."""
    error = value if isinstance(value, BaseException) else getattr(value, "error", None)
    return error if isinstance(error, get_cancelled_exc_class()) else None


def _is_forced_end(error: BaseException) -> bool:
    return all(isinstance(leaf, (MadeToEnd, get_cancelled_exc_class())) for leaf in leaves(error))


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors in an exception group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def without_groups_of_one(error: BaseException) -> BaseException:
    """Return the one error in a group of one, else the error itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def without_cancellation(error: BaseException) -> BaseException | None:
    """Return what of an error is not the cancellation of the current task, or None.

    A cancellation that nobody asked for (a future that something else has cancelled) is an error.
    """
    cancelled = get_cancelled_exc_class()
    if isinstance(error, cancelled):
        root = root_task.get()
        if current_effective_deadline() == -math.inf or (root and root.has_pending_cancellation()):
            return None
        foreign = ComponentError("what it awaited was cancelled, by something other than the harness")
        foreign.__cause__ = error
        return foreign
    if isinstance(error, BaseExceptionGroup):
        mixed = any(isinstance(leaf, cancelled) for leaf in leaves(error))
        rest = error.split(cancelled)[1] if mixed else error  # to split a group runs code of the user's
        return None if rest is None else without_groups_of_one(rest)
    return error


__all__ = [
    "ROPE",
    "Driven",
    "MadeToEnd",
    "Work",
    "leaves",
    "root_task",
    "without_cancellation",
    "without_groups_of_one",
]
