"""Replicas: several members behind one name, and how messages for that name are spread over them.

Whoever wires uses the name; each replica is a member of its own, ``name[0]``, ``name[1]``, ..., with its own
state, status, ports and edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.authoring.function_component import ComponentFunction
from headrace.exceptions import ConfigError
from headrace.model.options import OutputOptions, Replicas
from headrace.model.port import PortTable
from headrace.streams.edge import AnyEdge
from headrace.streams.spread import Group

from .member import Member


@dataclass(eq=False)
class ReplicaSet:
    """The replicas of one component.

    Attributes:
        name: The name they share.
        options: How many they are, and by what key messages are spread.
        members: The replicas.
        component: Their components.
        inputs: How messages are spread at the inputs of which something else was said.
    """

    name: str
    options: Replicas
    members: tuple[Member, ...]
    component: tuple[Any, ...] = field(init=False)
    inputs: dict[str, OutputOptions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.look_again()

    def look_again(self) -> None:
        """Take note that one of its members has another component."""
        self.component = tuple(member.component for member in self.members)

    @property
    def ports(self) -> PortTable:
        """What ports each of them declares."""
        return self.members[0].ports

    def spread_at(self, port: str) -> OutputOptions:
        """Return how the messages for an input are spread over the replicas."""
        key = self.options.key
        return self.inputs.get(port) or OutputOptions("balance" if key is None else "by_key", key)

    def new_group(self, port: str) -> Group[Any]:
        """Return a new target for an output that leads to an input; an edge to each replica belongs in it."""
        return Group(self.spread_at(port))


def replica_name(name: str, number: int) -> str:
    """Return what a replica is called: ``name[0]`` is the first."""
    return f"{name}[{number}]"


def can_be_replicated(factory: Any) -> bool:
    """Return whether it makes components, or is a function: not whether it is a finished one."""
    return isinstance(factory, (type, ComponentFunction)) or not hasattr(factory, "process")


def check_can_be_replicated(name: str, factory: Any) -> None:
    """Refuse what cannot be made several times.

    Raises:
        ConfigError: It is a finished component.
    """
    if not can_be_replicated(factory):
        raise ConfigError(
            f"{name}: a finished component cannot have replicas: {type(factory).__name__} is one object",
            hint="give the class, or the function, that makes it",
            field="replicas",
        )


def edges_of_target(edges: list[AnyEdge], message: Any) -> list[AnyEdge]:
    """Return the edges by which a message gets to an input, one sender's; none where nothing goes there any more.

    Args:
        edges: All edges that lead to the input, or to the same input of the replicas.
        message: The message.
    """
    edge = next((edge for edge in edges if not edge.ended), None)
    if edge is None:
        return []
    group = edge.outlet.group_of(edge)
    return [edge] if group is None else group.choose(message)


def names_of_replicas(sets: Mapping[str, ReplicaSet]) -> dict[str, tuple[str, ...]]:
    """Return the names of the replicas of each component that has some."""
    return {name: tuple(member.name for member in one.members) for name, one in sets.items()}


__all__ = [
    "ReplicaSet",
    "can_be_replicated",
    "check_can_be_replicated",
    "edges_of_target",
    "names_of_replicas",
    "replica_name",
]
