"""The graph as it is put together: components by name, ports, and the edges between them.

What is wrong is an error here, before anything runs; ``check`` and ``run`` both go through this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.authoring.handles import ComponentHandle, Connectable, PortHandle, registered_as
from headrace.exceptions import (
    ComponentAlreadyRegistered,
    DuplicateConnectionError,
    NotAComponentError,
    PortTypeError,
    ResourceAlreadyRegistered,
    UnconnectedPortError,
    UnknownComponentError,
    UnknownPortError,
    WiringError,
)
from headrace.model.endpoint import ComponentNames, Endpoint, did_you_mean, parse_endpoint, refuse_unprintable
from headrace.model.options import Attempts, EdgeOptions, OutputOptions
from headrace.model.port import misfit, type_name
from headrace.model.scope import seen_from
from headrace.model.topology import Topology
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.stream_manager import StreamManager

from .edge_observer import EdgeObserver
from .member import Connection, Member, give, make_member, only_port, port_type
from .resources import ResourceSpec, check_resource, resource_problem


class Wiring:
    """The components and connections of one system."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.components: dict[str, Any] = {}
        self.connections: dict[str, Connection] = {}
        self.edges: dict[str, AnyEdge] = {}
        self.outputs: dict[Endpoint, OutputOptions] = {}
        self.resources: dict[str, ResourceSpec] = {}
        self.part_ports: dict[str, str] = {}  # `enrich.in` of a part: the port inside it that this is
        self.streams: dict[str, tuple[Any, Any]] = {}
        self.stream_manager = StreamManager()
        self._names: dict[int, str] = {}
        self._component_names = ComponentNames()
        self._used = False

    # --- components ----------------------------------------------------------------------------

    def register(
        self,
        name: str,
        factory: Any,
        config: Mapping[str, Any] | None = None,
        *,
        attempts: Attempts | None = None,
        where: tuple[str, int] = ("", 0),
    ) -> Member:
        """Take a component into the system under a name of its own."""
        self._check_name(name, factory)
        member = make_member(name, factory, config, attempts, where)
        self._take(member)
        self._component_names.add(name)
        self._open_ports(member)
        return member

    def replace(self, name: str, factory: Any, config: Mapping[str, Any] | None = None) -> Member:
        """Put another component in the place of a registered one; its connections stay.

        Raises:
            WiringError: There is no such component, or a port of its connections is missing in the new one or
                of a type that does not fit. Nothing has changed.
        """
        old = self._member_named(name)
        self._check_object(name, factory)
        new = make_member(name, factory, config, None, old.where)
        self._take(new)
        try:
            for connection in self.connections.values():
                for end, direction in ((connection.sender, "output"), (connection.receiver, "input")):
                    if end.component == name:
                        self._resolve(str(end), direction)
                if name in (connection.sender.component, connection.receiver.component):
                    self._check_types(connection.sender, connection.receiver)
        except WiringError:
            self._take(old)
            raise
        self._renew()
        return new

    def _take(self, member: Member) -> None:
        previous = self.components.get(member.name)
        if previous is not None:
            self._names.pop(id(previous), None)
        self.members[member.name] = member
        self.components[member.name] = member.component
        self._names[id(member.component)] = member.name

    def _open_ports(self, member: Member) -> None:
        for port in member.ports.outputs or ():
            self._outlet(member, port)
        for port, declared in (member.ports.inputs or {}).items():
            if declared.optional and declared.attribute:
                setattr(member.component, declared.attribute, None)
            elif port not in member.inlets:
                member.inlets.setdefault(port, Inlet(f"{member.name}.{port}"))

    def _member_named(self, name: str) -> Member:
        if name not in self.members:
            raise UnknownComponentError(
                f"no component is named '{name}'", hint=did_you_mean(name, self.members)
            )
        return self.members[name]

    def _check_name(self, name: str, factory: Any) -> None:
        if not isinstance(name, str) or not name.strip() or name != name.strip() or "->" in name:
            raise WiringError(f"a component needs a name, not {name!r}")
        refuse_unprintable("a component's name", name)
        if name in self.members:
            raise ComponentAlreadyRegistered(
                f"a component named '{name}' is registered already", hint="take another name"
            )
        self._component_names.refuse_clash(name)
        self._check_object(name, factory)

    def _check_object(self, name: str, factory: Any) -> None:
        other = str(factory) if isinstance(factory, ComponentHandle) else self._names.get(id(factory))
        if other is not None:
            raise ComponentAlreadyRegistered(f"'{name}' is the same object as '{other}'")

    # --- connections ---------------------------------------------------------------------------

    def connect(
        self,
        sender: Connectable,
        receiver: Connectable,
        options: EdgeOptions,
        where: tuple[str, int] = ("", 0),
    ) -> Connection:
        """Join an output to an input."""
        source = self._resolve(sender, "output")
        target = self._resolve(receiver, "input")
        connection = Connection(source, target, options, where)
        if connection.key in self.connections:
            raise DuplicateConnectionError(
                f"{connection.key} is connected twice", hint="delete one of the two"
            )
        self._check_types(source, target)
        self._join(connection)
        self.connections[connection.key] = connection
        return connection

    def spread(self, output: Connectable, options: OutputOptions) -> None:
        """Say how an output with several edges spreads its messages."""
        endpoint = self._resolve(output, "output")
        self.outputs[endpoint] = options
        self._outlet(self.members[endpoint.component], endpoint.port).options = options

    def outlet(self, output: Connectable) -> AnyOutlet:
        """Return an output port."""
        endpoint = self._resolve(output, "output")
        return self._outlet(self.members[endpoint.component], endpoint.port)

    def endpoints(self, ports: str | list[str] | None, direction: str) -> tuple[Endpoint, ...] | None:
        """Return the ports that one or several strings name."""
        if ports is None:
            return None
        return tuple(
            self._resolve(port, direction) for port in ([ports] if isinstance(ports, str) else ports)
        )

    def _resolve(self, what: Connectable, direction: str) -> Endpoint:
        text = registered_as(what, self._names)
        text = self.part_ports.get(text, text) if isinstance(text, str) else text
        endpoint = Endpoint(text) if isinstance(text, str) and text in self.members else parse_endpoint(text)
        member = self.members.get(endpoint.component)
        if member is None:
            hint = did_you_mean(endpoint.component, self.members)
            raise UnknownComponentError(
                f"no component is named '{endpoint.component}' (in '{text}')", hint=hint
            )
        declared = member.ports.outputs if direction == "output" else member.ports.inputs
        if not endpoint.port:
            return Endpoint(member.name, only_port(member.name, declared, direction))
        port = endpoint.port.rstrip("_") or endpoint.port
        if declared is not None and port not in declared:
            raise UnknownPortError(
                f"'{member.name}' has no {direction} port '{port}'", hint=did_you_mean(port, declared)
            )
        if declared is None and direction == "output" and member.ports.inputs and port in member.ports.inputs:
            raise UnknownPortError(f"'{member.name}.{port}' is an input, not an output")
        return Endpoint(member.name, port)

    def _check_types(self, source: Endpoint, target: Endpoint) -> None:
        sent = port_type(self.members[source.component].ports.outputs, source.port)
        accepted = port_type(self.members[target.component].ports.inputs, target.port)
        reason = misfit(sent, accepted)
        if reason is not None:
            raise PortTypeError(
                f"{source}: {type_name(sent)} -> {target}: {type_name(accepted)}",
                hint=reason or "what is sent does not fit what is accepted",
            )

    def _outlet(self, member: Member, port: str) -> AnyOutlet:
        if port not in member.outlets:
            endpoint = Endpoint(member.name, port)
            outlet: AnyOutlet = Outlet(str(endpoint), self.outputs.get(endpoint))
            give(member.component, "send_streams", port, outlet.open(), member.ports.outputs)
            member.outlets[port] = outlet
        return member.outlets[port]

    def _inlet(self, member: Member, port: str) -> AnyInlet:
        inlet = member.inlets.setdefault(port, Inlet(f"{member.name}.{port}"))
        if not inlet.handles:
            handle = inlet.open()
            try:
                give(member.component, "receive_streams", port, handle, member.ports.inputs)
            except NotAComponentError:
                inlet.handles.clear()
                raise
        return inlet

    def _join(self, connection: Connection) -> None:
        source, target = connection.sender, connection.receiver
        outlet = self._outlet(self.members[source.component], source.port)
        inlet = self._inlet(self.members[target.component], target.port)
        edge: AnyEdge = Edge(connection.key, connection.options, outlet, inlet)
        outlet.add(edge)
        inlet.add(edge)
        self.edges[connection.key] = edge
        sending = self.members[source.component].component.send_streams[source.port]
        receiving = self.members[target.component].component.receive_streams[target.port]
        self.streams[connection.key] = (sending, receiving)
        self.stream_manager.release(connection.key)
        self.stream_manager.adopt(connection.key, sending, receiving, EdgeObserver(edge))

    # --- resources -------------------------------------------------------------------------------

    def add_resource(self, spec: ResourceSpec) -> None:
        """Take a shared resource into the system."""
        if not isinstance(spec.name, str) or not spec.name.rpartition("/")[2].isidentifier():
            raise WiringError(
                f"a resource needs a name, not {spec.name!r}", hint="take one that a parameter can have"
            )
        if spec.name in self.resources:
            raise ResourceAlreadyRegistered(
                f"a resource named '{spec.name}' is registered already", hint="take another name"
            )
        check_resource(spec)
        self.resources[spec.name] = spec

    def replace_resource(self, spec: ResourceSpec) -> None:
        """Put another resource in the place of a registered one."""
        check_resource(spec)
        self.resources[spec.name] = spec

    # --- a run -----------------------------------------------------------------------------------

    def problems(self) -> list[WiringError]:
        """Return what keeps the system from running, all of it."""
        found: list[WiringError] = []
        for member in self.members.values():
            for port, declared in (member.ports.inputs or {}).items():
                if not declared.optional and not member.inlets[port].lanes:
                    error = UnconnectedPortError(
                        f"input '{member.name}.{port}' is not connected",
                        hint="connect an output to it, or declare it `In[...] | None`",
                        component=member.name,
                        port=port,
                    )
                    found.append(error.at(member.where))
            seen = seen_from(member.name, self.resources) if member.needs else {}
            problems = (resource_problem(seen, member.name, n) for n in member.needs.values())
            found += [problem.at(member.where) for problem in problems if problem is not None]
        return found

    def unconnected_outputs(self) -> list[Endpoint]:
        """Return declared, not optional outputs whose messages would be discarded."""
        return [
            Endpoint(member.name, port)
            for member in self.members.values()
            for port, declared in (member.ports.outputs or {}).items()
            if not declared.optional and not member.outlets[port].lanes
        ]

    def open(self) -> None:
        """Make the streams ready for a run: as connected for the first, anew for each further one."""
        if self._used:
            self._renew()
        self._used = True

    def _renew(self) -> None:
        taps = {port.name: port.taps for port in self._ports()}
        for member in self.members.values():
            member.inlets.clear()
            member.outlets.clear()
            self._open_ports(member)
        for connection in self.connections.values():
            self._join(connection)
        for port in self._ports():
            for tap in taps.get(port.name, ()):
                port.add_tap(tap)

    def _ports(self) -> Iterator[AnyInlet | AnyOutlet]:
        for member in self.members.values():
            yield from member.inlets.values()
            yield from member.outlets.values()

    def release_ended(self, member: Member) -> None:
        """Take the edges of a member that have ended on both sides out of the table of streams."""
        ports: list[AnyInlet | AnyOutlet] = [*member.inlets.values(), *member.outlets.values()]
        for port in ports:
            for edge in port.lanes:
                if edge.sender_ended and edge.reader_ended:
                    self.stream_manager.release(edge.key)

    def release_streams(self) -> None:
        """Take all edges out of the table of streams: the run is over."""
        for key in self.edges:
            self.stream_manager.release(key)

    def topology(self) -> Topology:
        """Return the shape of the graph."""
        links = ((c.sender.component, c.receiver.component) for c in self.connections.values())
        return Topology.of(self.members, links)


__all__ = ["ComponentHandle", "Connectable", "Connection", "Member", "PortHandle", "Wiring"]
