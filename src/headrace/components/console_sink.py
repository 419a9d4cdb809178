"""``console_sink``: messages for people, as a table, as lines, as JSON, or only counted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TextIO

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter, EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In
from headrace.exceptions import ComponentError, ConfigError
from headrace.model.message import Rejected

from .rows import Row, require_names

_PRINTING = threading.Lock()
_CHUNK = 256
_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]} | {
    9: "\\t",
    10: "\\n",
    13: "\\r",
}


class ConsoleSink(HarnessComponent):
    """Prints what it receives; whole lines only, and never from the event loop's thread.

    ``table`` prints rows with aligned columns at the end of the input, ``json`` and ``lines`` print one line
    a message as they come, ``count`` prints at the end how many messages there were of each kind
    (``Rejected`` by reason).

    Args:
        name: Names the component.
        config: See ``Config``.
        stream: Where to print; the standard output of that moment where None.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Any]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a console sink.

        Attributes:
            format: ``table``, ``json``, ``lines`` or ``count``.
            title: A line to print before the rest.
            columns: The fields of a row to print; all where not given.
            limit: How many messages (of ``count``: kinds) to print; the rest is only counted.
            digits: Digits after the point of numbers in a table.
        """

        format: Literal["table", "json", "lines", "count"] = "lines"
        title: str = ""
        columns: list[str] | None = None
        limit: int = 1000
        digits: int = 2

    config: Config

    def __init__(
        self, name: str, config: Mapping[str, Any] | None = None, *, stream: TextIO | None = None
    ) -> None:
        super().__init__(name, config)
        if self.config.limit < 0 or self.config.digits < 0:
            field = "limit" if self.config.limit < 0 else "digits"
            raise ConfigError(f"{field} must be at least 0", field=field)
        require_names(self.config.columns or (), "columns")
        self.accumulates = self.config.format in ("table", "count")
        self._stream = stream
        self._thread = CapacityLimiter(1)

    async def process(self) -> None:
        """Print all messages.

        Raises:
            ComponentError: The output cannot be written, because its reader is gone, say.
        """
        if self.config.format == "count":
            await self._count()
        elif self.config.format == "table":
            await self._tabulate()
        else:
            await self._print_as_they_come()

    async def _count(self) -> None:
        kinds: dict[str, int] = {}
        other = 0
        async for message in self.in_:
            kind = _kind(message)
            if kind in kinds or len(kinds) < self.config.limit:
                kinds[kind] = kinds.get(kind, 0) + 1
            else:
                other += 1
        lines = counted_lines(kinds)
        await self._print([*lines, f"{other:,} of other kinds"] if other else lines)

    async def _tabulate(self) -> None:
        rows: list[Row] = []
        more = 0
        async for message in self.in_:
            if len(rows) < self.config.limit:
                rows.append(message if isinstance(message, dict) else {"message": message})
            else:
                more += 1
        lines = table_lines(rows, columns=self.config.columns, digits=self.config.digits)
        await self._print([*lines, f"... and {more:,} more"] if more else lines)

    async def _print_as_they_come(self) -> None:
        """Print what is there in one go, then wait for more; a message is acknowledged after it was printed."""
        await self._print([])
        left = self.config.limit
        more = 0
        while True:
            try:
                messages = await self.in_.receive_many(_CHUNK)
            except EndOfStream:
                break
            shown = messages[:left]
            left -= len(shown)
            more += len(messages) - len(shown)
            if shown:
                await self._write([self._line(message) for message in shown])
        if more:
            await self._write([f"... and {more:,} more"])

    def _line(self, message: object) -> str:
        columns = self.config.columns
        if columns is not None and isinstance(message, Mapping):
            message = {column: message.get(column) for column in columns}
        if self.config.format == "json":
            return json_line(message)
        return visible(str(message))

    async def _print(self, lines: Sequence[str]) -> None:
        title = [visible(self.config.title)] if self.config.title else []
        if title or lines:
            await self._write([*title, *lines])

    async def _write(self, lines: Iterable[str]) -> None:
        text = "".join(line + "\n" for line in lines)
        try:
            await anyio.to_thread.run_sync(
                write_whole, self._stream or sys.stdout, text, limiter=self._thread
            )
        except (OSError, ValueError) as error:
            raise ComponentError(f"{self.name}: cannot print: {error}", component=self.name) from error


def write_whole(stream: TextIO, text: str) -> None:
    """Write text in one piece; characters that the stream cannot show are escaped."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    with _PRINTING:
        stream.write(shown)
        stream.flush()


def json_line(message: object) -> str:
    """Return a message as one line of JSON; what JSON does not know is shown as text."""
    try:
        return msgspec.json.encode(message, enc_hook=str).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return msgspec.json.encode(visible(repr(message))).decode()


def visible(text: str) -> str:
    """Return text with its control characters escaped, so that it stays on its line."""
    return text.translate(_CONTROL)


def counted_lines(kinds: Mapping[str, int]) -> list[str]:
    """Return one line a kind, most frequent first, with the numbers aligned."""
    width = max((len(f"{number:,}") for number in kinds.values()), default=0)
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return [f"{number:{width},}  {visible(kind)}" for kind, number in ordered]


def table_lines(rows: Sequence[Row], *, columns: Sequence[str] | None = None, digits: int = 2) -> list[str]:
    """Return rows as lines of aligned columns under a header; numbers are aligned to the right.

    Args:
        rows: The rows; a field that one of them lacks is left blank.
        columns: The fields to show; all that occur where None.
        digits: Digits after the point of numbers that have one.
    """
    names = list(dict.fromkeys(name for row in rows for name in row)) if columns is None else list(columns)
    if not rows or not names:
        return ["(no rows)"]
    cells = [[_cell(row.get(name), digits) for name in names] for row in rows]
    heads = [visible(str(name)) for name in names]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    to_the_right = [all(_is_number(row.get(name)) for row in rows) for name in names]
    lines = [_table_line(heads, widths, to_the_right), "  ".join("-" * width for width in widths)]
    return lines + [_table_line(line, widths, to_the_right) for line in cells]


def _table_line(cells: Sequence[str], widths: Sequence[int], to_the_right: Sequence[bool]) -> str:
    placed = zip(cells, widths, to_the_right, strict=True)
    return "  ".join(c.rjust(width) if right else c.ljust(width) for c, width, right in placed).rstrip()


def _cell(value: object, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return visible(str(value))


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _kind(message: object) -> str:
    return message.reason if isinstance(message, Rejected) else type(message).__name__


__all__ = ["ConsoleSink", "counted_lines", "json_line", "table_lines", "visible", "write_whole"]
