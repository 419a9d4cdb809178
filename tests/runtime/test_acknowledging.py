"""``ack: manual`` in a system: crashes, ends and ``nack``; said in Python and in a blueprint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import anyio
import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from headrace import Backoff, HarnessComponent, In, Out, RestartPolicy, System, component
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import BlueprintError, ConfigError, NackedError, SystemFailed
from headrace.model.options import Acknowledgement
from headrace.model.report import ShutdownReport

AT_ONCE = RestartPolicy(backoff=Backoff(0))
Body = Callable[[Any], Awaitable[None]]


class Window(HarnessComponent):
    """Sends on what it receives in pairs, and acknowledges them then."""

    in_: In[int]
    out: Out[int]
    ack = "manual"
    fails_on: ClassVar[list[int]] = []

    async def process(self) -> None:
        pair: list[int] = []
        async for number in self.in_:
            if number in self.fails_on:
                self.fails_on.remove(number)
                raise ValueError(number)
            pair.append(number)
            if len(pair) == 2:
                await self.out.send_many(pair)
                self.in_.ack()
                pair.clear()


@pytest.fixture
def window() -> type[Window]:
    """Return a class of its own, whose failures are a test's own."""

    class Own(Window):
        fails_on: ClassVar[list[int]] = []

    return Own


def chain(parts: SimpleNamespace, middle: Any, count: int = 6, **options: Any) -> tuple[System, Any]:
    """Return numbers -> middle -> sink, and the sink."""
    system, sink = System("chain"), parts.Collect()
    system.register_component("numbers", parts.Numbers(count=count))
    system.add("middle", middle, **options)
    system.register_component("sink", sink)
    system.connect("numbers", "middle")
    system.connect("middle", "sink")
    return system, sink


async def run(system: System) -> ShutdownReport:
    with anyio.fail_after(30):
        report = await system.run()
    assert report.ledger.closes
    return report


# --- crashes and ends --------------------------------------------------------------------------


async def test_a_crash_delivers_again_what_was_not_acknowledged_and_nothing_else(
    parts: SimpleNamespace, window: type[Window]
) -> None:
    window.fails_on[:] = [3]
    system, sink = chain(parts, window, restart=AT_ONCE)
    report = await run(system)
    assert sink.got == [0, 1, 2, 3, 4, 5]
    assert (report.ledger.totals.lost, report.clean) == (0, True)
    (restarts,) = report.restarts
    assert restarts.redelivered == 2


async def test_what_is_unacknowledged_at_the_end_is_said_to_be_lost(
    parts: SimpleNamespace, window: type[Window]
) -> None:
    system, sink = chain(parts, window, count=5)
    report = await run(system)
    assert sink.got == [0, 1, 2, 3]
    edge = next(edge for edge in report.ledger.edges if edge.edge == "numbers.out -> middle.in")
    assert (edge.acknowledged, edge.dropped) == (4, {"unacknowledged": 1})
    assert "lost 1" in report.summary()


async def test_with_restart_always_it_comes_again_instead(parts: SimpleNamespace) -> None:
    seen: list[list[int]] = []

    class Some(HarnessComponent):
        in_: In[int]
        ack = "manual"

        async def process(self) -> None:
            some = [await self.in_.receive() for _ in range(2)]
            seen.append(some)
            self.in_.ack(some[1])

    system = System("always")
    system.register_component("numbers", parts.Numbers(count=3))
    policy = RestartPolicy(when="always", backoff=Backoff(0))
    system.add("some", Some, restart=policy)
    system.connect("numbers", "some")
    with pytest.raises(SystemFailed):
        await system.run()
    assert seen[:2] == [[0, 1], [0, 2]]


async def test_who_waits_for_an_ack_says_so(parts: SimpleNamespace) -> None:
    async def body(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            pass

    system = System("full", shutdown_timeout=0.2)
    system.register_component("numbers", parts.Numbers())
    system.register_component("full", parts.Acting("full", body), ack="manual", max_unacked=3)
    system.connect("numbers", "full")
    async with create_task_group() as group:
        await group.start(system.run)
        await wait_all_tasks_blocked()
        waiting = system.statistics().components["full"].waiting_for
        assert waiting is not None
        assert waiting.text.startswith("body() at test_acknowledging.py:")
        assert waiting.text.endswith("for an ack() on full.in: 3 are unacknowledged (max_unacked)")
        system.request_stop()
    report = system.report
    assert report is not None
    (late,) = (one for one in report.overruns if one.component == "full")
    assert late.awaiting.startswith("body() at test_acknowledging.py:")
    assert late.awaiting.endswith("for an ack() on full.in: 3 are unacknowledged (max_unacked)")


# --- nack --------------------------------------------------------------------------------------


class Picky(HarnessComponent):
    """Gives the number 2 back, whenever it gets it."""

    in_: In[int]
    out: Out[int]
    tries: ClassVar[list[int]] = []

    async def process(self) -> None:
        while True:
            number, meta = await self.in_.receive_with_meta()
            if number == 2:
                self.tries.append(meta.attempt)
                await self.in_.nack(number)
            else:
                await self.out.send(number)


@pytest.mark.parametrize("ack", ["auto", "manual"])
async def test_what_is_given_back_too_often_is_a_dead_letter_and_the_others_get_through(
    parts: SimpleNamespace, ack: Any
) -> None:
    class Own(Picky):
        tries: ClassVar[list[int]] = []

        async def process(self) -> None:
            while True:
                number, meta = await self.in_.receive_with_meta()
                if number == 2:
                    self.tries.append(meta.attempt)
                    await self.in_.nack(number, error=ValueError("two"))
                else:
                    await self.out.send(number)
                    self.in_.ack(number)

    system, sink = chain(parts, Own, ack=ack)
    report = await run(system)
    assert (sink.got, Own.tries) == ([0, 1, 3, 4, 5], [1, 2, 3])
    (letter,) = report.dead_letters
    assert (letter.message, letter.attempts, str(letter.error)) == (2, 3, "two")
    assert letter.edge == "numbers.out -> middle.in"
    assert letter.component == "middle"


async def test_without_an_error_of_its_own_the_letter_says_that_it_was_given_back(
    parts: SimpleNamespace,
) -> None:
    system, _ = chain(parts, Picky, attempts=1)
    report = await run(system)
    (letter,) = report.dead_letters
    assert isinstance(letter.error, NackedError)
    assert str(letter.error) == "given back by nack at attempt 1"


async def test_on_error_says_what_becomes_of_it(parts: SimpleNamespace) -> None:
    system, _ = chain(parts, Picky, attempts=1, on_error="drop")
    report = await run(system)
    edge = next(edge for edge in report.ledger.edges if edge.edge == "numbers.out -> middle.in")
    assert (edge.dropped, report.dead_letters) == ({"on_error": 1}, ())


async def test_on_error_crash_crashes_with_the_error(parts: SimpleNamespace) -> None:
    system, _ = chain(parts, Picky, attempts=1, on_error="crash")
    with pytest.raises(SystemFailed) as caught:
        await system.run()
    assert isinstance(caught.value.__cause__, NackedError)


async def test_on_error_reject_sends_it_to_its_port(parts: SimpleNamespace) -> None:
    class Rejecting(Picky):
        rejected: Out[Any]

    system, _ = chain(parts, Rejecting, attempts=1, on_error="reject")
    bad = parts.Collect()
    system.register_component("bad", bad)
    system.connect("middle.rejected", "bad")
    report = await run(system)
    assert [(one.message, one.reason) for one in bad.got] == [
        (2, "NackedError: given back by nack at attempt 1")
    ]
    assert not report.dead_letters


# --- how it is said ----------------------------------------------------------------------------


def acks_of(system: System, name: str = "middle") -> tuple[Acknowledgement, int]:
    member = system.wiring.members[name]
    return member.acks, member.inlets["in"].max_unacked


def test_it_is_said_by_the_class_or_where_it_is_added(parts: SimpleNamespace, window: type[Window]) -> None:
    assert acks_of(chain(parts, window)[0]) == (Acknowledgement("manual"), 1000)
    assert acks_of(chain(parts, window, max_unacked=7)[0]) == (Acknowledgement("manual", 7), 7)
    assert acks_of(chain(parts, window, ack="auto")[0]) == (Acknowledgement(), 0)
    assert acks_of(chain(parts, Picky, ack="manual", max_unacked=2)[0]) == (Acknowledgement("manual", 2), 2)

    class Bounded(Window):
        max_unacked = 5

    assert acks_of(chain(parts, Bounded)[0]) == (Acknowledgement("manual", 5), 5)
    assert acks_of(chain(parts, Bounded, ack="auto")[0]) == (Acknowledgement(), 0)


def test_replicas_have_it_too_and_who_is_put_in_their_place(
    parts: SimpleNamespace, window: type[Window]
) -> None:
    system, _ = chain(parts, Picky, ack="manual", max_unacked=3, replicas=2)
    assert [member.inlets["in"].max_unacked for member in system.wiring.members_of("middle")] == [3, 3]
    system.replace("middle", window)
    assert [member.inlets["in"].max_unacked for member in system.wiring.members_of("middle")] == [3, 3]
    system.replace("middle", component(lambda number: number))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"ack": "sometimes"}, "ack"),
        ({"ack": "manual", "max_unacked": 0}, "max_unacked"),
        ({"max_unacked": 7}, "max_unacked"),
    ],
)
def test_what_does_not_fit_is_refused(parts: SimpleNamespace, options: Any, field: str) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        chain(parts, Picky, **options)
    assert caught.value.field == field


def test_a_function_has_no_say_in_it(parts: SimpleNamespace) -> None:
    with pytest.raises(ConfigError, match="components with a process") as caught:
        chain(parts, component(lambda number: number), ack="manual")
    assert caught.value.field == "ack"
    chain(parts, component(lambda number: number), ack="auto")


def test_a_method_of_that_name_is_the_users_own(parts: SimpleNamespace) -> None:
    class Own(HarnessComponent):
        in_: In[int]
        out: Out[int]

        def ack(self) -> None:  # type: ignore[override]
            """Do something else."""

    assert acks_of(chain(parts, Own)[0]) == (Acknowledgement(), 0)


BLUEPRINT = """\
system: acks
components:
  numbers: {type: "acks_parts:numbers"}
  middle: {type: "acks_parts:Relay", ack: manual, max_unacked: 20}
connections:
  - numbers -> middle
"""
PARTS = """\
from headrace import HarnessComponent, In, component

@component
def numbers():
    yield 1

@component
def double(number: int) -> int:
    return 2 * number

class Relay(HarnessComponent):
    in_: In[int]

    async def process(self) -> None:
        async for number in self.in_:
            self.in_.ack(number)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the parts of the blueprint: one, as a module is imported once."""
    folder = tmp_path_factory.mktemp("acks")
    (folder / "acks_parts.py").write_text(PARTS)
    return folder


async def test_a_blueprint_says_it_too_and_is_written_again_as_it_was(folder: Path) -> None:
    (folder / "acks.yaml").write_text(BLUEPRINT)
    system = load_system(folder / "acks.yaml").harness
    assert acks_of(system) == (Acknowledgement("manual", 20), 20)
    (folder / "again.yaml").write_text(system.to_yaml())
    assert acks_of(load_system(folder / "again.yaml").harness) == (Acknowledgement("manual", 20), 20)
    assert (await run(system)).clean


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("ack: manual, max", "ack: manua, max", "acks.yaml:4:"),
        ("ack: manual, max_unacked: 20", "max_unacked: 20", "max_unacked goes together with ack 'manual'"),
        ("max_unacked: 20", "max_unacked: none", "max_unacked"),
        ("Relay", "double", "components with a process"),
    ],
)
def test_mistakes_in_a_blueprint_are_told_with_their_place(
    folder: Path, before: str, after: str, said: str
) -> None:
    (folder / "acks.yaml").write_text(BLUEPRINT.replace(before, after))
    with pytest.raises(BlueprintError) as caught:
        load_system(folder / "acks.yaml")
    assert "acks.yaml:4:" in str(caught.value)
    assert said in str(caught.value)
