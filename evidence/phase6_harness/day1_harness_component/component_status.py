"""The state machine of the contract (spec.md, section 1), from the library that implements it."""

from __future__ import annotations

from headrace import ComponentState, ComponentStatus, InvalidStateTransition
from headrace.model.component_status import TRANSITIONS, Transition

__all__ = ["TRANSITIONS", "ComponentState", "ComponentStatus", "InvalidStateTransition", "Transition"]

if __name__ == "__main__":
    moves = sum(len(targets) for targets in TRANSITIONS.values())
    print(f"ComponentStatus is {ComponentStatus.__module__}, {len(ComponentState)} states, {moves} moves")
