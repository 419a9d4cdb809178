"""A system drawn for other programs: Mermaid, Graphviz's dot, and JSON."""

from __future__ import annotations

import json
from typing import Any

from headrace.model.picture import ComponentPicture, Picture, PortPicture, visible

_MERMAID = {ord(c): f"#{ord(c)};" for c in '#"&<>|`\\[]{}()'}
_SHAPES = {"source": ("([", "])"), "sink": ("[/", "/]"), "": ("[", "]")}


def draw_mermaid(picture: Picture) -> str:
    """Return the system as a Mermaid flowchart; sources are rounded, sinks slanted."""
    ids = _ids(picture)
    titles = {one.name: one.title for one in picture.components}
    lines = ["flowchart LR"]
    for name, key in ids.items():
        begin, end = _SHAPES[_role(picture, name)]
        lines.append(f'  {key}{begin}"{_for_mermaid(titles[name])}"{end}')
    for link in picture.links:
        label = f'|"{_for_mermaid(link.label)}"|' if link.label else ""
        lines.append(f"  {ids[link.sender]} -->{label} {ids[link.receiver]}")
    return "\n".join(lines)


def draw_dot(picture: Picture) -> str:
    """Return the system as a digraph for Graphviz."""
    ids = _ids(picture)
    titles = {one.name: one.title for one in picture.components}
    lines = [
        "digraph system {",
        f"  label={_for_dot(picture.system)};",
        "  labelloc=t;",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    for name, key in ids.items():
        lines.append(f"  {key} [label={_for_dot(titles[name])}];")
    for link in picture.links:
        label = f" [label={_for_dot(link.label)}]" if link.label else ""
        lines.append(f"  {ids[link.sender]} -> {ids[link.receiver]}{label};")
    return "\n".join([*lines, "}"])


def draw_json(picture: Picture) -> str:
    """Return the system as JSON: components with their ports, connections with their options."""
    shape = picture.topology
    content = {
        "system": picture.system,
        "components": [_component(one) for one in picture.components],
        "connections": [
            {
                "from": f"{link.sender}.{link.output}",
                "to": f"{link.receiver}.{link.input}",
                "buffer_size": link.options.buffer_size,
                "when_full": link.options.when_full,
                "copy": link.options.copy,
            }
            for link in picture.links
        ],
        "sources": list(shape.sources),
        "sinks": list(shape.sinks),
        "cycles": [list(cycle) for cycle in shape.cycles],
        "layers": [list(layer) for layer in reversed(shape.layers)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _component(one: ComponentPicture) -> dict[str, Any]:
    return {
        "name": one.name,
        "type": one.type,
        "replicas": one.replicas,
        "run_in": one.run_in,
        "concurrency": one.at_once,
        "ordered": one.ordered,
        "inputs": [_input(port, one.replicas) for port in one.inputs],
        "outputs": [{**_port(port), "fan_out": port.fan_out} for port in one.outputs],
    }


def _input(port: PortPicture, replicas: int) -> dict[str, Any]:
    return _port(port) if replicas == 1 else {**_port(port), "fan_out": port.fan_out}


def _port(port: PortPicture) -> dict[str, Any]:
    return {"name": port.name, "type": port.type, "optional": port.optional}


def _ids(picture: Picture) -> dict[str, str]:
    """Return a name of our own for each component: theirs may hold anything."""
    return {component.name: f"c{number}" for number, component in enumerate(picture.components)}


def _role(picture: Picture, name: str) -> str:
    if name in picture.topology.sources:
        return "source"
    return "sink" if name in picture.topology.sinks else ""


def _for_mermaid(text: str) -> str:
    return visible(text).translate(_MERMAID)


def _for_dot(text: str) -> str:
    return '"' + visible(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


__all__ = ["draw_dot", "draw_json", "draw_mermaid"]
