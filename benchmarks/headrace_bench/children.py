"""Measuring in a process of its own: memory, start-up, and peers that bring processes along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .measuring import NotAvailableError

_LONGEST = 300.0  # seconds


def figure_of(module: str, *arguments: object) -> float:
    """Run a module of this package in a fresh process; return the number on the last line that it prints.

    Args:
        module: Its name within ``headrace_bench``.
        arguments: Its command line.

    Raises:
        NotAvailableError: It failed; the message is the last line of its complaint.
    """
    command = [sys.executable, "-m", f"headrace_bench.{module}", *map(str, arguments)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=_LONGEST, check=False
    )
    if done.returncode:
        complaint = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise NotAvailableError(complaint[-1])
    return float(done.stdout.split()[-1])


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a child: ours, with this package where it can be imported from."""
    home = str(Path(__file__).resolve().parent.parent)
    paths = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **extra}


def resident_kilobytes() -> float:
    """Return the resident memory of this process.

    Raises:
        NotAvailableError: This system does not say.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError as error:
        raise NotAvailableError(f"resident memory is read from /proc: {error.strerror}") from error
    return pages * os.sysconf("SC_PAGE_SIZE") / 1000


__all__ = ["environment", "figure_of", "resident_kilobytes"]
