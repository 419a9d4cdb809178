"""At every end the books are checked, and where they do not close everybody is told where and by how much."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from headrace import Rejected, component
from headrace.cli.ending import report_lines
from headrace.cli.report_json import report_json
from headrace.runtime.system_execution_harness import System


def lose_one(system: System) -> None:
    """Forget a message, as a bug of the harness would."""
    system.wiring.edges["numbers.out -> sink.in"].settled_before -= 1


def send_one_more(system: System) -> None:
    """Count a message that went nowhere."""
    system.wiring.members["numbers"].outlets["out"].sent += 1


def die_without_a_letter(system: System) -> None:
    """Call a message dead of which there is no letter."""
    edge = system.wiring.edges["numbers.out -> sink.in"]
    edge.settled_before -= 1
    edge.dead_lettered += 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lose_one,
            "numbers.out -> sink.in by +1: accepted 3, acknowledged 2, dropped 0, dead 0, left 0",
        ),
        (send_one_more, "numbers.out by +1: sent 4, accepted 3, copies 1"),
        (die_without_a_letter, "dead letters by +1: on edges 1, letters 0"),
    ],
)
async def test_books_that_do_not_close_are_an_error_with_the_place_and_the_numbers(
    parts: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[System], None],
    said: str,
) -> None:
    class Spoils(parts.Collect):  # type: ignore[misc, name-defined]
        async def cleanup(self) -> None:
            await super().cleanup()
            spoil(system)

    system = System()
    system.register_component("numbers", parts.Numbers(count=3))
    system.register_component("sink", Spoils())
    system.connect("numbers.out", "sink.in")
    report = await system.run()
    assert [str(one) for one in report.ledger.disagreements()] == [said]
    assert not report.ledger.closes
    assert report.exit_code() == 3
    assert f"does not close: {said}" in report_lines(report)
    assert said in report_json(report, 3)
    [record] = [one for one in caplog.records if f"the ledger does not close: {said}" in one.getMessage()]
    assert record.levelname == "ERROR"


async def test_a_broadcast_is_on_all_its_edges_and_a_reader_that_ended_explains_the_rest(
    parts: SimpleNamespace,
) -> None:
    async def three(self: Any) -> None:
        for _ in range(3):
            await self.receive_streams["in"].receive()

    system = System(buffer_size=1)
    system.register_component("numbers", parts.Numbers(count=10))
    system.register_component("all", parts.Collect("all"))
    system.register_component("three", parts.Acting("three", three))
    system.connect("numbers.out", "all.in")
    system.connect("numbers.out", "three.in")
    report = await system.run()
    [output] = report.ledger.outputs
    assert (output.sent, output.copies) == (10, 2)
    assert 13 <= output.accepted < 20
    assert report.ledger.closes


@pytest.mark.parametrize("how", ["balance", "by_key"])
async def test_of_several_edges_of_which_each_message_takes_one_the_sum_is_exact(
    parts: SimpleNamespace, how: Any
) -> None:
    system = System(buffer_size=2)
    system.register_component("numbers", parts.Numbers(count=20))
    for name in ("one", "two", "three"):
        system.register_component(name, parts.Collect(name))
        system.connect("numbers.out", f"{name}.in")
    system.spread("numbers.out", how, key=(lambda n: n) if how == "by_key" else None)
    report = await system.run()
    [output] = report.ledger.outputs
    assert (output.sent, output.accepted, output.copies) == (20, 20, 1)


async def test_rejected_and_discarded_messages_are_in_the_books_of_their_outputs(
    parts: SimpleNamespace,
) -> None:
    @component
    def odd(number: int) -> int | Rejected[int]:
        return number if number % 2 else Rejected(number, "even")

    system = System()
    system.register_component("numbers", parts.Numbers(count=10))
    system.add("odd", odd)
    system.register_component("bad", parts.Collect("bad"))
    system.connect("numbers.out", "odd.in")
    system.connect("odd.rejected", "bad.in")
    report = await system.run()
    assert {one.port: (one.sent, one.accepted) for one in report.ledger.outputs} == {
        "numbers.out": (10, 10),
        "odd.rejected": (5, 5),
    }
    assert report.ledger.discarded == {"odd.out": 5}
    assert report.ledger.closes


async def test_a_run_that_is_cancelled_in_its_first_step_has_books_that_close(parts: SimpleNamespace) -> None:
    system = System()
    system.register_component("numbers", parts.Numbers())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await system.run()
    assert system.report is not None
    assert system.report.outcome == "cancelled"
    assert system.report.ledger.closes
