"""What is known of resources before they are opened: the settings of their factories, and who asks for them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec

from headrace.model.scope import seen_from
from headrace.model.settings import can_convert

from .wiring import Member, Wiring

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def settings_of(factory: Any) -> type[msgspec.Struct] | None:
    """Return what a factory takes, as a type to check settings with; None where that is not known."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None
    kinds = {parameter.kind for parameter in parameters.values()}
    named = {name: value for name, value in parameters.items() if value.kind in _NAMED}
    if inspect.Parameter.VAR_KEYWORD in kinds or len(named) < len(parameters):
        return None
    hints = _hints(factory)
    fields: list[Any] = [(n, hints.get(n, Any)) for n, value in named.items() if value.default is value.empty]
    fields += [
        (name, hints.get(name, Any), msgspec.field(default=None))
        for name, value in named.items()
        if value.default is not value.empty
    ]
    return msgspec.defstruct("Settings", fields)


def _hints(factory: Any) -> dict[str, Any]:
    """Return the types of a factory's parameters, as far as settings can be checked against them."""
    try:
        found = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (TypeError, NameError, AttributeError):  # a name that exists for type checkers only
        return {}
    return {name: kind for name, kind in found.items() if can_convert(kind)}


def unused_resources(wiring: Wiring) -> Iterator[str]:
    """Yield the resources that no component asks for, by their names in the system."""
    used: set[str] = set()
    for member in wiring.members.values():
        seen = seen_from(member.name, {name: name for name in wiring.resources})
        wanted = seen if _takes_any(member) else member.needs
        used |= {name for short, name in seen.items() if short in wanted}
    yield from (name for name in wiring.resources if name not in used)


def _takes_any(member: Member) -> bool:
    """Return whether a component reads ``context.resources``, where any of them may be meant."""
    for cls in type(member.component).__mro__:
        if cls.__module__.partition(".")[0] != "headrace" and cls is not object:
            functions = [value for value in vars(cls).values() if isinstance(value, types.FunctionType)]
            if any("resources" in function.__code__.co_names for function in functions):
                return True
    return False


__all__ = ["settings_of", "unused_resources"]
