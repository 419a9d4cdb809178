"""The servers that other tests start: killed, started again on their port, and heard where they do not start."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from tests.servers import ROOT
from tests.servers.http import HttpServer
from tests.servers.mosquitto import Mosquitto
from tests.servers.nats import NatsServer
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.processes import ServerProcess


@pytest.mark.parametrize("kind", [HttpServer, Mosquitto, NatsServer])
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


def test_postgres_keeps_what_was_committed_when_it_is_killed(postgres: Postgres) -> None:
    postgres.rows("CREATE TABLE t (a int)")
    connection = psycopg.connect(postgres.url, password=PASSWORD)
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    connection.execute("INSERT INTO t VALUES (2)")
    postgres.kill()
    assert not postgres.answers()
    with pytest.raises(psycopg.OperationalError):
        connection.commit()
    connection.close()
    postgres.start()
    assert postgres.rows("SELECT a FROM t") == [(1,)]
    postgres.empty()
    assert postgres.rows("SELECT to_regclass('t')") == [(None,)]


def test_postgres_asks_for_a_password(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url, password="wrong")


def test_a_postgres_that_does_not_start_says_why_and_leaves_nothing_behind() -> None:
    with Postgres() as server:
        assert server.answers()
        server.stop()
        assert not server.answers()
        with (server.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write("nonsense = 1\n")
        with pytest.raises(RuntimeError, match="unrecognized configuration parameter"):
            server.start()
    assert not server.folder.exists()


def takes_connections(port: int) -> bool:
    """Tell whether somebody listens."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_postgres_ends_with_whoever_has_started_it() -> None:
    code = "import time; from tests.servers.postgres import Postgres; server = Postgres().__enter__()"
    script = f"{code}; print(server.port, server.folder, flush=True); time.sleep(1000)"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        port, folder = starter.stdout.readline().split()
        starter.kill()
    try:
        end = time.monotonic() + 30
        while (Path(folder) / "data" / "postmaster.pid").exists() or takes_connections(int(port)):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        shutil.rmtree(folder)
