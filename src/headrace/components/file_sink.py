"""``file_sink``: messages as JSON lines, text lines or CSV, appended, rotated, or shown only when complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread
import msgspec
from anyio import CapacityLimiter, EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError, HeadraceError, UnavailableError
from headrace.model.message import Rejected

from .batches import acknowledge_written
from .connection import Connection
from .input_file import check_packing
from .output_file import OutputFile
from .record_formats import CsvRecords, JsonRecords, RecordFormat, TextRecords
from .rows import require_names
from .times import Duration, seconds

T = TypeVar("T")

BATCH = 1024
"""Messages that are written at once, if there are as many: a visit to the thread costs 0.1 ms."""


class FileSink(HarnessComponent):
    """Writes each message to a file; messages are acknowledged once they were written.

    Only whole records are written: where a write fails half-way, it is taken back. A disk that is full, say, makes
    the component not ready, and it goes on by itself. A message that cannot be written goes to ``rejected``.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The file is packed by zstd, and its extra is missing.
    """

    in_: In[Any]
    rejected: Out[Rejected[Any]]
    accumulates = False  # what is not written comes again

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a file sink.

        Attributes:
            path: The file; its folder is made where it is missing. ``.gz`` and ``.zst`` are packed.
            format: ``json`` (a line each), ``csv`` (below a header) or ``text`` (a line each).
            columns: The fields of a CSV record; those of the first row where not given.
            delimiter: What separates them.
            field: The field with the text, where messages are rows.
            mode: ``append`` to what is there; or ``atomic``: it is seen only when it is complete, so never where
                the system is stopped or fails before its sources have ended. With rotation, each file is complete.
            rotate_size: Bytes after which a new file begins; the old one gets a name with its time. 0 for never.
            rotate_every: How long a file is written to at most, before a new one begins.
            keep: How many old ones stay; all where not given.
            sync: Whether messages are acknowledged only once they are on the disk itself, safe from a power cut.
        """

        path: str
        format: Literal["json", "csv", "text"] = "json"
        columns: list[str] = []
        delimiter: str = ","
        field: str = "line"
        mode: Literal["append", "atomic"] = "append"
        rotate_size: int = 0
        rotate_every: Duration | None = None
        keep: int | None = None
        sync: bool = False

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if not settings.path:
            raise ConfigError("path is empty", hint="name the file", field="path")
        if settings.path == "-":
            raise ConfigError("file_sink writes files", hint="console_sink prints", field="path")
        check_packing([settings.path], "file_sink")
        for field, least in (("rotate_size", 0), ("keep", 0)):
            number = getattr(settings, field)
            if number is not None and number < least:
                raise ConfigError(f"{field} must be at least {least}", field=field)
        if len(settings.delimiter) != 1 or settings.delimiter in '\r\n"':
            raise ConfigError("delimiter must be one character, no quote or line end", field="delimiter")
        require_names(settings.columns, "columns")
        every = settings.rotate_every
        self._every = None if every is None else seconds(every, "rotate_every")
        rotates = bool(settings.rotate_size) or self._every is not None
        if settings.keep is not None and not rotates:
            raise ConfigError("keep needs rotate_size or rotate_every", field="keep")
        self._form = self._make_form()
        self._disk = Connection(settings.path)
        self._rotates = rotates
        self._file = self._make_file()
        self._begun = 0.0
        self.written = 0

    def _make_form(self) -> RecordFormat:
        settings = self.config
        if settings.format == "csv":
            return CsvRecords(settings.columns, settings.delimiter)
        return JsonRecords() if settings.format == "json" else TextRecords(settings.field)

    def _make_file(self) -> OutputFile:
        settings = self.config
        return OutputFile(
            settings.path,
            self._form.begin_file,
            atomic=settings.mode == "atomic",
            rotates=self._rotates,
            rotate_size=settings.rotate_size,
            keep=settings.keep,
            sync=settings.sync,
        )

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Open the file.

        Raises:
            ComponentError: It cannot be written, or has other columns.
        """
        await super().setup(harness_context)
        self._form, self.written = self._make_form(), 0
        self._file = self._make_file()
        self._disk.begin(self.context)
        restarted = self.context.restarts > 0
        try:
            await self._in_thread(lambda: self._file.open(go_on=restarted))
        except HeadraceError as error:
            raise ComponentError(f"{self.name}: {error}", component=self.name) from error

    async def process(self) -> None:
        """Write all messages.

        Raises:
            ComponentError: The file cannot be written.
        """
        self._begun = self.context.clock()
        while True:
            batch: list[Any] = []
            with anyio.move_on_after(self._until_rotation()):
                try:
                    batch = await self.in_.receive_many(BATCH)
                except EndOfStream:
                    break
            if batch:
                await self._take(batch)
            if self._until_rotation() == 0:
                await self._insistently(self._file.rotate)
                self._begun = self.context.clock()
        if self.config.mode == "atomic" and not self._rotates and self.context.stop_event.is_set():
            if self.context.logger is not None:
                part = str(self._file.names.part)
                self.context.logger.warning("incomplete file is not shown", file=self._file.path, part=part)
            return
        await self._insistently(self._file.finish)

    def _until_rotation(self) -> float:
        if self._every is None:
            return float("inf")
        return max(0.0, self._begun + self._every - self.context.clock())

    async def _take(self, batch: list[Any]) -> None:
        """Write messages. A cancellation takes effect before the write or after it, never within."""
        records, rejected = self._form.encode(batch, singly=self.config.rotate_size > 0)
        if records:
            await self._insistently(lambda: self._file.write(records))
        self.written += len(batch) - len(rejected)
        await acknowledge_written(self.in_, batch, rejected, self.rejected)

    async def _insistently(self, fn: Callable[[], T]) -> T:
        while True:
            try:
                result = await self._in_thread(fn)
            except UnavailableError as error:
                await self._disk.wait(error)
            except HeadraceError as error:
                raise ComponentError(f"{self.name}: {error}", component=self.name) from error
            else:
                self._disk.found()
                return result

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(fn, limiter=CapacityLimiter(1))

    async def cleanup(self) -> None:
        """Close the file and the streams."""
        self._file.close()
        await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add whether the file can be written."""
        return {**await super().health_check(), **self._disk.health(), "written": self.written}


__all__ = ["FileSink"]
