"""``postgres_sink``: rows into a table of PostgreSQL, in batched transactions from one thread."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import anyio.lowlevel
import msgspec

from headrace.edges.interruptible_thread import InterruptibleThread
from headrace.exceptions import ConfigError, HeadraceError, MissingExtraError, UnavailableError
from headrace.model.secret import Secret

from .connection import Connection
from .table_sink import Table, TableSink

_PATIENCE = 1.0  # seconds that a write may go on after a cancellation, before it is interrupted
_LAST_WRITE = 2.0  # seconds for what a cancellation has left


class PostgresSink(TableSink):
    """Writes each row to a table; a transaction holds up to ``batch_size`` rows or ``flush_every`` seconds.

    Rows that the table refuses (a missing field, a value of another type, a key that is there already) go to
    ``rejected``, the rest of their batch is written. Rows are acknowledged after the commit. While the server is
    away the component is not ready, keeps its batch and tries again: no row is lost, but where the connection
    breaks during a commit nobody can tell whether that was done, and the batch is written again. With ``upsert``
    that makes no difference.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package psycopg is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a PostgreSQL sink.

        Attributes:
            url: ``postgresql://user@host:port/database``, or ``host=... dbname=...`` as libpq takes it; it is not
                shown, because it may have a password.
            password: The password; where it is empty libpq looks at ``PGPASSWORD`` and ``~/.pgpass``.
            table: The table.
            schema: Its schema; found by the server's search path where it is empty.
            columns: The fields to write; a mapping gives their SQL types, for a table that is made. Those of the
                first row where not given.
            primary_key: The columns of the key.
            mode: ``append`` to what is there, or ``upsert`` by the key: the last row of a key is in the table.
            create_table: Whether the table is made where it is missing; what has no type gets one that fits the
                first row.
            batch_size: How many rows a transaction holds at most.
            flush_every: Seconds that a row waits for its transaction at most, while the input is idle.
            connect_timeout: Seconds to connect in.
        """

        url: Secret
        password: Secret = Secret("")
        table: str
        schema: str = ""
        columns: list[str] | dict[str, str] | None = None
        primary_key: list[str] = []
        mode: Literal["append", "upsert"] = "append"
        create_table: bool = False
        batch_size: int = 10_000
        flush_every: float = 0.5
        connect_timeout: float = 5.0

    config: Config

    def _make_table(self) -> Table:
        try:
            from headrace.edges.postgres import PostgresConnection, PostgresTable, type_of
        except ImportError:
            raise MissingExtraError("postgres_sink", "postgres") from None
        settings = self.config
        if not 0 < settings.connect_timeout < float("inf"):
            raise ConfigError("connect_timeout must be positive", field="connect_timeout")
        connection = PostgresConnection(
            settings.url, settings.password, connect_timeout=settings.connect_timeout
        )
        self._server = Connection(connection.what)
        self._known_type = type_of
        self._interrupt = connection.interrupt
        return PostgresTable(
            connection,
            settings.table,
            schema=settings.schema,
            mode=settings.mode,
            primary_key=settings.primary_key,
            create=settings.create_table,
        )

    def _make_thread(self) -> InterruptibleThread:
        return InterruptibleThread(self._interrupt, patience=_PATIENCE)

    def _type_of(self, value: object) -> str:
        return self._known_type(value) if self.config.create_table else ""

    def _is_known(self) -> bool:
        columns = self.config.columns
        if not self.config.create_table:
            return columns is not None
        return isinstance(columns, dict) and all(columns.values())

    async def _open(self) -> None:
        self._server.begin(self.context)
        try:
            await self._thread.call(self._table.open)
        except UnavailableError as error:  # that it is not there yet keeps nobody from beginning
            self._server.lost(error)
        except HeadraceError as error:
            raise UnavailableError(f"{self.name}: {error}", component=self.name) from error

    async def _in_thread(self, fn: Any, *args: Any) -> Any:
        """Make a call, as often as it takes."""
        while True:
            try:
                result = await self._thread.call(fn, *args)
            except UnavailableError as error:
                if self._ending:
                    raise
                await anyio.lowlevel.checkpoint_if_cancelled()  # by which it was interrupted
                await self._server.wait(error)
            except HeadraceError as error:
                raise UnavailableError(f"{self.name}: {error}", component=self.name) from error
            else:
                self._server.found()
                return result

    async def _write_rest(self) -> None:
        """Write what a cancellation has left, if the server is there: what is not written stays in the books."""
        if self._server.is_away:
            return
        self._thread.patience = 0.0
        try:
            with anyio.move_on_after(_LAST_WRITE):
                async with self._thread.watched():
                    await super()._write_rest()
        except UnavailableError as error:
            if self.context.logger is not None:
                self.context.logger.warning("rows are left", reason=str(error))

    async def health_check(self) -> dict[str, Any]:
        """Add how many rows were written, and whether the server is there."""
        return {**await super().health_check(), **self._server.health()}


__all__ = ["PostgresSink"]
