"""What is legal in a system but probably not meant, found before it runs: the one place for all warnings.

``check`` and ``run`` call it for blueprints and for Python programs, with the places of each; a program or a
test can call it with its own system.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from headrace.model.blueprint import Position, Problem
from headrace.model.options import Attempts
from headrace.model.topology import Topology

from .hands import policy_of
from .own_files import short
from .resource_use import unused_resources
from .source_warnings import SourceReader, line_at
from .wiring import Wiring

if TYPE_CHECKING:
    from .system_execution_harness import SystemExecutionHarness

Placing = Callable[[str], Position]
"""Gives the place of a component by its name, or of a connection by its key."""


def find_warnings(
    harness: SystemExecutionHarness,
    *,
    at: Position | None = None,
    component_at: Placing | None = None,
    connection_at: Placing | None = None,
    resource_at: Placing | None = None,
    unsure: Collection[str] = (),
    any_output: bool = False,
    any_input: bool = False,
) -> list[Problem]:
    """Return what is legal in a system but probably not meant, in the order of the places.

    Args:
        harness: The system.
        at: Its own place, for what has none.
        component_at: Where its components are; the lines that registered them where None.
        connection_at: Where its connections are; the lines that made them where None.
        resource_at: Where its resources are; the lines that registered them where None.
        unsure: Components of whose ports nothing is said, because something about them is wrong already.
        any_output: Whether some output is connected to what could not be made, but not known which.
        any_input: Whether some input is connected to what could not be made, but not known which.
    """
    where, wiring = at or Position(harness.name), harness.wiring
    found = _Warnings(
        wiring,
        component_at or (lambda name: place_of(wiring.member_of(name).where, where)),
        connection_at or (lambda key: place_of(wiring.connections[key].where, where)),
    )
    problems: list[Problem] = []
    unknown = {*unsure}
    if not (any_input or any_output):
        unused = list(found.unconnected_components(unknown))
        unknown.update(name for name, _ in unused)
        problems += [problem for _, problem in unused]
    if not any_output:
        problems += found.unconnected_outputs(unknown)
    problems += [*found.cycles(), *found.types(), *found.sources(), *found.attempts(unknown)]
    if not unknown - set(wiring.registered):  # nothing is missing that might ask for them
        problems += found.unused_resources(
            resource_at or (lambda name: place_of(wiring.resources[name].where, where))
        )
    if not (wiring.members or unknown):
        message, hint = "the system has no components: its run ends at once", "add a component"
        problems.append(_warning(where, "W306", message, hint))
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.position, problem.code))


def place_of(where: tuple[str, int], otherwise: Position) -> Position:
    """Return the place of a call, by its file and line; another one where there is none."""
    file, line = where
    return Position(short(file), line) if file else otherwise


class _Warnings:
    def __init__(self, wiring: Wiring, component_at: Placing, connection_at: Placing) -> None:
        self._wiring = wiring
        self._component_at = component_at
        self._connection_at = connection_at
        self._reader = SourceReader()

    def unconnected_components(self, unsure: Collection[str]) -> Iterator[tuple[str, Problem]]:
        """Yield the components that nothing is connected to, though they have ports or may have."""
        ends = [(c.sender, c.receiver) for c in self._wiring.connections.values()]
        known = {end.component for pair in ends for end in pair} | {*unsure}
        registered = {name: self._wiring.member_of(name) for name in self._wiring.registered}
        is_alone = len({*registered, *unsure}) < 2
        for name, member in () if is_alone else registered.items():
            if name not in known and self._reader.needs_streams(member.component):
                message = f"component '{name}' is not connected to anything"
                yield name, _warning(self._component_at(name), "W303", message, "connect it, or delete it")

    def unconnected_outputs(self, unsure: Collection[str]) -> Iterator[Problem]:
        """Yield the outputs whose messages go nowhere."""
        for end in self._wiring.unconnected_outputs():
            if end.component not in unsure:
                message = f"output '{end}' is not connected: its messages are counted and discarded"
                hint = "connect it, or declare it `Out[...] | None`"
                yield _warning(self._component_at(end.component), "W301", message, hint)

    def cycles(self) -> Iterator[Problem]:
        """Yield the cycles in which every edge can be full."""
        blocking = [c for c in self._wiring.connections.values() if c.options.when_full == "block"]
        links = [(c.sender.component, c.receiver.component) for c in blocking]
        for cycle in Topology.of(self._wiring.registered, links).cycles:
            names = set(cycle)
            inside = [c.key for c in blocking if {c.sender.component, c.receiver.component} <= names]
            message = (
                f"the cycle of {', '.join(cycle)} can block: it stands still when all its edges are full"
            )
            hint = "give one of its edges when_full 'drop_oldest', or all of them room for what is under way"
            yield _warning(min(map(self._connection_at, inside)), "W302", message, hint)

    def unused_resources(self, resource_at: Placing) -> Iterator[Problem]:
        """Yield the resources that would be opened for nobody."""
        for name in unused_resources(self._wiring):
            message = f"no component asks for the resource '{name}'"
            hint = "ask for it as 'NAME: Resource[...]', or delete it"
            yield _warning(resource_at(name), "W304", message, hint)

    def types(self) -> Iterator[Problem]:
        """Yield the ports whose types exist for type checkers only, so that nobody can check them here."""
        for name in self._wiring.registered:
            member = self._wiring.member_of(name)
            file, _, line = member.ports.where.rpartition(":")
            place = place_of((file, int(line)) if file else ("", 0), self._component_at(name))
            for sentence in member.ports.unresolved:
                message, _, mend = sentence.partition(". ")
                yield _warning(place, "W305", message, mend[:1].lower() + mend[1:])

    def attempts(self, unsure: Collection[str]) -> Iterator[Problem]:
        """Yield the components that would be given up before a message has had all its attempts."""
        for name in self._wiring.registered:
            member = self._wiring.member_of(name)
            wanted, most = policy_of(member).attempts, member.restart.max_restarts
            if member.restart.when == "never" or name in unsure or wanted == Attempts().attempts:
                continue
            if wanted > most:
                message = (
                    f"'{name}' has {wanted} attempts and {most} restarts: a message that crashes it is tried "
                    f"{most} times, so that it alone cannot bring the system down"
                )
                yield _warning(
                    self._component_at(name), "W307", message, "lower attempts or raise max_restarts"
                )

    def sources(self) -> Iterator[Problem]:
        """Yield what is probably not meant in the sources of the components."""
        for name in self._wiring.registered:
            yield from self._reader.warnings_of(self._wiring.member_of(name).component)


def _warning(position: Position, code: str, message: str, hint: str) -> Problem:
    return Problem(position, "warning", code, message, hint, line_at(position))


__all__ = ["Placing", "find_warnings", "place_of"]
