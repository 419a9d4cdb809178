"""What a server says of when to ask again, and answers that are longer than they may be."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from tests.servers.http import HttpServer

from headrace.edges.http_client import MOST_RETRY_AFTER, Answer, HttpClient
from headrace.exceptions import HeadraceError


def answer(**headers: str) -> Answer:
    """Return an answer with some headers."""
    return Answer(503, {name.replace("_", "-"): value for name, value in headers.items()}, b"", "http://h/")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("12", 12), (" 0 ", 0), ("9" * 12, MOST_RETRY_AFTER), ("soon", 0), ("-5", 0), ("", 0), ("1.5", 0)],
)
def test_retry_after_may_be_seconds(said: str, seconds: float) -> None:
    assert answer(retry_after=said).retry_after() == seconds
    assert answer().retry_after() == 0


def test_retry_after_may_be_a_moment() -> None:
    now = time.time()
    assert 90 < answer(retry_after=formatdate(now + 100, usegmt=True)).retry_after() <= 100
    assert answer(retry_after=formatdate(now - 100, usegmt=True)).retry_after() == 0
    assert answer(retry_after=formatdate(now + 10**6, usegmt=True)).retry_after() == MOST_RETRY_AFTER


async def test_of_an_answer_that_is_too_long_no_more_is_read(tmp_path: Path) -> None:
    with HttpServer(tmp_path) as server:
        long = "x" * 3_000_000
        server.serve({"/": ({}, long)})
        async with HttpClient(server.url + "/", headers={}, timeout=30, max_body=1000) as client:
            with pytest.raises(HeadraceError, match="the answer has more than 1000 bytes"):
                await client.request("GET")
            server.answer((404, {}, long))
            refused = await client.request("GET")
            assert (refused.status, len(refused.told())) == (404, len("answered 404: ") + 200)
            assert len(refused.body) < 1_000_000
        async with HttpClient(server.url + "/", headers={}, timeout=30, max_body=1000, cut=True) as client:
            assert len((await client.request("GET")).body) < 1_000_000
