"""The proof of the million cycles, in its reduced form, started as ``bootstrap.py prove`` starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_closed_streams_leave_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proofs", "stream_cycles", "20000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "; held" in done.stdout
