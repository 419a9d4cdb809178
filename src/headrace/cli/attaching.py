"""Asks a running system over its local socket or a URL: which ones there are, and what they say.

The standard library's HTTP client is enough: one question at a time, and one stream of events.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click

TIMEOUT = 5.0
"""Seconds that a system may take to answer."""
TOKEN_VARIABLE = "HEADRACE_WEB_TOKEN"
_LONGEST = 64 * 1024 * 1024
_START = "start one: `headrace run` lets it be seen, where headrace[web] is installed (pip install 'headrace[web]')"


class NotAttached(click.ClickException):
    """Raised where there is no system to ask, or it does not answer; the command ends with 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system can be asked.

    Attributes:
        shown: How people call it.
        name: The system's name, as far as the place tells; empty of a URL.
        pid: Its process; 0 of a URL.
        path: Its local socket; None of a URL.
        url: Its URL; empty of a socket.
    """

    shown: str
    name: str = ""
    pid: int = 0
    path: Path | None = None
    url: str = ""


class Attached:
    """A running system that can be asked.

    Args:
        place: Where it is.
        token: What is sent along; empty for none.
    """

    def __init__(self, place: Place, token: str = "") -> None:
        self.place = place
        self._token = token

    def get(self, path: str) -> Any:
        """Return the answer to a question, read as JSON.

        Raises:
            NotAttached: It does not answer, or refuses.
        """
        connection, response = self._ask(path)
        try:
            body = response.read(_LONGEST)
            return json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._gone(error) from None
        finally:
            connection.close()

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the events of a stream, until it ends: their names and data.

        Raises:
            NotAttached: It does not answer, refuses, or is gone before the end.
        """
        connection, response = self._ask(path, "text/event-stream")
        try:
            if connection.sock is not None:
                connection.sock.settimeout(None)  # there may be nothing to say for long
            yield from _events(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._gone(error) from None
        finally:
            connection.close()

    def _ask(
        self, path: str, accept: str = "application/json"
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection()
        headers = {"Accept": accept} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._gone(error) from None
        if response.status != http.client.OK:
            refusal = self._refusal(response)
            connection.close()
            raise refusal
        return connection, response

    def _connection(self) -> http.client.HTTPConnection:
        if self.place.path is not None:
            return _OverSocket(self.place.path)
        parts = urlsplit(self.place.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=TIMEOUT)

    def _refusal(self, response: http.client.HTTPResponse) -> NotAttached:
        try:
            said = json.loads(response.read(_LONGEST))
            text, hint = str(said["error"]), str(said.get("hint", ""))
        except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):
            text, hint = f"it answers {response.status} {response.reason}; is it a headrace?", ""
        if response.status == http.client.UNAUTHORIZED:
            hint = f"give it by --token, or in {TOKEN_VARIABLE}"
        return NotAttached(f"{self.place.shown}: {text}" + (f"; {hint}" if hint else ""))

    def _gone(self, error: Exception) -> NotAttached:
        if isinstance(error, TimeoutError):
            return NotAttached(
                f"{self.place.shown} has not answered in {TIMEOUT:g} s; its event loop may be blocked"
            )
        if isinstance(error, (ConnectionError, FileNotFoundError, http.client.HTTPException)):
            return NotAttached(f"{self.place.shown} does not answer (any more): {_said(error)}")
        return NotAttached(f"{self.place.shown} cannot be asked: {_said(error)}")


class _OverSocket(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name, data = "", ""
    while line := response.readline(_LONGEST).decode("utf-8", "replace"):
        key, _, value = line.rstrip("\r\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            data += value
        elif not key and (name or data):
            yield name, json.loads(data or "null")
            name, data = "", ""


def running() -> list[Place]:
    """Return the systems of this user that run and can be asked, by name."""
    from headrace.edges.web.local_socket import found

    return [Place(f"{name} (process {pid})", name, pid, path) for name, pid, path in found()]


def attach(system: str | None, token: str | None = None) -> Attached:
    """Return the running system that is meant.

    Args:
        system: Its name, its name and process (``pumps-4711``), its process, the path of its socket or a URL;
            None for the only one that runs.
        token: What is sent along; ``$HEADRACE_WEB_TOKEN`` where None.

    Raises:
        NotAttached: There is none, or there are several.
    """
    given = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
    if system is not None and re.match(r"https?://", system):
        return Attached(Place(shown=_without_secrets(system), url=system), given or _token_in(system))
    if system is not None and os.sep in system:
        return Attached(Place(system, path=Path(system)))
    places = running()
    if system is None:
        wanted = places
    else:
        wanted = [p for p in places if system in (p.name, f"{p.name}-{p.pid}", str(p.pid))]
    if len(wanted) == 1:
        return Attached(wanted[0])
    raise NotAttached(_which(system, places, wanted))


def _which(system: str | None, places: list[Place], wanted: list[Place]) -> str:
    names = ", ".join(f"{place.name}-{place.pid}" for place in (wanted or places))
    if wanted:
        return f"{len(wanted)} systems run{'' if system is None else ' by that name'}: say which one: {names}"
    if places:
        return f"no system '{system}' runs here; these do: {names}"
    from headrace.edges.web.local_socket import folder

    what = "no system runs here" if system is None else f"no system '{system}' runs here"
    return f"{what} that could be asked (looked in {folder()}); {_START}"


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}"


def _token_in(url: str) -> str:
    """Return the token of a URL as it is printed at the start: behind ``#token=`` or ``?token=``."""
    parts = urlsplit(url)
    match = re.search(r"(?:^|&)token=([^&]+)", f"{parts.query}&{parts.fragment}")
    return match[1] if match else ""


def path_of(*parts: str) -> str:
    """Return a path of the API with its parts quoted."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


system_argument = click.argument("system", required=False)
token_option = click.option(
    "--token", metavar="TOKEN", help=f"What a URL asks for; ${TOKEN_VARIABLE} unless given."
)

__all__ = [
    "TIMEOUT",
    "Attached",
    "NotAttached",
    "Place",
    "attach",
    "path_of",
    "running",
    "system_argument",
    "token_option",
]
