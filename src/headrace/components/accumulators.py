"""What an aggregate holds of each group: counts, sums, means, minima and maxima, that take values in.

One by one they refuse what they cannot take and change nothing; many numbers at once they take by one C call.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, Literal, Protocol

Function = Literal["count", "sum", "mean", "min", "max"]

_NUMBERS = frozenset((int, float, type(None)))
_EXACT = 2**53  # below that a whole number is the same as a float


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

    def surely_takes(self, kinds: Collection[type]) -> bool:
        """Return whether no values of these types can be refused, so that ``add_all`` may take many."""
        ...

    def add_all(self, values: Iterable[Any]) -> None:
        """Take many values in, all of types that it ``surely_takes``; the result is that of ``add`` for each."""
        ...

    def merge(self, other: Any) -> None:
        """Take in all that another accumulator of this function has taken in.

        Raises:
            TypeError: The two cannot be compared or added; nothing has changed.
            ArithmeticError: The result is out of range; nothing has changed.
        """
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

    def surely_takes(self, kinds: Collection[type]) -> bool:
        """Return True: whatever it is, it counts."""
        return True

    def add_all(self, values: Iterable[Any]) -> None:
        """Count them."""
        self._number += len(list(values))

    def merge(self, other: Count) -> None:
        """Count what the other has counted."""
        self._number += other._number

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

    def surely_takes(self, kinds: Collection[type]) -> bool:
        """Return whether these are numbers of one type, and of the type of the sum so far."""
        exact = type(self._total) is int
        if all(kind is int for kind in kinds):
            return exact
        return all(kind is float for kind in kinds) and (not exact or abs(self._total) < _EXACT)

    def add_all(self, values: Iterable[Any]) -> None:
        """Add numbers of one type; whole ones are exact, so their order does not matter."""
        some = list(values)
        self.number += len(some)
        if some and type(some[0]) is float:
            self._add_floats(some)
        else:
            self._total += sum(some)

    def _add_floats(self, values: Iterable[float]) -> None:
        total, lost = self._total, self._lost
        for value in values:
            before = total
            total = before + value
            lost += (before - total) + value if abs(before) >= abs(value) else (value - total) + before
        self._total, self._lost = total, lost

    def merge(self, other: Sum) -> None:
        """Add the other's sum, its compensation too."""
        number = self.number + other.number
        self.add(other._total)
        self._lost += other._lost
        self.number = number

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

    def surely_takes(self, kinds: Collection[type]) -> bool:
        """Return whether these are numbers, to be compared with a number."""
        return {type(self._best), *kinds} <= _NUMBERS

    def add_all(self, values: Iterable[Any]) -> None:
        """Compare numbers, in their order: NaN is neither smaller nor larger."""
        some = chain(() if self._best is None else (self._best,), values)
        self._best = (max if self._largest else min)(some, default=None)

    def merge(self, other: Extreme) -> None:
        """Compare with the other's extreme."""
        if other._best is not None:
            self.add(other._best)

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

    def undo(self, values: tuple[Any, ...]) -> None:
        """Take the values of the last row out again."""
        for one, value in zip(self.accumulators, values, strict=True):
            if value is not None:
                one.undo()
        self.rows -= 1

    def surely_takes(self, kinds: Iterable[Collection[type]]) -> bool:
        """Return whether ``add_all`` may take values of these types, said for each accumulator."""
        return all(one.surely_takes(some) for one, some in zip(self.accumulators, kinds, strict=True))

    def add_all(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take the values of many rows in; each accumulator surely takes them."""
        for one, column in zip(self.accumulators, zip(*rows, strict=True), strict=False):
            one.add_all(column if None not in column else [value for value in column if value is not None])
        self.rows += len(rows)

    def merged(self, others: Iterable[Group], functions: Iterable[Function]) -> Group:
        """Return a new group of the rows of this one and of others; none of them changes.

        Raises:
            TypeError: Some of their values cannot be aggregated together.
            ArithmeticError: A result is out of range.
        """
        whole = Group([make_accumulator(function) for function in functions])
        for group in (self, *others):
            for one, other in zip(whole.accumulators, group.accumulators, strict=True):
                one.merge(other)
            whole.rows += group.rows
        return whole


__all__ = ["Accumulator", "Count", "Extreme", "Function", "Group", "Mean", "Sum", "make_accumulator"]
