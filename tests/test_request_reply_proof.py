"""The proof of the service under load, in its reduced form, started as ``bootstrap.py prove`` starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import program

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_service_answers_all_refuses_beyond_its_capacity_and_drains_under_load(backend: str) -> None:
    program("wrk")
    done = subprocess.run(
        [sys.executable, "-m", "proofs", "request_reply", "--seconds", "1", "--backend", backend],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("held\n")
    assert "SIGTERM under load" in done.stdout
