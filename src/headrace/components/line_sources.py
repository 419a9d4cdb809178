"""``lines_source`` and ``jsonl_source``: the lines of files, read once or as they grow, or of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ComponentError, ConfigError, HeadraceError, InputFileError
from headrace.model.message import Rejected
from headrace.streams.settlements import Settlements

from .file_positions import FilePositions
from .input_file import as_patterns, check_packing, find_files, is_packed
from .input_stream import STDIN, InputStream, is_stream
from .line_files import PORTION, FilesInTurn, Portion
from .line_formats import Added, JsonLines, LineFormat, TextLines
from .line_splitter import LineSplitter
from .row_files import Sending
from .rows import Row
from .tail import Tail
from .times import Duration, seconds

T = TypeVar("T")

_KEEP_EVERY = 1.0  # seconds between two writes of the positions


class _Source(HarnessComponent):
    """What the sources of lines share; a subclass has the ``Config`` and says how a line becomes a row."""

    out: Out[Row]
    rejected: Out[Rejected[Any]]

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        self._patterns = as_patterns(settings.path)
        self._check(settings)
        self._poll = seconds(settings.poll_every, "poll_every")
        self._rotate_wait = seconds(settings.rotate_wait, "rotate_wait", or_zero=True)
        self._form = self._make_form()
        self._positions = FilePositions(settings.position_file) if settings.position_file else None
        self._reader: FilesInTurn | Tail | None = None
        self._stream: InputStream | None = None
        self._settlements: list[Settlements] = []
        self._kept_at = 0.0
        self._thread = CapacityLimiter(1)
        self._sending = Sending(lambda: self.context.clock())

    def _make_form(self) -> LineFormat:
        raise NotImplementedError

    def _check(self, settings: Any) -> None:
        if settings.max_line < 1:
            raise ConfigError("max_line must be at least 1", field="max_line")
        if STDIN in self._patterns and len(self._patterns) > 1:
            raise ConfigError("the standard input cannot be one of several", field="path")
        check_packing(self._patterns, type(self).__name__)
        unfit = next((one for one in self._patterns if one == STDIN or is_packed(one)), "")
        if unfit and (settings.follow or settings.position_file):
            field = "follow" if settings.follow else "position_file"
            raise ConfigError(f"{field} is for plain files, not for {unfit}", field=field)
        if settings.start_at == "end" and not settings.follow:
            raise ConfigError("start_at: end needs follow: true", field="start_at")

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Find the files, and read how far an earlier run came.

        Raises:
            InputFileError: There is none (unless they are followed), or the first cannot be opened.
            ComponentError: The file of positions is none.
        """
        await super().setup(harness_context)
        if self._reads_stream():
            self._stream = InputStream(self._patterns[0])
            return
        try:
            if self._positions is not None:
                await self._in_thread(self._positions.read)
            self._reader = await self._in_thread(self._make_reader)
            await self._in_thread(self._reader.open)
        except InputFileError:
            raise
        except HeadraceError as error:
            raise ComponentError(f"{self.name}: {error}", component=self.name) from error

    def _reads_stream(self) -> bool:
        settings = self.config
        plain = not (settings.follow or settings.position_file)
        return plain and len(self._patterns) == 1 and is_stream(self._patterns[0])

    def _make_reader(self) -> FilesInTurn | Tail:
        settings = self.config
        if not settings.follow:
            return FilesInTurn(
                find_files(self._patterns),
                self._form,
                max_line=settings.max_line,
                member=settings.member,
                positions=self._positions,
            )
        return Tail(
            self._patterns,
            self._form,
            max_line=settings.max_line,
            from_end=settings.start_at == "end",
            rotate_wait=self._rotate_wait,
            positions=self._positions,
            tell=self._tell,
        )

    def _tell(self, event: str, **values: Any) -> None:
        if self.context.logger is not None:
            log = self.context.logger.info if event == "file found" else self.context.logger.warning
            log(event, **values)

    async def process(self) -> None:
        """Send all rows; ends early, between two small runs of rows, when the system stops.

        Raises:
            InputFileError: A file cannot be read (on).
            ComponentError: The positions cannot be written.
        """
        if self._positions is not None:
            outs: list[Any] = [self.rejected, self.out]
            self._settlements = [Settlements(out.outlet, _settle) for out in outs]
        if self._stream is not None:
            await self._send_stream(self._stream)
        else:
            await self._send_files()

    async def _send_files(self) -> None:
        reader, context = self._reader, self.context
        assert reader is not None
        stop = context.stop_event
        while (portions := await self._in_thread(reader.read, context.clock())) is not None:
            for portion in portions:
                if not await self._send_portion(portion):
                    return
            await self._keep_positions()
            if not portions:
                with anyio.move_on_after(self._poll):
                    await stop.wait()
            if stop.is_set():
                return

    async def _send_stream(self, stream: InputStream) -> None:
        splitter = LineSplitter(self.config.max_line)
        stop = self.context.stop_event
        while data := await stream.read(PORTION, stop):
            for lines in splitter.feed(data):
                if not await self._send(self._form.batch(lines, stream.path).rows):
                    return
        if not stop.is_set():
            for lines in splitter.finish():
                await self._send(self._form.batch(lines, stream.path).rows)

    async def _send_portion(self, portion: Portion) -> bool:
        rows, ends = portion.batch
        if portion.done is not None and ends:
            for row, token in zip(rows, portion.done.expect(ends), strict=True):
                self._settlements[type(row) is dict].expect(row, (portion.done, token))
        return await self._send(rows)

    async def _send(self, rows: Sequence[Row | Rejected[Any]]) -> bool:
        """Send rows, the rejected ones in their places; returns whether to go on."""
        stopping = self.context.stop_event.is_set
        for are_rows, run in self._sending.runs(rows):
            if stopping():
                return False
            port: Out[Any] = self.out if are_rows else self.rejected
            await port.send_many(run)
            if self._settlements:
                self._settlements[are_rows].sent(run)
        return True

    async def _keep_positions(self) -> None:
        now = self.context.clock()
        if self._positions is not None and now - self._kept_at >= _KEEP_EVERY:
            self._kept_at = now
            await self._write_positions()

    async def _write_positions(self) -> None:
        if self._positions is None or self._reader is None:
            return
        try:
            await anyio.to_thread.run_sync(
                self._positions.write, self._reader.places(), limiter=CapacityLimiter(1)
            )
        except HeadraceError as error:
            raise ComponentError(f"{self.name}: {error}", component=self.name) from error

    async def _in_thread(self, fn: Callable[..., T], *args: object) -> T:
        return await anyio.to_thread.run_sync(fn, *args, abandon_on_cancel=True, limiter=self._thread)

    async def cleanup(self) -> None:
        """Keep how far everything was done with, and close the files and the streams."""
        try:
            await self._write_positions()
        finally:
            for one in self._settlements:
                one.close()
            self._settlements = []
            for used in (self._reader, self._stream):
                if used is not None:
                    used.close()
            self._reader = self._stream = None
            await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add which files are read; not healthy where one cannot be."""
        health = await super().health_check()
        return health if self._reader is None else {**health, **self._reader.health()}


def _settle(tokens: list[Any], done: bool) -> None:
    for position, token in tokens:
        position.settle([token], done)


class LinesSource(_Source):
    """Sends each line of files as a row ``{"line": ...}``; what is not text to ``rejected``.

    Files are read once, or followed as they grow: across rotation by renaming, truncation and half-written lines.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: A file is packed by zstd, and its extra is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a source of lines.

        Attributes:
            path: The file, or several: a folder, a pattern such as ``logs/**/*.log``, or a list of them; or one
                pipe, ``-`` for the standard input. ``.gz``, ``.zip``, ``.zst``, ``.bz2`` and ``.xz`` are unpacked.
            member: The file inside a zip archive; needed where it holds several.
            encoding: How the text is encoded.
            max_line: Bytes of a line; a longer one is rejected.
            add: What is added to each row: ``path``, ``number`` (of the line).
            follow: Read on as the files grow and new ones come, until the system stops.
            start_at: Where to begin in files that are there when it begins to follow: ``beginning`` or ``end``.
            poll_every: How often to look whether a followed file has grown.
            rotate_wait: How long a followed file that was renamed or deleted is read on after it last grew.
            position_file: Where to keep how far everything was done with; the next run goes on there.
        """

        path: str | list[str]
        member: str | None = None
        encoding: str = "utf-8"
        max_line: int = 1_048_576
        add: list[Added] = []
        follow: bool = False
        start_at: Literal["beginning", "end"] = "beginning"
        poll_every: Duration = "250ms"
        rotate_wait: Duration = "5s"
        position_file: str = ""

    config: Config

    def _make_form(self) -> LineFormat:
        return TextLines(self.config.encoding, self.config.add)


class JsonlSource(_Source):
    """Sends the JSON object of each line of files as a row; a line that is none to ``rejected``.

    Files are read once, or followed as they grow, as ``lines_source`` does. Blank lines are nothing.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: A file is packed by zstd, and its extra is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a source of JSON lines.

        Attributes:
            path: The file, or several: a folder, a pattern such as ``data/**/*.jsonl``, or a list of them; or one
                pipe, ``-`` for the standard input. ``.gz``, ``.zip``, ``.zst``, ``.bz2`` and ``.xz`` are unpacked.
            member: The file inside a zip archive; needed where it holds several.
            max_line: Bytes of a line; a longer one is rejected.
            add: What is added to each row: ``path``, ``number`` (of the line).
            follow: Read on as the files grow and new ones come, until the system stops.
            start_at: Where to begin in files that are there when it begins to follow: ``beginning`` or ``end``.
            poll_every: How often to look whether a followed file has grown.
            rotate_wait: How long a followed file that was renamed or deleted is read on after it last grew.
            position_file: Where to keep how far everything was done with; the next run goes on there.
        """

        path: str | list[str]
        member: str | None = None
        max_line: int = 1_048_576
        add: list[Added] = []
        follow: bool = False
        start_at: Literal["beginning", "end"] = "beginning"
        poll_every: Duration = "250ms"
        rotate_wait: Duration = "5s"
        position_file: str = ""

    config: Config

    def _make_form(self) -> LineFormat:
        return JsonLines(self.config.add)


__all__ = ["JsonlSource", "LinesSource"]
