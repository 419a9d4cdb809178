"""Names inside parts: ``enrich/parse`` stands in the part ``enrich``, and sees what is around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def seen_from(component: str, named: Mapping[str, T]) -> dict[str, T]:
    """Return what a component can see, by the names that it knows.

    Args:
        component: Its name in the system, such as ``enrich/parse``.
        named: Everything by its name in the system. ``enrich/db`` is ``db`` inside of ``enrich`` and hides a ``db``
            around it; outside of ``enrich`` it cannot be seen.
    """
    around = [component[: index + 1] for index, character in enumerate(component) if character == "/"]
    found = {name: value for name, value in named.items() if "/" not in name}
    for prefix in around:
        inside = {
            name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)
        }
        found |= {name: value for name, value in inside.items() if "/" not in name}
    return found


__all__ = ["seen_from"]
