"""The servers that other tests start: killed, started again on their port, and heard where they do not start."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.servers.mosquitto import Mosquitto
from tests.servers.nats import NatsServer
from tests.servers.processes import ServerProcess


@pytest.mark.parametrize("kind", [Mosquitto, NatsServer])
def test_a_server_comes_back_on_its_port_after_a_kill(kind: type[ServerProcess], tmp_path: Path) -> None:
    with kind(tmp_path) as server:
        port = server.port
        server.kill()
        assert not server.answers()
        server.start()
        assert server.answers()
        assert server.port == port
    assert not server.answers()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    (tmp_path / "jetstream").write_text("not a folder")
    with pytest.raises(RuntimeError, match="not a directory"), server:
        raise AssertionError("it has started")
