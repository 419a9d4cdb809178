"""``@component``: a plain function as a component.

A function with a message parameter maps, filters (None) or flat-maps (a generator); a generator
without one is a source. Keyword-only parameters are its settings.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints, overload

import anyio
import msgspec

from headrace.exceptions import ConfigError
from headrace.model.message import Rejected
from headrace.model.options import Attempts, OnError
from headrace.model.port import Port, PortTable
from headrace.model.settings import convert_settings

from .harness_component import HarnessComponent

P = ParamSpec("P")
R = TypeVar("R")

_ITERATORS = (Generator, Iterator, Iterable, AsyncGenerator, AsyncIterator)


class ComponentFunction(Generic[P, R]):
    """A function that is also a factory of components; calling it calls the function.

    Args:
        fn: The function.
        attempts: What becomes of a message on which it fails.

    Raises:
        ConfigError: The function's parameters do not fit.
    """

    def __init__(self, fn: Callable[P, R], attempts: Attempts) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.attempts = attempts
        self.message_parameter, self.settings_type = _parameters(fn)
        self.yields = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
        if self.message_parameter is None and not self.yields:
            raise ConfigError(
                f"{_title(fn)} takes no message, so it is a source, and a source is a generator",
                hint="yield the messages, or give it a message parameter",
            )
        self.port_table = _ports(fn, self.message_parameter, self.yields)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    def build(
        self, name: str, config: Mapping[str, Any] | None = None, *, attempts: Attempts | None = None
    ) -> FunctionComponent:
        """Make a component of this name; ``attempts`` replaces what the decorator said.

        Raises:
            ConfigError: The settings do not fit the function's keyword-only parameters.
        """
        return FunctionComponent(name, config, function=self, attempts=attempts or self.attempts)

    def __repr__(self) -> str:
        return f"<component {_title(self.fn)}>"


class FunctionComponent(HarnessComponent):
    """A component whose work is a function; made by ``ComponentFunction.build``."""

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        *,
        function: ComponentFunction[..., Any],
        attempts: Attempts,
    ) -> None:
        super().__init__(name)
        typed = convert_settings(config or {}, function.settings_type)
        self.config = msgspec.structs.asdict(typed)
        self.attempts = attempts
        self.function = function
        self.port_table = function.port_table

    async def process(self) -> None:
        """Run the function on each message, or send what the source yields."""
        if self.function.message_parameter is None:
            await self._run_source()
            return
        async for message in self.receive_streams["in"]:
            outputs = await self._attempt(message)
            for output in outputs:
                await self._send(output)

    async def _run_source(self) -> None:
        produced = self.function.fn(**self.config)
        async with aclosing(_as_async(produced)) as items:
            async for item in items:
                await self._send(item)
                if self.context is not None and self.context.stop_event.is_set():
                    return

    async def _attempt(self, message: object) -> list[Any]:
        """Return all outputs of a message, or none where it failed for good."""
        attempt = 1
        while True:
            try:
                return await self._call(message)
            except Exception as error:
                if attempt >= self.attempts.attempts:
                    return await self._give_up(message, error, attempt)
                attempt += 1
            await anyio.sleep(self.attempts.pause_before(attempt))

    async def _call(self, message: object) -> list[Any]:
        result = self.function.fn(message, **self.config)
        if self.function.yields:
            async with aclosing(_as_async(result)) as items:
                return [item async for item in items]
        if inspect.isawaitable(result):
            result = await result
        return [] if result is None else [result]

    async def _give_up(self, message: object, error: Exception, attempts: int) -> list[Any]:
        stream: Any = self.receive_streams["in"]
        action = self.attempts.on_error
        if action == "reject":
            return [Rejected(message, f"{type(error).__name__}: {error}")]
        if action == "drop":
            stream.settle("dropped", "on_error")
            return []
        put_away = None if self.context is None else self.context.dead_letter
        if action == "crash" or put_away is None:
            raise error
        await put_away(message, error, attempts=attempts, edge=stream.edge_in_hand)
        stream.settle("dead_lettered")
        return []

    async def _send(self, output: object) -> None:
        port = "rejected" if isinstance(output, Rejected) and "rejected" in self.send_streams else "out"
        stream = self.send_streams.get(port)
        if stream is not None:
            await stream.send(output)


@overload
def component(fn: Callable[P, R], /) -> ComponentFunction[P, R]: ...


@overload
def component(
    *, attempts: int = 3, on_error: OnError = "dead_letter", backoff: float = 0.05
) -> Callable[[Callable[P, R]], ComponentFunction[P, R]]: ...


def component(
    fn: Callable[P, R] | None = None,
    /,
    *,
    attempts: int = 3,
    on_error: OnError = "dead_letter",
    backoff: float = 0.05,
) -> ComponentFunction[P, R] | Callable[[Callable[P, R]], ComponentFunction[P, R]]:
    """Make a function a component; it stays callable as it was.

    Args:
        fn: A ``def``, ``async def``, generator or async generator. Its first positional parameter is the
            message; without one it is a source. Returning None lets the message go; returning or yielding
            ``Rejected(message, reason)`` sends it to the port ``rejected``.
        attempts: How often a message is tried in all.
        on_error: What happens after the last attempt: ``dead_letter``, ``reject``, ``drop`` or ``crash``.
        backoff: Seconds before the second attempt, doubling with each further one.

    Raises:
        ConfigError: An option or the function's parameters do not fit.
    """
    policy = Attempts(attempts, on_error, backoff)
    if fn is not None:
        return ComponentFunction(fn, policy)
    return lambda later: ComponentFunction(later, policy)


async def _as_async(items: Any) -> AsyncGenerator[Any, None]:
    if hasattr(items, "__aiter__"):
        async with aclosing(items):
            async for item in items:
                yield item
        return
    try:
        for item in items:
            yield item
    finally:
        items.close()


def _title(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", repr(fn))


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(fn)
    except (NameError, TypeError, AttributeError):  # a name that only a type checker can see
        return {}


def _parameters(fn: Callable[..., Any]) -> tuple[str | None, type[msgspec.Struct]]:
    message: str | None = None
    settings: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    hints = _hints(fn)
    for parameter in inspect.signature(fn).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            kind = hints.get(parameter.name, Any)
            missing = parameter.default is parameter.empty
            settings.append((parameter.name, kind) if missing else (parameter.name, kind, parameter.default))
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{_title(fn)} takes *args or **kwargs", hint="name its settings after a *")
        elif message is None:
            message = parameter.name
        elif parameter.default is parameter.empty:
            raise ConfigError(f"{_title(fn)} takes two messages", hint="write settings after a *")
    name = f"{getattr(fn, '__name__', 'function')}_settings"
    return message, msgspec.defstruct(name, settings, forbid_unknown_fields=True, kw_only=True)


def _ports(fn: Callable[..., Any], message: str | None, yields: bool) -> PortTable:
    hints = _hints(fn)
    code = getattr(inspect.unwrap(fn), "__code__", None)
    inputs = {} if message is None else {"in": Port("in", hints.get(message, Any))}
    outputs: dict[str, Port] = {}
    produced = hints.get("return", Any)
    if yields and get_origin(produced) in _ITERATORS:
        produced = (get_args(produced) or (Any,))[0]
    kept = _without_none_and_rejected(produced)
    if kept is not type(None):
        outputs["out"] = Port("out", kept)
    outputs["rejected"] = Port("rejected", Rejected, optional=True)
    where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
    return PortTable(inputs, outputs, where=where)


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


__all__ = ["ComponentFunction", "FunctionComponent", "component"]
