"""A server's process: started on a port, killed without a word, started again over the same store."""

from __future__ import annotations

import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from . import free_port

_LONGEST = 30.0  # seconds; a start takes 0.05 on a quiet machine


class ServerProcess(ABC):
    """A server on a free port of loopback; ``with Server(folder) as server``.

    Args:
        folder: Where it keeps its store and its log, from one start to the next.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that starts it on ``self.port``."""

    def start(self) -> None:
        """Start it, and return once it takes connections."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        end = time.monotonic() + _LONGEST
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"the server did not start:\n{(self.folder / 'server.log').read_text()}")
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether something takes connections on its port."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def wait_until_logged(self, words: str) -> None:
        """Return once its log holds ``words``, from whichever start; a server tells of its clients nowhere else."""
        end = time.monotonic() + _LONGEST
        while words not in (said := (self.folder / "server.log").read_text()):
            if time.monotonic() > end:
                raise TimeoutError(f"the server never said {words!r}:\n{said}")
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it as ``kill -9`` does, and return once it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
