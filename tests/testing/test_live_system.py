"""Whole systems in a test: as they are, but for what is replaced; on both backends."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from headrace.authoring.function_component import component
from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.authoring.resource import Resource
from headrace.exceptions import (
    BlueprintError,
    NoMessageError,
    PortEndedError,
    PortTypeError,
    SystemFailed,
    UnknownComponentError,
    UnknownPortError,
    UnsettledError,
    WiringError,
)
from headrace.model.message import Rejected
from headrace.model.restart_policy import Backoff, RestartPolicy
from headrace.runtime.system_execution_harness import System
from headrace.testing import LiveSystem, run_system


@component
def ticks() -> Iterator[bytes]:
    """Send for ever."""
    number = 0
    while True:
        yield str(number).encode()
        number += 1


@component
def few() -> Iterator[bytes]:
    """Send two messages."""
    yield from (b"1", b"2")


@component
def few_numbers() -> Iterator[int]:
    """Send three numbers."""
    yield from (1, 40, 3)


@component
def parse(raw: bytes) -> int | Rejected[bytes]:
    """Read a number."""
    return int(raw) if raw.isdigit() else Rejected(raw, "no number")


@component(attempts=2, backoff=1000)
def enrich(number: int, *, db: Resource[dict[int, str]]) -> str:
    """Look a number up."""
    return db[number]


class Store(HarnessComponent):
    """Must not run in a test."""

    in_: In[str]

    async def process(self) -> None:
        raise AssertionError("a test writes to the real store")


@asynccontextmanager
async def real_db() -> AsyncIterator[dict[int, str]]:
    """Must not be opened in a test."""
    raise AssertionError("a test opens the real database")
    yield {}


def make(source: Any = ticks) -> System:
    """Return a system that cannot run as it is."""
    system = System("iot")
    system.resource("db", real_db)
    system.add("src", source)
    system.add("parse", parse)
    system.add("enrich", enrich)
    system.add("sink", Store)
    system.connect("src", "parse")
    system.connect("parse.out", "enrich")
    system.connect("enrich.out", "sink")
    return system


FAKES: dict[str, Any] = {"src": None, "db": {1: "one", 2: "two"}, "sink": None}


async def test_messages_are_sent_at_a_replaced_source_and_watched_everywhere() -> None:
    async with run_system(make(), replace=FAKES) as s:
        assert isinstance(s, LiveSystem)
        await s.send("src.out", b"1", b"x", b"2")
        assert [await s.next("enrich.out"), await s.next("enrich.out")] == ["one", "two"]
        assert (await s.next("parse.rejected")).message == b"x"
        await s.settle()
        assert s.sent("parse.out") == [1, 2]
        assert s.received("sink.in") == ["one", "two"]
        assert s.received("parse") == [b"1", b"x", b"2"]
        assert s.ledger().totals.taken_in == 3
        assert s.report is None
    assert s.report is not None
    assert s.report.clean


async def test_a_message_sent_at_an_input_goes_only_there() -> None:
    async with run_system(make(), replace=FAKES) as s:
        await s.send("enrich.in", 2)
        assert await s.next("sink.in") == "two"
        assert s.received("parse") == []
        assert s.ledger().closes


async def test_finish_ends_replaced_sources_and_waits_for_the_end() -> None:
    async with run_system(make(), replace=FAKES) as s:
        await s.send("src", b"1")
        report = await s.finish()
        assert report.outcome == "finished"
        assert s.received("sink") == ["one"]
        for port in ("src.out", "parse.in"):
            with pytest.raises(PortEndedError, match=f"{port} takes no messages any more"):
                await s.send(port, b"2")
        with pytest.raises(
            NoMessageError, match=r"no further message at parse.rejected: the system has ended"
        ):
            await s.next("parse.rejected")


async def test_a_source_may_run_for_real() -> None:
    async with run_system(make(few), replace={"db": {1: "one", 2: "two"}, "sink": None}) as s:
        assert await s.next("sink.in") == "one"
        await s.finish()
        assert s.received("sink.in") == ["one", "two"]


async def test_what_does_not_end_is_told() -> None:
    async with run_system(make(), replace={**FAKES, "src": ticks}, timeout=0.1) as s:
        with pytest.raises(UnsettledError, match=r"to end, and it is still at work: "):
            await s.finish()
        with pytest.raises(UnsettledError, match=r"to settle, and it is still at work"):
            await s.settle()
        await s.stop()


async def test_a_deadlock_is_told_by_finish_with_who_waits_for_what() -> None:
    @component
    def double(number: int) -> Iterator[int]:
        yield from (number, number)

    system = System(buffer_size=1, shutdown_timeout=0.05)
    for name, function in {"src": few_numbers, "a": double, "b": double}.items():
        system.add(name, function)
    system.connect("src", "a")
    system.connect("a.out", "b")
    system.connect("b.out", "a")
    with pytest.raises(UnsettledError, match=r"overran"):  # noqa: PT012
        async with run_system(system, timeout=1000) as s:
            with pytest.raises(UnsettledError, match=r"nothing is at work: .*a awaits room on a.out -> b.in"):
                await s.finish()


async def test_a_component_is_replaced_by_a_class_a_function_or_an_object() -> None:
    class Shout(HarnessComponent):
        in_: In[int]
        out: Out[str]

        async def process(self) -> None:
            async for number in self.in_:
                await self.out.send(f"{number}!")

    def quiet(number: int) -> str:
        return f"({number})"

    for fake, said in ((Shout, "1!"), (quiet, "(1)"), (Shout("mine"), "1!")):
        async with run_system(make(), replace={**FAKES, "enrich": fake}) as s:
            await s.send("src.out", b"1")
            assert await s.next("sink.in") == said


async def test_a_component_in_the_middle_that_is_left_out_takes_and_the_test_sends() -> None:
    async with run_system(make(), replace={**FAKES, "enrich": None}) as s:
        await s.send("src.out", b"1")
        assert await s.next("enrich.in") == 1
        await s.send("enrich.out", "mine")
        assert await s.next("sink.in") == "mine"


async def test_what_replaces_has_to_fit_and_to_have_a_name() -> None:
    async def wrong(number: int) -> int:
        return number

    with pytest.raises(PortTypeError):
        async with run_system(make(), replace={"enrich": wrong}):
            pass
    with pytest.raises(
        WiringError, match=r"no component or resource 'enrick' to replace.*did you mean 'enrich'"
    ):
        async with run_system(make(), replace={"enrick": {}}):
            pass


async def test_a_system_object_is_given_back_as_it_was() -> None:
    system = make(few)
    before = dict(system.components), system.timeouts, dict(system.wiring.resources)
    for _ in range(2):
        async with run_system(system, replace=FAKES) as s:
            assert system.timeouts != before[1]
            await s.send("src.out", b"2")
            assert await s.next("sink.in") == "two"
        assert (dict(system.components), system.timeouts, dict(system.wiring.resources)) == before
        assert system.components["enrich"].attempts.backoff == 1000
        assert s.received("sink.in") == ["two"]
    async with run_system(system, replace={"db": {1: "one", 2: "two"}, "sink": None}) as s:
        assert await s.next("enrich.out") == "one"  # the real source is back
    with pytest.raises(WiringError):
        async with run_system(system, replace={"src": None, "nothing": None}):
            pass
    assert dict(system.components) == before[0]


async def test_dead_letters_are_those_of_this_test() -> None:
    system = make()
    for _ in range(2):
        async with run_system(system, replace=FAKES) as s:
            await s.send("src.out", b"7")
            with pytest.raises(NoMessageError, match=r"enrich gave up on 7: KeyError: 7"):
                await s.next("sink.in")
            (letter,) = s.dead_letters
            assert (letter.message, letter.attempts) == (7, 2)


class Fragile(HarnessComponent):
    """Crashes on the first message."""

    in_: In[int]
    out: Out[str]

    async def process(self) -> None:
        raise RuntimeError(f"cannot take {await self.in_.receive()}")


async def test_a_crash_is_raised_by_what_waits_and_not_again() -> None:
    for wait in (lambda s: s.next("sink.in"), LiveSystem.settle, LiveSystem.finish, LiveSystem.stop):
        async with run_system(make(), replace={**FAKES, "enrich": Fragile}) as s:
            await s.send("src.out", b"1")
            await s.next("enrich.in")
            with pytest.raises(SystemFailed, match=r"cannot take 1"):
                await wait(s)
            assert s.failure is not None


class Poisoned(HarnessComponent):
    """Crashes on 1, and passes on the rest."""

    in_: In[int]
    out: Out[str]
    restart = RestartPolicy(backoff=Backoff(0.05, 0.05))

    async def process(self) -> None:
        async for number in self.in_:
            if number == 1:
                raise RuntimeError("poison")
            await self.out.send(str(number))


async def test_who_is_between_two_lives_is_at_work() -> None:
    system = System("poisoned")
    system.connect(system.add("src", few_numbers), system.add("enrich", Poisoned))
    async with run_system(system, replace={"src": None}) as s:
        await s.send("src.out", 1, 2)
        assert await s.next("enrich.out") == "2"
        assert [letter.message for letter in s.dead_letters] == [1]


async def test_a_crash_is_raised_by_send_instead_of_the_end_that_follows_from_it() -> None:
    async with run_system(make(), replace={**FAKES, "enrich": Fragile}) as s:
        await s.send("src.out", b"1")
        with pytest.raises(SystemFailed, match=r"cannot take 1"):  # noqa: PT012
            while True:
                await s.send("src.out", b"1")


async def test_a_crash_that_nobody_looked_at_is_raised_at_the_end() -> None:
    with pytest.raises(SystemFailed, match=r"cannot take 1"):  # noqa: PT012
        async with run_system(make(), replace={**FAKES, "enrich": Fragile}) as s:
            await s.send("src.out", b"1")
            await s.next("enrich.in")


async def test_a_system_that_cannot_start_is_not_entered() -> None:
    with pytest.raises(SystemFailed, match=r"a test opens the real database"):
        async with run_system(make()):
            pytest.fail("it must not be entered")


async def test_ports_are_named_and_a_wrong_name_is_mended() -> None:
    async with run_system(make(), replace=FAKES) as s:
        with pytest.raises(UnknownComponentError, match=r"did you mean 'parse'"):
            await s.next("parze.out")
        with pytest.raises(UnknownPortError, match=r"did you mean 'rejected'"):
            await s.next("parse.rejectd")
        with pytest.raises(UnknownPortError):
            s.sent("sink.in")
        with pytest.raises(WiringError):
            s.received("src.out")


async def test_untyped_ports_exist_where_they_are_connected() -> None:
    class Loose(HarnessComponent):
        async def process(self) -> None:
            async for message in self.receive_streams["a"]:
                await self.send_streams["b"].send(message)

    system = System()
    system.add("src", few)
    system.add("loose", Loose)
    system.add("sink", lambda message: None)
    system.connect("src", "loose.a")
    system.connect("loose.b", "sink")
    async with run_system(system, replace={"src": None, "sink": None}) as s:
        await s.send("src", b"1")
        assert await s.next("loose.b") == b"1"
        with pytest.raises(UnknownPortError, match=r"'loose.c' is not connected"):
            await s.next("loose.c")


async def test_an_input_that_nothing_leads_to_takes_no_messages() -> None:
    class Optional(HarnessComponent):
        in_: In[bytes]
        side: In[bytes] | None

        async def process(self) -> None:
            async for _ in self.in_:
                pass

    system = System()
    system.add("src", few)
    system.add("sink", Optional)
    system.connect("src", "sink.in")
    async with run_system(system, replace={"src": None}) as s:
        with pytest.raises(WiringError):
            await s.send("sink.side", b"1")


async def test_a_full_edge_that_nobody_empties_is_told_at_once() -> None:
    class Lazy(HarnessComponent):
        in_: In[bytes]
        other: In[bytes]

        async def process(self) -> None:
            await self.other.receive()

    system = System(buffer_size=2)
    for name in ("a", "b"):
        system.add(name, few)
    system.add("lazy", Lazy)
    system.connect("a", "lazy.in")
    system.connect("b", "lazy.other")
    async with run_system(system, replace={"a": None, "b": None}, timeout=1000) as s:
        for port in ("a.out", "lazy.in"):
            with pytest.raises(NoMessageError, match=f"{port} is full, and nothing at work will make room"):
                await s.send(port, b"1", b"2", b"3")
        await s.send("b.out", b"1")
        await s.settle()
        for port in ("a.out", "lazy.in"):
            with pytest.raises(PortEndedError):
                await s.send(port, b"4")


async def test_sending_waits_for_room() -> None:
    system = System(buffer_size=1)
    system.add("src", few)
    system.add("sink", lambda message: None)
    system.connect("src", "sink")
    async with run_system(system, replace={"src": None}) as s:
        await s.send("src.out", *[b"1"] * 100)
        await s.send("sink.in", *[b"2"] * 100)
        await s.settle()
        assert len(s.received("sink.in")) == 200


async def test_a_cycle_that_comes_to_rest_ends_and_the_rest_is_waited_for() -> None:
    @component
    def halve(number: int) -> int | None:
        return number // 2 if number > 1 else None

    system = System()
    system.add("src", few_numbers)
    system.add("a", halve)
    system.add("b", halve)
    system.connect("src", "a")
    system.connect("a.out", "b")
    system.connect("b.out", "a")
    async with run_system(system, replace={"src": None}) as s:
        await s.send("src.out", 40)
        await s.settle()
        assert s.sent("b.out") == [10, 2]
        assert (await s.finish()).clean


async def test_two_systems_in_one_test_do_not_keep_each_other_awake() -> None:
    async with run_system(make(), replace=FAKES) as one, run_system(make(), replace=FAKES) as two:
        await one.send("src.out", b"1")
        await two.send("src.out", b"2")
        for s, word in ((one, "one"), (two, "two")):
            assert await s.next("sink.in") == word
            with pytest.raises(NoMessageError, match=r"nothing is at work"):
                await s.next("sink.in")


async def test_a_cancelled_test_gives_the_system_back() -> None:
    system = make()
    before = dict(system.components)
    with anyio.CancelScope() as scope:
        async with run_system(system, replace=FAKES):
            scope.cancel()
            await anyio.sleep_forever()
    assert dict(system.components) == before
    assert not system.running


async def test_records_forget_the_oldest_of_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.testing._records.LIMIT", 10)
    async with run_system(make(), replace=FAKES) as s:
        await s.send("src.out", *[b"1"] * 8)
        assert await s.next("src.out") == b"1"
        await s.send("src.out", *[b"2"] * 8)
        await s.settle()
        assert len(s.sent("src.out")) <= 10
        assert await s.next("src.out") == b"2"


# --- from what users name to a system --------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the current folder, with a program and a blueprint in it."""
    (tmp_path / "live_app.py").write_text(
        "from headrace import System, component\n"
        "@component\ndef src():\n    yield 'a'\n"
        "@component\ndef sink(word: str, *, end: str = '.') -> str:\n    return word + end\n"
        "def make():\n    system = System('made')\n    system.add('src', src)\n    system.add('sink', sink)\n"
        "    system.connect('src', 'sink')\n    return system\n"
        "system = make()\nnumber = 1\n"
    )
    (tmp_path / "live.yaml").write_text(
        "system: live\ncomponents:\n  src: {type: 'live_app:src'}\n"
        "  sink: {type: 'live_app:sink', config: {end: \"${END}\"}}\nconnections: [src -> sink]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.modules.pop("live_app", None)


async def test_a_system_is_named_by_module_and_attribute(app: Path) -> None:
    for name in ("live_app:system", "live_app:make"):
        async with run_system(name) as s:
            assert await s.next("sink.out") == "a."


async def test_a_blueprint_is_read_with_an_environment_of_the_test(app: Path) -> None:
    for path in ("live.yaml", app / "live.yaml"):
        async with run_system(path, env={"END": "?"}) as s:
            assert await s.next("sink.out") == "a?"
    with pytest.raises(BlueprintError, match=r"variable 'END' is not set"):
        async with run_system("live.yaml"):
            pass


async def test_what_is_no_system_is_refused(app: Path) -> None:
    wrong: list[Any] = ["live_app:number", 3, lambda: 3]
    for other in wrong:
        with pytest.raises(TypeError, match=r"is no system; give a System"):
            async with run_system(other):
                pass


async def test_a_function_that_makes_a_system_is_called(app: Path) -> None:
    functions: list[Callable[[], System]] = [make, lambda: make(few)]
    for function in functions:
        async with run_system(function, replace=FAKES) as s:
            assert s.harness.name == "iot"
