"""``system_metrics``: readings of the real machine, and rates of counters that behave oddly."""

from __future__ import annotations

import math
from collections import namedtuple
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import anyio
import anyio.to_thread
import pytest

from headrace import System
from headrace.components import SystemMetrics, system_metrics
from headrace.components.system_metrics import FIELDS, Group, _Rates, _Shares
from headrace.exceptions import ConfigError, MissingExtraError

psutil: Any = import_module("psutil")

Counters = namedtuple("Counters", ["read", "written"])
Times = namedtuple("Times", ["user", "idle", "iowait", "guest"])

ALL = list(get_args(Group))


@pytest.mark.anyio
async def test_every_group_gives_its_fields_of_this_machine(run_through: Any) -> None:
    seen = await run_through(SystemMetrics, {"every": 0.05, "count": 2, "metrics": ALL})
    assert seen.component.failures == 0
    for row in seen.out:
        assert set(row) == {"time", "period", *(field for fields in FIELDS.values() for field in fields)}
        assert row["memory_total_bytes"] == psutil.virtual_memory().total
        assert row["process_memory_bytes"] > 1_000_000
        assert len(row["core_percents"]) == psutil.cpu_count()
        percents = [row["cpu_percent"], row["memory_percent"], row["disk_percent"], *row["core_percents"]]
        assert all(0 <= one <= 100 for one in percents)
        assert all(
            value >= 0 for field, value in row.items() if field.endswith("_per_s") and value is not None
        )
        assert row["period"] > 0


@pytest.mark.anyio
async def test_a_busy_process_is_seen_and_what_was_used_before_is_not(
    monkeypatch: pytest.MonkeyPatch, run_through: Any
) -> None:
    used = iter([1_000.0, 1_000.5])  # seconds of a processor, at the beginning and after the first period
    real = psutil.Process()

    class Busy:
        oneshot = nullcontext
        memory_info, num_threads, num_fds = real.memory_info, real.num_threads, real.num_fds

        def cpu_times(self) -> Any:
            return real.cpu_times()._replace(user=next(used), system=0.0)

    monkeypatch.setattr(psutil, "Process", Busy)
    seen = await run_through(SystemMetrics, {"every": 0.01, "count": 1, "metrics": ["process"]})
    [row] = seen.out
    assert row["process_cpu_percent"] == pytest.approx(50 / row["period"], rel=0.001)


def test_a_row_comes_after_each_period_and_a_full_edge_gives_no_rows_later(
    in_virtual_time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(fn: Any, *args: Any, **options: Any) -> Any:  # virtual time does not wait for threads
        return fn(*args)

    async def main() -> list[float]:
        system = System("slow", buffer_size=1)
        system.add("metrics", SystemMetrics, every=10, count=6, metrics=["memory"])
        times: list[float] = []

        async def slow(row: dict[str, Any]) -> None:
            times.append(row["period"])
            await anyio.sleep(35)

        system.add("slow", slow)
        system.connect("metrics", "slow")
        await system.run()
        return times

    monkeypatch.setattr(anyio.to_thread, "run_sync", at_once)
    periods = in_virtual_time(main)
    assert periods[:2] == pytest.approx([10, 10])
    assert len(periods) == 6
    assert max(periods) >= 35


@pytest.mark.anyio
async def test_a_group_that_cannot_be_read_is_none_and_the_others_come(
    run_through: Any, tmp_path: Path
) -> None:
    config = {"every": 0.01, "count": 1, "metrics": ["disk", "memory"], "path": str(tmp_path / "gone")}
    seen = await run_through(SystemMetrics, config)
    [row] = seen.out
    assert {row[field] for field in FIELDS["disk"]} == {None}
    assert row["memory_percent"] > 0
    assert seen.component.failures == 2  # once to begin with
    assert (await seen.component.health_check())["failures"] == 2


@pytest.mark.anyio
async def test_a_machine_without_disks_has_no_rates_of_them(
    monkeypatch: pytest.MonkeyPatch, run_through: Any
) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: None)
    seen = await run_through(SystemMetrics, {"every": 0.01, "count": 1, "metrics": ["disk"]})
    [row] = seen.out
    assert row["disk_reads_per_s"] is None
    assert row["disk_total_bytes"] > 0


@pytest.mark.anyio
async def test_a_restart_begins_anew_and_a_stop_ends_it_at_once() -> None:
    rows: list[dict[str, Any]] = []
    third = anyio.Event()

    def crash_once(row: dict[str, Any]) -> None:
        rows.append(row)
        if len(rows) == 3:
            third.set()

    system = System("restarted", buffer_size=5)
    metrics = system.add(
        "metrics", SystemMetrics, every=0.01, metrics=["network", "process"], restart="failure"
    )
    system.add("keep", crash_once)
    system.connect("metrics", "keep")
    with anyio.fail_after(20):
        async with system:
            await system.restart_component("metrics")
            await third.wait()
        assert metrics.readings < 1_000_000
    assert all(0 <= row["network_in_bytes_per_s"] < math.inf for row in rows)


def test_rates_are_never_negative_nor_the_total_of_a_lifetime() -> None:
    rates = _Rates("read", "written")
    assert rates.measure({"a": Counters(1_000_000, 10)}, 100.0) == {}
    assert rates.measure({"a": Counters(1_000_020, 10)}, 102.0) == {"a": [10, 0]}
    assert rates.measure({"a": Counters(6, 10), "b": Counters(9_999, 0)}, 104.0) == {"a": [3, 0]}
    assert rates.measure({"b": Counters(9_999, 8)}, 106.0) == {"b": [0, 4]}
    assert rates.total({"a": Counters(7, 7), "b": Counters(9_999, 8)}, 108.0) == [0, 0]
    assert rates.total({"a": Counters(9, 7), "b": Counters(10_001, 8)}, 110.0) == [2, 0]
    assert rates.measure({"a": Counters(10, 7)}, 110.0) == {}


def test_a_waiting_processor_is_not_busy_and_a_guest_counts_once() -> None:
    shares = _Shares(Times._fields)
    shares.measure({"all": Times(10, 10, 10, 10)}, 1.0)
    found = shares.measure({"all": Times(12, 14, 12, 12)}, 2.0)["all"]
    assert found == {"user": 25, "idle": 50, "iowait": 25, "busy": 25}
    standing = shares.measure({"all": Times(12, 14, 12, 12)}, 3.0)["all"]
    assert standing["busy"] == 0


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"every": 0}, "every"),
        ({"metrics": []}, "metrics"),
        ({"metrics": ["gpu"]}, "metrics"),
        ({"count": 0}, "count"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        SystemMetrics("it", config)


def test_without_psutil_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(system_metrics, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[psutil\]'"):
        SystemMetrics("it")


def test_the_page_tells_every_field() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "system-metrics.md"
    told = page.read_text(encoding="utf-8")
    assert [field for fields in FIELDS.values() for field in fields if f"`{field}`" not in told] == []
