"""A component sees what is in its part, and around it; nothing of other parts."""

from __future__ import annotations

import pytest

from headrace.model.scope import seen_from

NAMED = {"db": 1, "log": 2, "a/db": 3, "a/b/db": 4, "a/b/cache": 5, "x/db": 6}


@pytest.mark.parametrize(
    ("component", "seen"),
    [
        ("show", {"db": 1, "log": 2}),
        ("a/parse", {"db": 3, "log": 2}),
        ("a/b/parse", {"db": 4, "log": 2, "cache": 5}),
        ("y/parse", {"db": 1, "log": 2}),
    ],
)
def test_the_nearest_of_a_name_is_seen(component: str, seen: dict[str, int]) -> None:
    assert seen_from(component, NAMED) == seen
