"""Real signals to a real process: the first drains, the second stops at once, and nothing can hold out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from signal import SIGINT, SIGTERM

import pytest

pytestmark = pytest.mark.untraced

Shown = Callable[[str], None]
Start = Callable[..., "Running"]  # type: ignore[name-defined]  # noqa: F821 - see conftest
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
SIGNALS = pytest.mark.parametrize(("signal", "code"), [(SIGINT, 130), (SIGTERM, 143)])


@BACKENDS
@SIGNALS
@pytest.mark.fault(
    10,
    "The first SIGTERM (or Ctrl-C) drains: nothing is lost; exit code 143 (130).",
    sees=["draining...(5 s); again to force", "in ... out ... rejected 0 lost 0 in ... s"],
)
def test_the_first_signal_drains_and_loses_nothing(
    backend: str, signal: int, code: int, start: Start, shown: Shown
) -> None:
    one = start("run", "systems:drains", "--backend", backend)
    one.wait_for("at work")
    one.send(signal)
    ended, out, err = one.end()
    shown(err + out)
    assert ended == code
    assert " rejected 0 lost 0 in " in out.splitlines()[-1]
    drains = [line for line in err.splitlines() if line.startswith("draining...")]
    assert len(drains) == 1
    assert drains[0].endswith(" (5 s); again to force")
    assert "the same signal again" not in err, "said once is enough"


@BACKENDS
@pytest.mark.parametrize("signals", [(SIGINT, SIGINT), (SIGTERM, SIGTERM), (SIGINT, SIGTERM)])
@pytest.mark.fault(
    10,
    "The second one stops at once: who still runs is named, and what was left where.",
    sees=[
        "stopping at once",
        "lost on one.out -> hang.in: 1 left",
        "overran: hang was cut off after ... s, awaiting hang() at systems.py:...",
    ],
)
def test_the_second_signal_stops_at_once_and_names_what_was_left(
    backend: str, signals: tuple[int, int], start: Start, shown: Shown
) -> None:
    one = start("run", "systems:hangs_long", "--backend", backend)
    one.wait_for("at work")
    one.send(signals[0])
    one.wait_for("draining... hang 1 left (1000 s); again to force")
    one.send(signals[1])
    code, out, err = one.end()
    shown(err + out)
    assert code == 128 + signals[0]
    assert "lost on one.out -> hang.in: 1 left" in out.splitlines()
    assert "overran: hang was cut off after " in out
    assert out.splitlines()[-1].startswith("in 1 out 0 rejected 0 lost 1 in")
    assert "stopping at once" in err.splitlines()


@BACKENDS
def test_a_drain_that_overruns_names_who_and_where(backend: str, start: Start) -> None:
    one = start("run", "systems:overruns", "--backend", backend)
    one.wait_for("at work")
    one.send(SIGTERM)
    code, out, _ = one.end()
    assert code == 143
    overran = re.search(r"overran: hang overran its process after ([\d.]+) s", out)
    assert overran
    assert float(overran[1]) >= 0.3
    assert "awaiting hang() at systems.py:" in out


@BACKENDS
@pytest.mark.parametrize("name", ["blocks", "spins"])
@pytest.mark.fault(
    8,
    "A thread of its own names the component and the line; after a signal and the deadline the command line "
    "ends the process hard.",
    sees=[
        "... has blocked the event loop for ... s in ...() at systems.py:...: all components stand still",
        "... has not ended (running)",
        "the event loop is blocked in ...() at systems.py:...",
        "it cannot be stopped in an orderly way; ending the process",
        "in 1 out 0 rejected 0 lost 1 in ... s",
    ],
)
def test_a_blocked_event_loop_is_ended_hard_at_the_deadline(
    backend: str, name: str, start: Start, shown: Shown
) -> None:
    one = start("run", f"systems:{name}", "--backend", backend)
    one.wait_for("at work")
    one.send(SIGINT)
    code, out, err = one.end()
    shown(err + out)
    assert code == 130
    assert f"the event loop is blocked in {name[:-1]}() at systems.py:" in err
    assert f"{name[:-1]} has not ended (running)" in err
    assert out.splitlines()[-1].startswith("in 1 out 0 rejected 0 lost 1 in")


@BACKENDS
def test_a_third_signal_ends_a_blocked_loop_at_once(backend: str, start: Start) -> None:
    one = start("run", "systems:blocks_in_setup", "--backend", backend, "--debug")
    one.wait_for("at work")
    one.send(SIGTERM)
    one.wait_for("draining...")
    one.send(SIGTERM)
    one.wait_for("stopping at once")
    one.send(SIGTERM)
    code, out, err = one.end()
    assert code == 143
    # The signals may come so soon that it has not got to its sleep yet.
    assert re.search(r"the event loop is blocked in (_sleep_in_own_code|at_work)\(\) at systems\.py:", err)
    assert "most recent call first" in err, "stacks, with --debug"
    assert out.splitlines()[-1].startswith("in 0 out 0 rejected 0 lost 0 in")


@BACKENDS
def test_a_second_signal_ends_a_blocked_loop_soon(backend: str, start: Start) -> None:
    one = start("run", "systems:blocks_in_setup", "--backend", backend)
    one.wait_for("at work")
    one.send(SIGINT)
    one.wait_for("draining...")
    one.send(SIGINT)
    code, _, err = one.end()
    assert code == 130
    assert "cannot be stopped in an orderly way" in err


@BACKENDS
@pytest.mark.fault(
    9,
    "It is abandoned and named; the command line ends the process hard at the deadline, a library call "
    "returns.",
    sees=[
        "...drain overran awaiting='in_thread() at systems.py:...",
        "it cannot be stopped in an orderly way; ending the process",
        "lost on one.out -> in_thread.in: 1 left",
    ],
)
def test_a_stuck_worker_thread_is_ended_hard(backend: str, start: Start, shown: Shown) -> None:
    one = start("run", "systems:stuck", "--backend", backend)
    one.wait_for("at work")
    one.send(SIGINT)
    code, out, err = one.end()
    shown(err + out)
    assert code == 130
    assert "awaiting='in_thread() at systems.py:" in err
    assert "in_thread has not ended" in err
    assert out.splitlines()[-1].startswith("in 1 out 0 rejected 0 lost 1 in")


@BACKENDS
def test_a_worker_thread_that_was_left_does_not_keep_the_process(backend: str, start: Start) -> None:
    one = start("run", "systems:leaves_a_thread", "--backend", backend)
    one.wait_for("at work")
    one.send(SIGTERM)
    code, out, err = one.end()
    assert code == 143
    assert out.splitlines()[-1].startswith("in 1 out 0 rejected 0 lost 1 in")
    if backend == "asyncio":  # trio's worker threads never keep a process
        assert "is in _sleep_in_own_code() at systems.py:" in err


def test_a_signal_after_the_end_does_not_cost_the_results(start: Start) -> None:
    one = start("run", "systems:leaves_a_thread", "--log-format", "json")
    one.wait_for("at work")
    one.send(SIGTERM)
    one.wait_for('"ended"')
    one.send(SIGINT)
    code, out, err = one.end()
    assert code == 143
    assert out.splitlines()[-1].startswith("in 1 out 0 rejected 0 lost 1 in")
    assert "Traceback" not in err


@BACKENDS
def test_a_clean_up_that_cannot_be_cancelled_is_5_without_a_signal(backend: str, start: Start) -> None:
    code, out, err = start("run", "systems:hangs_in_cleanup", "--backend", backend).end()
    assert code == 5
    assert "cannot be stopped in an orderly way" in err
    assert out.splitlines()[-1].startswith("in 10 out 10 rejected 0 lost 0 in")


def test_json_logs_stay_json_through_a_hard_end(start: Start) -> None:
    one = start("run", "systems:blocks", "--log-format", "json", "--log-level", "info")
    one.wait_for("at work")
    one.send(SIGINT)
    code, _, err = one.end()
    records = [json.loads(line) for line in err.splitlines() if line != "at work"]
    assert code == 130
    assert any(record["event"].startswith("the event loop is blocked in block()") for record in records)


def test_a_signal_while_the_system_is_loaded_ends_quietly(start: Start, tmp_path: object) -> None:
    folder = tmp_path
    # no single long sleep: a signal just before it would only be looked at after it
    text = (
        "import sys, time\nprint('at work', file=sys.stderr, flush=True)\nwhile True:\n    time.sleep(0.01)\n"
    )
    (folder / "sleepy.py").write_text(text)  # type: ignore[operator, attr-defined]
    one = start("run", "sleepy:system", folder=folder)
    one.wait_for("at work")
    one.send(SIGINT)
    code, out, err = one.end()
    assert code == 130
    assert "Traceback" not in out + err
