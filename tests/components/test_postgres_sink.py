"""``postgres_sink``: what is written, what is refused, and what becomes of rows while the server is away."""

from __future__ import annotations

import select
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest
from tests.servers.postgres import PASSWORD, Postgres

from headrace import HarnessComponent, Out, System, SystemFailed
from headrace.components import PostgresSink
from headrace.exceptions import ConfigError, MissingExtraError

ROWS = [{"id": 1, "name": "one"}, {"id": 2, "name": None}, {"id": 3, "name": 'drei\t\\N "3"\n'}]
TABLE = "CREATE TABLE t (id integer PRIMARY KEY, name text)"


def settings(server: Postgres, **more: Any) -> dict[str, Any]:
    """Return the settings of a sink."""
    return {"url": server.url, "password": PASSWORD, "table": "t", **more}


def content(server: Postgres, columns: str = "*") -> list[tuple[Any, ...]]:
    """Return what is in the table."""
    return server.rows(f"SELECT {columns} FROM t ORDER BY 1")


def types(server: Postgres) -> dict[str, str]:
    """Return the columns of the table with their types."""
    query = "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 't'::regclass"
    return dict(server.rows(f"{query} AND attnum > 0"))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what a server does sets no event of ours
            await anyio.sleep(0.005)


class Told(HarnessComponent):
    """Sends what it is told."""

    out: Out[Any]

    async def process(self) -> None:
        await anyio.sleep_forever()


@asynccontextmanager
async def running(server: Postgres, **more: Any) -> AsyncIterator[tuple[System, Told, PostgresSink]]:
    """Run a source that is told what to send, and a sink; it is cancelled at the end."""
    system = System("line", source_grace=0.01)
    told = Told("told")
    system.add("told", told)
    sink: Any = system.add("sink", PostgresSink, settings(server, flush_every=0.01, **more)).component
    system.connect("told.out", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        yield system, told, sink
        group.cancel_scope.cancel()


# --- what is written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["append", "upsert"])
async def test_rows_are_written(run_through: Any, postgres: Postgres, mode: str) -> None:
    postgres.rows(TABLE)
    seen = await run_through(PostgresSink, settings(postgres, mode=mode, primary_key=["id"]), in_=ROWS)
    assert content(postgres) == [(1, "one"), (2, None), (3, 'drei\t\\N "3"\n')]
    assert seen.component.written == 3
    assert seen.report.clean
    assert (await seen.component.health_check())["written"] == 3


async def test_a_table_is_made_with_types_that_fit_the_first_row(
    run_through: Any, postgres: Postgres
) -> None:
    row = {
        "n": 2**40,
        "x": 0.1,
        "yes": True,
        "text": "a",
        "nothing": None,
        "at": datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        "price": Decimal("1.50"),
        "id": UUID(int=7),
        "raw": b"\0\xff",
        "nested": {"a": [1, {"b": datetime(2026, 1, 1, tzinfo=UTC)}]},
        "names": ["a", "b"],
    }
    seen = await run_through(PostgresSink, settings(postgres, create_table=True), in_=[row])
    assert seen.reasons == []
    assert types(postgres) == {
        "n": "bigint",
        "x": "double precision",
        "yes": "boolean",
        "text": "text",
        "nothing": "text",
        "at": "timestamp with time zone",
        "price": "numeric",
        "id": "uuid",
        "raw": "bytea",
        "nested": "jsonb",
        "names": "jsonb",
    }
    (found,) = content(postgres)
    assert found == (*list(row.values())[:9], {"a": [1, {"b": "2026-01-01T00:00:00Z"}]}, ["a", "b"])


async def test_given_types_and_a_key_are_those_of_the_table(run_through: Any, postgres: Postgres) -> None:
    columns = {"id": "integer", "price": "numeric(10, 2)", "tags": "text[]", "b": ""}
    config = settings(postgres, create_table=True, columns=columns, primary_key=["id", "b"])
    row = {"id": 1, "price": "2.5", "tags": ["x", "y"], "b": True, "more": 1}
    for _ in range(2):
        seen = await run_through(PostgresSink, config, in_=[row])
    assert content(postgres) == [(1, Decimal("2.50"), ["x", "y"], True)]
    assert types(postgres)["b"] == "boolean"
    assert "duplicate key value violates unique constraint" in seen.reasons[0]


async def test_a_table_that_another_makes_at_that_moment_is_taken(postgres: Postgres) -> None:
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'headrace' AND wait_event_type = 'Lock'"
    )
    with postgres.connected() as other:
        other.execute("BEGIN")
        other.execute(TABLE)
        async with running(postgres, create_table=True, columns={"id": "integer", "name": "text"}) as (
            _,
            told,
            sink,
        ):
            await until(lambda: bool(postgres.rows(waiting)))
            other.execute("COMMIT")
            await told.out.send(ROWS[0])
            await until(lambda: sink.written == 1)
    assert content(postgres) == [(1, "one")]


async def test_of_several_rows_with_a_key_the_last_is_there(run_through: Any, postgres: Postgres) -> None:
    postgres.rows(TABLE)
    config = settings(postgres, mode="upsert", primary_key=["id"])
    await run_through(PostgresSink, config, in_=ROWS)
    again = [{"id": 2, "name": "zwei"}, {"id": 4, "name": "four"}, {"id": 2, "name": "deux"}]
    await run_through(PostgresSink, config, in_=again)
    assert content(postgres) == [(1, "one"), (2, "deux"), (3, 'drei\t\\N "3"\n'), (4, "four")]


async def test_an_upsert_of_nothing_but_a_key_keeps_one(run_through: Any, postgres: Postgres) -> None:
    postgres.rows(TABLE)
    config = settings(postgres, mode="upsert", primary_key=["id"], columns=["id"])
    await run_through(PostgresSink, config, in_=[*ROWS, *ROWS])
    assert content(postgres, "id") == [(1,), (2,), (3,)]


async def test_names_are_quoted_and_a_schema_is_looked_in(run_through: Any, postgres: Postgres) -> None:
    odd = 'a"; DROP TABLE t; -- %s'
    postgres.rows('CREATE SCHEMA "My"')
    try:
        config = settings(
            postgres, table=odd, schema="My", create_table=True, mode="upsert", primary_key=[odd]
        )
        await run_through(PostgresSink, config, in_=[{odd: "x"}])
        assert postgres.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = '\"My\"'::regnamespace AND relkind = 'r'"
        ) == [(odd,)]
    finally:
        postgres.rows('DROP SCHEMA "My" CASCADE')


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["append", "upsert"])
async def test_rows_the_table_refuses_are_rejected_and_the_others_written(
    run_through: Any, postgres: Postgres, mode: str
) -> None:
    postgres.rows(
        "CREATE TABLE t (id integer PRIMARY KEY, name text NOT NULL CHECK (name <> 'no'), n smallint)"
    )
    bad = [
        ({"id": 1, "name": None, "n": 0}, 'null value in column "name"'),
        ({"id": "one", "name": "a", "n": 0}, 'invalid input syntax for type integer: "one"'),
        ({"id": 2, "name": "no", "n": 0}, "violates check constraint"),
        ({"id": 3, "name": "a\0b", "n": 0}, "NUL"),
        ({"id": 4, "name": "a", "n": 40_000}, "out of range for type smallint"),
        ({"id": 5, "name": "\ud800", "n": 0}, "surrogates not allowed"),
        ({"id": 6, "name": object(), "n": 0}, "cannot adapt type 'object'"),
    ]
    good = [{"id": n, "name": "good", "n": n} for n in range(100, 120)]
    lacking = [{"id": 7, "name": "a"}, "no row"]
    rows = [*good[:9], *(row for row, _ in bad), *lacking, *good[9:]]
    config = settings(postgres, mode=mode, primary_key=["id"])
    seen = await run_through(PostgresSink, config, in_=rows)
    assert content(postgres, "id") == [(n,) for n in range(100, 120)]
    told = {id(rejected.message): rejected.reason for rejected in seen.rejected}
    for row, reason in bad:
        assert told[id(row)].startswith("refused by table 't': ")
        assert reason in told[id(row)]
    assert told[id(lacking[0])] == "no field 'n', known: id, name"
    assert "not a row of named fields" in told[id(lacking[1])]
    assert len(told) == len(bad) + 2
    assert seen.component.written == 20


async def test_a_constraint_that_is_looked_at_last_refuses_single_rows_too(
    run_through: Any, postgres: Postgres
) -> None:
    postgres.rows("CREATE TABLE p (id int PRIMARY KEY)")
    postgres.rows("INSERT INTO p VALUES (1), (2)")
    postgres.rows("CREATE TABLE t (id int REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    seen = await run_through(PostgresSink, settings(postgres), in_=[{"id": n} for n in (1, 9, 2)])
    assert content(postgres) == [(1,), (2,)]
    assert "violates foreign key constraint" in seen.reasons[0]


async def test_what_is_no_row_at_all_is_rejected(run_through: Any, postgres: Postgres) -> None:
    postgres.rows(TABLE)
    seen = await run_through(PostgresSink, settings(postgres), in_=["no row", 5])
    assert [rejected.message for rejected in seen.rejected] == ["no row", 5]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"table": "nothing"}, "there is no table 'nothing'; make it, or set create_table"),
        ({"columns": ["id", "nane"]}, "table 't' has no column 'nane', did you mean 'name'"),
        (
            {"mode": "upsert", "primary_key": ["name"], "columns": ["name"]},
            "no unique or exclusion constraint",
        ),
        ({"password": "secret-of-mine"}, "password authentication failed"),
        (
            {"table": "u", "create_table": True, "columns": {"a": "nonsense"}},
            'type "nonsense" does not exist',
        ),
    ],
)
async def test_what_will_never_work_fails_the_run(
    run_through: Any, postgres: Postgres, more: dict[str, Any], says: str
) -> None:
    postgres.rows(TABLE)
    with pytest.raises(SystemFailed, match=says) as caught:
        await run_through(PostgresSink, settings(postgres, **more), in_=[{"id": 1, "nane": 2, "name": "x"}])
    assert str(caught.value.errors[0]).startswith("it: postgresql at 127.0.0.1:")
    assert "secret-of-mine" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"table": ""}, "table"),
        ({"mode": "upsert"}, "primary_key"),
        ({"columns": ["a"], "primary_key": ["b"]}, "primary_key"),
        ({"columns": {"a": "int); DROP TABLE x"}}, "columns"),
        ({"columns": {}}, "columns"),
        ({"columns": ["a\0"]}, "columns"),
        ({"columns": ["a", "a"]}, "columns"),
        ({"batch_size": 0}, "batch_size"),
        ({"connect_timeout": 0}, "connect_timeout"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(more: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresSink("it", {"url": "postgresql://h/d", "table": "t", **more})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "name"), [("PostgresSink", "postgres_sink"), ("PostgresSource", "postgres_source")]
)
def test_without_psycopg_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    import headrace.components

    for module in [one for one in sys.modules if one.startswith("headrace.edges.postgres")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=rf"{name} .*pip install 'headrace\[postgres\]'"):
        getattr(headrace.components, kind)(
            "it",
            {"url": "postgresql://h/d", "table": "t"}
            if kind == "PostgresSink"
            else {"url": "", "query": "SELECT 1"},
        )


# --- the server goes away ------------------------------------------------------------------------------


@pytest.mark.fault(44)
@pytest.mark.parametrize("mode", ["append", "upsert"])
async def test_a_server_that_is_killed_gets_all_rows_once_it_is_back(
    run_through: Any, postgres: Postgres, mode: str
) -> None:
    postgres.rows("CREATE TABLE t (id integer)" if mode == "append" else TABLE)
    keyed = {"mode": mode, "primary_key": ["id"]} if mode == "upsert" else {}
    async with running(postgres, columns=["id"], batch_size=20, **keyed) as (system, told, sink):

        async def send() -> None:
            for number in range(300):
                await told.out.send({"id": number})
                await anyio.sleep(0.0001)

        def acknowledged() -> int:
            return system.ledger().edges[0].acknowledged

        async with anyio.create_task_group() as sending:
            sending.start_soon(send)
            await until(lambda: acknowledged() >= 100)
            postgres.kill()
            before = acknowledged()
            await until(lambda: sink._server.is_away)
            assert acknowledged() == before
            health = await system.check_health()
            assert not health.ready
            assert "sink: postgresql at 127.0.0.1" in health.reason
            postgres.start()
            assert len(set(content(postgres, "id"))) >= before
        await until(lambda: acknowledged() == 300)
        assert (await system.check_health()).ready
        assert sink._server.losses == 1
    assert sorted(set(content(postgres, "id"))) == [(n,) for n in range(300)]


async def test_a_server_that_is_not_there_yet_is_waited_for(postgres: Postgres) -> None:
    postgres.kill()
    async with running(postgres, create_table=True) as (_, told, sink):
        await told.out.send({"id": 1})
        await until(lambda: sink._server.tries >= 2)
        postgres.start()
        await until(lambda: sink.written == 1)
    assert content(postgres) == [(1,)]


async def test_a_connection_that_is_ended_is_opened_again(postgres: Postgres) -> None:
    postgres.rows(TABLE)
    async with running(postgres, mode="upsert", primary_key=["id"]) as (_, told, sink):
        await told.out.send(ROWS[0])
        await until(lambda: sink.written == 1)
        postgres.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headrace'"
        )
        await told.out.send(ROWS[1])
        await until(lambda: sink.written == 2)
    assert content(postgres) == [(1, "one"), (2, None)]


async def test_a_full_disk_is_waited_for(postgres: Postgres) -> None:
    postgres.rows(TABLE)
    postgres.rows(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''no space left'' USING ERRCODE = ''disk_full''; END'"
    )
    postgres.rows("CREATE TRIGGER full_disk BEFORE INSERT ON t EXECUTE FUNCTION full_disk()")
    async with running(postgres) as (system, told, sink):
        await told.out.send(ROWS[0])
        await until(lambda: sink._server.is_away)
        assert "no space left" in (await system.check_health()).reason
        postgres.rows("DROP TRIGGER full_disk ON t")
        await until(lambda: sink.written == 1)
    assert content(postgres) == [(1, "one")]


class Cutter:
    """Stands between a client and a server, and hangs up on the client once, when the server has committed."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it is closed
                return
            pump = threading.Thread(target=self._pump, args=(client, socket.create_connection(self._server)))
            pump.start()
            self._threads.append(pump)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        commits = copies = False
        with client, server:
            while True:
                for one in select.select([client, server], [], [])[0]:
                    data = one.recv(65536)
                    copies = copies or (one is client and b"COPY" in data)
                    commits = commits or (one is client and copies and b"COMMIT" in data)
                    if not data or (one is server and commits and not self.cut.is_set()):
                        self.cut.set()
                        return
                    (server if one is client else client).sendall(data)

    def close(self) -> None:
        """Take no more connections, and wait until those there are have ended."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize(("mode", "times"), [("append", 2), ("upsert", 1)])
async def test_a_batch_whose_commit_nobody_has_heard_of_is_written_again(
    postgres: Postgres, mode: str, times: int
) -> None:
    postgres.rows(TABLE if mode == "upsert" else "CREATE TABLE t (id integer, name text)")
    keyed = {"mode": mode, "primary_key": ["id"]} if mode == "upsert" else {}
    cutter = Cutter(postgres.port)
    url = postgres.url.replace(str(postgres.port), str(cutter.port))
    async with running(postgres, **keyed, url=url) as (system, told, sink):
        await told.out.send(ROWS[0])
        await until(lambda: system.ledger().edges[0].acknowledged == 1)
        assert sink._server.losses == 1
        assert sink.written == 1
    cutter.close()
    assert cutter.cut.is_set()
    assert content(postgres) == [(1, "one")] * times


# --- the end -------------------------------------------------------------------------------------------


async def test_what_was_received_is_written_when_the_run_is_cancelled(postgres: Postgres) -> None:
    postgres.rows(TABLE)
    async with running(postgres, columns=["id", "name"]) as (system, told, sink):
        await until(lambda: sink._prepared)
        sink.config.flush_every = 1000
        for row in ROWS:
            told.out.send_nowait(row)
    assert len(content(postgres)) == 3
    assert system.ledger().edges[0].acknowledged == 3


async def test_a_write_that_waits_for_a_lock_keeps_no_cancellation_waiting(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.components import postgres_sink

    monkeypatch.setattr(postgres_sink, "_PATIENCE", 0.05)
    monkeypatch.setattr(postgres_sink, "_LAST_WRITE", 0.05)
    postgres.rows(TABLE)
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'headrace' AND wait_event_type = 'Lock'"
    )
    with postgres.connected() as other:
        async with running(postgres, columns=["id", "name"]) as (system, told, sink):
            await until(lambda: sink._prepared)
            other.execute("BEGIN")
            other.execute("LOCK TABLE t")
            await told.out.send(ROWS[0])
            await until(lambda: bool(postgres.rows(waiting)))
            began = time.monotonic()
        assert time.monotonic() - began < 5
        other.execute("COMMIT")
    assert content(postgres) == []
    ledger = system.ledger().edges[0]
    assert (ledger.acknowledged, ledger.remaining) == (0, 1)
    assert system.ledger().closes


async def test_a_server_that_stays_away_is_told_at_the_deadline(postgres: Postgres) -> None:
    postgres.rows(TABLE)
    postgres.kill()
    system = System("line", shutdown_timeout=0.2)
    told = Told("told")
    system.add("told", told)
    system.add("sink", PostgresSink, settings(postgres))
    system.connect("told.out", "sink.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        await told.out.send(ROWS[0])
        report = await system.stop()
    assert report is not None
    assert report.exit_code() == 5
    (edge,) = report.ledger.edges
    assert (edge.acknowledged, edge.accepted) == (0, 1)
    assert report.ledger.closes
