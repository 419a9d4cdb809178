"""The lines that end a run: books, losses, overruns, dead letters, failures, and the summary last."""

from __future__ import annotations

import pytest

from headrace.cli.ending import (
    dead_lines,
    failure_card,
    failure_lines,
    ledger_lines,
    lost_lines,
    report_lines,
    restart_lines,
    throughput_lines,
    unfinished_lines,
    what_follows,
)
from headrace.exceptions import ComponentError
from headrace.model.ledger import EdgeLedger, SystemLedger, Totals
from headrace.model.report import Crash, DeadLetter, Failure, Overrun, Restarts, ShutdownReport

GOOD = EdgeLedger("a.out -> b.in", accepted=1200, acknowledged=1200)
BAD = EdgeLedger(
    "b.out -> c.in", accepted=10, acknowledged=2, dropped={"full": 3, "none": 0}, dead_lettered=1, buffered=4
)
OPEN = EdgeLedger("c.out -> d.in", accepted=3, acknowledged=1)


def books(*edges: EdgeLedger, **discarded: int) -> SystemLedger:
    """Return a ledger."""
    lost = sum(edge.lost for edge in edges)
    return SystemLedger(
        edges, discarded, Totals(1200, 1100, 90, sum(edge.dead_lettered for edge in edges), lost)
    )


def report(*edges: EdgeLedger, **more: object) -> ShutdownReport:
    """Return a report of 2.0 s."""
    values = {
        "failures": (),
        "overruns": (),
        "dead_letters": (),
        "signal": None,
        "outcome": "finished",
    } | more
    return ShutdownReport(system="s", seconds=2.0, drain_seconds=0.0, ledger=books(*edges), **values)  # type: ignore[arg-type]


def raised(error: BaseException) -> BaseException:
    """Return an error that was raised here."""
    try:
        raise error
    except BaseException as caught:
        return caught


def letter(component: str, error: BaseException) -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter(1, component, "a.out -> b.in", "message", error, "", 3, 0.0)


def test_the_table_is_aligned() -> None:
    assert ledger_lines(books(GOOD, BAD)) == [
        "edge           accepted  acknowledged  dropped  dead  left",
        "a.out -> b.in     1,200         1,200        0     0     0",
        "b.out -> c.in        10             2        3     1     4",
    ]


def test_there_is_no_table_where_nothing_moved() -> None:
    assert ledger_lines(books()) == []
    assert ledger_lines(books(EdgeLedger("a -> b"))) == []


def test_a_long_table_shows_only_what_was_not_acknowledged() -> None:
    lines = ledger_lines(books(*[GOOD] * 50, BAD))
    assert len(lines) == 3
    assert lines[1].startswith("b.out -> c.in")
    assert lines[2] == "and 50 edges on which all 60,000 accepted were acknowledged"


def test_what_was_lost_is_named() -> None:
    assert lost_lines(books(GOOD, BAD, OPEN, **{"e.out": 7})) == [
        "lost on b.out -> c.in: 3 dropped (full), 4 left",
        "discarded: 7 from e.out, which is not connected",
        "does not close: c.out -> d.in by +2: accepted 3, acknowledged 1, dropped 0, dead 0, left 0",
    ]


def test_dead_letters_are_counted_by_component_and_error() -> None:
    letters = [
        letter("parse", ValueError("x")),
        letter("parse", ValueError("x")),
        letter("store", OSError("full")),
    ]
    assert dead_lines(letters) == [
        "dead letters: 3",
        "  2 in parse: ValueError x",
        "  1 in store: OSError full",
    ]
    assert dead_lines([]) == []


def test_a_failure_says_who_what_and_where() -> None:
    (line,) = failure_lines("parse", "process", raised(KeyError("id")))
    assert line.startswith("parse crashed: KeyError 'id' at ")
    assert line.rpartition(":")[0].endswith("test_ending.py")


@pytest.mark.parametrize(
    ("phase", "words"), [("setup", "failed in set-up"), ("cleanup", "failed in clean-up"), ("run", "failed")]
)
def test_a_failure_says_when(phase: str, words: str) -> None:
    assert failure_lines("a", phase, ValueError("no")) == [f"a {words}: ValueError no"]


def test_our_own_errors_are_told_without_their_class_and_their_name_twice() -> None:
    assert failure_lines("a", "setup", ComponentError("a: the\n  table is gone")) == [
        "a failed in set-up: the table is gone"
    ]


def test_a_card_shows_the_users_own_frames_and_all_of_them_for_debugging() -> None:
    error = raised(KeyError("id"))
    first, frame = failure_card("parse", "process", error, debug=False)
    assert first.startswith("x parse crashed: KeyError 'id' at ")
    assert frame.endswith("in raised: raise error")
    full = failure_card("parse", "process", error, debug=True)
    assert full[1] == "    Traceback (most recent call last):"
    assert full[-1] == "    KeyError: 'id'"


def test_a_group_is_told_error_by_error_in_its_order() -> None:
    group = raised(ExceptionGroup("both", [ValueError("first"), KeyError("second")]))
    card = failure_card("a", "process", group, debug=False)
    heads = [line for line in card if line.startswith("x ")]
    assert [head.split(" at ")[0] for head in heads] == [
        "x a crashed: ValueError first",
        "x a crashed: KeyError 'second'",
    ]
    assert all("test_ending.py" in line for line in card)


def test_the_rate_is_left_out_where_there_is_none() -> None:
    assert throughput_lines(216_000, 2.0) == ["108,000 messages/s"]
    assert throughput_lines(3, 2.0) == ["1.5 messages/s"]
    assert throughput_lines(0, 2.0) == throughput_lines(1, 0.0) == []


def test_the_summary_is_last_and_alone_where_quiet() -> None:
    late = Overrun("c", "process", 5.0, "fetch() at c.py:4")
    failed = Failure("b", "process", ValueError("no"))
    found = report(
        GOOD, BAD, failures=(failed,), overruns=(late,), dead_letters=(letter("b", ValueError("no")),)
    )
    lines = report_lines(found)
    assert lines[3:] == [
        "lost on b.out -> c.in: 3 dropped (full), 4 left",
        "overran: c overran its process after 5 s, awaiting fetch() at c.py:4",
        "dead letters: 1",
        "  1 in b: ValueError no",
        "failed: b crashed: ValueError no",
        "600 messages/s",
        "in 1,200 out 1,100 rejected 90 lost 7 dead 1 in 2.0 s",
    ]
    assert report_lines(found, quiet=True) == lines[-1:]


def test_a_run_that_never_ended_has_the_same_last_line() -> None:
    assert unfinished_lines(books(BAD), 2.0)[-1] == "in 1,200 out 1,100 rejected 90 lost 7 dead 1 in 2.0 s"
    assert len(unfinished_lines(books(BAD), 2.0)) == 5
    assert unfinished_lines(books(BAD), 2.0, quiet=True) == [
        "in 1,200 out 1,100 rejected 90 lost 7 dead 1 in 2.0 s"
    ]


# --- restarts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crash", "said"),
    [
        (None, ("", "")),
        (Crash("a", ValueError()), ("", "")),
        (Crash("a", ValueError(), 2, 5, 1.6), ("(restart 2/5 in 1.6 s)", "")),
        (Crash("a", ValueError(), of=5), ("(given up after 5 restarts)", "")),
        (
            Crash("a", ValueError(), 1, 5, 0.1, again=1),
            ("(restart 1/5 in 0.1 s)", "its 1 message in hand will come again"),
        ),
        (
            Crash("a", ValueError(), 1, 5, 0.1, letters=(7,), again=2),
            (
                "(restart 1/5 in 0.1 s)",
                "message saved as dead letter 7; its 2 messages in hand will come again",
            ),
        ),
        (Crash("a", ValueError(), letters=(7, 8)), ("", "2 messages saved as dead letters 7 to 8")),
    ],
)
def test_a_card_says_what_follows_a_crash(crash: Crash | None, said: tuple[str, str]) -> None:
    assert what_follows(crash) == said


def test_the_card_of_a_restart_is_one_line_and_the_place() -> None:
    error = raised(KeyError("id"))
    crash = Crash("parse", error, 2, 5, 1.6, letters=(8812,))
    card = failure_card("parse", "process", error, debug=False, crash=crash)
    assert card[0].startswith(
        "x parse crashed (restart 2/5 in 1.6 s): KeyError 'id' at tests/cli/test_ending.py:"
    )
    assert card[0].endswith("; message saved as dead letter 8812")


def test_restarts_are_told_with_what_they_have_cost() -> None:
    restarts = (
        Restarts("parse", 3, 2, last_error="KeyError 'id'"),
        Restarts("totals", 1, state_lost="what it had gathered from 7 messages", troubles=("x failed",)),
        Restarts("source", 1, from_the_start=True),
    )
    assert restart_lines(restarts) == [
        "restarted: parse 3 times, 2 messages delivered again, last error: KeyError 'id'",
        "restarted: totals 1 time",
        "  its state is lost: what it had gathered from 7 messages",
        "  x failed",
        "restarted: source 1 time, it began anew, so its messages may have come again",
    ]
    told = report(GOOD, restarts=restarts)
    assert report_lines(told)[-1] == ("in 1,200 out 1,100 rejected 90 lost 0 (state of totals lost) in 2.0 s")
    assert told.exit_code() == 3


def test_a_failure_says_what_was_tried_before() -> None:
    failed = Failure("parse", "process", raised(ValueError("x")), "after 5 restarts within 60 s")
    (line,) = [line for line in report_lines(report(GOOD, failures=(failed,))) if line.startswith("failed:")]
    assert line.startswith(
        "failed: parse crashed after 5 restarts within 60 s: ValueError x at tests/cli/test_ending.py"
    )
