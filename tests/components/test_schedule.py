"""``timer_source`` and ``cron_source``, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import anyio
import pytest

from headrace import HarnessComponent, In, System
from headrace.components import CronSource, TimerSource, schedule
from headrace.exceptions import ConfigError, MissingExtraError


def test_a_timer_ticks_at_its_times_and_ends_after_its_count(run_timed: Any) -> None:
    seen = run_timed(TimerSource, {"every": "10s", "delay": 5, "count": 3})["out"]
    assert [at for at, _ in seen] == [5, 15, 25]
    assert [tick["missed"] for _, tick in seen] == [0, 0, 0]


class Slow(HarnessComponent):
    """Takes 35 seconds for a message."""

    in_: In[Any]

    async def process(self) -> None:
        self.missed: list[int] = []
        async for tick in self.in_:
            self.missed.append(tick["missed"])
            await anyio.sleep(35)


@pytest.mark.parametrize("policy", ["skip", "catch_up"])
def test_what_is_missed_is_counted_or_caught_up_with(in_virtual_time: Any, policy: str) -> None:
    async def main() -> tuple[list[int], Mapping[str, Any]]:
        system = System("slow", buffer_size=1)
        timer = system.add("timer", TimerSource, every=10, count=12, when_missed=policy)
        slow = system.add("slow", Slow)
        system.connect(timer, slow)
        await system.run()
        made: Any = timer.component
        other: Any = slow.component
        return other.missed, await made.health_check()

    missed, health = in_virtual_time(main)
    assert len(missed) + sum(missed) == 12
    assert sum(missed) == health["missed_ticks"]
    assert (sum(missed) > 0) == (policy == "skip")


def _first_times(expression: str, zone: str, start: str, count: int) -> list[str]:
    source = CronSource("c", {"expression": expression, "zone": zone, "start": start})
    times = source._times(datetime.fromisoformat(start).timestamp())
    return [datetime.fromtimestamp(next(times), source._zone).isoformat() for _ in range(count)]


def test_a_job_in_the_hour_that_is_left_out_runs_after_it_and_one_in_the_doubled_hour_once() -> None:
    assert _first_times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert _first_times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+00:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_cron_ticks_by_the_clock_of_the_system(in_virtual_time: Any, collect: Any) -> None:
    async def main() -> list[Any]:
        system = System("cron")
        config = {"expression": "*/5 * * * *", "start": "2026-01-01T00:03:00"}
        sink = collect("sink")
        system.connect(system.add("cron", CronSource, config), system.add("sink", sink))
        async with system:
            await anyio.sleep(14 * 60)
        return list(sink.messages)

    first = datetime.fromisoformat("2026-01-01T00:05:00+00:00").timestamp()
    assert [tick["time"] for tick in in_virtual_time(main)] == [first, first + 300, first + 600]


@pytest.mark.parametrize(
    ("cls", "config", "field"),
    [
        (TimerSource, {"every": 0}, "every"),
        (TimerSource, {"every": 1, "count": 0}, "count"),
        (CronSource, {"expression": "61 * * * *"}, "expression"),
        (CronSource, {"expression": "* * * * *", "zone": "Mars/Base"}, "zone"),
        (CronSource, {"expression": "* * * * *", "start": "soon"}, "start"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(cls: Any, config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        cls("it", config)


def test_without_cronsim_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(schedule, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[cron\]'"):
        CronSource("c", {"expression": "* * * * *"})
