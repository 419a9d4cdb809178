"""Fused runs of functions: the same outputs, books, letters and failures as apart from each other, only sooner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.authoring.function_component import component
from headrace.exceptions import SystemFailed
from headrace.model.message import Meta, Rejected
from headrace.model.report import ShutdownReport
from headrace.runtime.fusing import FusedOut
from headrace.runtime.system_execution_harness import System

# --- runs drawn at random ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One function: what it does, and on which messages it fails how often."""

    kind: str
    failing: int  # every so many-th value
    failures: int
    on_error: str
    attempts: int

    def outcome(self, value: int) -> tuple[list[int], bool]:
        """Return what it gives for a value, and whether it fails on it for good."""
        if value % 7 == self.failing and self.failures >= self.attempts:
            return [], True
        return {
            "map": [value + 1],
            "filter": [value] if value % 2 else [],
            "twice": [value, value + 1],
            "reject": [value] if value % 3 else [],
        }[self.kind], False


KINDS = st.sampled_from(["map", "filter", "twice", "reject"])
STEPS = st.builds(
    Step,
    KINDS,
    st.integers(0, 20),
    st.integers(0, 3),
    st.sampled_from(["dead_letter", "reject", "drop"]),
    st.integers(1, 3),
)


def function_of(step: Step) -> Callable[[int], Any]:
    """Return a function that does what a step says; it counts its failures by position, as messages repeat."""
    failed: Counter[str] = Counter()

    def fail_perhaps(value: int) -> None:
        if value % 7 == step.failing and failed["now"] < step.failures:
            failed["now"] += 1
            if failed["now"] >= step.attempts:
                failed["now"] = 0
            raise ValueError(f"no {value}")
        failed["now"] = 0

    def work(value: int) -> Any:
        fail_perhaps(value)
        if step.kind == "reject" and value % 3 == 0:
            return Rejected(value, "three")
        return next(iter(step.outcome(value)[0]), None)

    def twice(value: int) -> Iterator[int]:
        yield value
        fail_perhaps(value)
        yield value + 1

    return twice if step.kind == "twice" else work


@dataclass
class Result:
    """What a run has come to."""

    got: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    report: ShutdownReport | None = None
    failed: str = ""

    @property
    def letters(self) -> Counter[tuple[str, Any, int]]:
        assert self.report is not None
        return Counter((a.component, a.message, a.attempts) for a in self.report.dead_letters)

    def books(self) -> dict[str, tuple[Any, ...]]:
        """Return the books of all edges."""
        assert self.report is not None
        assert self.report.ledger.closes
        return {
            e.edge: (e.accepted, e.acknowledged, dict(e.dropped), e.dead_lettered, e.remaining)
            for e in self.report.ledger.edges
        }


def run(steps: list[Step], count: int, sizes: list[int], backend: str, *, fuse: bool) -> Result:
    """Run numbers through the steps."""
    result = Result()

    def numbers() -> Iterator[int]:
        yield from range(count)

    def keep_bad(bad: Any) -> None:
        result.rejected.append(bad.message)

    system = System("run", fuse=fuse, buffer_size=7)
    system.add("numbers", component(numbers))
    system.add("bad", component(keep_bad))
    before = "numbers"
    for number, step in enumerate(steps):
        policy: Any = {"attempts": step.attempts, "on_error": step.on_error, "backoff": 0.0}
        system.add(f"s{number}", component(**policy)(function_of(step)))
        system.connect(before, f"s{number}", buffer_size=sizes[number])
        system.connect(f"s{number}.rejected", "bad", buffer_size=sizes[-1])
        before = f"s{number}.out"
    system.add("sink", component(result.got.append))
    system.connect(before, "sink")
    try:
        anyio.run(system.run, backend=backend)
    except SystemFailed as error:
        result.failed = error.errors[0].args[0]
    result.report = system.report
    return result


def expected(steps: list[Step], count: int) -> list[int]:
    """Return what plain Python makes of the numbers."""
    values = list(range(count))
    for step in steps:
        values = [output for value in values for output in step.outcome(value)[0]]
    return values


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(STEPS, min_size=1, max_size=4),
    count=st.integers(0, 60),
    sizes=st.lists(st.integers(1, 20), min_size=5, max_size=5),
)
def test_fused_or_not_the_results_and_the_books_are_those_of_plain_python(
    backend: str, steps: list[Step], count: int, sizes: list[int]
) -> None:
    fused = run(steps, count, sizes, backend, fuse=True)
    apart = run(steps, count, sizes, backend, fuse=False)
    assert fused.got == apart.got == expected(steps, count)
    assert Counter(fused.rejected) == Counter(apart.rejected)
    assert fused.books() == apart.books()
    assert fused.letters == apart.letters


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=30, deadline=None)
@given(
    before=st.lists(KINDS, max_size=2),
    after=st.lists(KINDS, max_size=2),
    failing=st.integers(0, 6),
    count=st.integers(0, 60),
    size=st.integers(1, 20),
)
def test_fused_or_not_a_crash_is_that_of_the_same_component_at_the_same_message(
    backend: str, before: list[str], after: list[str], failing: int, count: int, size: int
) -> None:
    harmless = [[Step(kind, -1, 0, "drop", 1) for kind in kinds] for kinds in (before, after)]
    steps = [*harmless[0], Step("map", failing, 2, "crash", 2), *harmless[1]]
    fused = run(steps, count, [size] * 5, backend, fuse=True)
    apart = run(steps, count, [size] * 5, backend, fuse=False)
    assert fused.failed == apart.failed
    assert fused.got == apart.got
    assert fused.letters == apart.letters
    for result in (fused, apart):
        assert result.books()


# --- one at a time -------------------------------------------------------------------------------------


class Line:
    """A source, three functions and a sink, and which of their batches were worked on in one task."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, count: int = 1000, **options: Any) -> None:
        self.got: list[int] = []
        self.fused: Counter[str] = Counter()
        self.system = System("line", **options)
        self.system.add("numbers", component(self._numbers))
        self.count = count
        work_on = FusedOut._work_on

        def counted(joint: FusedOut, items: Any) -> None:
            self.fused[joint._edge.key] += len(items)
            work_on(joint, items)

        monkeypatch.setattr(FusedOut, "_work_on", counted)

    def _numbers(self) -> Iterator[int]:
        yield from range(self.count)

    def build(self, *functions: Any) -> System:
        """Add the functions, and connect everything."""
        names = ["numbers"]
        for number, function in enumerate((*functions, self.got.append)):
            names.append(f"s{number}")
            self.system.add(names[-1], function)
        for one, other in pairwise(names):
            self.system.connect(one, other)
        return self.system


def plus_one(value: int) -> int:
    return value + 1


async def plus_one_later(value: int) -> int:
    return value + 1


async def test_nearly_all_messages_of_a_linear_run_pass_by_without_lying_on_an_edge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(monkeypatch)
    report = await line.build(plus_one, plus_one).run()
    assert line.got == list(range(2, 1002))
    assert set(line.fused) == set(line.system.wiring.edges)
    assert all(number > 900 for number in line.fused.values())
    for edge in report.ledger.edges:
        assert (edge.accepted, edge.acknowledged) == (1000, 1000)
    assert report.ledger.totals.taken_in == 1000


async def test_nothing_is_fused_where_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, fuse=False)
    await line.build(plus_one).run()
    assert not line.fused
    line = Line(monkeypatch)
    await line.build(component(fuse=False)(plus_one), plus_one).run()
    assert set(line.fused) == {"s1.out -> s2.in"}
    assert len(line.got) == 1000


async def test_an_asynchronous_function_ends_a_run_and_begins_none(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch)
    await line.build(plus_one, plus_one_later, plus_one).run()
    assert set(line.fused) == {"numbers.out -> s0.in", "s2.out -> s3.in"}
    assert line.got == list(range(3, 1003))


async def test_a_tap_sees_every_message_of_a_fused_run(monkeypatch: pytest.MonkeyPatch) -> None:
    line, seen = Line(monkeypatch), list[int]()
    system = line.build(plus_one, plus_one)
    system.wiring.outlets("s0.out")[0].add_tap(seen.append)
    await system.run()
    assert seen == list(range(1, 1001))
    assert "s0.out -> s1.in" not in line.fused
    assert line.got == list(range(2, 1002))


async def test_only_the_function_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, list[int]] = {"first": [], "second": []}
    metas: list[Meta] = []

    def first(value: int) -> int:
        calls["first"].append(value)
        return value

    def second(value: int, *, meta: Meta) -> int:
        calls["second"].append(value)
        if value == 500:
            metas.append(meta)
            if meta.attempt < 3:
                raise ValueError("not yet")
        return value

    line = Line(monkeypatch)
    report = await line.build(first, component(backoff=0)(second)).run()
    assert calls["first"] == list(range(1000))
    assert calls["second"] == [*range(501), 500, 500, *range(501, 1000)]
    assert [meta.attempt for meta in metas] == [1, 2, 3]
    assert len({meta.id for meta in metas}) == 1
    assert line.got == list(range(1000))
    assert report.ledger.closes


async def test_a_function_that_surprises_with_an_awaitable_is_called_once_a_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def moody(value: int) -> Any:
        calls.append(value)
        return plus_one_later(value) if value % 100 == 50 else value + 1

    line = Line(monkeypatch)
    report = await line.build(plus_one, moody).run()
    assert line.got == list(range(2, 1002))
    assert calls == list(range(1, 1001))
    assert report.ledger.closes


async def test_every_member_has_its_own_status_and_its_own_place_in_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(value: int) -> int:
        if value == 700:
            raise KeyError("gone")
        return value

    line = Line(monkeypatch)
    system = line.build(plus_one, component(on_error="crash", attempts=1)(broken), plus_one)
    with pytest.raises(SystemFailed) as caught:
        await system.run()
    (failure,) = caught.value.report.failures
    assert (failure.component, type(failure.error)) == ("s1", KeyError)
    assert [letter.message for letter in caught.value.report.dead_letters] == [700]
    assert line.got == list(range(2, 701))
    assert {name: member.status.error_count for name, member in system.wiring.members.items()} == {
        "numbers": 0,
        "s0": 0,
        "s1": 1,
        "s2": 0,
        "s3": 0,
    }


async def test_a_flat_map_does_not_flood_the_edge_behind_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0

    def many(value: int) -> Iterator[int]:
        yield from [value] * 10

    async def slow(value: int) -> None:
        nonlocal most
        most = max(most, line.system.wiring.edges["s1.out -> slow.in"].buffered)
        await anyio.lowlevel.checkpoint()

    line = Line(monkeypatch, count=200)
    system = line.build(plus_one, many)
    system.add("slow", slow)
    system.replace("s2", plus_one)
    system.connect("s1", "slow")
    report = await system.run()
    assert report.ledger.closes
    assert most <= 109, "100, and what one message gave"


async def test_a_busy_run_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, count=20_000)
    system = line.build(plus_one, plus_one)
    turns = 0
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        while system.running:
            turns += 1
            await anyio.lowlevel.checkpoint()
    assert turns > 10
