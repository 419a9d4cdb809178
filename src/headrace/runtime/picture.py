"""The picture of a harness: what its wiring holds, as the plain values that all drawings start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from headrace.authoring.function_component import FunctionComponent
from headrace.model.options import Attempts
from headrace.model.picture import ComponentPicture, LinkPicture, Picture, PortPicture
from headrace.model.port import Port, type_name

from .wiring import Connection, Wiring
from .working_away import run_in_of


class HasWiring(Protocol):
    """What is drawn: a name and a wiring, as a harness has them."""

    @property
    def name(self) -> str:
        """The name of the system."""
        ...

    @property
    def wiring(self) -> Wiring:
        """What is registered and connected."""
        ...


def picture_of(harness: HasWiring) -> Picture:
    """Return what there is to draw of a system."""
    wiring = harness.wiring
    components = tuple(_component(name, wiring) for name in wiring.registered)
    links = tuple(_link(wiring, connection) for connection in wiring.connections.values())
    return Picture.of(harness.name, components, links)


def _component(registered: str, wiring: Wiring) -> ComponentPicture:
    member, replicas = wiring.member_of(registered), wiring.replicas.get(registered)
    made_of = getattr(member.component, "function", None)
    made_of = getattr(made_of, "fn", None) or type(member.component)
    made_of = getattr(made_of, "func", made_of)  # a partial has no name of its own
    module, name = getattr(made_of, "__module__", ""), getattr(made_of, "__qualname__", repr(made_of))
    shared = {} if replicas is None else {port: replicas.spread_at(port).fan_out for port in member.inlets}
    inputs = {**dict.fromkeys(member.inlets, "broadcast"), **shared}
    outputs = {name: outlet.options.fan_out for name, outlet in member.outlets.items()}
    return ComponentPicture(
        registered,
        f"{module}:{name}",
        _ports(member.ports.inputs, inputs),
        _ports(member.ports.outputs, outputs),
        len(wiring.members_of(registered)),
        run_in_of(member.component),
        *_concurrency(member.component),
    )


def _concurrency(component: Any) -> tuple[int, bool]:
    """Return how many messages it works on at once, and whether their order is kept."""
    policy = component.attempts if isinstance(component, FunctionComponent) else Attempts()
    return policy.concurrency, policy.ordered


def _ports(declared: Mapping[str, Port] | None, used: Mapping[str, str]) -> tuple[PortPicture, ...]:
    names = dict.fromkeys([*(declared or ()), *used])
    ports = {name: (declared or {}).get(name) or Port(name) for name in names}
    return tuple(
        PortPicture(name, _type(port.type), port.optional, used.get(name, "broadcast"))
        for name, port in ports.items()
    )


def _type(kind: Any) -> str:
    return "Any" if kind is Any else type_name(kind)


def _link(wiring: Wiring, connection: Connection) -> LinkPicture:
    sender, receiver = connection.sender, connection.receiver
    fan_out = wiring.member_of(sender.component).outlets[sender.port].options.fan_out
    replicas = wiring.replicas.get(receiver.component)
    shared = "" if replicas is None else replicas.spread_at(receiver.port).fan_out
    return LinkPicture(
        sender.component, sender.port, receiver.component, receiver.port, connection.options, fan_out, shared
    )


__all__ = ["HasWiring", "picture_of"]
