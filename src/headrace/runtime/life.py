"""One life of a component: ``process()`` and all that it spawns, until all of it has ended.

What that means for its streams, and whether another life follows, is decided by ``supervisor``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Literal

from anyio import CancelScope, create_task_group, get_current_task
from anyio.abc import TaskGroup

from headrace.exceptions import ComponentError, InputEndedError, ReaderEndedError
from headrace.streams.edge import Waiter

from .driven import Driven, Work, leaves, without_cancellation
from .member import Member
from .resting import all_wait_to_receive

Ended = Literal["returned", "crashed", "cancelled"]

inside: ContextVar[tuple[object, ...]] = ContextVar("headrace_inside", default=())
"""The harnesses whose components the current task (or worker thread) belongs to, outermost first."""


class Life:
    """One life of a member.

    Args:
        member: The component.
        on_task_end: Called whenever one of its tasks has ended.

    Attributes:
        errors: What its tasks have failed with.
        forced_at: Where it waited when it was made to end; empty if it went by itself.
    """

    __slots__ = (
        "_at_work",
        "_group",
        "_insisting",
        "_member",
        "_on_task_end",
        "_scope",
        "_task",
        "errors",
        "forced_at",
    )

    def __init__(self, member: Member, on_task_end: Callable[[], None]) -> None:
        self.errors: list[BaseException] = []
        self.forced_at = ""
        self._member = member
        self._on_task_end = on_task_end
        self._scope = CancelScope()
        self._group: TaskGroup | None = None
        self._at_work: list[Driven] = []
        self._insisting = False
        self._task = 0

    @property
    def at_work(self) -> tuple[Driven, ...]:
        """Its tasks: ``process()`` and what it spawned."""
        return tuple(self._at_work)

    @property
    def awaiting(self) -> str:
        """Where it waits, as a line of its own source."""
        return self._at_work[0].awaiting if self._at_work else "its first turn"

    @property
    def rests(self) -> bool:
        """Whether it can only be roused by a message: all its tasks wait to receive, with nothing in hand."""
        waiting: set[Waiter] = set()
        for inlet in self._member.inlets.values():
            waiters = [waiter for handle in inlet.handles for waiter in handle.waiters]
            at_work = any(handle.is_at_work and not handle.closed for handle in inlet.handles)
            if at_work or inlet.has_message or any(waiter.served for waiter in waiters):
                return False
            waiting |= set(waiters)
        outlets = self._member.outlets.values()
        blocked = any(handle.waiters for outlet in outlets for handle in outlet.handles)
        return bool(self._at_work) and not blocked and all_wait_to_receive(self._task, waiting)

    def insist(self) -> None:
        """Do not let it swallow a cancellation from now on."""
        self._insisting = True
        for driven in self._at_work:
            driven.insist = True

    def cancel(self) -> None:
        """Cancel all of it, for good."""
        self.insist()
        self._scope.cancel()

    def fail(self, error: BaseException) -> None:
        """Let it end with an error: one of a task of its own, or one that somebody injects."""
        self.errors.append(error)
        self.cancel()

    def spawn(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], *args: object, name: str | None = None
    ) -> None:
        """Start a task in the component's own task group."""
        if self._group is None:
            raise RuntimeError("spawn() works while the component runs: call it from process()")
        self._group.start_soon(self._work, fn, *args, name=name or f"{self._member.name}: {fn!r}")

    async def run(self, *, silent: bool = False) -> Ended:
        """Run ``process()`` and all it spawns to their end, and say how that was.

        Args:
            silent: Whether ``process()`` is not called at all.

        Raises:
            BaseException: The cancellation from around it, after which ``errors`` has what failed before.
        """
        self._task = get_current_task().id
        try:
            with self._scope:
                async with create_task_group() as self._group:
                    if not silent:
                        await self._work(self._process)
        except BaseException as error:
            if not self.forced_at or without_cancellation(error) is None:
                raise
        finally:
            self._group = None
        if self.errors:
            return "crashed"
        return "cancelled" if self._scope.cancelled_caught or self.forced_at else "returned"

    def _process(self) -> Any:
        result = self._member.component.process()
        if not inspect.isawaitable(result):
            kind = type(result).__name__
            raise ComponentError(f"process() returned {kind}, nothing to await; write `async def process`")
        return result

    async def _work(self, fn: Callable[..., Any], *args: object) -> None:
        """Do the work of one task; an error ends the others, word that a neighbour has ended does not."""
        driven = Driven(fn, *args, work=Work(inside.get()[-1], self._member.name, "process"))
        driven.insist = self._insisting
        self._at_work.append(driven)
        try:
            await driven
        except BaseException as error:
            real = without_cancellation(error)
            if real is None:
                raise
            if not _is_normal_end(real):
                self.fail(real)
        finally:
            self._at_work.remove(driven)
            self.forced_at = self.forced_at or driven.forced
            self._on_task_end()


def _is_normal_end(error: BaseException) -> bool:
    """Whether nothing escaped but word that our own neighbours have ended."""
    return all(isinstance(leaf, (ReaderEndedError, InputEndedError)) for leaf in leaves(error))


__all__ = ["Ended", "Life", "inside"]
