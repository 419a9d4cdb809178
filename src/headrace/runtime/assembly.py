"""From a blueprint to a harness, through the same calls that a Python program makes.

What each call complains of becomes a problem at the place in the file that caused it, and the building goes
on, so that all problems are told at once. What fails for a reason already told is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from headrace.exceptions import (
    BlueprintError,
    UnconnectedPortError,
    UnknownResourceError,
    WiringError,
)
from headrace.model.blueprint import Blueprint, Complaints, Position, Problem, Reference
from headrace.model.endpoint import Endpoint

from .assembly_part import Direction, Part
from .assembly_site import Site
from .system_execution_harness import SystemExecutionHarness
from .wiring_warnings import find_warnings


@dataclass(frozen=True, slots=True)
class Assembled:
    """A system built from a blueprint, what is legal in it but probably not meant, and the blueprint."""

    harness: SystemExecutionHarness
    warnings: tuple[Problem, ...] = ()
    blueprint: Blueprint | None = None


def assemble(blueprint: Blueprint, *, allow: Iterable[str] = ()) -> Assembled:
    """Build the system that a blueprint describes.

    Args:
        blueprint: The blueprint.
        allow: Packages whose modules may be used as component types, besides those beside the blueprint.

    Raises:
        BlueprintError: It cannot be built; all mistakes, and the warnings, are in ``problems``.
    """
    return assemble_all(blueprint, Complaints(sources=blueprint.sources), allow=allow)


def assemble_all(blueprint: Blueprint, complaints: Complaints, *, allow: Iterable[str] = ()) -> Assembled:
    """Build the system of a blueprint in which mistakes may have been found before.

    Args:
        blueprint: The blueprint, as far as it could be read.
        complaints: What was found before; what is found now is added.
        allow: Packages whose modules may be used as component types.

    Raises:
        BlueprintError: There are mistakes, of before or of now.
    """
    assembly = _Assembly(blueprint, complaints, allow)
    assembly.build()
    if complaints.has_errors:
        raise BlueprintError(complaints.problems)
    return Assembled(assembly.site.harness, complaints.problems, blueprint)


class _Assembly:
    def __init__(self, blueprint: Blueprint, complaints: Complaints, allow: Iterable[str]) -> None:
        self.blueprint = blueprint
        self.complaints = complaints
        self.site = Site(blueprint, complaints, allow)
        self.whole = Part(self.site, blueprint)

    def build(self) -> None:
        self.whole.add()
        self.whole.connect()
        self._summarize()
        self._find_problems()
        self._warn()

    def _summarize(self) -> None:
        summary = self.blueprint.summary
        before = self.complaints.count
        taken_in = self._counted(summary.taken_in, "output")
        given_out = self._counted(summary.given_out, "input")
        rejected = self._counted(summary.rejected, "output")
        if self.complaints.count == before:
            self.site.harness.summarize(taken_in=taken_in, given_out=given_out, rejected=rejected)

    def _counted(self, ports: tuple[Reference, ...] | None, direction: Direction) -> list[str] | None:
        """Return ports that the summary counts; without those of a component that failed, which was told."""
        if ports is None:
            return None
        found = [(port, self.whole.told(port, direction)) for port in ports]
        return [
            name for port, name in found if name is not None and self._is_connected(port, name, direction)
        ]

    def _is_connected(self, port: Reference, name: str, direction: Direction) -> bool:
        site = self.site
        (endpoint,) = cast("tuple[Endpoint]", site.harness.wiring.endpoints(name, direction))
        member = site.harness.wiring.member_of(endpoint.component)
        if endpoint.port in (member.outlets if direction == "output" else member.inlets):
            return True
        if endpoint.component not in site.unsure and not (site.any_output or site.any_input):
            hint = "name a port that is in 'connections'"
            self.complaints.error(port.position, "E222", f"'{port}' is not connected", hint)
        return False

    # --- what is left over -----------------------------------------------------------------------

    def _find_problems(self) -> None:
        for error in self.site.harness.wiring.problems():
            if isinstance(error, UnconnectedPortError):
                self._tell_of_input(error)
            elif not isinstance(error, UnknownResourceError) or error.resource not in self.site.lost:
                self._tell_of_resource(error)

    def _tell_of_input(self, error: UnconnectedPortError) -> None:
        if self.site.any_input or error.component in self.site.unsure:
            return
        position = self._place(error.component)
        for part in self.whole.walk():
            for name, port in part.exposing(f"{error.component}.{error.port}"):
                position = self.site.positions[part.prefix + name]
                inner = f"'{error.component}.{error.port}'"
                message = f"input '{part.prefix}{name}.{port}' is not connected, which is {inner}"
                error = UnconnectedPortError(
                    message, hint="connect an output to it", component=error.component
                )
                break
        self.site.tell(position, error)
        self.site.unsure.add(error.component)

    def _tell_of_resource(self, error: WiringError) -> None:
        hint = error.hint
        if isinstance(error, UnknownResourceError):
            entry = f"add 'resources: {{{error.resource}: \"module:name\"}}'"
            hint = hint if hint.startswith("did") else entry
        name = getattr(error, "component", "")
        position = self.site.positions.get(name, self.blueprint.position)
        self.complaints.error(position, error.code, error.message, hint)

    def _warn(self) -> None:
        site = self.site
        missing = {part.prefix + name for part in self.whole.walk() for name in part.missing}
        for problem in find_warnings(
            site.harness,
            at=self.blueprint.position,
            component_at=self._place,
            connection_at=site.places.__getitem__,
            resource_at=site.resources.__getitem__,
            unsure={*site.unsure, *missing},
            any_output=site.any_output,
            any_input=site.any_input,
        ):
            if problem.code != "W306" or not self.complaints.has_errors:  # empty, because of what is wrong
                self.complaints.take(problem)

    def _place(self, name: str) -> Position:
        return self.site.positions[name]


__all__ = ["Assembled", "assemble", "assemble_all"]
