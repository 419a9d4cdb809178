"""From what users name (an object, a class, a function) to a component of that name."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Mapping
from types import CodeType
from typing import Any

from headrace.exceptions import ConfigError, NotAComponentError
from headrace.model.options import Attempts

from .component import ComponentLike
from .function_component import ComponentFunction, component

_METHODS = ("setup", "process", "cleanup")


def build_component(
    name: str,
    factory: Any,
    config: Mapping[str, Any] | None = None,
    *,
    attempts: Attempts | None = None,
) -> ComponentLike:
    """Make a component from a class, a decorated or plain function, or take an object that is one.

    Args:
        name: The component's name.
        factory: A class called as ``factory(name, config)``, a function (or method, partial, callable
            object), or a finished component.
        config: Its settings; not for a finished component.
        attempts: How a function component works on its messages; of any other only ``attempts`` and ``on_error``
            count, which say how often a message comes again after a crash.

    Raises:
        ConfigError: The settings do not fit.
        NotAComponentError: The result has no ``setup``, ``process`` or ``cleanup``, or one is no coroutine.
    """
    made: Any
    function = component(factory) if _is_plain_function(factory) else factory
    if isinstance(function, ComponentFunction):
        made = function.build(name, config, attempts=attempts)
    elif attempts is not None and attempts != Attempts(attempts.attempts, attempts.on_error):
        raise ConfigError(
            f"{name}: concurrency, run_in and the like are for function components", field="run_in"
        )
    elif isinstance(factory, type):
        made = _from_class(name, factory, config)
    elif config:
        raise ConfigError(f"{name}: a finished component takes no settings here: {', '.join(config)}")
    else:
        made = factory
    return require_component(name, made)


def require_component(name: str, made: Any) -> ComponentLike:
    """Return ``made`` (a component or its class) if it has the three methods of a component.

    Raises:
        NotAComponentError: A method is missing or cannot be awaited; the message names it.
    """
    missing = [method for method in _METHODS if not callable(getattr(made, method, None))]
    if missing:
        kind = made if isinstance(made, type) else type(made)
        raise NotAComponentError(
            f"{name}: {kind.__name__} has no {', '.join(f'{m}()' for m in missing)}",
            hint="a component has async setup, process and cleanup",
        )
    for method in _METHODS:
        reason = _why_it_does_nothing(getattr(made, method), may_be_plain=method != "process")
        if reason:
            kind = made if isinstance(made, type) else type(made)
            raise NotAComponentError(
                f"{name}: {kind.__name__}.{method}() {reason}", hint=f"write `async def {method}`"
            )
    return made  # type: ignore[no-any-return]


def _why_it_does_nothing(method: Any, *, may_be_plain: bool) -> str:
    """Return why awaiting a call of a method surely fails; a plain ``def`` may return a coroutine."""
    if inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method):
        return "is a generator, because it has a yield"
    is_plain = inspect.isroutine(method) and not (may_be_plain or inspect.iscoroutinefunction(method))
    code = getattr(method, "__code__", None)
    return "is no coroutine function" if is_plain and code is not None and _returns_none(code) else ""


def _returns_none(code: CodeType) -> bool:
    """Return whether a function returns nothing but None, wherever it returns."""
    ends: list[object] = []
    before = None
    for step in dis.get_instructions(code):
        if step.opname == "RETURN_CONST":
            ends.append(step.argval)
        elif step.opname == "RETURN_VALUE":
            is_constant = before is not None and before.opname == "LOAD_CONST"
            ends.append(before.argval if before is not None and is_constant else step)
        before = step
    return all(end is None for end in ends)


def _is_plain_function(factory: Any) -> bool:
    """Whether it can only be meant as the function of a component: callable, no class, no component."""
    is_factory = isinstance(factory, (type, ComponentFunction))
    return callable(factory) and not is_factory and not any(hasattr(factory, name) for name in _METHODS)


def _from_class(name: str, cls: type, config: Mapping[str, Any] | None) -> Any:
    require_component(name, cls)
    if _takes(cls, name, config):
        return cls(name, config)
    if _takes(cls) and not config:
        return cls()
    raise ConfigError(
        f"{name}: {cls.__name__} cannot be called as {cls.__name__}(name, config)",
        hint="define __init__(self, name, config), or register an object that you made",
    )


def _takes(cls: type, *args: Any) -> bool:
    try:
        inspect.signature(cls).bind(*args)
    except TypeError:
        return False
    except ValueError:  # a class implemented in C shows no signature
        return True
    return True


__all__ = ["build_component", "require_component"]
