"""``csv_source``: the rows of a CSV file, plain, gzip or zip."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected

from .csv_conversion import CsvConversion
from .csv_file import CsvFile
from .rows import Row, require_names

BATCH = 256
"""Records a visit to the worker thread: 1.3 ms of work that holds the interpreter; the visit costs 0.1 ms."""

RUN = 64
"""Records that are sent at once: a stop that comes meanwhile takes effect after them."""


class CsvSource(HarnessComponent):
    """Sends each record of a CSV file as a ``dict``, and what does not parse to ``rejected``.

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
            path: The file; ``.gz`` and ``.zip`` are unpacked while reading.
            member: The file inside a zip archive; needed where it holds several.
            encoding: How its text is encoded.
            delimiter: What separates fields; one character.
            types: The type of each column that is not text: ``int``, ``float``, ``bool`` or ``str``.
            null_values: Texts that become None, in every column.
            columns: The columns to keep; all where not given.
        """

        path: str
        member: str | None = None
        encoding: str = "utf-8"
        delimiter: str = ","
        types: dict[str, Literal["int", "float", "str", "bool"]] = {}
        null_values: list[str] = msgspec.field(default_factory=lambda: [""])
        columns: list[str] | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if not self.config.path:
            raise ConfigError("path is empty", hint="name the file", field="path")
        if len(self.config.delimiter) != 1 or self.config.delimiter in '\r\n"':
            raise ConfigError("delimiter must be one character, no quote or line end", field="delimiter")
        try:
            codecs.lookup(self.config.encoding)
        except LookupError:
            raise ConfigError(f"encoding '{self.config.encoding}' is unknown", field="encoding") from None
        require_names(self.config.columns or (), "columns")
        self._file: CsvFile | None = None

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Open the file and read its header.

        Raises:
            InputFileError: The file cannot be read, or its header does not fit.
        """
        self._file = CsvFile(
            self.config.path,
            self._conversion,
            member=self.config.member,
            encoding=self.config.encoding,
            delimiter=self.config.delimiter,
        )
        await anyio.to_thread.run_sync(self._file.open, abandon_on_cancel=True, limiter=CapacityLimiter(1))
        await super().setup(harness_context)

    def _conversion(self, header: Sequence[str]) -> CsvConversion:
        settings = self.config
        return CsvConversion(
            settings.path,
            header,
            types=settings.types,
            null_values=settings.null_values,
            columns=settings.columns,
        )

    async def process(self) -> None:
        """Send all rows; ends early, between two small runs of rows, when the system stops.

        Raises:
            InputFileError: The file cannot be read on.
        """
        assert self._file is not None
        limiter = CapacityLimiter(1)
        while True:
            rows = await anyio.to_thread.run_sync(
                self._file.read, BATCH, abandon_on_cancel=True, limiter=limiter
            )
            if not rows or not await self._send(rows):
                return

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
        """Close the file and the streams."""
        if self._file is not None:
            self._file.close()
        await super().cleanup()


__all__ = ["CsvSource"]
