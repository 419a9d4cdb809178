"""``sqlite_sink``: rows into a table of an SQLite database, in batched transactions from one thread."""

from __future__ import annotations

from typing import Literal

import msgspec

from .table_sink import Table, TableSink


class SqliteSink(TableSink):
    """Writes each row to a table; a transaction holds up to ``batch_size`` rows or ``flush_every`` seconds.

    Rows that the table refuses (a missing field, a value SQLite cannot hold, a key that is there already) go
    to ``rejected``, the rest of their batch is written. Rows are acknowledged after they were written: a
    database that cannot be written crashes the component, and nothing of that batch is in the table, nor in
    the books as delivered; after a restart the batch comes again, and no row is to blame. What it has when the run
    is cancelled, or finds on its edge then, is written before it ends. ``replace`` empties the table when the
    component starts to run, but not when it is restarted.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an SQLite sink.

        Attributes:
            path: The database; it and its folder are made where they are missing.
            table: The table.
            columns: The fields to write; a mapping gives their SQL types. Those of the first row where not
                given.
            primary_key: The columns of the primary key.
            mode: ``append`` to what is there, ``replace`` it, or ``upsert`` by the primary key.
            batch_size: How many rows a transaction holds at most.
            flush_every: Seconds that a row waits for its transaction at most, while the input is idle.
            busy_timeout: Seconds to wait while another connection writes.
        """

        path: str
        table: str
        columns: list[str] | dict[str, str] | None = None
        primary_key: list[str] = []
        mode: Literal["append", "replace", "upsert"] = "append"
        batch_size: int = 10_000
        flush_every: float = 0.5
        busy_timeout: float = 30.0

    config: Config

    def _make_table(self) -> Table:
        from headrace.edges.sqlite_tables import SqliteTable

        settings = self.config
        return SqliteTable(
            settings.path,
            settings.table,
            mode=settings.mode,
            primary_key=settings.primary_key,
            busy_timeout=settings.busy_timeout,
        )


__all__ = ["SqliteSink"]
