"""Whether a system is ready to work, in the words that a readiness probe shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from headrace.model.component_status import ComponentState
from headrace.model.report import ShutdownReport

from .run import Run
from .wiring import Wiring


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """The health of a system at one moment.

    Attributes:
        system: The system's name.
        ready: Whether all its components run.
        state: ``new``, ``starting``, ``running``, ``stopping``, or how the last run ended: ``finished``,
            ``stopped``, ``failed`` or ``cancelled``.
        reason: Why it is not ready; empty if it is.
        components: The state of each component.
    """

    system: str
    ready: bool
    state: str
    reason: str
    components: Mapping[str, ComponentState]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        states = {name: state.value for name, state in self.components.items()}
        return {
            "system": self.system,
            "ready": self.ready,
            "state": self.state,
            "reason": self.reason,
            "components": states,
        }


def health_of(name: str, run: Run | None, report: ShutdownReport | None, wiring: Wiring) -> SystemHealth:
    """Return the health of a system.

    Args:
        name: The system's name.
        run: The run under way, if any.
        report: How the last run ended, if there was one.
        wiring: The system.
    """
    states = {member.name: member.status.state for member in list(wiring.members.values())}
    state, reason = _state(run, report)
    failed = [who for who, one in states.items() if one is ComponentState.ERROR]
    if state == "running" and failed:
        reason = f"failed: {', '.join(failed)}"
    return SystemHealth(name, not reason, state, reason, MappingProxyType(states))


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


__all__ = ["SystemHealth", "health_of"]
