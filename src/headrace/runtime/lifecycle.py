"""Set-up and clean-up: downstream first, the other way round, each with a deadline and a name to blame."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
from .life import inside
from .wiring import Member

_How = Literal["by place", "by name", "bare"]
HASTY_CLEANUP = 0.5
"""Seconds that clean-ups still have once the system is to stop at once."""
_KEPT = 100
"""Of what goes wrong between lives so many are kept, for the report: a storm may last for ever."""


@dataclass(slots=True)
class Notes:
    """What went wrong: errors, and who overran a deadline."""

    failures: list[Failure] = field(default_factory=list)
    overruns: list[Overrun] = field(default_factory=list)


class _Step:
    """One component in one phase: what it does, and the scope that ends it at the deadline."""

    __slots__ = ("began", "done", "driven", "member", "notes", "overrun", "phase", "scope")

    def __init__(self, member: Member, phase: Phase, driven: Driven, notes: Notes) -> None:
        self.member = member
        self.phase = phase
        self.driven = driven
        self.notes = notes
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
        self.notes = Notes()
        self.between_lives = Notes()
        self._harness = harness
        self._context_of = context_of
        self._logger = logger
        self._layers: list[list[Member]] = []
        self._touched: set[str] = set()  # set up, or failed in it, and not cleaned up since
        self._steps: dict[str, _Step] = {}
        self._hurried = anyio.Event()

    @property
    def failures(self) -> list[Failure]:
        """The errors of the first set-up and of the last clean-up."""
        return self.notes.failures

    @property
    def overruns(self) -> list[Overrun]:
        """Who overran the deadline of the last clean-up."""
        return self.notes.overruns

    def awaiting(self, member: Member) -> str:
        """Return where a component's set-up or clean-up waits; nothing where there is none at work."""
        step = self._steps.get(member.name)
        return "" if step is None or step.done else step.driven.awaiting

    def hurry(self) -> None:
        """Leave clean-ups little time from now on."""
        self._hurried.set()

    def slow_steps(self, setup: float, cleanup: float) -> Iterator[SlowStep]:
        """Yield the set-ups and clean-ups that have been under way for so many seconds."""
        now = current_time()
        for step in self._steps.values():
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
        await self._set_up_layers(layers, timeout, self.notes, self._layers)
        return not self.failures

    async def set_up_some(self, layers: Iterable[Sequence[Member]], timeout: float) -> list[Failure]:
        """Set members up once more, one layer after the other; stops at the first failure.

        Returns:
            The failures.
        """
        notes = Notes()
        await self._set_up_layers(layers, timeout, notes, [])
        return notes.failures

    async def _set_up_layers(
        self, layers: Iterable[Sequence[Member]], timeout: float, notes: Notes, touched: list[list[Member]]
    ) -> None:
        for layer in layers:
            touched.append([])
            steps, begun = list[_Step](), anyio.Event()
            async with create_task_group() as watch:
                watch.start_soon(self._watch_set_up, steps, begun, timeout)
                async with create_task_group() as group:
                    for member in layer:
                        if notes.failures:
                            break
                        touched[-1].append(member)
                        step = self._step(member, "setup", steps, notes)
                        group.start_soon(self._set_up_one, step, timeout, group.cancel_scope)
                        await checkpoint()  # in this order, on trio too
                    begun.set()
                watch.cancel_scope.cancel()
            self._forget(steps)
            if notes.failures:
                return

    def _setup_of(self, member: Member) -> Callable[[], Any]:
        return lambda: _call_setup(member.component, self._context_of(member))

    async def _watch_set_up(self, steps: list[_Step], begun: anyio.Event, timeout: float) -> None:
        try:
            await begun.wait()
            await anyio.sleep(timeout)
            self._blame(steps, "set-up overran")
        finally:
            _insist(steps)

    async def _set_up_one(self, step: _Step, timeout: float, layer: CancelScope) -> None:
        member = step.member
        self._touched.add(member.name)
        inside.set((*inside.get(), self._harness))
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
            if not self._has_failed(step, "setup", error):
                raise
            layer.cancel()

    # --- clean-up ----------------------------------------------------------------------------------

    async def clean_up(self, timeout: float) -> None:
        """Clean up whoever was touched, in reverse of set-up; nothing stops the others."""
        await self._clean_up_layers(self._layers, timeout, self.notes)

    async def clean_up_some(self, members: Container[Member], timeout: float) -> list[Failure]:
        """Clean up some of those that were touched, to set them up once more; what fails is logged and kept.

        Returns:
            The failures.
        """
        layers = [[member for member in layer if member in members] for layer in self._layers]
        notes = Notes()
        await self._clean_up_layers(layers, timeout, notes)
        self.between_lives.failures = [*self.between_lives.failures, *notes.failures][-_KEPT:]
        self.between_lives.overruns = [*self.between_lives.overruns, *notes.overruns][-_KEPT:]
        return notes.failures

    async def _clean_up_layers(self, layers: list[list[Member]], timeout: float, notes: Notes) -> None:
        for layer in reversed(layers):
            steps, begun = list[_Step](), anyio.Event()
            if not any(member.name in self._touched for member in layer):
                continue
            async with create_task_group() as watch:
                watch.start_soon(self._watch_clean_up, steps, begun, timeout)
                async with create_task_group() as group:
                    for member in reversed(layer):
                        if member.name in self._touched:
                            self._touched.remove(member.name)
                            step = self._step(member, "cleanup", steps, notes)
                            group.start_soon(self._clean_up_one, step)
                            await checkpoint()  # in this order, on trio too
                    begun.set()
                watch.cancel_scope.cancel()
            self._forget(steps)

    async def _watch_clean_up(self, steps: list[_Step], begun: anyio.Event, timeout: float) -> None:
        await begun.wait()
        with anyio.move_on_after(timeout):
            await self._hurried.wait()
            await anyio.sleep(HASTY_CLEANUP)
        self._blame(steps, "clean-up overran")

    async def _clean_up_one(self, step: _Step) -> None:
        member = step.member
        inside.set((*inside.get(), self._harness))
        wind_down(member.status)
        began = current_time()
        try:
            await step.take()
        except BaseException as error:
            if not self._has_failed(step, "cleanup", error):
                raise
        else:
            if step.overrun:
                late = Overrun(member.name, "cleanup", current_time() - began, step.overrun)
                step.notes.overruns.append(late)
                _to_error(member.status, CleanupFailed(str(late), component=member.name))
        finish_winding_down(member.status)

    # --- both --------------------------------------------------------------------------------------

    def _forget(self, steps: list[_Step]) -> None:
        for step in steps:
            self._steps.pop(step.member.name, None)

    def phase_of(self, name: str) -> Phase:
        """Return in which phase of its life a component is now."""
        step = self._steps.get(name)
        return "process" if step is None else step.phase

    def _step(self, member: Member, phase: Phase, steps: list[_Step], notes: Notes) -> _Step:
        call = self._setup_of(member) if phase == "setup" else member.component.cleanup
        driven = Driven(call, work=Work(self._harness, member.name, phase))
        step = self._steps[member.name] = _Step(member, phase, driven, notes)
        steps.append(step)
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

    def _has_failed(self, step: _Step, phase: Phase, error: BaseException) -> bool:
        """Take note of an error; returns False for a cancellation, which has to go on."""
        real = without_cancellation(error)
        if real is None:
            return False
        self.take_note(step.member, phase, real, step.notes)
        return True

    def take_note(
        self, member: Member, phase: Phase, real: BaseException, notes: Notes | None = None
    ) -> None:
        """Enter an error of a component, in its status, in notes and in the log."""
        _to_error(member.status, real)
        if notes is not None:
            notes.failures.append(Failure(member.name, phase, real))
        for leaf in leaves(real):
            trace = (type(leaf), leaf, leaf.__traceback__)
            self._logger.error(f"{phase} failed", component=member.name, error=describe(leaf), exc_info=trace)


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
    if status.state is ComponentState.STOPPED:  # through ready, so that error_count stays true
        status.transition_to(ComponentState.READY)
    if status.can_transition_to(ComponentState.ERROR):
        status.transition_to(ComponentState.ERROR, error=error)


__all__ = ["HASTY_CLEANUP", "Lifecycle", "Notes"]
