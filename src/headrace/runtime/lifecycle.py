"""Set-up and clean-up: downstream first, the other way round, each with a deadline and a name to blame."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from types import FunctionType
from typing import Any, Literal

import anyio
from anyio import CancelScope, create_task_group, current_time
from anyio.lowlevel import checkpoint

from headrace.authoring.context import Context
from headrace.authoring.harness_component import finish_winding_down, wind_down
from headrace.exceptions import CleanupFailed, SetupFailed
from headrace.model.component_status import ComponentState, ComponentStatus
from headrace.model.report import Failure, Overrun, Phase, describe
from headrace.model.trouble import SlowStep

from .driven import Driven, Work, leaves, without_cancellation
from .supervisor import inside
from .wiring import Member

_How = Literal["by place", "by name", "bare"]
HASTY_CLEANUP = 0.5
"""Seconds that clean-ups still have once the system is to stop at once."""


class _Step:
    """One component in one phase: what it does, and the scope that ends it at the deadline."""

    __slots__ = ("began", "done", "driven", "member", "overrun", "scope")

    def __init__(self, member: Member, driven: Driven) -> None:
        self.member = member
        self.driven = driven
        self.scope = CancelScope()
        self.overrun = ""
        self.done = False
        self.began = current_time()

    async def take(self) -> None:
        """Do it, until its end or the deadline."""
        try:
            with self.scope:
                await self.driven
        except BaseException as error:
            if not self.driven.abandoned or without_cancellation(error) is None:
                raise
        finally:
            self.done = True


class Lifecycle:
    """Sets members up and cleans them up, and remembers whom it touched.

    Args:
        harness: What ``stop()`` recognises its own components by.
        context_of: Gives the context of a member.
        logger: For what happens.
    """

    def __init__(self, harness: object, context_of: Callable[[Member], Context], logger: Any) -> None:
        self.failures: list[Failure] = []
        self.overruns: list[Overrun] = []
        self._harness = harness
        self._context_of = context_of
        self._logger = logger
        self._touched: list[list[Member]] = []
        self._at_work: list[_Step] = []
        self._hurried = anyio.Event()

    def hurry(self) -> None:
        """Leave clean-ups little time from now on."""
        self._hurried.set()

    def slow_steps(self, setup: float, cleanup: float) -> Iterator[SlowStep]:
        """Yield the set-ups and clean-ups that have been under way for so many seconds."""
        now = current_time()
        for step in self._at_work:
            work = step.driven.work
            if step.done or work is None:
                continue
            if now - step.began >= (setup if work.phase == "setup" else cleanup):
                yield SlowStep(work.component, work.phase, now - step.began, step.driven.awaiting)

    # --- set-up ------------------------------------------------------------------------------------

    async def set_up(self, layers: Iterable[Sequence[Member]], timeout: float) -> bool:
        """Set all members up, one layer after the other; stops at the first failure.

        Returns:
            Whether every set-up succeeded.
        """
        for layer in layers:
            self._touched.append([])
            steps, begun = list[_Step](), anyio.Event()
            async with create_task_group() as watch:
                watch.start_soon(self._watch_set_up, steps, begun, timeout)
                async with create_task_group() as group:
                    for member in layer:
                        if self.failures:
                            break
                        group.start_soon(self._set_up_one, member, steps, timeout, group.cancel_scope)
                        await checkpoint()  # in this order, on trio too
                    begun.set()
                watch.cancel_scope.cancel()
            if self.failures:
                return False
        return True

    async def _watch_set_up(self, steps: list[_Step], begun: anyio.Event, timeout: float) -> None:
        try:
            await begun.wait()
            await anyio.sleep(timeout)
            self._blame(steps, "set-up overran")
        finally:
            _insist(steps)

    async def _set_up_one(
        self, member: Member, steps: list[_Step], timeout: float, layer: CancelScope
    ) -> None:
        self._touched[-1].append(member)
        step = self._step(
            member, "setup", steps, lambda: _call_setup(member.component, self._context_of(member))
        )
        try:
            await step.take()
            if step.overrun:
                raise SetupFailed(
                    f"set-up of '{member.name}' took over {timeout:g} s, awaiting {step.overrun}; "
                    "make it quicker or raise setup_timeout",
                    component=member.name,
                )
            if member.status.state is not ComponentState.READY:
                member.status.transition_to(ComponentState.READY)
        except BaseException as error:
            if not self._has_failed(member, "setup", error):
                raise
            layer.cancel()

    # --- clean-up ----------------------------------------------------------------------------------

    async def clean_up(self, timeout: float) -> None:
        """Clean up whoever was touched, in reverse of set-up; nothing stops the others."""
        for layer in reversed(self._touched):
            steps, begun = list[_Step](), anyio.Event()
            async with create_task_group() as watch:
                watch.start_soon(self._watch_clean_up, steps, begun, timeout)
                async with create_task_group() as group:
                    for member in reversed(layer):
                        group.start_soon(self._clean_up_one, member, steps, timeout)
                        await checkpoint()  # in this order, on trio too
                    begun.set()
                watch.cancel_scope.cancel()
        self._touched.clear()

    async def _watch_clean_up(self, steps: list[_Step], begun: anyio.Event, timeout: float) -> None:
        await begun.wait()
        with anyio.move_on_after(timeout):
            await self._hurried.wait()
            await anyio.sleep(HASTY_CLEANUP)
        self._blame(steps, "clean-up overran")

    async def _clean_up_one(self, member: Member, steps: list[_Step], timeout: float) -> None:
        wind_down(member.status)
        began = current_time()
        step = self._step(member, "cleanup", steps, member.component.cleanup)
        try:
            await step.take()
        except BaseException as error:
            if not self._has_failed(member, "cleanup", error):
                raise
        else:
            if step.overrun:
                late = Overrun(member.name, "cleanup", current_time() - began, step.overrun)
                self.overruns.append(late)
                _to_error(member.status, CleanupFailed(str(late), component=member.name))
        finish_winding_down(member.status)

    # --- both --------------------------------------------------------------------------------------

    def _step(self, member: Member, phase: Phase, steps: list[_Step], call: Callable[[], Any]) -> _Step:
        inside.set((*inside.get(), self._harness))
        step = _Step(member, Driven(call, work=Work(self._harness, member.name, phase)))
        steps.append(step)
        self._at_work = steps
        return step

    def _blame(self, steps: list[_Step], what: str) -> None:
        """Name all that are still at it, before they are cancelled: a stuck thread cannot be."""
        for step in steps:
            if not step.done:
                step.overrun = step.driven.awaiting
                self._logger.error(what, component=step.member.name, awaiting=step.overrun)
        _insist(steps)
        for step in steps:
            step.scope.cancel()

    def _has_failed(self, member: Member, phase: Phase, error: BaseException) -> bool:
        """Take note of an error; returns False for a cancellation, which has to go on."""
        real = without_cancellation(error)
        if real is None:
            return False
        _to_error(member.status, real)
        self.failures.append(Failure(member.name, phase, real))
        for leaf in leaves(real):
            trace = (type(leaf), leaf, leaf.__traceback__)
            self._logger.error(f"{phase} failed", component=member.name, error=describe(leaf), exc_info=trace)
        return True


def _insist(steps: list[_Step]) -> None:
    for step in steps:
        step.driven.insist = True


def _call_setup(component: Any, context: Context) -> Any:
    """Call ``setup`` with the context where it takes one: components of others may not."""
    setup = component.setup
    function = getattr(setup, "__func__", None)
    how = _how_to_call(function) if isinstance(function, FunctionType) else _look_how_to_call(setup)
    if how == "by place":
        return setup(context)
    return setup(harness_context=context) if how == "by name" else setup()


@lru_cache(maxsize=256)  # a look takes 100 us, and the components of a system are of a few classes
def _how_to_call(method: FunctionType) -> _How:
    return _look_how_to_call(method, None)


def _look_how_to_call(fn: Callable[..., Any], *own: object) -> _How:
    try:
        signature = inspect.signature(fn)
    except ValueError:  # implemented in C: no signature to look at
        return "by place"
    with suppress(TypeError):
        signature.bind(*own, None)
        return "by place"
    with suppress(TypeError):
        signature.bind(*own, harness_context=None)
        return "by name"
    return "bare"


def _to_error(status: ComponentStatus, error: BaseException) -> None:
    if status.can_transition_to(ComponentState.ERROR):
        status.transition_to(ComponentState.ERROR, error=error)


__all__ = ["HASTY_CLEANUP", "Lifecycle"]
