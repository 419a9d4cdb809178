"""Set-up and clean-up: downstream first, the other way round, each with a deadline and a name to blame."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anyio
from anyio import CancelScope, create_task_group

from headrace.authoring.context import Context
from headrace.authoring.harness_component import finish_winding_down, wind_down
from headrace.exceptions import CleanupFailed, SetupFailed
from headrace.model.component_status import ComponentState, ComponentStatus
from headrace.model.report import Failure, Overrun, describe

from .awaiting import awaiting
from .wiring import Member


class Lifecycle:
    """Sets members up and cleans them up, and remembers whom it touched.

    Args:
        context_of: Gives the context of a member.
        logger: For what happens.
    """

    def __init__(self, context_of: Callable[[Member], Context], logger: Any) -> None:
        self.failures: list[Failure] = []
        self.overruns: list[Overrun] = []
        self._context_of = context_of
        self._logger = logger
        self._touched: list[list[Member]] = []

    async def set_up(self, layers: Iterable[Sequence[Member]], timeout: float) -> bool:
        """Set all members up, one layer after the other; stops at the first failure.

        Returns:
            Whether every set-up succeeded.
        """
        for layer in layers:
            self._touched.append(list(layer))
            async with create_task_group() as group:
                for member in layer:
                    group.start_soon(self._set_up_one, member, timeout, group.cancel_scope)
            if self.failures:
                return False
        return True

    async def _set_up_one(self, member: Member, timeout: float, layer: CancelScope) -> None:
        try:
            overrun = await _bounded(_call_setup(member.component, self._context_of(member)), timeout)
            if overrun is not None:
                raise SetupFailed(
                    f"set-up of '{member.name}' took over {timeout:g} s, awaiting {overrun}; "
                    "make it quicker or raise setup_timeout",
                    component=member.name,
                )
        except Exception as error:
            _to_error(member.status, error)
            self.failures.append(Failure(member.name, "setup", error))
            self._logger.error("set-up failed", component=member.name, error=describe(error))
            layer.cancel()
        else:
            if member.status.state is not ComponentState.READY:
                member.status.transition_to(ComponentState.READY)

    async def clean_up(self, timeout: float) -> None:
        """Clean up whoever was touched, in reverse of set-up; nothing stops the others."""
        for layer in reversed(self._touched):
            async with create_task_group() as group:
                for member in reversed(layer):
                    group.start_soon(self._clean_up_one, member, timeout)
        self._touched.clear()

    async def _clean_up_one(self, member: Member, timeout: float) -> None:
        wind_down(member.status)
        try:
            overrun = await _bounded(member.component.cleanup(), timeout)
        except Exception as error:
            _to_error(member.status, error)
            self.failures.append(Failure(member.name, "cleanup", error))
            self._logger.error("clean-up failed", component=member.name, error=describe(error))
        else:
            if overrun is not None:
                late = Overrun(member.name, "cleanup", timeout, overrun)
                self.overruns.append(late)
                self._logger.error("clean-up overran", component=member.name, awaiting=overrun)
                _to_error(member.status, CleanupFailed(str(late), component=member.name))
        finish_winding_down(member.status)


async def _bounded(coroutine: Any, timeout: float) -> str | None:
    """Await a coroutine for at most ``timeout`` seconds; returns where it waited then, or None."""
    blamed: str | None = None

    async def watch() -> None:
        nonlocal blamed
        await anyio.sleep(timeout)
        blamed = awaiting(coroutine)
        group.cancel_scope.cancel()

    try:
        async with create_task_group() as group:
            group.start_soon(watch)
            await coroutine
            group.cancel_scope.cancel()
    except ExceptionGroup as error:
        raise _only(error) from None
    return blamed


def _only(error: Exception) -> Exception:
    """Return the one error in a group of one, else the group."""
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        return _only(error.exceptions[0])
    return error


def _call_setup(component: Any, context: Context) -> Any:
    """Call ``setup`` with the context where it takes one: components of others may not."""
    try:
        inspect.signature(component.setup).bind(context)
    except TypeError:
        return component.setup()
    except ValueError:  # implemented in C: no signature to look at
        pass
    return component.setup(context)


def _to_error(status: ComponentStatus, error: BaseException) -> None:
    if status.can_transition_to(ComponentState.ERROR):
        status.transition_to(ComponentState.ERROR, error=error)


__all__ = ["Lifecycle"]
