"""What a run says when it is over: how it ended, what failed, who overran, what was left where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .ledger import SystemLedger

Phase = Literal["setup", "process", "cleanup", "open", "close"]
Outcome = Literal["finished", "stopped", "failed", "cancelled"]
LONGEST_TEXT = 2_000
"""Characters of an error's text that logs and reports show: one that quotes a huge message would bury all else."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One error of one component (or of a resource: ``open``, ``close``), and the phase of its life.

    Attributes:
        component: Whose it is.
        phase: When.
        error: The error.
        after: What was tried before in vain: ``after 5 restarts within 60 s``.
    """

    component: str
    phase: Phase
    error: BaseException
    after: str = ""

    def __str__(self) -> str:
        when = f"{self.phase} {self.after}" if self.after else self.phase
        return f"{self.component} failed in {when}: {describe(self.error)}"


@dataclass(frozen=True, slots=True)
class Overrun:
    """A component that was still at work at a deadline, and what it was waiting for.

    Attributes:
        component: Its name.
        phase: In which phase of its life.
        after: Seconds since the time began to run: at the request to stop, or at the end of its inputs.
        awaiting: What it waited for, its own source line where it has one.
        deadline: The setting that ended its time: ``shutdown_timeout``, ``stop_timeout``, ``cleanup_timeout``;
            ``at_once`` where a second signal did.
        left: Messages for it that lie on an edge or in its hand, by edge.
    """

    component: str
    phase: Phase
    after: float
    awaiting: str
    deadline: str = ""
    left: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.deadline == "at_once":
            return f"{self.component} was cut off after {self.after:.3g} s, awaiting {self.awaiting}"
        what = self.deadline if self.deadline == "stop_timeout" else self.phase
        return f"{self.component} overran its {what} after {self.after:.3g} s, awaiting {self.awaiting}"


@dataclass(frozen=True, slots=True)
class Crash:
    """The last crash of a component, and what follows.

    Attributes:
        component: Its name.
        error: The error.
        restart: Which restart it is followed by, of those that count; 0 where it is given up.
        of: How many there may be, or, where it is given up, how many were in vain.
        after: Seconds until the restart.
        letters: The numbers of the dead letters that messages in hand have become.
        again: How many messages in hand will be delivered again.
    """

    component: str
    error: BaseException
    restart: int = 0
    of: int = 0
    after: float = 0.0
    letters: tuple[int, ...] = ()
    again: int = 0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a component was restarted in a run, and what that has cost.

    Attributes:
        component: Its name.
        restarts: How often it was started again.
        redelivered: How many messages it got once more, because it had them in hand when a life of it ended.
        state_lost: What it had gathered and lost with a life; empty where that was nothing.
        last_error: The last error, in a line; empty where it was restarted for other reasons.
        from_the_start: Whether it is a source that was made anew, so that its messages may have come again.
        troubles: What else went wrong between two lives.
    """

    component: str
    restarts: int
    redelivered: int = 0
    state_lost: str = ""
    last_error: str = ""
    from_the_start: bool = False
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed for good, with everything needed to understand it.

    Attributes:
        number: Its number in the store, from 1.
        component: Who failed on it.
        edge: The key of the edge that it came by; empty where that is not known.
        message: The message itself.
        error: The last error.
        traceback: That error's traceback, as text.
        attempts: How often it was tried.
        at: When it died, in seconds since the epoch.
        id: The message's id, as its ``Meta`` had it.
    """

    number: int
    component: str
    edge: str
    message: object
    error: BaseException
    traceback: str
    attempts: int
    at: float
    id: str = ""


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """How a run ended.

    Attributes:
        system: The system's name.
        outcome: ``finished`` by itself, ``stopped`` on request, ``failed``, or ``cancelled`` from outside.
        signal: The number of the signal that stopped it, or None.
        seconds: How long it ran, from the start of set-up to the end of clean-up.
        drain_seconds: How long it took from the request to stop (or the first failure) to the end; 0 if none came.
        failures: Every error, first first.
        overruns: Who was still at work at a deadline.
        ledger: The books, closed or not.
        dead_letters: The messages that failed for good.
        restarts: The components that were restarted.
        deadlocks: The sentence of each deadlock that the drain's deadline has torn apart.
    """

    system: str
    outcome: Outcome
    signal: int | None
    seconds: float
    drain_seconds: float
    failures: tuple[Failure, ...]
    overruns: tuple[Overrun, ...]
    ledger: SystemLedger
    dead_letters: tuple[DeadLetter, ...]
    restarts: tuple[Restarts, ...] = ()
    deadlocks: tuple[str, ...] = ()

    @property
    def state_lost(self) -> tuple[str, ...]:
        """The components that lost what they had gathered."""
        return tuple(one.component for one in self.restarts if one.state_lost)

    @property
    def clean(self) -> bool:
        """Whether nothing failed, overran, died or was lost."""
        lost = self.ledger.totals.lost or self.state_lost
        return not (self.failures or self.overruns or self.dead_letters or lost)

    def exit_code(self, *, allow_dead: bool = False) -> int:
        """Return the exit code of the command line for this run (see semantics in the docs)."""
        if self.failures or self.outcome == "failed":
            return 1
        if self.signal is not None:
            return 128 + self.signal
        if self.overruns:
            return 5
        if not self.ledger.closes or self.ledger.remaining or self.state_lost:
            return 3
        return 4 if self.dead_letters and not allow_dead else 0

    def summary(self) -> str:
        """Return the one line that ends a run: ``in ... out ... rejected ... lost ... in ... s``."""
        state = f" (state of {', '.join(self.state_lost)} lost)" if self.state_lost else ""
        return f"{self.ledger.totals}{state} in {self.seconds:.1f} s"


def describe(error: BaseException) -> str:
    """Return an error as ``Type message``, an exception group by its leaves."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(leaf) for leaf in error.exceptions)
    text = text_of(error)
    return f"{type(error).__name__} {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """Return the text of an error, whatever its ``__str__`` does; it may quote a whole message."""
    try:
        text = str(error)
    except Exception as second:
        return f"(its text cannot be had: {type(second).__name__})"
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}... ({len(text):,} characters)"


__all__ = [
    "Crash",
    "DeadLetter",
    "Failure",
    "Outcome",
    "Overrun",
    "Phase",
    "Restarts",
    "ShutdownReport",
    "describe",
    "text_of",
]
