"""What is usual for each metric, and a chart of them in the terminal."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import anyio.to_thread
import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from headrace import HarnessComponent, In, Out

BLOCKS = "▁▂▃▄▅▆▇█"
BESIDE = 34
"""Letters of a row beside its blocks: the name, the number, and a note."""


class Usual:
    """What is usual for a number: a mean and a deviation in which old values count less and less.

    Args:
        weight: How much a new value counts, between 0 and 1.
        learn: How many values there must have been before any is unusual.
        times: How many deviations from the mean a value must be away.
        least: The least deviation; a number that never moves would make every move unusual.
    """

    def __init__(self, weight: float = 0.05, learn: int = 20, times: float = 4.0, least: float = 1.0) -> None:
        self.mean = 0.0
        self._square = 0.0
        self._seen = 0
        self._weight, self._learn, self._times, self._least = weight, learn, times, least

    @property
    def deviation(self) -> float:
        """The deviation, at least the least."""
        return max(self._least, math.sqrt(self._square))

    def is_unusual(self, value: float) -> bool:
        """Return whether a value is far from those before it, and take it in, as if it were not that far."""
        away = value - self.mean
        is_known = self._seen >= self._learn
        is_far = is_known and abs(away) > self._times * self.deviation
        if is_far:
            away = math.copysign(self._times * self.deviation, away)
        self._seen += 1
        weight = max(self._weight, 1 / self._seen)
        self.mean += weight * away
        self._square = (1 - weight) * (self._square + weight * away * away)
        return is_far


class Watch(HarnessComponent):
    """Adds to each row which of its fields are unusual."""

    in_: In[dict[str, Any]]
    out: Out[dict[str, Any]]
    accumulates = True

    class Config(msgspec.Struct):
        """Which fields to watch."""

        fields: list[str]

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin to learn."""
        await super().setup(harness_context)
        self._usual = {field: Usual() for field in self.config.fields}

    async def process(self) -> None:
        """Watch all rows."""
        async for row in self.in_:
            values = {field: row[field] for field in self._usual if row[field] is not None}
            unusual = [field for field, value in values.items() if self._usual[field].is_unusual(value)]
            await self.out.send({"time": row["time"], "values": values, "unusual": unusual})


class Chart(HarnessComponent):
    """Shows the last sixty rows in the terminal; a line for each, where there is no terminal."""

    in_: In[dict[str, Any]]

    async def process(self) -> None:
        """Show all rows."""
        console = Console(highlight=False)
        history: dict[str, deque[tuple[float, bool]]] = {}
        with Live(console=console, auto_refresh=False, transient=False) as live:
            async for row in self.in_:
                for field, value in row["values"].items():
                    history.setdefault(field, deque(maxlen=60)).append((value, field in row["unusual"]))
                if sys.stdout.isatty():
                    table = drawn(history, console.width)
                    await anyio.to_thread.run_sync(lambda table=table: live.update(table, refresh=True))
                else:
                    await anyio.to_thread.run_sync(print, told(row))


def drawn(history: Mapping[str, deque[tuple[float, bool]]], width: int) -> Table:
    """Return the chart: a row for each metric, a block for each of the latest readings, unusual ones in red."""
    room = max(10, width - BESIDE)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for field, values in history.items():
        most = max(100.0, *(value for value, _ in values))
        bars = ""
        for value, is_unusual in list(values)[-room:]:
            block = BLOCKS[min(len(BLOCKS) - 1, int(value / most * len(BLOCKS)))]
            bars += f"[bold red]{block}[/]" if is_unusual else block
        note = "[bold red]unusual[/]" if values[-1][1] else ""
        table.add_row(name_of(field), bars, f"{values[-1][0]:.1f} %", note)
    return table


def told(row: Mapping[str, Any]) -> str:
    """Return the line of a row."""
    time = datetime.fromtimestamp(row["time"]).strftime("%H:%M:%S")
    values = "  ".join(f"{name_of(field)} {value:.1f} %" for field, value in row["values"].items())
    return f"{time}  {values}" + "".join(f"  unusual: {name_of(field)}" for field in row["unusual"])


def name_of(field: str) -> str:
    """Return what people call a field."""
    return field.removesuffix("_percent").replace("_", " ")
