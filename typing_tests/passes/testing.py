"""Tests of users: the probe takes what `add` takes."""

from __future__ import annotations

from typing import Any, assert_type

from headrace import HarnessComponent, In, Out, System, component
from headrace.testing import LiveSystem, Probe, probe, run_system


class Parse(HarnessComponent):
    in_: In[bytes]
    out: Out[str]


@component
def double(number: int, *, factor: int = 2) -> int:
    return number * factor


async def with_a_probe() -> None:
    async with probe(Parse, unit="F") as parse:
        assert_type(parse, Probe)
        await parse.feed(b"1")
        assert_type(parse.outputs(), list[Any])
    async with probe(double, factor=3) as doubled:
        await doubled.feed(1, 2)


async def with_a_system(system: System) -> None:
    async with run_system(system, replace={"double": double}) as live:
        assert_type(live, LiveSystem)
        await live.send("double.in", 1)
