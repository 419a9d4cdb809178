"""``@component``: maps, filters, flat-maps, sources, settings, attempts, and what becomes of a failure."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import msgspec
import pytest
from anyio import Event, WouldBlock, create_memory_object_stream, create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from headrace.authoring import function_component as module
from headrace.authoring.context import Context
from headrace.authoring.function_component import ComponentFunction, FunctionComponent, component
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected
from headrace.model.options import Attempts, EdgeOptions
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet

if TYPE_CHECKING:
    from nowhere import Hidden


class Bench:
    """A function component between two edges, without a harness."""

    def __init__(self, fn: Any, context: Context | None = None, **config: Any) -> None:
        made = fn if isinstance(fn, ComponentFunction) else component(fn)
        self.part: FunctionComponent = made.build("f", config)
        self.part.context = context
        self.send, self.part.receive_streams["in"], self.edge = self._edge()
        self.part.send_streams["out"], self.out, _ = self._edge()
        self.part.send_streams["rejected"], self.rejected, _ = self._edge()

    def _edge(self) -> tuple[Any, Any, AnyEdge]:
        outlet: AnyOutlet = Outlet("x.out")
        inlet: AnyInlet = Inlet("y.in")
        edge: AnyEdge = Edge("x.out -> y.in", EdgeOptions(1000), outlet, inlet)
        outlet.add(edge)
        inlet.add(edge)
        return outlet.open(), inlet.open(), edge

    async def run(self, *messages: object) -> list[Any]:
        for message in messages:
            self.send.send_nowait(message)
        self.send.close()
        await self.part.process()
        return drain(self.out)


def drain(stream: Any) -> list[Any]:
    items = []
    while True:
        try:
            items.append(stream.receive_nowait())
        except WouldBlock:
            return items


# --- what functions do -------------------------------------------------------------------------------


def double(message: int) -> int:
    """Double it."""
    return message * 2


async def double_later(message: int) -> int:
    await checkpoint()
    return message * 2


def double_awaitable(message: int) -> Awaitable[int]:
    return double_later(message)


def evens(message: int) -> int | None:
    return message if message % 2 == 0 else None


def twice(message: int) -> Iterator[int | None]:
    yield message
    yield None
    yield message


async def twice_later(message: int) -> AsyncIterator[int]:
    yield message
    await checkpoint()
    yield message


def twice_wrapped(message: int) -> Iterator[int]:
    return (message for _ in range(2))


def checked(message: int) -> int | Rejected[int]:
    return message if message > 1 else Rejected(message, "too small")


class Shifter:
    def __init__(self, by: int) -> None:
        self.by = by

    def shift(self, message: int) -> int:
        return message + self.by

    def __call__(self, message: int) -> Iterator[int]:
        yield message + self.by


def add(by: int, message: int, *, times: int = 1) -> int:
    return message + by * times


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (double, [2, 4, 6]),
        (double_later, [2, 4, 6]),
        (double_awaitable, [2, 4, 6]),
        (evens, [2]),
        (twice, [1, 1, 2, 2, 3, 3]),
        (twice_later, [1, 1, 2, 2, 3, 3]),
        (twice_wrapped, [1, 1, 2, 2, 3, 3]),
        (checked, [2, 3]),
        (Shifter(10).shift, [11, 12, 13]),
        (Shifter(10), [11, 12, 13]),
        (functools.partial(add, 10, times=2), [21, 22, 23]),
        (functools.partial(double_later), [2, 4, 6]),
        (lambda message: -message, [-1, -2, -3]),
        (math.factorial, [1, 2, 6]),
        (component(double), [2, 4, 6]),
        (component(component(twice)), [1, 1, 2, 2, 3, 3]),
    ],
)
async def test_every_kind_of_function_does_what_it_says(fn: Any, expected: list[int]) -> None:
    bench = Bench(fn)
    assert await bench.run(1, 2, 3) == expected
    assert bench.edge.acknowledged == 3 - bench.edge.ledger().in_hand
    assert bench.edge.ledger().closes


async def test_rejected_goes_to_its_own_port_and_nowhere_else() -> None:
    bench = Bench(checked)
    assert await bench.run(1, 2) == [2]
    assert drain(bench.rejected) == [Rejected(1, "too small")]
    other = Bench(checked)
    del other.part.send_streams["rejected"]
    assert await other.run(1, 2) == [2]


async def test_it_runs_on_streams_of_anyio_too() -> None:
    part = component(on_error="drop", attempts=1)(lambda message: 1 // message).build("f")
    send, part.receive_streams["in"] = create_memory_object_stream[Any](5)
    part.send_streams["out"], out = create_memory_object_stream[Any](5)
    for message in (1, 0, 1):
        send.send_nowait(message)
    send.close()
    await part.process()
    await part.cleanup()
    async with out:
        assert [item async for item in out] == [1, 1]


# --- sources -----------------------------------------------------------------------------------------


def count(*, up_to: int = 3) -> Iterator[int]:
    yield from range(up_to)


async def count_later(*, up_to: int = 3) -> AsyncIterator[int]:
    for number in range(up_to):
        await checkpoint()
        yield number


class Counter:
    def __call__(self) -> Iterator[int]:
        yield from range(3)


@pytest.mark.parametrize("fn", [count, count_later, Counter(), functools.partial(count, up_to=3)])
async def test_a_generator_without_a_message_is_a_source(fn: Any) -> None:
    made = component(fn)
    assert made.message_parameter is None
    assert made.port_table.inputs == {}
    bench = Bench(made)
    await bench.part.process()
    assert drain(bench.out) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_source_ends_when_the_system_stops_and_its_finally_runs(kind: str) -> None:
    stop, closed = Event(), []

    def forever() -> Iterator[int]:
        try:
            yield from iter(int, 1)
        finally:
            closed.append("sync")

    async def forever_later() -> AsyncIterator[int]:
        try:
            while True:
                yield 0
        finally:
            await checkpoint()
            closed.append("async")

    bench = Bench(forever if kind == "sync" else forever_later, Context("f", stop_event=stop))
    with anyio.fail_after(30):
        async with create_task_group() as group:
            group.start_soon(bench.part.process)
            for _ in range(10):
                await bench.out.receive()
            stop.set()
    assert closed == [kind]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_source_that_is_cancelled_is_closed_and_its_finally_runs(kind: str) -> None:
    closed: list[str] = []

    def forever() -> Iterator[int]:
        try:
            yield from iter(int, 1)
        finally:
            closed.append("sync")

    async def forever_later() -> AsyncIterator[int]:
        try:
            yield 0
            await anyio.sleep_forever()
        finally:
            closed.append("async")

    bench = Bench(forever if kind == "sync" else forever_later)
    async with create_task_group() as group:
        group.start_soon(bench.part.process)
        await bench.out.receive()
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert closed == [kind]


async def test_a_source_is_closed_when_its_readers_have_ended() -> None:
    closed: list[str] = []

    def forever() -> Iterator[int]:
        try:
            yield from iter(int, 1)
        finally:
            closed.append("sync")

    bench = Bench(forever)
    bench.out.close()
    with pytest.raises(anyio.BrokenResourceError):
        await bench.part.process()
    assert closed == ["sync"]


async def test_a_source_that_yields_nothing_to_send_lets_others_run() -> None:
    stop = Event()

    def idle() -> Iterator[None]:
        yield from iter(lambda: None, 1)

    bench = Bench(idle, Context("f", stop_event=stop))
    async with create_task_group() as group:
        group.start_soon(bench.part.process)
        for _ in range(10):
            await checkpoint()
        stop.set()


async def test_a_flat_map_that_is_cancelled_is_closed() -> None:
    closed: list[str] = []

    async def slow(message: int) -> AsyncIterator[int]:
        try:
            await anyio.sleep_forever()
            yield message
        finally:
            closed.append("yes")

    bench = Bench(slow)
    bench.send.send_nowait(1)
    async with create_task_group() as group:
        group.start_soon(bench.part.process)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert closed == ["yes"]
    assert bench.edge.ledger().in_hand == 1


# --- the decorator -------------------------------------------------------------------------------------


def test_it_stays_callable_with_its_name_and_signature() -> None:
    made = component(attempts=2)(double)
    assert made(4) == 8
    assert made.__name__ == "double"
    assert made.__doc__ == "Double it."
    assert inspect.signature(made) == inspect.signature(double)
    assert repr(made) == "<component double>"
    assert made.attempts == Attempts(2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: component(lambda: 1), "takes no message, so it is a source, and a source is a generator"),
        (lambda: component(lambda a, b: 1), "takes two messages; write settings after a"),
        (lambda: component(Shifter.shift), "give the bound method to component"),
        (lambda: component(lambda *items: 1), "takes \\*args or \\*\\*kwargs"),
        (lambda: component(lambda item, **rest: 1), "takes \\*args or \\*\\*kwargs"),
        (lambda: component(Shifter), "Shifter is a class; add a component class as it is"),
        (lambda: component(max), "max shows no signature; wrap it"),
        (lambda: component(5), "5 is no function"),  # type: ignore[call-overload]
        (lambda: component(attempts=0), "attempts must be a whole number"),
        (lambda: component(on_error="reject it"), "did you mean 'reject'"),  # type: ignore[call-overload]
    ],
)
def test_what_cannot_be_a_component_is_refused_when_it_is_decorated(
    make: Callable[[], Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        make()


def test_a_second_parameter_with_a_default_keeps_it() -> None:
    assert component(lambda message, unit="C": unit).message_parameter == "message"


def stranger(message: Hidden, *, size: int) -> Hidden | None: ...


def coroutine(message: int) -> Generator[int, None, None]:
    yield message


def bare(message: Annotated[int, "m"]) -> Iterator:  # type: ignore[type-arg]
    yield message


def silent(message: int) -> None: ...


def only_bad(message: int) -> Rejected[int] | None: ...


def always_bad(message: int) -> Rejected[int]: ...


@pytest.mark.parametrize(
    ("fn", "accepts", "sends"),
    [
        (double, "int", "int"),
        (double_later, "int", "int"),
        (double_awaitable, "int", "int"),
        (evens, "int", "int"),
        (twice, "int", "int"),
        (twice_later, "int", "int"),
        (coroutine, "int", "int"),
        (bare, "int", "Any"),
        (checked, "int", "int"),
        (silent, "int", None),
        (only_bad, "int", None),
        (always_bad, "int", None),
        (stranger, "Any", "Any"),
        (Shifter(1).shift, "int", "int"),
        (Shifter(1), "int", "int"),
        (functools.partial(add, 1), "int", "int"),
        (lambda message: message, "Any", "Any"),
        (abs, "Any", "Any"),
    ],
)
def test_the_annotations_are_the_ports(fn: Any, accepts: str, sends: str | None) -> None:
    table = component(fn).port_table
    assert table.inputs is not None
    assert table.outputs is not None
    name = {port.name: getattr(port.type, "__name__", str(port.type)) for port in table.inputs.values()}
    assert name == {"in": accepts}
    out = table.outputs.get("out")
    assert (out and getattr(out.type, "__name__", str(out.type))) == sends
    assert table.outputs["rejected"].optional
    assert ":" in table.where or fn is abs


# --- settings ------------------------------------------------------------------------------------------


class Pool:
    pass


def configured(
    message: int,
    *,
    rate: Annotated[int, msgspec.Meta(ge=1)],
    path: Path = Path("a"),
    tags: list[str] = ["x"],  # noqa: B006
    either: Path | str = "b",
    pool: Pool | None = None,
    call: Callable[[int], int] = abs,
    hidden: Hidden = 5,
) -> tuple[Any, ...]:
    return rate, path, tags, either, pool, call, hidden


async def test_keyword_only_parameters_are_settings() -> None:
    pool = Pool()
    bench = Bench(configured, rate=2, path="p.csv", pool=pool, either="c", hidden="anything")
    assert await bench.run(1) == [(2, Path("p.csv"), ["x"], "c", pool, abs, "anything")]
    assert bench.part.config["rate"] == 2


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "setting 'rate' is missing"),
        ({"rate": "2"}, "setting 'rate': Expected `int`"),
        ({"rate": 0}, "setting 'rate': Expected `int` >= 1"),
        ({"rate": 1, "ratee": 2}, "unknown setting 'ratee'; did you mean 'rate'"),
        ({"rate": 1, "pool": 5}, "setting 'pool': Expected `Pool"),
        ({"rate": 1, "call": 5}, "setting 'call': Expected `Callable`"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        component(configured).build("f", config)


def test_a_function_without_settings_says_so() -> None:
    with pytest.raises(ConfigError, match="there are no settings"):
        component(double).build("f", {"by": 2})


def test_an_option_of_the_decorator_given_as_a_setting_is_told_where_it_belongs() -> None:
    with pytest.raises(
        ConfigError, match=r"'attempts'; write it in the decorator: `@component\(attempts=5\)`"
    ):
        component(double).build("f", {"attempts": 5})
    with pytest.raises(ConfigError, match=r"`@component\(on_error='drop'\)`"):
        component(configured).build("f", {"rate": 1, "on_error": "drop"})


def test_a_setting_may_be_named_like_an_option_of_the_decorator() -> None:
    def retry(message: int, *, attempts: int) -> int:
        return message * attempts

    assert component(retry).build("f", {"attempts": 5}).config == {"attempts": 5}


# --- failures --------------------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The back-offs, in seconds; none of them is waited for."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await checkpoint()

    monkeypatch.setattr(module.anyio, "sleep", sleep)
    return slept


class Flaky:
    """Fails a given number of times for each message."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[int] = []

    def __call__(self, message: int) -> int:
        self.calls.append(message)
        if self.calls.count(message) <= self.failures:
            raise ValueError(f"no {message}")
        return message


async def test_a_message_is_tried_again_in_place_with_a_doubling_pause(pauses: list[float]) -> None:
    flaky = Flaky(3)
    assert await Bench(component(attempts=4)(flaky)).run(1, 2) == [1, 2]
    assert flaky.calls == [1, 1, 1, 1, 2, 2, 2, 2]
    assert pauses == [0.05, 0.1, 0.2] * 2


async def test_a_generator_that_fails_half_way_has_sent_nothing(pauses: list[float]) -> None:
    tries: list[int] = []

    def halting(message: int) -> Iterator[int]:
        tries.append(message)
        yield message
        if len(tries) == 1:
            raise ValueError
        yield -message

    assert await Bench(halting).run(5) == [5, -5]


async def test_dropped_after_the_last_attempt_and_counted(pauses: list[float]) -> None:
    bench = Bench(component(on_error="drop", attempts=2)(Flaky(2)))
    assert await bench.run(1) == []
    assert bench.edge.ledger().dropped == {"on_error": 1}
    assert bench.edge.ledger().closes


async def test_rejected_after_the_last_attempt_with_the_reason(pauses: list[float]) -> None:
    bench = Bench(component(on_error="reject", attempts=1)(Flaky(1)))
    assert await bench.run(7, 7) == [7]
    assert drain(bench.rejected) == [Rejected(7, "ValueError: no 7")]
    assert pauses == []


async def test_a_crash_after_the_last_attempt_raises_with_the_message_in_hand(pauses: list[float]) -> None:
    bench = Bench(component(on_error="crash", attempts=2)(Flaky(2)))
    with pytest.raises(ValueError, match="no 1"):
        await bench.run(1)
    assert bench.edge.ledger().in_hand == 1


async def test_put_away_as_a_dead_letter_after_the_last_attempt(pauses: list[float]) -> None:
    letters: list[tuple[object, str, int, str]] = []

    async def put(message: object, error: BaseException, *, attempts: int, edge: str, id: str = "") -> None:
        letters.append((message, str(error), attempts, edge))

    bench = Bench(component(Flaky(3)), Context("f", dead_letter=put))
    assert await bench.run(1) == []
    assert letters == [(1, "no 1", 3, "x.out -> y.in")]
    assert bench.edge.dead_lettered == 1
    assert bench.edge.ledger().closes


async def test_without_a_place_for_dead_letters_the_error_comes_out(pauses: list[float]) -> None:
    for context in (None, Context("f")):
        with pytest.raises(ValueError, match="no 1"):
            await Bench(component(Flaky(3)), context).run(1)


async def test_cancelled_between_attempts_the_message_stays_in_hand() -> None:
    bench = Bench(component(backoff=1000)(Flaky(1)))
    bench.send.send_nowait(1)
    async with create_task_group() as group:
        group.start_soon(bench.part.process)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert bench.edge.ledger().in_hand == 1
    assert drain(bench.out) == []


async def test_cancellation_is_no_failed_attempt() -> None:
    calls: list[int] = []

    async def stuck(message: int) -> None:
        calls.append(message)
        await anyio.sleep_forever()

    bench = Bench(stuck)
    bench.send.send_nowait(1)
    async with create_task_group() as group:
        group.start_soon(bench.part.process)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert calls == [1]
