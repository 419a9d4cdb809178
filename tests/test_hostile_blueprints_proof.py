"""The proof of the hostile blueprints on one case, started as ``bootstrap.py prove`` starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def prove(word: str) -> subprocess.CompletedProcess[str]:
    """Run the proof on the cases with a word in their name."""
    command = [sys.executable, "-m", "proofs", "hostile_blueprints", word]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


def test_it_shows_what_each_command_took_and_its_verdict_is_its_exit_code() -> None:
    done = prove("an alias of nothing")
    good, row, count, verdict = done.stdout.splitlines()
    assert good.count("MB, exit 0") == 2
    assert row.startswith("an alias of nothing ")
    assert row.count("MB, exit 2") == 2
    assert count.partition(" ")[2].startswith("of 1 refused within 1 s and 100 MB")
    assert (done.returncode, verdict) in ((0, "held"), (1, "NOT held")), done.stderr


def test_a_word_that_no_case_has_proves_nothing() -> None:
    done = prove("no such case")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no case has 'no such case' in its name" in done.stderr
