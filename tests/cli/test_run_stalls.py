"""``headrace run`` says within two seconds who blocks whom, and where: in a pipe, on a terminal, in JSON logs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest

Start = Callable[..., "Running"]  # type: ignore[name-defined]  # noqa: F821 - see conftest
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
APPS = (Path(__file__).parent / "apps" / "systems.py").read_text(encoding="utf-8").splitlines()


LONGEST = 2.5  # seconds: two, and some for a slow machine


def line_of(text: str) -> int:
    """Return the first line of the systems that holds a text."""
    return next(number for number, line in enumerate(APPS, 1) if text in line)


def seconds_in(pattern: str, text: str) -> float:
    """Return the seconds that the first line of this pattern tells of; a machine that stalls makes them more."""
    found = re.search(pattern, text)
    assert found, text
    return float(found[1])


SECOND_SEND = f"process() at systems.py:{line_of('.send(2)')}"
FETCH = f"fetch() at systems.py:{line_of('async def fetch') + 1}"
DEADLOCK = (
    "deadlock: a.out -> b.in (4/4) and b.out -> a.in (4/4) wait for each other: "
    f"a in {SECOND_SEND}, b in {SECOND_SEND}"
)


@BACKENDS
def test_a_deadlock_is_told_with_its_lines_and_its_mend_and_named_at_the_end(
    backend: str, start: Start
) -> None:
    one = start("run", "systems:deadlocked", "--backend", backend)
    one.wait_for("running small")
    began = time.monotonic()
    one.wait_for("deadlock: ")
    assert time.monotonic() - began < LONGEST
    one.send(SIGTERM)
    code, out, err = one.end()
    assert code == 143
    (told,) = [line for line in err.splitlines() if "deadlock: " in line]
    assert f"[error] {DEADLOCK}; read while sending, or give" in told
    assert DEADLOCK in out.splitlines()
    assert f"awaiting {SECOND_SEND}" in out


@BACKENDS
def test_a_stuck_sink_is_told_in_one_plain_line(backend: str, start: Start) -> None:
    one = start("run", "systems:slow_sink", "--backend", backend)
    one.wait_for("running small")
    began = time.monotonic()
    one.wait_for("numbers has been blocked")
    assert time.monotonic() - began < LONGEST
    one.send(SIGTERM)
    _, out, err = one.end()
    (told,) = [line for line in err.splitlines() if "has been blocked" in line]
    assert told.endswith(f"s sending to store.in (100/100); store awaits {FETCH}")
    assert seconds_in(r"numbers has been blocked ([\d.]+) s", told) >= 1
    assert "component=" not in told
    assert seconds_in(r"overran: store overran its process after ([\d.]+) s", out) >= 0.3
    assert f"awaiting {FETCH}" in out


def test_json_logs_hold_the_sentence_and_its_parts(start: Start) -> None:
    one = start("run", "systems:slow_sink", "--log-format", "json")
    one.wait_for("has been blocked")
    one.send(SIGTERM)
    _, _, err = one.end()
    records = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    (told,) = [record for record in records if record.get("what") == "stall" and record["turn"] == "begins"]
    assert told["event"].endswith(f"store awaits {FETCH}")
    assert (told["level"], told["kind"], told["component"]) == ("warning", "blocked", "store")
    assert (told["edge"], told["blocked"], told["where"]) == ("numbers.out -> store.in", ["numbers"], FETCH)


def test_the_json_report_has_the_deadlocks(start: Start) -> None:
    one = start("run", "systems:deadlocked", "--format", "json")
    one.wait_for("deadlock: ")
    one.send(SIGTERM)
    _, out, _ = one.end()
    assert json.loads(out.splitlines()[-1])["deadlocks"] == [DEADLOCK]


@BACKENDS
def test_who_blocks_the_event_loop_is_told_with_its_line_and_how_long(backend: str, start: Start) -> None:
    one = start("run", "systems:hogged", "--backend", backend)
    code, _, err = one.end()
    assert code == 0
    where = f"process() at systems.py:{line_of('time.sleep(0.8)')}"
    told = rf"hog has blocked the event loop for ([\d.]+) s in {re.escape(where)}: all components stand still"
    assert 0.5 <= seconds_in(told, err) <= seconds_in(r"hog has let the event loop go, after ([\d.]+) s", err)


def test_the_live_line_of_a_terminal_says_it(in_terminal: Callable[..., tuple[int, str]]) -> None:
    _, shown = in_terminal(
        ["run", "systems:slow_sink"], on={"out 0  numbers has been blocked": SIGINT}, COLUMNS="160"
    )
    assert seconds_in(r"numbers has been blocked ([\d.]+) s", shown) >= 1


def test_quiet_shows_a_deadlock_and_no_stall(start: Start) -> None:
    one = start("run", "systems:deadlocked", "--quiet")
    one.wait_for("deadlock: ")
    one.send(SIGTERM)
    one.end()
    one = start("run", "systems:hogged", "--quiet")
    _, _, err = one.end()
    assert "blocked" not in err
