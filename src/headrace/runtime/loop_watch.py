"""Watches an event loop from a thread: names the component that keeps the loop to itself, and the line where.

An idle loop is left alone; one at work is asked for a sign of life. Nobody is named unless two looks at the
stack find the same step of the same task: nobody is to blame for a busy loop, a slow machine, a stopped process.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from types import FrameType
from typing import Any

from headrace.model.report import Phase
from headrace.model.stall_news import FIRST_PAUSE, LONGEST_PAUSE
from headrace.model.trouble import LoopBlock

from .driven import Driven, Work
from .fusing import FusedOut
from .home import Home
from .supervisor import Supervised
from .waits import own_place, own_place_in, place, tasks_of

_LOOKS = 5
_GROWTH = 6
_DRIVING = Driven.__await__.__code__
_FUSED = FusedOut._work_on.__code__
_IDLE = {
    ("select", "selectors.py"),
    ("get_events", "_io_epoll.py"),
    ("get_events", "_io_kqueue.py"),
}


@dataclass(frozen=True, slots=True)
class _Sight:
    """What a look at the stack of the loop's thread has found.

    Attributes:
        step: Equal in two looks where no task has given way in between, as far as can be told.
        work: Whose work it is; None for code of none of our components.
        where: The user's own line.
        frames: The frames of that work, outermost first.
    """

    step: Hashable
    work: Work | None
    where: str
    frames: tuple[FrameType, ...]


class LoopWatch:
    """Watches the event loop of one run; runs in one loop share a thread.

    Args:
        system: What the work of this run's components is known by.
        running: The running members, by name.
        after: Seconds without a turn after which that is told.
        home: The event loop.
        logger: For what is seen.

    Attributes:
        blocked: Who blocks the loop at the moment.
    """

    def __init__(
        self,
        system: object,
        running: Mapping[str, Supervised],
        after: float,
        home: Home,
        logger: Any,
    ) -> None:
        self.system = system
        self.running = running
        self.after = after
        self.home = home
        self.logger = logger
        self.blocked: LoopBlock | None = None

    def start(self) -> None:
        """Begin to watch; called in the loop."""
        with _lock:
            thread = _threads.get(self.home.loop)
            if thread is None or not thread.is_alive():
                thread = _threads[self.home.loop] = _LoopThread(self.home)
                thread.watches.append(self)
                thread.start()
            else:
                thread.watches.append(self)

    def stop(self) -> None:
        """Watch no more; the last one ends the thread."""
        with _lock:
            thread = _threads.get(self.home.loop)
            if thread is None or self not in thread.watches:
                return
            thread.watches.remove(self)
            if thread.watches:
                return
            del _threads[self.home.loop]
        thread.end()

    # --- what the thread tells ---------------------------------------------------------------------

    def tell(self, sight: _Sight, seconds: float) -> None:
        """Say who blocks the loop."""
        work = sight.work or Work(None, "", "process")
        turn = "begins" if self.blocked is None else "goes on"
        stack = "".join(traceback.StackSummary.extract((f, f.f_lineno) for f in sight.frames).format())
        self.blocked = LoopBlock(work.component, work.phase, seconds, sight.where, stack)
        fields = _fields(self.blocked)
        self.logger.warning(str(self.blocked), what="loop blocked", turn=turn, **fields, stack=stack)

    def tell_end(self, seconds: float) -> None:
        """Say that the loop turns again."""
        blocked, self.blocked = self.blocked, None
        if blocked is not None:
            self.logger.info(blocked.over(seconds), what="loop blocked", turn="over", **_fields(blocked))


def _fields(blocked: LoopBlock) -> dict[str, Any]:
    return {
        "component": blocked.component,
        "phase": blocked.phase,
        "where": blocked.where,
        "seconds": round(blocked.seconds, 3),
    }


class _LoopThread(threading.Thread):
    """Looks at one event loop, for all runs in it."""

    def __init__(self, home: Home) -> None:
        super().__init__(name="headrace watchdog", daemon=True)
        self.watches: list[LoopWatch] = []
        self._home = home
        self._watched = threading.get_ident()
        self._is_done = threading.Event()
        self._answered = threading.Event()

    def end(self) -> None:
        """End the thread, and wait for that: it never waits for anything but this and the loop."""
        self._is_done.set()
        self._answered.set()
        self.join(1)

    def run(self) -> None:
        """Ask for a sign of life now and then, until told to end or until the loop has gone."""
        while not self._is_done.wait(self._after / _LOOKS):
            frame = sys._current_frames().get(self._watched)
            if frame is None:
                return
            if _place_of(frame) not in _IDLE and not self._ask():
                return

    @property
    def _after(self) -> float:
        return min((watch.after for watch in tuple(self.watches)), default=1.0)

    def _ask(self) -> bool:
        """Wait until the loop turns; returns whether there still is one, and something to watch in it."""
        self._answered = threading.Event()  # a new one: whoever sets the old one wakes nobody
        if (
            self._is_done.is_set()
        ):  # looked at after that, as ``end`` sets this first: else it would wait for the
            return False  # loop, which waits for this thread
        asked = monotonic()
        try:
            self._home.call_soon(self._answered.set)
        except RuntimeError:
            return False  # it has ended, and the runs in it with it
        if not self._answered.wait(self._after / 2):
            self._look_on(asked)
        return not self._home.is_lost

    def _look_on(self, asked: float) -> None:
        """Look at the stack until the loop turns, and say who is on it each time."""
        pause = self._after / 2
        lasted = 0.0  # as far as this thread had its turns too: a stopped process blocks nobody
        first = self._see()
        told: list[LoopWatch] = []
        tell_at = self._after
        looked = monotonic()
        while not self._answered.wait(min(pause, tell_at / 2)) and not self._is_done.is_set():
            if self._home.is_lost:
                return
            now = monotonic()
            lasted += min(now - looked, 2 * pause)
            looked = now
            sight = self._see()
            if sight is None or first is None or sight.step != first.step:
                first, lasted = sight, 0.0
            elif lasted >= pause and now - asked >= tell_at:
                told = [watch for watch in self._concerned(sight) if now - asked >= watch.after]
                for watch in told:
                    watch.tell(sight, now - asked)
                tell_at = max(FIRST_PAUSE, min(tell_at * _GROWTH, tell_at + LONGEST_PAUSE))
        for watch in told:
            watch.tell_end(monotonic() - asked)

    def _concerned(self, sight: _Sight) -> list[LoopWatch]:
        """Return the runs that a sight is about; what is about none is told by the first."""
        watches = tuple(self.watches)
        if sight.work is None:
            return list(watches[:1])
        return [watch for watch in watches if watch.system is sight.work.system]

    # --- what is on the stack ----------------------------------------------------------------------

    def _see(self) -> _Sight | None:
        innermost = sys._current_frames().get(self._watched)
        if innermost is None or _place_of(innermost) in _IDLE:
            return None
        inside: list[FrameType] = []
        fused = ""
        for frame in _outwards(innermost):
            if frame.f_code is _DRIVING:
                driven = frame.f_locals["self"]
                return self._sight((id(driven), driven.since), driven.work, fused, inside)
            if frame.f_code is _FUSED and not fused:
                fused = frame.f_locals["self"].reader_name
            inside.append(frame)
        found = self._child(inside)
        if found is not None:
            work, frames = found
            return self._sight(id(frames[-1]), work, fused, frames)
        where = own_place(innermost)
        return _Sight((id(innermost), where), None, where, tuple(reversed(inside))) if where else None

    def _sight(self, step: Hashable, work: Work | None, fused: str, inside: list[FrameType]) -> _Sight:
        if work is not None and fused:
            work = work._replace(component=fused)
        frames = tuple(reversed(inside))
        where = own_place_in(frames) or (place(inside[0]) if inside else "")
        return _Sight(step, work, where, frames)

    def _child(self, frames: list[FrameType]) -> tuple[Work, list[FrameType]] | None:
        """Return whose task this is, where a component has started it by itself, and its part of the frames."""
        places = {id(frame): number for number, frame in enumerate(frames)}
        for watch in tuple(self.watches):
            for name, one in tuple(watch.running.items()):
                for coroutine in tasks_of(one):
                    number = places.get(id(getattr(coroutine, "cr_frame", None)))
                    if number is not None:
                        phase: Phase = "process"
                        return Work(watch.system, name, phase), frames[: number + 1]
        return None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place_of(frame: FrameType) -> tuple[str, str]:
    return frame.f_code.co_name, os.path.basename(frame.f_code.co_filename)


_threads: dict[object, _LoopThread] = {}
_lock = threading.Lock()

__all__ = ["LoopWatch"]
