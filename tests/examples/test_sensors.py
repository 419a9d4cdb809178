"""Sensors by MQTT, alerts over a WebSocket: each spell of heat is told once, also where the server was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions
from tests.servers.mosquitto import Mosquitto
from websockets.sync.client import connect

from headrace.edges.mqtt import MqttSession, Options
from headrace.model.carried import Given

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "06-sensors"
BEGIN = 1_700_000_000


@contextmanager
def started(server: Mosquitto, backend: str, idle: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the example as its README says, on a free port, and return its process and its address."""
    unwanted = ("PYTEST_", "COVERAGE_", "COV_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    environment |= {"LISTEN": "127.0.0.1:0", "MQTT_URL": f"mqtt://127.0.0.1:{server.port}", "IDLE": idle}
    with subprocess.Popen(
        [sys.executable, "-m", "headrace", "run", "sensors.yaml", "--backend", backend],
        cwd=EXAMPLE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while "url=" not in said:
                said = process.stderr.readline()
                assert said, "it has ended"
            server.wait_until_logged(
                "Sending SUBACK to heat-watch"
            )  # what is published before it is for nobody
            yield process, re.sub(r".*url='?(\S+?)'?\s*$", r"\1", said)
        finally:
            process.kill()


def publish(server: Mosquitto, *readings: tuple[str, float, float] | str) -> None:
    """Publish readings as a sensor does: room, degrees, seconds after the beginning."""
    session = MqttSession(Options("127.0.0.1", server.port))
    session.open()
    given = []
    for one in readings:
        room = one if isinstance(one, str) else one[0]
        value = {} if isinstance(one, str) else {"room": room, "degrees": one[1], "at": BEGIN + one[2]}
        given.append(Given(f"sensors/{room}", json.dumps(value).encode(), "", None))
    assert session.publish(given) == []
    session.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_spell_of_heat_is_told_once(mosquitto: Mosquitto, backend: str) -> None:
    with started(mosquitto, backend, "2s") as (process, url):
        with connect(url, compression=None) as listener:

            def alert() -> Any:
                return json.loads(listener.recv(timeout=30))

            publish(
                mosquitto,
                ("attic", 31, 0),
                ("hall", 20, 1),
                ("attic", 35.5, 40),
                ("attic", 33, 35),  # late, but not too late
                "of nobody",
                ("attic", 29, 70),
                ("hall", 32, 130),  # which shows that it was cool in the attic
            )
            first = alert()
            mosquitto.kill()
            mosquitto.start()
            assert alert()["room"] == "hall"  # nothing came for two seconds
            publish(mosquitto, ("attic", 40, 1000))
            last = alert()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert first == {
        "room": "attic",
        "since": "2023-11-14T22:13:20+00:00",
        "seconds": 40.0,
        "readings": 3,
        "highest": 35.5,
    }
    assert (last["room"], last["readings"], last["highest"]) == ("attic", 1, 40.0)
    assert process.returncode == 143
    assert re.search(r"rejected [12] lost 0", out), (
        out
    )  # one came twice, if the kill came before its acknowledgement


def test_what_was_published_while_it_was_down_is_told_when_it_is_back(mosquitto: Mosquitto) -> None:
    with started(mosquitto, "asyncio", "1h") as (process, _):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    publish(mosquitto, ("cellar", 31, 0), ("cellar", 32, 10))
    with started(mosquitto, "trio", "1h") as (process, url):
        with connect(url, compression=None) as listener:
            publish(
                mosquitto, ("hall", 32, 130)
            )  # which shows that it is cool in the cellar, now that we listen
            told = json.loads(listener.recv(timeout=30))
            process.send_signal(signal.SIGTERM)
            assert json.loads(listener.recv(timeout=30))["room"] == "hall"  # what is open at the end is told
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                listener.recv(timeout=30)
        process.communicate(timeout=60)
    assert (told["room"], told["readings"], told["seconds"]) == ("cellar", 2, 10.0)
