"""Proves that a file of 5 GB is read with flat memory, row by row, by each source of rows.

``python proofs/bigfile.py [gigabytes [type ...]]`` makes a file of JSON lines and one of CSV, reads them, and exits
with 1 where a row is missing or memory at the end is more than 1.2 times that at a tenth.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from headrace import HarnessComponent, In, System
from headrace.components import CsvSource, JsonlSource, LinesSource

from .stream_cycles import resident_kib

__all__ = ["main"]

ALLOWED = 1.2
"""Memory at the end over that at a tenth."""

GIGABYTE = 1_000_000_000
BLOCK = 10_000
"""Rows that are made at once, and written again and again."""

HEADER = b"id,customer,item,price,paid\n"


def json_rows() -> bytes:
    """Return a block of JSON lines."""
    return b"".join(
        b'{"id": %d, "customer": "customer %d", "item": "item %d", "price": %d.5, "paid": true}\n'
        % (number, number % 977, number % 31, number % 50)
        for number in range(BLOCK)
    )


def csv_rows() -> bytes:
    """Return a block of CSV records."""
    return b"".join(
        b"%d,customer %d,item %d,%d.5,true\n" % (number, number % 977, number % 31, number % 50)
        for number in range(BLOCK)
    )


SOURCES: Mapping[str, tuple[Any, bytes, Callable[[], bytes]]] = {
    "jsonl_source": (JsonlSource, b"", json_rows),
    "lines_source": (LinesSource, b"", json_rows),
    "csv_source": (CsvSource, HEADER, csv_rows),
}


class Count(HarnessComponent):
    """Counts rows, and looks at the memory at each tenth of them."""

    in_: In[dict[str, Any]]
    expected = 1

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin to count."""
        await super().setup(harness_context)
        self.rows = 0
        self.resident: list[int] = []

    async def process(self) -> None:
        """Count all."""
        tenth = self.expected / 10
        while True:
            try:
                self.rows += len(await self.in_.receive_many())
            except anyio.EndOfStream:
                return
            if self.rows >= tenth * (len(self.resident) + 1):
                self.resident.append(resident_kib())
                print(f"  {self.rows:>12,} rows: {self.resident[-1]:,} KiB", flush=True)


def write(path: Path, header: bytes, block: bytes, size: int) -> int:
    """Write blocks until the file has a size; returns how many rows it has."""
    blocks = max(1, size // len(block))
    with path.open("wb") as file:
        file.write(header)
        for _ in range(blocks):
            file.write(block)
    return blocks * BLOCK


def read(source: Any, path: Path, rows: int) -> bool:
    """Read a file; returns whether all rows came and memory stayed flat."""
    system = System("bigfile", buffer_size=1000)
    count = Count("count")
    count.expected = rows
    system.add("rows", source, path=str(path))
    system.add("count", count)
    system.connect("rows.out", "count.in")
    began = time.perf_counter()
    report = anyio.run(system.run)
    seconds = time.perf_counter() - began
    growth = count.resident[-1] / count.resident[0]
    is_whole = count.rows == rows and report.ledger.totals.lost == 0
    print(
        f"  {count.rows:,} of {rows:,} rows in {seconds:.1f} s, {path.stat().st_size / seconds / 1e6:.0f} MB/s, "
        f"memory {growth:.2f} x; {'held' if is_whole and growth <= ALLOWED else 'NOT held'}",
        flush=True,
    )
    return is_whole and growth <= ALLOWED


def main(argv: Sequence[str]) -> int:
    """Read a file with each source.

    Args:
        argv: The gigabytes of each file, 5 where not given; and the types of the sources, all where not given.

    Returns:
        0 where all rows came and memory stayed flat, else 1.
    """
    size = int(float(argv[0] if argv else 5) * GIGABYTE)
    names = list(argv[1:]) or list(SOURCES)
    is_held = True
    for name in names:
        source, header, make = SOURCES[name]
        with tempfile.TemporaryDirectory(prefix="headrace-bigfile-") as folder:
            path = Path(folder, "rows")
            rows = write(path, header, make(), size)
            print(f"{name}: {path.stat().st_size:,} bytes", flush=True)
            is_held = read(source, path, rows) and is_held
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
