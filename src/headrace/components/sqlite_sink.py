"""``sqlite_sink``: rows into a table of an SQLite database, in batched transactions from one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError, HeadraceError, UnavailableError
from headrace.model.message import Rejected

from .rows import Row, lacking, picker, require_names

if TYPE_CHECKING:
    from headrace.edges.sqlite_tables import SqliteTable

_CLOSING = 5.0  # seconds; a write in its thread cannot be interrupted, and the harness names who is late


class SqliteSink(HarnessComponent):
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

    in_: In[Row]
    rejected: Out[Rejected[Any]]
    accumulates = False  # what is not written comes again

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
        self._restarted = False
        self._batch: list[Row] = []
        self._turned_away: list[Rejected[Any]] = []

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Open the database.

        Raises:
            ComponentError: It cannot be opened or written.
        """
        self._begin()
        await self._in_thread(self._table.open)
        await super().setup(harness_context)
        self._restarted = self.context.restarts > 0

    async def process(self) -> None:
        """Write all rows.

        Raises:
            ComponentError: The database cannot be written.
        """
        if self.config.columns is not None:
            await self._in_thread(self._prepare)
        async for batch in self.in_.batch(self.config.batch_size, within=self.config.flush_every):
            self._batch = batch
            await self._flush()
            self._acknowledge_written(batch)
            while self._turned_away:
                turned_away = self._turned_away[0]
                await self.rejected.send(turned_away)
                self.in_.ack(turned_away.message)
                self._turned_away.pop(0)

    def _acknowledge_written(self, batch: Sequence[Row]) -> None:
        """Acknowledge what was written at once, so that it does not come again, whatever happens next."""
        refused = {id(turned_away.message) for turned_away in self._turned_away}
        if not refused:
            self.in_.ack()
        for row in batch if refused else ():
            if id(row) not in refused:
                self.in_.ack(row)

    async def _flush(self) -> None:
        """Write the batch. A cancellation takes effect before the transaction or after it, never within."""
        batch, self._batch = self._batch, []
        if batch:
            try:
                await self._in_thread(self._write, batch)
            except ComponentError:  # they come again, or are dead letters now
                raise
            except BaseException:
                self._batch = batch
                raise

    # --- in the thread -----------------------------------------------------------------------------

    def _prepare(self) -> None:
        if not self._prepared:
            self._table.prepare(self._columns, keep=self._restarted)
            self._prepared = True

    def _write(self, rows: Sequence[Row]) -> None:
        """Write rows in one transaction, and keep what is turned away: what lacks a field first."""
        written, values = self._picked(rows)
        if not values:
            return
        self._prepare()
        refused = self._table.write(values)
        self.written += len(values) - len(refused)
        self._turned_away += [
            Rejected(written[place], f"refused by table '{self.config.table}': {reason}")
            for place, reason in refused
        ]

    def _picked(self, rows: Sequence[Row]) -> tuple[Sequence[Row], list[tuple[Any, ...]]]:
        """Return the rows that have all fields, and the values of their fields: 0.4 us for 25 of them."""
        if not self._fields:
            self._take_columns_of(next((row for row in rows if isinstance(row, dict) and row), {}))
        try:
            return rows, list(map(self._values_of, rows))
        except (KeyError, TypeError):
            return self._picked_singly(rows)

    def _picked_singly(self, rows: Sequence[Row]) -> tuple[Sequence[Row], list[tuple[Any, ...]]]:
        whole: list[Row] = []
        values: list[tuple[Any, ...]] = []
        for row in rows:
            try:
                values.append(self._values_of(row))
                whole.append(row)
            except (KeyError, TypeError):
                self._turned_away.append(Rejected(row, lacking(row, self._fields)))
        return whole, values

    def _take_columns_of(self, row: Row) -> None:
        self._columns = dict.fromkeys(row, "")
        self._fields = list(row)
        self._values_of = picker(self._fields)

    # --- the end -----------------------------------------------------------------------------------

    async def _in_thread(self, fn: Any, *args: Any) -> Any:
        try:
            return await anyio.to_thread.run_sync(fn, *args, limiter=self._thread)
        except HeadraceError as error:
            raise UnavailableError(f"{self.name}: {error}", component=self.name) from error

    async def cleanup(self) -> None:
        """Write what was received and is not written yet, and close the database and the streams.

        Raises:
            ComponentError: The rest cannot be written.
        """
        try:
            await self._write_rest()
        finally:
            for turned_away in () if self._is_retired else self._turned_away:
                self._log_lost(turned_away.reason)
            with anyio.move_on_after(_CLOSING, shield=True):
                await anyio.to_thread.run_sync(self._table.close, limiter=self._thread)
                await super().cleanup()

    async def _write_rest(self) -> None:
        """Write what a cancellation has left: in hand, or on the edge, where what was gathered went back to.

        Before a restart there is nothing to write: all of it comes again.
        """
        stream = self.receive_streams.get("in")
        if self._is_retired:
            return
        await self._flush()
        while stream is not None and stream.statistics().current_buffer_used:
            self._batch = await self.in_.receive_many(self.config.batch_size)
            await self._flush()
        if stream is not None:
            self.in_.settle("acknowledged")

    @property
    def _is_retired(self) -> bool:
        """Whether another life follows, to which all that is in hand comes again."""
        return bool(getattr(self.receive_streams.get("in"), "closed", False))

    def _log_lost(self, reason: str) -> None:
        if self.context.logger is not None:
            self.context.logger.warning("row rejected during clean-up", reason=reason)

    async def health_check(self) -> dict[str, Any]:
        """Add how many rows are in the table."""
        return {**await super().health_check(), "written": self.written}


__all__ = ["SqliteSink"]
