"""A system that runs until it is stopped: its store is slower than its source, so that edges are full."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import anyio

from headrace import System


async def readings() -> AsyncIterator[dict[str, Any]]:
    for number in itertools.count():
        yield {"v": number % 10, "pump": "north"}
        await anyio.sleep(0.001)


def parse(reading: dict[str, Any]) -> dict[str, Any]:
    return {**reading, "ok": True}


async def store(reading: dict[str, Any]) -> None:
    await anyio.sleep(0.002)


system = System("pumps")
system.add("readings", readings)
system.add("parse", parse)
system.add("store", store)
system.connect("readings", "parse")
system.connect("parse", "store", buffer_size=10)
