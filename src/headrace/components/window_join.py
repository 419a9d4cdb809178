"""``window_join``: the rows of two streams that have one key and happened at about the same time."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import Any, Literal

import anyio
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError
from headrace.model.message import Rejected

from .batches import work_in_batches
from .rows import Row, keyer, require_names
from .times import Duration, TimeUnit, event_time, seconds, why_no_time


@dataclass(slots=True)
class Held:
    """A row that may still meet others."""

    key: Any
    time: float
    row: Row
    has_met: bool = False


_ByTime = tuple[float, int, Held]


class Side:
    """The rows of one stream that rows of the other may still meet.

    Attributes:
        watermark: No row of this stream from before it counts any more.
    """

    def __init__(self) -> None:
        self.watermark = -math.inf
        self._by_key: dict[Any, list[_ByTime]] = {}
        self._oldest: list[_ByTime] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._oldest)

    @property
    def first_time(self) -> float:
        """When the earliest of them happened; infinity where there is none."""
        return self._oldest[0][0] if self._oldest else math.inf

    def hold(self, held: Held) -> None:
        """Keep a row."""
        self._number += 1
        entry = (held.time, self._number, held)
        insort(self._by_key.setdefault(held.key, []), entry)
        heappush(self._oldest, entry)

    def around(self, key: Any, first: float, last: float) -> Iterator[Held]:
        """Yield the rows of a key from one time to another, both included, by their times."""
        entries = self._by_key.get(key, ())
        for place in range(bisect_left(entries, (first,)), len(entries)):
            time, _, held = entries[place]
            if time > last:
                return
            yield held

    def let_go_oldest(self) -> Held:
        """Let the earliest row go, and return it."""
        held = heappop(self._oldest)[2]
        entries = self._by_key[held.key]
        del entries[0]
        if not entries:
            del self._by_key[held.key]
        return held


class WindowJoin(HarnessComponent):
    """Sends each pair of a row of ``left`` and one of ``right`` with one key and times at most ``within`` apart.

    Both streams may run ahead of each other; which pairs come does not depend on that. A row more than ``lateness``
    behind the latest one of its own stream goes to ``late``, and is counted. As in SQL, a key with a None in it
    matches nothing. What is held is lost in a crash.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = True

    left: In[Row]
    right: In[Row]
    out: Out[Row]
    late: Out[Row] | None
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a join of two streams.

        Attributes:
            on: The fields of the key; a mapping (left to right) where they have other names on the right.
            within: How far apart the times of two rows may be, in seconds or as ``5m``.
            time: The field that says when a row happened; a mapping (left to right) where it has another name
                on the right.
            time_unit: What its numbers count: ``s``, ``ms``, ``us`` or ``ns``.
            lateness: How far behind the latest one of its stream a row may be.
            how: ``inner`` sends pairs; ``left`` also the rows of ``left`` that met none, ``outer`` those of both;
                they come when nothing can meet them any more.
            take: The fields of the right to add; all but the key where not given. Where given, they are None
                in a row of the left that met none.
            prefix: Goes before the name of every field of the right.
            max_rows: How many rows of both streams are held at most.
            when_full: With one more, ``forget`` the one of the earliest time (which is counted), or ``error``.
        """

        on: list[str] | dict[str, str]
        within: Duration
        time: str | dict[str, str]
        time_unit: TimeUnit = "s"
        lateness: Duration = 0.0
        how: Literal["inner", "left", "outer"] = "inner"
        take: list[str] | None = None
        prefix: str = "right_"
        max_rows: int = 100_000
        when_full: Literal["forget", "error"] = "forget"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        on = settings.on if isinstance(settings.on, dict) else {field: field for field in settings.on}
        time = settings.time if isinstance(settings.time, dict) else {settings.time: settings.time}
        if not on:
            raise ConfigError("on is empty", hint="name the fields of the key", field="on")
        if len(time) != 1:
            raise ConfigError("time must name one field of each side", field="time")
        require_names(settings.on, "on")
        require_names(on.values(), "on")
        require_names(time, "time")
        require_names(time.values(), "time")
        require_names(settings.take or (), "take")
        if settings.max_rows < 1:
            raise ConfigError("max_rows must be at least 1", field="max_rows")
        self._within = seconds(settings.within, "within", or_zero=True)
        self._lateness = seconds(settings.lateness, "lateness", or_zero=True)
        self._on = on
        self._fields = [[*time, *on], [*time.values(), *on.values(), *(settings.take or ())]]
        self._time_of = [event_time(fields[0], settings.time_unit) for fields in self._fields]
        self._key_of: list[Callable[[Row], Any]] = [keyer(list(on)), keyer(list(on.values()))]
        self._begin()

    def _begin(self) -> None:
        self._sides = [Side(), Side()]
        self.matched = 0
        self.late_rows = 0
        self.forgotten = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin with no rows."""
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Take both streams in, and send the pairs.

        Raises:
            ComponentError: More rows are held than may be, or a field is on both sides.
        """
        async with anyio.create_task_group() as both:
            both.start_soon(self._read, 0, self.left)
            both.start_soon(self._read, 1, self.right)

    async def _read(self, side: int, rows: In[Row]) -> None:
        await work_in_batches(rows, partial(self._take_in, side), self.out, self.late, self.rejected)
        self._sides[side].watermark = math.inf
        alone: list[Row] = []
        self._let_go(alone)
        await self.out.send_many(alone)

    def _take_in(self, side: int, rows: list[Row]) -> tuple[list[Row], list[Row], list[Rejected[Any]]]:
        found: list[Row] = []
        late: list[Row] = []
        rejected: list[Rejected[Any]] = []
        own = self._sides[side]
        for row in rows:
            try:
                held = Held(self._key_of[side](row), self._time_of[side](row), self._checked(side, row))
                hash(held.key)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                rejected.append(Rejected(row, self._why_not(side, row, error)))
                continue
            if held.time < own.watermark:
                late.append(row)
                continue
            self._meet(side, held, found)
            own.hold(held)
            own.watermark = max(own.watermark, held.time - self._lateness)
            self._let_go(found)
        self.late_rows += len(late)
        return found, late, rejected

    def _checked(self, side: int, row: Row) -> Row:
        for field in (self.config.take or ()) if side else ():
            row[field]
        return row

    def _meet(self, side: int, held: Held, found: list[Row]) -> None:
        if None in (held.key if len(self._on) > 1 else (held.key,)):
            return
        first, last = held.time - self._within, held.time + self._within
        for other in self._sides[1 - side].around(held.key, first, last):
            left, right = (other, held) if side else (held, other)
            found.append(self._pair(left.row, right.row))
            held.has_met = other.has_met = True
            self.matched += 1

    def _pair(self, left: Row, right: Row) -> Row:
        added = self._added(right)
        pair = {**left, **added}
        if len(pair) < len(left) + len(added):
            both = next(field for field in added if field in left)
            raise self._error(f"the field '{both}' is on both sides", "prefix")
        return pair

    def _added(self, right: Row) -> Row:
        prefix, take = self.config.prefix, self.config.take
        if take is not None:
            return {prefix + field: right[field] for field in take}
        keys = self._on.values()
        return {prefix + field: value for field, value in right.items() if field not in keys}

    def _let_go(self, alone: list[Row]) -> None:
        """Let the rows go that nothing can meet any more, and the oldest ones where there are too many."""
        left, right = self._sides
        for side, own, other in ((0, left, right), (1, right, left)):
            while own.first_time + self._within < other.watermark:
                self._let_go_oldest(side, alone)
        while len(left) + len(right) > self.config.max_rows:
            if self.config.when_full == "error":
                raise self._error(f"over {self.config.max_rows:,} rows are held", "max_rows")
            self._let_go_oldest(0 if left.first_time <= right.first_time else 1, alone)
            self.forgotten += 1

    def _let_go_oldest(self, side: int, alone: list[Row]) -> None:
        held = self._sides[side].let_go_oldest()
        how = self.config.how
        if held.has_met or how == "inner" or (side == 1 and how != "outer"):
            return
        if side == 0:
            prefix = self.config.prefix
            alone.append({**held.row, **{prefix + field: None for field in self.config.take or ()}})
        else:
            keys = {mine: held.row[theirs] for mine, theirs in self._on.items()}
            alone.append({**keys, **self._added(held.row)})

    def _why_not(self, side: int, row: object, error: Exception) -> str:
        name = ("left", "right")[side]
        if isinstance(row, Mapping) and isinstance(error, TypeError) and "unhashable" in str(error):
            return f"{name}: its key cannot be looked up: {error}"
        return f"{name}: {why_no_time(row, error, self._fields[side])}"

    def _error(self, what: str, setting: str) -> ComponentError:
        return ComponentError(f"{self.name}: {what}; set `{setting}`", component=self.name)

    async def health_check(self) -> dict[str, Any]:
        """Add how many pairs there were, and how many rows are held, were forgotten early, or came late."""
        held: Sequence[Side] = self._sides
        return {
            **await super().health_check(),
            "matched": self.matched,
            "held": sum(map(len, held)),
            "forgotten": self.forgotten,
            "late": self.late_rows,
        }


__all__ = ["WindowJoin"]
