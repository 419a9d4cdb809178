"""Sub-systems, as the names of components tell them, and pictures in which each of some is a single box."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from .picture import ComponentPicture, LinkPicture, Picture, PortPicture


def sub_systems(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the sub-systems and the components in each; what is in ``a/b`` is in ``a``, too.

    One that is called like a component is left out: the two could not be told apart.

    Args:
        names: The names of all components; ``a/b`` is the component ``b`` of the sub-system ``a``.
    """
    found: dict[str, list[str]] = {}
    names = tuple(names)
    for name in names:
        for around in _around(name):
            found.setdefault(around, []).append(name)
    return {name: tuple(parts) for name, parts in found.items() if name not in names}


def folded(picture: Picture, boxes: Collection[str]) -> Picture:
    """Return a picture with one box in the place of each of these sub-systems.

    Connections keep their names, also where they lead to a box now; those within a box are not in it.

    Args:
        picture: The whole picture.
        boxes: Names of sub-systems; one that is in another counts only where that is none of them.
    """
    place = {one.name: _outermost(one.name, boxes) for one in picture.components}
    if all(name == box for name, box in place.items()):
        return picture
    links = tuple(_between(link, place) for link in picture.links if not _is_within(link, place))
    components: dict[str, ComponentPicture] = {}
    for one in picture.components:
        box = place[one.name]
        components.setdefault(box, one if box == one.name else _box(box, links))
    return Picture.of(picture.system, tuple(components.values()), links)


def _around(name: str) -> list[str]:
    return [name[:place] for place, letter in enumerate(name) if letter == "/" and place]


def _outermost(name: str, boxes: Collection[str]) -> str:
    return next((around for around in _around(name) if around in boxes), name)


def _is_within(link: LinkPicture, place: dict[str, str]) -> bool:
    """Whether a connection is within a box."""
    box = place[link.sender]
    return box == place[link.receiver] and box != link.sender


def _between(link: LinkPicture, place: dict[str, str]) -> LinkPicture:
    sender, receiver = place[link.sender], place[link.receiver]
    return replace(
        link,
        sender=sender,
        output=_port(link.sender, sender, link.output),
        receiver=receiver,
        input=_port(link.receiver, receiver, link.input),
        named=link.name,
    )


def _port(component: str, box: str, port: str) -> str:
    """Return the name of a port, as it is seen at a box: with the component that it belongs to."""
    return port if component == box else f"{component[len(box) + 1 :]}.{port}"


def _box(name: str, links: Iterable[LinkPicture]) -> ComponentPicture:
    inputs = dict.fromkeys(link.input for link in links if link.receiver == name)
    outputs = dict.fromkeys(link.output for link in links if link.sender == name)
    return ComponentPicture(
        name, "", tuple(PortPicture(one) for one in inputs), tuple(PortPicture(one) for one in outputs)
    )


__all__ = ["folded", "sub_systems"]
