"""A query to PostgreSQL: its rows from a cursor of the server, or page by page along a growing column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composed, Identifier

from headrace.exceptions import HeadraceError

from .connection import PostgresConnection

Row = dict[str, Any]

_AFTER = "headrace_after"
_ALL = 2**31


class PostgresQuery:
    """A query whose rows are read.

    Args:
        connection: The connection; it is opened where it is not.
        query: The query; ``%(name)s`` stands for a parameter, where there are any.
        parameters: The parameters by name.
        growing_column: The column to read along.
    """

    def __init__(
        self,
        connection: PostgresConnection,
        query: str,
        parameters: Mapping[str, Any],
        growing_column: str = "",
    ) -> None:
        self._connection = connection
        text = query.strip().rstrip(";")
        self._query = text if parameters else text.replace("%", "%%")
        self._parameters = dict(parameters)
        self._column = growing_column
        self._cursor: psycopg.ServerCursor[Row] | None = None

    def open(self) -> None:
        """Connect, where there is no connection.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: It does not let us in.
        """
        self._connection.open()

    def fetch(self, size: int) -> list[Row]:
        """Return the next rows; none at the end, after which the query begins anew.

        Raises:
            UnavailableError: The server is away; after ``close`` the query begins anew.
            HeadraceError: The query is wrong, or a value cannot be read.
        """
        with self._connection.errors("the query fails"):
            cursor = self._cursor or self._begin()
            rows = cursor.fetchmany(size)
            if not rows:
                self._cursor = None
                cursor.close()
                cursor.connection.execute("COMMIT")
            return rows

    def _begin(self) -> psycopg.ServerCursor[Row]:
        connection = self._connection.open()
        connection.execute("BEGIN")
        cursor = self._cursor = connection.cursor("headrace", row_factory=dict_row)
        cursor.execute(self._query.encode(), self._parameters)
        self._check_names(cursor)
        return cursor

    def rows_after(self, value: Any, size: int) -> list[Row]:
        """Return the first rows whose growing column is above a value, in its order; all of them for None.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: The query is wrong, or a value cannot be read.
        """
        return self._select("IS NOT NULL" if value is None else f"> %({_AFTER})s", value, size)

    def rows_at(self, value: Any) -> list[Row]:
        """Return all rows whose growing column has a value; it raises what ``rows_after`` does."""
        return self._select(f"= %({_AFTER})s", value, _ALL)

    def _select(self, condition: str, value: Any, size: int) -> list[Row]:
        statement = SQL(
            "SELECT * FROM ({query}\n) AS headrace_rows WHERE {column} {condition} ORDER BY {column} LIMIT {size}"
        ).format(
            query=_sql(self._query),
            column=Identifier("headrace_rows", self._column),
            condition=_sql(condition),
            size=size,
        )
        parameters = self._parameters if value is None else {**self._parameters, _AFTER: value}
        with self._connection.errors("the query fails"):
            cursor = self._connection.open().cursor(row_factory=dict_row)
            cursor.execute(statement, parameters)
            self._check_names(cursor)
            return cursor.fetchall()

    def _check_names(self, cursor: psycopg.Cursor[Row]) -> None:
        names = [column.name for column in cursor.description or ()]
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            raise HeadraceError(
                f"{self._connection.what}: the query has two columns '{twice}'; give one another name with AS"
            )

    def interrupt(self, since: float = 0.0) -> None:
        """Have what runs in the other thread end.

        Args:
            since: Seconds since the first time.
        """
        self._connection.interrupt(since)

    def close(self) -> None:
        """Close the connection, and begin anew; may be called twice."""
        cursor, self._cursor = self._cursor, None
        self._connection.close()
        if cursor is not None:
            cursor.close()


def _sql(text: str) -> Composed:
    return Composed([SQL(text)])  # the query is the user's own


__all__ = ["PostgresQuery"]
