"""Orders by webhook, through NATS, into SQLite: what was taken is there once, also where the server was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.servers.nats import NatsServer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "05-webhook"


@contextmanager
def started(nats: NatsServer, folder: Path, backend: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the example as its README says, on a free port, and return its process and its address."""
    unwanted = ("PYTEST_", "COVERAGE_", "COV_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    environment |= {"LISTEN": "127.0.0.1:0", "NATS_URL": nats.url, "HOOK_TOKEN": "secret"}
    environment |= {"DATABASE": str(folder / "orders.db"), "WRONG": str(folder / "wrong.jsonl")}
    with subprocess.Popen(
        [sys.executable, "-m", "headrace", "run", "orders.yaml", "--backend", backend],
        cwd=EXAMPLE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while "url=" not in said:
                said = process.stderr.readline()
                assert said, "it has ended"
            yield process, re.sub(r".*url='?(\S+?)'?\s*$", r"\1", said)
        finally:
            process.kill()


def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.01)


def written(folder: Path) -> list[tuple[Any, ...]]:
    """Return the rows of the table."""
    if not (folder / "orders.db").exists():
        return []
    with closing(sqlite3.connect(folder / "orders.db", timeout=10)) as database:
        try:
            return database.execute("SELECT id, region, item, amount FROM orders ORDER BY id").fetchall()
        except sqlite3.OperationalError:  # not made yet
            return []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_was_taken_is_in_the_table_once_though_the_server_is_killed(
    nats: NatsServer, tmp_path: Path, backend: str
) -> None:
    orders = [
        {"id": f"o{n:03}", "region": "north" if n % 2 else "south", "item": f"item {n}", "amount": n + 1}
        for n in range(200)
    ]
    with started(nats, tmp_path, backend) as (process, url):
        headers = {"Authorization": "Bearer secret"}
        with httpx.Client(timeout=30, headers=headers) as client:

            def order(one: Any) -> int:
                return client.post(url, json=one).status_code

            def insist(one: Any) -> None:
                until(lambda: order(one) == 202)

            assert client.post(url, json=orders[0], headers={"Authorization": ""}).status_code == 401
            for one in orders[:60]:
                assert order(one) == 202
            assert order({**orders[0], "amount": 0}) == 202  # taken, and wrong
            assert order({"id": "x"}) == 202
            until(lambda: len(written(tmp_path)) == 60)

            nats.kill()
            for one in orders[60:120]:
                insist(one)
            nats.start()
            for one in orders[40:]:  # in doubt, some are sent again
                insist(one)
            until(lambda: len(written(tmp_path)) == 200)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "lost 0" in out
    assert written(tmp_path) == [tuple(one.values()) for one in orders]
    wrong = [json.loads(line) for line in (tmp_path / "wrong.jsonl").read_text().splitlines()]
    assert [one["message"]["id"] for one in wrong] == ["o000", "x"]
    assert "`int` >= 1" in wrong[0]["reason"]
