"""A query to an SQLite database: its rows from a cursor, or page by page along a growing column. It blocks."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.exceptions import HeadraceError, UnavailableError

Row = dict[str, Any]

_AFTER = "headrace_after"
_PASSING = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR}
)
_PRIMARY = 0xFF  # the part of an error's code that tells its kind


class SqliteQuery:
    """A query whose rows are read, in a database that is not written.

    Args:
        path: The database.
        query: The query; ``:name`` stands for a parameter.
        parameters: The parameters by name.
        growing_column: The column to read along.
        busy_timeout: Seconds to wait while another connection keeps readers out.
    """

    def __init__(
        self,
        path: str,
        query: str,
        parameters: Mapping[str, Any],
        growing_column: str = "",
        *,
        busy_timeout: float = 30.0,
    ) -> None:
        self.what = f"the database {path}"
        self._path = path
        self._query = query.strip().rstrip(";")
        self._parameters = dict(parameters)
        self._column = '"' + growing_column.replace('"', '""') + '"'
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None

    def open(self) -> None:
        """Open the database, where it is not open.

        Raises:
            HeadraceError: There is none.
        """
        self._open()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if not Path(self._path).is_file():
                raise HeadraceError(f"there is no database {self._path}")
            with self._errors("cannot be opened"):
                self._connection = sqlite3.connect(
                    f"{Path(self._path).absolute().as_uri()}?mode=ro",
                    uri=True,
                    timeout=self._busy_timeout,
                    isolation_level=None,
                    check_same_thread=False,  # which only interrupts
                )
                self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        return self._connection

    def fetch(self, size: int) -> list[Row]:
        """Return the next rows; none at the end, after which the query begins anew.

        Raises:
            UnavailableError: The database is locked; after ``close`` the query begins anew.
            HeadraceError: The query is wrong, or a value cannot be read.
        """
        with self._errors("the query fails"):
            if self._cursor is None:
                self._cursor = self._open().execute(self._query, self._parameters)
            rows = self._rows(self._cursor, size)
        if not rows:
            self._cursor = None
        return rows

    def rows_after(self, value: Any, size: int) -> list[Row]:
        """Return the first rows whose growing column is above a value, in its order; all of them for None.

        Raises:
            UnavailableError: The database is locked.
            HeadraceError: The query is wrong, or a value cannot be read.
        """
        return self._select("IS NOT NULL" if value is None else f"> :{_AFTER}", value, size)

    def rows_at(self, value: Any) -> list[Row]:
        """Return all rows whose growing column has a value; it raises what ``rows_after`` does."""
        return self._select(f"= :{_AFTER}", value, -1)

    def _select(self, condition: str, value: Any, size: int) -> list[Row]:
        # a name that is no column would be a text in double quotes to SQLite, but not behind the name of a table
        column = f"headrace_rows.{self._column}"
        statement = (
            f"SELECT * FROM ({self._query}\n) AS headrace_rows "
            f"WHERE {column} {condition} ORDER BY {column} LIMIT {size}"
        )
        parameters = {**self._parameters, _AFTER: value}
        with self._errors("the query fails"):
            return self._rows(self._open().execute(statement, parameters), -1)

    def _rows(self, cursor: sqlite3.Cursor, size: int) -> list[Row]:
        names = [column[0] for column in cursor.description or ()]
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            raise HeadraceError(
                f"{self.what}: the query has two columns '{twice}'; give one another name with AS"
            )
        found = cursor.fetchall() if size < 0 else cursor.fetchmany(size)
        return [dict(zip(names, values, strict=True)) for values in found]

    def interrupt(self, since: float = 0.0) -> None:
        """Have what runs in the other thread end.

        Args:
            since: Is of no account.
        """
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Close the database, and begin anew; may be called twice."""
        self._cursor = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            text = f"{self.what}: {doing}: {error}"
            if getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _PASSING:
                raise UnavailableError(text) from error
            raise HeadraceError(text) from error


__all__ = ["SqliteQuery"]
