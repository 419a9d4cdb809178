"""The chart of metrics: what is unusual, lines in a pipe, a chart in a terminal that is left as it was."""

from __future__ import annotations

import importlib.util
import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "07-metrics"


def example() -> ModuleType:
    """Return the module of the example."""
    spec = importlib.util.spec_from_file_location("metrics_of_the_example", EXAMPLE / "metrics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(**more: str) -> dict[str, str]:
    unwanted = ("PYTEST_", "COVERAGE_", "COV_")
    return {k: v for k, v in os.environ.items() if not k.startswith(unwanted)} | more


def command(backend: str) -> list[str]:
    return [sys.executable, "-m", "headrace", "run", "metrics.yaml", "--quiet", "--backend", backend]


def test_what_is_far_from_before_is_unusual_and_becomes_usual_as_it_goes_on() -> None:
    usual = example().Usual()
    calm = [usual.is_unusual(20 + number % 3) for number in range(100)]
    assert not any(calm)
    peak = [usual.is_unusual(90) for _ in range(200)]
    assert peak[0] is True
    assert peak[-1] is False
    assert 80 < usual.mean < 91
    assert usual.is_unusual(20) is True


def test_nothing_is_unusual_before_it_has_learned_and_small_moves_never_are() -> None:
    usual = example().Usual()
    assert not any(usual.is_unusual(value) for value in (0, 100) * 10)
    still = example().Usual()
    assert not any(still.is_unusual(50 + (number == 60) * 3.9) for number in range(100))


def test_the_newest_readings_are_shown_however_narrow_the_terminal_is() -> None:
    chart = example()
    readings = deque([(0.0, False)] * 59 + [(100.0, True)], maxlen=60)
    for width in (60, 80, 200):
        console = Console(width=width, file=io.StringIO(), force_terminal=False)
        console.print(chart.drawn({"process_cpu_percent": readings}, width))
        shown = console.file.getvalue()
        assert "▁█ " in shown
        assert "…" not in shown


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_a_pipe_there_is_a_line_for_each_reading(backend: str) -> None:
    done = subprocess.run(
        command(backend),
        cwd=EXAMPLE,
        env=environment(EVERY="20ms", COUNT="5"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "%" in line]
    assert len(lines) == 5
    assert all(
        re.match(r"\d\d:\d\d:\d\d  cpu [\d.]+ %  memory [\d.]+ %  process cpu [\d.]+ %", line)
        for line in lines
    )
    assert "\x1b" not in done.stdout
    assert "lost 0" in done.stdout


def test_in_a_terminal_there_is_a_chart_and_ctrl_c_leaves_the_terminal_as_it_was() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("asyncio"),
        cwd=EXAMPLE,
        env=environment(EVERY="50ms", TERM="xterm-256color", COLUMNS="120"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown, is_told = b"", False
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    shown += os.read(ours, 65_536)
                except OSError:  # the other side is closed
                    break
            if not is_told and shown.count(b"process cpu") > 3:
                process.send_signal(signal.SIGINT)
                is_told = True
        process.kill()
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 130, text[-2000:]
    assert re.search(r"memory +[▁▂▃▄▅▆▇█]+", text)
    assert "\x1b[?25l" in text  # the cursor was hidden
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # and is shown again
