"""The proof of the large file, in its reduced form, started as ``bootstrap.py prove`` starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("source", ["jsonl_source", "lines_source", "csv_source"])
def test_memory_stays_flat_while_a_file_is_read(source: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proofs", "bigfile", "0.05", source],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "; held" in done.stdout
