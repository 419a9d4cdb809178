"""``system_metrics``: how busy the machine and this process are, read every so often through psutil."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import anyio
import anyio.to_thread
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError, MissingExtraError
from headrace.model.report import describe

from .rows import Row
from .times import Duration, seconds

Group = Literal[
    "cpu", "cores", "load", "memory", "swap", "disk", "network", "interfaces", "process", "temperatures"
]
Read = Callable[[float], Sequence[Any]]

FIELDS: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu_percent", "cpu_user_percent", "cpu_system_percent", "cpu_iowait_percent"),
    "cores": ("core_percents",),
    "load": ("load_1m", "load_5m", "load_15m"),
    "memory": ("memory_total_bytes", "memory_available_bytes", "memory_percent"),
    "swap": ("swap_total_bytes", "swap_used_bytes", "swap_percent"),
    "disk": (
        "disk_total_bytes",
        "disk_free_bytes",
        "disk_percent",
        "disk_read_bytes_per_s",
        "disk_write_bytes_per_s",
        "disk_reads_per_s",
        "disk_writes_per_s",
    ),
    "network": (
        "network_in_bytes_per_s",
        "network_out_bytes_per_s",
        "network_errors_per_s",
        "network_drops_per_s",
    ),
    "interfaces": ("interfaces",),
    "process": ("process_cpu_percent", "process_memory_bytes", "process_threads", "process_open_files"),
    "temperatures": ("temperatures",),
}
"""The fields of a row, by the groups that give them."""

_LOOPBACK = frozenset({"lo", "lo0"})
_IDLE = ("idle", "iowait")
_INSIDE_USER = ("guest", "guest_nice")  # Linux counts them in ``user`` and ``nice`` too


class _Rates:
    """Makes counters that only grow into what they grew by in a second, device by device.

    A device that is new, or back again, is measured from its second reading on. A counter that has begun anew
    counts from 0, so that no rate is negative, and none is the total of a lifetime.
    """

    def __init__(self, *fields: str) -> None:
        self._fields = fields
        self._before: dict[str, list[float]] = {}
        self._at = 0.0

    def measure(self, devices: Mapping[str, Any], now: float) -> dict[str, list[float]]:
        """Return for each device, in the order of the fields, what each grew by in a second."""
        values = {
            name: [getattr(counters, field, 0.0) for field in self._fields]
            for name, counters in devices.items()
        }
        elapsed = now - self._at
        before, self._before, self._at = self._before, values, now
        if elapsed <= 0:
            return {}
        return {
            name: [
                (new - old if new >= old else new) / elapsed
                for new, old in zip(some, before[name], strict=True)
            ]
            for name, some in values.items()
            if name in before
        }

    def total(self, devices: Mapping[str, Any], now: float) -> list[float]:
        """Return the sums over all devices."""
        found = self.measure(devices, now)
        return [sum(rates[index] for rates in found.values()) for index in range(len(self._fields))]


class _Shares:
    """Makes the times of processors into percent, processor by processor, as a command such as ``top`` does.

    Args:
        fields: The times that processors are known to have, on this system.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self._fields = [name for name in fields if name not in _INSIDE_USER]
        self._rates = _Rates(*self._fields)

    def measure(self, processors: Mapping[str, Any], now: float) -> dict[str, dict[str, float]]:
        """Return the share of each time; ``busy`` is of all that was not idle."""
        found = self._rates.measure(processors, now)
        return {
            name: self._shares(dict(zip(self._fields, rates, strict=True))) for name, rates in found.items()
        }

    def _shares(self, rates: dict[str, float]) -> dict[str, float]:
        whole = sum(rates.values())
        idle = sum(rates.get(name, 0.0) for name in _IDLE)
        return {
            name: _rounded(100.0 * rate / whole) if whole else 0.0
            for name, rate in {**rates, "busy": whole - idle}.items()
        }


def _rounded(value: float) -> float:
    return round(value, 2)


class _Meters:
    """Makes what reads a group: a function of the time, which returns the values of the group's ``FIELDS``.

    It keeps what its rates need.

    Args:
        psutil: The package.
        path: Where the disk is looked at.
    """

    def __init__(self, psutil: Any, path: str) -> None:
        self._psutil = psutil
        self._path = path

    def cpu(self) -> Read:
        """All processors together."""
        shares = _Shares(self._psutil.cpu_times()._fields)

        def read(now: float) -> Sequence[Any]:
            found = shares.measure({"all": self._psutil.cpu_times()}, now).get("all", {})
            return [found.get(name) for name in ("busy", "user", "system", "iowait")]

        return read

    def cores(self) -> Read:
        """Each processor."""
        shares = _Shares(self._psutil.cpu_times()._fields)

        def read(now: float) -> Sequence[Any]:
            processors = {str(number): one for number, one in enumerate(self._psutil.cpu_times(percpu=True))}
            return [[found["busy"] for found in shares.measure(processors, now).values()]]

        return read

    def load(self) -> Read:
        """How many want to run."""
        return lambda now: self._psutil.getloadavg()

    def memory(self) -> Read:
        """The memory of the machine."""

        def read(now: float) -> Sequence[Any]:
            found = self._psutil.virtual_memory()
            return found.total, found.available, found.percent

        return read

    def swap(self) -> Read:
        """What is swapped out."""

        def read(now: float) -> Sequence[Any]:
            found = self._psutil.swap_memory()
            return found.total, found.used, found.percent

        return read

    def disk(self) -> Read:
        """How full one file system is, and what all disks read and write."""
        rates = _Rates("read_bytes", "write_bytes", "read_count", "write_count")

        def read(now: float) -> Sequence[Any]:
            counters = self._psutil.disk_io_counters(
                nowrap=False
            )  # which leaves out the partitions of a disk
            found = [None] * 4 if counters is None else map(_rounded, rates.total({"all": counters}, now))
            usage = self._psutil.disk_usage(self._path)
            return usage.total, usage.free, usage.percent, *found

        return read

    def network(self) -> Read:
        """All interfaces together, without what stays inside the machine."""
        rates = _Rates("bytes_recv", "bytes_sent", "errin", "errout", "dropin", "dropout")

        def read(now: float) -> Sequence[Any]:
            received, sent, *wrong = rates.total(self._interfaces(), now)
            return [_rounded(one) for one in (received, sent, wrong[0] + wrong[1], wrong[2] + wrong[3])]

        return read

    def interfaces(self) -> Read:
        """Each interface."""
        rates = _Rates("bytes_recv", "bytes_sent")

        def read(now: float) -> Sequence[Any]:
            found = rates.measure(self._interfaces(), now)
            names = ("in_bytes_per_s", "out_bytes_per_s")
            return [{one: dict(zip(names, map(_rounded, both), strict=True)) for one, both in found.items()}]

        return read

    def _interfaces(self) -> dict[str, Any]:
        found = self._psutil.net_io_counters(pernic=True, nowrap=False) or {}
        return {name: counters for name, counters in found.items() if name not in _LOOPBACK}

    def process(self) -> Read:
        """The process that the system runs in; 100 percent is one processor."""
        process = self._psutil.Process()
        rates = _Rates("user", "system")

        def read(now: float) -> Sequence[Any]:
            with process.oneshot():
                used = rates.total({"this": process.cpu_times()}, now)
                memory = process.memory_info().rss
                return _rounded(100.0 * sum(used)), memory, process.num_threads(), process.num_fds()

        return read

    def temperatures(self) -> Read:
        """How warm it is, in degrees Celsius; nothing where there are no sensors."""

        def read(now: float) -> Sequence[Any]:
            found: Mapping[str, Any] = getattr(self._psutil, "sensors_temperatures", dict)()
            return [
                {
                    f"{chip} {sensor.label or number}": sensor.current
                    for chip, sensors in found.items()
                    for number, sensor in enumerate(sensors)
                }
            ]

        return read


class SystemMetrics(HarnessComponent):
    """Sends a row of readings every so often: processors, memory, disk, network, this process.

    What the machine counts since its start comes as a rate, per second, over the time since the row before; the
    first row comes after the first period. What cannot be read is None, and told in the log.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package psutil is missing.

    Attributes:
        readings: How many rows were made.
        failures: How often a group of readings failed.
    """

    out: Out[Row]
    accumulates = False

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a source of metrics.

        Attributes:
            every: From one row to the next, in seconds or as ``5s``.
            metrics: The groups: ``cpu``, ``cores``, ``load``, ``memory``, ``swap``, ``disk``, ``network``,
                ``interfaces``, ``process``, ``temperatures``.
            path: The file system that ``disk`` looks at, by a folder on it.
            count: How many rows there are; no end where not given.
        """

        every: Duration = 1.0
        metrics: tuple[Group, ...] = ("cpu", "memory", "disk", "network", "process")
        path: str = "/"
        count: int | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        self._every = seconds(settings.every, "every")
        if not settings.metrics:
            raise ConfigError("metrics must name a group at least", field="metrics")
        if settings.count is not None and settings.count < 1:
            raise ConfigError("count must be at least 1", field="count")
        try:
            self._psutil = import_module("psutil")
        except ImportError:
            raise MissingExtraError("system_metrics", "psutil") from None
        self._thread = anyio.CapacityLimiter(1)
        self.readings = 0
        self.failures = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready, and begin anew: what was counted in an earlier life is in no rate."""
        self.readings = 0
        self.failures = 0
        await super().setup(harness_context)
        meters = _Meters(self._psutil, self.config.path)
        self._meters: dict[str, Read] = {name: getattr(meters, name)() for name in self.config.metrics}

    async def process(self) -> None:
        """Read and send, until the system stops."""
        clock, stop = self.context.clock, self.context.stop_event
        before = due = clock()
        wall = time.time() - before
        await self._read(before)
        while not stop.is_set() and (self.config.count is None or self.readings < self.config.count):
            due = max(due + self._every, clock())  # where an edge was full, no row is made up for
            with anyio.move_on_after(due - clock()):
                await stop.wait()
                return
            now = clock()
            found = await self._read(now)
            self.readings += 1
            await self.out.send({"time": wall + now, "period": now - before, **found})
            before = now

    async def _read(self, now: float) -> Row:
        # in a thread, because a disk that does not answer would hold up everything else
        row, errors = await anyio.to_thread.run_sync(
            self._read_all, now, abandon_on_cancel=True, limiter=self._thread
        )
        for group, error in errors.items():
            self.failures += 1
            if self.context.logger is not None:
                self.context.logger.warning(f"{group} cannot be read", reason=describe(error))
        return row

    def _read_all(self, now: float) -> tuple[Row, dict[str, Exception]]:
        row: Row = {}
        errors: dict[str, Exception] = {}
        for group, read in self._meters.items():
            fields = FIELDS[group]
            try:
                row.update(zip(fields, read(now), strict=True))
            except Exception as error:  # psutil raises what the system's files make it raise
                errors[group] = error
                row.update(dict.fromkeys(fields))
        return row, errors

    async def health_check(self) -> dict[str, Any]:
        """Return the usual facts, ``readings`` and ``failures``."""
        counts = {"readings": self.readings, "failures": self.failures}
        return {**await super().health_check(), **counts}


__all__ = ["FIELDS", "SystemMetrics"]
