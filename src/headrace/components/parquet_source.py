"""``parquet_source``: the rows of Parquet files (``pip install 'headrace[parquet]'``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.exceptions import MissingExtraError
from headrace.model.message import Rejected

from .input_file import UsedInThread
from .row_files import RowFilesSource
from .rows import Row, require_names

if TYPE_CHECKING:
    from headrace.edges.parquet import ParquetReader


class ParquetSource(RowFilesSource):
    """Sends each row of Parquet files as a ``dict``; one with a value that Python has not, to ``rejected``.

    A file that is missing or none of Parquet fails the set-up or, if it comes later, the run. Files are read part
    by part, so memory does not grow with them. Times lose their nanoseconds.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: pyarrow is missing.
    """

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a Parquet source.

        Attributes:
            path: The file, or several: a folder, a pattern such as ``data/**/*.parquet``, or a list of them.
            columns: The columns to read; all where not given.
        """

        path: str | list[str]
        columns: list[str] = []

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        require_names(self.config.columns, "columns")
        require_parquet("parquet_source")

    def _file(self, path: str) -> ParquetFile:
        return ParquetFile(path, self.config.columns)


class ParquetFile(UsedInThread):
    """One file.

    Args:
        path: The file.
        columns: The columns to read; all where empty.
    """

    def __init__(self, path: str, columns: list[str]) -> None:
        super().__init__()
        self.path = path
        self._columns = columns
        self._reader: ParquetReader | None = None

    def open(self) -> None:
        """Open it.

        Raises:
            InputFileError: It cannot be read, or has no such column.
        """
        from headrace.edges.parquet import ParquetReader

        with self._in_use():
            self._reader = ParquetReader(self.path, self._columns)
            self._opened.callback(self._reader.close)

    def read(self, size: int) -> list[Row | Rejected[Any]]:
        """Return the next rows; none at the end of the file.

        Args:
            size: Does not matter here: batches are as large as they were opened for.

        Raises:
            InputFileError: It cannot be read on.
        """
        with self._in_use():
            if self._closing or self._reader is None:
                return []
            return self._reader.read()


def require_parquet(what: str) -> None:
    """Refuse to go on without pyarrow.

    Raises:
        MissingExtraError: It is missing.
    """
    try:
        import headrace.edges.parquet  # noqa: F401
    except ImportError:
        raise MissingExtraError(what, "parquet") from None


__all__ = ["ParquetFile", "ParquetSource", "require_parquet"]
