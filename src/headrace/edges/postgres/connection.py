"""A connection to PostgreSQL that is opened again after it broke; its errors: which pass, which are about a row."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from threading import Thread
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_dumps

from headrace.exceptions import ConfigError, HeadraceError, UnavailableError
from headrace.model.secret import Redactor

_AWAY = ("08", "40", "53", "57", "58")
"""Classes of SQLSTATE that pass: connection lost, rolled back, out of resources, shut down or cancelled, disk."""
_AWAY_TOO = frozenset({"25006", "55P03"})  # read-only as a standby is, locked
_REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")
"""What a server says to who it will not let in the next time either; connecting has no SQLSTATE."""
_ROW = ("21", "22", "23", "44", "54")
"""Classes of SQLSTATE that are about the data: of a row, its constraints, a view's check, its size."""
_ROW_TOO = frozenset({"42804", "P0001"})  # a value of another type, what a trigger raises
_CANCEL = 1.0  # seconds for the server to take a request to cancel
_SEVER = 2.0  # seconds that a query may go on after it was asked to end


class PostgresConnection:
    """A connection that opens itself where it is not open. It is used in one thread, interrupted in another.

    Args:
        url: ``postgresql://user@host:port/database``, or ``host=... dbname=...`` as libpq takes it.
        password: The password, where it is not in the URL; else libpq looks at ``PGPASSWORD`` and ``~/.pgpass``.
        connect_timeout: Seconds to connect in.

    Raises:
        ConfigError: The URL cannot be read.

    Attributes:
        what: What it leads to, for people, without the password.
    """

    def __init__(self, url: str, password: str = "", *, connect_timeout: float = 5.0) -> None:
        self._parts = _parts_of(url)
        if password:
            self._parts["password"] = str(password)
        self._redactor = Redactor()
        self._redactor.add(str(self._parts.get("password") or ""))
        self._timeout = connect_timeout
        self._connection: psycopg.Connection[Any] | None = None
        self._attempt: Future[psycopg.Connection[Any]] | None = None
        self.what = _name_of(self._parts)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.closed

    def open(self) -> psycopg.Connection[Any]:
        """Return the connection; a new one where there is none, or the last one broke.

        Raises:
            UnavailableError: The server is away.
            HeadraceError: It does not let us in.
        """
        if self._connection is None or self._connection.closed:
            self.close()
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> psycopg.Connection[Any]:
        """Connect in a thread that is left to itself when nobody waits any more: libpq cannot be interrupted."""
        attempt = self._attempt = Future[psycopg.Connection[Any]]()
        Thread(target=self._make, args=(attempt,), name="headrace connects", daemon=True).start()
        try:
            with self.errors("cannot connect"):
                made = attempt.result(self._timeout)
        except TimeoutError:
            attempt.cancel()
            raise UnavailableError(f"{self.what}: no answer within {self._timeout:g} s") from None
        except CancelledError:
            raise UnavailableError(f"{self.what}: cannot connect: was told to give up") from None
        finally:
            self._attempt = None
        set_json_dumps(msgspec.json.encode, made)
        return made

    def _make(self, attempt: Future[psycopg.Connection[Any]]) -> None:
        settings = {"application_name": "headrace", "connect_timeout": max(2, math.ceil(self._timeout))}
        try:
            # Statements are not prepared by themselves: behind a pooler the next one may meet another server.
            made = psycopg.connect(**{**settings, **self._parts}, autocommit=True, prepare_threshold=None)
        except BaseException as error:
            with contextlib.suppress(InvalidStateError):
                attempt.set_exception(error)
            return
        try:
            attempt.set_result(made)
        except InvalidStateError:
            made.close()

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Raise what psycopg raises as errors of ours.

        Args:
            doing: What does not work then.

        Raises:
            UnavailableError: It will work once the server is back, or does better.
            HeadraceError: It will never work as it is.
        """
        try:
            yield
        except psycopg.Error as error:
            text = self._redactor.hide(f"{self.what}: {doing}: {reason_of(error)}")
            if _may_pass(error) or (self._connection is not None and self._connection.closed):
                raise UnavailableError(text) from None
            raise HeadraceError(text) from None

    def interrupt(self, since: float = 0.0) -> None:
        """Have what runs on the connection end: by asking the server, or after 2 s by hanging up.

        Args:
            since: Seconds since the first time.
        """
        attempt, connection = self._attempt, self._connection
        if attempt is not None:
            attempt.cancel()
        if connection is None or connection.closed:
            return
        if since >= _SEVER:
            _hang_up(connection)
            return
        with contextlib.suppress(psycopg.Error):  # who cannot be asked is hung up on
            connection.cancel_safe(timeout=_CANCEL)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_about_row(error: BaseException) -> bool:
    """Return whether an error is about the data that was to be written, and other rows may be fine."""
    if not isinstance(error, psycopg.Error):
        return isinstance(error, ValueError | TypeError | OverflowError | msgspec.MsgspecError)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return (error.sqlstate or "")[:2] in _ROW
    state = error.sqlstate
    return state is None or state[:2] in _ROW or state in _ROW_TOO


def reason_of(error: BaseException) -> str:
    """Return what an error says, in a line: the server's message and its detail."""
    diag = getattr(error, "diag", None)
    parts = [diag.message_primary, diag.message_detail, diag.message_hint] if diag is not None else []
    told = "; ".join(part for part in parts if part)
    return told or " ".join(str(error).split()) or type(error).__name__


def _may_pass(error: psycopg.Error) -> bool:
    state = error.sqlstate
    if state is not None:
        return state[:2] in _AWAY or state in _AWAY_TOO
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return not any(refused in str(error) for refused in _REFUSED)


def _hang_up(connection: psycopg.Connection[Any]) -> None:
    # a duplicate, because the other thread may close it and another file get its number
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)


def _parts_of(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:  # whose text quotes what may be the password
        raise ConfigError(
            "url cannot be read", hint="postgresql://user@host:port/database", field="url"
        ) from None


def _name_of(parts: Mapping[str, Any]) -> str:
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    database = parts.get("dbname")
    return f"postgresql at {host}:{parts.get('port') or 5432}" + (f"/{database}" if database else "")


__all__ = ["PostgresConnection", "is_about_row", "reason_of"]
