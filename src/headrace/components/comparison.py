"""What ``filter`` and ``route`` hold a row against: one comparison of a field with a value, or a condition."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from headrace.exceptions import ConfigError
from headrace.model.expression import Condition

from .rows import lacking

Op = Literal["is_null", "is_not_null", "eq", "ne", "lt", "le", "gt", "ge", "in", "not_in"]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "in": lambda found, values: found in values,
    "not_in": lambda found, values: found not in values,
}


class Comparison:
    """A comparison that a row can be held against; as in SQL, one with None never holds.

    Args:
        field: The field to look at.
        op: How to compare.
        value: What to compare with; UNSET for ``is_null`` and ``is_not_null``.

    Raises:
        ConfigError: The two do not fit each other.
    """

    def __init__(self, field: str, op: Op, value: Any) -> None:
        unary = op in ("is_null", "is_not_null")
        if unary != (value is msgspec.UNSET):
            raise ConfigError(f"op '{op}' takes {'no value' if unary else 'a value'}", field="value")
        if op in ("in", "not_in") and not isinstance(value, list):
            raise ConfigError(f"op '{op}' takes a list of values, not {value!r}", field="value")
        if not unary and value is None:
            raise ConfigError("nothing equals null", hint="use is_null or is_not_null", field="value")
        self.field, self._op, self._value = field, op, value

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Return whether it holds for a row.

        Raises:
            KeyError: The row has no such field.
            TypeError: Its value cannot be compared with the setting's.
        """
        found = row[self.field]
        if self._op == "is_null":
            return found is None
        if self._op == "is_not_null":
            return found is not None
        return found is not None and bool(_COMPARE[self._op](found, self._value))

    def why_not(self, row: Mapping[str, Any]) -> str:
        """Say for people why it does not hold for a row."""
        wanted = self._op.replace("_", " ")
        if self._value is not msgspec.UNSET:
            wanted += f" {self._value!r}"
        return f"{self.field} is {row[self.field]!r}, wanted: {wanted}"

    def why_not_comparable(self, row: object) -> str:
        """Say for people why a row cannot be held against it."""
        if not isinstance(row, Mapping) or self.field not in row:
            return lacking(row, [self.field])
        kinds = f"{type(row[self.field]).__name__} with {type(self._value).__name__}"
        return f"{self.field}: cannot compare {kinds}"


class RowCondition:
    """A condition that a row can be held against, as ``delay > 60 and carrier in ['AA', 'UA']``.

    Args:
        text: The condition; see ``headrace.model.expression``.

    Raises:
        ConfigError: It cannot be read.
    """

    def __init__(self, text: str) -> None:
        self._condition = Condition(text)

    def holds(self, row: object) -> bool:
        """Return whether it holds for a row.

        Raises:
            KeyError: The row has no such field.
            TypeError: Its values cannot be compared.
        """
        return self._condition(row)

    def why_not(self, row: object) -> str:
        """Say for people why it does not hold for a row."""
        return f"not so: {self._condition.text}"

    def why_not_comparable(self, row: object) -> str:
        """Say for people why a row cannot be held against it."""
        try:
            self._condition(row)
        except (KeyError, TypeError) as error:
            return str(error.args[0])
        return self.why_not(row)


def comparison_of(
    field: str | None, op: Op | None, value: Any, where: str | None
) -> Comparison | RowCondition:
    """Return what settings say that a row is held against: ``where``, or ``field``, ``op`` and ``value``.

    Raises:
        ConfigError: They do not fit each other.
    """
    if where is not None:
        if field is not None or op is not None or value is not msgspec.UNSET:
            raise ConfigError("where says it all: leave out field, op and value", field="where")
        return RowCondition(where)
    for name, said in (("field", field), ("op", op)):
        if said is None:
            raise ConfigError(f"{name} is missing", hint="or write a condition as `where`", field=name)
    assert field is not None
    assert op is not None
    return Comparison(field, op, value)


__all__ = ["Comparison", "Op", "RowCondition", "comparison_of"]
