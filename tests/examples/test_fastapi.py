"""The web application: it works, it goes on when its system fails, and loses nothing when it stops."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import anyio
import httpx
import pytest

from headrace import component
from headrace.exceptions import SystemFailed

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "02-fastapi"
REASON = "add_up failed in process: OSError disk gone"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """Return the example as a module."""
    spec = importlib.util.spec_from_file_location("fastapi_example", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def client_of(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run the lifespan of an application, and talk to it without a network."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        yield client


async def until(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    with anyio.fail_after(30):
        while (response := await client.get(path)).status_code != status:
            await anyio.lowlevel.checkpoint()
    return response


def station_with(example: ModuleType, add_up: Any) -> Any:
    station = example.Station()
    station.system.replace("add_up", add_up)
    return station


# --- it works -------------------------------------------------------------------------------------


async def test_readings_are_checked_summed_up_and_read(example: ModuleType) -> None:
    readings = [
        {"sensor": "roof", "value": 20.0},
        {"sensor": "roof", "value": 71.6, "unit": "F"},
        {"sensor": "cellar", "value": 12.5},
        {"sensor": "cellar", "value": 400.0},
        {"sensor": "cellar", "value": 3.0, "unit": "K"},
    ]
    app = example.make_app()
    async with client_of(app) as client:
        for reading in readings:
            response = await client.post("/readings", json=reading)
            assert (response.status_code, response.json()) == (202, {"accepted": True})
        await anyio.wait_all_tasks_blocked()
        stats = (await client.get("/stats")).json()
    assert stats == {
        "sensors": {
            "roof": {"count": 2, "mean": 21.0, "highest": 22.0},
            "cellar": {"count": 1, "mean": 12.5, "highest": 12.5},
        },
        "rejected": 2,
    }
    report = app.state.station.system.report
    assert (report.outcome, report.ledger.closes, report.ledger.totals.lost) == ("finished", True, 0)


async def test_a_reading_of_the_wrong_shape_never_reaches_the_system(example: ModuleType) -> None:
    async with client_of(example.make_app()) as client:
        assert (await client.post("/readings", json={"sensor": "roof", "value": "warm"})).status_code == 422


async def test_it_is_healthy_and_ready(example: ModuleType) -> None:
    async with client_of(example.make_app()) as client:
        ready, health = await client.get("/ready"), await client.get("/health")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reason": ""})
    assert (health.status_code, health.json()["state"]) == (200, "running")


async def test_the_same_application_starts_again(example: ModuleType) -> None:
    app = example.make_app()
    for _ in range(2):
        async with client_of(app) as client:
            assert (await client.post("/readings", json={"sensor": "a", "value": 1})).status_code == 202
        assert app.state.station.sums["a"].count == 1


# --- it goes on -----------------------------------------------------------------------------------


@pytest.mark.fault("in an application")
async def test_a_failed_system_leaves_the_application_answering_and_ready_says_why(
    example: ModuleType,
) -> None:
    @component(on_error="crash", attempts=1)
    def add_up(reading: Any) -> None:
        raise OSError("disk gone")

    app = example.make_app(lambda: station_with(example, add_up))
    async with client_of(app) as client:
        assert (await client.post("/readings", json={"sensor": "a", "value": 1})).status_code == 202
        health = await until(client, "/health", 503)
        assert health.json()["reason"] == REASON
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "reason": REASON})
        assert (await client.get("/stats")).status_code == 200
        refused = await client.post("/readings", json={"sensor": "a", "value": 1})
        assert (refused.status_code, refused.json()) == (503, {"detail": REASON})
        assert refused.headers["retry-after"] == "1"


async def test_a_system_that_cannot_start_keeps_the_application_from_starting(example: ModuleType) -> None:
    def make() -> Any:
        station = example.Station()

        @asynccontextmanager
        async def broken() -> AsyncIterator[None]:
            if station:
                raise OSError("no disk")
            yield

        station.system.resource("disk", broken)
        return station

    with pytest.raises(SystemFailed, match="no disk"):
        async with client_of(example.make_app(make)):
            pytest.fail("never started")


async def test_a_full_system_says_busy_instead_of_letting_requests_wait(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = anyio.Event()

    @component
    async def add_up(reading: Any) -> None:
        await may_go_on.wait()

    monkeypatch.setattr(example, "ROOM_WITHIN", 0.05)
    app = example.make_app(lambda: station_with(example, add_up))
    async with client_of(app) as client:
        accepted = 0
        while (response := await client.post("/readings", json={"sensor": "a", "value": 1})).is_success:
            accepted += 1
        assert (response.status_code, response.json()) == (503, {"detail": "busy, please try again later"})
        assert accepted >= 200  # two edges of 100
        may_go_on.set()
    totals = app.state.station.system.report.ledger.totals
    assert (totals.taken_in, totals.lost) == (accepted, 0)


# --- it stops -------------------------------------------------------------------------------------


async def test_a_request_during_the_shutdown_gets_a_clear_answer_and_what_was_accepted_arrives(
    example: ModuleType,
) -> None:
    may_go_on = anyio.Event()
    arrived: list[float] = []

    @component
    async def add_up(reading: Any) -> None:
        await may_go_on.wait()
        arrived.append(reading.value)

    app = example.make_app(lambda: station_with(example, add_up))
    leave, entered = anyio.Event(), anyio.Event()

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            entered.set()
            await leave.wait()

    transport = httpx.ASGITransport(app=app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(serve)
        await entered.wait()
        for value in range(5):
            assert (await client.post("/readings", json={"sensor": "a", "value": value})).status_code == 202
        leave.set()
        await anyio.wait_all_tasks_blocked()
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "reason": "it is stopping"})
        refused = await client.post("/readings", json={"sensor": "a", "value": 9})
        assert (refused.status_code, refused.json()) == (503, {"detail": "it is stopping"})
        assert (await client.get("/stats")).status_code == 200
        may_go_on.set()
    assert arrived == [0, 1, 2, 3, 4]
    assert app.state.station.system.report.clean


# --- with a real server ---------------------------------------------------------------------------

SERVED = """
import anyio
import app
from headrace import component

class Slow(app.Station):
    def build(self):
        system = super().build()

        @component(on_error="crash", attempts=1)
        async def add_up(reading: app.Reading) -> None:
            if reading.sensor == "broken":
                raise OSError("disk gone")
            await anyio.sleep(0.01)
            self.sums.setdefault(reading.sensor, app.Sums()).count += 1
            print("counted", flush=True)

        system.replace("add_up", add_up)
        return system

served = app.make_app(Slow)
"""


class Server:
    """A uvicorn process with the example in it, on a free port of the loopback."""

    def __init__(self, folder: Path) -> None:
        (folder / "served.py").write_text(SERVED, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "served:served", "--port", "0", "--no-access-log"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join((str(EXAMPLE), str(folder)))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        self.url = self._url()

    def _url(self) -> str:
        output: IO[str] = self.process.stdout  # type: ignore[assignment]
        for line in output:
            self.said += line
            found = re.search(r"running on (http://127\.0\.0\.1:\d+)", line)
            if found:
                return found[1]
        raise AssertionError(self.said)

    def terminate(self) -> str:
        """Send SIGTERM, wait for the end, and return all that it has said."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=40)
        return self.said + rest


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a running server."""
    server = Server(tmp_path)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.communicate()


def test_sigterm_drains_the_server_and_nothing_accepted_is_lost(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        accepted = 0
        for number in range(60):
            response = client.post("/readings", json={"sensor": "roof", "value": number / 2})
            accepted += response.status_code == 202
    said = server.terminate()
    assert accepted == 60
    assert said.count("counted") == accepted
    assert re.search(r"readings finished: in 60 out 60 rejected 0 lost 0 in ", said)
    assert "Traceback" not in said
    assert "Application shutdown complete" in said
    assert server.process.returncode in (0, -signal.SIGTERM)  # uvicorn raises the signal anew at its end


@pytest.mark.fault("in an application")
def test_a_failed_system_leaves_the_server_answering_until_sigterm(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/ready").status_code == 200
        assert client.post("/readings", json={"sensor": "broken", "value": 1}).status_code == 202
        while (health := client.get("/health")).status_code == 200:
            pass
        ready = client.get("/ready")
        refused = client.post("/readings", json={"sensor": "roof", "value": 1})
        assert client.get("/stats").status_code == 200
    assert health.json()["reason"] == REASON
    assert (ready.status_code, ready.json()["reason"]) == (503, REASON)
    assert (refused.status_code, refused.json()["detail"]) == (503, REASON)
    said = server.terminate()
    assert "readings failed: " in said
    assert "Application shutdown complete" in said
    assert server.process.returncode in (0, -signal.SIGTERM)
