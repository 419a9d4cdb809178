"""What it costs to be shown: the flights demo with 50 watchers and a scraper, over the same demo without any."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from headrace_bench import flights_unwatched, web_clients
from headrace_bench.children import environment
from headrace_bench.measuring import Effort, NotAvailableError, Sample
from headrace_bench.race import Contender, Race, row

from .flights import SLICE, blueprint, data_folder, harness_command, sliced

CLIENTS = 50
SHOWN = f"headrace run --web, {CLIENTS} watchers, a scraper"
PLAIN = "headrace run"
BARE = "no web, no watchdogs"

Run = Callable[[Effort, Path, Path], float]


def _sample(run: Run) -> Sample:
    """Return the seconds that a run says of itself: how long Python takes to start is another matter."""

    def sample(effort: Effort) -> float:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out")
            out.mkdir()
            data = sliced(data_folder(), Path(folder), SLICE) if effort.quick else data_folder()
            return run(effort, data, out)

    return sample


def _seconds(command: list[str], data: Path, out: Path) -> float:
    extra = environment(DATA=str(data), OUT=str(out))
    done = subprocess.run(command, env=extra, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotAvailableError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _plain(effort: Effort, data: Path, out: Path) -> float:
    return _seconds([*harness_command(effort.backend, data, out), "--format", "json"], data, out)


def _bare(effort: Effort, data: Path, out: Path) -> float:
    return _seconds([sys.executable, flights_unwatched.__file__, str(blueprint()), effort.backend], data, out)


def _shown(effort: Effort, data: Path, out: Path) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*harness_command(effort.backend, data, out), "--format", "json", "--web", f"127.0.0.1:{port}"]
    watchers = subprocess.Popen(
        [sys.executable, web_clients.__file__, str(port), str(CLIENTS)], stdout=subprocess.PIPE, text=True
    )
    try:
        seconds = _seconds(command, data, out)
        said, _ = watchers.communicate(timeout=30)
    finally:
        watchers.kill()
        watchers.wait()
    seen = json.loads(said)
    if not effort.quick and (seen["clients"] < CLIENTS or not seen["scrapes"]):
        raise NotAvailableError(f"not all {CLIENTS} watchers came in time: {seen}")
    return seconds


RACES = (
    Race(
        "the flights demo while it is shown",
        "s",
        (
            Contender(SHOWN, _sample(_shown)),
            Contender(PLAIN, _sample(_plain)),
            Contender(BARE, _sample(_bare)),
        ),
        (
            row("web/watchers-over-none", SHOWN, PLAIN, reach="<= 1.05 x", stretch="<= 1.02 x"),
            row("web/on-over-off", SHOWN, BARE, reach="<= 1.1 x", stretch="<= 1.05 x"),
        ),
        warm_up=False,
    ),
)

__all__ = ["RACES"]
