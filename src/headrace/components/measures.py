"""What ``aggregate`` and ``window`` share: the measures of a group of rows, checked, computed and named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from headrace.exceptions import ConfigError

from .accumulators import Function, Group, make_accumulator
from .rows import Row, keyer, lacking, picker, require_names

MeasureSettings = dict[str, Literal["count"] | dict[Function, str]]


class Measures:
    """The measures of the groups that some fields make.

    Args:
        by: The fields whose values make a group.
        measures: As the settings say them.
        beside: Names of fields that the result has besides.

    Raises:
        ConfigError: There are none, one is not one function of one field, or two fields have one name.

    Attributes:
        key_of: Takes the key of its group out of a row.
        values_of: Takes the values to be measured out of a row.
        functions: The functions of these values.
    """

    def __init__(self, by: Sequence[str], measures: MeasureSettings, beside: Iterable[str] = ()) -> None:
        require_names([*by, *beside, *measures], "measures")
        if not measures:
            raise ConfigError("measures is empty", hint="write `{rows: count}`", field="measures")
        of_fields = [
            (name, *_only_item(name, measure)) for name, measure in measures.items() if measure != "count"
        ]
        self._by = list(by)
        self._measures = list(measures)
        self._names = [name for name, _, _ in of_fields]
        self._needed = [*by, *(of for _, _, of in of_fields)]
        self.functions: list[Function] = [function for _, function, _ in of_fields]
        self.key_of = keyer(by)
        self.values_of = picker([of for _, _, of in of_fields])

    def new_group(self) -> Group:
        """Return a group without rows."""
        return Group([make_accumulator(function) for function in self.functions])

    def keyed(self, key: Any) -> Row:
        """Return the fields of a group's key."""
        return dict(zip(self._by, (key,) if len(self._by) == 1 else key, strict=True))

    def measured(self, group: Group) -> Row:
        """Return the measures of a group, by their names."""
        found = {n: one.result() for n, one in zip(self._names, group.accumulators, strict=True)}
        return {name: found.get(name, group.rows) for name in self._measures}

    def why_not(self, row: object, error: Exception) -> str:
        """Say for people why a row cannot be taken in."""
        if isinstance(row, Mapping) and not isinstance(error, KeyError):
            return f"cannot be aggregated: {error}"
        return lacking(row, self._needed)


def _only_item(name: str, measure: object) -> tuple[Function, str]:
    if not isinstance(measure, dict) or len(measure) != 1:
        raise ConfigError(f"measure '{name}' must be one function of one field", field="measures")
    ((function, of),) = measure.items()
    return function, of


__all__ = ["MeasureSettings", "Measures"]
