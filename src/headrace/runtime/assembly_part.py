"""One blueprint's share of a system: its resources, components and connections, under its own names.

A blueprint that is a component of another is a part inside its part: its components are called
``outer/inner`` in the harness, and the outer one reaches them through its ports alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

from headrace.authoring.function_component import ComponentFunction, component
from headrace.authoring.function_signature import is_async
from headrace.exceptions import (
    ComponentTypeError,
    ConfigError,
    HeadraceError,
    InvalidEndpointError,
    UnknownComponentError,
    UnknownPortError,
    WiringError,
)
from headrace.model.blueprint import (
    Blueprint,
    ComponentSpec,
    ConnectionSpec,
    Defaults,
    OutputSpec,
    Position,
    Reference,
    ResourceSpec,
    field_key,
)
from headrace.model.blueprint_keys import ACKNOWLEDGEMENT, MESSAGE_POLICY, OF_FUNCTIONS
from headrace.model.endpoint import ComponentNames, did_you_mean, parse_endpoint
from headrace.model.options import Attempts, Marks, Replicas
from headrace.model.settings_check import find_setting_errors

from .assembly_site import Site
from .member import own_restart
from .registry import Registry, place_of
from .resource_use import settings_of

Direction = Literal["input", "output"]

_POLICY = tuple(MESSAGE_POLICY)
_OTHER: dict[Direction, Direction] = {"input": "output", "output": "input"}


class Part:
    """Builds one blueprint into a system.

    Args:
        site: Where.
        blueprint: The blueprint.
        name: Its name in the system, as a component; nothing for the whole.
        outer: The part around it.

    Attributes:
        parts: The parts inside it, by their names in the blueprint.
    """

    def __init__(self, site: Site, blueprint: Blueprint, name: str = "", outer: Part | None = None) -> None:
        self.site = site
        self.blueprint = blueprint
        self.prefix = f"{name}/" if name else ""
        self.defaults = blueprint.defaults
        self.registry: Registry = Registry(
            blueprint.directory, site.allow, None if outer is None else outer.registry
        )
        if outer is not None:
            self.defaults = self.defaults.within(outer.defaults)
        self.names = {spec.name for spec in blueprint.components}
        self.missing: set[str] = set()
        self.parts: dict[str, Part] = {}

    def walk(self) -> Iterator[Part]:
        """Yield this part and all inside it, outer ones first."""
        yield self
        for part in self.parts.values():
            yield from part.walk()

    # --- resources and components ----------------------------------------------------------------

    def add(self) -> None:
        """Take resources and components into the system."""
        with self.registry.in_use():
            self._take_in()

    def _take_in(self) -> None:
        self.site.any_output = self.site.any_output or self.blueprint.has_gaps
        self.site.any_input = self.site.any_input or self.blueprint.has_gaps
        for resource in self.blueprint.resources:
            if not self._add_resource(resource):
                self.site.lost.add(resource.name)
        earlier = ComponentNames()
        for spec in self.blueprint.components:
            self.site.positions.setdefault(self.prefix + spec.name, spec.position)
            if not self._has_clear_name(spec, earlier):
                self.missing.add(spec.name)
            elif spec.inner is not None:
                self.parts[spec.name] = part = Part(self.site, spec.inner, self.prefix + spec.name, self)
                part.add()
            elif not self._add(spec):
                self.missing.add(spec.name)

    def _has_clear_name(self, spec: ComponentSpec, earlier: ComponentNames) -> bool:
        """Return whether a component's name is no port of an earlier one, nor the other way round."""
        before = self.site.complaints.count
        with self.site.telling(spec.position):
            earlier.refuse_clash(spec.name)
        earlier.add(spec.name)
        is_clear = self.site.complaints.count == before
        if not is_clear:  # what is meant by the one may be connected as the other
            self.site.unsure |= {self.prefix + spec.name, self.prefix + spec.name.rpartition(".")[0]}
        return is_clear

    def _add_resource(self, spec: ResourceSpec) -> bool:
        before = self.site.complaints.count
        factory: Any = None
        if spec.type:
            with self.site.telling(spec.place("type")):
                factory = self._factory(spec.type)
        if spec.broken or self.site.complaints.count > before:
            return False
        kind = settings_of(factory)
        for error in [] if kind is None else find_setting_errors(spec.config, kind):
            self.site.tell(spec.place(f"config.{error.field}"), error)
        if self.site.complaints.count == before:
            with self.site.telling(spec.place("type")):
                self.site.harness.resource(self.prefix + spec.name, factory, spec.config)
                self.site.resources[self.prefix + spec.name] = spec.position
        return self.site.complaints.count == before

    def _factory(self, kind: str) -> Any:
        if ":" in kind:
            return self.registry.resolve(kind)
        raise ComponentTypeError(f"'{kind}' is not the type of a resource", hint="write 'module:name'")

    def _add(self, spec: ComponentSpec) -> bool:
        before = self.site.complaints.count
        target: Any = None
        try:
            if spec.type and not spec.is_blueprint:
                with self.site.telling(spec.place("type")):
                    target = self.registry.resolve(spec.type)
            if spec.broken or self.site.complaints.count > before or not self._settings_fit(spec, target):
                return False
            name = self.prefix + spec.name
            policy, replicas = self._policy(spec, target), _replicas_of(spec)
            restart = spec.restart or own_restart(target) or self.defaults.restart
            acks = (spec.ack, spec.max_unacked)
            marks = Marks(spec.stop_timeout, spec.health or "required")
            self.site.harness._add(name, target, spec.config, policy, replicas, restart, marks, acks)
        except ConfigError as error:
            hint = "leave it out" if error.field in _POLICY else ""
            self.site.tell(_place_of_setting(spec, error.field), error, hint)
        except WiringError as error:
            self.site.tell(spec.place("type"), error)
        except Exception as error:
            self._tell_of_constructor(spec, error)
        return self.site.complaints.count == before

    def _tell_of_constructor(self, spec: ComponentSpec, error: Exception) -> None:
        text = str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
        place = place_of(error)
        message = f"component '{spec.name}' cannot be made: {' '.join(text.split())}"
        message = f"{message} ({place})" if place else message
        hint = "install what is missing" if isinstance(error, ImportError) else "look at its config"
        self.site.complaints.error(spec.place("type"), "E250", message, hint)

    def _settings_fit(self, spec: ComponentSpec, target: Any) -> bool:
        """Tell all mistakes in the settings, where the target says what it takes."""
        if inspect.isfunction(target):
            target = component(target)
        into = getattr(target, "settings_type", None) or getattr(target, "Config", None)
        errors = find_setting_errors(spec.config, into) if isinstance(into, type) else []
        for error in errors:
            self.site.tell(spec.place(f"config.{error.field}"), error)
        return not errors

    def _policy(self, spec: ComponentSpec, target: Any) -> Attempts | None:
        """Return what becomes of a message that fails: said here, or by the function, or by ``defaults``."""
        if not (isinstance(target, ComponentFunction) or inspect.isfunction(target)):
            said = next((name for name in OF_FUNCTIONS if getattr(spec, name) is not None), None)
            if said is not None:
                raise ConfigError(f"{spec.name}: {said} and the like are for function components", field=said)
            common = Defaults(attempts=self.defaults.attempts, on_error=self.defaults.on_error)
            return _policy_of(spec, common, Attempts())
        own = target.attempts if isinstance(target, ComponentFunction) else Attempts()
        fn = target.fn if isinstance(target, ComponentFunction) else target
        defaults = self.defaults if is_async(fn) else replace(self.defaults, concurrency=None)
        return _policy_of(spec, defaults, own)

    # --- ports -----------------------------------------------------------------------------------

    def resolve(self, end: Reference, direction: Direction) -> str | None:
        """Return a port's name in the system; None where its component failed, which was told.

        Raises:
            WiringError: There is none that is meant.
        """
        name = self._component_of(end)
        if name in self.missing:
            return None
        if name in self.parts:
            return self.parts[name].exposed(self.prefix + name, end.text[len(name) + 1 :], direction)
        if name not in self.names:
            raise self._unknown(name, end)
        (endpoint,) = self.site.harness.wiring.endpoints(self.prefix + end.text, direction) or ()
        return str(endpoint)

    def _component_of(self, end: Reference) -> str:
        return end.text if end.text in self.names else parse_endpoint(end.text).component

    def _unknown(self, name: str, end: Reference) -> WiringError:
        part = self.parts.get(name.partition("/")[0])
        hint = did_you_mean(name, self.names)
        if part is not None:
            hint = "a blueprint is connected by its 'ports' alone: " + (
                ", ".join(part.blueprint.ports) or "it has none"
            )
        return UnknownComponentError(f"no component is named '{name}' (in '{end.text}')", hint=hint)

    def exposed(self, name: str, port: str, direction: Direction) -> str | None:
        """Return what a port of this blueprint stands for, by its name in the system.

        Args:
            name: What the part is called in messages.
            port: The port; nothing for the only one of this direction.
            direction: Which way its messages go.

        Raises:
            WiringError: There is no such port.
        """
        ports = self.blueprint.ports
        only = port.rstrip("_") or self._only_port(name, direction)
        if only is None:
            return None
        port = only
        if port not in ports:
            hint = (
                did_you_mean(port, ports)
                or f"add 'ports: {{{port}: component.port}}' to {self.blueprint.file}"
            )
            raise UnknownPortError(f"'{name}' has no port '{port}'", hint=hint)
        if self._goes(port, direction):
            return self.resolve(ports[port], direction)
        if self._goes(port, _OTHER[direction]):
            raise UnknownPortError(f"'{name}.{port}' is an {_OTHER[direction]}, not an {direction}")
        return None

    def exposing(self, inner: str) -> Iterator[tuple[str, str]]:
        """Yield the parts right inside this one with a port that is this inner input: (part, port)."""
        for name, part in self.parts.items():
            for port in part.blueprint.ports:
                if part._goes(port, "input") and part.resolve(part.blueprint.ports[port], "input") == inner:
                    yield name, port

    def _goes(self, port: str, direction: Direction) -> bool:
        try:
            self.resolve(self.blueprint.ports[port], direction)
        except WiringError:
            return False
        return True

    def _only_port(self, name: str, direction: Direction) -> str | None:
        """Return the one port of a direction; None where that cannot be told, for what was told before."""
        every = [port for port in self.blueprint.ports if self._goes(port, direction)]
        fitting = [port for port in every if not self._is_optional(port, direction)] or every
        if len(fitting) == 1:
            return fitting[0]
        if any(self._goes(port, _OTHER[direction]) for port in every):  # of a component that failed
            return None
        if not fitting:
            hint = f"add 'ports: {{PORT: component.port}}' to {self.blueprint.file}"
            raise InvalidEndpointError(f"'{name}' has no {direction} port", hint=hint)
        several = ", ".join(f"'{name}.{port}'" for port in fitting)
        raise InvalidEndpointError(f"'{name}' has several {direction} ports", hint=f"write one of {several}")

    def _is_optional(self, port: str, direction: Direction) -> bool:
        name = self.resolve(self.blueprint.ports[port], direction)
        if name is None:
            return False
        (endpoint,) = self.site.harness.wiring.endpoints(name, direction) or ()
        ports = self.site.harness.wiring.member_of(endpoint.component).ports
        declared = (ports.inputs if direction == "input" else ports.outputs) or {}
        return endpoint.port in declared and declared[endpoint.port].optional

    def check_ports(self) -> None:
        """Tell which of this blueprint's ports stand for none; make the others known to the whole system."""
        for port, inner in self.blueprint.ports.items():
            ways: tuple[Direction, ...] = ("input", "output")
            fitting = next((way for way in ways if self._goes(port, way)), None)
            found = self.told(inner, fitting or self._likely(inner))
            if found is not None and self.prefix:
                self.site.harness.wiring.part_ports[f"{self.prefix.rstrip('/')}.{port}"] = found

    def _likely(self, inner: Reference) -> Direction:
        """Return the direction in which a port that is not there has the nearest name."""
        name = self._component_of(inner)
        member = self.site.harness.wiring.get(self.prefix + name)
        known = () if member is None else member.ports.inputs or ()
        return "input" if did_you_mean(inner.text[len(name) + 1 :], known).startswith("did") else "output"

    # --- connections -----------------------------------------------------------------------------

    def connect(self) -> None:
        """Make the connections, those of the parts inside first; then spread the outputs."""
        for part in self.parts.values():
            part.connect()
        self.check_ports()
        for connection in self._folded():
            self._connect(connection)
        for spec in self.blueprint.components:
            if spec.name not in self.missing:
                self._spread(spec)

    def _folded(self) -> Iterable[ConnectionSpec]:
        """Return the connections; one that a later file repeats is changed by it."""
        specs = self.blueprint.connections
        if len({spec.sender.position.file for spec in specs}) < 2:
            return specs
        found: dict[Hashable, ConnectionSpec] = {}
        for number, spec in enumerate(specs):
            key = self._key(spec) or number
            earlier = found.get(key)
            if earlier is None:
                found[key] = spec
            elif earlier.sender.position.file == spec.sender.position.file:
                found[number] = spec
            else:
                found[key] = earlier.changed_by(spec)
        return found.values()

    def _key(self, spec: ConnectionSpec) -> Hashable:
        try:
            ends = self.resolve(spec.sender, "output"), self.resolve(spec.receiver, "input")
        except WiringError:
            return None
        return None if None in ends else ends

    def _connect(self, spec: ConnectionSpec) -> None:
        ends = [self.told(spec.sender, "output"), self.told(spec.receiver, "input")]
        sender, receiver = ends
        if sender is not None and receiver is not None:
            size = self.defaults.buffer_size if spec.buffer_size is None else spec.buffer_size
            with self.site.telling(spec.receiver.position):
                made = self.site.harness.connect(
                    sender,
                    receiver,
                    buffer_size=size,
                    when_full=spec.when_full or "block",
                    copy=spec.copy or False,
                )
                self.site.places[made.key] = spec.sender.position
                return
        self.site.any_output = self._doubt(spec.sender) or self.site.any_output
        self.site.any_input = self._doubt(spec.receiver) or self.site.any_input

    def told(self, end: Reference, direction: Direction) -> str | None:
        """Return a port's name in the system, or tell what is wrong with it."""
        try:
            return self.resolve(end, direction)
        except WiringError as error:
            self.site.tell(end.position, error)
            return None

    def _doubt(self, end: Reference) -> bool:
        """Note that a component may be connected; return whether not even the component is known."""
        try:
            name = self._component_of(end)
        except InvalidEndpointError:
            return True
        inside = f"{self.prefix}{name}/"
        self.site.unsure |= {
            self.prefix + name,
            *(m for m in self.site.harness.components if m.startswith(inside)),
        }
        return name not in self.names

    def _spread(self, spec: ComponentSpec) -> None:
        ports: list[tuple[str, OutputSpec, Direction]] = [
            *((port, said, "output") for port, said in spec.outputs.items()),
            *((port, said, "input") for port, said in spec.inputs.items()),
        ]
        for port, output, direction in ports:
            with self.site.telling(output.position):
                resolved = self.resolve(Reference(f"{spec.name}.{port}"), direction)
                key = field_key(*output.key) if output.key else None
                if resolved is not None:
                    self.site.harness.spread(resolved, output.fan_out, key=key)


def _place_of_setting(spec: ComponentSpec, name: str) -> Position:
    if name in _POLICY:
        return spec.place(next((said for said in (name, *_POLICY) if said in spec.places), name))
    if name in ACKNOWLEDGEMENT and name in spec.places:
        return spec.place(name)
    return spec.place(f"config.{name}" if name else "type")


def _replicas_of(spec: ComponentSpec) -> Replicas:
    said = spec.replicas
    return Replicas(1) if said is None else Replicas(said.count, field_key(*said.key) if said.key else None)


def _policy_of(spec: ComponentSpec, defaults: Defaults, own: Attempts) -> Attempts:
    house = Attempts()
    values: dict[str, Any] = {}
    for name in _POLICY:
        said, default, mine = getattr(spec, name), getattr(defaults, name), getattr(own, name)
        unsaid = mine == getattr(house, name)
        values[name] = said if said is not None else default if unsaid and default is not None else mine
    return replace(house, **values)


__all__ = ["Direction", "Part"]
