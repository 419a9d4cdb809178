"""The logs in PostgreSQL: the tables hold what a loop over the files counts, also where the server was away."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.servers.postgres import Postgres

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "04-logs"
LINE = re.compile(r"(\S+) ([A-Z]+) ([\w-]+) (.*)")
LATE = 1
"""How many lines of the logs come too late to be counted."""


def read_lines() -> Iterator[str]:
    """Return the lines of all files."""
    for path in sorted((EXAMPLE / "logs").iterdir()):
        data = path.read_bytes()
        yield from (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()


def counted() -> tuple[dict[tuple[str, datetime], list[int]], list[str]]:
    """Count lines and errors by service and minute, and collect the bad lines."""
    counts: dict[tuple[str, datetime], list[int]] = {}
    bad: list[str] = []
    latest = datetime.min.replace(tzinfo=UTC)
    late = 0
    for line in read_lines():
        found = LINE.fullmatch(line)
        if found is None or not found[1].startswith("2026"):
            bad.append(line)
            continue
        at = datetime.fromisoformat(found[1])
        if (latest - at).total_seconds() > 70:
            late += 1
            continue
        latest = max(at, latest)
        count = counts.setdefault((found[3], at.replace(second=0, microsecond=0)), [0, 0])
        count[0] += 1
        count[1] += found[2] in ("ERROR", "FATAL")
    assert late == LATE
    return counts, bad


@contextmanager
def started(server: Postgres, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the example as its README says."""
    unwanted = ("PYTEST_", "COVERAGE_", "COV_", "PG")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    environment |= {"DATABASE_URL": server.url, "PGPASSWORD": server.password}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "headrace", "run", "logs.yaml"],
            cwd=EXAMPLE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def check_tables(server: Postgres) -> None:
    """Assert that the tables hold what was counted."""
    counts, bad = counted()
    rows = server.rows("SELECT service, minute, lines, errors, error_rate FROM error_rates")
    assert {(service, minute): [lines, errors] for service, minute, lines, errors, _ in rows} == counts
    assert all(rate == pytest.approx(errors / lines) for _, _, lines, errors, rate in rows)
    assert sorted(line for (line,) in server.rows("SELECT line FROM bad_lines")) == sorted(bad)


def run(server: Postgres, tmp_path: Path) -> str:
    """Run the example and return what it prints."""
    with started(server, tmp_path / "log.txt") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, (tmp_path / "log.txt").read_text()
    return out


def test_the_tables_hold_what_a_loop_counts_also_after_a_second_run(
    postgres: Postgres, tmp_path: Path
) -> None:
    for _ in range(2):
        out = run(postgres, tmp_path)
        check_tables(postgres)
    assert f"late lines:\n{LATE}  dict" in out
    total = sum(1 for _ in read_lines())
    assert f"in {total:,} out {len(counted()[0])} rejected 3 lost 0" in out


def test_it_waits_for_its_server(postgres: Postgres, tmp_path: Path) -> None:
    postgres.kill()
    log = tmp_path / "log.txt"
    with started(postgres, log) as process:
        read: Any = ""
        while "server away" not in read:
            read = log.read_text()
            assert process.poll() is None, read
        postgres.start()
        process.communicate(timeout=60)
    assert process.returncode == 0, log.read_text()
    assert "server back" in log.read_text()
    assert postgres.password not in log.read_text()
    check_tables(postgres)
