"""What can be wrong in a running system, each as a value that says itself in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .report import Phase

WaitKind = Literal["send", "receive", "await", "turn", "dead_letters", "workers", "restart", "paused"]
StallKind = Literal["blocked", "slow", "dead_letters", "paused", "restarting"]

FEW = 10
"""Messages in the time after which a stall is told: who takes fewer is slow, however small its buffer is."""

_NAMES = 5
_DOES: Mapping[WaitKind, str] = {
    "await": "awaits {}",
    "turn": "is at work",
    "dead_letters": "waits for {}",
    "workers": "waits for {}",
    "restart": "{}",
    "paused": "is paused",
    "send": "waits for {}",
    "receive": "waits for {}",
}
_PHASES: Mapping[Phase, str] = {
    "setup": "set-up of",
    "cleanup": "clean-up of",
    "open": "opening",
    "close": "closing",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """What one task of a component waits for.

    Attributes:
        kind: ``send`` (room on an edge), ``receive`` (a message), ``await`` (something of its own), ``turn`` (the
            event loop), ``dead_letters``, ``workers``, ``restart`` or ``paused``.
        text: The same in words.
        since: Since when, in seconds on the clock of the run.
        edges: Of ``send`` and ``receive``: the edges, any of which moving would end it.
        where: The line of the component's own source in which it waits; empty where it waits in none.
    """

    kind: WaitKind
    text: str = ""
    since: float = 0.0
    edges: tuple[str, ...] = ()
    where: str = ""

    def __str__(self) -> str:
        return _DOES[self.kind].format(self.text)


@dataclass(frozen=True, slots=True)
class Link:
    """An edge in the picture.

    Attributes:
        key: ``parse.out -> store.in``.
        sender: The component that sends on it.
        receiver: The component that reads it.
        buffered: How many messages lie on it.
        capacity: How many it accepts.
        pressed_since: Since when somebody waits for room on it without a break; None where nobody does.
        taken: How many messages were taken from it lately; 0 where it stands still.
        window: In how many seconds.
    """

    key: str
    sender: str
    receiver: str
    buffered: int
    capacity: int
    pressed_since: float | None = None
    taken: int = 0
    window: float = 0.0

    @property
    def port(self) -> str:
        """The input that it leads to."""
        return self.key.rpartition(" -> ")[2]

    @property
    def fill(self) -> str:
        """``(100/100)``."""
        return f"({self.buffered}/{self.capacity})"

    @property
    def rate(self) -> float:
        """Messages taken a second."""
        return self.taken / self.window if self.window else 0.0

    @property
    def lag(self) -> float:
        """Seconds until a message that is sent now will be taken."""
        return self.buffered / self.rate if self.taken else float("inf")

    def is_slow(self, after: float) -> bool:
        """Whether it moves so slowly that somebody should look, where its sender has to wait all the time."""
        return self.lag >= after or self.rate * after < FEW


@dataclass(frozen=True, slots=True)
class Stall:
    """A component that others wait for.

    Attributes:
        kind: ``blocked`` (nothing moves), ``slow`` (little does), ``dead_letters`` (their store is full),
            ``paused`` or ``restarting``.
        component: The one that is waited for, and that itself waits for no edge.
        waits_for: What it does.
        seconds: How long this has lasted.
        blocked: The components that wait to send, the one next to it first.
        edge: The edge that the first of these waits on; empty where nobody is blocked yet.
        fill: How full that is: buffered, capacity.
        rate: Messages that it takes a second.
        through: What else there is to know: who in between lacks a message, or that it waits in a circle too.
        known_as: The name by which it is connected, which replicas share.
    """

    kind: StallKind
    component: str
    waits_for: Wait
    seconds: float
    blocked: tuple[str, ...] = ()
    edge: str = ""
    fill: tuple[int, int] = (0, 0)
    rate: float = 0.0
    through: str = ""
    known_as: str = ""

    @property
    def key(self) -> str:
        """What it is told apart by, for as long as it lasts."""
        return self.known_as or self.component

    @property
    def is_meant(self) -> bool:
        """Whether somebody wanted it so: a pause, or a restart."""
        return self.kind in ("paused", "restarting")

    def over(self, seconds: float) -> str:
        """Return the sentence for its end, after so many seconds."""
        if not self.edge:
            return f"{self.component} goes on, after waiting {span(seconds)} for {self.waits_for.text}"
        port = self.edge.rpartition(" -> ")[2]
        how = "as fast as it is given messages" if self.kind == "slow" else "again"
        return (
            f"{self.component} goes on {how}; {self.blocked[0]} was held up {span(seconds)} sending to {port}"
        )

    def __str__(self) -> str:
        does = f"{self.component} {self.waits_for}"
        if not self.edge:
            return f"{self.component} has been waiting {span(self.seconds)} for {self.waits_for.text}"
        port = self.edge.rpartition(" -> ")[2]
        full = f"({self.fill[0]}/{self.fill[1]})"
        if self.kind == "slow":
            lag = f", {span(self.fill[0] / self.rate)} behind" if self.rate else ""
            head = f"{self.blocked[0]} has been held up {span(self.seconds)} sending to {port} {full}"
            return f"{head}; {self.component} is slow ({_number(self.rate)} messages/s{lag}): it {self.waits_for}"
        parts = [f"{self.blocked[0]} has been blocked {span(self.seconds)} sending to {port} {full}"]
        if self.through:
            parts.append(self.through)
        parts.append(does)
        if len(self.blocked) > 1:
            parts.append(f"behind {self.blocked[0]}: {_some(self.blocked[1:])}")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Components that wait for each other, so that none of them can ever go on.

    Attributes:
        components: The components, in a circle.
        links: The edges that they wait for, in that order.
        waits: What each of them waits for.
        seconds: How long this has lasted.
        blocked: Other components that wait to send to them.
    """

    components: tuple[str, ...]
    links: tuple[Link, ...]
    waits: tuple[Wait, ...]
    seconds: float
    blocked: tuple[str, ...] = ()

    HINT = (
        "read while sending, or give one of these edges room for all that is under way (buffer_size), "
        "or `when_full: drop_oldest`"
    )

    @property
    def key(self) -> str:
        """What it is told apart by, for as long as it lasts."""
        return "deadlock: " + ", ".join(sorted(self.components))

    def over(self, seconds: float) -> str:
        """Return the sentence for its end, after so many seconds."""
        return f"{listed(list(self.components))} go on, after waiting for each other {span(seconds)}"

    def __str__(self) -> str:
        parts = [
            f"{link.key} {link.fill}"
            if wait.kind == "send"
            else f"{name}, which waits for a message on {link.key} {link.fill},"
            for name, link, wait in zip(self.components, self.links, self.waits, strict=True)
        ]
        each = "wait for each other" if len(parts) > 1 else "waits for itself"
        places = [
            f"{name} in {wait.where}"
            for name, wait in zip(self.components, self.waits, strict=True)
            if wait.where
        ]
        where = f": {', '.join(places)}" if places else ""
        behind = f"; behind them: {_some(self.blocked)}" if self.blocked else ""
        return f"deadlock: {listed(parts)} {each}{where}{behind}"


@dataclass(frozen=True, slots=True)
class SlowStep:
    """A set-up or clean-up (of a resource: its opening, its closing) that takes long, and where it waits."""

    component: str
    phase: Phase
    seconds: float
    awaiting: str

    @property
    def key(self) -> str:
        """What it is told apart by, for as long as it lasts."""
        return f"{_PHASES[self.phase]} {self.component}"

    def over(self, seconds: float) -> str:
        """Return the sentence for its end, after so many seconds."""
        return f"{_PHASES[self.phase]} {self.component} took {span(seconds)}"

    def __str__(self) -> str:
        return f"{_PHASES[self.phase]} {self.component} takes {span(self.seconds)}, awaiting {self.awaiting}"


@dataclass(frozen=True, slots=True)
class LoopBlock:
    """Code that keeps the event loop to itself, so that all components stand still.

    Attributes:
        component: Which; empty where it is other code of the program.
        phase: In which phase of its life.
        seconds: How long the loop has not turned.
        where: The line of its own source where it is.
        stack: The stack of the loop's thread, from the component's code on.
    """

    component: str
    phase: Phase
    seconds: float
    where: str
    stack: str = ""

    @property
    def _who(self) -> str:
        return f"{_PHASES[self.phase]} {self.component}" if self.phase in _PHASES else self.component

    def over(self, seconds: float) -> str:
        """Return the sentence for its end, after so many seconds."""
        if not self.component:
            return f"the event loop turns again, after {span(seconds)}"
        return f"{self._who} has let the event loop go, after {span(seconds)}"

    def __str__(self) -> str:
        where = f" in {self.where}" if self.where else ""
        if not self.component:
            return (
                f"the event loop has been blocked for {span(self.seconds)}{where}, by none of its components"
            )
        return f"{self._who} has blocked the event loop for {span(self.seconds)}{where}: all components stand still"


Trouble = Stall | Deadlock | SlowStep


def span(seconds: float) -> str:
    """Return a time as people say it: ``0.8 s``, ``12 s``, ``3 min``, ``2 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _some(names: Sequence[str]) -> str:
    """Return a few names, and how many there are besides."""
    more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def listed(parts: list[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


__all__ = [
    "FEW",
    "Deadlock",
    "Link",
    "LoopBlock",
    "SlowStep",
    "Stall",
    "StallKind",
    "Trouble",
    "Wait",
    "WaitKind",
    "listed",
    "span",
]
