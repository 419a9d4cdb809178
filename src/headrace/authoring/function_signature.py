"""What a function says about itself as a component: its message, its settings, its ports.

Read once, when it is decorated, so that what does not fit is an error there.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, is_typeddict

import msgspec

from headrace.exceptions import ConfigError
from headrace.model.message import Meta, Rejected
from headrace.model.port import Port, PortTable
from headrace.model.settings import can_convert

from .annotations import hints_of_function, read_function
from .resource import ResourceNeed, resource_need

_ITERATORS = (Generator, Iterator, Iterable, AsyncGenerator, AsyncIterator, AsyncIterable)
_GENERATORS = (Generator, AsyncGenerator)
_AWAITABLES = (Awaitable, Coroutine)
_BUILTINS = (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)


def title(fn: Any) -> str:
    """Return a function's name for people."""
    return getattr(fn, "__qualname__", None) or repr(fn)


def yields(fn: Callable[..., Any]) -> bool:
    """Return whether calling ``fn`` gives a generator, synchronous or not."""
    inner = underlying(fn)
    return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)


def is_async(fn: Callable[..., Any]) -> bool:
    """Return whether ``fn`` is an ``async def`` of a message, a generator or not."""
    inner = underlying(fn)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)


def is_truthful(fn: Callable[..., Any]) -> bool:
    """Return whether a function says that it returns or yields only messages whose truth is cheap to ask, or None.

    Then a result that is true is a message, unless the annotation is wrong. What a wrapper returns is not what it
    says.
    """
    inner = underlying(fn)
    kind = _bare(read_function(inner).types.get("return", Any))
    kind = _bare(_produced(fn, kind)) if yields(fn) else kind
    return not hasattr(inner, "__wrapped__") and _has_cheap_truth(kind)


def _has_cheap_truth(kind: Any) -> bool:
    """Whether asking an object of a type for its truth calls no code of others."""
    if get_origin(kind) in (Union, types.UnionType):
        return all(member is type(None) or _has_cheap_truth(member) for member in get_args(kind))
    kind = get_origin(kind) or kind
    if kind in _BUILTINS or is_typeddict(kind):
        return True
    plain = type(kind) in (type, type(msgspec.Struct)) and kind not in (object, type(None), Rejected)
    return plain and not any(hasattr(kind, name) for name in ("__bool__", "__len__", "__await__", "__iter__"))


def underlying(fn: Any) -> Any:
    """Return the plain function behind a partial, a bound method or a callable object."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif inspect.ismethod(fn):
            fn = fn.__func__
        elif inspect.isroutine(fn) or isinstance(fn, type):
            return fn
        else:
            fn = type(fn).__call__


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a function, by what they are for.

    Attributes:
        message: The name of the message parameter; None for a source.
        settings: The type of the settings: its keyword-only parameters.
        resources: The keyword-only parameters that are resources of the system.
        meta: The keyword-only parameter that takes the ``Meta`` of a message; empty where there is none.
    """

    message: str | None
    settings: type[msgspec.Struct]
    resources: Mapping[str, ResourceNeed]
    meta: str


def parameters(fn: Callable[..., Any]) -> Parameters:
    """Return what the parameters of a function are for.

    Raises:
        ConfigError: The parameters are not at most one message and settings after a ``*``.
    """
    message: str | None = None
    named: list[inspect.Parameter] = []
    for parameter in _signature(fn).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            named.append(parameter)
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{title(fn)} takes *args or **kwargs", hint="name its settings after a *")
        elif message is None:
            message = parameter.name
        elif parameter.default is parameter.empty:
            hint = "give the bound method to component()" if message == "self" else "write settings after a *"
            raise ConfigError(f"{title(fn)} takes two messages", hint=hint)
    return _sorted_out(fn, message, named)


def _sorted_out(fn: Any, message: str | None, named: list[inspect.Parameter]) -> Parameters:
    """Tell settings, resources and ``meta`` apart among the keyword-only parameters."""
    fields: list[tuple[str, Any, Any]] = []
    resources: dict[str, ResourceNeed] = {}
    meta = ""
    hints = hints_of_function(underlying(fn))
    for parameter in named:
        kind = hints.get(parameter.name, Any)
        need = resource_need(parameter.name, kind, optional=parameter.default is not parameter.empty)
        if need is not None:
            resources[need.name] = need
        elif _bare(kind) is Meta:
            meta = parameter.name
        else:
            fields.append(_field(parameter, kind))
    if meta and message is None:
        raise ConfigError(f"{title(fn)} is a source: there is no message to have a Meta", hint="leave it out")
    settings = msgspec.defstruct("Settings", fields, forbid_unknown_fields=True, kw_only=True)
    return Parameters(message, settings, resources, meta)


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    if isinstance(fn, type):
        raise ConfigError(
            f"{title(fn)} is a class", hint="add a component class as it is, without @component"
        )
    if not callable(fn):
        raise ConfigError(f"{fn!r} is no function", hint="decorate a def, or give component() a callable")
    try:
        return inspect.signature(fn)
    except ValueError:
        raise ConfigError(f"{title(fn)} shows no signature", hint="wrap it in a function or lambda") from None


def _field(parameter: inspect.Parameter, kind: Any) -> tuple[str, Any, Any]:
    """Return a field for msgspec; a type it cannot check is taken as it comes."""
    checked = kind if can_convert(kind) else Any
    if parameter.default is parameter.empty:
        return parameter.name, checked, msgspec.NODEFAULT
    return parameter.name, checked, msgspec.field(default_factory=lambda: parameter.default)


def ports(fn: Callable[..., Any], message: str | None) -> PortTable:
    """Return the ports of a function: ``in``, ``out`` where anything is returned, and ``rejected``."""
    read = read_function(underlying(fn))
    hints = {name: _bare(kind) for name, kind in read.types.items()}
    inputs = {} if message is None else {"in": Port("in", hints.get(message, Any))}
    outputs: dict[str, Port] = {}
    kept = _without_none_and_rejected(_produced(fn, hints.get("return", Any)))
    if kept is not type(None):
        outputs["out"] = Port("out", kept)
    outputs["rejected"] = Port("rejected", Rejected, optional=True)
    code = getattr(inspect.unwrap(underlying(fn)), "__code__", None)
    where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
    named = {message or "": "in", "return": "out"}
    return PortTable(inputs, outputs, where=where, unresolved=read.unchecked(named))


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _produced(fn: Callable[..., Any], returned: Any) -> Any:
    """Return the type of what comes out, one at a time."""
    origin = get_origin(returned) or returned
    if origin in _GENERATORS or (yields(fn) and origin in _ITERATORS):
        return (get_args(returned) or (Any,))[0]
    if origin in (Iterator, AsyncIterator):
        return Any  # a generator that was made elsewhere is taken apart, any other iterator is a message
    if origin in _AWAITABLES and get_args(returned):
        return get_args(returned)[-1]
    return returned


def _without_none_and_rejected(produced: Any) -> Any:
    """Return the type that travels through ``out``; ``NoneType`` where nothing does."""
    if produced is None:
        return type(None)
    if get_origin(produced) not in (Union, types.UnionType):
        return type(None) if _is_rejected(produced) else produced
    members = [m for m in get_args(produced) if m is not type(None) and not _is_rejected(m)]
    return Union[tuple(members)] if members else type(None)  # noqa: UP007


def _is_rejected(kind: Any) -> bool:
    return (get_origin(kind) or kind) is Rejected


__all__ = ["Parameters", "is_async", "is_truthful", "parameters", "ports", "title", "underlying", "yields"]
