"""Clients of a system's web server, as a command: so many that watch its events, and a scraper once a second.

``python web_clients.py PORT CLIENTS`` ends when the server does, and prints how much it was sent.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import selectors
import socket
import sys
import time
from typing import cast

WAIT = 30.0  # seconds for the server to listen


def connect(port: int, wait: float = 0.0) -> socket.socket:
    """Connect, as soon as the server listens; it is waited for so many seconds."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def scrape(port: int) -> int:
    """Read the metrics; returns their size in bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    connection.request("GET", "/metrics")
    size = len(connection.getresponse().read())
    connection.close()
    return size


def _received(one: socket.socket) -> bytes:
    """Return what has come; nothing where the server has gone, in whichever way."""
    try:
        return one.recv(1 << 16)
    except OSError:
        return b""


def watch(port: int, clients: int) -> dict[str, int]:
    """Watch until the server has closed all connections; returns what was sent."""
    selector, seen = selectors.DefaultSelector(), {"clients": 0, "events": 0, "bytes": 0, "scrapes": 0}
    first = connect(port, WAIT)
    with contextlib.suppress(OSError):  # the server has ended before all of them came
        for number in range(clients):
            one = connect(port) if number else first
            one.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            selector.register(one, selectors.EVENT_READ)
    due = time.monotonic()
    while selector.get_map():
        for key, _ in selector.select(max(0.0, due - time.monotonic())):
            one = cast("socket.socket", key.fileobj)
            data = _received(one)
            seen["bytes"] += len(data)
            seen["events"] += data.count(b"event: ")
            seen["clients"] += data.count(b"event: snapshot")
            if not data:
                selector.unregister(one)
                one.close()
        if time.monotonic() >= due:
            due += 1.0
            try:
                seen["scrapes"] += bool(scrape(port))
            except (OSError, http.client.HTTPException):
                due += 3600.0  # it goes, or has gone: nobody is left to ask
            if not selector.get_map():
                break
    return seen


if __name__ == "__main__":
    print(json.dumps(watch(int(sys.argv[1]), int(sys.argv[2]))))
