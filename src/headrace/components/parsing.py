"""``parse`` and ``format``: between text or bytes and values, as JSON, CSV, msgpack and the like."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected

from .batches import work_in_batches
from .csv_conversion import ColumnType, CsvConversion
from .rows import lacking, require_names

_ABSENT = "\0"  # of a group that did not match
_SHOWN = 80  # characters of what does not parse, in a reason
_WRONG = (ValueError, OverflowError, RecursionError, msgspec.MsgspecError, csv.Error)
_ONLY: dict[str, tuple[str, ...]] = {
    "columns": ("csv",),
    "delimiter": ("csv",),
    "pattern": ("regex",),
    "template": ("text",),
    "types": ("csv", "regex"),
    "null_values": ("csv", "regex"),
}


def _check_fields(config: msgspec.Struct, kind: str, required: Mapping[str, str]) -> None:
    """Refuse a setting of another format, and miss one of this.

    Raises:
        ConfigError: Either is so.
    """
    for field, kinds in _ONLY.items():
        default = getattr(type(config)(format=kind), field, None)
        given = getattr(config, field, None)
        if given != default and kind not in kinds:
            raise ConfigError(f"{field} is for {' and '.join(kinds)}, not for {kind}", field=field)
        if required.get(kind) == field and not given:
            raise ConfigError(f"{kind} needs {field}", field=field)
    delimiter = getattr(config, "delimiter", ",")
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ConfigError(f"delimiter must be one character, not {delimiter!r}", field="delimiter")


def _text(message: Any) -> str:
    if isinstance(message, str):
        return message
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message).decode("utf-8")
    raise TypeError(f"not text or bytes but a value of type {type(message).__name__}")


class Parse(HarnessComponent):
    """Makes values of text or bytes (in UTF-8): rows, where it is CSV or a regular expression.

    Each message is one document, one record, or one line. What does not parse goes to ``rejected``, as it came.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Any]
    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a parse.

        Attributes:
            format: ``json``, ``msgpack``, ``csv`` (one record) or ``regex``.
            field: Messages are rows, and this field of them is parsed: what comes of it takes its place, a
                row with all its fields. The whole message where not given.
            columns: The names of the fields of a CSV record.
            delimiter: What separates them.
            pattern: A regular expression that must match all of the text; its named groups are the fields of
                the row.
            types: The type of each field of CSV and regex that is not text: ``int``, ``float``, ``bool`` or
                ``str``.
            null_values: Texts that become None in CSV and regex; so do groups that did not match.
        """

        format: Literal["json", "msgpack", "csv", "regex"]
        field: str | None = None
        columns: list[str] = []
        delimiter: str = ","
        pattern: str = ""
        types: dict[str, ColumnType] = {}
        null_values: list[str] = msgspec.field(default_factory=lambda: [""])

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        _check_fields(self.config, self.config.format, {"csv": "columns", "regex": "pattern"})
        makers: dict[str, Callable[[], Callable[[Any], Any]]] = {
            "json": lambda: lambda message: msgspec.json.decode(message),
            "msgpack": lambda: msgspec.msgpack.decode,
            "csv": self._csv,
            "regex": self._regex,
        }
        self._parse = makers[self.config.format]()

    def _csv(self) -> Callable[[Any], Any]:
        settings = self.config
        require_names(settings.columns, "columns")
        row_of = self._conversion(settings.columns).row

        def parse(message: Any) -> Any:
            records = list(csv.reader([_text(message)], delimiter=settings.delimiter, strict=True))
            return row_of(records[0] if records else [])

        return parse

    def _regex(self) -> Callable[[Any], Any]:
        try:
            pattern = re.compile(self.config.pattern)
        except re.error as error:
            raise ConfigError(f"pattern is no regular expression: {error}", field="pattern") from None
        names = list(pattern.groupindex)
        if not names:
            raise ConfigError("pattern has no named groups", hint="write (?P<name>...)", field="pattern")
        row_of = self._conversion(names).row

        def parse(message: Any) -> Any:
            found = pattern.fullmatch(_text(message))
            if found is None:
                raise ValueError("does not match the pattern")
            return row_of([_ABSENT if text is None else text for text in map(found.group, names)])

        return parse

    def _conversion(self, names: Sequence[str]) -> CsvConversion:
        nulls = [*self.config.null_values, _ABSENT]
        return CsvConversion("", names, types=self.config.types, null_values=nulls)

    async def process(self) -> None:
        """Send what comes of each message."""
        await work_in_batches(self.in_, self._work, self.out, self.rejected)

    def _work(self, messages: list[Any]) -> tuple[list[Any], list[Rejected[Any]]]:
        parsed: list[Any] = []
        rejected: list[Rejected[Any]] = []
        parse = self._parse if self.config.field is None else self._parse_field
        for message in messages:
            try:
                parsed.append(parse(message))
            except (KeyError, TypeError, *_WRONG) as error:
                rejected.append(Rejected(message, self._why_not(message, error)))
        return parsed, rejected

    def _parse_field(self, row: Any) -> Any:
        field = self.config.field or ""
        value = self._parse(row[field])
        if not isinstance(value, dict):
            return {**row, field: value}
        return {**{name: row[name] for name in row if name != field}, **value}

    def _why_not(self, message: Any, error: Exception) -> str:
        field = self.config.field
        if field is not None and not (isinstance(message, Mapping) and field in message):
            return lacking(message, [field])
        text = message if field is None else message[field]
        shown = repr(text[:_SHOWN]) if isinstance(text, str | bytes) else type(text).__name__
        return f"no {self.config.format}: {error or type(error).__name__}: {shown}"


class Format(HarnessComponent):
    """Makes text of values: JSON, a CSV record, or a template; or bytes: msgpack, or where that is said.

    What cannot be written in the format goes to ``rejected``, as it came.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Any]
    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a format.

        Attributes:
            format: ``json``, ``msgpack``, ``csv`` (one record, without an end of line) or ``text``.
            columns: The fields of a CSV record; a row must have them all, and its other ones are left out.
            delimiter: What separates them.
            template: Text with the fields of a row in braces: ``{name} is at {degrees}``.
            encode: Whether text becomes bytes, in UTF-8.
        """

        format: Literal["json", "msgpack", "csv", "text"]
        columns: list[str] = []
        delimiter: str = ","
        template: str = ""
        encode: bool = False

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        _check_fields(settings, settings.format, {"csv": "columns", "text": "template"})
        require_names(settings.columns, "columns")
        self._needed = settings.columns or _fields_of(settings.template)
        makers: dict[str, Callable[[Any], Any]] = {
            "json": lambda message: msgspec.json.encode(message).decode(),
            "msgpack": msgspec.msgpack.encode,
            "csv": self._csv,
            "text": lambda row: _filled(settings.template, row, self._needed),
        }
        if settings.format == "json" and settings.encode:
            makers["json"] = msgspec.json.encode
        self._format = makers[settings.format]

    def _csv(self, row: Any) -> str:
        record = io.StringIO()
        values = [row[field] for field in self.config.columns]
        csv.writer(record, delimiter=self.config.delimiter).writerow(values)
        return record.getvalue().removesuffix("\r\n")

    async def process(self) -> None:
        """Send each message in its format."""
        await work_in_batches(self.in_, self._work, self.out, self.rejected)

    def _work(self, messages: list[Any]) -> tuple[list[Any], list[Rejected[Any]]]:
        made: list[Any] = []
        rejected: list[Rejected[Any]] = []
        encode = self.config.encode
        for message in messages:
            try:
                text = self._format(message)
                made.append(text.encode() if encode and isinstance(text, str) else text)
            except (KeyError, TypeError, *_WRONG) as error:
                rejected.append(Rejected(message, self._why_not(message, error)))
        return made, rejected

    def _why_not(self, message: Any, error: Exception) -> str:
        is_row = isinstance(message, Mapping)
        if self._needed and not (is_row and all(field in message for field in self._needed)):
            return lacking(message, self._needed)
        return f"cannot be written as {self.config.format}: {error}"


_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def _fields_of(template: str) -> list[str]:
    """Return the names in the braces of a template.

    Raises:
        ConfigError: A brace is alone, or there is no name in it.
    """
    names: list[str] = []
    for found in _BRACES.finditer(template):
        if found[0] in ("{{", "}}"):
            continue
        if not found[1]:
            raise ConfigError(
                f"template has '{found[0]}' without a name", hint="write {{ for a brace", field="template"
            )
        names.append(found[1])
    return names


def _filled(template: str, row: Mapping[str, Any], needed: Sequence[str]) -> str:
    values = {name: str(row[name]) for name in needed}
    return _BRACES.sub(lambda found: values[found[1]] if found[1] else found[0][0], template)


__all__ = ["Format", "Parse"]
