"""The tests of an example, run as its users run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HELLO = Path(__file__).resolve().parent.parent.parent / "examples" / "00-hello"


def test_headrace_test_runs_the_tests_of_the_first_example_on_both_backends(tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    shutil.copytree(HELLO, folder, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "test"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = re.sub(r"\d+ ms|[\d.]+ s", "T", done.stdout).splitlines()
    assert lines == [
        *(
            f"PASS test_app.py::{name}[{backend}] T"
            for backend in ("asyncio", "trio")
            for name in ("test_short_words_go", "test_words_on_their_way_to_the_screen")
        ),
        "4 passed in T",
    ]
