"""From what users name to a component: classes, functions of all kinds, finished objects, and clear refusals."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from headrace.authoring.component import Component
from headrace.authoring.factory import build_component
from headrace.authoring.function_component import FunctionComponent, component
from headrace.authoring.harness_component import HarnessComponent
from headrace.exceptions import ConfigError, NotAComponentError
from headrace.model.options import Attempts


class Half:
    async def setup(self, context: object = None) -> None: ...

    async def process(self) -> None: ...


class Nameless(Component):
    def __init__(self) -> None:
        super().__init__("nameless")


class Doubler:
    def double(self, message: int) -> int:
        return message * 2

    def __call__(self, message: int) -> int:
        return message * 2


class SignatureLess(type):
    @property
    def __signature__(cls) -> Any:
        raise ValueError("none")


class Hidden(HarnessComponent, metaclass=SignatureLess):
    pass


def double(message: int, *, by: int = 2) -> int:
    return message * by


def test_a_class_is_called_with_name_and_config() -> None:
    made: Any = build_component("pump", HarnessComponent, {"rate": 1})
    assert (type(made), made.name, made.config) == (HarnessComponent, "pump", {"rate": 1})
    assert type(build_component("hidden", Hidden)) is Hidden


def test_a_finished_component_is_taken_as_it_is() -> None:
    part = HarnessComponent("pump")
    assert build_component("other", part) is part


class Plain(Component):
    def process(self) -> None:  # type: ignore[override]
        """Forget the ``async``."""
        if self.config:
            return
        for _ in range(3):
            print()


class Forever(Component):
    def process(self) -> None:  # type: ignore[override]
        while True:
            print()


class Yielding(Component):
    async def process(self) -> Any:
        yield 1


class Opening(Component):
    def setup(self, harness_context: Any = None) -> Any:
        yield


class Passing(Component):
    """Its methods are plain functions, but each call gives a coroutine, or is done at once."""

    def setup(self, harness_context: Any = None) -> None:  # type: ignore[override]
        """Do nothing, at once."""

    def process(self) -> Any:
        if self.config:
            return None
        return super().process()


def traced(method: Any) -> Any:
    """Return a method that calls another."""

    @functools.wraps(method)
    def call(self: Any) -> Any:
        return method(self)

    return call


class Traced(Component):
    @traced
    async def process(self) -> None:
        """Do nothing."""


class Partial(Component):
    process = functools.partial(Component.process, Component("other"))  # type: ignore[assignment]


@pytest.mark.parametrize("cls", [Passing, Traced, Partial])
def test_a_plain_method_that_gives_a_coroutine_is_none_of_our_business(cls: Any) -> None:
    assert build_component("c", cls, {"a": 1}).config == {"a": 1}


@pytest.mark.parametrize(
    "function",
    [
        double,
        component(double),
        lambda message: message,
        Doubler().double,
        Doubler(),
        functools.partial(double, by=3),
        abs,
        "x".join,
    ],
)
def test_whatever_can_only_be_a_function_becomes_a_function_component(function: Any) -> None:
    assert isinstance(build_component("f", function), FunctionComponent)


def test_the_attempts_of_a_function_can_be_set_from_outside() -> None:
    made: Any = build_component("f", double, {"by": 5}, attempts=Attempts(7))
    assert made.attempts == Attempts(7)
    assert made.config == {"by": 5}


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: build_component("x", Half), NotAComponentError, r"x: Half has no cleanup\(\)"),
        (lambda: build_component("x", Half()), NotAComponentError, r"x: Half has no cleanup\(\)"),
        (lambda: build_component("x", int), NotAComponentError, r"int has no setup\(\), process\(\)"),
        (lambda: build_component("x", 5), NotAComponentError, r"int has no setup\(\)"),
        (lambda: build_component("x", None), NotAComponentError, "NoneType has no"),
        (
            lambda: build_component("x", Nameless, {"a": 1}),
            ConfigError,
            r"as Nameless\(name, config\); define",
        ),
        (lambda: build_component("x", max), ConfigError, "max shows no signature"),
        (
            lambda: build_component("x", Plain),
            NotAComponentError,
            r"x: Plain.process\(\) is no coroutine function; write `async def process`",
        ),
        (
            lambda: build_component("x", Plain("x")),
            NotAComponentError,
            r"Plain.process\(\) is no coroutine function",
        ),
        (lambda: build_component("x", Forever), NotAComponentError, "is no coroutine function"),
        (lambda: build_component("x", Yielding), NotAComponentError, r"Yielding.process\(\) is a generator"),
        (lambda: build_component("x", Opening), NotAComponentError, r"Opening.setup\(\) is a generator"),
        (lambda: build_component("x", Component("c"), {"a": 1}), ConfigError, "takes no settings here: a"),
        (
            lambda: build_component("x", HarnessComponent, attempts=Attempts(concurrency=2)),
            ConfigError,
            "are for function components",
        ),
        (lambda: build_component("x", double, {"bye": 1}), ConfigError, "did you mean 'by'"),
    ],
)
def test_what_is_no_component_is_refused_with_the_reason(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_class_that_takes_nothing_is_called_with_nothing() -> None:
    assert isinstance(build_component("x", Nameless), Nameless)
