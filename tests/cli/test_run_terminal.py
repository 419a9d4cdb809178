"""``headrace run`` on a terminal: states and the live line, colours only where they are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from signal import SIGINT

import pytest

pytestmark = pytest.mark.untraced

InTerminal = Callable[..., tuple[int, str]]
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
RED = "\x1b[31m"


def plain(shown: str) -> list[str]:
    """Return what was shown without control sequences, line by line."""
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown).replace("\r", "\n").splitlines()


@BACKENDS
def test_a_terminal_shows_states_and_one_live_line(backend: str, in_terminal: InTerminal) -> None:
    code, shown = in_terminal(
        ["run", "systems:drains", "--backend", backend],
        on={"out 1": SIGINT},  # so it runs: the live line begins before that
    )
    lines = plain(shown)
    assert code == 130
    assert f"running small: 2 components, 1 connection, {backend}" in lines
    assert "ready    take, ticks" in lines
    assert any(re.match(r"\d+ s  in [\d,]+  [\d,]+/s  out [\d,]+", line) for line in lines)
    assert any(line.startswith("draining...") for line in lines)
    assert re.fullmatch(r"in [\d,]+ out [\d,]+ rejected 0 lost 0 in [\d.]+ s", lines[-1])


def test_the_cursor_comes_back(in_terminal: InTerminal) -> None:
    _, shown = in_terminal(["run", "systems:drains"], on={"/s  out": SIGINT})
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0


def test_failures_are_red_on_a_terminal_and_not_with_no_color(in_terminal: InTerminal) -> None:
    code, shown = in_terminal(["run", "systems:crashes"])
    assert code == 1
    assert f"{RED}x crash crashed: KeyError 'id' at systems.py:" in shown
    _, shown = in_terminal(["run", "systems:crashes"], NO_COLOR="1")
    assert "x crash crashed: KeyError 'id' at systems.py:" in shown
    assert RED not in shown


def test_a_dumb_terminal_gets_plain_lines(in_terminal: InTerminal) -> None:
    _, shown = in_terminal(["run", "systems:crashes"], TERM="dumb")
    assert "\x1b" not in shown


def test_quiet_has_no_live_line(in_terminal: InTerminal) -> None:
    _, shown = in_terminal(["run", "systems:finishes", "--quiet"])
    assert shown.splitlines()[:10] == [str(number) for number in range(10)]
    assert "\x1b" not in shown


def test_what_components_print_is_not_torn(in_terminal: InTerminal) -> None:
    _, shown = in_terminal(["run", "systems:endless"], on={"\r\n3000\r\n": SIGINT})
    numbers = [int(line) for line in plain(shown) if line.isdigit()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 3000
