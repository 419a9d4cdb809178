"""``sqlite_sink``: rows into a table of an SQLite database, in batched transactions from one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
import msgspec
from anyio import CapacityLimiter, EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError, HeadraceError
from headrace.model.message import Rejected

from .rows import Row, lacking, picker, require_names

if TYPE_CHECKING:
    from headrace.edges.sqlite_tables import SqliteTable

_CLOSING = 5.0  # seconds; a write in its thread cannot be interrupted, and the harness names who is late


class SqliteSink(HarnessComponent):
    """Writes each row to a table; a transaction holds up to ``batch_size`` rows or ``flush_every`` seconds.

    Rows that the table refuses (a missing field, a value SQLite cannot hold, a key that is there already) go
    to ``rejected``, the rest of their batch is written. A database that cannot be written crashes the
    component, and nothing of that batch is in the table. What was received is written before the component
    ends, also when it is cancelled. ``replace`` empties the table when the component starts to run.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Row]
    rejected: Out[Rejected[Any]]

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

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        for field, number in (("batch_size", settings.batch_size), ("flush_every", settings.flush_every)):
            if not 0 < number < float("inf"):
                raise ConfigError(f"{field} must be positive, not {number!r}", field=field)
        require_names(settings.columns or (), "columns")
        require_names(settings.primary_key, "primary_key")
        self._table = self._make_table()
        self._thread = CapacityLimiter(1)
        self._begin()

    def _make_table(self) -> SqliteTable:
        from headrace.edges.sqlite_tables import SqliteTable

        settings = self.config
        table = SqliteTable(
            settings.path,
            settings.table,
            mode=settings.mode,
            primary_key=settings.primary_key,
            busy_timeout=settings.busy_timeout,
        )
        if settings.columns is not None:
            columns = settings.columns
            table.check(columns if isinstance(columns, dict) else dict.fromkeys(columns, ""))
        return table

    def _begin(self) -> None:
        columns = self.config.columns
        typed = columns if isinstance(columns, dict) else dict.fromkeys(columns or (), "")
        self.written = 0
        self._columns: dict[str, str] = typed
        self._fields = list(typed)
        self._values_of = picker(self._fields)
        self._prepared = False
        self._batch: list[tuple[Any, ...]] = []
        self._turned_away: list[Rejected[Any]] = []

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Open the database.

        Raises:
            ComponentError: It cannot be opened or written.
        """
        self._begin()
        await self._in_thread(self._table.open)
        await super().setup(harness_context)

    async def process(self) -> None:
        """Write all rows.

        Raises:
            ComponentError: The database cannot be written.
        """
        if self.config.columns is not None:
            await self._prepare()
        ended = False
        while not ended:
            ended = await self._fill()
            self._turned_away += await self._flush()
            while self._turned_away:
                await self.rejected.send(self._turned_away[0])
                self._turned_away.pop(0)

    async def _fill(self) -> bool:
        """Take rows until a transaction is worth it; returns whether the input has ended."""
        size = self.config.batch_size
        try:
            self._take(await self.in_.receive())
            with anyio.move_on_after(self.config.flush_every):  # a cancelled receive loses nothing
                while len(self._batch) < size:
                    self._take(await self.in_.receive())
        except EndOfStream:
            return True
        return False

    def _take(self, row: Row) -> None:
        try:
            if not self._fields:
                self._columns = dict.fromkeys(row, "")
                self._fields = list(row)
                self._values_of = picker(self._fields)
            self._batch.append(self._values_of(row))
        except (KeyError, TypeError):
            self._turned_away.append(Rejected(row, lacking(row, self._fields)))

    async def _prepare(self) -> None:
        await self._in_thread(self._table.prepare, self._columns)
        self._prepared = True

    async def _flush(self) -> list[Rejected[Row]]:
        """Write the batch and return what the table refused.

        A cancellation takes effect before the transaction or after it, never within.
        """
        if not self._batch:
            return []
        if not self._prepared:
            await self._prepare()
        batch = self._batch
        try:
            refused = await self._in_thread(self._table.write, batch)
        except ComponentError:
            self._batch = []
            raise
        self._batch = []
        self.written += len(batch) - len(refused)
        return [
            Rejected(
                dict(zip(self._fields, batch[place], strict=True)),
                f"refused by table '{self.config.table}': {reason}",
            )
            for place, reason in refused
        ]

    async def _in_thread(self, fn: Any, *args: Any) -> Any:
        try:
            return await anyio.to_thread.run_sync(fn, *args, limiter=self._thread)
        except HeadraceError as error:
            raise ComponentError(f"{self.name}: {error}", component=self.name) from error

    async def cleanup(self) -> None:
        """Write what was received and is not written yet, and close the database and the streams.

        Raises:
            ComponentError: The rest cannot be written.
        """
        try:
            for turned_away in [*self._turned_away, *await self._flush()]:
                self._log_lost(turned_away.reason)
        finally:
            with anyio.move_on_after(_CLOSING, shield=True):
                await anyio.to_thread.run_sync(self._table.close, limiter=self._thread)
                await super().cleanup()

    def _log_lost(self, reason: str) -> None:
        if self.context is not None and self.context.logger is not None:
            self.context.logger.warning("row rejected during clean-up", reason=reason)

    async def health_check(self) -> dict[str, Any]:
        """Add how many rows are in the table."""
        return {**await super().health_check(), "written": self.written}


__all__ = ["SqliteSink"]
