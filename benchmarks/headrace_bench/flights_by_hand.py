"""The work of examples/01-flights by hand: one script, generators, the standard library, and no headrace.

The same input files, the same SQLite tables, the same printed numbers: ``python flights_by_hand.py DATA OUT``.
"""

from __future__ import annotations

import csv
import io
import sqlite3
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

Row = dict[str, Any]

NULLS = frozenset(("", "NA"))
BATCH = 10_000  # rows a transaction
INTEGERS = (
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "flight",
    "air_time",
    "distance",
    "hour",
    "minute",
)
COLUMNS = {
    **dict.fromkeys(INTEGERS, "INTEGER"),
    **dict.fromkeys(["carrier", "tailnum", "origin", "dest", "time_hour"], "TEXT"),
    "wind": "TEXT",
    "wind_speed": "REAL",
    "manufacturer": "TEXT",
    "model": "TEXT",
    "seats": "INTEGER",
    "airline": "TEXT",
}
BEAUFORT = (
    (1, "calm"),
    (4, "light air"),
    (8, "light breeze"),
    (13, "gentle breeze"),
    (19, "moderate breeze"),
    (25, "fresh breeze"),
    (32, "strong breeze"),
    (39, "near gale"),
    (47, "gale"),
    (55, "strong gale"),
    (64, "storm"),
    (73, "violent storm"),
)


class Means:
    """How many rows each group has, and the mean of one of their fields, None left out."""

    def __init__(self, by: tuple[str, ...], of: str) -> None:
        self.by = by
        self.of = of
        self.groups: dict[tuple[Any, ...], list[int]] = {}

    def add(self, row: Row) -> None:
        """Take a row in."""
        key = tuple([row[name] for name in self.by])
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = [0, 0, 0]
        group[0] += 1
        value = row[self.of]
        if value is not None:
            group[1] += 1
            group[2] += value

    def results(self) -> Iterator[tuple[Any, ...]]:
        """Yield each group: its key, its rows, its mean."""
        for key, (rows, number, total) in self.groups.items():
            yield (*key, rows, total / number if number else None)


# --- reading


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file, unpacked."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as packed:
            yield from io.TextIOWrapper(packed, "utf-8", newline="")
    else:
        with path.open(encoding="utf-8", newline="") as plain:
            yield from plain


def rows_of(path: Path, types: dict[str, Callable[[str], Any]]) -> Iterator[Row]:
    """Yield the rows of a CSV file, with types and without null values."""
    reader = csv.reader(lines_of(path))
    names = next(reader)
    converters = [(name, types.get(name, str)) for name in names]
    for record in reader:
        yield {
            name: None if text in NULLS else convert(text)
            for (name, convert), text in zip(converters, record, strict=True)
        }


def by_key(rows: Iterable[Row], on: tuple[str, ...], take: dict[str, str]) -> dict[tuple[Any, ...], Row]:
    """Return what to add to a row, by its key; a key with None in it matches nothing."""
    table = {tuple(row[name] for name in on): {new: row[old] for old, new in take.items()} for row in rows}
    return {key: added for key, added in table.items() if None not in key}


# --- working


def arrived(flights: Iterable[Row], counts: dict[str, int]) -> Iterator[Row]:
    """Yield the flights that have an arrival delay, and count all."""
    for flight in flights:
        counts["in"] += 1
        if flight["arr_delay"] is None:
            counts["rejected"] += 1
        else:
            counts["out"] += 1
            yield flight


def beaufort(mph: float | None) -> str:
    """Return the Beaufort word of a wind speed."""
    if mph is None:
        return "unknown"
    return next((word for limit, word in BEAUFORT if mph < limit), "hurricane")


def windy(hours: Iterable[Row]) -> Iterator[Row]:
    """Yield hours of weather with their Beaufort word."""
    for hour in hours:
        yield {**hour, "wind": beaufort(hour["wind_speed"])}


def joined(
    rows: Iterable[Row], on: tuple[str, ...], table: dict[tuple[Any, ...], Row], missing: Row
) -> Iterator[Row]:
    """Yield rows with what belongs to their key."""
    find = table.get
    for row in rows:
        yield {**row, **find(tuple([row[name] for name in on]), missing)}


def enriched(data: Path, counts: dict[str, int]) -> Iterator[Row]:
    """Yield the flights that arrived, with their weather, plane and airline."""
    flights = arrived(rows_of(data / "flights.csv.zip", dict.fromkeys(INTEGERS, int)), counts)
    weather = by_key(
        windy(rows_of(data / "weather.csv", {"wind_speed": float})),
        ("origin", "time_hour"),
        {"wind": "wind", "wind_speed": "wind_speed"},
    )
    planes = by_key(
        rows_of(data / "planes.csv", {"seats": int}),
        ("tailnum",),
        {name: name for name in ("manufacturer", "model", "seats")},
    )
    airlines = by_key(rows_of(data / "airlines.csv", {}), ("carrier",), {"name": "airline"})
    rows = joined(flights, ("origin", "time_hour"), weather, {"wind": "unknown", "wind_speed": None})
    rows = joined(rows, ("tailnum",), planes, dict.fromkeys(("manufacturer", "model", "seats")))
    return joined(rows, ("carrier",), airlines, {"airline": None})


# --- writing


def make_table(database: sqlite3.Connection, name: str, columns: dict[str, str]) -> str:
    """Make a table anew; return the statement that fills it."""
    database.execute(f"DROP TABLE IF EXISTS {name}")
    database.execute(f"CREATE TABLE {name} ({', '.join(f'{one} {kind}' for one, kind in columns.items())})")
    return f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def write(database: sqlite3.Connection, name: str, columns: dict[str, str], rows: Iterable[Any]) -> None:
    """Make a table and fill it in one transaction."""
    statement = make_table(database, name, columns)
    database.execute("BEGIN")
    database.executemany(statement, rows)
    database.execute("COMMIT")


def store(database: sqlite3.Connection, flights: Iterable[Row], summaries: list[Means]) -> None:
    """Write the flights, batch by batch, and take each into the summaries."""
    statement = make_table(database, "flights", COLUMNS)
    names = list(COLUMNS)
    batch: list[list[Any]] = []

    def flush() -> None:
        database.execute("BEGIN")
        database.executemany(statement, batch)
        database.execute("COMMIT")
        batch.clear()

    for flight in flights:
        for summary in summaries:
            summary.add(flight)
        batch.append([flight[name] for name in names])
        if len(batch) == BATCH:
            flush()
    flush()


def best_last(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows by their last value, largest first and None last."""
    return sorted(rows, key=lambda row: (row[-1] is None, -(row[-1] or 0)))


def show(carriers: list[tuple[Any, ...]]) -> None:
    """Print the delays of the carriers."""
    heads = ("carrier", "name", "flights", "mean_arr_delay")
    cells = [
        (carrier, name or "", f"{flights:,}", "" if mean is None else f"{mean:,.2f}")
        for carrier, name, flights, mean in carriers
    ]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    print("carrier_delays")
    for carrier, name, flights, mean in (heads, tuple("-" * width for width in widths), *cells):
        one, two, three, four = widths
        print(f"{carrier:<{one}}  {name:<{two}}  {flights:>{three}}  {mean:>{four}}")


def main(data: Path, out: Path) -> None:
    """Do all the work."""
    began = time.perf_counter()
    counts = {"in": 0, "out": 0, "rejected": 0}
    carriers = Means(("carrier", "airline"), "arr_delay")
    hours = Means(("origin", "hour"), "dep_delay")
    winds = Means(("wind",), "dep_delay")
    out.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(out / "flights.db", isolation_level=None)) as database:
        store(database, enriched(data, counts), [carriers, hours, winds])
        mean = {"flights": "INTEGER", "mean_arr_delay": "REAL"}
        by_carrier = best_last(carriers.results())
        write(database, "carrier_delays", {"carrier": "TEXT PRIMARY KEY", "name": "TEXT", **mean}, by_carrier)
        mean = {"flights": "INTEGER", "mean_dep_delay": "REAL"}
        by_hour = sorted(hours.results())
        write(database, "origin_hour_delays", {"origin": "TEXT", "hour": "INTEGER", **mean}, by_hour)
        write(database, "weather_delays", {"wind": "TEXT", **mean}, best_last(winds.results()))
    print(f"rejected flights:\n{counts['rejected']:,}  never arrived")
    show(by_carrier)
    seconds = time.perf_counter() - began
    print(f"{counts['in'] / seconds:,.0f} flights/s")
    print(f"in {counts['in']:,} out {counts['out']:,} rejected {counts['rejected']:,} in {seconds:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
