"""``window``: rows by key and by time, in tumbling, sliding or session windows, each measured when it closes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import anyio
import msgspec
from anyio import EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError
from headrace.model.message import Rejected

from .measures import Measures, MeasureSettings
from .rows import Row, lacking
from .times import Duration, TimeUnit, event_time, seconds
from .windowing import FixedWindows, OpenWindow, SessionWindows, Windows

Kind = Literal["tumbling", "sliding", "session"]

_LENGTHS: dict[str, tuple[str, ...]] = {
    "tumbling": ("size",),
    "sliding": ("size", "slide"),
    "session": ("gap",),
}
_MOST_AT_ONCE = 1000  # windows that a row may be in


class Window(HarnessComponent):
    """Groups rows by key and time, and sends the measures of each window when it closes.

    A result has the fields of the key, ``window_start``, ``window_end`` (exclusive; seconds) and the measures. A
    window closes, once, when the watermark reaches its end: the latest time of any row so far, less ``lateness``.
    A row whose windows are all closed is late: it goes to ``late``, and is counted. Without ``time`` the clock of
    the system says when a row came. The end of the input closes all windows. What is held is lost in a crash.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = True

    in_: In[Row]
    out: Out[Row]
    late: Out[Row] | None
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a window.

        Attributes:
            kind: ``tumbling`` (of ``size``, one after the other), ``sliding`` (of ``size``, one every ``slide``),
                or ``session`` (rows that follow each other in less than ``gap``).
            size: How long a window is, in seconds or as ``5m``.
            slide: From one beginning to the next.
            gap: Without a row for that long, a session ends.
            offset: A time at which a window begins; others are before and after it.
            by: The fields whose values make a key; none for one of all rows.
            measures: As those of ``aggregate``.
            time: The field that says when a row happened: a number, a ``datetime``, or text in ISO 8601. The clock
                of the system where not given.
            time_unit: What its numbers count: ``s``, ``ms``, ``us`` or ``ns``.
            lateness: How far behind the latest one a row may be and still be counted.
            idle: Without a row for that long by the clock, all windows close; never where not given.
            max_windows: How many are open at most, counted by key.
            when_full: With one more, ``close`` those that end first (they are counted as closed early, and further
                rows of them are late), or ``error``.
        """

        kind: Kind = "tumbling"
        size: Duration | None = None
        slide: Duration | None = None
        gap: Duration | None = None
        offset: float = 0.0
        by: list[str] = []
        measures: MeasureSettings
        time: str | None = None
        time_unit: TimeUnit = "s"
        lateness: Duration = 0.0
        idle: Duration | None = None
        max_windows: int = 100_000
        when_full: Literal["close", "error"] = "close"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        self._measures = Measures(settings.by, settings.measures, ("window_start", "window_end"))
        self._lateness = seconds(settings.lateness, "lateness", or_zero=True)
        self._idle = None if settings.idle is None else seconds(settings.idle, "idle")
        if settings.max_windows < 1:
            raise ConfigError("max_windows must be at least 1", field="max_windows")
        if settings.time is None:
            self._refuse_event_time()
        self._time_of = None if settings.time is None else event_time(settings.time, settings.time_unit)
        self._begin()

    def _refuse_event_time(self) -> None:
        for field in ("lateness", "idle"):
            if getattr(self.config, field):
                raise ConfigError(f"{field} is for rows with a time", hint="set `time`", field=field)

    def _begin(self) -> None:
        self._windows = self._make_windows()
        self._latest = -math.inf
        self._last_row = 0.0
        self.late_rows = 0
        self.closed_early = 0

    def _make_windows(self) -> Windows:
        settings = self.config
        for field in ("size", "slide", "gap"):
            if (getattr(settings, field) is not None) != (field in _LENGTHS[settings.kind]):
                need = "needs" if field in _LENGTHS[settings.kind] else "has no"
                raise ConfigError(f"a {settings.kind} window {need} {field}", field=field)
        if settings.gap is not None:
            return SessionWindows(seconds(settings.gap, "gap"), self._measures.functions)
        size = seconds(settings.size or 0, "size")
        slide = size if settings.slide is None else seconds(settings.slide, "slide")
        if not size / _MOST_AT_ONCE <= slide <= size:
            limit = f"from size / {_MOST_AT_ONCE} to size"
            raise ConfigError(f"slide must be {limit}, not {settings.slide!r}", field="slide")
        if not math.isfinite(settings.offset):
            raise ConfigError(f"offset must be a time, not {settings.offset!r}", field="offset")
        return FixedWindows(size, slide, settings.offset, self._measures.functions)

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin without windows."""
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Take all rows in, and send each window when it closes.

        Raises:
            ComponentError: More windows are open than may be.
        """
        while True:
            try:
                rows = await self._receive()
            except EndOfStream:
                break
            late: list[Row] = []
            rejected: list[Rejected[Any]] = []
            closed = self._work(rows, late, rejected)
            await self._send(closed)
            await self.rejected.send_many(rejected)
            if late and self.late is not None:
                await self.late.send_many(late)
        await self._send(self._windows.close_until(math.inf))

    async def _receive(self) -> Sequence[Row]:
        """Return the next rows; none where a window is due before they come."""
        with anyio.move_on_after(self._wait()):
            return await self.in_.receive_many()
        return ()

    def _wait(self) -> float | None:
        """Return the seconds after which something is to be done without a row."""
        if not len(self._windows):
            return None
        if self._time_of is None:
            return max(0.0, self._windows.first_end() - self.context.clock())
        return None if self._idle is None else max(0.0, self._last_row + self._idle - self.context.clock())

    def _work(self, rows: Sequence[Row], late: list[Row], rejected: list[Rejected[Any]]) -> list[OpenWindow]:
        """Take rows in, and return the windows that close by them."""
        now = self.context.clock()
        closed: list[OpenWindow] = []
        if rows:
            self._last_row = now
        elif self._idle is not None and now >= self._last_row + self._idle:
            while len(self._windows):
                closed += self._windows.close_until(self._windows.first_end())
        if self._time_of is None:
            closed += self._windows.close_until(now)
        for row in rows:
            try:
                time = now if self._time_of is None else self._time_of(row)
                key, values = self._measures.key_of(row), self._measures.values_of(row)
                if not self._windows.take(key, time, values):
                    late.append(row)
            except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                rejected.append(Rejected(row, self._why_not(row, error)))
                continue
            closed += self._move_on(time)
        self.late_rows += len(late)
        return closed

    def _move_on(self, time: float) -> list[OpenWindow]:
        """Move the watermark after a row, and return the windows that close by that."""
        self._latest = max(self._latest, time)
        closed = self._windows.close_until(self._latest - self._lateness)
        while len(self._windows) > self.config.max_windows:
            if self.config.when_full == "error":
                raise ComponentError(
                    f"{self.name}: over {self.config.max_windows:,} windows are open; set `max_windows`",
                    component=self.name,
                )
            early = self._windows.close_until(self._windows.first_end())
            self.closed_early += len(early)
            closed += early
        return closed

    def _why_not(self, row: object, error: Exception) -> str:
        time = self.config.time
        if time is not None and isinstance(error, KeyError) and isinstance(row, Mapping) and time not in row:
            return lacking(row, [time])
        return self._measures.why_not(row, error)

    async def _send(self, closed: Sequence[OpenWindow]) -> None:
        keyed, measured = self._measures.keyed, self._measures.measured
        await self.out.send_many(
            {
                **keyed(one.key),
                "window_start": one.start,
                "window_end": one.end,
                **measured(one.group),
            }
            for one in closed
        )

    async def health_check(self) -> dict[str, Any]:
        """Add how many windows are open or were closed early, and how many rows came late."""
        return {
            **await super().health_check(),
            "open_windows": len(self._windows),
            "closed_early": self.closed_early,
            "late": self.late_rows,
        }


__all__ = ["Window"]
