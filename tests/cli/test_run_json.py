"""``headrace run --format json``: one object on the last line, whatever happened, and no secrets in it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from headrace.cli.report_json import report_json
from headrace.model.ledger import EdgeLedger, SystemLedger, Totals
from headrace.model.report import DeadLetter, Failure, Overrun, ShutdownReport

Start = Callable[..., Any]


def test_the_last_line_is_the_report_and_what_components_print_comes_before(start: Start) -> None:
    code, out, err = start("run", "systems:finishes", "--format", "json").end()
    *printed, last = out.splitlines()
    assert printed == [str(number) for number in range(10)]
    told = json.loads(last)
    assert (code, told["exit_code"], told["outcome"], told["system"]) == (0, 0, "finished", "small")
    assert (told["in"], told["out"], told["lost"], told["closes"]) == (10, 10, 0, True)
    edge = {
        "edge": "ten.out -> show.in",
        "accepted": 10,
        "acknowledged": 10,
        "dropped": {},
        "dead": 0,
        "left": 0,
    }
    assert told["edges"] == [edge]
    assert told["dead_letters"] == told["failures"] == told["overruns"] == []
    assert "running" not in err


def test_a_report_after_half_a_line_begins_a_new_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "from headrace import System, component\n@component\ndef one():\n    print('half', end='')\n    yield 1\n"
        "@component\ndef take(n: int) -> None: ...\nsystem = System('half')\nsystem.add('one', one)\n"
        "system.add('take', take)\nsystem.connect('one', 'take')\n",
        encoding="utf-8",
    )
    code, out, _ = start("run", "half:system", "--format", "json", folder=tmp_path).end()
    half, last = out.splitlines()
    assert (code, half) == (0, "half")
    assert json.loads(last)["in"] == 1


def test_a_failure_is_in_it_with_its_place(start: Start) -> None:
    code, out, err = start("run", "systems:crashes", "--format", "json").end()
    told = json.loads(out.splitlines()[-1])
    assert code == told["exit_code"] == 1
    assert told["outcome"] == "failed"
    (failure,) = told["failures"]
    assert failure["phase"] == "process"
    assert "systems.py:" in failure["where"]
    assert failure["component"] in err  # its card is on stderr


def test_a_signal_is_in_it(start: Start) -> None:
    running = start("run", "systems:drains", "--format", "json")
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    code, out, _ = running.end()
    told = json.loads(out.splitlines()[-1])
    assert code == told["exit_code"] == 143
    assert told["signal"] == 15
    assert told["outcome"] == "stopped"


def test_a_system_that_cannot_be_loaded_is_told_as_json_too(invoke: Callable[..., Result]) -> None:
    result = invoke("run", "nowhere.yaml", "--format", "json")
    assert result.exit_code == 2
    told = json.loads(result.stdout)
    assert told["outcome"] == "refused"
    assert told["exit_code"] == 2
    assert told["problems"][0]["code"] == "E100"
    assert "E100" in result.stderr


def test_every_part_of_a_report_is_in_it_without_secrets() -> None:
    books = SystemLedger(
        (EdgeLedger("a.out -> b.in", 5, 2, {"overflow": 1, "drain": 0}, 1, 1, 0),),
        {"a.side": 3},
        Totals(5, 2, 0, 1, 2),
    )
    report = ShutdownReport(
        system="s",
        outcome="failed",
        signal=None,
        seconds=1.23456789,
        drain_seconds=0.5,
        failures=(Failure("b", "cleanup", ExceptionGroup("two", [ValueError("hunter2"), OSError("no")])),),
        overruns=(Overrun("b", "process", 1.5, "connect('hunter2')", "stop_timeout", {"a.out -> b.in": 2}),),
        ledger=books,
        dead_letters=(DeadLetter(7, "b", "a.out -> b.in", 1, KeyError("id"), "", 3, 12.5),),
    )
    line = report_json(report, 1, hide=lambda text: text.replace("hunter2", "<secret>"))
    assert "\n" not in line
    assert "hunter2" not in line
    told = json.loads(line)
    assert told["seconds"] == 1.234568
    assert told["edges"][0]["dropped"] == {"overflow": 1}
    assert told["discarded"] == {"a.side": 3}
    assert [failure["error"] for failure in told["failures"]] == ["ValueError <secret>", "OSError no"]
    assert told["overruns"] == [
        {
            "component": "b",
            "phase": "process",
            "after": 1.5,
            "awaiting": "connect('<secret>')",
            "deadline": "stop_timeout",
            "left": {"a.out -> b.in": 2},
        }
    ]
    letter = told["dead_letters"][0]
    assert (letter["number"], letter["attempts"], letter["at"], letter["error"]) == (
        7,
        3,
        12.5,
        "KeyError 'id'",
    )


class Broken:
    def __repr__(self) -> str:
        raise KeyError("hunter2")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"id": 5}, "{'id': 5}"),
        ("a\n b", r"'a\n b'"),
        ("password hunter2", "'password <secret>'"),
        ("x" * 500, "'" + "x" * 196 + "..."),
        ("x" * 195 + "hunter2", "'" + "x" * 195 + "<..."),
        (Broken(), "<Broken: its repr raises KeyError>"),
    ],
)
def test_a_dead_letter_shows_its_message_bounded_and_without_secrets(message: object, shown: str) -> None:
    report = ShutdownReport(
        system="s",
        outcome="finished",
        signal=None,
        seconds=1.0,
        drain_seconds=0.0,
        failures=(),
        overruns=(),
        ledger=SystemLedger((), {}, Totals(0, 0, 0, 0, 0)),
        dead_letters=(DeadLetter(1, "b", "a.out -> b.in", message, KeyError("id"), "", 3, 12.5),),
    )
    line = report_json(report, 0, hide=lambda text: text.replace("hunter2", "<secret>"))
    assert json.loads(line)["dead_letters"][0]["message"] == shown


def test_a_run_that_is_cut_short_still_ends_with_a_line_of_json(start: Start) -> None:
    running = start("run", "systems:blocks", "--format", "json")
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    code, out, _ = running.end()
    told = json.loads(out.splitlines()[-1])
    assert code == told["exit_code"] == 143
    assert told["outcome"] == "unfinished"
    assert told["edges"][0]["left"] == 1
