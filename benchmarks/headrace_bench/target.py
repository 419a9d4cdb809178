"""What a row has to reach, written as people write it: ``>= 10 x``, ``>= 20 %``, ``< 100 us``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

_FORM = re.compile(r"(<=|>=|<|>) ([\d.,]+) (\S.*)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_OF_RATIOS = {"x": 1.0, "%": 100.0}


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for a value, or for its ratio to a peer.

    Attributes:
        comparison: ``<``, ``<=``, ``>`` or ``>=``.
        limit: The limit, in ``unit``.
        unit: ``x`` or ``%`` for a ratio; else the unit of the value.
    """

    comparison: str
    limit: float
    unit: str

    @property
    def of_ratio(self) -> bool:
        """Whether it is about the ratio to a peer."""
        return self.unit in _OF_RATIOS

    def met(self, value: float, ratio: float | None) -> bool | None:
        """Return whether a value, or else its ratio, reaches it; None where there is no ratio."""
        if not self.of_ratio:
            return _COMPARE[self.comparison](value, self.limit)
        return None if ratio is None else _COMPARE[self.comparison](ratio * _OF_RATIOS[self.unit], self.limit)

    def __str__(self) -> str:
        return f"{self.comparison} {self.limit:,g} {self.unit}"


def parse_target(text: str) -> Target:
    """Read a target.

    Args:
        text: A comparison, a number and a unit, with a space between.

    Raises:
        ValueError: It is none.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no target; write it like '>= 10 x' or '< 100 us'")
    return Target(found[1], float(found[2].replace(",", "")), found[3])


def shown_ratio(ratio: float, target: Target | None) -> str:
    """Return a ratio for people: as a share where its target is one."""
    if target is not None and target.unit == "%":
        return f"{ratio:.1%}" if ratio < 0.1 else f"{ratio:.0%}"
    return f"{ratio:,.2f}x" if ratio < 10 else f"{ratio:,.1f}x"


__all__ = ["Target", "parse_target", "shown_ratio"]
