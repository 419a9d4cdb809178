"""Which neighbours in a graph may work in one task: decided from its shape alone, before anything runs.

Between two fused components messages pass by without lying on the edge; so it must be an edge on which nobody
could tell the difference: the only one of both its ports, lossless, not part of a cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .endpoint import Endpoint
from .options import EdgeOptions, OutputOptions

LONGEST_RUN = 32
"""How many components work in one task at most: each is a few calls deeper in Python's stack."""


@dataclass(frozen=True, slots=True)
class Fusable:
    """What there is to know about a component.

    Attributes:
        sends: Whether others may work in its task: a synchronous function that may be fused.
        receives: Whether it may work in the task of another: a synchronous function of a message, likewise.
    """

    sends: bool = False
    receives: bool = False


_UNKNOWN = Fusable()  # several replicas behind one name


@dataclass(frozen=True, slots=True)
class Joint:
    """A connection as fusing sees it: from an output to an input, with the options of its edge and its output."""

    key: str
    sender: Endpoint
    receiver: Endpoint
    edge: EdgeOptions = field(default_factory=EdgeOptions)
    output: OutputOptions = field(default_factory=OutputOptions)


def fused_joints(
    components: Mapping[str, Fusable], joints: Iterable[Joint], cycles: Iterable[Collection[str]] = ()
) -> tuple[Joint, ...]:
    """Return the connections at which two components become one task, in the order of the graph.

    Args:
        components: What there is to know about them, by name.
        joints: All connections.
        cycles: The cyclic parts of the graph; nothing in them is fused.
    """
    every = list(joints)
    leaving = Counter(joint.sender for joint in every)
    entering = Counter(joint.receiver for joint in every)
    in_cycles = {name for cycle in cycles for name in cycle}
    hasty = {joint.sender.component for joint in every if not _is_calm(joint)}
    found = {
        joint.sender.component: joint
        for joint in every
        if leaving[joint.sender] == entering[joint.receiver] == 1
        and joint.sender.port == "out"
        and joint.edge.when_full == "block"
        and _is_calm(joint)
        and components.get(joint.sender.component, _UNKNOWN).sends
        and components.get(joint.receiver.component, _UNKNOWN).receives
        and not {joint.sender.component, joint.receiver.component} & in_cycles
        and joint.receiver.component not in hasty
    }
    return tuple(_cut(found))


def _is_calm(joint: Joint) -> bool:
    """Whether sending on it cannot raise: an error there is one of the sender, and of no other task."""
    return not joint.edge.copy and joint.edge.when_full != "error" and joint.output.key is None


def _cut(found: Mapping[str, Joint]) -> Iterable[Joint]:
    """Follow each run from its head, and leave out the joints at which it would become too long."""
    followers = {joint.receiver.component for joint in found.values()}
    for head in found:
        if head in followers:
            continue
        name, length = head, 1
        while name in found:
            length += 1
            if length > LONGEST_RUN:
                length = 1
            else:
                yield found[name]
            name = found[name].receiver.component


__all__ = ["LONGEST_RUN", "Fusable", "Joint", "fused_joints"]
