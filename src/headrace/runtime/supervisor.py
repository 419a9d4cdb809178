"""One component at work: its tasks, how its end is judged, and what that means for its streams."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Literal

from anyio import CancelScope, create_task_group, get_current_task
from anyio.abc import TaskGroup

from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.harness_component import finish_winding_down, wind_down
from headrace.exceptions import ComponentError, InputEndedError, ReaderEndedError
from headrace.model.component_status import ComponentState
from headrace.model.report import describe
from headrace.streams.edge import Waiter

from .dead_letters import DeadLetterStore
from .driven import Driven, Work, leaves, without_cancellation
from .moving import surviving_listeners
from .resting import all_wait_to_receive
from .wiring import Member

Verdict = Literal["finished", "stopped", "crashed", "overran", "cancelled"]

inside: ContextVar[tuple[object, ...]] = ContextVar("headrace_inside", default=())
"""The harnesses whose components the current task (or worker thread) belongs to, outermost first."""


class Supervised:
    """A member while it runs.

    Args:
        member: The component.
        harness: What ``stop()`` recognises its own components by.
        dead_letters: Where the message in hand goes when the component crashes.
        on_end: Called once with the verdict, in the component's task.
        logger: For what happens.
    """

    __slots__ = (
        "_at_work",
        "_dead_letters",
        "_errors",
        "_group",
        "_harness",
        "_insisting",
        "_logger",
        "_on_end",
        "_scope",
        "_task",
        "error",
        "forced_at",
        "member",
        "on_task_end",
        "silent",
        "stopping",
        "verdict",
    )

    def __init__(
        self,
        member: Member,
        harness: object,
        dead_letters: DeadLetterStore,
        on_end: Callable[[Supervised], None],
        logger: Any,
    ) -> None:
        self.member = member
        self.verdict: Verdict | None = None
        self.error: BaseException | None = None
        self.silent = False
        self.stopping: Literal["grace", "deadline", ""] = ""
        self.forced_at = ""
        self.on_task_end: Callable[[], None] | None = None
        self._harness = harness
        self._dead_letters = dead_letters
        self._on_end = on_end
        self._logger = logger
        self._scope = CancelScope()
        self._group: TaskGroup | None = None
        self._at_work: list[Driven] = []
        self._errors: list[BaseException] = []
        self._insisting = False
        self._task = 0

    @property
    def alive(self) -> bool:
        """Whether it has not been judged yet."""
        return self.verdict is None

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
        for inlet in self.member.inlets.values():
            waiters = [waiter for handle in inlet.handles for waiter in handle.waiters]
            at_work = any(handle.has_hand and not handle.closed for handle in inlet.handles)
            if at_work or inlet.has_message or any(waiter.served for waiter in waiters):
                return False
            waiting |= set(waiters)
        blocked = any(handle.waiters for outlet in self.member.outlets.values() for handle in outlet.handles)
        return bool(self._at_work) and not blocked and all_wait_to_receive(self._task, waiting)

    def insist(self) -> None:
        """Do not let it swallow a cancellation from now on."""
        self._insisting = True
        for driven in self._at_work:
            driven.insist = True

    def cancel(self, why: Literal["grace", "deadline"]) -> None:
        """Cancel it: a source after its grace (a normal end), anything at the deadline."""
        self.stopping = why
        self.insist()
        self._scope.cancel()
        component = self.member.component
        if why == "deadline" and isinstance(component, FunctionComponent) and component.away is not None:
            component.away.abandon()

    def spawn(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], *args: object, name: str | None = None
    ) -> None:
        """Start a task in the component's own task group."""
        if self._group is None:
            raise RuntimeError("spawn() works while the component runs: call it from process()")
        self._group.start_soon(self._work, fn, *args, name=name or f"{self.member.name}: {fn!r}")

    async def run(self) -> None:
        """Run ``process()`` and all it spawns to their end, and judge it."""
        self._task = get_current_task().id
        inside.set((*inside.get(), self._harness))
        try:
            with self._scope:
                async with create_task_group() as self._group:
                    if not self.silent:
                        await self._work(self._process)
        except BaseException as error:
            if not self.forced_at or without_cancellation(error) is None:
                self._judge("crashed" if self._errors else "cancelled")
                raise
        finally:
            self._group = None
        if self._errors:
            self._judge("crashed")
        elif self._scope.cancelled_caught or self.forced_at:
            self._judge("stopped" if self.stopping == "grace" and not self.forced_at else "overran")
        else:
            self._judge("finished")

    def _process(self) -> Any:
        result = self.member.component.process()
        if not inspect.isawaitable(result):
            kind = type(result).__name__
            raise ComponentError(f"process() returned {kind}, nothing to await; write `async def process`")
        return result

    async def _work(self, fn: Callable[..., Any], *args: object) -> None:
        """Do the work of one task; an error ends the others, word that a neighbour has ended does not."""
        driven = Driven(fn, *args, work=Work(self._harness, self.member.name, "process"))
        driven.insist = self._insisting
        self._at_work.append(driven)
        try:
            await driven
        except BaseException as error:
            real = without_cancellation(error)
            if real is None:
                raise
            if not _is_normal_end(real):
                self._errors.append(real)
                self.insist()
                self._scope.cancel()
        finally:
            self._at_work.remove(driven)
            self.forced_at = self.forced_at or driven.forced
            if self.on_task_end is not None:
                self.on_task_end()

    def _judge(self, verdict: Verdict) -> None:
        self.verdict = verdict
        member = self.member
        if verdict == "crashed":
            self.error = _one_of(self._errors)
            self._put_hands_away(self.error)
            with surviving_listeners(self._logger, member.name):
                if member.status.can_transition_to(ComponentState.ERROR):
                    member.status.transition_to(ComponentState.ERROR, error=self.error)
            self._log_crash(self.error)
        for outlet in member.outlets.values():
            outlet.end()
        for inlet in member.inlets.values():
            if verdict in ("overran", "cancelled"):
                inlet.ended = True  # what is left stays in the books as left, whatever clean-up closes
            else:
                inlet.settle_all("acknowledged")
                inlet.end()
        if verdict in ("finished", "stopped"):
            for move in (wind_down, finish_winding_down):
                with surviving_listeners(self._logger, member.name):
                    move(member.status)
        self._on_end(self)

    def _put_hands_away(self, error: BaseException) -> None:
        """Dead-letter what the crashed component had in hand: with no restart, nobody will try it again."""
        for inlet in self.member.inlets.values():
            for edge, message in inlet.settle_all("dead_lettered"):
                self._dead_letters.put_now(self.member.name, message, error, attempts=1, edge=edge.key)

    def _log_crash(self, error: BaseException) -> None:
        for leaf in leaves(error):
            trace = (type(leaf), leaf, leaf.__traceback__)
            self._logger.error(
                "component crashed", component=self.member.name, error=describe(leaf), exc_info=trace
            )


def _one_of(errors: list[BaseException]) -> BaseException:
    return errors[0] if len(errors) == 1 else BaseExceptionGroup("several tasks of the component", errors)


def _is_normal_end(error: BaseException) -> bool:
    """Whether nothing escaped but word that our own neighbours have ended."""
    return all(isinstance(leaf, (ReaderEndedError, InputEndedError)) for leaf in leaves(error))


__all__ = ["Supervised", "Verdict", "inside"]
