"""``merge``: several streams that are each in the order of time, as one that is."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
from anyio import EndOfStream

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected
from headrace.model.port import Port, PortTable

from .rows import Row, require_names
from .times import TimeUnit, event_time, why_no_time

_Timed = tuple[float, Row]


class Merge(HarnessComponent):
    """Sends the rows of several inputs in the order of their times; its inputs are those that the settings name.

    Each input has to be in that order by itself; where it is not, its rows stay in theirs. The next row is known
    when every input has one, or has ended: so a silent input holds the others up, and the inputs must not come out
    of one output. Without an order, connect several outputs to one input instead.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = False

    out: Out[Row]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a merge.

        Attributes:
            inputs: The names of the inputs; of rows of one time, those of the input named first come first.
            time: The field that says when a row happened: a number, a ``datetime``, or text in ISO 8601.
            time_unit: What its numbers count: ``s``, ``ms``, ``us`` or ``ns``.
        """

        inputs: list[str]
        time: str
        time_unit: TimeUnit = "s"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        inputs = self.config.inputs
        require_names(inputs, "inputs")
        if len(inputs) < 2:
            raise ConfigError("inputs must name two or more", field="inputs")
        for one in inputs:
            if not one.isidentifier() or one in ("out", "rejected"):
                raise ConfigError(f"'{one}' cannot be the name of an input here", field="inputs")
        self._time_of = event_time(self.config.time, self.config.time_unit)
        self.port_table = PortTable(
            {one: Port(one, Row) for one in inputs},
            {
                "out": Port("out", Row, attribute="out"),
                "rejected": Port("rejected", Rejected[Any], optional=True, attribute="rejected"),
            },
        )

    async def process(self) -> None:
        """Send all rows."""
        waiting: dict[str, deque[_Timed]] = {name: deque() for name in self.config.inputs}
        while waiting:
            for name in [name for name, rows in waiting.items() if not rows]:
                if not await self._fill(name, waiting[name]):
                    del waiting[name]
            if all(waiting.values()):
                await self.out.send_many(_first_of(list(waiting.values())))

    async def _fill(self, name: str, waiting: deque[_Timed]) -> bool:
        """Take in the rows that an input has, and wait for one; returns False where it has ended."""
        stream: Any = self.receive_streams[name]
        rejected: list[Rejected[Any]] = []
        try:
            rows = await stream.receive_many()
        except EndOfStream:
            return False
        for row in rows:
            try:
                waiting.append((self._time_of(row), row))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                why = why_no_time(row, error, [self.config.time])
                rejected.append(Rejected(row, f"{name}: {why}"))
        await self.rejected.send_many(rejected)
        return True


def _first_of(inputs: list[deque[_Timed]]) -> list[Row]:
    """Take rows off, the earliest first, until an input has none."""
    first: list[Row] = []
    while inputs and all(inputs):
        earliest = min(inputs, key=lambda rows: rows[0][0])
        first.append(earliest.popleft()[1])
    return first


__all__ = ["Merge"]
