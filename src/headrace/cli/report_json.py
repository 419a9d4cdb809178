"""What a run says when it is over, as one line of JSON for other programs: the facts of the printed report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from headrace.model.blueprint import Problem
from headrace.model.ledger import EdgeLedger, SystemLedger
from headrace.model.report import DeadLetter, Failure, Overrun, Restarts, ShutdownReport, describe
from headrace.runtime.driven import leaves

from .own_code import location, one_line
from .problems import as_json

_LONGEST = 200  # characters that are shown of a message


def report_json(
    report: ShutdownReport, code: int, warnings: Sequence[Problem] = (), *, hide: Callable[[str], str] = str
) -> str:
    """Return the line for a run that has ended.

    Args:
        report: How it ended.
        code: The exit code.
        warnings: What was found when the system was loaded.
        hide: Takes secrets out of texts of others; the rest of the line stays as it is, or it were no JSON.
    """
    return _line(
        _head(report.system, report.outcome, code, report.seconds)
        | {"signal": report.signal, "drain_seconds": round(report.drain_seconds, 6)}
        | _books(report.ledger)
        | {
            "dead_letters": [_letter(letter, hide) for letter in report.dead_letters],
            "failures": [one for failure in report.failures for one in _failed(failure, hide)],
            "restarts": [_restarts(one, hide) for one in report.restarts],
            "overruns": [_overrun(overrun, hide) for overrun in report.overruns],
            "deadlocks": [hide(deadlock) for deadlock in report.deadlocks],
            "warnings": [as_json(problem) for problem in warnings],
        }
    )


def unfinished_json(system: str, ledger: SystemLedger, seconds: float, code: int) -> str:
    """Return the line for a run that never ended and is cut short."""
    return _line(_head(system, "unfinished", code, seconds) | _books(ledger))


def refusal_json(target: str, problems: Sequence[Problem]) -> str:
    """Return the line for a system that cannot be loaded."""
    return _line(
        {"target": target, "outcome": "refused", "exit_code": 2}
        | {"problems": [as_json(problem) for problem in problems]}
    )


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _head(system: str, outcome: str, code: int, seconds: float) -> dict[str, Any]:
    return {"system": system, "outcome": outcome, "exit_code": code, "seconds": round(seconds, 6)}


def _books(ledger: SystemLedger) -> dict[str, Any]:
    totals = ledger.totals
    return {
        "in": totals.taken_in,
        "out": totals.given_out,
        "rejected": totals.rejected,
        "dead": totals.dead,
        "lost": totals.lost,
        "closes": ledger.closes,
        "does_not_close": [str(disagreement) for disagreement in ledger.disagreements()],
        "edges": [_edge(edge) for edge in ledger.edges],
        "discarded": dict(ledger.discarded),
    }


def _edge(edge: EdgeLedger) -> dict[str, Any]:
    return {
        "edge": edge.edge,
        "accepted": edge.accepted,
        "acknowledged": edge.acknowledged,
        "dropped": {reason: number for reason, number in edge.dropped.items() if number},
        "dead": edge.dead_lettered,
        "left": edge.remaining,
    }


def _letter(letter: DeadLetter, hide: Callable[[str], str]) -> dict[str, Any]:
    return {
        "number": letter.number,
        "component": letter.component,
        "edge": letter.edge,
        "attempts": letter.attempts,
        "at": letter.at,
        "message": _shown(letter.message, hide),
        **_error(letter.error, hide),
    }


def _shown(message: object, hide: Callable[[str], str]) -> str:
    """Return the ``repr`` of a message as one line of bounded length, cut after secrets are out of it."""
    try:
        text = hide(one_line([repr(message)]))
    except Exception as error:  # code of the user's
        return f"<{type(message).__name__}: its repr raises {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _failed(failure: Failure, hide: Callable[[str], str]) -> list[dict[str, Any]]:
    about = {"component": failure.component, "phase": failure.phase}
    return [about | _error(leaf, hide, failure.error) for leaf in leaves(failure.error)]


def _error(
    error: BaseException, hide: Callable[[str], str], around: BaseException | None = None
) -> dict[str, Any]:
    where = location(error) or (location(around) if around is not None else "")
    return {"error": hide(one_line([describe(error)])), "where": where}


def _restarts(one: Restarts, hide: Callable[[str], str]) -> dict[str, Any]:
    return {
        "component": one.component,
        "restarts": one.restarts,
        "redelivered": one.redelivered,
        "state_lost": one.state_lost,
        "from_the_start": one.from_the_start,
        "last_error": hide(one_line([one.last_error])),
        "troubles": [hide(one_line([trouble])) for trouble in one.troubles],
    }


def _overrun(overrun: Overrun, hide: Callable[[str], str]) -> dict[str, Any]:
    return {
        "component": overrun.component,
        "phase": overrun.phase,
        "after": overrun.after,
        "awaiting": hide(overrun.awaiting),
        "deadline": overrun.deadline,
        "left": dict(overrun.left),
    }


__all__ = ["refusal_json", "report_json", "unfinished_json"]
