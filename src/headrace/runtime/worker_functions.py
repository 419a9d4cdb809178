"""Which functions can run in a thread or a worker process, and how one travels: by name, never by value."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from headrace.authoring.function_component import ComponentFunction
from headrace.authoring.function_signature import title, underlying
from headrace.exceptions import ConfigError, NotPicklableError
from headrace.model.options import RunIn

from .worker_frames import pickled

AwayFrom = Literal["thread", "process"]

TOP_LEVEL = "write it as a def at the top level of a module"

importing = False
"""Whether this is a worker process that has not imported its function yet."""


def refuse_unportable(
    function: ComponentFunction[..., Any],
    run_in: AwayFrom = "process",
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Refuse a function that cannot run outside the loop.

    Args:
        function: The decorated function.
        run_in: Where it is to run.
        settings: Its settings, where they are known: they travel to a process.

    Raises:
        ConfigError: It cannot run there; says why, and what to do.
    """
    for why, hint in _reasons(function, run_in, settings or {}):
        raise ConfigError(f"run_in: {run_in}: {title(function.fn)} {why}", hint=hint, field="run_in")


def check_where(function: ComponentFunction[..., Any], run_in: RunIn, settings: Mapping[str, Any]) -> None:
    """Refuse a function that cannot run where it is to run; for when a system is put together.

    A worker process puts it together once more, while it imports the program, and need not look again.

    Raises:
        ConfigError: It cannot run there.
    """
    if run_in != "loop" and not importing:
        refuse_unportable(function, run_in, settings)


def _reasons(
    function: ComponentFunction[..., Any], run_in: AwayFrom, settings: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield what is against it, and the mend."""
    inner = underlying(function.fn)
    if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
        yield "is async", "leave run_in out, or make it a plain def, which may block"
    if function.message_parameter is None:
        yield (
            "is a source",
            "let it yield in the loop, and give the work on a message to a component after it",
        )
    if run_in == "process":
        yield from _reasons_against_travelling(function)
        yield from _reasons_in_settings(settings)
        if importing:
            yield "would be started by its own worker process", _GUARD


_GUARD = "the program runs again there: put what starts the system under if __name__ == '__main__':"


def _reasons_against_travelling(function: ComponentFunction[..., Any]) -> Iterator[tuple[str, str]]:
    fn = function.fn
    if function.resource_needs:
        wanted = ", ".join(function.resource_needs)
        yield (
            f"asks for resources ({wanted}), which stay here",
            "run_in: thread, or open them in the function",
        )
    if function.meta_parameter:
        yield (
            "asks for the Meta of a message, which stays here",
            "run_in: thread, or send what it needs along",
        )
    if isinstance(fn, functools.partial):
        yield "is a partial", "make the bound arguments settings: keyword-only parameters"
    elif inspect.ismethod(fn):
        yield "is a bound method, whose object stays here", TOP_LEVEL
    elif not inspect.isroutine(fn):
        yield "is an object that can be called, which stays here", TOP_LEVEL
    elif "<lambda>" in fn.__qualname__:
        yield "is a lambda, which has no name to find it by", TOP_LEVEL
    elif "<locals>" in fn.__qualname__:
        yield "is defined inside a function, where no other process finds it", TOP_LEVEL
    else:
        yield from _reasons_against_its_name(fn)


def _reasons_against_its_name(fn: Any) -> Iterator[tuple[str, str]]:
    if fn.__module__ == "__main__" and not main_program():
        yield (
            "is defined in a program that no other process can import",
            "move it to a module of its own: this one is typed in, a notebook, or a package's __main__",
        )
    try:
        found = find_function(function_path(fn))
    except (ImportError, AttributeError, TypeError) as error:
        yield f"is not found as '{function_path(fn)}': {error}", TOP_LEVEL
    else:
        if found is not fn:
            yield f"is not what '{function_path(fn)}' names", "give each of the two a name of its own"


def _reasons_in_settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        pickled(dict(settings), "a setting")
    except NotPicklableError as error:
        yield f"has a setting that cannot travel: {error}", "use plain values"


def function_path(fn: Any) -> str:
    """Return ``module:qualname``."""
    return f"{fn.__module__}:{fn.__qualname__}"


def find_function(path: str) -> Callable[..., Any]:
    """Return the plain function of ``module:qualname``, taken out of its ``@component``.

    Raises:
        ImportError: There is no such module.
        AttributeError: It has no such name.
        TypeError: The name is of something that cannot be called.
    """
    module, _, qualname = path.partition(":")
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    if isinstance(found, ComponentFunction):
        found = found.fn
    if not callable(found):
        raise TypeError(f"it is a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def main_program() -> dict[str, str]:
    """Return how ``multiprocessing.spawn.prepare`` imports the program that runs here; empty where it cannot."""
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        importable = name != "__main__" and not name.endswith(".__main__")
        return {"init_main_from_name": name} if importable else {}
    path = getattr(main, "__file__", None)
    if path is None or not os.path.isfile(path):
        return {}
    return {"init_main_from_path": os.path.abspath(path)}


def preparation() -> dict[str, Any]:
    """Return what makes a fresh interpreter import as this one does.

    Classes of the program come back as ``__mp_main__``'s, so that name is made known, as multiprocessing does.
    """
    sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
    paths = [path or os.getcwd() for path in sys.path]
    return {"sys_path": paths, "sys_argv": sys.argv, **main_program()}


__all__ = [
    "TOP_LEVEL",
    "AwayFrom",
    "check_where",
    "find_function",
    "function_path",
    "main_program",
    "preparation",
    "refuse_unportable",
]
