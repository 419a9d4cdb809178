"""Where it was measured: hardware, Python, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PEERS = ("anyio", "trio", "reactivex", "bytewax", "aiostream", "ezmsg", "ray", "streamz", "eventkit")
"""The libraries that are measured."""


def environment() -> dict[str, Any]:
    """Return what somebody has to know who wants to compare."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(),
        "commit": commit(),
    }


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def versions() -> dict[str, str]:
    """Return the versions of headrace and of the peers that are installed."""
    found = {}
    for name in ("headrace", *PEERS):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the commit of the checkout that is measured; ``unknown`` outside one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def described(facts: dict[str, Any]) -> list[str]:
    """Return the environment as lines for people."""
    libraries = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return [
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}",
        f"{facts['python']}, {libraries}",
        f"commit {facts['commit']}",
    ]


__all__ = ["PEERS", "commit", "described", "environment", "processor", "versions"]
