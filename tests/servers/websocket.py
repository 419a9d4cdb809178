"""A small real WebSocket server, by ``websockets``: it writes what it is sent to a file, and sends what it is told.

Run as a program it is the server; what it keeps in its folder outlives a kill.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    from .processes import ServerProcess

    class WebSocketServer(ServerProcess):
        """The server, in a process of its own.

        Args:
            folder: Where is kept what it gets and what it is to send.
        """

        @property
        def url(self) -> str:
            """Where it listens."""
            return f"ws://127.0.0.1:{self.port}/feed"

        def command(self) -> list[str]:
            """Return the command that starts it."""
            return [sys.executable, "-I", __file__, str(self.port), str(self.folder)]

        def tell(self, *messages: str, then: str = "wait", status: int = 101) -> None:
            """Send these to whoever connects from now on; then ``wait`` for more, or ``close``."""
            (self.folder / "told").write_text(
                json.dumps({"messages": messages, "then": then, "status": status})
            )

        def got(self) -> list[Any]:
            """Return what it was sent so far, and each connection as ``{"headers": ...}``."""
            path = self.folder / "got"
            return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _main(port: int, folder: Path) -> None:
    from websockets.sync.server import ServerConnection, serve

    def told() -> dict[str, Any]:
        path = folder / "told"
        return (
            json.loads(path.read_text()) if path.exists() else {"messages": [], "then": "wait", "status": 101}
        )

    def keep(what: Any) -> None:
        with (folder / "got").open("a") as file:
            file.write(json.dumps(what) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def check(connection: ServerConnection, request: Any) -> Any:
        status = told()["status"]
        return None if status == 101 else connection.respond(status, "no\n")

    def talk(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        keep(
            {
                "headers": {name.lower(): value for name, value in request.headers.raw_items()},
                "path": request.path,
            }
        )
        now = told()
        for message in now["messages"]:
            connection.send(message)
        if now["then"] == "close":
            connection.close(1000, "that was all")
        for message in connection:
            keep(message if isinstance(message, str) else {"bytes": list(message)})

    with serve(talk, "127.0.0.1", port, process_request=check, compression=None) as server:
        server.serve_forever()


if __name__ == "__main__":
    _main(int(sys.argv[1]), Path(sys.argv[2]))
