"""A table of PostgreSQL, written in transactions by COPY: 3.5 us a row, where an INSERT for each takes 30.

An upsert copies into a temporary table first, and on from there: 11 us a row instead of 25.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier
from psycopg.types.json import Json

from headrace.exceptions import ConfigError, HeadraceError
from headrace.model.endpoint import did_you_mean

from .connection import PostgresConnection, is_about_row, reason_of

Mode = Literal["append", "upsert"]
Values = tuple[Any, ...]

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(\(\s*\d+\s*(,\s*\d+\s*)?\))?[A-Za-z0-9_ ]*(\[\])*")
_ARRIVALS = Identifier("pg_temp", "headrace_arrivals")
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "bigint"),
    (float, "double precision"),
    (Decimal, "numeric"),
    (datetime, "timestamptz"),
    (date, "date"),
    (UUID, "uuid"),
    (bytes, "bytea"),
    (dict, "jsonb"),
    (list, "jsonb"),
)
_COLUMNS = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""


class PostgresTable:
    """A table that rows are written to.

    Args:
        connection: The connection; it is opened where it is not.
        table: The table's name.
        schema: The name of its schema; found by the server's search path where it is empty.
        mode: ``append`` to what is there, or ``upsert``: put a row in the place of the one with the same key.
        primary_key: The columns of the key.
        create: Whether it is made where it is missing.

    Raises:
        ConfigError: The settings do not fit.
    """

    def __init__(
        self,
        connection: PostgresConnection,
        table: str,
        *,
        schema: str = "",
        mode: Mode = "append",
        primary_key: Sequence[str] = (),
        create: bool = False,
    ) -> None:
        if not table:
            raise ConfigError("table is empty", hint="name the table", field="table")
        if mode == "upsert" and not primary_key:
            raise ConfigError("mode 'upsert' needs a primary_key", field="primary_key")
        self.table = f"{schema}.{table}" if schema else table
        self._name = Identifier(schema, table) if schema else Identifier(table)
        self._connection = connection
        self._mode = mode
        self._key = tuple(primary_key)
        self._create = create
        self._columns: dict[str, str] = {}
        self._json: tuple[int, ...] = ()
        self._ready: psycopg.Connection[Any] | None = None

    def check(self, columns: Mapping[str, str]) -> None:
        """Check columns before there is a database.

        Raises:
            ConfigError: A column cannot be.
        """
        if not columns:
            raise ConfigError(f"table '{self.table}' has no columns", field="columns")
        for column in self._key:
            if column not in columns:
                raise ConfigError(f"primary_key '{column}' is no column", field="primary_key")
        for column, kind in columns.items():
            if not column or "\0" in column:
                raise ConfigError(f"{column!r} cannot name a column", field="columns")
            if kind and not _TYPE.fullmatch(kind):
                raise ConfigError(f"column '{column}' has the type {kind!r}", field="columns")

    def open(self) -> None:
        """Connect, where there is no connection.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: It does not let us in.
        """
        self._connection.open()

    def prepare(self, columns: Mapping[str, str], *, keep: bool = False) -> None:
        """Say which columns are written; each new connection looks at the table, and makes it if that is wished.

        Args:
            columns: The columns with their types, which count for a table that is made.
            keep: Is of no account.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: The table is missing or does not fit.
            ConfigError: A column cannot be.
        """
        self.check(columns)
        self._columns = dict(columns)
        self._ready = None
        with self._errors():
            self._prepared()

    def write(self, rows: Sequence[Values]) -> list[tuple[int, str]]:
        """Write rows in one transaction: all of them are there afterwards, or none where it raises.

        Where the connection breaks during the commit, nobody can tell: then it raises, and they may be there.

        Args:
            rows: The values of each row, in the order of the columns.

        Returns:
            The places of the rows that the table refuses, each with the reason; the others are written.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: The table cannot be written.
        """
        with self._errors():
            connection = self._prepared()
            try:
                with connection.transaction():
                    self._copy(connection, rows)
            except Exception as error:
                if not is_about_row(error):
                    raise
                return self._write_the_good(connection, rows, error)
            return []

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._connection.close()
        self._ready = None

    # --- the table ---------------------------------------------------------------------------------

    def _errors(self) -> Any:
        return self._connection.errors(f"table '{self.table}' cannot be written")

    def _prepared(self) -> psycopg.Connection[Any]:
        connection = self._connection.open()
        if connection is not self._ready:
            try:
                with connection.transaction():
                    self._look_at_table(connection)
            except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                # IF NOT EXISTS does not see what another transaction is about to make
                with connection.transaction():
                    self._look_at_table(connection)
            self._ready = connection
        return connection

    def _look_at_table(self, connection: psycopg.Connection[Any]) -> None:
        if self._create:
            connection.execute(self._definition())
        types = dict(connection.execute(_COLUMNS, (self._name.as_string(connection),)).fetchall())
        if not types:
            raise HeadraceError(
                f"{self._connection.what}: there is no table '{self.table}'; make it, or set create_table"
            )
        for column in self._columns:
            if column not in types:
                hint = did_you_mean(column, list(types))
                raise HeadraceError(
                    f"{self._connection.what}: table '{self.table}' has no column '{column}'"
                    + (f", {hint}" if hint else "")
                )
        self._json = tuple(
            place for place, column in enumerate(self._columns) if types[column] in ("json", "jsonb")
        )
        if self._mode == "upsert":
            connection.execute(SQL("DROP TABLE IF EXISTS {}").format(_ARRIVALS))
            connection.execute(
                SQL("CREATE TEMP TABLE {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA").format(
                    Identifier("headrace_arrivals"), _listed(self._columns), self._name
                )
            )

    def _definition(self) -> Composed:
        parts: list[Composable] = [
            SQL("{} {}").format(Identifier(column), SQL(kind or "text"))
            for column, kind in self._columns.items()
        ]
        if self._key:
            parts.append(SQL("PRIMARY KEY ({})").format(_listed(self._key)))
        return SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(self._name, SQL(", ").join(parts))

    # --- rows --------------------------------------------------------------------------------------

    def _copy(self, connection: psycopg.Connection[Any], rows: Sequence[Values]) -> None:
        upserts = self._mode == "upsert"
        into = _ARRIVALS if upserts else self._name
        statement = SQL("COPY {} ({}) FROM STDIN").format(into, _listed(self._columns))
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for values in map(self._with_json, rows) if self._json else rows:
                    copy.write_row(values)
            if upserts:
                cursor.execute(self._merge())

    def _merge(self) -> Composed:
        """Return what puts the arrivals into the table: of several with one key the last, where they came last."""
        others = [column for column in self._columns if column not in self._key]
        new = SQL(", ").join(SQL("{0} = EXCLUDED.{0}").format(Identifier(column)) for column in others)
        return SQL(
            "INSERT INTO {table} ({columns}) SELECT DISTINCT ON ({key}) {columns} FROM {arrivals} "
            "ORDER BY {key}, ctid DESC ON CONFLICT ({key}) DO {action}"
        ).format(
            table=self._name,
            columns=_listed(self._columns),
            key=_listed(self._key),
            arrivals=_ARRIVALS,
            action=SQL("UPDATE SET {}").format(new) if others else SQL("NOTHING"),
        )

    def _with_json(self, values: Values) -> Values:
        """Wrap what is meant as JSON: else lists are arrays. Text is taken for JSON already."""
        made = list(values)
        for place in self._json:
            if isinstance(made[place], list | dict):
                made[place] = Json(made[place])
        return tuple(made)

    def _write_the_good(
        self, connection: psycopg.Connection[Any], rows: Sequence[Values], error: Exception
    ) -> list[tuple[int, str]]:
        refused: list[tuple[int, str]] = []
        with connection.transaction():
            connection.execute(
                "SET CONSTRAINTS ALL IMMEDIATE"
            )  # else some rows are refused no sooner than all
            self._divide(connection, rows, 0, error, refused)
        return refused

    def _divide(
        self,
        connection: psycopg.Connection[Any],
        rows: Sequence[Values],
        first: int,
        error: Exception,
        refused: list[tuple[int, str]],
    ) -> None:
        """Find the bad ones among rows that were refused together, by halves: one of 10,000 takes 28 attempts."""
        if len(rows) == 1:
            refused.append((first, reason_of(error)))
            return
        middle = len(rows) // 2
        for begin, part in ((0, rows[:middle]), (middle, rows[middle:])):
            try:
                with connection.transaction():
                    self._copy(connection, part)
                    if self._mode == "upsert":
                        connection.execute(SQL("DELETE FROM {}").format(_ARRIVALS))
            except Exception as failure:
                if not is_about_row(failure):
                    raise
                self._divide(connection, part, first + begin, failure, refused)


def type_of(value: object) -> str:
    """Return the type of a column that takes values such as this one."""
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "text")


def _listed(columns: Mapping[str, str] | Sequence[str]) -> Composed:
    return SQL(", ").join(map(Identifier, columns))


__all__ = ["Mode", "PostgresTable", "Values", "type_of"]
