"""Whether a system is ready to work, and whether it can go on at all, in the words that a probe shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from anyio import Event, create_task_group, move_on_after

from headrace.model.component_status import ComponentState
from headrace.model.report import ShutdownReport, describe
from headrace.model.trouble import Deadlock

from .driven import Driven
from .run import Run
from .wiring import Wiring


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """The health of a system at one moment.

    Attributes:
        system: The system's name.
        ready: Whether it does its work: all its components run, and none of those with ``health: required`` only
            fails.
        live: Whether it can: no deadlock, and its event loop turns. What is not live does not mend itself.
        state: ``new``, ``starting``, ``running``, ``stopping``, or how the last run ended: ``finished``,
            ``stopped``, ``failed`` or ``cancelled``.
        reason: Why it is not ready, or not live; empty if it is both.
        components: The state of each component.
        unhealthy: What is wrong with which components, optional ones too.
    """

    system: str
    ready: bool
    live: bool
    state: str
    reason: str
    components: Mapping[str, ComponentState]
    unhealthy: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        states = {name: state.value for name, state in self.components.items()}
        return {
            "system": self.system,
            "ready": self.ready,
            "live": self.live,
            "state": self.state,
            "reason": self.reason,
            "components": states,
            "unhealthy": dict(self.unhealthy),
        }


def health_of(
    name: str,
    run: Run | None,
    report: ShutdownReport | None,
    wiring: Wiring,
    told: Mapping[str, str] | None = None,
) -> SystemHealth:
    """Return the health of a system.

    Args:
        name: The system's name.
        run: The run under way, if any.
        report: How the last run ended, if there was one.
        wiring: The system.
        told: What components have said of themselves that are not well.
    """
    members = list(wiring.members.values())
    states = {member.name: member.status.state for member in members}
    state, reason = _state(run, report)
    failed = [who for who, one in states.items() if one is ComponentState.ERROR]
    unhealthy = dict.fromkeys(failed, "it has failed")
    if run is not None:
        unhealthy |= {member.name: "it is paused" for member in members if member.paused}
        unhealthy |= run.watch.failing.reasons()
    unhealthy |= told or {}
    stuck = _why_not_live(run)
    needed = [member.name for member in members if member.marks.health == "required"]
    bad = [f"{who}: {unhealthy[who]}" for who in needed if who in unhealthy]
    if state == "running":
        reason = stuck or "; ".join(bad)
    is_live = not stuck and (run is None or not run.home.is_lost)
    return SystemHealth(
        name, not reason, is_live, state, reason, MappingProxyType(states), MappingProxyType(unhealthy)
    )


def _why_not_live(run: Run | None) -> str:
    """Return what keeps a running system from ever going on; nothing where nothing does."""
    if run is None:
        return ""
    deadlocks = [str(one) for one in run.watch.troubles if isinstance(one, Deadlock)]
    return str(run.watch.blocked) if run.watch.blocked is not None else "; ".join(deadlocks)


async def ask_all(wiring: Wiring, within: float) -> dict[str, str]:
    """Ask all components how they are, at once; return what is wrong with those that are not well.

    Args:
        wiring: The system.
        within: Seconds that they have to answer; who does not is not well, and named with what it awaits.
    """
    told: dict[str, str] = {}
    async with create_task_group() as group:
        for member in list(wiring.members.values()):
            check = getattr(member.component, "health_check", None)
            if check is not None:
                group.start_soon(_ask, member.name, check, within, told)
    return told


async def _ask(name: str, check: Callable[[], Any], within: float, told: dict[str, str]) -> None:
    asked, answered = Driven(check), Event()
    async with create_task_group() as group:
        group.start_soon(_take_answer, name, asked, answered, told)
        with move_on_after(within):
            await answered.wait()
        if not answered.is_set():
            told[name] = f"its health_check() has not answered in {within:g} s, awaiting {asked.awaiting}"
            asked.insist = True
            group.cancel_scope.cancel()


async def _take_answer(name: str, asked: Driven, answered: Event, told: dict[str, str]) -> None:
    try:
        answer = await asked
    except Exception as error:  # code of the user's: it must not take others down
        told[name] = f"its health_check() raised {describe(error)}"
    else:
        if isinstance(answer, Mapping) and not answer.get("healthy", True):
            told[name] = str(answer.get("reason") or _no(answer))
    answered.set()


def _no(answer: Mapping[str, Any]) -> str:
    said = {key: value for key, value in answer.items() if key not in ("name", "healthy")}
    return f"its health_check() says no: {said}" if said else "its health_check() says no"


def _state(run: Run | None, report: ShutdownReport | None) -> tuple[str, str]:
    """Return the state, and the reason why it is not ready."""
    if run is not None:
        if run.home.is_lost:
            return "cancelled", "its event loop was closed while it ran"
        if run.stop_event.is_set():
            return "stopping", str(run.first_failure or "it is stopping")
        return ("running", "") if run.announced else ("starting", "it is starting")
    if report is None:
        return "new", "it has not been started"
    if report.failures:
        return report.outcome, str(report.failures[0])
    return (
        report.outcome,
        f"it has {report.outcome}" if report.outcome == "finished" else f"it was {report.outcome}",
    )


__all__ = ["SystemHealth", "ask_all", "health_of"]
