"""Every async test runs on asyncio and on trio; and which tests run without tracing for coverage."""

from __future__ import annotations

import gc
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers.mosquitto import Mosquitto
from tests.servers.nats import NatsServer
from tests.servers.postgres import Postgres

UNTRACED = {"agreement", "benchmarks", "docs", "evidence", "examples", "faults"}
"""The folders of tests that run whole programs: traced, they would take four times as long. What lies beside this
file is untraced too."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so; what the tests start would inherit a deaf ear for Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Return the backend's name: each async test runs once on each."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """Return a PostgreSQL for all tests of a worker: to make one takes a second."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres) -> Postgres:
    """Return a running PostgreSQL with an empty database; the test may kill it."""
    if not postgres_server.answers():
        postgres_server.start()
    postgres_server.empty()
    return postgres_server


@pytest.fixture
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Return a running NATS server with no streams; the test may kill it."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Return a running MQTT server with no messages; the test may kill it."""
    with Mosquitto(tmp_path_factory.mktemp("mqtt")) as server:
        yield server


class Shown:
    """Holds what is shown against what the mark ``fault`` of a test says.

    Args:
        expected: Lines, with ``...`` for what differs from run to run.
    """

    def __init__(self, expected: tuple[str, ...]) -> None:
        self.missing = list(expected)

    def look(self, text: str) -> None:
        """Assert that every line is there."""
        lines = [line.strip() for line in text.splitlines()]
        self.missing = [
            one for one in self.missing if not any(pattern(one).fullmatch(line) for line in lines)
        ]
        assert self.missing == [], text


def pattern(line: str) -> re.Pattern[str]:
    """Return what a line of the page stands for."""
    return re.compile(".*".join(re.escape(part) for part in line.strip().split("...")))


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Return a function that takes what was shown; what the mark says has to be in it, and it has to be called."""
    mark = request.node.get_closest_marker("fault")
    one = Shown(tuple(mark.kwargs.get("sees", ())))
    yield one.look
    assert one.missing == [], "the test has not shown what its mark says"


def pytest_collection_finish() -> None:
    """Keep eleven thousand tests and what they import out of each full collection of garbage that follows."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep them out for all of a test whose measuring would bring them back, and collects again and again."""
    monkeypatch.setattr(gc, "unfreeze", lambda: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs without tracing, beside the modules that say so themselves."""
    here = Path(__file__).resolve().parent
    for item in items:
        if item.path.parent == here or UNTRACED.intersection(item.path.relative_to(here.parent).parts):
            item.add_marker(pytest.mark.untraced)
