"""One component at work: its task, how its end is judged, and what that means for its streams."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Literal

from anyio import CancelScope, create_task_group, get_cancelled_exc_class
from anyio.abc import TaskGroup

from headrace.authoring.harness_component import finish_winding_down, wind_down
from headrace.exceptions import InputEndedError, ReaderEndedError
from headrace.model.component_status import ComponentState
from headrace.model.report import describe

from .awaiting import awaiting
from .dead_letters import DeadLetterStore
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
        self.stopping: Literal["grace", "deadline", ""] = ""
        self._harness = harness
        self._dead_letters = dead_letters
        self._on_end = on_end
        self._logger = logger
        self._scope = CancelScope()
        self._group: TaskGroup | None = None
        self._coroutine: Any = None

    @property
    def alive(self) -> bool:
        """Whether it has not been judged yet."""
        return self.verdict is None

    @property
    def awaiting(self) -> str:
        """Where it waits, as a line of its own source."""
        return awaiting(self._coroutine)

    def cancel(self, why: Literal["grace", "deadline"]) -> None:
        """Cancel it: a source after its grace (a normal end), anything at the deadline."""
        self.stopping = why
        self._scope.cancel()

    def spawn(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], *args: object, name: str | None = None
    ) -> None:
        """Start a task in the component's own task group."""
        if self._group is None:
            raise RuntimeError("spawn() works while the component runs: call it from process()")
        self._group.start_soon(fn, *args, name=name or f"{self.member.name}: {fn!r}")

    async def run(self) -> None:
        """Run ``process()`` and all it spawns to their end, and judge it."""
        inside.set((*inside.get(), self._harness))
        try:
            with self._scope:
                self.error = await self._process()
        except BaseException as error:
            if not isinstance(error, get_cancelled_exc_class()):
                self.error = error
                self._judge("crashed")
                return
            self._judge("cancelled")
            raise
        if self.error is not None:
            self._judge("crashed")
        elif self._scope.cancelled_caught:
            self._judge("stopped" if self.stopping == "grace" else "overran")
        else:
            self._judge("finished")

    async def _process(self) -> BaseException | None:
        """Return what escaped ``process()`` or a task it spawned, unless that is a normal end."""
        own: BaseException | None = None
        others: BaseException | None = None
        try:
            async with create_task_group() as group:
                self._group = group
                self._coroutine = self.member.component.process()
                try:
                    await self._coroutine
                except get_cancelled_exc_class():
                    raise
                except BaseException as error:
                    own = error
                    group.cancel_scope.cancel()
        except BaseExceptionGroup as group_error:
            others = group_error.exceptions[0] if len(group_error.exceptions) == 1 else group_error
        finally:
            self._group = None
        first = others if own is None else own
        return None if first is None or _is_normal_end(first) else first

    def _judge(self, verdict: Verdict) -> None:
        self.verdict = verdict
        member = self.member
        if verdict == "crashed":
            assert self.error is not None
            self._put_hands_away(self.error)
            if member.status.can_transition_to(ComponentState.ERROR):
                member.status.transition_to(ComponentState.ERROR, error=self.error)
            self._log_crash(self.error)
        for outlet in member.outlets.values():
            outlet.end()
        if verdict in ("finished", "stopped", "crashed"):
            for inlet in member.inlets.values():
                inlet.settle_all("acknowledged")
                inlet.end()
            if verdict != "crashed":
                wind_down(member.status)
                finish_winding_down(member.status)
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


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors in an exception group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def _is_normal_end(error: BaseException) -> bool:
    """Whether nothing escaped but word that our own neighbours have ended."""
    return all(isinstance(leaf, (ReaderEndedError, InputEndedError)) for leaf in leaves(error))


__all__ = ["Supervised", "Verdict", "inside", "leaves"]
