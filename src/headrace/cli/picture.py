"""What there is to draw of a system, as plain values: the drawings know nothing of harnesses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.model.options import EdgeOptions
from headrace.model.port import Port, type_name
from headrace.model.topology import Topology
from headrace.runtime.system_execution_harness import SystemExecutionHarness
from headrace.runtime.wiring import Connection, Member


@dataclass(frozen=True, slots=True)
class PortPicture:
    """A port of a component: its name, what travels through it, whether it may stay unconnected."""

    name: str
    type: str = "Any"
    optional: bool = False
    fan_out: str = "broadcast"


@dataclass(frozen=True, slots=True)
class ComponentPicture:
    """A component: its name, ``module:name`` of what it is made of, and its ports."""

    name: str
    type: str = ""
    inputs: tuple[PortPicture, ...] = ()
    outputs: tuple[PortPicture, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkPicture:
    """A connection with its options."""

    sender: str
    output: str
    receiver: str
    input: str
    options: EdgeOptions = field(default_factory=EdgeOptions)
    fan_out: str = "broadcast"

    @property
    def label(self) -> str:
        """What is unusual about it: ports not called ``out`` and ``in``, and options that change what arrives."""
        ports = ""
        if self.output != "out" or self.input != "in":
            ports = f"{self.output} -> {self.input}"
        return ", ".join(part for part in (ports, *self.notes) if part)

    @property
    def notes(self) -> tuple[str, ...]:
        """The options that change what arrives."""
        full = () if self.options.when_full == "block" else (self.options.when_full,)
        order = () if self.fan_out == "broadcast" else (self.fan_out,)
        return (*full, *order, *(("copy",) if self.options.copy else ()))


@dataclass(frozen=True, slots=True)
class Picture:
    """A system to be drawn."""

    system: str
    components: tuple[ComponentPicture, ...]
    links: tuple[LinkPicture, ...]
    topology: Topology

    @classmethod
    def of(
        cls, system: str, components: tuple[ComponentPicture, ...], links: tuple[LinkPicture, ...]
    ) -> Picture:
        """Return the picture of these components and connections."""
        pairs = [(link.sender, link.receiver) for link in links]
        return cls(system, components, links, Topology.of([one.name for one in components], pairs))


def picture_of(harness: SystemExecutionHarness) -> Picture:
    """Return what there is to draw of a system."""
    members = harness.wiring.members
    components = tuple(_component(member) for member in members.values())
    links = tuple(_link(members, connection) for connection in harness.wiring.connections.values())
    return Picture.of(harness.name, components, links)


def _component(member: Member) -> ComponentPicture:
    made_of = getattr(member.component, "function", None)
    made_of = getattr(made_of, "fn", None) or type(member.component)
    made_of = getattr(made_of, "func", made_of)  # a partial has no name of its own
    module, name = getattr(made_of, "__module__", ""), getattr(made_of, "__qualname__", repr(made_of))
    inputs = dict.fromkeys(member.inlets, "broadcast")
    outputs = {name: outlet.options.fan_out for name, outlet in member.outlets.items()}
    return ComponentPicture(
        member.name,
        f"{module}:{name}",
        _ports(member.ports.inputs, inputs),
        _ports(member.ports.outputs, outputs),
    )


def _ports(declared: Mapping[str, Port] | None, used: Mapping[str, str]) -> tuple[PortPicture, ...]:
    names = dict.fromkeys([*(declared or ()), *used])
    ports = {name: (declared or {}).get(name) or Port(name) for name in names}
    return tuple(
        PortPicture(name, _type(port.type), port.optional, used.get(name, "broadcast"))
        for name, port in ports.items()
    )


def _type(kind: Any) -> str:
    return "Any" if kind is Any else type_name(kind)


def _link(members: Mapping[str, Member], connection: Connection) -> LinkPicture:
    sender, receiver = connection.sender, connection.receiver
    fan_out = members[sender.component].outlets[sender.port].options.fan_out
    return LinkPicture(
        sender.component, sender.port, receiver.component, receiver.port, connection.options, fan_out
    )


__all__ = ["ComponentPicture", "LinkPicture", "Picture", "PortPicture", "picture_of"]
