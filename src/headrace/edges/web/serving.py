"""Serves a system around its run: on an address, and on a socket for tools of the same user."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio import create_task_group

from headrace.exceptions import ConfigError, HarnessError, MissingExtraError
from headrace.runtime.log import get_logger
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .address import Address, parse_address
from .connections import STALLED_AFTER, Connections
from .feed import Feed
from .local_socket import open_socket
from .recording import Recorder

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .access import Access

TOKEN_VARIABLE = "HEADRACE_WEB_TOKEN"
"""The environment variable for a token of the user's own; set and empty, nobody may control."""
SHORTEST = 16
"""How many characters a token has at least."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where a system is served.

    Attributes:
        url: The URL of the page; empty where it is on no address.
        token: What control needs; empty where nobody may control, or where there is no address.
        is_own_token: Whether the token was set by the user, who need not be told it.
        path: The local socket; None where there is none.
        warning: What the user should know of the address; empty where nothing.
    """

    url: str = ""
    token: str = ""
    is_own_token: bool = False
    path: Path | None = None
    warning: str = ""

    @property
    def link(self) -> str:
        """The URL to open: with the token, unless the user has set that."""
        return self.url if self.is_own_token or not self.token else f"{self.url}?token={self.token}"


@asynccontextmanager
async def serving(
    harness: SystemExecutionHarness,
    address: str | None = None,
    *,
    token: str | None = None,
    hosts: Iterable[str] = (),
    local: bool = True,
    hide: Callable[[str], str] | None = None,
    tick: float = 0.5,
    stalled_after: float = STALLED_AFTER,
) -> AsyncIterator[Served]:
    """Serve a system in this block, which is to be around its run.

    Args:
        harness: The system.
        address: ``HOST:PORT``; a port of 0 for a free one; None for no address.
        token: What control needs: ``$HEADRACE_WEB_TOKEN``, or else a new one, where None; nobody where empty.
        hosts: More names that the server answers to.
        local: Whether there is a local socket too.
        hide: Takes secrets out of texts; what the system's journal does where None.
        tick: Seconds between two events of a stream.
        stalled_after: Seconds that a client may leave an event unread.

    Raises:
        ConfigError: The address, or the token, is none.
        MissingExtraError: There is an address, and the libraries of the extra ``web`` are missing.
        HarnessError: It is in use, or cannot be listened on.
    """
    where = None if address is None else parse_address(address)
    is_there = is_installed()
    if where is not None and not is_there:
        raise MissingExtraError("the page", "web")
    given = os.environ.get(TOKEN_VARIABLE) if token is None else token
    wanted = secrets.token_urlsafe(24) if given is None else given
    check_token(wanted)
    with _Sockets() as sockets:
        sites = Sites(harness, hide, tick, stalled_after)
        servers: list[tuple[socket.socket, Callable[[], ASGIApp]]] = []
        served = Served()
        if where is not None:
            one = sockets.listen(where)
            servers.append((one, partial(sites.public, wanted, (where.host, *hosts), not where.is_loopback)))
            url = f"http://{where.shown(one.getsockname()[1])}/"
            warning = "" if where.is_loopback else f"everybody who reaches {url} can read what is shown there"
            served = Served(url, wanted, given is not None, None, warning)
        if local and is_there:
            try:
                one, path = open_socket(harness.name)
            except HarnessError as error:  # the system can do without
                get_logger(system=harness.name).warning("no local socket", error=str(error))
            else:
                sockets.add(one, path)
                servers.append((one, sites.local))
                served = replace(served, path=path)
        async with _around(Connections(stalled_after), servers, sites):
            yield served


def is_installed() -> bool:
    """Return whether the libraries of the extra ``web`` are there."""
    return all(find_spec(name) is not None for name in ("anycorn", "prometheus_client", "starlette"))


@asynccontextmanager
async def _around(
    connections: Connections, servers: list[tuple[socket.socket, Callable[[], ASGIApp]]], sites: Sites
) -> AsyncIterator[None]:
    closing = anyio.Event()
    async with create_task_group() as group:
        group.start_soon(connections.serve, servers, closing, name="web server")
        try:
            yield
        finally:
            sites.close()
            closing.set()


class Sites:
    """Makes the applications of a system when they are first asked; all of them share what is known of it.

    Args:
        harness: The system.
        hide: Takes secrets out of texts.
        tick: Seconds between two events of a stream.
        stalled_after: Seconds that a client may leave an event unread.
    """

    def __init__(
        self,
        harness: SystemExecutionHarness,
        hide: Callable[[str], str] | None,
        tick: float,
        stalled_after: float,
    ) -> None:
        self._harness = harness
        self._made: list[Any] = []
        self._make_feed = partial(Feed, Recorder(harness, hide), tick)
        self._feed: Feed | None = None
        self._stalled_after = stalled_after
        self._closed = False

    def public(self, token: str, hosts: Iterable[str], any_address: bool) -> ASGIApp:
        """Return the application for an address."""
        from .access import Access

        return self._make(Access(token, hosts, any_address=any_address))

    def local(self) -> ASGIApp:
        """Return the application for a socket that only its owner can open."""
        from .access import Access

        return self._make(Access(trusted=True))

    def close(self) -> None:
        """End all streams: the server is about to end."""
        self._closed = True
        for site in self._made:
            site.close()

    def _make(self, access: Access) -> ASGIApp:
        from .application import application
        from .site import Site

        self._feed = self._feed or self._make_feed()
        site = Site(self._harness, access, self._feed, stalled_after=self._stalled_after)
        self._made.append(site)
        if self._closed:
            site.close()
        return application(site)


class _Sockets:
    """Listening sockets, closed at the end of the block; and what they are in the file system, removed."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._paths: list[Path] = []

    def add(self, one: socket.socket, path: Path) -> None:
        """Look after a socket that is in the file system."""
        self._sockets.append(one)
        self._paths.append(path)

    def listen(self, where: Address) -> socket.socket:
        """Listen on an address.

        Raises:
            HarnessError: It is in use, or is none of this computer's.
        """
        family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((where.host, where.port))
            one.listen(100)
        except OSError as error:
            raise HarnessError(
                f"cannot listen on {where.shown(where.port)}: {error.strerror or error}; take another port, "
                f"or let one be found: {where.shown(0)}"
            ) from error
        one.setblocking(False)
        return one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()
        for path in self._paths:
            path.unlink(missing_ok=True)


def check_token(token: str) -> None:
    """Refuse a token that could be guessed, or not be sent.

    Raises:
        ConfigError: It is too short, or of other characters.
    """
    if token and not (
        token.isascii() and token.isprintable() and " " not in token and len(token) >= SHORTEST
    ):
        raise ConfigError(
            f"a token is of at least {SHORTEST} printable ASCII characters without blanks",
            hint=f"make one: {TOKEN_VARIABLE}=$(python3 -c 'import secrets; print(secrets.token_urlsafe())')",
            field="token",
        )


__all__ = [
    "SHORTEST",
    "STALLED_AFTER",
    "TOKEN_VARIABLE",
    "Served",
    "Sites",
    "check_token",
    "is_installed",
    "serving",
]
