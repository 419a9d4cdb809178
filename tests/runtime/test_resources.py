"""Resources are opened before set-up, shared, and closed after all clean-up, whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import pytest

from headrace import HarnessComponent, Resource, System, SystemFailed, component
from headrace.exceptions import (
    ConfigError,
    ResourceAlreadyRegistered,
    ResourceTypeError,
    UnknownResourceError,
    WiringError,
)


class Pool:
    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.used: list[Any] = []


class Other:
    pass


@component
def numbers(*, count: int = 3) -> Iterator[int]:
    yield from range(count)


@component
def note(number: int, *, db: Resource[Pool]) -> None:
    db.used.append(number)


class Noting(HarnessComponent):
    db: Resource[Pool]

    async def setup(self, harness_context: Any = None) -> None:
        await super().setup(harness_context)
        self.db.used.append("setup")

    async def process(self) -> None:
        async for number in self.receive_streams["in"]:
            self.db.used.append(number)

    async def cleanup(self) -> None:
        self.db.used.append("cleanup")
        await super().cleanup()


def system_with(sink: Any, **resources: Any) -> System:
    system = System()
    for name, factory in resources.items():
        system.resource(name, factory)
    system.add("numbers", numbers)
    system.add("sink", sink)
    system.connect("numbers", "sink")
    return system


async def test_a_function_gets_the_resource_that_it_names() -> None:
    pool = Pool()

    @asynccontextmanager
    async def open_pool() -> AsyncIterator[Pool]:
        yield pool

    await system_with(note, db=open_pool).run()
    assert pool.used == [0, 1, 2]


async def test_a_class_has_it_from_setup_to_cleanup() -> None:
    log: list[Any] = []

    @asynccontextmanager
    async def open_pool() -> AsyncIterator[Pool]:
        pool = Pool()
        pool.used = log
        log.append("open")
        yield pool
        log.append("close")

    await system_with(Noting, db=open_pool).run()
    assert log == ["open", "setup", 0, 1, 2, "cleanup", "close"]


async def test_a_bare_generator_a_plain_context_manager_and_a_class_will_do() -> None:
    seen: dict[str, Any] = {}

    async def from_async_generator() -> AsyncIterator[str]:
        yield "a"

    def from_generator() -> Iterator[str]:
        yield "b"

    @contextmanager
    def from_manager() -> Iterator[str]:
        yield "c"

    class FromClass:
        async def __aenter__(self) -> str:
            return "d"

        async def __aexit__(self, *args: object) -> None:
            return None

    class Look(HarnessComponent):
        async def process(self) -> None:
            seen.update(self.context.resources)
            seen["as a mapping"] = self.context["resources"]["a"]

    system = System()
    for name, factory in {"a": from_async_generator, "b": from_generator, "c": from_manager}.items():
        system.resource(name, factory)
    system.resource("d", FromClass)
    system.add("look", Look)
    await system.run()
    assert seen == {"a": "a", "b": "b", "c": "c", "d": "d", "as a mapping": "a"}


async def test_settings_go_to_the_factory_and_each_run_opens_anew() -> None:
    sizes: list[int] = []

    @contextmanager
    def open_pool(size: int, *, factor: int = 1) -> Iterator[Pool]:
        sizes.append(size * factor)
        yield Pool(size)

    system = System()
    system.resource("db", open_pool, {"size": 3}, factor=2)
    system.add("numbers", numbers, count=0)
    system.add("note", note)
    system.connect("numbers", "note")
    await system.run()
    await system.run()
    assert sizes == [6, 6]


async def test_they_close_in_reverse_also_after_a_crash() -> None:
    log: list[str] = []

    def opener(name: str) -> Any:
        @asynccontextmanager
        async def manage() -> AsyncIterator[str]:
            log.append(f"open {name}")
            try:
                yield name
            finally:
                log.append(f"close {name}")

        return manage

    @component(on_error="crash", attempts=1)
    def fail(number: int) -> None:
        raise ValueError("no")

    with pytest.raises(SystemFailed, match="no"):
        await system_with(fail, one=opener("one"), two=opener("two")).run()
    assert log == ["open one", "open two", "close two", "close one"]


async def test_one_that_holds_a_task_group_nests_as_it_must() -> None:
    async def with_tasks() -> AsyncIterator[Pool]:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            yield Pool()
            group.cancel_scope.cancel()

    system = system_with(note, first=with_tasks, db=with_tasks)
    report = await system.run()
    assert report.clean


async def test_one_that_cannot_be_opened_starts_nothing_and_closes_the_others() -> None:
    log: list[str] = []

    async def good() -> AsyncIterator[int]:
        yield 1
        log.append("good closed")

    async def bad() -> AsyncIterator[Pool]:
        raise OSError("no such host")
        yield Pool()

    system = system_with(Noting, good=good, db=bad)
    with pytest.raises(SystemFailed, match="resource db failed in open: OSError no such host") as caught:
        await system.run()
    assert isinstance(caught.value.__cause__, OSError)
    assert log == ["good closed"]
    assert system.components["sink"].status.state == "created"


async def test_opening_has_the_time_out_of_set_up() -> None:
    async def slow() -> AsyncIterator[Pool]:
        await anyio.sleep_forever()
        yield Pool()

    system = System(setup_timeout=0.02)
    system.resource("db", slow)
    system.add("numbers", numbers)
    with pytest.raises(SystemFailed, match=r"took over 0\.02 s, awaiting slow\(\) at test_resources\.py"):
        await system.run()


async def test_a_stop_while_one_opens_gives_it_up() -> None:
    opening = anyio.Event()

    async def slow() -> AsyncIterator[Pool]:
        opening.set()
        await anyio.sleep_forever()
        yield Pool()

    system = System()
    system.resource("db", slow)
    system.add("numbers", numbers)
    async with anyio.create_task_group() as group:
        group.start_soon(system.run)
        await opening.wait()
        report = await system.stop()
    assert report is not None
    assert report.outcome == "stopped"


async def test_closing_has_the_time_out_of_clean_up_and_is_named() -> None:
    async def sticky() -> AsyncIterator[Pool]:
        yield Pool()
        await anyio.sleep_forever()

    system = System(cleanup_timeout=0.02)
    system.resource("db", sticky)
    system.add("numbers", numbers)
    report = await system.run()
    (overrun,) = report.overruns
    assert str(overrun).startswith("resource db overran its close after")
    assert "sticky() at test_resources.py" in overrun.awaiting


async def test_an_error_while_closing_fails_the_system() -> None:
    async def bad() -> AsyncIterator[Pool]:
        yield Pool()
        raise OSError("flush failed")

    system = System()
    system.resource("db", bad)
    system.add("numbers", numbers)
    with pytest.raises(SystemFailed, match="resource db failed in close: OSError flush failed"):
        await system.run()


async def test_one_that_fails_in_use_drains_the_system() -> None:
    in_use = anyio.Event()

    async def breaks() -> AsyncIterator[Pool]:
        async def lose_connection() -> None:
            await in_use.wait()
            raise ConnectionError("gone")

        async with anyio.create_task_group() as group:
            group.start_soon(lose_connection)
            yield Pool()

    @component
    async def endless() -> AsyncIterator[int]:
        in_use.set()
        await anyio.sleep_forever()
        yield 1

    system = System(source_grace=0.01)
    system.resource("db", breaks)
    system.add("endless", endless)
    system.add("note", note)
    system.connect("endless", "note")
    with pytest.raises(SystemFailed, match="resource db failed in process: ConnectionError gone"):
        await system.run()


async def test_one_that_closes_itself_in_use_is_a_failure() -> None:
    in_use = anyio.Event()

    async def leaves() -> AsyncIterator[Pool]:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def give_up() -> None:
                    await in_use.wait()
                    scope.cancel()

                group.start_soon(give_up)
                yield Pool()

    @component
    async def endless() -> AsyncIterator[int]:
        in_use.set()
        await anyio.sleep_forever()
        yield 1

    system = System(source_grace=0.01)
    system.resource("db", leaves)
    system.add("endless", endless)
    with pytest.raises(SystemFailed, match="resource 'db' closed while it was in use"):
        await system.run()


async def test_a_cancelled_run_still_closes_them() -> None:
    log: list[str] = []
    running = anyio.Event()

    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        await anyio.lowlevel.checkpoint()
        log.append("closed")

    @component
    async def endless() -> AsyncIterator[int]:
        running.set()
        await anyio.sleep_forever()
        yield 1

    system = System()
    system.resource("db", pool)
    system.add("endless", endless)
    async with anyio.create_task_group() as group:
        group.start_soon(system.run)
        await running.wait()
        group.cancel_scope.cancel()
    assert log == ["closed"]


@pytest.mark.parametrize("given", [lambda: 3, anyio.sleep_forever])
async def test_a_factory_that_gives_no_context_manager_is_told(given: Any) -> None:
    system = System()
    system.resource("db", given)
    system.add("numbers", numbers)
    with pytest.raises(SystemFailed, match="no context manager"):
        await system.run()


# --- wiring -------------------------------------------------------------------------------------


async def test_a_resource_that_nobody_registered_is_an_error_before_the_run_with_the_line() -> None:
    system = System()
    system.resource("pool", Pool)
    system.add("numbers", numbers)
    system.add("note", note)
    system.connect("numbers", "note")
    with pytest.raises(
        UnknownResourceError, match=r"'note' asks for the resource 'db'.*test_resources\.py:\d+"
    ):
        await system.run()


async def test_an_optional_resource_may_be_missing() -> None:
    got: list[object] = []

    @component
    def look(number: int, *, db: Resource[Pool] | None = None) -> None:
        got.append(db)

    class Looking(HarnessComponent):
        db: Resource[Pool] | None

        async def process(self) -> None:
            got.append(self.db)

    system = system_with(look)
    system.add("looking", Looking)
    await system.run()
    assert got == [None] * 4


async def test_a_resource_of_another_type_is_an_error_before_the_run() -> None:
    def other() -> Iterator[Other]:
        yield Other()

    with pytest.raises(ResourceTypeError, match=r"resource 'db': Other -> sink: Pool"):
        await system_with(note, db=other).run()


@pytest.mark.parametrize("name", ["", "a b", 3])
def test_a_resource_needs_a_name_that_a_parameter_can_have(name: Any) -> None:
    with pytest.raises(WiringError, match="needs a name"):
        System().resource(name, Pool)


def test_a_name_is_taken_once() -> None:
    system = System()
    system.resource("db", Pool)
    with pytest.raises(ResourceAlreadyRegistered, match=r"test_resources\.py"):
        system.resource("db", Pool)


def test_settings_that_the_factory_does_not_take_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"Pool: .*unexpected keyword argument 'colour'"):
        System().resource("db", Pool, colour="red")


def test_what_cannot_be_called_is_no_factory() -> None:
    with pytest.raises(ConfigError, match="is no factory"):
        System().resource("db", Pool())


async def test_a_component_used_without_a_harness_says_which_resource_is_missing() -> None:
    with pytest.raises(ConfigError, match="there is no resource 'db'"):
        await note.build("note").setup()
