"""Where a system is built from blueprints: what all its parts share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from headrace.exceptions import WiringError
from headrace.model.blueprint import Blueprint, Complaints, Position
from headrace.model.endpoint import refuse_unprintable

from .system_execution_harness import SystemExecutionHarness

_MENDS = {  # where the error itself has nothing nearer to say
    "E200": "write another name",
    "E210": "write another name",
    "E220": "write 'component.port'",
    "E221": "add it to 'components', or mend the name",
    "E222": "name one of its ports",
    "E225": "write another name",
    "E227": "name another resource, or mend its type",
    "E230": "write what this type of component takes",
    "E243": "name a class or a function of the module",
}


class Site:
    """Where a system is built: its harness, and what was found out on the way.

    Attributes:
        harness: The system so far.
        complaints: What was found.
        allow: Packages whose modules may be used as component types.
        unsure: Components with a connection that could not be made.
        any_output: Whether an output is connected of which is not known which.
        any_input: Whether an input is.
        places: Where connections stand, by key.
        positions: Where components stand, by name.
        resources: Where resources stand, by name.
        lost: Resources that could not be taken in, by their name in their part.
    """

    def __init__(self, blueprint: Blueprint, complaints: Complaints, allow: Iterable[str]) -> None:
        self.complaints = complaints
        with self.telling(blueprint.position):
            refuse_unprintable("a system's name", blueprint.name)
        name = blueprint.name if blueprint.name.isprintable() else "system"
        options = blueprint.defaults.harness_options()
        if blueprint.strategy is not None:
            options["strategy"] = blueprint.strategy
        self.harness = SystemExecutionHarness(name, **options)
        self.allow = frozenset(allow)
        self.unsure: set[str] = set()
        self.any_output = self.any_input = False
        self.places: dict[str, Position] = {}
        self.positions: dict[str, Position] = {}
        self.resources: dict[str, Position] = {}
        self.lost: set[str] = set()

    @contextmanager
    def telling(self, position: Position) -> Iterator[None]:
        """Turn an error of the wiring into a problem at a place."""
        try:
            yield
        except WiringError as error:
            self.tell(position, error)

    def tell(self, position: Position, error: WiringError, hint: str = "") -> None:
        """Note an error of the wiring as a problem at a place."""
        hint = error.hint or hint or _MENDS.get(error.code, "")
        self.complaints.error(position, error.code, error.message, hint)


__all__ = ["Site"]
