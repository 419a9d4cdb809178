"""Ports as values: their names and their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .type_fit import fits, misfit, type_name


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
    """The declared ports of a component.

    Attributes:
        inputs: Its inputs by name; None where it declares none and takes any name.
        outputs: Its outputs by name; None where it declares none and takes any name.
        where: File and line of its code.
        unresolved: A sentence for each port whose type cannot be resolved, so that it is not checked.
    """

    inputs: Mapping[str, Port] | None = None
    outputs: Mapping[str, Port] | None = None
    where: str = field(default="", compare=False)
    unresolved: tuple[str, ...] = field(default=(), compare=False)


__all__ = ["Port", "PortTable", "fits", "misfit", "type_name"]
