"""``aggregate``: one row a key, with counts, sums, means, minima and maxima, at the end of the input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError
from headrace.model.message import Rejected

from .rows import Row, keyer, lacking, picker, require_names

Function = Literal["count", "sum", "mean", "min", "max"]


class Accumulator(Protocol):
    """Takes values in, one by one, and gives their aggregate; None is never among them."""

    def add(self, value: Any) -> None:
        """Take a value in.

        Raises:
            TypeError: The value is of a kind that cannot be aggregated; nothing has changed.
            ArithmeticError: It is out of range; nothing has changed.
        """
        ...

    def undo(self) -> None:
        """Take the last value out again."""
        ...

    def result(self) -> Any:
        """Return the aggregate of the values so far."""
        ...


class Count:
    """How many values there were."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 0

    def add(self, value: Any) -> None:
        """Count it."""
        self._number += 1

    def undo(self) -> None:
        """Count one less."""
        self._number -= 1

    def result(self) -> int:
        """Return the number."""
        return self._number


class Sum:
    """The sum: exact of whole numbers, compensated (Neumaier) of others, so that order hardly matters."""

    __slots__ = ("_before", "_lost", "_lost_before", "_total", "number")

    def __init__(self) -> None:
        self._total: Any = 0
        self._lost = 0.0
        self._before: Any = 0
        self._lost_before = 0.0
        self.number = 0

    def add(self, value: Any) -> None:
        """Add it."""
        before = self._total
        total = before + value
        self._lost_before = self._lost
        if type(total) is float:
            self._lost += (before - total) + value if abs(before) >= abs(value) else (value - total) + before
        self._before = before
        self._total = total
        self.number += 1

    def undo(self) -> None:
        """Go back to before the last value."""
        self._total, self._lost = self._before, self._lost_before
        self.number -= 1

    def total(self) -> Any:
        """Return the sum, 0 of nothing."""
        total = self._total
        return total + self._lost if type(total) is float and math.isfinite(total) else total

    def result(self) -> Any:
        """Return the sum, None of nothing, as SQL does."""
        return self.total() if self.number else None


class Mean(Sum):
    """The arithmetic mean."""

    __slots__ = ()

    def result(self) -> Any:
        """Return the mean, None of nothing, as SQL does."""
        return self.total() / self.number if self.number else None


class Extreme:
    """The smallest or the largest value; None of nothing."""

    __slots__ = ("_before", "_best", "_largest")

    def __init__(self, *, largest: bool = False) -> None:
        self._best: Any = None
        self._before: Any = None
        self._largest = largest

    def add(self, value: Any) -> None:
        """Compare it."""
        best = self._best
        better = best is None or (value > best if self._largest else value < best)
        self._before = best
        if better:
            self._best = value

    def undo(self) -> None:
        """Go back to before the last value."""
        self._best = self._before

    def result(self) -> Any:
        """Return the extreme."""
        return self._best


def make_accumulator(function: Function) -> Accumulator:
    """Return a new accumulator of a function."""
    if function == "count":
        return Count()
    if function == "sum":
        return Sum()
    if function == "mean":
        return Mean()
    return Extreme(largest=function == "max")


class Aggregate(HarnessComponent):
    """Groups rows by the values of some fields and sends one row a group at the end of the input.

    As in SQL, None is a group of its own, and None among the values is left out (the mean of nothing but
    None is None). A row that lacks a field, or has a value that cannot be added up, goes to ``rejected``.
    What it holds is lost with it in a crash.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
    """

    in_: In[Row]
    out: Out[Row]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an aggregate.

        Attributes:
            by: The fields whose values make a group; none for one group of all rows.
            measures: By the name of the new field: ``count`` of the rows, or ``{mean: field}`` with
                ``count``, ``sum``, ``mean``, ``min`` or ``max`` of the values of a field.
            sort_by: Fields of the result to sort it by, each with a ``-`` before it for largest first; groups
                come in the order of their first row where not given. None comes last.
            max_groups: How many groups are held in memory at most.
        """

        by: list[str] = []
        measures: dict[str, Literal["count"] | dict[Function, str]]
        sort_by: list[str] = []
        max_groups: int = 1_000_000

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        require_names([*settings.by, *settings.measures], "measures")
        if not settings.measures:
            raise ConfigError("measures is empty", hint="write `{rows: count}`", field="measures")
        if settings.max_groups < 1:
            raise ConfigError("max_groups must be at least 1", field="max_groups")
        self._of_fields = [
            (name, *_only_item(name, measure))
            for name, measure in settings.measures.items()
            if measure != "count"
        ]
        for wanted in settings.sort_by:
            if wanted.removeprefix("-") not in [*settings.by, *settings.measures]:
                raise ConfigError(f"sort_by names '{wanted}', which the result lacks", field="sort_by")

    async def process(self) -> None:
        """Take all rows in, then send the groups.

        Raises:
            ComponentError: There are too many groups.
        """
        groups: dict[Any, Group] = {}
        key_of, values_of = keyer(self.config.by), picker([of for _, _, of in self._of_fields])
        async for row in self.in_:
            try:
                key, values = key_of(row), values_of(row)
                group = groups.get(key)
                if group is None:
                    group = groups[key] = self._new_group(len(groups))
                group.add(values)
            except (KeyError, TypeError, ArithmeticError) as error:
                await self.rejected.send(Rejected(row, self._why_not(row, error)))
        for result in self._results(groups):
            await self.out.send(result)

    def _new_group(self, existing: int) -> Group:
        if existing >= self.config.max_groups:
            raise ComponentError(
                f"{self.name}: over {self.config.max_groups:,} groups by {', '.join(self.config.by)}; "
                "group by fewer fields or set `max_groups`",
                component=self.name,
            )
        return Group([make_accumulator(function) for _, function, _ in self._of_fields])

    def _results(self, groups: Mapping[Any, Group]) -> list[Row]:
        by = self.config.by
        results = [
            {**dict(zip(by, (key,) if len(by) == 1 else key, strict=True)), **self._measured(group)}
            for key, group in groups.items()
            if group.rows
        ]
        for wanted in reversed(self.config.sort_by):
            sort_rows(results, wanted.removeprefix("-"), largest_first=wanted.startswith("-"))
        return results

    def _measured(self, group: Group) -> Row:
        names = [name for name, _, _ in self._of_fields]
        found = {name: one.result() for name, one in zip(names, group.accumulators, strict=True)}
        return {name: found.get(name, group.rows) for name in self.config.measures}

    def _why_not(self, row: object, error: Exception) -> str:
        if isinstance(row, Mapping) and not isinstance(error, KeyError):
            return f"cannot be aggregated: {error}"
        return lacking(row, [*self.config.by, *(of for _, _, of in self._of_fields)])


class Group:
    """The rows of one key so far: how many, and the aggregates of their values."""

    __slots__ = ("accumulators", "rows")

    def __init__(self, accumulators: list[Accumulator]) -> None:
        self.accumulators = accumulators
        self.rows = 0

    def add(self, values: tuple[Any, ...]) -> None:
        """Take the values of a row in, all of them or, where one cannot be, none.

        Raises:
            TypeError: A value is of a kind that cannot be aggregated.
            ArithmeticError: A value is out of range.
        """
        done = 0
        try:
            for one, value in zip(self.accumulators, values, strict=True):
                if value is not None:
                    one.add(value)
                done += 1
        except (TypeError, ArithmeticError):
            for one, value in zip(self.accumulators[:done], values, strict=False):
                if value is not None:
                    one.undo()
            raise
        self.rows += 1


def _only_item(name: str, measure: object) -> tuple[Function, str]:
    if not isinstance(measure, dict) or len(measure) != 1:
        raise ConfigError(f"measure '{name}' must be one function of one field", field="measures")
    ((function, of),) = measure.items()
    return function, of


def sort_rows(rows: list[Row], field: str, *, largest_first: bool = False) -> None:
    """Sort rows by one field, in place and keeping the order of equals; None comes last.

    Values of kinds that cannot be compared are sorted by kind first.
    """
    some = [row for row in rows if row[field] is not None]
    none = [row for row in rows if row[field] is None]
    try:
        some.sort(key=lambda row: row[field], reverse=largest_first)
    except TypeError:
        some.sort(key=lambda row: (type(row[field]).__name__, str(row[field])), reverse=largest_first)
    rows[:] = [*some, *none]


__all__ = [
    "Accumulator",
    "Aggregate",
    "Count",
    "Extreme",
    "Function",
    "Group",
    "Mean",
    "Sum",
    "make_accumulator",
    "sort_rows",
]
