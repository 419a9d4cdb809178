"""The script by hand and the flights demo do the same work: equal tables, equal printed numbers."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from headrace_bench.children import environment
from headrace_bench.rows.flights import data_folder, harness_command, script_command, sliced

FLIGHTS = 5_000
TABLES = ("flights", "carrier_delays", "origin_hour_delays", "weather_delays")


def printed_by(command: list[str], data: Path, out: Path) -> list[str]:
    """Run a command and return the lines that it prints."""
    out.mkdir()
    extra = environment(DATA=str(data), OUT=str(out))
    return subprocess.run(
        command, env=extra, capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()


def test_both_write_the_same_tables_and_print_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    data = sliced(data_folder(), tmp_path / "data", FLIGHTS)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    printed = printed_by(harness_command("asyncio", data, ours), data, ours)
    by_hand = printed_by(script_command("asyncio", data, theirs), data, theirs)

    until = next(number for number, line in enumerate(by_hand) if line.endswith("flights/s"))
    assert sorted(by_hand[:until]) == sorted(printed[:until])  # who prints first is left to the harness
    assert by_hand[-1].partition(" in ")[0] == printed[-1].partition(" lost")[0].partition(" in ")[0]
    assert by_hand[-1].startswith(f"in {FLIGHTS:,} out ")
    with (
        closing(sqlite3.connect(ours / "flights.db")) as one,
        closing(sqlite3.connect(theirs / "flights.db")) as other,
    ):
        for table in TABLES:
            for query in (f"PRAGMA table_info({table})", f"SELECT * FROM {table}"):
                rows = one.execute(query).fetchall()
                assert rows
                assert rows == other.execute(query).fetchall()
