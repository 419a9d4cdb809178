"""The soak proof, reduced: the same code, fewer messages and quicker crashes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import anyio
import pytest
from proofs.soak import Soak


@pytest.fixture
def silent_log() -> Iterator[None]:
    """Keep hundreds of tracebacks that are meant out of the log."""
    logger = logging.getLogger("headrace")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(before)


@pytest.mark.usefixtures("silent_log")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nothing_is_lost_while_components_crash_all_the_time(backend: str) -> None:
    said: list[str] = []
    soak = Soak(6_000, every=0.01, say=said.append)
    report = anyio.run(soak.run, backend=backend)
    assert soak.verdict(report) == []
    assert soak.crashes >= 15
    assert any(one.redelivered for one in report.restarts)
    assert "6,000" in report.summary()


def test_the_proof_tells_what_is_not_kept() -> None:
    soak = Soak(10, every=1_000, say=lambda line: None)
    report = anyio.run(soak.run)
    soak.functions.seen[3] = 2
    soak.raw.seen[4] = 0
    assert soak.verdict(report) == ["functions lost and duplicated nothing", "raw components lost nothing"]
