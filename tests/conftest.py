"""Every async test runs on asyncio and on trio; and which tests run without tracing for coverage."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

UNTRACED = {"agreement", "benchmarks", "docs", "evidence", "examples"}
"""The folders of tests that run whole programs: traced, they would take four times as long. What lies beside this
file is untraced too."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so; what the tests start would inherit a deaf ear for Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Return the backend's name: each async test runs once on each."""
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs without tracing, beside the modules that say so themselves."""
    here = Path(__file__).resolve().parent
    for item in items:
        if item.path.parent == here or UNTRACED.intersection(item.path.relative_to(here.parent).parts):
            item.add_marker(pytest.mark.untraced)
