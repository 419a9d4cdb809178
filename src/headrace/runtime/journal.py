"""The recent records of a system, for whoever shows it; and which repeats of them are left out everywhere.

Records come from any thread. What is kept is bounded: so many entries, each cut to a bounded size.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from headrace.model.plain import MOST_TEXT, plain
from headrace.model.repeats import Repeated, Repeats, likeness

KEPT = 1000
"""How many entries are kept."""
_MOST_VALUES = 50
_OWN = ("component", "edge", "message_id", "trace_id", "system", "exc_info", "event")


class LogEntry(msgspec.Struct, frozen=True):
    """A record as it was logged.

    Args:
        number: Its number among all of the system, from 1.
        time: When, in seconds since the epoch.
        level: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.
        event: What happened.
        component: Who it is about; empty where it is about the system.
        edge: The edge of the message that was in hand; empty where there was none.
        message_id: That message's id, where its component has asked for it.
        trace_id: The trace that it belongs to.
        values: Everything else that it says, as plain data.
        exception: The traceback, where there was one.
    """

    number: int
    time: float
    level: str
    event: str
    component: str = ""
    edge: str = ""
    message_id: str = ""
    trace_id: str = ""
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)
    exception: str = ""


class Journal:
    """Keeps the recent records of a system.

    Args:
        kept: How many.
        repeats: Which repeats are left out.
        clock: Gives seconds since the epoch.

    Attributes:
        steady: Gives monotonic seconds, in any thread; those of the event loop during a run.
        hide: Takes secrets out of texts.
    """

    def __init__(
        self, kept: int = KEPT, repeats: Repeats | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=kept)
        self._repeats = repeats or Repeats()
        self._clock = clock
        self._number = 0
        self._lock = threading.Lock()
        self.steady: Callable[[], float] = time.monotonic
        self.hide: Callable[[str], str] = str

    @property
    def last(self) -> int:
        """The number of the last entry; 0 where there is none."""
        return self._number

    def entries(
        self, *, after: int = 0, n: int | None = None, component: str | None = None, level: str = "debug"
    ) -> tuple[LogEntry, ...]:
        """Return entries, oldest first.

        Args:
            after: Only those with larger numbers.
            n: How many at most: the latest ones.
            component: Only those about it.
            level: The least level.
        """
        least = _number_of(level)
        with self._lock:
            kept = tuple(self._entries)
        found = tuple(
            one
            for one in kept
            if one.number > after
            and component in (None, one.component)
            and (least <= logging.DEBUG or _number_of(one.level) >= least)
        )
        return found if n is None else found[max(len(found) - n, 0) :]

    def admit(
        self, level: int, event: str, values: Mapping[str, Any]
    ) -> tuple[bool, list[tuple[int, str, Mapping[str, Any]]]]:
        """Say whether a record is written, and which have to be before it, that tell of others that were not.

        What is about the system and not about a component is always written.
        """
        if "component" not in values:
            return True, []
        record = (level, event, values)
        with self._lock:
            admitted, told = self._repeats.admit(likeness(level, event, values), self.steady(), record)
        return admitted, list(_as_records(told))

    def repeats(self, *, at_end: bool = False) -> list[tuple[int, str, Mapping[str, Any]]]:
        """Return the records that tell of others that were not written.

        Args:
            at_end: Whether of all; else of those whose time is over.
        """
        with self._lock:
            return list(_as_records(self._repeats.all() if at_end else self._repeats.due(self.steady())))

    def add(self, level: int, event: str, values: Mapping[str, Any]) -> None:
        """Keep a record."""
        said = {name: self._hidden(values.get(name)) for name in _OWN[:4]}
        rest = {name: self._plain(value) for name, value in values.items() if name not in _OWN}
        trace = self.hide(_trace_of(values.get("exc_info")))
        now, name, text = self._clock(), logging.getLevelName(level).lower(), self.hide(plain(event))
        with self._lock:
            self._number += 1
            entry = LogEntry(
                self._number, now, name, text, **said, values=rest, exception=trace[-5 * MOST_TEXT :]
            )
            self._entries.append(entry)

    def _hidden(self, value: Any) -> str:
        return "" if value is None else self.hide(str(plain(value)))

    def _plain(self, value: Any) -> Any:
        shown = plain(value, _MOST_VALUES)
        return self.hide(shown) if isinstance(shown, str) else shown


def _as_records(told: list[Repeated]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for one in told:
        level, event, values = one.last
        kept = {name: value for name, value in values.items() if name in ("component", "edge", "restart")}
        yield level, f"... {one.held:,} more like this: {event}", kept


def _trace_of(exc_info: Any) -> str:
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""


def _number_of(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)


__all__ = ["KEPT", "Journal", "LogEntry"]
