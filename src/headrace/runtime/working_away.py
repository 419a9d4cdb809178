"""Gives function components with ``run_in: thread`` or ``process`` the workers that their functions run in."""

from __future__ import annotations

from functools import partial

from headrace.authoring.function_away import Away
from headrace.authoring.function_component import FunctionComponent
from headrace.model.options import RunIn

from .process_workers import ProcessWorkers
from .wiring import Wiring
from .workers import ThreadWorkers, Workers

SHARE = 0.8
"""How much of the time for clean-up workers have to end; then their processes are killed."""


def give_workers(wiring: Wiring, cleanup_timeout: float) -> None:
    """Say where each function component works in this run; its set-up starts the workers, its clean-up ends them.

    Args:
        wiring: The system.
        cleanup_timeout: Seconds that the clean-up of a component may take.
    """
    for member in wiring.members.values():
        made = member.component
        if isinstance(made, FunctionComponent):
            run_in = made.attempts.run_in
            make = None if run_in == "loop" else partial(_make, made)
            within = cleanup_timeout * SHARE
            made.away = None if make is None else Away(make, within, takes_told=run_in == "thread")


def run_in_of(component: object) -> RunIn:
    """Return where a component works: in the event loop, unless it is a function that says otherwise."""
    return component.attempts.run_in if isinstance(component, FunctionComponent) else "loop"


def _make(made: FunctionComponent) -> Workers:
    number = made.attempts.concurrency
    if made.attempts.run_in == "thread":
        return ThreadWorkers(made.call_told, name=made.name, threads=number)
    return ProcessWorkers(made.function, made.config, name=made.name, processes=number)


__all__ = ["SHARE", "give_workers", "run_in_of"]
