"""The service of quotes, started as its README says, and asked over HTTP; ``prove request_reply`` loads it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "08-request-reply"


@contextmanager
def started(backend: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the service on a free port, and return its process and its address."""
    unwanted = ("PYTEST_", "COVERAGE_", "COV_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    with subprocess.Popen(
        [sys.executable, "-m", "headrace", "run", "quotes.yaml", "--backend", backend],
        cwd=EXAMPLE,
        env=environment | {"LISTEN": "127.0.0.1:0"},
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


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_order_is_answered_a_wrong_one_with_its_reason_and_a_stop_closes_the_books(backend: str) -> None:
    with started(backend) as (process, url):
        with httpx.Client(timeout=30) as client:
            answer = client.post(url, json={"fruit": "plum", "amount": 120})
            assert answer.json() == {"fruit": "plum", "amount": 120, "cents": 1080, "in_stock": True}
            assert client.post(url, json={"fruit": "plum", "amount": 9_999}).json()["in_stock"] is False
            unknown = client.post(url, json={"fruit": "kiwi", "amount": 1})
            assert (unknown.status_code, unknown.json()) == (422, {"error": "we have no kiwi"})
            none = client.post(url, json={"fruit": "plum", "amount": 0})
            assert (none.status_code, "$.amount" in none.json()["error"]) == (422, True)
            assert (
                client.post(url, content=b"{", headers={"Content-Type": "application/json"}).status_code
                == 400
            )
            assert client.get(url).status_code == 405
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "in 4 out 4 rejected 2 lost 0" in out
