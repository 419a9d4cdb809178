"""The real servers that tests start and stop, each on a free port of loopback; one file a server."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def program(name: str) -> str:
    """Return the path of a program that ``.ci/programs`` lists; the test is skipped where the machine has it not.

    With ``CI`` set there is no skipping: there a missing program is a failure.
    """
    listed = (ROOT / ".ci" / "programs").read_text(encoding="utf-8").splitlines()
    packages = dict(line.split() for line in listed if line and not line.startswith("#"))
    package = packages[name]
    debian = ["/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(debian))
    if found is None:
        missing = f"{name} is not on this machine: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
