"""``accumulate``: totals so far, by key, with each row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError
from headrace.model.message import Rejected

from .accumulators import Group
from .batches import work_in_batches
from .measures import Measures, MeasureSettings
from .rows import Row


class Accumulate(HarnessComponent):
    """Sends, for each row, the measures of all rows of its key so far.

    A result has the fields of the key and the measures; ``keep: true`` adds them to the row instead. What it
    holds is lost in a crash. For one result at the end there is ``aggregate``, for one in each time ``window``.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    accumulates = True

    in_: In[Row]
    out: Out[Row]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an accumulate.

        Attributes:
            by: The fields whose values make a key; none for one of all rows.
            measures: As those of ``aggregate``.
            keep: Whether a result has all fields of its row; a measure takes the place of a field of its name.
            max_keys: How many keys are held at most.
            when_full: With one more, ``forget`` that which was longest without a row (it is counted), or ``error``.
        """

        by: list[str] = []
        measures: MeasureSettings
        keep: bool = False
        max_keys: int = 100_000
        when_full: Literal["forget", "error"] = "forget"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if self.config.max_keys < 1:
            raise ConfigError("max_keys must be at least 1", field="max_keys")
        self._measures = Measures(self.config.by, self.config.measures)
        self._begin()

    def _begin(self) -> None:
        self._groups: OrderedDict[Any, Group] = OrderedDict()
        self.forgotten = 0

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Begin with no totals."""
        self._begin()
        await super().setup(harness_context)

    async def process(self) -> None:
        """Send the totals with each row.

        Raises:
            ComponentError: There are more keys than may be held.
        """
        await work_in_batches(self.in_, self._work, self.out, self.rejected)

    def _work(self, rows: list[Row]) -> tuple[list[Row], list[Rejected[Any]]]:
        results: list[Row] = []
        rejected: list[Rejected[Any]] = []
        for row in rows:
            try:
                key, values = self._measures.key_of(row), self._measures.values_of(row)
                group = self._groups.get(key) or self._measures.new_group()
                group.add(values)
            except (KeyError, TypeError, ArithmeticError) as error:
                rejected.append(Rejected(row, self._measures.why_not(row, error)))
                continue
            self._hold(key, group)
            fields = row if self.config.keep else self._measures.keyed(key)
            results.append({**fields, **self._measures.measured(group)})
        return results, rejected

    def _hold(self, key: Any, group: Group) -> None:
        groups = self._groups
        groups[key] = group
        groups.move_to_end(key)
        if len(groups) <= self.config.max_keys:
            return
        if self.config.when_full == "error":
            raise ComponentError(
                f"{self.name}: over {self.config.max_keys:,} keys; set `max_keys`", component=self.name
            )
        groups.popitem(last=False)
        self.forgotten += 1

    async def health_check(self) -> dict[str, Any]:
        """Add how many keys are held, and how many were forgotten."""
        return {**await super().health_check(), "keys": len(self._groups), "forgotten": self.forgotten}


__all__ = ["Accumulate"]
