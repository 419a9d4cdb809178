"""Parquet files, by pyarrow (``pip install 'headrace[parquet]'``). Everything here blocks, so a thread does it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow
import pyarrow.parquet
from pyarrow import ArrowException, Schema

from headrace.exceptions import ConfigError, InputFileError
from headrace.model.message import Rejected

Row = dict[str, Any]

_VALUES = 10_000  # of a batch: they are made in 1 ms, which holds the interpreter

_WRONG_ROW = (ArrowException, TypeError, ValueError, OverflowError, AttributeError)


class ParquetReader:
    """The rows of one file, in batches; memory holds a part of it, whatever its size.

    Args:
        path: The file.
        columns: The columns to read; all where empty.

    Raises:
        InputFileError: It cannot be read, or has no such column.
    """

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        self.path = path
        self.row = 0
        """How many rows have been read."""
        try:
            self._file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
        except (ArrowException, OSError) as error:
            raise self._damage(error) from error
        names = self._file.schema_arrow.names
        missing = next((name for name in columns if name not in names), None)
        twice = next((name for name in names if names.count(name) > 1), None)
        if missing is not None or twice is not None:
            self.close()
            why = (
                f"no column '{missing}', known: {', '.join(names)}"
                if missing
                else f"column '{twice}' is there twice"
            )
            raise InputFileError(f"{path}: {why}")
        size = max(64, min(2048, _VALUES // max(1, len(columns or names))))
        self._batches: Iterator[Any] = self._file.iter_batches(size, columns=list(columns) or None)

    def _damage(self, error: Exception) -> InputFileError:
        if isinstance(error, OSError) and error.errno:
            return InputFileError(f"{self.path}: cannot be read: {os.strerror(error.errno)}")
        place = f"{self.path}: after row {self.row}" if self.row else self.path
        return InputFileError(f"{place}: no Parquet file, or a damaged one: {error}")

    def read(self) -> list[Row | Rejected[Any]]:
        """Return the next rows; none at the end.

        Raises:
            InputFileError: It cannot be read on.
        """
        try:
            batch = next(self._batches, None)
        except (ArrowException, OSError) as error:
            raise self._damage(error) from error
        if batch is None:
            return []
        begin, self.row = self.row, self.row + batch.num_rows
        try:
            rows: list[Row | Rejected[Any]] = _in_microseconds(batch).to_pylist()
        except _WRONG_ROW:
            return [self._row(batch, number, begin) for number in range(batch.num_rows)]
        return rows

    def _row(self, batch: Any, number: int, begin: int) -> Row | Rejected[Any]:
        """Return a row of a batch in which a value is none of Python's: a date in the year 10,000, say."""
        one = _in_microseconds(batch.slice(number, 1))
        row: Row = {}
        for name, column in zip(one.schema.names, one.columns, strict=True):
            try:
                row[name] = column[0].as_py()
            except _WRONG_ROW as error:
                return Rejected(row, f"{self.path}: row {begin + number + 1}: column '{name}': {error}")
        return row

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)


def _in_microseconds(batch: Any) -> Any:
    """Return a batch without nanoseconds, which Python's times do not have."""
    types = pyarrow.types
    for place, field in enumerate(batch.schema):
        if types.is_timestamp(field.type) and field.type.unit == "ns":
            kind = pyarrow.timestamp("us", field.type.tz)
        elif types.is_time64(field.type) and field.type.unit == "ns":
            kind = pyarrow.time64("us")
        elif types.is_duration(field.type) and field.type.unit == "ns":
            kind = pyarrow.duration("us")
        else:
            continue
        batch = batch.set_column(place, field.name, batch.column(place).cast(kind, safe=False))
    return batch


class ParquetWriter:
    """Writes rows to one file, that can be read once it is closed.

    Args:
        columns: The type of each column, by Arrow's names such as ``int64``; an empty one is found out.
        compression: As pyarrow calls it.

    Raises:
        ConfigError: There is no such type.
    """

    def __init__(self, columns: Mapping[str, str], compression: str) -> None:
        self._wanted = {name: _type_of(name, kind) for name, kind in columns.items()}
        self._compression = compression
        self._schema: Schema | None = None
        self._writer: Any = None
        self.rows = 0
        """How many rows the file has."""

    def encode(self, rows: Sequence[Any]) -> tuple[Any, list[Rejected[Any]]]:
        """Return a table of rows, and those that cannot be in it, with the reason."""
        good = [row for row in rows if isinstance(row, dict)]
        if self._schema is None:
            self._schema = self._schema_of(good)
        if self._schema is None:
            return None, [Rejected(row, "not a row of named fields") for row in rows]
        if len(good) == len(rows):
            try:
                return self._table(rows), []
            except _WRONG_ROW:
                pass  # one of them is wrong: which?
        rejected: list[Rejected[Any]] = []
        good = []
        for row in rows:
            try:
                self._table([row])
                good.append(row)
            except _WRONG_ROW as error:
                rejected.append(
                    Rejected(row, str(error) if isinstance(row, dict) else "not a row of named fields")
                )
        return (self._table(good) if good else None), rejected

    def _table(self, rows: Sequence[Any]) -> Any:
        assert self._schema is not None
        names = set(self._schema.names)
        if not self._wanted and not all(map(names.issuperset, rows)):
            more = next(name for row in rows for name in row if name not in names)
            raise ValueError(f"field '{more}' is no column of the file; name those to write with `columns`")
        arrays = []
        for field in self._schema:
            try:
                arrays.append(pyarrow.array([row.get(field.name) for row in rows], field.type))
            except _WRONG_ROW as error:
                raise ValueError(f"column '{field.name}': {error}") from None
        return pyarrow.Table.from_arrays(arrays, schema=self._schema)

    def _schema_of(self, rows: Sequence[Row]) -> Schema | None:
        names = dict.fromkeys(self._wanted) or dict.fromkeys(name for row in rows for name in row)
        if not names:
            return None
        kinds = {
            name: self._wanted.get(name) or _found_out([row.get(name) for row in rows]) for name in names
        }
        return pyarrow.schema(list(kinds.items()))

    def write(self, path: str, table: Any) -> None:
        """Write a table, to a new file where none is open.

        Raises:
            OSError: It cannot be written.
        """
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression=self._compression)
        self._writer.write_table(table)
        self.rows += table.num_rows

    def finish(self, path: str) -> None:
        """Write the end of the file, and close it; makes an empty one where the columns are known and no row came.

        Raises:
            OSError: It cannot be written.
        """
        if self._writer is None and self._wanted:
            self._schema = self._schema or self._schema_of([])
            self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression=self._compression)
        self.abandon()

    def abandon(self) -> None:
        """Close the file, as it is."""
        writer, self._writer, self.rows = self._writer, None, 0
        if writer is not None:
            writer.close()


def _type_of(name: str, kind: str) -> Any:
    if not kind:
        return None
    try:
        return pyarrow.type_for_alias(kind)
    except ValueError:
        raise ConfigError(
            f"columns: '{name}' has the type '{kind}', which Arrow has not",
            hint="such as int64, double, string, bool, date32, timestamp[us]",
            field="columns",
        ) from None


def _found_out(values: list[Any]) -> Any:
    """Return the type of a column by its values: of the first, where they do not go together."""
    for some in (values, next(([value] for value in values if value is not None), [])):
        try:
            found = pyarrow.infer_type(some)
        except _WRONG_ROW:
            continue
        return pyarrow.string() if pyarrow.types.is_null(found) else found
    return pyarrow.string()


__all__ = ["ParquetReader", "ParquetWriter"]
