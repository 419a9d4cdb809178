"""``sqlite_source`` and ``postgres_source``: what they send, how they end, and where they go on."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.servers.postgres import PASSWORD, Postgres

from headrace import Backoff, HarnessComponent, In, RestartPolicy, System, SystemFailed
from headrace.components import PostgresSource, SqliteSource
from headrace.components.positions import DonePosition, PositionFile
from headrace.edges.postgres import connection
from headrace.exceptions import ConfigError, HeadraceError, UnavailableError


class Database:
    """A database with a source for it."""

    source: Any
    endless: str
    settings: dict[str, Any]

    def run(self, *statements: str) -> None:
        """Run statements."""
        raise NotImplementedError


class Sqlite(Database):
    """An SQLite database."""

    source = SqliteSource
    endless = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT count(*) FROM n"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = {"path": str(path)}

    def run(self, *statements: str) -> None:
        """Run statements."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)


class Server(Database):
    """A PostgreSQL."""

    source = PostgresSource
    endless = "SELECT pg_sleep(1000)"

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.settings = {"url": server.url, "password": PASSWORD}

    def run(self, *statements: str) -> None:
        """Run statements."""
        with self.server.connected() as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Return an empty database of each kind."""
    if request.param == "postgres":
        return Server(request.getfixturevalue("postgres"))
    made = Sqlite(tmp_path / "in.db")
    made.run("PRAGMA user_version = 1")
    return made


def table(database: Database, count: int) -> None:
    """Make the table ``t`` with rows 1 to ``count``, of which two and two have the same ``step``."""
    rows = ", ".join(f"({n}, {n // 2}, 'row {n}')" for n in range(1, count + 1))
    database.run(
        "CREATE TABLE t (id integer PRIMARY KEY, step integer, name text)", f"INSERT INTO t VALUES {rows}"
    )


def query(database: Database, text: str = "SELECT * FROM t", **more: Any) -> dict[str, Any]:
    """Return the settings of a source."""
    return {**database.settings, "query": text, **more}


class Keep(HarnessComponent):
    """Keeps the ids it gets, and acknowledges up to one."""

    in_: In[Any]
    ack = "manual"

    def __init__(self, name: str, up_to: int = 10**9) -> None:
        super().__init__(name)
        self.ids: list[int] = []
        self._up_to = up_to

    async def process(self) -> None:
        async for row in self.in_:
            self.ids.append(row["id"])
            if row["id"] <= self._up_to:
                self.in_.ack(row)


def line(
    database: Database, config: dict[str, Any], up_to: int = 10**9, restart: Any = None
) -> tuple[System, Keep, Any]:
    """Return a system of a source and what keeps its rows."""
    system = System("line", buffer_size=10)
    source: Any = system.add("source", database.source, config, restart=restart).component
    keep = Keep("keep", up_to)
    system.add("keep", keep)
    system.connect("source.out", "keep.in")
    return system, keep, source


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what a server does sets no event of ours
            await anyio.sleep(0.005)


async def test_the_rows_of_a_query_are_sent_in_their_order(run_through: Any, database: Database) -> None:
    table(database, 5)
    seen = await run_through(
        database.source, query(database, "SELECT id, name FROM t ORDER BY id DESC;", batch_size=2)
    )
    assert seen.out == [{"id": n, "name": f"row {n}"} for n in (5, 4, 3, 2, 1)]
    assert seen.report.clean


async def test_an_empty_result_is_the_end(run_through: Any, database: Database) -> None:
    table(database, 1)
    seen = await run_through(database.source, query(database, "SELECT * FROM t WHERE id > 7"))
    assert seen.out == []


async def test_parameters_stand_in_a_query(run_through: Any, database: Database) -> None:
    table(database, 3)
    text = (
        "SELECT id FROM t WHERE name = :name"
        if isinstance(database, Sqlite)
        else "SELECT id FROM t WHERE name = %(name)s"
    )
    seen = await run_through(database.source, query(database, text, parameters={"name": "row 2"}))
    assert seen.out == [{"id": 2}]


async def test_a_per_cent_is_one_where_there_are_no_parameters(run_through: Any, database: Database) -> None:
    table(database, 3)
    for more in ({}, {"growing_column": "id"}):
        text = "SELECT id FROM t WHERE name LIKE '%2' -- the second"
        seen = await run_through(database.source, query(database, text, **more))
        assert seen.out == [{"id": 2}]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_rows_of_one_value_are_not_torn_apart(run_through: Any, database: Database, size: int) -> None:
    table(database, 9)
    database.run("INSERT INTO t VALUES (10, NULL, 'has no step')")
    config = query(database, growing_column="step", batch_size=size)
    seen = await run_through(database.source, config)
    assert sorted(row["id"] for row in seen.out) == list(range(1, 10))
    assert [row["step"] for row in seen.out] == [n // 2 for n in range(1, 10)]


async def test_what_comes_later_is_sent_then(database: Database) -> None:
    table(database, 3)
    system, keep, _ = line(database, query(database, growing_column="id", poll_every=0.01))
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: len(keep.ids) == 3)
        database.run("INSERT INTO t VALUES (4, 2, 'four'), (5, 2, 'five')")
        await until(lambda: len(keep.ids) == 5)
        report = await system.stop()
    assert keep.ids == [1, 2, 3, 4, 5]
    assert report is not None
    assert report.clean


async def test_a_query_without_such_a_column_is_asked_anew(database: Database) -> None:
    table(database, 2)
    system, keep, _ = line(database, query(database, "SELECT * FROM t ORDER BY id", poll_every=0.01))
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: len(keep.ids) >= 6)
        await system.stop()
    assert keep.ids[:6] == [1, 2, 1, 2, 1, 2]


async def test_the_next_run_goes_on_behind_what_was_acknowledged(database: Database, tmp_path: Path) -> None:
    table(database, 9)
    config = query(
        database, growing_column="step", position_file=str(tmp_path / "new" / "position"), batch_size=4
    )
    system, keep, _ = line(database, config, up_to=4)  # of the step 2, that is one of two rows
    await system.run()
    assert sorted(keep.ids) == list(range(1, 10))
    system, keep, _ = line(database, config)
    await system.run()
    assert sorted(keep.ids) == [4, 5, 6, 7, 8, 9]
    system, keep, _ = line(database, config)
    await system.run()
    assert keep.ids == []


@pytest.mark.parametrize("kept", [False, True])
async def test_a_source_that_is_restarted_goes_on_where_its_position_is_kept(
    tmp_path: Path, kept: bool
) -> None:
    lives: list[int] = []

    class Counted(SqliteSource):
        async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
            await super().setup(harness_context)
            lives.append(self.context.restarts)

    database: Any = Sqlite(tmp_path / "in.db")
    database.source = Counted
    table(database, 3)
    more = {"position_file": str(tmp_path / "position")} if kept else {}
    config = query(database, growing_column="id", poll_every=0.01, **more)
    system, keep, _ = line(database, config, restart=RestartPolicy(max_restarts=1000, backoff=Backoff(0.01)))
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: len(keep.ids) == 3)
        database.run("ALTER TABLE t RENAME TO u")
        await until(lambda: len(lives) > 1)
        database.run("ALTER TABLE u RENAME TO t", "INSERT INTO t VALUES (4, 2, 'four')")
        await until(lambda: 4 in keep.ids)
        await system.stop()
    assert keep.ids == ([1, 2, 3, 4] if kept else [1, 2, 3, 1, 2, 3, 4])


async def test_a_position_may_be_a_time(run_through: Any, postgres: Postgres, tmp_path: Path) -> None:
    database = Server(postgres)
    database.run("CREATE TABLE t (at timestamptz, id int)")
    config = query(database, growing_column="at", position_file=str(tmp_path / "position"))
    for number in (1, 2):
        database.run(f"INSERT INTO t VALUES ('2026-01-0{number} 12:00:00.123456+02', {number})")
        seen = await run_through(database.source, config)
        assert [row["id"] for row in seen.out] == [number]


async def test_a_value_that_cannot_be_kept_fails_the_run(
    run_through: Any, postgres: Postgres, tmp_path: Path
) -> None:
    config = query(
        Server(postgres), "SELECT true AS b", growing_column="b", position_file=str(tmp_path / "p")
    )
    with pytest.raises(SystemFailed, match="column 'b' has a value of type bool, which is no position"):
        await run_through(PostgresSource, config)


# --- stops ---------------------------------------------------------------------------------------------


def sleepers(server: Postgres) -> list[int]:
    """Return the processes of a server that are at the endless query."""
    return [pid for (pid,) in server.rows("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'")]


def is_asking(database: Database, source: Any) -> bool:
    """Tell whether the endless query is at work."""
    if isinstance(database, Server):
        return bool(sleepers(database.server))
    return source._thread._ended is not None


@pytest.mark.parametrize("end", ["stop", "cancel"])
async def test_a_query_that_runs_for_ever_ends_at_once(database: Database, end: str) -> None:
    system, _, source = line(database, query(database, database.endless))
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: is_asking(database, source))
        began = time.monotonic()
        if end == "stop":
            report = await system.stop()
            assert report is not None
            assert report.clean
        else:
            group.cancel_scope.cancel()
    assert time.monotonic() - began < 10
    assert not isinstance(database, Server) or not is_asking(database, source)


async def test_a_server_that_does_not_answer_keeps_no_stop_waiting(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_SEVER", 0.1)
    database = Server(postgres)
    system, _, source = line(database, query(database, database.endless))
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: is_asking(database, source))
        (pid,) = sleepers(postgres)
        os.kill(pid, signal.SIGSTOP)
        try:
            await system.stop()
        finally:
            os.kill(pid, signal.SIGCONT)


def connect_to_silence(timeout: float, told: list[str]) -> None:
    """Connect to a server that takes connections and says nothing, and interrupt that where it takes long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://keeper@127.0.0.1:{silent.getsockname()[1]}/postgres"
        connecting = connection.PostgresConnection(url, connect_timeout=timeout)

        def connect() -> None:
            with pytest.raises(UnavailableError) as caught:
                connecting.open()
            told.append(str(caught.value))

        thread = threading.Thread(target=connect)
        thread.start()
        while timeout > 1 and connecting._attempt is None:
            time.sleep(0.001)
        if timeout > 1:
            connecting.interrupt()
        thread.join(30)


@pytest.mark.parametrize(
    ("timeout", "says"), [(1000, "was told to give up"), (0.05, "no answer within 0.05 s")]
)
def test_a_server_that_says_nothing_is_given_up(timeout: float, says: str) -> None:
    told: list[str] = []
    connect_to_silence(timeout, told)
    assert len(told) == 1
    assert says in told[0]


# --- trouble -------------------------------------------------------------------------------------------


async def test_a_server_that_is_killed_is_asked_again_and_no_row_comes_twice(postgres: Postgres) -> None:
    database = Server(postgres)
    table(database, 50)
    system, keep, source = line(database, query(database, growing_column="id", poll_every=0.01, batch_size=7))
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: len(keep.ids) >= 50)
        postgres.kill()
        await until(lambda: source._server.is_away)
        health = await system.check_health()
        assert not health.ready
        assert health.reason.startswith(
            f"source: postgresql at 127.0.0.1:{postgres.port}/postgres has been away"
        )
        postgres.start()
        database.run("INSERT INTO t VALUES (51, 25, 'after')")
        await until(lambda: len(keep.ids) >= 51)
        assert (await system.check_health()).ready
        report = await system.stop()
    assert keep.ids == list(range(1, 52))
    assert report is not None
    assert report.clean
    assert source._server.losses == 1


async def test_a_server_that_is_not_there_yet_is_waited_for(postgres: Postgres) -> None:
    database = Server(postgres)
    table(database, 3)
    postgres.kill()
    system, keep, source = line(database, query(database, "SELECT id FROM t ORDER BY id"))
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await until(lambda: source._server.tries >= 2)
        postgres.start()
        await until(lambda: len(keep.ids) == 3)


async def test_a_database_that_is_locked_is_tried_again(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "in.db")
    table(database, 3)
    system, keep, source = line(database, query(database, busy_timeout=0.001))
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with anyio.create_task_group() as group:
            await group.start(system.run)
            await until(lambda: source._server.is_away)
            assert "locked" in (await system.check_health()).reason
            other.execute("COMMIT")
            await until(lambda: len(keep.ids) == 3)


@pytest.mark.parametrize(
    ("text", "more", "says"),
    [
        ("SELECT * FROM nothing", {}, "nothing"),
        ("SELECT 1 AS a, 2 AS a", {}, "the query has two columns 'a'; give one another name with AS"),
        ("SELECT 1 AS a", {"growing_column": "b"}, "b"),
    ],
)
async def test_a_query_that_is_wrong_fails_the_run(
    run_through: Any, database: Database, text: str, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(SystemFailed, match=f"it: .*{says}"):
        await run_through(database.source, query(database, text, **more))


async def test_a_column_is_named_as_the_result_has_it(run_through: Any, tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "in.db")
    table(database, 1)
    with pytest.raises(SystemFailed, match="no column 'ID', known: id, name, step"):
        await run_through(SqliteSource, query(database, growing_column="ID"))


async def test_a_database_that_is_missing_fails_the_set_up_and_is_not_made(
    run_through: Any, tmp_path: Path
) -> None:
    with pytest.raises(SystemFailed, match="there is no database"):
        await run_through(SqliteSource, {"path": str(tmp_path / "no.db"), "query": "SELECT 1"})
    assert os.listdir(tmp_path) == []


async def test_a_wrong_password_fails_the_set_up_and_is_not_told(
    run_through: Any, postgres: Postgres
) -> None:
    config = {"url": postgres.url, "password": "secret-of-mine", "query": "SELECT 1"}
    with pytest.raises(SystemFailed, match="password authentication failed") as caught:
        await run_through(PostgresSource, config)
    assert "secret-of-mine" not in str(caught.value)
    assert "secret-of-mine" not in repr(PostgresSource("it", config).config)


def test_a_url_that_cannot_be_read_is_not_told() -> None:
    with pytest.raises(ConfigError, match="url cannot be read") as caught:
        PostgresSource("it", {"url": "host=h secret-of-mine", "query": "SELECT 1"})
    assert "secret-of-mine" not in str(caught.value)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"query": " "}, "query"),
        ({"path": ""}, "path"),
        ({"batch_size": 0}, "batch_size"),
        ({"poll_every": "0s"}, "poll_every"),
        ({"position_file": "p"}, "position_file"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(more: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqliteSource("it", {"path": "in.db", "query": "SELECT 1", **more})
    assert caught.value.field == field


# --- positions -----------------------------------------------------------------------------------------


def test_a_file_of_another_column_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "position"
    PositionFile(str(path), "id").write(7)
    assert PositionFile(str(path), "id").read() == 7
    with pytest.raises(HeadraceError, match="is the position in column 'id', not in 'at'"):
        PositionFile(str(path), "at").read()
    path.write_text('{"column": "id"')
    with pytest.raises(HeadraceError, match=r"holds no position: .*; delete it to begin with the first row"):
        PositionFile(str(path), "id").read()


def test_a_position_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "position").mkdir()
    with pytest.raises(HeadraceError, match="the position cannot be written"):
        PositionFile(str(tmp_path / "position"), "id").write(7)
    assert [path.name for path in tmp_path.iterdir()] == ["position"]


def test_a_position_moves_past_all_rows_of_a_value_or_none() -> None:
    position = DonePosition(0)
    one, also_one, two = position.expect([1, 1, 2])
    position.settle([two, one], True)
    assert position.value == 0
    position.settle([also_one], False)
    assert position.value == 0
    position.settle([also_one], True)
    assert position.value == 2
