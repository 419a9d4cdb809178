"""The graph as it is put together: components by name, ports, and the edges between them.

What is wrong is an error here, before anything runs; ``check`` and ``run`` both go through this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.handles import ComponentHandle, Connectable, PortHandle
from headrace.exceptions import (
    DuplicateConnectionError,
    NotAComponentError,
    PortTypeError,
    ResourceAlreadyRegistered,
    UnconnectedPortError,
    UnknownComponentError,
    WiringError,
)
from headrace.model.endpoint import Endpoint, did_you_mean
from headrace.model.options import Attempts, EdgeOptions, OutputOptions, Replicas
from headrace.model.port import misfit, type_name
from headrace.model.restart_policy import RestartPolicy
from headrace.model.scope import seen_from
from headrace.model.topology import Topology
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.inlet import AnyInlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.spread import Group
from headrace.streams.stream_manager import StreamManager

from .edge_observer import EdgeObserver
from .member import Connection, Member, SaidOfAcks, give, port_type
from .replicas import ReplicaSet, can_be_replicated
from .resources import ResourceSpec, check_resource, resource_problem
from .roster import Registered, Roster


class Wiring(Roster):
    """The components and connections of one system.

    Attributes:
        connections: From name to name, as they were made.
        edges: The edges: of a connection with replicas at an end, one for each pair of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.connections: dict[str, Connection] = {}
        self.edges: dict[str, AnyEdge] = {}
        self.outputs: dict[Endpoint, OutputOptions] = {}
        self.resources: dict[str, ResourceSpec] = {}
        self.streams: dict[str, tuple[Any, Any]] = {}
        self.stream_manager = StreamManager()
        self._split: dict[str, Connection] = {}  # of edges that are one of several of their connection
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
        replicas: Replicas | None = None,
        restart: RestartPolicy | None = None,
        acks: SaidOfAcks = (None, None),
    ) -> Registered:
        """Take a component, or several replicas of it, into the system under a name of its own."""
        self._check_name(name, factory)
        new = self._make(name, factory, config, attempts, where, replicas, restart, acks)
        self._take(new)
        for member in self.members_of(name):
            self._open_ports(member)
        return new

    def replace(self, name: str, factory: Any, config: Mapping[str, Any] | None = None) -> Registered:
        """Put another component in the place of a registered one; its connections stay.

        A class or a function gets as many replicas as there were; a finished component takes the place of all.

        Raises:
            WiringError: There is no such component, or a port of its connections is missing in the new one or
                of a type that does not fit. Nothing has changed.
        """
        old = self.get(name)
        if old is None:
            raise UnknownComponentError(
                f"no component is named '{name}'", hint=did_you_mean(name, self.registered)
            )
        self._refuse_replica(name)
        self._check_object(name, factory)
        replicas = old.options if isinstance(old, ReplicaSet) and can_be_replicated(factory) else None
        before = self.member_of(name)
        new = self._make(name, factory, config, None, before.where, replicas, before.restart)
        if isinstance(old, ReplicaSet) and isinstance(new, ReplicaSet):
            new.inputs |= old.inputs
        self._take(new)
        for member in self.members_of(name):
            member.marks = before.marks
            if not isinstance(member.component, FunctionComponent):
                member.acknowledge(before.said_of_acks)
        touched = [c for c in self.connections.values() if name in (c.sender.component, c.receiver.component)]
        try:
            for connection in touched:
                self._resolve(str(connection.sender), "output")
                self._resolve(str(connection.receiver), "input")
                self._check_types(connection.sender, connection.receiver)
        except WiringError:
            self._take(old)
            raise
        self._forget_edges(touched)
        self._renew()
        return new

    def put_back(self, old: Registered) -> None:
        """Put back what was replaced; the next run joins the edges anew."""
        self._take(old)
        self._forget_edges(
            c for c in self.connections.values() if old.name in (c.sender.component, c.receiver.component)
        )
        self._used = True

    def _forget_edges(self, connections: Iterable[Connection]) -> None:
        gone = {connection.key for connection in connections}
        for key in [key for key in self.edges if self.connection_of(key).key in gone]:
            self.stream_manager.release(key)
            del self.edges[key]
            self.streams.pop(key)
            self._split.pop(key, None)

    def _open_ports(self, member: Member) -> None:
        for port in member.ports.outputs or ():
            self._outlet(member, port)
        self.leave_optional_out(member)
        for port, declared in (member.ports.inputs or {}).items():
            if not (declared.optional and declared.attribute) and port not in member.inlets:
                member.new_inlet(port)

    def leave_optional_out(self, member: Member) -> None:
        """Let the attributes of optional inputs be None until something is connected to them."""
        for declared in (member.ports.inputs or {}).values():
            if declared.optional and declared.attribute:
                setattr(member.component, declared.attribute, None)

    # --- connections ---------------------------------------------------------------------------

    def connect(
        self,
        sender: Connectable,
        receiver: Connectable,
        options: EdgeOptions,
        where: tuple[str, int] = ("", 0),
    ) -> Connection:
        """Join an output to an input."""
        source = self._resolve_whole(sender, "output")
        target = self._resolve_whole(receiver, "input")
        connection = Connection(source, target, options, where)
        key = connection.key  # one string for all tables
        if key in self.connections:
            raise DuplicateConnectionError(f"{key} is connected twice", hint="delete one of the two")
        self._check_types(source, target)
        self._join(key, connection)
        self.connections[key] = connection
        return connection

    def connection_of(self, edge: str) -> Connection:
        """Return the connection that an edge belongs to, by the edge's key."""
        return self._split.get(edge) or self.connections[edge]

    def spread(self, output: Connectable, options: OutputOptions) -> None:
        """Say how an output spreads its messages over its edges, or an input over the replicas that have it."""
        try:
            endpoint = self._resolve_whole(output, "output")
        except WiringError as error:
            self._spread_input(output, options, error)
            return
        self.outputs[endpoint] = options
        for member in self.members_of(endpoint.component):
            self._outlet(member, endpoint.port).spread(options)

    def _spread_input(self, port: Connectable, options: OutputOptions, no_output: WiringError) -> None:
        try:
            endpoint = self._resolve_whole(port, "input")
        except WiringError:
            raise no_output from None
        replicas = self.replicas.get(endpoint.component)
        if replicas is None:
            raise WiringError(
                f"'{endpoint}' is an input of one component: there is nothing to spread messages over",
                hint="add it with replicas=N, or name an output",
            )
        replicas.inputs[endpoint.port] = options
        inlet = replicas.members[0].inlets.get(endpoint.port)
        for edge in () if inlet is None else inlet.lanes:
            edge.outlet.spread_group(edge, options)

    def outlets(self, output: Connectable) -> list[AnyOutlet]:
        """Return an output port, of replicas the port of each."""
        endpoint = self._resolve(output, "output")
        return [self._outlet(member, endpoint.port) for member in self.members_of(endpoint.component)]

    def inlets(self, input_: Connectable) -> list[AnyInlet]:
        """Return an input port that something is connected to, of replicas the port of each; else none."""
        endpoint = self._resolve(input_, "input")
        found = (member.inlets.get(endpoint.port) for member in self.members_of(endpoint.component))
        return [inlet for inlet in found if inlet is not None]

    def _check_types(self, source: Endpoint, target: Endpoint) -> None:
        sent = port_type(self.member_of(source.component).ports.outputs, source.port)
        accepted = port_type(self.member_of(target.component).ports.inputs, target.port)
        reason = misfit(sent, accepted)
        if reason is not None:
            raise PortTypeError(
                f"{source}: {type_name(sent)} -> {target}: {type_name(accepted)}",
                hint=reason or "what is sent does not fit what is accepted",
            )

    def _outlet(self, member: Member, port: str) -> AnyOutlet:
        if port not in member.outlets:
            options = self.outputs.get(Endpoint(member.registered_as, port))
            outlet: AnyOutlet = Outlet(f"{member.name}.{port}", options)
            give(member.component, "send_streams", port, outlet.open(), member.ports.outputs)
            member.outlets[port] = outlet
        return member.outlets[port]

    def _inlet(self, member: Member, port: str) -> AnyInlet:
        inlet = member.inlets.get(port)
        if inlet is None:
            inlet = member.new_inlet(port)
        if not inlet.handles:
            handle = inlet.open()
            try:
                give(member.component, "receive_streams", port, handle, member.ports.inputs)
            except NotAComponentError:
                inlet.handles.clear()
                raise
        return inlet

    def _join(self, key: str, connection: Connection) -> None:
        source, target = connection.sender, connection.receiver
        replicas = self.replicas.get(target.component)
        for sender in self.members_of(source.component):
            group = None if replicas is None else replicas.new_group(target.port)
            for receiver in self.members_of(target.component):
                self._join_members(key, connection, sender, receiver, group)

    def _join_members(
        self, whole: str, connection: Connection, sender: Member, receiver: Member, group: Group[Any] | None
    ) -> None:
        """Make the edge between two members, where the receiver may be one of a group of replicas."""
        outlet = self._outlet(sender, connection.sender.port)
        inlet = self._inlet(receiver, connection.receiver.port)
        key = f"{outlet.name} -> {inlet.name}"
        key = whole if key == whole else key  # one string for all tables
        edge: AnyEdge = Edge(key, connection.options, outlet, inlet)
        outlet.add(edge, group)
        inlet.add(edge)
        self.edges[key] = edge
        if key is not whole:
            self._split[key] = connection
        sending = sender.component.send_streams[connection.sender.port]
        receiving = receiver.component.receive_streams[connection.receiver.port]
        self.streams[key] = (sending, receiving)
        self.stream_manager.release(key)
        self.stream_manager.adopt(key, sending, receiving, EdgeObserver(edge))

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
        for name in self.registered:
            member = self.member_of(name)
            for port, declared in (member.ports.inputs or {}).items():
                if not declared.optional and not member.inlets[port].lanes:
                    error = UnconnectedPortError(
                        f"input '{name}.{port}' is not connected",
                        hint="connect an output to it, or declare it `In[...] | None`",
                        component=name,
                        port=port,
                    )
                    found.append(error.at(member.where))
            seen = seen_from(name, self.resources) if member.needs else {}
            problems = (resource_problem(seen, name, n) for n in member.needs.values())
            found += [problem.at(member.where) for problem in problems if problem is not None]
        return found

    def unconnected_outputs(self) -> list[Endpoint]:
        """Return declared, not optional outputs whose messages would be discarded."""
        return [
            Endpoint(name, port)
            for name in self.registered
            for port, declared in (self.member_of(name).ports.outputs or {}).items()
            if not declared.optional and not self.member_of(name).outlets[port].lanes
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
        for key, connection in self.connections.items():
            self._join(key, connection)
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
        links = (
            (sender.name, receiver.name)
            for c in self.connections.values()
            for sender in self.members_of(c.sender.component)
            for receiver in self.members_of(c.receiver.component)
        )
        return Topology.of(self.members, links)


__all__ = ["ComponentHandle", "Connectable", "Connection", "Member", "PortHandle", "Wiring"]
