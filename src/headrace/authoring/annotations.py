"""Annotations as types, one by one: a name that only a type checker sees must not hide all the others."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, get_type_hints


def hints_of_class(cls: type, fallback: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class and its bases, resolved; the most derived one counts.

    Args:
        cls: The class.
        fallback: Names that are known even where only a type checker imports them.
    """
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        module = sys.modules.get(base.__module__)
        own = inspect.get_annotations(base)
        names = vars(module) if module is not None else {}
        found.update({name: _resolve(text, names, vars(base), fallback) for name, text in own.items()})
    return found


def hints_of_function(fn: Any) -> dict[str, Any]:
    """Return the annotations of a function, resolved, ``Annotated`` kept."""
    names = getattr(fn, "__globals__", {})
    own = getattr(fn, "__annotations__", {})
    return {name: _resolve(annotation, names, {}, {}) for name, annotation in own.items()}


def _resolve(
    annotation: Any, names: dict[str, Any], inner: Mapping[str, Any], fallback: Mapping[str, Any]
) -> Any:
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(holder, names, inner, include_extras=True)["it"]
    except Exception:  # whatever an expression can raise: read it with Any for what is unknown here
        return _resolve_leniently(annotation, {**vars(builtins), **fallback, **names, **inner})


def _resolve_leniently(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, {}, _Lenient(names))
    except Exception:  # not even so; it is nothing that we could check
        return Any


class _Lenient(dict[str, Any]):
    """Names, where an unknown one is ``Any``, and so is what hangs on it."""

    def __missing__(self, name: str) -> Any:
        return _Unknown()


class _Unknown:
    """Stands for a name known to type checkers only; ``pkg.Thing[int]`` hangs together as one unknown."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, item: object) -> Any:
        return self

    def __or__(self, other: object) -> Any:
        return self

    __ror__ = __or__

    def __repr__(self) -> str:
        return "Any"


__all__ = ["hints_of_class", "hints_of_function"]
