"""``csv_source``: the rows of CSV files, plain or packed."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Literal, TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected

from .csv_conversion import CsvConversion
from .csv_file import CsvFile
from .input_file import as_patterns, check_packing, find_files
from .rows import Row, require_names

T = TypeVar("T")

BATCH = 256
"""Records a visit to the worker thread: 1.3 ms of work that holds the interpreter; the visit costs 0.1 ms."""

RUN = 64
"""Records that are sent at once: a stop that comes meanwhile takes effect after them."""


class CsvSource(HarnessComponent):
    """Sends each record of CSV files as a ``dict``, and what does not parse to ``rejected``.

    A file that is missing or has a wrong header fails the set-up; one that turns out to be damaged fails the
    run after the good rows before the damage. A record of the wrong length, with a value that does not
    convert or bytes that do not decode is a ``Rejected`` with ``file:line``, and the rest goes on.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    out: Out[Row]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a CSV source.

        Attributes:
            path: The file, or several: a folder, a pattern such as ``data/**/*.csv``, or a list of them; each has a
                header of its own. ``.gz``, ``.zip``, ``.zst``, ``.bz2`` and ``.xz`` are unpacked while reading.
            member: The file inside a zip archive; needed where it holds several.
            encoding: How its text is encoded.
            delimiter: What separates fields; one character.
            types: The type of each column that is not text: ``int``, ``float``, ``bool`` or ``str``.
            null_values: Texts that become None, in every column.
            columns: The columns to keep; all where not given.
        """

        path: str | list[str]
        member: str | None = None
        encoding: str = "utf-8"
        delimiter: str = ","
        types: dict[str, Literal["int", "float", "str", "bool"]] = {}
        null_values: list[str] = msgspec.field(default_factory=lambda: [""])
        columns: list[str] | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self._patterns = as_patterns(self.config.path)
        check_packing(self._patterns, "csv_source")
        if len(self.config.delimiter) != 1 or self.config.delimiter in '\r\n"':
            raise ConfigError("delimiter must be one character, no quote or line end", field="delimiter")
        try:
            codecs.lookup(self.config.encoding)
        except LookupError:
            raise ConfigError(f"encoding '{self.config.encoding}' is unknown", field="encoding") from None
        require_names(self.config.columns or (), "columns")
        self._files: list[CsvFile] = []
        self._thread = CapacityLimiter(1)

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Find the files, open the first and read its header.

        Raises:
            InputFileError: There is none, it cannot be read, or its header does not fit.
        """
        paths = await self._in_thread(find_files, self._patterns)
        self._files = [self._file(path) for path in paths]
        await self._in_thread(self._files[0].open)
        await super().setup(harness_context)

    def _file(self, path: str) -> CsvFile:
        return CsvFile(
            path,
            partial(self._conversion, path),
            member=self.config.member,
            encoding=self.config.encoding,
            delimiter=self.config.delimiter,
        )

    async def _in_thread(self, fn: Callable[..., T], *args: object) -> T:
        return await anyio.to_thread.run_sync(fn, *args, abandon_on_cancel=True, limiter=self._thread)

    def _conversion(self, path: str, header: Sequence[str]) -> CsvConversion:
        settings = self.config
        return CsvConversion(
            path,
            header,
            types=settings.types,
            null_values=settings.null_values,
            columns=settings.columns,
        )

    async def process(self) -> None:
        """Send all rows; ends early, between two small runs of rows, when the system stops.

        Raises:
            InputFileError: A file cannot be read (on).
        """
        for number, file in enumerate(self._files):
            if number:
                await self._in_thread(file.open)
            while rows := await self._in_thread(file.read, BATCH):
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


__all__ = ["CsvSource"]
