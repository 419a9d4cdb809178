"""From a blueprint to a harness, through the same calls that a Python program makes.

What each call complains of becomes a problem at the place in the file that caused it, and the building goes
on, so that all problems are told at once. What fails for a reason already told is left out in silence.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from headrace.authoring.function_component import ComponentFunction, component
from headrace.exceptions import (
    BlueprintError,
    ConfigError,
    HeadraceError,
    InvalidEndpointError,
    UnconnectedPortError,
    WiringError,
)
from headrace.model.blueprint import (
    Blueprint,
    Complaints,
    ComponentSpec,
    ConnectionSpec,
    Defaults,
    Position,
    Problem,
    Reference,
    field_key,
)
from headrace.model.endpoint import parse_endpoint
from headrace.model.options import Attempts
from headrace.model.settings_check import find_setting_errors
from headrace.model.topology import Topology

from .registry import Registry, place_of
from .system_execution_harness import SystemExecutionHarness

_POLICY = ("attempts", "on_error", "backoff")
_MENDS = {  # where the error itself has nothing nearer to say
    "E200": "write another name",
    "E210": "write another name",
    "E220": "write 'component.port'",
    "E221": "add it to 'components', or mend the name",
    "E222": "name one of its ports",
    "E230": "write what this type of component takes",
    "E243": "name a class or a function of the module",
}


@dataclass(frozen=True, slots=True)
class Assembled:
    """A system built from a blueprint, and what is legal in it but probably not meant."""

    harness: SystemExecutionHarness
    warnings: tuple[Problem, ...] = ()


def assemble(blueprint: Blueprint, *, allow: Iterable[str] = ()) -> Assembled:
    """Build the system that a blueprint describes.

    Args:
        blueprint: The blueprint.
        allow: Packages whose modules may be used as component types, besides those beside the blueprint.

    Raises:
        BlueprintError: It cannot be built; all mistakes, and the warnings, are in ``problems``.
    """
    return assemble_all(blueprint, Complaints(blueprint.lines), allow=allow)


def assemble_all(blueprint: Blueprint, complaints: Complaints, *, allow: Iterable[str] = ()) -> Assembled:
    """Build the system of a blueprint in which mistakes may have been found before.

    Args:
        blueprint: The blueprint, as far as it could be read.
        complaints: What was found before; what is found now is added.
        allow: Packages whose modules may be used as component types.

    Raises:
        BlueprintError: There are mistakes, of before or of now.
    """
    harness = _Assembly(blueprint, complaints, Registry(blueprint.directory, allow)).build()
    if complaints.has_errors:
        raise BlueprintError(complaints.problems)
    return Assembled(harness, complaints.problems)


class _Assembly:
    def __init__(self, blueprint: Blueprint, complaints: Complaints, registry: Registry) -> None:
        self.blueprint = blueprint
        self.complaints = complaints
        self.registry = registry
        self.harness = SystemExecutionHarness(blueprint.name, **blueprint.defaults.harness_options())
        self.missing: set[str] = set()
        self.unsure: set[str] = set()  # components with a connection that could not be made
        self.any_output = self.any_input = blueprint.has_gaps  # one is connected, but not known which
        self.places: dict[str, Position] = {}  # of connections, by key

    def build(self) -> SystemExecutionHarness:
        for spec in self.blueprint.components:
            if not self._add(spec):
                self.missing.add(spec.name)
        for connection in self.blueprint.connections:
            self._connect(connection)
        for spec in self.blueprint.components:
            if spec.name not in self.missing:
                self._spread(spec)
        self._summarize()
        self._find_unconnected()
        self._warn_of_cycles()
        return self.harness

    @contextmanager
    def _telling(self, position: Position) -> Iterator[None]:
        """Turn an error of the wiring into a problem at a place."""
        try:
            yield
        except WiringError as error:
            self._tell(position, error)

    def _tell(self, position: Position, error: WiringError, hint: str = "") -> None:
        hint = error.hint or hint or _MENDS.get(error.code, "")
        self.complaints.error(position, error.code, error.message, hint)

    # --- components ------------------------------------------------------------------------------

    def _add(self, spec: ComponentSpec) -> bool:
        before = self.complaints.count
        target: Any = None
        try:
            if spec.type:
                with self._telling(spec.place("type")):
                    target = self.registry.resolve(spec.type)
            if spec.broken or self.complaints.count > before or not self._settings_fit(spec, target):
                return False
            self.harness._add(spec.name, target, spec.config, self._policy(spec, target))
        except ConfigError as error:
            hint = "leave it out" if error.field in _POLICY else ""
            self._tell(self._place_of_setting(spec, error.field), error, hint)
        except WiringError as error:
            self._tell(spec.place("type"), error)
        except Exception as error:
            self._tell_of_constructor(spec, error)
        return self.complaints.count == before

    def _place_of_setting(self, spec: ComponentSpec, name: str) -> Position:
        if name in _POLICY:
            return spec.place(next((said for said in _POLICY if said in spec.places), name))
        return spec.place(f"config.{name}" if name else "type")

    def _tell_of_constructor(self, spec: ComponentSpec, error: Exception) -> None:
        text = str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
        place = place_of(error)
        message = f"component '{spec.name}' cannot be made: {' '.join(text.split())}"
        self.complaints.error(
            spec.place("type"), "E250", f"{message} ({place})" if place else message, "look at its config"
        )

    def _settings_fit(self, spec: ComponentSpec, target: Any) -> bool:
        """Tell all mistakes in the settings, where the target says what it takes."""
        if inspect.isfunction(target):
            target = component(target)
        into = getattr(target, "settings_type", None) or getattr(target, "Config", None)
        errors = find_setting_errors(spec.config, into) if isinstance(into, type) else []
        for error in errors:
            self._tell(spec.place(f"config.{error.field}"), error)
        return not errors

    def _policy(self, spec: ComponentSpec, target: Any) -> Attempts | None:
        """Return what becomes of a message that fails: said here, or by the function, or by ``defaults``."""
        if not (isinstance(target, ComponentFunction) or inspect.isfunction(target)):
            said = any(getattr(spec, name) is not None for name in _POLICY)
            return _policy_of(spec, Defaults(), Attempts()) if said else None
        own = target.attempts if isinstance(target, ComponentFunction) else Attempts()
        return _policy_of(spec, self.blueprint.defaults, own)

    # --- connections -----------------------------------------------------------------------------

    def _connect(self, spec: ConnectionSpec) -> None:
        before = self.complaints.count
        known = [self._knows(end) for end in (spec.sender, spec.receiver)]
        if known[0]:
            with self._telling(spec.sender.position):
                self.harness.wiring.endpoints(spec.sender.text, "output")
        if known[1]:
            with self._telling(spec.receiver.position):
                self.harness.wiring.endpoints(spec.receiver.text, "input")
        if all(known) and self.complaints.count == before:
            with self._telling(spec.receiver.position):
                made = self.harness.connect(
                    spec.sender.text,
                    spec.receiver.text,
                    buffer_size=spec.buffer_size,
                    when_full=spec.when_full or "block",
                    copy=spec.copy or False,
                )
                self.places[made.key] = spec.sender.position
                return
        sender, receiver = self._component_of(spec.sender), self._component_of(spec.receiver)
        self.unsure |= {sender, receiver}
        known_names = {*self.harness.components, *self.missing}
        self.any_output = self.any_output or sender not in known_names
        self.any_input = self.any_input or receiver not in known_names

    def _component_of(self, end: Reference) -> str:
        if end.text in self.harness.components or end.text in self.missing:
            return end.text
        try:
            return parse_endpoint(end.text).component
        except InvalidEndpointError:
            return end.text

    def _knows(self, end: Reference) -> bool:
        """Whether an end may be asked for; not where its component failed, which was told."""
        return self._component_of(end) not in self.missing

    def _spread(self, spec: ComponentSpec) -> None:
        for port, output in spec.outputs.items():
            with self._telling(output.position):
                key = field_key(*output.key) if output.key else None
                self.harness.spread(f"{spec.name}.{port}", output.fan_out, key=key)

    def _summarize(self) -> None:
        summary = self.blueprint.summary
        ports = (
            (summary.taken_in, "output"),
            (summary.given_out, "input"),
            (summary.rejected, "output"),
        )
        before = self.complaints.count
        sound = [self._is_port(port, way) for listed, way in ports for port in listed or ()]
        if all(sound) and self.complaints.count == before:
            texts = [None if listed is None else [str(port) for port in listed] for listed, _ in ports]
            self.harness.summarize(taken_in=texts[0], given_out=texts[1], rejected=texts[2])

    def _is_port(self, port: Reference, direction: str) -> bool:
        if not self._knows(port):
            return False
        with self._telling(port.position):
            (endpoint,) = self.harness.wiring.endpoints(port.text, direction) or ()
            member = self.harness.wiring.members[endpoint.component]
            found = member.outlets if direction == "output" else member.inlets
            if endpoint.port in found:
                return True
            if endpoint.component not in self.unsure and not (self.any_output or self.any_input):
                hint = "name a port that is in 'connections'"
                self.complaints.error(port.position, "E222", f"'{endpoint}' is not connected", hint)
        return False

    # --- what is left over -----------------------------------------------------------------------

    def _find_unconnected(self) -> None:
        if not self.any_input:
            for error in self.harness.wiring.problems():
                if isinstance(error, UnconnectedPortError) and error.component not in self.unsure:
                    self._tell(self._place(error.component), error)
                    self.unsure.add(error.component)
        if not (self.any_input or self.any_output):
            self._warn_of_unused()
        if not self.any_output:
            self._warn_of_outputs()

    def _warn_of_outputs(self) -> None:
        for endpoint in self.harness.wiring.unconnected_outputs():
            if endpoint.component not in self.unsure:
                message = f"output '{endpoint}' is not connected: its messages are counted and discarded"
                hint = "connect it, or declare it `Out[...] | None`"
                self.complaints.warning(self._place(endpoint.component), "W301", message, hint)

    def _warn_of_unused(self) -> None:
        used = {
            end.component for c in self.harness.wiring.connections.values() for end in (c.sender, c.receiver)
        }
        if len(self.blueprint.components) < 2:
            return
        for name in self.harness.components:
            if name not in used and name not in self.unsure:
                message = f"component '{name}' is not connected to anything"
                self.complaints.warning(self._place(name), "W303", message, "connect it, or delete it")
                self.unsure.add(name)

    def _warn_of_cycles(self) -> None:
        blocking = [c for c in self.harness.wiring.connections.values() if c.options.when_full == "block"]
        links = [(c.sender.component, c.receiver.component) for c in blocking]
        for cycle in Topology.of(self.harness.components, links).cycles:
            inside = [c for c in blocking if {c.sender.component, c.receiver.component} <= set(cycle)]
            message = (
                f"the cycle of {', '.join(cycle)} can block: it stands still when all its edges are full"
            )
            hint = "give one of its edges 'when_full: drop_oldest', or all of them room for what is under way"
            self.complaints.warning(min(self.places[c.key] for c in inside), "W302", message, hint)

    def _place(self, name: str) -> Position:
        positions = [spec.position for spec in self.blueprint.components if spec.name == name]
        return positions[0]


def _policy_of(spec: ComponentSpec, defaults: Defaults, own: Attempts) -> Attempts:
    house = Attempts()
    values: dict[str, Any] = {}
    for name in _POLICY:
        said, default, mine = getattr(spec, name), getattr(defaults, name), getattr(own, name)
        unsaid = mine == getattr(house, name)
        values[name] = said if said is not None else default if unsaid and default is not None else mine
    return Attempts(**values)


__all__ = ["Assembled", "assemble", "assemble_all"]
