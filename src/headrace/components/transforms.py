"""``map`` and ``filter``: fields chosen, renamed and dropped, and rows let through by a condition.

Anything beyond that is a function component: a plain Python function says it better than settings could.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ConfigError
from headrace.model.message import Rejected

from .batches import Results, work_in_batches
from .comparison import Op, comparison_of
from .rows import Row, lacking, require_names


class Map(HarnessComponent):
    """Gives each row other fields: ``select``, then ``drop``, then ``rename``.

    A row without one of the fields that are named goes to ``rejected``. The row that came in is not changed.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit, or two fields would have one name.
    """

    in_: In[Row]
    out: Out[Row]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a map.

        Attributes:
            select: The fields to keep, in this order; all where not given.
            drop: The fields to leave out.
            rename: New names by old name.
        """

        select: list[str] | None = None
        drop: list[str] = []
        rename: dict[str, str] = {}

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        require_names(settings.select or (), "select")
        require_names(settings.drop, "drop")
        require_names(settings.rename.values(), "rename")
        if settings.select is not None:
            self._check_selected(settings.select)
        self._needed = [*(settings.select or ()), *settings.drop, *settings.rename]

    def _check_selected(self, selected: list[str]) -> None:
        for field, names in (("drop", self.config.drop), ("rename", list(self.config.rename))):
            unknown = next((name for name in names if name not in selected), None)
            if unknown is not None:
                raise ConfigError(f"{field} names '{unknown}', which select leaves out", field=field)

    async def process(self) -> None:
        """Send each row with its new fields."""
        await work_in_batches(self.in_, self._change, self.out, self.rejected)

    def _change(self, rows: Iterable[Row]) -> Results:
        kept = self.config.select
        dropped = frozenset(self.config.drop)
        rename = self.config.rename
        needed = self._needed
        changed: list[Row] = []
        rejected: list[Rejected[Any]] = []
        for row in rows:
            if not isinstance(row, dict) or any(name not in row for name in needed):
                rejected.append(Rejected(row, lacking(row, needed)))
                continue
            names = [name for name in (row if kept is None else kept) if name not in dropped]
            renamed = {rename.get(name, name): row[name] for name in names}
            if len(renamed) < len(names):
                rejected.append(Rejected(row, f"rename gives two fields one name: {rename}"))
            else:
                changed.append(renamed)
        return changed, rejected


class Filter(HarnessComponent):
    """Lets the rows through for which a condition holds; the others are dropped or rejected.

    As in SQL, a comparison with a field that is None never holds; ``is_null`` and ``is_not_null`` ask for
    that. A row that lacks the field, or whose value cannot be compared, goes to ``rejected``.

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
        """Settings of a filter.

        Attributes:
            where: The condition, such as ``delay > 60 and carrier in ['AA', 'UA']``; without it
                ``field``, ``op`` and ``value`` say it.
            field: The field to look at.
            op: ``is_null``, ``is_not_null``, ``eq``, ``ne``, ``lt``, ``le``, ``gt``, ``ge``, ``in``, ``not_in``.
            value: What to compare with; a list for ``in`` and ``not_in``.
            otherwise: What becomes of the other rows: ``drop`` or ``reject``.
        """

        where: str | None = None
        field: str | None = None
        op: Op | None = None
        value: Any = msgspec.UNSET
        otherwise: Literal["drop", "reject"] = "drop"

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        self._comparison = comparison_of(settings.field, settings.op, settings.value, settings.where)

    def lets_through(self, row: Mapping[str, Any]) -> bool:
        """Return whether the comparison holds for a row.

        Raises:
            KeyError: The row has no such field.
            TypeError: Its value cannot be compared with the setting's.
        """
        return self._comparison.holds(row)

    async def process(self) -> None:
        """Send the rows for which the comparison holds."""
        await work_in_batches(self.in_, self._sort_out, self.out, self.rejected)

    def _sort_out(self, rows: Iterable[Row]) -> Results:
        rejects = self.config.otherwise == "reject"
        passed: list[Row] = []
        rejected: list[Rejected[Any]] = []
        for row in rows:
            try:
                passes = self.lets_through(row)
            except (KeyError, TypeError):
                rejected.append(Rejected(row, self._comparison.why_not_comparable(row)))
                continue
            if passes:
                passed.append(row)
            elif rejects:
                rejected.append(Rejected(row, self._comparison.why_not(row)))
        return passed, rejected


__all__ = ["Filter", "Map"]
