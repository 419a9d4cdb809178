"""``dedupe``: of rows with one key the first, within a time and a number of keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import count
from typing import Any, Literal

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError
from headrace.model.message import Rejected

from .batches import work_in_batches
from .rows import Row, keyer, lacking, require_names
from .times import Duration, TimeUnit, event_time, seconds, why_no_time


class Memory:
    """Which keys were let through, and when.

    Args:
        within: Seconds; keys that are so far apart are not the same.

    Attributes:
        watermark: No time before it is asked for any more.
    """

    def __init__(self, within: float) -> None:
        self._within = within
        self.watermark = -math.inf
        self._times: dict[Any, list[float]] = {}
        self._oldest: list[tuple[float, int, Any]] = []
        self._count = count()

    def __len__(self) -> int:
        return len(self._oldest)

    def is_new(self, key: Any, time: float) -> bool:
        """Return whether a key was not let through around a time, and remember that it is now."""
        times = self._times.get(key)
        if times is None:
            self._times[key] = [time]
        elif any(abs(time - one) < self._within for one in times):
            return False
        else:
            times.append(time)
        heappush(self._oldest, (time, next(self._count), key))
        return True

    def move_on(self, watermark: float) -> None:
        """Forget what can meet nothing from the watermark on."""
        self.watermark = max(self.watermark, watermark)
        while self._oldest and self._oldest[0][0] + self._within <= self.watermark:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        """Forget the key of the earliest time."""
        time, _, key = heappop(self._oldest)
        times = self._times[key]
        times.remove(time)
        if not times:
            del self._times[key]


class Dedupe(HarnessComponent):
    """Lets the first row of each key through, and no other one ``within`` a time of it.

    The others go to ``duplicates``, and are counted. With ``time``, two rows of a key are the same if their
    times are less than ``within`` apart, in whatever order they come; a row more than ``lateness`` behind the
    latest one cannot be judged any more: it goes to ``late``. Without it, the clock of the system says when a
    row came. What is remembered is lost in a crash.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = True

    in_: In[Row]
    out: Out[Row]
    duplicates: Out[Row] | None
    late: Out[Row] | None
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a dedupe.

        Attributes:
            by: The fields whose values make a key.
            within: For how long a key is remembered, in seconds or as ``5m``; for ever where not given.
            time: The field that says when a row happened; the clock of the system where not given.
            time_unit: What its numbers count: ``s``, ``ms``, ``us`` or ``ns``.
            lateness: How far behind the latest row one may be; as long as ``within`` where not given.
            max_keys: How many keys are remembered at most.
            when_full: With one more, ``forget`` the oldest one (which is counted), or ``error``.
        """

        by: list[str]
        within: Duration | None = None
        time: str | None = None
        time_unit: TimeUnit = "s"
        lateness: Duration | None = None
        max_keys: int = 1_000_000
        when_full: Literal["forget", "error"] = "forget"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if not settings.by:
            raise ConfigError("by is empty", hint="name the fields of the key", field="by")
        require_names(settings.by, "by")
        if settings.max_keys < 1:
            raise ConfigError("max_keys must be at least 1", field="max_keys")
        self._within = math.inf if settings.within is None else seconds(settings.within, "within")
        self._lateness = self._within
        if settings.lateness is not None:
            self._lateness = seconds(settings.lateness, "lateness", or_zero=True)
        if settings.time is not None and settings.within is None:
            raise ConfigError("within is missing: what does a time count for?", field="within")
        if settings.time is None and settings.lateness is not None:
            raise ConfigError("lateness is for rows with a time", hint="set `time`", field="lateness")
        self._time_of = None if settings.time is None else event_time(settings.time, settings.time_unit)
        self._key_of = keyer(settings.by)
        self._begin()

    def _begin(self) -> None:
        self._memory = Memory(self._within)
        self.duplicate_rows = 0
        self.late_rows = 0
        self.forgotten = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin with nothing remembered."""
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Send the rows whose keys are new.

        Raises:
            ComponentError: There are more keys than may be remembered.
        """
        await work_in_batches(self.in_, self._sort_out, self.out, self.duplicates, self.late, self.rejected)

    def _sort_out(self, rows: list[Row]) -> tuple[list[Row], list[Row], list[Row], list[Rejected[Any]]]:
        new: list[Row] = []
        old: list[Row] = []
        late: list[Row] = []
        rejected: list[Rejected[Any]] = []
        now = self._move_with_the_clock()
        for row in rows:
            try:
                time = now if self._time_of is None else self._time_of(row)
                if time < self._memory.watermark:
                    late.append(row)
                    continue
                is_new = self._memory.is_new(self._key_of(row), time)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                rejected.append(Rejected(row, self._why_not(row, error)))
                continue
            (new if is_new else old).append(row)
            self._move_on(time)
        self.duplicate_rows += len(old)
        self.late_rows += len(late)
        return new, old, late, rejected

    def _move_with_the_clock(self) -> float:
        if self._time_of is not None or self._within == math.inf:
            return 0.0
        now = self.context.clock()
        self._memory.move_on(now)
        return now

    def _move_on(self, time: float) -> None:
        memory = self._memory
        if self._time_of is not None:
            memory.move_on(time - self._lateness)
        while len(memory) > self.config.max_keys:
            if self.config.when_full == "error":
                raise ComponentError(
                    f"{self.name}: over {self.config.max_keys:,} keys; set `max_keys`", component=self.name
                )
            memory.forget_oldest()
            self.forgotten += 1

    def _why_not(self, row: object, error: Exception) -> str:
        time = [] if self.config.time is None else [self.config.time]
        if isinstance(error, TypeError) and "unhashable" in str(error):
            return f"its key cannot be looked up: {error}"
        if isinstance(error, KeyError) and not isinstance(row, Mapping):
            return lacking(row, [])
        return why_no_time(row, error, [*time, *self.config.by])

    async def health_check(self) -> dict[str, Any]:
        """Add how many keys are remembered or forgotten early, and how many rows were duplicates or late."""
        return {
            **await super().health_check(),
            "keys": len(self._memory),
            "duplicates": self.duplicate_rows,
            "forgotten": self.forgotten,
            "late": self.late_rows,
        }


__all__ = ["Dedupe", "Memory"]
