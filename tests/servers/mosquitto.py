"""A real Mosquitto, whose sessions and retained messages survive a kill."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from . import program
from .processes import ServerProcess


class Mosquitto(ServerProcess):
    """A Mosquitto; every message is on disk before it is acknowledged to a client, within a second.

    Args:
        folder: Where its configuration and its store are kept.
        user: Who may connect, with ``password``; anybody where it is empty.
        password: What that user must know.
    """

    def __init__(self, folder: Path, *, user: str = "", password: str = "") -> None:
        super().__init__(folder)
        self._configuration = folder / "mosquitto.conf"
        settings = {
            "listener": f"{self.port} 127.0.0.1",
            "allow_anonymous": "false" if user else "true",
            "persistence": "true",
            "persistence_location": f"{folder}/",
            # a store is written after so many changes: with 1, after each
            "autosave_on_changes": "true",
            "autosave_interval": "1",
            "max_queued_messages": "0",
            "log_type": "all",  # who has subscribed, too
        }
        if os.geteuid() == 0:
            settings["user"] = "root"  # else it becomes one who may not write to the folder
        if user:
            passwords = folder / "passwords"
            passwords.touch(mode=0o600)
            subprocess.run(
                [program("mosquitto_passwd"), "-b", str(passwords), user, password],
                check=True,
                capture_output=True,
            )
            settings["password_file"] = str(passwords)
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        self._configuration.write_text("".join(lines), encoding="utf-8")

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [program("mosquitto"), "-c", str(self._configuration)]
