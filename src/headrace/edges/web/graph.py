"""The graph of a system as a record: what there is to draw, without any figure that moves."""

from __future__ import annotations

from headrace.model.folding import sub_systems
from headrace.model.picture import ComponentPicture, LinkPicture, PortPicture
from headrace.runtime.picture import picture_of
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from . import answers


def graph_of(harness: SystemExecutionHarness) -> answers.Graph:
    """Return the graph of a system."""
    picture, wiring = picture_of(harness), harness.wiring
    layers = picture.topology.layers
    depth = {name: len(layers) - 1 - number for number, layer in enumerate(layers) for name in layer}
    edges: dict[str, list[str]] = {}
    for key in wiring.edges:
        edges.setdefault(wiring.connection_of(key).key, []).append(key)
    return answers.Graph(
        system=picture.system,
        components=[
            _node(one, depth[one.name], [member.name for member in wiring.members_of(one.name)])
            for one in picture.components
        ],
        links=[_link(one, edges) for one in picture.links],
        sub_systems={
            name: list(parts) for name, parts in sub_systems(one.name for one in picture.components).items()
        },
        cycles=[list(cycle) for cycle in picture.topology.cycles],
    )


def _node(one: ComponentPicture, layer: int, members: list[str]) -> answers.Node:
    return answers.Node(
        name=one.name,
        type=one.type,
        title=one.title,
        layer=layer,
        inputs=[_port(port) for port in one.inputs],
        outputs=[_port(port) for port in one.outputs],
        replicas=members,
        run_in=one.run_in,
    )


def _port(one: PortPicture) -> answers.Port:
    return answers.Port(name=one.name, type=one.type, optional=one.optional, fan_out=one.fan_out)


def _link(one: LinkPicture, edges: dict[str, list[str]]) -> answers.Link:
    return answers.Link(
        name=one.name,
        sender=one.sender,
        output=one.output,
        receiver=one.receiver,
        input=one.input,
        label=one.label,
        capacity=one.options.buffer_size,
        when_full=one.options.when_full,
        edges=edges.get(one.name, []),
    )


__all__ = ["graph_of"]
