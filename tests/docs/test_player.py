"""What the other tests here rest on: pages are read, outputs compared, and a difference is a failure."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PAGE = """
`a.py`:

```python title="a.py"
import sys
print("one")
print("two in 0.3 s", file=sys.stderr)
raise SystemExit(3)
```

```console
$ python a.py
two in 9.9 s
one
$ echo $?
3
```
"""


@pytest.fixture
def tools(player: Any) -> ModuleType:
    """Return the module of the player."""
    return sys.modules[type(player).__module__]


def played(tools: ModuleType, player: Any, text: str) -> None:
    """Play a page."""
    path: Path = player.folder / "page.md"
    path.write_text(text, encoding="utf-8")
    player.play(tools.read_blocks(path))


def test_a_true_page_passes_whatever_the_times_and_however_both_outputs_mix(tools: Any, player: Any) -> None:
    played(tools, player, PAGE)


@pytest.mark.parametrize(
    ("true", "false"),
    [("one\n$", "ones\n$"), ("\n3\n", "\n4\n"), ("one\n$", "$"), ("one\n$", "one\nmore\n$")],
)
def test_a_page_that_says_something_else_fails(tools: Any, player: Any, true: str, false: str) -> None:
    assert PAGE.count(true) == 1
    with pytest.raises(AssertionError, match="the page shows"):
        played(tools, player, PAGE.replace(true, false))


def test_three_dots_stand_for_any_lines(tools: Any) -> None:
    assert tools.fits(["...", "c"], ["a", "b", "c"], ["x"])
    assert tools.fits(["a", "...", "c"], ["a", "c"], [])
    assert not tools.fits(["...", "b"], ["a", "b", "c"], [])
    assert not tools.fits(["...", "c", "b"], ["b", "c"], [])
