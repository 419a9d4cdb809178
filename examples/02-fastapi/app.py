"""A web application with a system inside: readings come in by POST, are checked and summed up, and can be read.

Run it with ``uvicorn app:app`` in this folder.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from headrace import Rejected, System, SystemFailed, component
from headrace.exceptions import HarnessNotRunning

ROOM_WITHIN = 1.0
"""Seconds that a request waits for room before it is told to come back later."""

DRAIN_WITHIN = 30.0
"""Seconds that the readings which were accepted have at the end to get through."""

log = logging.getLogger("uvicorn.error")


class Reading(BaseModel):
    """A temperature that a sensor has measured."""

    sensor: str
    value: float
    unit: str = "C"


@dataclass
class Sums:
    """What the readings of one sensor come to, in degrees Celsius."""

    count: int = 0
    total: float = 0.0
    highest: float = float("-inf")


@component
def check(reading: Reading) -> Reading | Rejected[Reading]:
    """Turn a reading into degrees Celsius, and reject what no thermometer shows."""
    if reading.unit not in ("C", "F"):
        return Rejected(reading, f"unknown unit {reading.unit!r}")
    value = reading.value if reading.unit == "C" else (reading.value - 32) / 1.8
    if not -90 <= value <= 60:
        return Rejected(reading, f"{value:.1f} °C is nowhere on earth")
    return Reading(sensor=reading.sensor, value=value)


@dataclass
class Station:
    """The system, its inlet and its results; made anew at each start of the application."""

    sums: dict[str, Sums] = field(default_factory=dict)
    rejected: int = 0
    closing: bool = False

    def __post_init__(self) -> None:
        # Nothing is buffered here: a `send` that has returned is in the hands of the system.
        self.inlet, self.outlet = anyio.create_memory_object_stream[Reading](0)
        self.system = self.build()

    def build(self) -> System:
        """Return the system: readings -> check -> add_up, and what is rejected is counted."""

        @component
        async def readings() -> AsyncIterator[Reading]:
            async with self.outlet:  # when this source ends, whoever still sends is told so
                async for reading in self.outlet:
                    yield reading

        @component(on_error="crash")
        def add_up(reading: Reading) -> None:
            sums = self.sums.setdefault(reading.sensor, Sums())
            sums.count += 1
            sums.total += reading.value
            sums.highest = max(sums.highest, reading.value)

        @component
        def count(rejected: Rejected[Reading]) -> None:
            self.rejected += 1

        system = System("readings")
        system.add("readings", readings)
        system.add("check", check)
        system.add("add_up", add_up)
        system.add("count", count)
        system.connect("readings", "check")
        system.connect("check.out", "add_up")
        system.connect("check.rejected", "count")
        return system

    def trouble(self) -> str:
        """Return why no reading can be taken now; empty if one can."""
        return "it is stopping" if self.closing else self.system.health().reason

    async def accept(self, reading: Reading) -> str:
        """Hand a reading to the system; returns why it was not taken, empty if it was."""
        if trouble := self.trouble():
            return trouble
        try:
            async with self.inlet.clone() as inlet:  # the inlet is closed once no request holds it
                with anyio.fail_after(ROOM_WITHIN):
                    await inlet.send(reading)
        except TimeoutError:
            return "busy, please try again later"
        except anyio.BrokenResourceError:  # the source has ended while this waited
            return self.trouble() or "it is stopping"
        return ""

    async def close(self) -> None:
        """Take no more readings, bring the accepted ones through, and tell how it ended."""
        self.closing = True
        await self.inlet.aclose()  # so the source ends, and with it one after the other
        with anyio.move_on_after(DRAIN_WITHIN), suppress(SystemFailed, HarnessNotRunning):
            await self.system.wait()
        await self.system.stop()  # where that was not enough
        self.outlet.close()  # a source that has never begun has not done so
        if report := self.system.report:
            log.info("readings %s: %s", report.outcome, report.summary())


def make_app(make_station: Callable[[], Station] = Station) -> FastAPI:
    """Make the application.

    Args:
        make_station: Makes what it serves.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.station = station = make_station()
        try:
            await station.system.start()
            yield
        finally:
            await station.close()

    app = FastAPI(title="Readings", lifespan=lifespan)

    @app.post("/readings")
    async def post_reading(reading: Reading, request: Request) -> JSONResponse:
        refusal = await _station(request).accept(reading)
        if refusal:
            return JSONResponse({"detail": refusal}, 503, headers={"Retry-After": "1"})
        return JSONResponse({"accepted": True}, 202)

    @app.get("/stats")
    async def get_stats(request: Request) -> JSONResponse:
        station = _station(request)
        sensors = {
            name: {
                "count": one.count,
                "mean": round(one.total / one.count, 3),
                "highest": round(one.highest, 3),
            }
            for name, one in station.sums.items()
        }
        return JSONResponse({"sensors": sensors, "rejected": station.rejected})

    @app.get("/health")
    async def get_health(request: Request) -> JSONResponse:
        """Tell whether a restart would help: it would if the system has failed."""
        health = _station(request).system.health()
        return JSONResponse(health.as_dict(), 503 if health.state == "failed" else 200)

    @app.get("/ready")
    async def get_ready(request: Request) -> JSONResponse:
        """Tell whether requests should come here: not while it starts or stops, nor once it has failed."""
        reason = _station(request).trouble()
        return JSONResponse({"ready": not reason, "reason": reason}, 503 if reason else 200)

    return app


def _station(request: Request) -> Station:
    station: Station = request.app.state.station
    return station


app = make_app()
