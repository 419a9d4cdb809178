"""``timer_source`` and ``cron_source``: messages at their times, by the system's clock, also a virtual one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Literal
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError, MissingExtraError

from .rows import Row
from .times import Duration, seconds


class _Scheduled(HarnessComponent):
    """Sends a tick at each time of a schedule, and counts those whose time passed while an edge was full."""

    out: Out[Row]

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self.missed_ticks = 0

    async def _run(self, times: Iterator[float], offset: float, *, skip: bool) -> None:
        # times are those of the schedule; less offset, they are those of the clock
        clock = self.context.clock
        missed = 0
        following = next(times, None)
        while following is not None:
            due, following = following, next(times, None)
            if skip and following is not None and following - offset <= clock():
                missed += 1
                self.missed_ticks += 1
                await anyio.lowlevel.checkpoint()  # a stop may come during a long gap
                continue
            await anyio.sleep(max(0.0, due - offset - clock()))
            await self.out.send({"time": due, "missed": missed})
            missed = 0

    async def health_check(self) -> dict[str, Any]:
        """Return the usual facts and ``missed_ticks``."""
        return {**await super().health_check(), "missed_ticks": self.missed_ticks}


class TimerSource(_Scheduled):
    """Sends a tick every so often: ``time`` (seconds since the epoch, as planned) and ``missed``.

    Ticks keep to their plan, however long one takes to send. ``missed`` counts those left out since the last one.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a timer.

        Attributes:
            every: From one tick to the next, in seconds or as ``5m``.
            delay: How long before the first one.
            count: How many there are; no end where not given.
            when_missed: Where several are due at once, ``skip`` all but the latest, or ``catch_up``.
        """

        every: Duration
        delay: Duration = 0.0
        count: int | None = None
        when_missed: Literal["skip", "catch_up"] = "skip"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if self.config.count is not None and self.config.count < 1:
            raise ConfigError("count must be at least 1", field="count")
        self._every = seconds(self.config.every, "every")
        self._delay = seconds(self.config.delay, "delay", or_zero=True)

    async def process(self) -> None:
        """Send the ticks until there are no more, or the system stops."""
        now = time.time()
        skip = self.config.when_missed == "skip"
        await self._run(self._times(now + self._delay), now - self.context.clock(), skip=skip)

    def _times(self, first: float) -> Iterator[float]:
        number = 0
        while self.config.count is None or number < self.config.count:
            yield first + number * self._every
            number += 1


class CronSource(_Scheduled):
    """Sends a tick at each time of a cron expression: ``time`` (seconds since the epoch, as planned), ``missed``.

    Where clocks go forward, a job of a fixed time in the hour that is left out runs right after it; where they go
    back, it runs once. The wall clock is read at the start; a later change of it is not seen.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package cronsim is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a cron source.

        Attributes:
            expression: Minute, hour, day, month and weekday, such as ``*/5 8-17 * * MON-FRI``.
            zone: The time zone it is meant in.
            start: The time at the start in ISO 8601, for simulations; the wall clock's where not given.
            when_missed: Where several are due at once, ``skip`` all but the latest, or ``catch_up``.
        """

        expression: str
        zone: str = "UTC"
        start: str | None = None
        when_missed: Literal["skip", "catch_up"] = "skip"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        try:
            self._cron = import_module("cronsim")
        except ImportError:
            raise MissingExtraError("cron_source", "cron") from None
        try:
            self._zone = ZoneInfo(self.config.zone)
        except (KeyError, ValueError, OSError):
            raise ConfigError(f"zone '{self.config.zone}' is unknown", field="zone") from None
        try:
            self._start = datetime.fromisoformat(self.config.start) if self.config.start else None
        except ValueError:
            raise ConfigError("start is no time in ISO 8601", field="start") from None
        if self._start is not None and self._start.tzinfo is None:
            self._start = self._start.replace(tzinfo=UTC)
        self._times(0.0)  # which refuses a wrong expression

    async def process(self) -> None:
        """Send the ticks until there are no more, or the system stops."""
        now = time.time() if self._start is None else self._start.timestamp()
        skip = self.config.when_missed == "skip"
        await self._run(self._times(now), now - self.context.clock(), skip=skip)

    def _times(self, after: float) -> Iterator[float]:
        try:
            found = self._cron.CronSim(self.config.expression, datetime.fromtimestamp(after, self._zone))
        except self._cron.CronSimError as error:
            raise ConfigError(f"expression is wrong: {error}", field="expression") from None
        return (at.timestamp() for at in found)


__all__ = ["CronSource", "TimerSource"]
