"""``aggregate``: one row a key, with counts, sums, means, minima and maxima, at the end of the input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError
from headrace.model.message import Rejected

from .accumulators import Function, Group, make_accumulator
from .rows import Row, keyer, lacking, picker, require_names

_BATCH = 1024  # rows: so that a group has several of them even where there are a hundred groups
_WITHIN = 0.5  # seconds until a rejected row is told, where no more rows come


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

    accumulates = True

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
        self._key_of = keyer(settings.by)
        self._values_of = picker([of for _, _, of in self._of_fields])
        for wanted in settings.sort_by:
            if wanted.removeprefix("-") not in [*settings.by, *settings.measures]:
                raise ConfigError(f"sort_by names '{wanted}', which the result lacks", field="sort_by")

    async def process(self) -> None:
        """Take all rows in, then send the groups.

        Raises:
            ComponentError: There are too many groups.
        """
        groups: dict[Any, Group] = {}
        async for rows in self.in_.batch(_BATCH, within=_WITHIN):
            await self.rejected.send_many(self._take_in(groups, rows))
        await self.out.send_many(self._results(groups))

    def _take_in(self, groups: dict[Any, Group], rows: Sequence[Row]) -> list[Rejected[Any]]:
        """Take a batch in, and return what is rejected of it.

        Numbers are taken in by group: 0.7 us a row, where row by row is 1.5 us.
        """
        try:
            keys = list(map(self._key_of, rows))
            values = list(map(self._values_of, rows))
            by_key: dict[Any, list[tuple[Any, ...]]] = {}
            for key, some in zip(keys, values, strict=True):
                by_key.setdefault(key, []).append(some)
        except (KeyError, TypeError):
            return self._take_in_singly(groups, rows)
        kinds = [set(map(type, column)) - {type(None)} for column in zip(*values, strict=True)]
        found = {key: self._group(groups, key) for key in by_key}
        if not all(group.surely_takes(kinds) for group in found.values()):
            return self._take_in_singly(groups, rows)
        for key, group in found.items():
            group.add_all(by_key[key])
        return []

    def _take_in_singly(self, groups: dict[Any, Group], rows: Iterable[Row]) -> list[Rejected[Any]]:
        rejected: list[Rejected[Any]] = []
        for row in rows:
            try:
                key, values = self._key_of(row), self._values_of(row)
                self._group(groups, key).add(values)
            except (KeyError, TypeError, ArithmeticError) as error:
                rejected.append(Rejected(row, self._why_not(row, error)))
        return rejected

    def _group(self, groups: dict[Any, Group], key: Any) -> Group:
        group = groups.get(key)
        if group is None:
            group = groups[key] = self._new_group(len(groups))
        return group

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


__all__ = ["Aggregate", "sort_rows"]
