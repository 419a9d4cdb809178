"""Reading files: a source and a function that takes its rows, over a loop around the library that it stands on."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import msgspec

from headrace import System
from headrace.components import CsvSource, JsonlSource, ParquetSource
from headrace_bench.measuring import Effort, Sample
from headrace_bench.pipelines import swallowing
from headrace_bench.race import Contender, Race, row
from headrace_bench.workload import swallow

ROWS = 200_000
SMALL = 2_000  # rows of a quick run
SMALL_BATCH = 1024

Row = dict[str, Any]


def rows(count: int) -> Iterable[Row]:
    """Yield rows as a file of orders has them."""
    for number in range(count):
        yield {
            "id": number,
            "customer": f"customer {number % 977}",
            "item": f"item {number % 31}",
            "price": number % 5000 / 100,
            "paid": number % 3 == 0,
        }


def write_csv(path: Path, count: int) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(next(iter(rows(1)))))
        writer.writeheader()
        writer.writerows(rows(count))


def write_jsonl(path: Path, count: int) -> None:
    """Write a file of JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(one)}\n" for one in rows(count))


def write_parquet(path: Path, count: int) -> None:
    """Write a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows(count))), path)


def read_csv(path: Path) -> None:
    """Read it as the docs of ``csv`` do where they want rows of named fields."""
    with path.open(newline="", encoding="utf-8") as file:
        for one in csv.DictReader(file):
            swallow(one)


def read_csv_by_hand(path: Path) -> None:
    """Read it as fast as ``csv`` can."""
    with path.open(newline="", encoding="utf-8") as file:
        records = csv.reader(file)
        header = next(records)
        for record in records:
            swallow(dict(zip(header, record, strict=True)))


def read_jsonl(path: Path) -> None:
    """Read it in a loop around the standard library's ``json``."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            swallow(json.loads(line))


def read_jsonl_by_msgspec(path: Path) -> None:
    """Read it in a loop around msgspec, which ours stands on."""
    decode = msgspec.json.Decoder().decode
    with path.open("rb") as file:
        for line in file:
            swallow(decode(line))


def read_parquet(path: Path) -> None:
    """Read it in a loop around pyarrow, as its docs do."""
    _read_parquet(path)


def read_parquet_in_small_batches(path: Path) -> None:
    """Read it in batches that fit the processor's cache, which is faster."""
    _read_parquet(path, batch_size=SMALL_BATCH)


def _read_parquet(path: Path, **options: int) -> None:
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(**options):
        for one in batch.to_pylist():
            swallow(one)


def _sample(write: Callable[[Path, int], None], read: Callable[[Path, str], None]) -> Sample:
    def sample(effort: Effort) -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "orders")
            write(path, effort.sized(ROWS, SMALL))
            began = perf_counter()
            read(path, effort.backend)
            return perf_counter() - began

    return sample


def _by_source(source: Any) -> Callable[[Path, str], None]:
    def read(path: Path, backend: str) -> None:
        system = System("files", buffer_size=1000)
        system.add("orders", source, path=str(path))
        system.add("sink", swallowing)
        system.connect("orders.out", "sink")
        anyio.run(system.run, backend=backend)

    return read


def _race(
    name: str,
    what: str,
    source: Any,
    write: Callable[[Path, int], None],
    loops: dict[str, Callable[[Path], None]],
    needs: tuple[str, ...] = (),
) -> Race:
    """Return a race of a source and some loops, of which the first is the one to reach."""
    ours = f"{name}_source"
    return Race(
        f"{ROWS:,} rows of {what}",
        "s",
        (
            Contender(ours, _sample(write, _by_source(source)), needs),
            *(Contender(library, _sample(write, _by_loop(loop)), needs) for library, loop in loops.items()),
        ),
        tuple(
            row(f"files/{name}/{library}", ours, library, reach="" if number else "<= 1.5 x")
            for number, library in enumerate(loops)
        ),
    )


def _by_loop(loop: Callable[[Path], None]) -> Callable[[Path, str], None]:
    return lambda path, backend: loop(path)


RACES = (
    _race("csv", "CSV", CsvSource, write_csv, {"csv.DictReader": read_csv, "csv.reader": read_csv_by_hand}),
    _race(
        "jsonl",
        "JSON lines",
        JsonlSource,
        write_jsonl,
        {"json": read_jsonl, "msgspec": read_jsonl_by_msgspec},
    ),
    _race(
        "parquet",
        "Parquet",
        ParquetSource,
        write_parquet,
        {"pyarrow": read_parquet, "pyarrow-small": read_parquet_in_small_batches},
        ("pyarrow",),
    ),
)

__all__ = ["RACES"]
