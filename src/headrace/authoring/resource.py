"""Shared resources as types: ``db: Resource[Pool]`` asks for the resource ``db`` of the system.

To a type checker it is a ``Pool``; the runtime reads the mark and puts the opened resource there.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from .annotations import read_class

T = TypeVar("T")


class _Mark:
    """Tells a resource from any other annotation."""

    def __repr__(self) -> str:
        return "resource"


_MARK = _Mark()

Resource = Annotated[T, _MARK]
"""A shared resource of the system, by the name of the parameter or attribute that it annotates."""


@dataclass(frozen=True, slots=True)
class ResourceNeed:
    """A resource that a component asks for.

    Attributes:
        name: Its name in the system, and that of the parameter or attribute.
        type: What it should be; ``Any`` where nothing was said.
        optional: Whether the component goes without it where the system has none.
    """

    name: str
    type: Any = Any
    optional: bool = False


_needs: WeakKeyDictionary[type, Mapping[str, ResourceNeed]] = (
    WeakKeyDictionary()
)  # reading a class takes 150 us


def resource_need(name: str, annotation: Any, *, optional: bool = False) -> ResourceNeed | None:
    """Return what an annotation asks for; None where it is no ``Resource[...]``."""
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) != 1:
            return None
        annotation, optional = members[0], True
    if get_origin(annotation) is not Annotated or _MARK not in annotation.__metadata__:
        return None
    kind = get_args(annotation)[0]
    return ResourceNeed(name, Any if isinstance(kind, TypeVar) else kind, optional)


def resources_of(component: object) -> Mapping[str, ResourceNeed]:
    """Return the resources that a component (or its class) asks for, by name."""
    own = getattr(component, "resource_needs", None)
    if isinstance(own, Mapping):
        return own
    cls = component if isinstance(component, type) else type(component)
    needs = _needs.get(cls)
    if needs is None:
        read = list(read_class(cls, {"Resource": Resource}))
        hints = {name: kind for one in read for name, kind in one.types.items()}
        needs = _by_name(resource_need(name, kind) for name, kind in hints.items())
        if not any(one.unresolved for one in read):  # what is missing now may be there the next time
            _needs[cls] = needs
    return needs


def _by_name(needs: Iterable[ResourceNeed | None]) -> dict[str, ResourceNeed]:
    return {need.name: need for need in needs if need is not None}


__all__ = ["Resource", "ResourceNeed", "resource_need", "resources_of"]
