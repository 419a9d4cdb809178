"""``parquet_sink``: rows into Parquet files (``pip install 'headrace[parquet]'``), each seen only when complete."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError, UnavailableError
from headrace.model.message import Rejected

from .batches import acknowledge_written
from .connection import Connection
from .output_file import RotatedNames
from .parquet_source import require_parquet
from .rows import Row, require_names
from .times import Duration, seconds

if TYPE_CHECKING:
    from headrace.edges.parquet import ParquetWriter

T = TypeVar("T")


class ParquetSink(HarnessComponent):
    """Writes rows to Parquet files; a row that does not fit its columns goes to ``rejected``.

    A Parquet file cannot be read before it is complete. With ``rotate_rows`` or ``rotate_every`` rows are
    acknowledged when their file is, so none is lost: what is not complete comes again. Without, all rows go to one
    file, which is seen when the sources have ended: not where the system is stopped, fails or is killed before.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: pyarrow is missing.
    """

    in_: In[Row]
    rejected: Out[Rejected[Any]]
    accumulates = False  # what is not complete comes again

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a Parquet sink.

        Attributes:
            path: The file; its folder is made where it is missing. With rotation, files get names with their time.
            columns: The fields to write; a mapping gives their Arrow types. Those of the first rows where not
                given. A field that a row lacks is null.
            compression: ``snappy``, ``zstd``, ``gzip`` or ``none``.
            row_group: Rows of a row group: what a reader has in memory at once.
            rotate_rows: Rows of a file; they are in memory until it is complete. 0 for all.
            rotate_every: How long a row waits at most until its file is complete.
            keep: How many rotated files stay; all where not given.
        """

        path: str
        columns: list[str] | dict[str, str] = []
        compression: Literal["snappy", "zstd", "gzip", "none"] = "snappy"
        row_group: int = 50_000
        rotate_rows: int = 0
        rotate_every: Duration | None = None
        keep: int | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if not settings.path:
            raise ConfigError("path is empty", hint="name the file", field="path")
        for field, least in (("row_group", 1), ("rotate_rows", 0), ("keep", 0)):
            number = getattr(settings, field)
            if number is not None and number < least:
                raise ConfigError(f"{field} must be at least {least}", field=field)
        every = settings.rotate_every
        self._every = None if every is None else seconds(every, "rotate_every")
        self._rotates = bool(settings.rotate_rows) or self._every is not None
        if settings.keep is not None and not self._rotates:
            raise ConfigError("keep needs rotate_rows or rotate_every", field="keep")
        require_names(settings.columns, "columns")
        require_parquet("parquet_sink")
        self._names = RotatedNames(settings.path, settings.keep)
        self._disk = Connection(settings.path)
        self._writer = self._make_writer()
        self.written = 0

    def _make_writer(self) -> ParquetWriter:
        from headrace.edges.parquet import ParquetWriter

        columns = self.config.columns
        return ParquetWriter(
            columns if isinstance(columns, dict) else dict.fromkeys(columns, ""), self.config.compression
        )

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Make the folder.

        Raises:
            ComponentError: It cannot be made; or half of the only file was written by a life before.
        """
        await super().setup(harness_context)
        if self.context.restarts and not self._rotates and self._names.part.exists():
            raise ComponentError(
                f"{self.name}: {self.config.path}: a Parquet file cannot be written on after a crash; "
                "set `rotate_rows`, so that each file is complete",
                component=self.name,
            )
        self._writer, self.written = self._make_writer(), 0
        self._disk.begin(self.context)
        try:
            await self._in_thread(self._prepare)
        except OSError as error:
            raise self._failed(error) from error

    def _prepare(self) -> None:
        self._names.path.parent.mkdir(parents=True, exist_ok=True)
        self._names.part.unlink(missing_ok=True)
        with self._names.part.open("wb"):  # can it be written?
            pass
        self._names.part.unlink()

    def _failed(self, error: OSError) -> ComponentError:
        return ComponentError(f"{self.name}: {_said(self.config.path, error)}", component=self.name)

    async def process(self) -> None:
        """Write all rows.

        Raises:
            ComponentError: The only file cannot be written.
        """
        settings = self.config
        size = settings.rotate_rows or (settings.row_group * 20 if self._rotates else settings.row_group)
        async for batch in self.in_.batch(size, within=self._every):
            table, rejected = await self._in_thread(partial(self._writer.encode, batch))
            if table is not None:
                await self._write(table)
            await acknowledge_written(self.in_, batch, rejected, self.rejected)
        if self._rotates:
            return
        if self.context.stop_event.is_set():
            if self.context.logger is not None:
                self.context.logger.warning("incomplete file is not shown", file=settings.path)
            return
        try:
            await self._in_thread(partial(self._show, self._names.path))
        except OSError as error:
            raise self._failed(error) from error

    async def _write(self, table: Any) -> None:
        while True:
            try:
                await self._in_thread(partial(self._write_rows, table))
            except OSError as error:
                if not self._rotates:
                    raise self._failed(error) from error
                await self._disk.wait(UnavailableError(_said(self.config.path, error)))
            else:
                self._disk.found()
                self.written += table.num_rows
                return

    def _write_rows(self, table: Any) -> None:
        """Write rows: to the file that is open, or to one of their own that is complete then. In the thread."""
        part = str(self._names.part)
        try:
            for begin in range(0, table.num_rows, self.config.row_group):
                self._writer.write(part, table.slice(begin, self.config.row_group))
            if self._rotates:
                self._show(self._names.next())
        except OSError:
            with contextlib.suppress(OSError):
                self._writer.abandon()
            with contextlib.suppress(OSError):
                self._names.part.unlink()
            raise

    def _show(self, as_what: Any) -> None:
        self._writer.finish(str(self._names.part))
        if self._names.part.exists():
            self._names.part.rename(as_what)
        self._names.remove_old()

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(fn, limiter=CapacityLimiter(1))

    async def cleanup(self) -> None:
        """Close the file and the streams; what is not complete stays unseen."""
        with contextlib.suppress(OSError):
            await self._in_thread(self._writer.abandon)
        await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add whether the files can be written."""
        return {**await super().health_check(), **self._disk.health(), "written": self.written}


def _said(path: str, error: OSError) -> str:
    return f"{path}: cannot be written: {error.strerror or error}"


__all__ = ["ParquetSink"]
