"""Looks now and then at who waits for whom, and says what has come to a stop, who is at fault, and where.

A look asks each edge whether somebody waits for room on it (0.3 ms for 10,000 edges); only where somebody does,
it looks at the tasks of those concerned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from headrace.model.options import Watching
from headrace.model.stall import Picture, find_deadlocks, find_stalls
from headrace.model.stall_news import News, StallNews
from headrace.model.trouble import Deadlock, Link, SlowStep, Stall, Trouble, Wait
from headrace.streams.edge import AnyEdge

from .dead_letters import DeadLetterStore
from .failing import Failing
from .supervisor import Supervised
from .waits import waits_of, waits_on_edges
from .wiring import Wiring

LOOKS = 4
"""Looks in the time after which a stall is told."""
SHARE = 50
"""A look takes at most one part in so many of the time."""


@dataclass(slots=True)
class _Pressed:
    """An edge on which somebody waits for room: since when, and how much was taken from it meanwhile."""

    since: float
    seen: float
    taken: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, taken: int, window: float) -> None:
        """Take note of how many messages were taken by now; what is older than the window is forgotten."""
        self.taken.append((now, taken))
        while len(self.taken) > 1 and self.taken[1][0] <= now - window:
            self.taken.popleft()


class Watchdog:
    """Watches one run.

    Args:
        wiring: The system.
        running: Its running members, by name.
        dead_letters: Where messages go that failed for good.
        steps: Gives the set-ups and clean-ups that have taken long.
        failing: Knows which components only fail, where it looks now and then.
        options: After how long to tell what.
        clock: Gives the seconds of the event loop.
        logger: For what is seen.

    Attributes:
        troubles: What is wrong, as of the last look.
        unresolved: The deadlocks that the system was in at the deadline of its drain.
    """

    def __init__(
        self,
        wiring: Wiring,
        running: Mapping[str, Supervised],
        dead_letters: DeadLetterStore,
        steps: Callable[[], Iterable[SlowStep]],
        failing: Failing,
        options: Watching,
        clock: Callable[[], float],
        logger: Any,
    ) -> None:
        self.troubles: tuple[Trouble, ...] = ()
        self.unresolved: tuple[Deadlock, ...] = ()
        self._wiring = wiring
        self._running = running
        self._dead_letters = dead_letters
        self._steps = steps
        self._failing = failing
        self._after = options.stall_after
        self._pause = options.stall_after / LOOKS
        self._clock = clock
        self._due = clock()
        self._logger = logger
        self._pressed: dict[str, _Pressed] = {}
        self._news = StallNews(hold=2 * self._pause)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            began = self._clock()
            self.look()
            self._logger.tell_repeats()
            pause = max(self._pause, SHARE * (self._clock() - began))
            self._due = self._clock() + pause
            await anyio.sleep(pause)

    def look(self) -> None:
        """Look, and tell what is new."""
        now = self._clock()
        self._forgive(now - self._due)
        self._failing.look()
        self._note_pressed(now)
        steps = list(self._steps())
        if self._pressed or self._dead_letters.waiting or steps or not self._news.is_quiet:
            picture = self._exact_picture(now)
            self.troubles = (
                *find_deadlocks(picture, self._after),
                *find_stalls(picture, self._after),
                *steps,
            )
            for news in self._news.update(now, self.troubles):
                self._tell(news)
        elif self.troubles:
            self.troubles = ()

    def look_at_deadline(self) -> None:
        """Keep the deadlocks that there are, however young: the drain's deadline will tear them apart."""
        now = self._clock()
        self._note_pressed(now)
        self.unresolved = find_deadlocks(self._exact_picture(now), 0)
        for deadlock in self.unresolved:
            if deadlock.key not in {trouble.key for trouble in self.troubles}:
                self._tell(News("begins", deadlock, deadlock.seconds))

    # --- what there is to see ----------------------------------------------------------------------

    def _forgive(self, late: float) -> None:
        """Blame nobody for time in which the event loop did not turn, and so nobody could move."""
        if late > self._pause:
            for known in self._pressed.values():
                known.since += late
                known.taken = deque((when + late, taken) for when, taken in known.taken)

    def _note_pressed(self, now: float) -> None:
        edges = self._wiring.edges
        for edge in [edge for edge in edges.values() if edge.blocked]:
            known = self._pressed.get(edge.key)
            if known is None:
                since = min((waiter.since for waiter in edge.blocked), default=now)
                known = self._pressed[edge.key] = _Pressed(since, now)
            known.seen = now
            known.note(now, edge.accepted - edge.buffered, self._after)
        for key, known in list(self._pressed.items()):
            if known.seen != now and not self._is_still_pressed(edges.get(key), known, now):
                del self._pressed[key]

    def _is_still_pressed(self, edge: AnyEdge | None, known: _Pressed, now: float) -> bool:
        """Whether nobody just happens to wait on an edge at this look: its sender was woken a moment ago."""
        if edge is None or edge.ended or 2 * edge.buffered < edge.options.buffer_size:
            return False
        known.note(now, edge.accepted - edge.buffered, self._after)
        return now - known.seen < 2.5 * self._pause

    def _picture(self, now: float, exactly: Iterable[str] = ()) -> Picture:
        """Return who waits for what, as far as it has to do with a full edge or a full dead-letter store.

        Args:
            now: The moment.
            exactly: The components of which every task counts, at the cost of a look at each.
        """
        waits: dict[str, tuple[Wait, ...]] = {}
        links: dict[str, Link] = {}
        of_edge = self._wiring.edges
        exact = set(exactly)
        queue = deque([*self._dead_letters.waiting])
        for key in self._pressed:
            links[key] = self._link(of_edge[key], now)
            queue += (links[key].sender, links[key].receiver)
        while queue:
            name = queue.popleft()
            if name in waits:
                continue
            waits[name] = self._waits(name, now, exact)
            for wait in waits[name]:
                for key in wait.edges:
                    links[key] = links.get(key) or self._link(of_edge[key], now)
                    queue += (links[key].sender, links[key].receiver)
        shared = {name: self._wiring.members[name].registered_as for name in waits}
        return Picture(now, waits, links, shared)

    def _link(self, edge: AnyEdge, now: float) -> Link:
        pressed = self._pressed.get(edge.key)
        sender = edge.outlet.name.rpartition(".")[0]
        receiver = edge.inlet.name.rpartition(".")[0]
        numbers = (edge.buffered, edge.options.buffer_size)
        if pressed is None:
            return Link(edge.key, sender, receiver, *numbers)
        (then, before), (_, taken) = pressed.taken[0], pressed.taken[-1]  # noted at this look
        return Link(edge.key, sender, receiver, *numbers, pressed.since, taken - before, now - then)

    def _waits(self, name: str, now: float, exact: set[str]) -> tuple[Wait, ...]:
        one = self._running.get(name)
        if one is None or not one.alive:
            return ()
        quick = () if name in exact else waits_on_edges(one.member, now)
        return quick or waits_of(one, now)

    def _exact_picture(self, now: float) -> Picture:
        """Return who waits for what; of those who seem to be in a deadlock, all tasks."""
        picture = self._picture(now)
        seem = find_deadlocks(picture, 0)
        concerned = {name for deadlock in seem for name in (*deadlock.components, *deadlock.blocked)}
        return self._picture(now, concerned) if concerned else picture

    # --- what is told ------------------------------------------------------------------------------

    def _tell(self, news: News) -> None:
        trouble = news.trouble
        fields = dict(_fields_of(trouble), seconds=round(news.seconds, 3), turn=news.turn)
        if news.turn == "over" and self._has_given_up(trouble):
            return
        if news.turn == "over":
            self._logger.info(trouble.over(news.seconds), **fields)
        elif isinstance(trouble, Deadlock):
            self._logger.error(str(trouble), **fields, hint=Deadlock.HINT)
        elif isinstance(trouble, Stall) and trouble.is_meant:
            self._logger.info(str(trouble), **fields)
        else:
            self._logger.warning(str(trouble), **fields)

    def _has_given_up(self, trouble: Trouble) -> bool:
        """Whether who was blocked was cut off, by a drain, say: then nothing goes on."""
        names = trouble.blocked[:1] if isinstance(trouble, Stall) else ()
        return any(
            name in self._running and self._running[name].verdict not in (None, "finished") for name in names
        )


def _fields_of(trouble: Trouble) -> Iterator[tuple[str, Any]]:
    """Yield what a structured log says of a trouble."""
    if isinstance(trouble, Deadlock):
        yield from (("what", "deadlock"), ("components", trouble.components))
        yield "edges", [link.key for link in trouble.links]
        yield "where", [wait.where for wait in trouble.waits]
    elif isinstance(trouble, SlowStep):
        yield from (("what", "slow step"), ("component", trouble.component), ("phase", trouble.phase))
        yield "where", trouble.awaiting
    else:
        yield from (("what", "stall"), ("kind", trouble.kind), ("component", trouble.component))
        yield from (("edge", trouble.edge), ("blocked", trouble.blocked), ("where", trouble.waits_for.where))


__all__ = ["Watchdog"]
