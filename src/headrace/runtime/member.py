"""The parts of a wiring: a component with what the runtime keeps about it, and a connection."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from headrace.authoring.factory import build_component
from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.ports import ports_of
from headrace.authoring.resource import ResourceNeed, resources_of
from headrace.exceptions import ConfigError, InvalidEndpointError, NotAComponentError
from headrace.model.component_status import ComponentStatus
from headrace.model.endpoint import Endpoint
from headrace.model.options import AUTOMATIC, UNMARKED, Ack, Acknowledgement, Attempts, EdgeOptions, Marks
from headrace.model.port import Port, PortTable
from headrace.model.restart_policy import NEVER, RestartPolicy
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet

from .worker_functions import check_where

SaidOfAcks = tuple[Ack | None, int | None]
"""``ack`` and ``max_unacked`` of one component; None where nothing is said."""


@dataclass(eq=False, slots=True)
class Member:
    """A registered component with what the runtime keeps about it.

    Attributes:
        name: Its name in the system.
        component: The component itself.
        status: Where it is in its life.
        ports: What ports it declares.
        needs: The resources it asks for, by name.
        factory: What it was made from: a class, a function, or the component itself.
        config: The settings it was made with.
        attempts: What was said of failing messages where it was registered; None for what its function says.
        restart: When it is restarted.
        where: File and line of the call that registered it; nothing where that was a blueprint.
        inlets: Its input ports.
        outlets: Its output ports.
        replica_of: The name it shares with other replicas; nothing where it is the only one.
        marks: What was said of it to the system.
        acks: Who acknowledges what it has received; and
        said_of_acks: what was said of that where it was registered.
    """

    name: str
    component: Any
    status: ComponentStatus
    ports: PortTable
    needs: Mapping[str, ResourceNeed] = field(default_factory=dict)
    factory: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)
    attempts: Attempts | None = None
    restart: RestartPolicy = NEVER
    where: tuple[str, int] = ("", 0)
    inlets: dict[str, AnyInlet] = field(default_factory=dict)
    outlets: dict[str, AnyOutlet] = field(default_factory=dict)
    replica_of: str = ""
    marks: Marks = UNMARKED
    acks: Acknowledgement = AUTOMATIC
    said_of_acks: SaidOfAcks = (None, None)

    @property
    def stop_timeout(self) -> float | None:
        """Seconds that it may take once its inputs have ended, or as a source once the system stops."""
        return self.marks.stop_timeout

    @property
    def registered_as(self) -> str:
        """The name by which it is connected."""
        return self.replica_of or self.name

    @property
    def is_source(self) -> bool:
        """Whether nothing is connected to any of its inputs."""
        return not any(inlet.lanes for inlet in self.inlets.values())

    def new_inlet(self, port: str) -> AnyInlet:
        """Make an input port, and let the component have it."""
        inlet: AnyInlet = Inlet(f"{self.name}.{port}")
        inlet.max_unacked = self.acks.window
        inlet.company = self.inlets.values()
        self.inlets[port] = inlet
        return inlet

    def acknowledge(self, said: SaidOfAcks) -> None:
        """Say who acknowledges what it has received: what was said, or else what it says itself.

        Raises:
            ConfigError: It does not fit: a message of a function is acknowledged together with what that gives.
        """
        acks = own_acks(self.component).but(*said)
        if acks.window and isinstance(self.component, FunctionComponent):
            raise ConfigError(
                f"{self.name}: ack 'manual' is for components with a process() of their own",
                hint="leave it out: a message is acknowledged together with what the function gives",
                field="ack",
            )
        self.acks, self.said_of_acks = acks, said
        for inlet in self.inlets.values():
            inlet.max_unacked = acks.window

    def about_hand(self) -> dict[str, str]:
        """Return the edge and the id, where it is known, of the message that it has in hand; from any thread."""
        with suppress(IndexError):  # the event loop goes on meanwhile
            for inlet in tuple(self.inlets.values()):
                for handle in tuple(inlet.handles):
                    about = handle.about_hand()
                    if about is not None:
                        edge, known = about
                        return {"edge": edge, "message_id": known} if known else {"edge": edge}
        return {}

    @property
    def paused(self) -> bool:
        """Whether nothing is handed to it, or as a source nothing taken from it."""
        inlets, outlets = list(self.inlets.values()), list(self.outlets.values())
        return any(inlet.paused for inlet in inlets) or any(outlet.gate is not None for outlet in outlets)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection from an output to an input, with its options and the call (file, line) that made it."""

    sender: Endpoint
    receiver: Endpoint
    options: EdgeOptions
    where: tuple[str, int] = field(default=("", 0), compare=False)

    @property
    def key(self) -> str:
        """``a.out -> b.in``."""
        return f"{self.sender} -> {self.receiver}"


def make_member(
    name: str,
    factory: Any,
    config: Mapping[str, Any] | None,
    attempts: Attempts | None,
    where: tuple[str, int],
    restart: RestartPolicy | None = None,
    acks: SaidOfAcks = (None, None),
) -> Member:
    """Make a component, and what the runtime keeps about it."""
    component = build_component(name, factory, config, attempts=attempts)
    if isinstance(component, FunctionComponent):
        check_where(component.function, component.attempts.run_in, component.config)
    status = getattr(component, "status", None)
    if not isinstance(status, ComponentStatus):
        status = ComponentStatus(name)
    member = Member(
        name,
        component,
        status,
        ports_of(component),
        resources_of(component),
        factory,
        dict(config or {}),
        attempts,
        restart or own_restart(component) or NEVER,
        where,
    )
    member.acknowledge(acks)
    return member


def own_acks(what: Any) -> Acknowledgement:
    """Return what a component, or its class, says of acknowledgement.

    Raises:
        ConfigError: It is none.
    """
    ack, max_unacked = getattr(what, "ack", None), getattr(what, "max_unacked", None)
    if isinstance(what, FunctionComponent) or not isinstance(
        ack, str
    ):  # a method of this name is the user's own
        return AUTOMATIC
    return AUTOMATIC.but(cast("Ack", ack), max_unacked if isinstance(max_unacked, int) else None)


def own_restart(what: Any) -> RestartPolicy | None:
    """Return what a component, its class or its function says of restarts; None where it says nothing."""
    said = getattr(what.function if isinstance(what, FunctionComponent) else what, "restart", None)
    return RestartPolicy.of(said) if isinstance(said, (RestartPolicy, str)) else None


def give(
    component: Any, dictionary: str, port: str, stream: Any, declared: Mapping[str, Port] | None
) -> None:
    """Put a stream where its component looks for it: into a dictionary, and an attribute if one is declared.

    Raises:
        NotAComponentError: The component cannot hold it.
    """
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


def only_port(name: str, declared: Mapping[str, Port] | None, direction: str) -> str:
    """Return the port that is meant where only the component was named.

    Raises:
        InvalidEndpointError: There is none, or there are several.
    """
    if declared is None:
        return "out" if direction == "output" else "in"
    required = [port for port, value in declared.items() if not value.optional] or list(declared)
    if len(required) == 1:
        return required[0]
    ports = ", ".join(f"'{name}.{port}'" for port in required)
    if not required:
        raise InvalidEndpointError(f"'{name}' has no {direction} port")
    raise InvalidEndpointError(f"'{name}' has several {direction} ports", hint=f"write one of {ports}")


def port_type(declared: Mapping[str, Port] | None, port: str) -> Any:
    """Return the type of a port; ``Any`` where its direction declares nothing."""
    return Any if declared is None else declared[port].type


__all__ = [
    "Connection",
    "Member",
    "SaidOfAcks",
    "give",
    "make_member",
    "only_port",
    "own_acks",
    "own_restart",
    "port_type",
]
