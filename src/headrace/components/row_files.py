"""What the sources share that read files of rows, one after the other to their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from time import perf_counter
from typing import Any, Protocol, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.model.message import Rejected

from .input_file import as_patterns, find_files
from .rows import Row

T = TypeVar("T")

SHORT, LONG = 64, 512
"""Rows that are sent at once: a stop that comes meanwhile takes effect after them."""

_SOON = 0.002  # seconds of a send after which a longer one is tried

_VISIT = 0.001  # seconds of a visit to the worker thread, in which it holds the interpreter
_MOST = 2048  # rows a visit


class Sending:
    """Sends rows in small runs, that get longer while they are taken quickly: 2 us a run, whatever its length.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._length = SHORT

    def runs(self, rows: Sequence[Row | Rejected[Any]]) -> Iterator[tuple[bool, Sequence[Any]]]:
        """Yield runs of rows in their order, each with whether they are rows, and not rejected: 20 ns a row.

        A run counts as sent when the next one is asked for.
        """
        begin = 0
        while begin < len(rows):
            run = rows[begin : begin + self._length]
            begin += len(run)
            kinds = set(map(type, run))
            began = self._clock()
            if len(kinds) == 1:
                yield kinds.pop() is dict, run
            else:
                for kind, group in groupby(run, key=type):
                    yield kind is dict, list(group)
            self._length = min(LONG, 2 * self._length) if self._clock() - began < _SOON else SHORT


class RowFile(Protocol):
    """A file of rows; all of it blocks, and it may be closed while a read still runs."""

    def open(self) -> None: ...

    def read(self, size: int) -> list[Row | Rejected[Any]]: ...

    def close(self) -> None: ...


class RowFilesSource(HarnessComponent):
    """Sends the rows of files; a subclass has the ``Config``, and makes the files."""

    out: Out[Row]
    rejected: Out[Rejected[Any]]

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self._patterns = as_patterns(self.config.path)
        self._files: list[RowFile] = []
        self._thread = CapacityLimiter(1)
        self._sending = Sending(lambda: self.context.clock())
        self._batch = 256

    def _file(self, path: str) -> RowFile:
        raise NotImplementedError

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Find the files, and open the first.

        Raises:
            InputFileError: There is none, or it cannot be read.
        """
        paths = await self._in_thread(find_files, self._patterns)
        self._files = [self._file(path) for path in paths]
        await self._in_thread(self._files[0].open)
        await super().setup(harness_context)

    async def _in_thread(self, fn: Callable[..., T], *args: object) -> T:
        return await anyio.to_thread.run_sync(fn, *args, abandon_on_cancel=True, limiter=self._thread)

    async def process(self) -> None:
        """Send all rows; ends early, between two small runs of rows, when the system stops.

        Raises:
            InputFileError: A file cannot be read (on).
        """
        for number, file in enumerate(self._files):
            if number:
                await self._in_thread(file.open)
            while rows := await self._in_thread(self._read, file):
                if not await self._send(rows):
                    return
            file.close()

    def _read(self, file: RowFile) -> list[Row | Rejected[Any]]:
        """Read as many rows as take about a millisecond. It runs in the thread."""
        began = perf_counter()
        rows = file.read(self._batch)
        took = perf_counter() - began
        if took < _VISIT / 2 and len(rows) == self._batch:
            self._batch = min(_MOST, 2 * self._batch)
        elif took > 2 * _VISIT:
            self._batch = max(SHORT, self._batch // 2)
        return rows

    async def _send(self, rows: Sequence[Row | Rejected[Any]]) -> bool:
        """Send rows, the rejected ones in their places; returns whether to go on."""
        stopping = self.context.stop_event.is_set
        for are_rows, run in self._sending.runs(rows):
            if stopping():
                return False
            port: Out[Any] = self.out if are_rows else self.rejected
            await port.send_many(run)
        return True

    async def cleanup(self) -> None:
        """Close the files and the streams."""
        for file in self._files:
            file.close()
        await super().cleanup()


__all__ = ["RowFile", "RowFilesSource", "Sending"]
