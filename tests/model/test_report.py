"""What a run says at its end, and the exit code it gives."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.model.ledger import EdgeLedger, SystemLedger, Totals
from headrace.model.report import DeadLetter, Failure, Overrun, ShutdownReport, describe

FAILURE = Failure("parse", "process", ValueError("bad row"))
OVERRUN = Overrun("store", "cleanup", 5.0, "close() at store.py:41")
LETTER = DeadLetter(1, "parse", "a.out -> parse.in", "x", ValueError("bad"), "Traceback", 3, 0.0)


def report(edges: tuple[EdgeLedger, ...] = (), lost: int = 0, **changes: Any) -> ShutdownReport:
    fields: dict[str, Any] = {
        "system": "flights",
        "outcome": "finished",
        "signal": None,
        "seconds": 1.25,
        "drain_seconds": 0.0,
        "failures": (),
        "overruns": (),
        "ledger": SystemLedger(edges, {}, Totals(5, 4, 1, 0, lost)),
        "dead_letters": (),
    }
    return ShutdownReport(**{**fields, **changes})


LEFT = (EdgeLedger("a.out -> b.in", accepted=1, buffered=1),)
OPEN = (EdgeLedger("a.out -> b.in", accepted=1),)


@pytest.mark.parametrize(
    ("code", "made"),
    [
        (0, report()),
        (0, report(outcome="stopped")),
        (1, report(failures=(FAILURE,), signal=2, overruns=(OVERRUN,))),
        (1, report(outcome="failed")),
        (130, report(outcome="stopped", signal=2, overruns=(OVERRUN,))),
        (143, report(outcome="stopped", signal=15)),
        (5, report(overruns=(OVERRUN,), edges=LEFT)),
        (3, report(edges=LEFT, dead_letters=(LETTER,))),
        (3, report(edges=OPEN)),
        (4, report(dead_letters=(LETTER,))),
    ],
)
def test_the_exit_code_says_how_it_ended(code: int, made: ShutdownReport) -> None:
    assert made.exit_code() == code


def test_dead_letters_can_be_allowed() -> None:
    assert report(dead_letters=(LETTER,)).exit_code(allow_dead=True) == 0


def test_it_is_clean_when_nothing_failed_overran_died_or_was_lost() -> None:
    assert report().clean
    assert not report(failures=(FAILURE,)).clean
    assert not report(overruns=(OVERRUN,)).clean
    assert not report(dead_letters=(LETTER,)).clean
    assert not report(lost=1).clean


def test_the_summary_is_one_line() -> None:
    assert report().summary() == "in 5 out 4 rejected 1 lost 0 in 1.2 s"


def test_failures_and_overruns_are_sentences() -> None:
    assert str(FAILURE) == "parse failed in process: ValueError bad row"
    assert str(OVERRUN) == "store overran its cleanup after 5 s, awaiting close() at store.py:41"


def test_an_error_is_described_by_type_and_text_and_a_group_by_its_leaves() -> None:
    group = BaseExceptionGroup("many", [KeyError(), ExceptionGroup("more", [ValueError("a"), OSError("b")])])
    assert describe(group) == "KeyError; ValueError a; OSError b"
