"""A real nats-server with JetStream, whose store survives a kill."""

from __future__ import annotations

from pathlib import Path

from . import program
from .processes import ServerProcess


class NatsServer(ServerProcess):
    """A nats-server.

    Args:
        folder: Where its streams are kept.
        token: What clients must know, if anything.
    """

    def __init__(self, folder: Path, *, token: str = "") -> None:
        super().__init__(folder)
        self.token = token

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return the command that starts it."""
        listen = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "jetstream")]
        return [program("nats-server"), *listen, *(["--auth", self.token] if self.token else [])]
