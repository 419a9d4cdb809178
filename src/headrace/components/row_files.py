"""What the sources share that read files of rows, one after the other to their ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.model.message import Rejected

from .input_file import as_patterns, find_files
from .rows import Row

T = TypeVar("T")

RUN = 64
"""Rows that are sent at once: a stop that comes meanwhile takes effect after them."""


class RowFile(Protocol):
    """A file of rows; all of it blocks, and it may be closed while a read still runs."""

    def open(self) -> None: ...

    def read(self, size: int) -> list[Row | Rejected[Any]]: ...

    def close(self) -> None: ...


class RowFilesSource(HarnessComponent):
    """Sends the rows of files; a subclass has the ``Config``, and makes the files."""

    out: Out[Row]
    rejected: Out[Rejected[Any]]

    BATCH: int
    """Rows a visit to the worker thread."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self._patterns = as_patterns(self.config.path)
        self._files: list[RowFile] = []
        self._thread = CapacityLimiter(1)

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
            while rows := await self._in_thread(file.read, self.BATCH):
                if not await self._send(rows):
                    return
            file.close()

    async def _send(self, rows: Sequence[Row | Rejected[Any]]) -> bool:
        """Send rows, the rejected ones in their places; returns whether to go on."""
        stopping = self.context.stop_event.is_set
        for begin in range(0, len(rows), RUN):
            for kind, run in groupby(rows[begin : begin + RUN], key=type):
                if stopping():
                    return False
                port: Out[Any] = self.out if kind is dict else self.rejected
                await port.send_many(run)
        return True

    async def cleanup(self) -> None:
        """Close the files and the streams."""
        for file in self._files:
            file.close()
        await super().cleanup()


__all__ = ["RUN", "RowFile", "RowFilesSource"]
