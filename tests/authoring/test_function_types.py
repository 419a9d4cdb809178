"""The types of a function's ports: one message at a time, without None and without what is rejected."""

from __future__ import annotations

import functools
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
)
from typing import Annotated, Any, Optional

import pytest

from headrace.authoring.function_component import component
from headrace.model.message import Rejected


def plain(item: int) -> str: ...
def optional(item: int) -> Optional[str]: ...  # noqa: UP045
def either(item: int) -> str | Rejected[int] | bytes | None: ...
def listed(item: int) -> list[str]: ...
def looped(item: int) -> Iterable[str]: ...
def noted(item: Annotated[int, "a note"]) -> Annotated[str, "a note"]: ...
def untyped(item): ...  # type: ignore[no-untyped-def]
def awaitable(item: int) -> Awaitable[str | None]: ...
def coroutine(item: int) -> Coroutine[Any, Any, str]: ...
def bare_awaitable(item: int) -> Awaitable: ...  # type: ignore[type-arg]


async def later(item: int) -> str | None: ...


def nothing(item: int) -> None: ...
def only_rejected(item: int) -> Rejected[int] | None: ...
async def nothing_later(item: int) -> None: ...


def generator(item: int) -> Iterator[str]:
    yield ""


def full_generator(item: int) -> Generator[str | None, None, None]:
    yield ""


def loose_generator(item: int) -> Iterable[str]:
    yield ""


def bare_generator(item: int) -> Iterator:  # type: ignore[type-arg]
    yield ""


async def async_generator(item: int) -> AsyncIterator[str | Rejected[int]]:
    yield ""


async def full_async_generator(item: int) -> AsyncGenerator[str, None]:
    yield ""


async def loose_async_generator(item: int) -> AsyncIterable[str]:
    yield ""


@functools.wraps(full_generator)
def wrapped(*args: Any) -> Any:
    return full_generator(*args)


def made_elsewhere(item: int) -> Generator[str, None, None]:
    return wrapped(item)


def any_iterator(item: int) -> Iterator[str]:
    return iter([""])


def sink_generator(item: int) -> Iterator[None]:
    yield None


@pytest.mark.parametrize(
    ("fn", "out"),
    [
        (plain, str),
        (optional, str),
        (either, str | bytes),
        (listed, list[str]),
        (looped, Iterable[str]),
        (noted, str),
        (untyped, Any),
        (awaitable, str),
        (coroutine, str),
        (bare_awaitable, Awaitable),
        (later, str),
        (generator, str),
        (full_generator, str),
        (loose_generator, str),
        (bare_generator, Any),
        (async_generator, str),
        (full_async_generator, str),
        (loose_async_generator, str),
        (wrapped, str),
        (made_elsewhere, str),
        (any_iterator, Any),
        pytest.param(functools.partial(plain), str, id="partial"),
    ],
    ids=lambda thing: getattr(thing, "__name__", str(thing)),
)
def test_an_output_carries_one_message_at_a_time(fn: Callable[..., Any], out: Any) -> None:
    table = component(fn).port_table
    assert table.outputs is not None
    assert table.outputs["out"].type == out
    assert table.outputs["rejected"].optional


@pytest.mark.parametrize("fn", [nothing, only_rejected, nothing_later, sink_generator])
def test_a_function_that_gives_nothing_has_no_output(fn: Callable[..., Any]) -> None:
    assert list(component(fn).port_table.outputs or ()) == ["rejected"]


@pytest.mark.parametrize("fn", [plain, noted, generator, later])
def test_an_input_takes_what_the_function_takes(fn: Callable[..., Any]) -> None:
    assert (component(fn).port_table.inputs or {})["in"].type is int
