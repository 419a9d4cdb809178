"""``csv_source``: the rows of CSV files, plain or packed."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from headrace.exceptions import ConfigError

from .csv_conversion import CsvConversion
from .csv_file import CsvFile
from .input_file import check_packing
from .row_files import RowFilesSource
from .rows import require_names


class CsvSource(RowFilesSource):
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
        check_packing(self._patterns, "csv_source")
        if len(self.config.delimiter) != 1 or self.config.delimiter in '\r\n"':
            raise ConfigError("delimiter must be one character, no quote or line end", field="delimiter")
        try:
            codecs.lookup(self.config.encoding)
        except LookupError:
            raise ConfigError(f"encoding '{self.config.encoding}' is unknown", field="encoding") from None
        require_names(self.config.columns or (), "columns")

    def _file(self, path: str) -> CsvFile:
        return CsvFile(
            path,
            partial(self._conversion, path),
            member=self.config.member,
            encoding=self.config.encoding,
            delimiter=self.config.delimiter,
        )

    def _conversion(self, path: str, header: Sequence[str]) -> CsvConversion:
        settings = self.config
        return CsvConversion(
            path,
            header,
            types=settings.types,
            null_values=settings.null_values,
            columns=settings.columns,
        )


__all__ = ["CsvSource"]
