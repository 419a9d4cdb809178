"""What the sources that ask a database agree on: a query once or again and again, or along a growing column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.edges.interruptible_thread import InterruptibleThread
from headrace.exceptions import ComponentError, ConfigError, HeadraceError, UnavailableError
from headrace.model.endpoint import did_you_mean
from headrace.streams.settlements import Settlements

from .connection import Connection
from .positions import DonePosition, PositionFile, can_be_kept
from .rows import Row
from .times import Duration, seconds

RUN = 64
"""Rows that are sent at once: a stop that comes meanwhile takes effect after them."""


class Query(Protocol):
    """A query whose rows are read; it blocks."""

    def open(self) -> None: ...

    def fetch(self, size: int) -> list[Row]: ...

    def rows_after(self, value: Any, size: int) -> list[Row]: ...

    def rows_at(self, value: Any) -> list[Row]: ...

    def interrupt(self, since: float = 0.0) -> None: ...

    def close(self) -> None: ...


class QuerySource(HarnessComponent):
    """Sends the rows of a query; a subclass has the ``Config``, and makes the query.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    out: Out[Row]

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if not settings.query.strip():
            raise ConfigError("query is empty", field="query")
        if settings.batch_size < 1:
            raise ConfigError("batch_size must be at least 1", field="batch_size")
        if settings.position_file and not settings.growing_column:
            raise ConfigError(
                "position_file needs growing_column", hint="name the column it is of", field="position_file"
            )
        every: Duration | None = settings.poll_every
        self._every = None if every is None else seconds(every, "poll_every")
        self._column: str = settings.growing_column
        self._file = PositionFile(settings.position_file, self._column) if settings.position_file else None
        self._query, self._server = self._make_query()
        self._thread = InterruptibleThread(self._query.interrupt)
        self._after: Any = None
        self._done: DonePosition | None = None
        self._written: Any = None
        self._settlements: Settlements | None = None

    def _make_query(self) -> tuple[Query, Connection]:
        raise NotImplementedError

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Open the database, and read how far an earlier run came.

        Raises:
            ComponentError: It does not let us in, or the file holds no position.
        """
        await super().setup(harness_context)
        self._server.begin(self.context)
        self._after = None
        if self._file is not None:
            self._after = self._written = await self._in_thread(self._file.read)
            self._done = DonePosition(self._after)
        try:
            await self._call(self._query.open)
        except UnavailableError as error:  # that it is not there yet keeps nobody from beginning
            self._server.lost(error)

    async def process(self) -> None:
        """Send the rows, until there are no more or the system stops.

        Raises:
            ComponentError: The query is wrong, a value cannot be read, or the server does not let us in.
        """
        if self._done is not None:
            outlet: Any = self.out
            self._settlements = Settlements(outlet.outlet, self._done.settle)
        stop = self.context.stop_event
        send_all = self._send_new if self._column else self._send_result
        async with self._thread.watched(stop.wait):
            while await send_all() and self._every is not None:
                await self._keep_position()
                with anyio.move_on_after(self._every):
                    await stop.wait()

    async def _send_result(self) -> bool:
        """Send all rows of the query; returns False where the system stops."""
        while (rows := await self._ask(self._query.fetch, self.config.batch_size)) is not None:
            if not rows:
                return True
            if not await self._send(rows):
                return False
        return False

    async def _send_new(self) -> bool:
        """Send the rows whose growing column is above the position; returns False where the system stops."""
        while (rows := await self._ask(self._page, self._after)) is not None:
            if not rows:
                return True
            values = [row[self._column] for row in rows]
            if self._done is not None and self._settlements is not None:
                for row, token in zip(rows, self._done.expect(values), strict=True):
                    self._settlements.expect(row, token)
            if not await self._send(rows):
                return False
            self._after = values[-1]
            await self._keep_position()
        return False

    def _page(self, after: Any) -> list[Row]:
        """Return some rows, and of those with one value all or none. It runs in the thread."""
        rows = self._query.rows_after(after, self.config.batch_size)
        last = self._last_value(rows) if rows else None
        if len(rows) < self.config.batch_size:
            return rows
        while rows and rows[-1][self._column] == last:
            rows.pop()
        return rows + self._query.rows_at(last)

    def _last_value(self, rows: Sequence[Row]) -> Any:
        row, column = rows[-1], self._column
        if column not in row:
            hint = did_you_mean(column, list(row))
            raise HeadraceError(f"the query has no column '{column}'" + (f", {hint}" if hint else ""))
        if self._file is not None and not can_be_kept(row[column]):
            raise HeadraceError(
                f"column '{column}' has a value of type {type(row[column]).__name__}, which is no position; "
                "take a column of numbers, texts or times"
            )
        return row[column]

    async def _ask(self, fn: Callable[..., list[Row]], *args: Any) -> list[Row] | None:
        """Ask the database, as often as it takes; returns None where the system stops."""
        stopping = self.context.stop_event.is_set
        while not stopping():
            try:
                rows: list[Row] = await self._call(fn, *args)
            except UnavailableError as error:
                await self._in_thread(self._query.close)
                if stopping() or not await self._server.wait_unless_stopping(error):
                    return None
            else:
                self._server.found()
                return rows
        return None

    async def _call(self, fn: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._thread.call(fn, *args)
        except UnavailableError:
            raise
        except HeadraceError as error:
            raise ComponentError(f"{self.name}: {error}", component=self.name) from error

    async def _send(self, rows: Sequence[Row]) -> bool:
        """Send rows; returns whether to go on."""
        for begin in range(0, len(rows), RUN):
            if self.context.stop_event.is_set():
                return False
            run = rows[begin : begin + RUN]
            await self.out.send_many(run)
            if self._settlements is not None:
                self._settlements.sent(run)
        return True

    async def _keep_position(self) -> None:
        if self._file is None or self._done is None or self._done.value == self._written:
            return
        value = self._done.value
        await self._in_thread(self._file.write, value)
        self._written = value

    async def _in_thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await anyio.to_thread.run_sync(fn, *args, limiter=CapacityLimiter(1))

    async def cleanup(self) -> None:
        """Keep how far everything was done with, and close the database and the streams."""
        try:
            with anyio.CancelScope(shield=True):
                await self._close()
        finally:
            await super().cleanup()

    async def _close(self) -> None:
        try:
            await self._keep_position()
        finally:
            if self._settlements is not None:
                self._settlements.close()
                self._settlements = None
            await self._in_thread(self._query.close)

    async def health_check(self) -> dict[str, Any]:
        """Add whether the database is there."""
        return {**await super().health_check(), **self._server.health()}


__all__ = ["Query", "QuerySource"]
