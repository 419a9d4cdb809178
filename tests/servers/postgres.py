"""A real PostgreSQL, which survives a kill as it does in production, but for the machine's own crash: no fsync."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import program
from .processes import ServerProcess

USER = "keeper"
PASSWORD = "pa:ss/w@rd 'of' keeper"  # every character that a URL or a connection string has to quote

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "30",
    "autovacuum": "off",
}
_GONE = 20.0  # seconds until its processes have ended; each does as soon as it notices


class Postgres(ServerProcess):
    """A PostgreSQL server that asks for a password, with one database; its folder is its own, and goes with it."""

    password = PASSWORD

    def __init__(self) -> None:
        # not under pytest's folder, which only this user may enter: root's server runs as somebody else
        super().__init__(Path(tempfile.mkdtemp(prefix="headrace-postgres-")))

    def __enter__(self) -> Self:
        try:
            self._initialise()
            return super().__enter__()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        if os.geteuid() == 0:
            for path in (self.folder, secret):
                shutil.chown(path, *_USER_AND_GROUP)
        options = ["-A", "scram-sha-256", "-U", USER, f"--pwfile={secret}", "-E", "UTF8", "--locale=C"]
        made = subprocess.run(
            [*_as_somebody(), program("initdb"), "-D", str(self._data), "--no-sync", *options],
            capture_output=True,
            text=True,
            cwd=self.folder,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Where its database is, without the password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        """Return the command that starts it."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return [
            *_as_somebody(),
            program("postgres"),
            *("-D", str(self._data), "-p", str(self.port)),
            *settings,
        ]

    def answers(self) -> bool:
        """Whether it takes connections: it refuses them while it recovers from a kill."""
        import psycopg

        try:
            psycopg.connect(self.url, password=PASSWORD, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """Connect; every statement is a transaction of its own."""
        import psycopg

        with psycopg.connect(self.url, password=PASSWORD, autocommit=True) as connection:
            yield connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none where it is a statement without."""
        with self.connected() as connection:
            cursor = connection.execute(query)
            return list(cursor.fetchall()) if cursor.description else []

    def empty(self) -> None:
        """Drop every table, and whoever still holds on to one."""
        with self.connected() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def kill(self) -> None:
        """Kill it and every process of it as ``kill -9`` does, and return once they are gone."""
        children: list[int] = []
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # it starts no others, and tells its clients nothing
            children = _children(self._process.pid)
        for child in children:
            _signal(child, signal.SIGKILL)
        super().kill()
        _wait_until_gone(children)

    def stop(self) -> None:
        """Stop it at once in its own way, which leaves no shared memory behind."""
        if self._process is None:
            return
        children = _children(self._process.pid)
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(_GONE)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None
        _wait_until_gone(children)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)


_USER_AND_GROUP = ("postgres", "postgres")


def _as_somebody() -> list[str]:
    """Return what begins a command that root must not run itself, and that ends when these tests are killed."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    if os.geteuid() != 0:
        return [setpriv, "--pdeathsig=QUIT", "--"]
    user, group = _USER_AND_GROUP
    who = [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return [setpriv, *who, "--pdeathsig=QUIT", "--"]


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started; each is in a session of its own."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _is_there(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + _GONE
    while left := [pid for pid in pids if _is_there(pid)]:
        if time.monotonic() > end:
            raise RuntimeError(f"processes {left} of PostgreSQL do not end")
        time.sleep(0.01)
