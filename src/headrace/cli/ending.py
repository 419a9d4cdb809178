"""What a run says when it is over, as plain lines: the books, what was lost where, who overran, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from headrace.exceptions import HeadraceError
from headrace.model.ledger import EdgeLedger, SystemLedger
from headrace.model.report import Crash, DeadLetter, Failure, Restarts, ShutdownReport, describe
from headrace.runtime.driven import leaves

from .own_code import location, one_line, own_frames, short
from .problems import plural

_LONGEST_TABLE = 40
_HEAD = ("edge", "accepted", "acknowledged", "dropped", "dead", "left")
_WHAT = {"setup": "failed in set-up", "process": "crashed", "cleanup": "failed in clean-up"}


# --- failures -------------------------------------------------------------------------------------


def failure_lines(component: str, phase: str, error: BaseException, follows: str = "") -> list[str]:
    """Return one line for each error: ``parse crashed: KeyError 'id' at parse.py:31``.

    Args:
        component: Its name.
        phase: ``setup``, ``process`` or ``cleanup``.
        error: What it raised.
        follows: What is said between the two: ``(restart 2/5 in 1.6 s)``.
    """
    what = f"{component} {_WHAT.get(phase, 'failed')}{follows and ' '}{follows}"
    return [f"{what}: {_described(leaf, error).removeprefix(f'{component}: ')}" for leaf in leaves(error)]


def what_follows(crash: Crash | None) -> tuple[str, str]:
    """Return what a card says of a crash beside its error: of the restart, and of the messages in hand."""
    if crash is None:
        return "", ""
    follows = f"(given up after {plural(crash.of, 'restart')})" if crash.of else ""
    if crash.restart:
        follows = f"(restart {crash.restart}/{crash.of} in {crash.after:.2g} s)"
    parts = []
    if crash.letters:
        first, last = crash.letters[0], crash.letters[-1]
        many = "message" if first == last else f"{len(crash.letters)} messages"
        numbers = f"dead letter {first}" if first == last else f"dead letters {first} to {last}"
        parts.append(f"{many} saved as {numbers}")
    if crash.again:
        parts.append(f"its {plural(crash.again, 'message')} in hand will come again")
    return follows, "; ".join(parts)


def failure_card(
    component: str, phase: str, error: BaseException, *, debug: bool, crash: Crash | None = None
) -> list[str]:
    """Return the lines of the card that is shown when a component fails.

    Args:
        component: Its name.
        phase: ``setup``, ``process`` or ``cleanup``.
        error: What it raised; each error of a group gets its own part.
        debug: Whether to show all frames, instead of the user's own.
        crash: What follows, where that is known.
    """
    lines: list[str] = []
    follows, saved = what_follows(crash)
    for leaf, line in zip(leaves(error), failure_lines(component, phase, error, follows), strict=True):
        lines.append(f"x {line}{saved and '; '}{saved}")
        lines += [f"    {line}" for line in (_full(leaf) if debug else _own(leaf) or _own(error))]
    return lines


def _described(error: BaseException, around: BaseException | None = None) -> str:
    place = location(error) or (location(around) if around is not None else "")
    text = one_line([str(error) if isinstance(error, HeadraceError) else describe(error)])
    return f"{text} at {place}" if place else text


def _own(error: BaseException) -> list[str]:
    return [
        f"{short(frame.filename)}:{frame.lineno} in {frame.name}: {frame.line}" for frame in own_frames(error)
    ]


def _full(error: BaseException) -> list[str]:
    import traceback

    return "".join(traceback.format_exception(error)).splitlines()


# --- the books ------------------------------------------------------------------------------------


def ledger_lines(ledger: SystemLedger) -> list[str]:
    """Return the table of the edges; in a long one, only edges where not all was acknowledged get a line."""
    edges: Sequence[EdgeLedger] = ledger.edges
    if not any(edge.accepted for edge in edges):
        return []
    more = 0
    if len(edges) > _LONGEST_TABLE:
        edges = [edge for edge in edges if edge.accepted != edge.acknowledged]
        more = len(ledger.edges) - len(edges)
    lines = _table([_HEAD, *(_row(edge) for edge in edges)])
    if more:
        accepted = sum(edge.accepted for edge in ledger.edges if edge.accepted == edge.acknowledged)
        lines.append(f"and {more:,} edges on which all {accepted:,} accepted were acknowledged")
    return lines


def _row(edge: EdgeLedger) -> tuple[str, ...]:
    numbers = (
        edge.accepted,
        edge.acknowledged,
        sum(edge.dropped.values()),
        edge.dead_lettered,
        edge.remaining,
    )
    return (edge.edge, *(f"{number:,}" for number in numbers))


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(row[c].rjust(widths[c]) for c in range(1, len(row)))])
        for row in rows
    ]


def lost_lines(ledger: SystemLedger) -> list[str]:
    """Return by name what was lost where, what was discarded, and where the books do not close."""
    lines: list[str] = []
    for edge in ledger.leftovers():
        counts = [f"{number:,} dropped ({reason})" for reason, number in edge.dropped.items() if number]
        if edge.remaining:
            counts.append(f"{edge.remaining:,} left")
        lines.append(f"lost on {edge.edge}: {', '.join(counts)}")
    for port, number in ledger.discarded.items():
        lines.append(f"discarded: {number:,} from {port}, which is not connected")
    return lines + [f"does not close: {disagreement}" for disagreement in ledger.disagreements()]


def dead_lines(letters: Sequence[DeadLetter]) -> list[str]:
    """Return how many messages died in which component of what."""
    if not letters:
        return []
    kinds = Counter((letter.component, _described(letter.error)) for letter in letters)
    lines = [f"dead letters: {len(letters):,}"]
    return lines + [f"  {number:,} in {name}: {error}" for (name, error), number in kinds.most_common(10)]


def restart_lines(restarts: Sequence[Restarts]) -> list[str]:
    """Return who was restarted how often, and what that has cost."""
    lines: list[str] = []
    for one in restarts:
        said = [f"{one.component} {plural(one.restarts, 'time')}"]
        if one.redelivered:
            said.append(f"{plural(one.redelivered, 'message')} delivered again")
        if one.from_the_start:
            said.append("it began anew, so its messages may have come again")
        if one.last_error:
            said.append(f"last error: {one_line([one.last_error])}")
        lines.append(f"restarted: {', '.join(said)}")
        if one.state_lost:
            lines.append(f"  its state is lost: {one.state_lost}")
        lines += [f"  {one_line([trouble])}" for trouble in one.troubles]
    return lines


def throughput_lines(taken_in: int, seconds: float) -> list[str]:
    """Return ``108,000 messages/s``, or nothing where nothing was taken in."""
    if not taken_in or seconds <= 0:
        return []
    rate = taken_in / seconds
    return [f"{rate:,.0f} messages/s" if rate >= 10 else f"{rate:.2g} messages/s"]


# --- all of it ------------------------------------------------------------------------------------


def report_lines(report: ShutdownReport, *, quiet: bool = False) -> list[str]:
    """Return all that is printed when a run is over; the last line is always the summary.

    Args:
        report: How the run ended.
        quiet: Whether to print the summary alone.
    """
    if quiet:
        return [report.summary()]
    return [
        *ledger_lines(report.ledger),
        *lost_lines(report.ledger),
        *(f"overran: {overrun}" for overrun in report.overruns),
        *report.deadlocks,
        *dead_lines(report.dead_letters),
        *restart_lines(report.restarts),
        *(f"failed: {line}" for failure in report.failures for line in _lines_of(failure)),
        *throughput_lines(report.ledger.totals.taken_in, report.seconds),
        report.summary(),
    ]


def unfinished_lines(ledger: SystemLedger, seconds: float, *, quiet: bool = False) -> list[str]:
    """Return what is printed for a run that never ended and is cut short."""
    summary = f"{ledger.totals} in {seconds:.1f} s"
    if quiet:
        return [summary]
    return [
        *ledger_lines(ledger),
        *lost_lines(ledger),
        *throughput_lines(ledger.totals.taken_in, seconds),
        summary,
    ]


def _lines_of(failure: Failure) -> list[str]:
    return failure_lines(failure.component, failure.phase, failure.error, failure.after)


__all__ = [
    "dead_lines",
    "failure_card",
    "failure_lines",
    "ledger_lines",
    "lost_lines",
    "report_lines",
    "restart_lines",
    "throughput_lines",
    "unfinished_lines",
    "what_follows",
]
