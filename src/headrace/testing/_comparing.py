"""What came at a port, against what was expected, with the place of each difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.model.blueprint import Position
from headrace.model.blueprint_tests import PortMessages

from ._plain_messages import same, show


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that was not as expected.

    Attributes:
        text: What, with its port: ``sink.in[0]: want "A" got "a"``.
        position: Where in the blueprint it was expected.
    """

    text: str
    position: Position

    def __str__(self) -> str:
        return f"{self.text} ({self.position.file}:{self.position.line})"


def compare(
    port: str, expected: PortMessages, came: Sequence[Any], *, any_order: bool, partial: bool
) -> list[Mismatch]:
    """Return what is different at one port.

    Args:
        port: What to call it.
        expected: What was expected.
        came: What came, as plain values.
        any_order: Whether the order is free.
        partial: Whether expected tables may leave out keys.
    """
    if any_order:
        return _compare_any_order(port, expected, came, partial)
    found: list[Mismatch] = []
    for number in range(max(len(expected.messages), len(came))):
        is_wanted, has_come = number < len(expected.messages), number < len(came)
        if is_wanted and has_come and same(expected.messages[number], came[number], partial=partial):
            continue
        want = show(expected.messages[number]) if is_wanted else "nothing"
        got = show(came[number]) if has_come else "nothing"
        position = expected.positions[number] if is_wanted else expected.position
        found.append(Mismatch(f"{port}[{number}]: want {want} got {got}", position))
    return found


def _compare_any_order(
    port: str, expected: PortMessages, came: Sequence[Any], partial: bool
) -> list[Mismatch]:
    left = list(came)
    found: list[Mismatch] = []
    for message, position in zip(expected.messages, expected.positions, strict=True):
        match = next((n for n, other in enumerate(left) if same(message, other, partial=partial)), None)
        if match is None:
            found.append(Mismatch(f"{port}: want {show(message)}, which did not come", position))
        else:
            del left[match]
    return found + [
        Mismatch(f"{port}: got {show(message)}, which is not wanted", expected.position) for message in left
    ]


__all__ = ["Mismatch", "compare"]
