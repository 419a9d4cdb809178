"""The graph as it is put together: components by name, ports, and the edges between them.

What is wrong is an error here, before anything runs; ``check`` and ``run`` both go through this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.authoring.component import ComponentLike
from headrace.authoring.factory import build_component
from headrace.authoring.ports import ports_of
from headrace.exceptions import (
    ComponentAlreadyRegistered,
    DuplicateConnectionError,
    InvalidEndpointError,
    NotAComponentError,
    PortTypeError,
    UnconnectedPortError,
    UnknownComponentError,
    UnknownPortError,
    WiringError,
)
from headrace.model.component_status import ComponentStatus
from headrace.model.endpoint import Endpoint, did_you_mean, parse_endpoint
from headrace.model.options import Attempts, EdgeOptions, OutputOptions
from headrace.model.port import Port, PortTable, fits, type_name
from headrace.model.topology import Topology
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.stream_manager import StreamManager

from .edge_observer import EdgeObserver


@dataclass(eq=False)
class Member:
    """A registered component with what the runtime keeps about it."""

    name: str
    component: Any
    status: ComponentStatus
    ports: PortTable
    inlets: dict[str, AnyInlet] = field(default_factory=dict)
    outlets: dict[str, AnyOutlet] = field(default_factory=dict)

    @property
    def is_source(self) -> bool:
        """Whether nothing is connected to any of its inputs."""
        return not any(inlet.lanes for inlet in self.inlets.values())


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection from an output to an input, with its options."""

    sender: Endpoint
    receiver: Endpoint
    options: EdgeOptions

    @property
    def key(self) -> str:
        """``a.out -> b.in``."""
        return f"{self.sender} -> {self.receiver}"


@dataclass(frozen=True, slots=True)
class PortHandle:
    """A port of a component of a system, to be given to ``connect``."""

    endpoint: Endpoint

    def __str__(self) -> str:
        return str(self.endpoint)


class ComponentHandle:
    """What ``add`` returns: attributes are ports (``parse.out``, ``rows.in_``), to be given to ``connect``."""

    def __init__(self, name: str, component: ComponentLike) -> None:
        self._name = name
        self._component = component

    @property
    def component(self) -> ComponentLike:
        """The component itself."""
        return self._component

    def __getattr__(self, port: str) -> PortHandle:
        if port.startswith("_"):
            raise AttributeError(port)
        return PortHandle(Endpoint(self._name, port.rstrip("_")))

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<component {self._name!r}>"


Connectable = str | PortHandle | ComponentHandle


class Wiring:
    """The components and connections of one system."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.components: dict[str, Any] = {}
        self.connections: dict[str, Connection] = {}
        self.edges: dict[str, AnyEdge] = {}
        self.outputs: dict[Endpoint, OutputOptions] = {}
        self.streams: dict[str, tuple[Any, Any]] = {}
        self.stream_manager = StreamManager()
        self._names: dict[int, str] = {}
        self._used = False

    # --- components ----------------------------------------------------------------------------

    def register(
        self,
        name: str,
        factory: Any,
        config: Mapping[str, Any] | None = None,
        *,
        attempts: Attempts | None = None,
    ) -> Member:
        """Take a component into the system under a name of its own."""
        self._check_name(name, factory)
        component = build_component(name, factory, config, attempts=attempts)
        status = getattr(component, "status", None)
        if not isinstance(status, ComponentStatus):
            status = ComponentStatus(name)
        member = Member(name, component, status, ports_of(component))
        self.members[name] = member
        self.components[name] = component
        self._names[id(component)] = name
        for port in member.ports.outputs or ():
            self._outlet(member, port)
        for port, declared in (member.ports.inputs or {}).items():
            if declared.optional and declared.attribute:
                setattr(component, declared.attribute, None)
            elif port not in member.inlets:
                member.inlets.setdefault(port, Inlet(f"{name}.{port}"))
        return member

    def _check_name(self, name: str, factory: Any) -> None:
        if not isinstance(name, str) or not name.strip() or name != name.strip() or "->" in name:
            raise WiringError(f"a component needs a name, not {name!r}")
        if name in self.members:
            raise ComponentAlreadyRegistered(
                f"a component named '{name}' is registered already", hint="take another name"
            )
        other = self._names.get(id(factory))
        if other is not None:
            raise ComponentAlreadyRegistered(f"'{name}' is the same object as '{other}'")

    # --- connections ---------------------------------------------------------------------------

    def connect(self, sender: Connectable, receiver: Connectable, options: EdgeOptions) -> Connection:
        """Join an output to an input."""
        source = self._resolve(sender, "output")
        target = self._resolve(receiver, "input")
        connection = Connection(source, target, options)
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

    def endpoints(self, ports: str | list[str] | None, direction: str) -> tuple[Endpoint, ...] | None:
        """Return the ports that one or several strings name."""
        if ports is None:
            return None
        return tuple(
            self._resolve(port, direction) for port in ([ports] if isinstance(ports, str) else ports)
        )

    def _resolve(self, what: Connectable, direction: str) -> Endpoint:
        text = str(what) if isinstance(what, (PortHandle, ComponentHandle)) else what
        endpoint = Endpoint(text) if isinstance(text, str) and text in self.members else parse_endpoint(text)
        member = self.members.get(endpoint.component)
        if member is None:
            hint = did_you_mean(endpoint.component, self.members)
            raise UnknownComponentError(
                f"no component is named '{endpoint.component}' (in '{text}')", hint=hint
            )
        declared = member.ports.outputs if direction == "output" else member.ports.inputs
        if not endpoint.port:
            return Endpoint(member.name, _only_port(member.name, declared, direction))
        port = endpoint.port.rstrip("_") or endpoint.port
        if declared is not None and port not in declared:
            raise UnknownPortError(
                f"'{member.name}' has no {direction} port '{port}'", hint=did_you_mean(port, declared)
            )
        if declared is None and direction == "output" and member.ports.inputs and port in member.ports.inputs:
            raise UnknownPortError(f"'{member.name}.{port}' is an input, not an output")
        return Endpoint(member.name, port)

    def _check_types(self, source: Endpoint, target: Endpoint) -> None:
        sent = _port_type(self.members[source.component].ports.outputs, source.port)
        accepted = _port_type(self.members[target.component].ports.inputs, target.port)
        if not fits(sent, accepted):
            raise PortTypeError(
                f"{source}: {type_name(sent)} -> {target}: {type_name(accepted)}",
                hint="what is sent does not fit what is accepted",
            )

    def _outlet(self, member: Member, port: str) -> AnyOutlet:
        if port not in member.outlets:
            endpoint = Endpoint(member.name, port)
            outlet: AnyOutlet = Outlet(str(endpoint), self.outputs.get(endpoint))
            _give(member.component, "send_streams", port, outlet.open(), member.ports.outputs)
            member.outlets[port] = outlet
        return member.outlets[port]

    def _inlet(self, member: Member, port: str) -> AnyInlet:
        inlet = member.inlets.setdefault(port, Inlet(f"{member.name}.{port}"))
        if not inlet.handles:
            handle = inlet.open()
            try:
                _give(member.component, "receive_streams", port, handle, member.ports.inputs)
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

    # --- a run -----------------------------------------------------------------------------------

    def problems(self) -> list[WiringError]:
        """Return what keeps the system from running, all of it."""
        found: list[WiringError] = []
        for member in self.members.values():
            for port, declared in (member.ports.inputs or {}).items():
                if not declared.optional and not member.inlets[port].lanes:
                    found.append(
                        UnconnectedPortError(
                            f"input '{member.name}.{port}' is not connected",
                            hint="connect an output to it, or declare it `In[...] | None`",
                            component=member.name,
                            port=port,
                        )
                    )
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
        for member in self.members.values():
            member.inlets.clear()
            member.outlets.clear()
            for port in member.ports.outputs or ():
                self._outlet(member, port)
        for connection in self.connections.values():
            self._join(connection)

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


def _give(
    component: Any, dictionary: str, port: str, stream: Any, declared: Mapping[str, Port] | None
) -> None:
    streams = getattr(component, dictionary, None)
    if streams is None or streams is getattr(type(component), dictionary, None):  # a class's own is shared
        streams = {}
        _set(component, dictionary, streams)
    streams[port] = stream
    if declared is not None and port in declared and declared[port].attribute:
        _set(component, declared[port].attribute, stream)


def _set(component: Any, attribute: str, value: Any) -> None:
    try:
        setattr(component, attribute, value)
    except AttributeError as error:
        raise NotAComponentError(
            f"{type(component).__name__} cannot hold its ports: {error}",
            hint=f"let it have an attribute '{attribute}', or name that in its __slots__",
        ) from None


def _only_port(name: str, declared: Mapping[str, Port] | None, direction: str) -> str:
    if declared is None:
        return "out" if direction == "output" else "in"
    required = [port for port, value in declared.items() if not value.optional] or list(declared)
    if len(required) == 1:
        return required[0]
    ports = ", ".join(f"'{name}.{port}'" for port in required)
    if not required:
        raise InvalidEndpointError(f"'{name}' has no {direction} port")
    raise InvalidEndpointError(f"'{name}' has several {direction} ports", hint=f"write one of {ports}")


def _port_type(declared: Mapping[str, Port] | None, port: str) -> Any:
    return Any if declared is None else declared[port].type


__all__ = ["ComponentHandle", "Connectable", "Connection", "Member", "PortHandle", "Wiring"]
