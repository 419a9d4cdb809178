"""The system of flights.yaml, in plain Python: ``python flights_system.py``, or ``headrace run``.

It reads the environment as flights.yaml does: DATA, the folder of the CSV files, and OUT, where flights.db goes.
"""

from __future__ import annotations

import os

from flights import arrived, wind

from headrace import System
from headrace.components import Aggregate, ConsoleSink, CsvSource, Join, Map, SqliteSink

NULLS = ["", "NA"]
FLIGHT_TYPES = {
    "year": "int",
    "month": "int",
    "day": "int",
    "dep_time": "int",
    "sched_dep_time": "int",
    "dep_delay": "int",
    "arr_time": "int",
    "sched_arr_time": "int",
    "arr_delay": "int",
    "flight": "int",
    "air_time": "int",
    "distance": "int",
    "hour": "int",
    "minute": "int",
}
FLIGHT_COLUMNS = {
    **dict.fromkeys(FLIGHT_TYPES, "INTEGER"),
    **dict.fromkeys(["carrier", "tailnum", "origin", "dest", "time_hour"], "TEXT"),
    "wind": "TEXT",
    "wind_speed": "REAL",
    "manufacturer": "TEXT",
    "model": "TEXT",
    "seats": "INTEGER",
    "airline": "TEXT",
}


def build(data: str, out: str) -> System:
    """Return the system.

    Args:
        data: The folder of the CSV files.
        out: The folder of the results.
    """
    system = System("flights", buffer_size=1000)
    add_enrichment(system, data)
    add_results(system, f"{out}/flights.db")
    system.summarize(taken_in="flights.out", given_out="store.in", rejected="arrived.rejected")
    return system


def add_enrichment(system: System, data: str) -> None:
    """Read the flights that arrived, and join weather, planes and airlines; a missed join keeps the flight."""
    flights = system.add(
        "flights", CsvSource, path=f"{data}/flights.csv.zip", null_values=NULLS, types=FLIGHT_TYPES
    )
    weather = system.add(
        "weather",
        CsvSource,
        path=f"{data}/weather.csv",
        null_values=NULLS,
        types={"wind_speed": "float"},
        columns=["origin", "time_hour", "wind_speed"],
    )
    planes = system.add(
        "planes",
        CsvSource,
        path=f"{data}/planes.csv",
        null_values=NULLS,
        types={"seats": "int"},
        columns=["tailnum", "manufacturer", "model", "seats"],
    )
    airlines = system.add("airlines", CsvSource, path=f"{data}/airlines.csv")
    landed = system.add("arrived", arrived)
    wind_word = system.add("wind", wind)
    with_weather = system.add(
        "with_weather",
        Join,
        on=["origin", "time_hour"],
        take=["wind", "wind_speed"],
        missing={"wind": "unknown"},
    )
    with_plane = system.add("with_plane", Join, on=["tailnum"], take=["manufacturer", "model", "seats"])
    with_airline = system.add("with_airline", Join, on=["carrier"], take={"name": "airline"})
    rejected_log = system.add("rejected_log", ConsoleSink, format="count", title="rejected flights:")

    system.connect(flights, landed)
    system.connect(landed.rejected, rejected_log)
    system.connect(weather, wind_word)
    system.connect(landed.out, with_weather.in_)
    system.connect(wind_word.out, with_weather.side)
    system.connect(with_weather.out, with_plane.in_)
    system.connect(planes, with_plane.side)
    system.connect(with_plane.out, with_airline.in_)
    system.connect(airlines, with_airline.side)


def add_results(system: System, database: str) -> None:
    """Write the flights and three summaries of them to the database, and print one."""
    store = system.add(
        "store", SqliteSink, path=database, table="flights", mode="replace", columns=FLIGHT_COLUMNS
    )
    by_carrier = system.add(
        "by_carrier",
        Aggregate,
        by=["carrier", "airline"],
        measures={"flights": "count", "mean_arr_delay": {"mean": "arr_delay"}},
        sort_by=["-mean_arr_delay"],
    )
    carriers = system.add("carriers", Map, rename={"airline": "name"})
    carrier_delays = system.add(
        "carrier_delays",
        SqliteSink,
        path=database,
        table="carrier_delays",
        mode="replace",
        primary_key=["carrier"],
        columns={"carrier": "TEXT", "name": "TEXT", "flights": "INTEGER", "mean_arr_delay": "REAL"},
    )
    carrier_table = system.add("carrier_table", ConsoleSink, format="table", title="carrier_delays")
    by_hour = system.add(
        "by_hour",
        Aggregate,
        by=["origin", "hour"],
        measures={"flights": "count", "mean_dep_delay": {"mean": "dep_delay"}},
        sort_by=["origin", "hour"],
    )
    origin_hour_delays = system.add(
        "origin_hour_delays",
        SqliteSink,
        path=database,
        table="origin_hour_delays",
        mode="replace",
        columns={"origin": "TEXT", "hour": "INTEGER", "flights": "INTEGER", "mean_dep_delay": "REAL"},
    )
    by_wind = system.add(
        "by_wind",
        Aggregate,
        by=["wind"],
        measures={"flights": "count", "mean_dep_delay": {"mean": "dep_delay"}},
        sort_by=["-mean_dep_delay"],
    )
    weather_delays = system.add(
        "weather_delays",
        SqliteSink,
        path=database,
        table="weather_delays",
        mode="replace",
        columns={"wind": "TEXT", "flights": "INTEGER", "mean_dep_delay": "REAL"},
    )

    for reader in (store, by_carrier, by_hour, by_wind):
        system.connect("with_airline.out", reader)
    system.connect(by_carrier, carriers)
    system.connect(carriers, carrier_delays)
    system.connect(carriers, carrier_table)
    system.connect(by_hour, origin_hour_delays)
    system.connect(by_wind, weather_delays)


system = build(os.environ.get("DATA", "data"), os.environ.get("OUT", "build/demo"))

if __name__ == "__main__":
    report = system.run_blocking()
    rate = report.ledger.totals.taken_in / report.seconds
    print(f"{rate:,.0f} flights/s")
    print(report.summary())
    raise SystemExit(report.exit_code())
