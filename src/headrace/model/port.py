"""Ports as values: their names, their types, and whether what is sent fits what is accepted."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin


@dataclass(frozen=True, slots=True)
class Port:
    """One port of a component.

    Attributes:
        name: As written in connections, without a trailing underscore.
        type: What travels through it; ``Any`` where nothing was said.
        optional: Whether it may stay unconnected without a word.
        attribute: The attribute of the component that holds the stream; empty where there is none.
    """

    name: str
    type: Any = Any
    optional: bool = False
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class PortTable:
    """The declared ports of a component; ``None`` where a direction declares nothing and takes any name."""

    inputs: Mapping[str, Port] | None = None
    outputs: Mapping[str, Port] | None = None
    where: str = field(default="", compare=False)


def type_name(kind: Any) -> str:
    """Return a type as a person writes it."""
    if kind is type(None):
        return "None"
    return (
        kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
    )


def fits(sent: Any, accepted: Any) -> bool:
    """Return whether everything of type ``sent`` may go where ``accepted`` is expected.

    What cannot be decided (type variables, protocols with members unknown here) is taken to fit.
    """
    sent, accepted = _plain(sent), _plain(accepted)
    if sent is Any or accepted is Any or accepted is object or sent == accepted:
        return True
    if _is_union(sent):
        return all(fits(member, accepted) for member in get_args(sent))
    if _is_union(accepted):
        return any(fits(sent, member) for member in get_args(accepted))
    return _classes_fit(sent, accepted)


def _plain(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is None:
        return type(None)
    return Any if isinstance(kind, (TypeVar, str)) else kind


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _classes_fit(sent: Any, accepted: Any) -> bool:
    sent_class, accepted_class = get_origin(sent) or sent, get_origin(accepted) or accepted
    if not isinstance(sent_class, type) or not isinstance(accepted_class, type):
        return True
    if getattr(accepted_class, "_is_protocol", False):
        return True
    if sent_class is int and accepted_class is float:
        return True
    if not issubclass(sent_class, accepted_class):
        return False
    sent_args, accepted_args = get_args(sent), get_args(accepted)
    if sent_class is not accepted_class or len(sent_args) != len(accepted_args):
        return True
    return all(fits(one, other) for one, other in zip(sent_args, accepted_args, strict=True))


__all__ = ["Port", "PortTable", "fits", "type_name"]
