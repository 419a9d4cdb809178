"""One table of an SQLite database, written in transactions. Everything here blocks: call it from one thread.

SQLite gives the interpreter up at every step of a statement, so rows go many to a statement: one step for
hundreds of rows instead of a fight for the interpreter at each.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from headrace.exceptions import ConfigError, HeadraceError

Mode = Literal["replace", "append", "upsert"]
Values = tuple[Any, ...]

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(\(\s*\d+\s*(,\s*\d+\s*)?\))?")
_BAD_ROW = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    OverflowError,
    ValueError,
)
_ROWS_A_STATEMENT = 500


class SqliteTable:
    """A table that rows are written to.

    Args:
        path: The database; its folder is made where it is missing.
        table: The table's name.
        mode: ``replace`` drops what is there, ``append`` adds to it, ``upsert`` puts a row in the place of the
            one with the same primary key.
        primary_key: The columns of the primary key; ``upsert`` needs one.
        busy_timeout: Seconds to wait while another connection writes.

    Raises:
        ConfigError: The settings do not fit.
    """

    def __init__(
        self,
        path: str,
        table: str,
        *,
        mode: Mode = "append",
        primary_key: Sequence[str] = (),
        busy_timeout: float = 30.0,
    ) -> None:
        if mode == "upsert" and not primary_key:
            raise ConfigError("mode 'upsert' needs a primary_key", field="primary_key")
        self.path = path
        self.table = table
        if not table:
            raise ConfigError("table is empty", hint="name the table", field="table")
        self._name = quoted(table)
        self._mode = mode
        self._primary_key = tuple(primary_key)
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._columns: tuple[str, ...] = ()
        self._rows_a_statement = 1

    def open(self) -> None:
        """Open the database, making it and its folder where they are missing.

        Raises:
            HeadraceError: It cannot be opened or written.
        """
        with self._named_errors():
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("ROLLBACK")

    def check(self, columns: Mapping[str, str]) -> None:
        """Check columns before there is a database.

        Raises:
            ConfigError: A column cannot be.
        """
        self._definition(columns)

    def prepare(self, columns: Mapping[str, str], *, keep: bool = False) -> None:
        """Make the table as ``mode`` says.

        Args:
            columns: The columns with their types; a type may be empty.
            keep: Whether what is in it stays there, whatever ``mode`` says.

        Raises:
            HeadraceError: The database refuses.
            ConfigError: A column cannot be.
        """
        statements = self._definition(columns, keep=keep)
        self._columns = tuple(columns)
        with self._named_errors(), self._transaction() as connection:
            for statement in statements:
                connection.execute(statement)
            limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self._rows_a_statement = max(1, min(_ROWS_A_STATEMENT, limit // len(self._columns)))

    def write(self, rows: Sequence[Values]) -> list[tuple[int, str]]:
        """Write rows in one transaction: all of them are there afterwards, or none where it raises.

        Args:
            rows: The values of each row, in the order of the columns.

        Returns:
            The places of the rows that the table refuses, each with the reason; the others are written.

        Raises:
            HeadraceError: The database cannot be written.
        """
        with self._named_errors():
            try:
                with self._transaction() as connection:
                    self._insert(connection, rows)
            except _BAD_ROW:
                return self._write_singly(rows)
            return []

    def close(self) -> None:
        """Close the database; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- how ---------------------------------------------------------------------------------------

    def _definition(self, columns: Mapping[str, str], *, keep: bool = False) -> list[str]:
        if not columns:
            raise ConfigError(f"table '{self.table}' has no columns", field="columns")
        key = self._primary_key
        for column in key:
            if column not in columns:
                raise ConfigError(f"primary_key '{column}' is no column", field="primary_key")
        parts = []
        for column, kind in columns.items():
            if kind and not _TYPE.fullmatch(kind):
                raise ConfigError(f"column '{column}' has the type {kind!r}", field="columns")
            alone = " PRIMARY KEY" if key == (column,) and "PRIMARY KEY" not in kind.upper() else ""
            parts.append(f"{quoted(column)} {kind}".rstrip() + alone)
        if len(key) > 1:
            parts.append(f"PRIMARY KEY ({_list_of(key)})")
        body = f"{self._name} ({', '.join(parts)})"
        if self._mode == "replace" and not keep:
            return [f"DROP TABLE IF EXISTS {self._name}", f"CREATE TABLE {body}"]
        return [f"CREATE TABLE IF NOT EXISTS {body}"]

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> None:
        size = self._rows_a_statement
        for begin in range(0, len(rows), size):
            chunk = rows[begin : begin + size]
            connection.execute(self._statement(len(chunk)), tuple(chain.from_iterable(chunk)))

    def _statement(self, number: int) -> str:
        places = f"({', '.join('?' * len(self._columns))})"
        statement = (
            f"INSERT INTO {self._name} ({_list_of(self._columns)}) VALUES {', '.join([places] * number)}"
        )
        if self._mode != "upsert":
            return statement
        others = [column for column in self._columns if column not in self._primary_key]
        new = ", ".join(f"{quoted(column)} = excluded.{quoted(column)}" for column in others)
        action = f"UPDATE SET {new}" if others else "NOTHING"
        return f"{statement} ON CONFLICT ({_list_of(self._primary_key)}) DO {action}"

    def _write_singly(self, rows: Sequence[Values]) -> list[tuple[int, str]]:
        """Write what can be written, to find out what cannot: some row in a batch was refused."""
        refused: list[tuple[int, str]] = []
        with self._transaction() as connection:
            for place, values in enumerate(rows):
                try:
                    connection.execute(self._statement(1), values)
                except _BAD_ROW as error:
                    refused.append((place, str(error)))
        return refused

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection is None:
            raise HeadraceError(f"{self.path}: is not open; call open() first")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have ended it
                connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise HeadraceError(
                f"{self.path}: table '{self.table}' cannot be written: {error}; "
                "what was not committed is not in it"
            ) from error


def quoted(name: str) -> str:
    """Return a name as an SQL identifier.

    Raises:
        ConfigError: It is empty or has a NUL character.
    """
    if not name or "\0" in name:
        raise ConfigError(f"{name!r} cannot name a table or a column")
    return '"' + name.replace('"', '""') + '"'


def _list_of(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))


__all__ = ["Mode", "SqliteTable", "Values", "quoted"]
