"""A function that fails on every third message, from the first attempt to the second chance after a mend."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from headrace import System, SystemFailed, component
from headrace.model.component_status import ComponentState

COUNT = 9
GOOD = [1, 2, 4, 5, 7, 8]
BAD = [3, 6, 9]
CALLS = [1, 2, 3, 3, 3, 4, 5, 6, 6, 6, 7, 8, 9, 9, 9]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses, in seconds, that functions make between attempts; none of them is really made."""
    asked: list[float] = []
    real = anyio.sleep

    async def sleep(seconds: float) -> None:
        if sys._getframe(1).f_globals["__name__"] == "headrace.authoring.function_component":
            asked.append(seconds)
            await checkpoint()
        else:
            await real(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    return asked


class Workshop:
    """A system of a source, a function that fails on every third message, and a sink.

    Attributes:
        calls: The message of every call of the function, kept in its closure.
        tool: An object whose bound method is a function too; what it knows is its own.
    """

    def __init__(self, **policy: object) -> None:
        self.broken = True
        self.calls: list[int] = []
        self.got: list[int] = []
        self.tool = Tool()
        self.system = System("workshop")

        @component
        def numbers() -> Iterator[int]:
            yield from range(1, COUNT + 1)

        def work(number: int) -> int:
            self.calls.append(number)
            if self.broken and number % 3 == 0:
                raise KeyError(f"no {number}")
            return number

        self.system.add("numbers", numbers)
        self.system.add("work", component(**policy)(work))  # type: ignore[call-overload]
        self.system.add("tool", component(self.tool.use))
        self.system.add("sink", component(self._keep))
        for link in ("numbers -> work", "work -> tool", "tool -> sink"):
            self.system.connect(*link.split(" -> "))

    def _keep(self, number: int) -> None:
        self.got.append(number)


class Tool:
    """Counts what it is used for; it breaks at its third use, for good unless it is repaired."""

    def __init__(self) -> None:
        self.uses = 0
        self.breaks_at = 0

    def use(self, number: int) -> int:
        """Return the number."""
        self.uses += 1
        if self.uses == self.breaks_at:
            raise RuntimeError("broken at this use")
        return number


async def test_it_is_retried_in_place_before_the_next_message_with_a_growing_pause(
    pauses: list[float],
) -> None:
    shop = Workshop()
    await shop.system.run()
    assert shop.calls == CALLS
    assert pauses == [0.05, 0.1] * 3
    assert shop.got == GOOD


async def test_attempts_and_pause_are_those_that_were_said(pauses: list[float]) -> None:
    shop = Workshop(attempts=4, backoff=0.2)
    await shop.system.run()
    assert [shop.calls.count(number) for number in (1, 3)] == [1, 4]
    assert pauses == [0.2, 0.4, 0.8] * 3


async def test_a_message_that_fails_once_goes_through_at_its_second_attempt(pauses: list[float]) -> None:
    shop = Workshop()
    shop.broken, shop.tool.breaks_at = False, 3
    report = await shop.system.run()
    assert shop.got == list(range(1, COUNT + 1))
    assert shop.tool.uses == COUNT + 1, "one of them twice, and none forgotten"
    assert pauses == [0.05]
    assert report.exit_code() == 0
    assert report.clean


async def test_it_is_put_away_with_all_that_is_needed_to_understand_it(pauses: list[float]) -> None:
    shop = Workshop()
    report = await shop.system.run()
    letters = shop.system.dead_letters()
    assert report.dead_letters == letters
    assert [letter.message for letter in letters] == BAD
    assert [letter.number for letter in letters] == [1, 2, 3]
    for letter in letters:
        assert (letter.component, letter.edge, letter.attempts) == ("work", "numbers.out -> work.in", 3)
        assert isinstance(letter.error, KeyError)
        assert 'in work\n    raise KeyError(f"no {number}")' in letter.traceback
        assert letter.traceback.endswith(f"KeyError: 'no {letter.message}'\n")
        assert __file__ in letter.traceback


async def test_the_component_keeps_its_state_and_is_not_restarted(pauses: list[float]) -> None:
    shop = Workshop()
    states = [member.status for member in shop.system.wiring.members.values()]
    before = [member.component for member in shop.system.wiring.members.values()]
    await shop.system.run()
    assert len(shop.calls) == COUNT + 2 * len(BAD), "its closure has seen every attempt"
    assert shop.tool.uses == len(GOOD)
    assert [member.component for member in shop.system.wiring.members.values()] == before
    assert [(status.state, status.error_count) for status in states] == [(ComponentState.STOPPED, 0)] * 4


async def test_the_run_ends_well_with_code_4_and_books_that_close(pauses: list[float]) -> None:
    report = await Workshop().system.run()
    assert (report.outcome, report.failures, report.overruns) == ("finished", (), ())
    assert (report.exit_code(), report.exit_code(allow_dead=True)) == (4, 0)
    assert report.ledger.closes
    totals = report.ledger.totals
    assert (totals.taken_in, totals.given_out, totals.dead, totals.lost) == (COUNT, len(GOOD), len(BAD), 0)
    (edge,) = [edge for edge in report.ledger.edges if edge.edge == "numbers.out -> work.in"]
    assert (edge.accepted, edge.acknowledged, edge.dead_lettered, edge.remaining) == (
        COUNT,
        len(GOOD),
        len(BAD),
        0,
    )
    assert report.summary().startswith("in 9 out 6 rejected 0 lost 0 dead 3 in ")


async def test_what_it_yielded_before_it_failed_is_not_sent(pauses: list[float]) -> None:
    got: list[int] = []

    @component
    def numbers() -> Iterator[int]:
        yield from range(1, 4)

    @component
    def both(number: int) -> Iterator[int]:
        yield number
        if number == 2:
            raise ValueError("after its first output")
        yield -number

    system = System()
    system.add("numbers", numbers)
    system.add("both", both)
    system.add("sink", component(got.append))
    system.connect("numbers", "both")
    system.connect("both", "sink")
    report = await system.run()
    assert got == [1, -1, 3, -3]
    assert [letter.message for letter in report.dead_letters] == [2]


async def test_dropped_and_crashed_messages_do_not_go_to_the_dead_letters(pauses: list[float]) -> None:
    shop = Workshop(on_error="drop", attempts=1)
    report = await shop.system.run()
    assert (report.dead_letters, shop.got) == ((), GOOD)
    (edge,) = [edge for edge in report.ledger.edges if edge.edge == "numbers.out -> work.in"]
    assert edge.dropped == {"on_error": len(BAD)}
    shop = Workshop(on_error="crash", attempts=2)
    with pytest.raises(SystemFailed) as caught:
        await shop.system.run()
    assert isinstance(caught.value.__cause__, KeyError)
    assert (caught.value.report.exit_code(), shop.calls) == (1, [1, 2, 3, 3])


async def test_a_cancelled_run_does_not_wait_for_the_next_attempt() -> None:
    shop = Workshop(backoff=3600.0)
    async with anyio.create_task_group() as group:
        await group.start(shop.system.run)
        await anyio.wait_all_tasks_blocked()
        assert shop.calls == CALLS[:3]
        group.cancel_scope.cancel()
    assert shop.system.report is not None
    assert shop.system.report.outcome == "cancelled"


# --- after a mend ----------------------------------------------------------------------------------------


async def test_after_a_mend_they_come_through_on_their_own_run(pauses: list[float]) -> None:
    shop = Workshop()
    await shop.system.run()
    letters = shop.system.dead_letters()
    shop.broken = False
    assert await letters.redrive() == len(BAD)
    assert shop.got == GOOD + BAD
    assert shop.calls == CALLS + BAD, "the source has sent nothing more"
    assert shop.system.dead_letters() == ()
    report = shop.system.report
    assert report is not None
    assert report.exit_code() == 0
    assert report.ledger.closes
    assert report.ledger.totals.lost == 0


async def test_another_function_in_its_place_is_a_mend_too(pauses: list[float]) -> None:
    shop = Workshop()
    await shop.system.run()

    @component
    def mended(number: int) -> int:
        return -number

    shop.system.replace("work", mended)
    assert await shop.system.redrive() == len(BAD)
    assert shop.got == [*GOOD, -3, -6, -9]
    assert await shop.system.redrive() == 0


async def test_during_a_run_they_go_back_to_their_edge_and_are_not_dead_after_all(
    pauses: list[float],
) -> None:
    gate = anyio.Event()
    shop = Workshop()

    @component
    async def numbers() -> AsyncIterator[int]:
        for number in range(1, COUNT + 1):
            yield number
        await gate.wait()

    shop.system.replace("numbers", numbers)
    async with anyio.create_task_group() as group:
        await group.start(shop.system.run)
        await anyio.wait_all_tasks_blocked()
        assert [letter.message for letter in shop.system.dead_letters()] == BAD
        assert await shop.system.redrive(2) == 1, "one of them alone, and it fails again"
        await anyio.wait_all_tasks_blocked()
        assert [letter.message for letter in shop.system.dead_letters()] == [3, 9, 6]
        shop.broken = False
        assert await shop.system.dead_letters().redrive() == len(BAD)
        await anyio.wait_all_tasks_blocked()
        assert shop.got == [*GOOD, 3, 9, 6]
        gate.set()
    report = shop.system.report
    assert report is not None
    assert (report.exit_code(), report.dead_letters) == (0, ())
    assert report.ledger.closes
    assert (report.ledger.totals.taken_in, report.ledger.totals.given_out) == (COUNT, COUNT)


# --- the command line --------------------------------------------------------------------------------------

PARTS = """
from headrace import component

seen = []

@component
def numbers():
    yield from range(1, 10)

@component(backoff=0)
def work(number: int) -> int:
    seen.append(number)
    if number % 3 == 0:
        raise KeyError(f"no {number}")
    return number

@component
def show(number: int) -> None:
    print(number, len(seen))
"""
RAISES = next(n for n, line in enumerate(PARTS.splitlines(), 1) if "raise" in line)
BLUEPRINT = """
system: workshop
components:
  numbers: {type: "parts:numbers"}
  work: {type: "parts:work"}
  show: {type: "parts:show"}
connections:
  - numbers -> work -> show
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("options", "code"), [([], 4), (["--allow-dead"], 0)])
def test_the_command_line_says_how_many_died_of_what_and_ends_with_4(
    options: list[str], code: int, backend: str, tmp_path: Path
) -> None:
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "bp.yaml").write_text(BLUEPRINT)
    command = [sys.executable, "-m", "headrace", "run", "bp.yaml", "--backend", backend, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    shown = [line.split() for line in lines if line.replace(" ", "").isdigit()]
    assert [int(number) for number, _ in shown] == GOOD
    assert "dead letters: 3" in lines
    assert f"  1 in work: KeyError 'no 3' at parts.py:{RAISES}" in lines
    assert lines[-1].startswith("in 9 out 6 rejected 0 lost 0 dead 3 in ")
    assert done.stderr.count("message dead-lettered") == 3
    assert "Traceback" not in done.stderr
