"""The names by which a blueprint can say what a Python program says with an object.

The way back of `registry`: from a class or function to the name of its entry point, or `module:name`.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from headrace.authoring.function_component import ComponentFunction, component
from headrace.exceptions import ConfigError

from .registry import GROUP

_METHODS = ("setup", "process", "cleanup")


class TypeNames:
    """Finds the names of classes and functions; the installed packages are asked once."""

    def __init__(self) -> None:
        points = {(point.name, point.value) for point in entry_points(group=GROUP)}
        taken = Counter(name for name, _ in points)
        self._points = {value: name for name, value in sorted(points, reverse=True) if taken[name] == 1}

    def find(self, factory: Any) -> tuple[str, Any] | None:
        """Return the name of a class or function, and what is imported by it; None where it has none.

        The latter is ``factory``, except for a function that was made a component without a name of its own.
        """
        found = _found(factory)
        if found is None and isinstance(factory, ComponentFunction):
            found = _found(factory.fn)
        if found is None:
            return None
        module, qualname, target = found
        name = f"{module}:{qualname}"
        return self._points.get(name, name), target


def why_nameless(factory: Any) -> str:
    """Return why ``TypeNames.find`` gives nothing, and what to do."""
    inner = factory.fn if isinstance(factory, ComponentFunction) else factory
    if is_finished(inner):
        return f"is a finished {type(inner).__qualname__}: add its class and its settings instead"
    qualname = getattr(inner, "__qualname__", None)
    if not isinstance(qualname, str) or inspect.ismethod(inner):
        return f"is made by {inner!r}, which has no name: write a function of a module"
    if "<lambda>" in qualname:
        return "is made by a lambda, which has no name: write a function of a module"
    if "<locals>" in qualname:
        return f"is made by {qualname}, which exists only inside a function: move it out to its module"
    if inner.__module__ == "__main__":
        return f"is made by {qualname} of the program that runs: move it to a module of its own"
    return f"is made by {qualname}, which {inner.__module__} does not hold by that name: give it one there"


def is_finished(factory: Any) -> bool:
    """Whether a component was registered as an object that was made before, rather than as its type."""
    if isinstance(factory, (type, ComponentFunction)):
        return False
    return any(hasattr(factory, method) for method in _METHODS)


def settings_type_of(factory: Any) -> type | None:
    """Return the type that a component's settings are converted to; None where it takes them as they are."""
    if not isinstance(factory, (type, ComponentFunction)) and not is_finished(factory):
        try:
            factory = component(factory)
        except ConfigError:
            return None
    into = getattr(factory, "settings_type", None) or getattr(factory, "Config", None)
    return into if isinstance(into, type) else None


def _found(factory: Any) -> tuple[str, str, Any] | None:
    """Return module, name, and what is there: the very same object."""
    name, qualname = getattr(factory, "__module__", None), getattr(factory, "__qualname__", None)
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    if module is None or name is None:
        return None
    if isinstance(qualname, str) and _is_dotted_name(qualname) and _is_same(_get(module, qualname), factory):
        return name, qualname, factory
    for other, value in vars(module).items():
        if other.isidentifier() and _is_same(value, factory):
            return name, other, factory
    return None


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _get(module: ModuleType, qualname: str) -> Any:
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _is_same(found: Any, factory: Any) -> bool:
    return found is factory or (inspect.ismethod(factory) and inspect.ismethod(found) and found == factory)


__all__ = ["TypeNames", "is_finished", "settings_type_of", "why_nameless"]
