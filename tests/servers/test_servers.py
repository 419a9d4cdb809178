"""The servers that other tests start: killed, started again on their port, and heard where they do not start."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from tests.servers.mosquitto import Mosquitto
from tests.servers.nats import NatsServer
from tests.servers.postgres import PASSWORD, Postgres
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
