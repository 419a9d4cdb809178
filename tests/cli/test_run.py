"""``headrace run`` in a process of its own: exit codes, what goes to which output, logs, closed pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.cli.main import BROKEN_PIPE

Start = Callable[..., "Running"]  # type: ignore[name-defined]  # noqa: F821 - see conftest
BACKENDS = ["asyncio", "trio"]
FINISHED = "in 10 out 10 rejected 0 lost 0 in 0.0 s"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "code", "last"),
    [
        ("finishes", 0, "in 10 out 10 rejected 0 lost 0 in"),
        ("make", 0, "in 10 out 10 rejected 0 lost 0 in"),
        ("fails_in_setup", 1, "in 0 out 0 rejected 0 lost 0 in"),
        ("fails", 4, "in 10 out 9 rejected 0 lost 0 dead 1 in"),
    ],
)
def test_each_end_has_its_code_and_the_summary_is_the_last_line(
    name: str, code: int, last: str, backend: str, start: Start
) -> None:
    ended, out, err = start("run", f"systems:{name}", "--backend", backend).end()
    assert ended == code
    assert out.splitlines()[-1].startswith(last)
    assert out.endswith(" s\n")
    assert "Traceback" not in err
    if name != "fails_in_setup":
        assert f"running small: 2 components, 1 connection, {backend}" in err.splitlines()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "delivered"), [("crashes", 3), ("exits", 0), ("fails_twice", 0)])
def test_a_crash_ends_with_code_1_and_a_summary_that_adds_up(
    name: str, delivered: int, backend: str, start: Start
) -> None:
    ended, out, err = start("run", f"systems:{name}", "--backend", backend).end()
    assert ended == 1
    summary = re.fullmatch(r"in (\d+) out (\d+) rejected 0 lost (\d+) dead 1 in .* s", out.splitlines()[-1])
    assert summary is not None
    taken, out_of_it, lost = map(int, summary.groups())
    assert out_of_it == delivered
    assert taken == delivered + lost + 1  # how far the source got is a matter of turns
    assert "Traceback" not in err


def test_dead_letters_can_be_allowed(start: Start) -> None:
    code, out, err = start("run", "systems:fails", "--allow-dead").end()
    assert code == 0
    assert "dead letters: 1" in out.splitlines()
    assert any(
        line.startswith("  1 in fail: ValueError not that one at systems.py:") for line in out.splitlines()
    )
    assert "message dead-lettered" in err


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_crash_is_a_card_on_stderr_and_a_line_among_the_results(backend: str, start: Start) -> None:
    _, out, err = start("run", "systems:crashes", "--backend", backend).end()
    (card,) = [line for line in err.splitlines() if line.startswith("x ")]
    assert card.startswith("x crash crashed: KeyError 'id' at systems.py:")
    assert '        {}["id"]' not in err
    assert 'in crash: {}["id"]' in err
    (line,) = [line for line in out.splitlines() if line.startswith("failed:")]
    assert card == f"{line.replace('failed: ', 'x ', 1)}; message saved as dead letter 1"


def test_debug_shows_the_whole_traceback(start: Start) -> None:
    _, _, err = start("run", "systems:crashes", "--debug").end()
    assert "    Traceback (most recent call last):" in err.splitlines()


def test_several_errors_are_told_first_first(start: Start) -> None:
    _, out, _ = start("run", "systems:fails_twice").end()
    failed = [line.split(" at ")[0] for line in out.splitlines() if line.startswith("failed:")]
    assert failed == [
        "failed: several crashed: ValueError first",
        "failed: several crashed: KeyError 'second'",
    ]


def test_quiet_leaves_the_summary_and_the_failures(start: Start) -> None:
    code, out, err = start("run", "systems:finishes", "--quiet").end()
    assert code == 0
    assert out.splitlines()[:10] == [str(number) for number in range(10)]
    assert len(out.splitlines()) == 11
    assert err == ""
    _, out, err = start("run", "systems:crashes", "--quiet").end()
    assert len(out.splitlines()) == 1
    assert err.startswith("x crash crashed")


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("nowhere.yaml", "nowhere.yaml:1:1: error E100 there is no such file"),
        (".", ".:1:1: error E100 cannot be read: Is a directory"),
        ("systems:nothing", "systems.py:1:1: error E243 module 'systems' has no 'nothing'"),
        ("systems:not_a_system", "error E243 'systems:not_a_system' is a int, not a system"),
        ("systems:unconnected", "error E224 input 'show.in' is not connected"),
        ("systems:make_badly", "error E242 'systems:make_badly' cannot be called: RuntimeError no plan"),
        ("systems:make_unwired", "error E221 no component is named 'tale' (in 'tale')"),
        ("raises:system", "raises.py:6:1: error E242 module 'raises' cannot be imported: ValueError"),
    ],
)
def test_what_cannot_be_loaded_is_told_as_check_does_with_code_2(
    target: str, line: str, start: Start
) -> None:
    code, out, err = start("run", target).end()
    assert code == 2
    assert line in err
    assert (len(err.splitlines()), err.splitlines()[1:]) == (2, ["1 error"])
    assert start("check", target).end() == (2, err, out)
    assert "Traceback" not in out + err


def test_a_blueprint_runs_and_its_mistakes_are_counted(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n3,4\n")
    text = (
        "system: copy\ncomponents:\n  rows: {type: csv_source, config: {path: in.csv}}\n"
        "  out: {type: console_sink, config: {format: json}}\nconnections:\n  - rows -> out\n"
    )
    (tmp_path / "bp.yaml").write_text(text)
    code, out, err = start("run", "bp.yaml", folder=tmp_path).end()
    assert code == 0, err
    assert [json.loads(line) for line in out.splitlines()[:2]] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert out.splitlines()[-1].startswith("in 2 out 2 rejected 0 lost 0 in")
    (tmp_path / "bad.yaml").write_text(text.replace("csv_source", "csv_surce").replace("format", "fromat"))
    code, out, err = start("run", "bad.yaml", folder=tmp_path).end()
    assert code == 2
    assert err.splitlines()[-1] == "2 errors"
    assert out == ""


def test_json_logs_are_one_object_a_line_and_hold_what_was_extra(start: Start) -> None:
    _, out, err = start("run", "systems:logs", "--log-format", "json").end()
    records = [json.loads(line) for line in err.splitlines()]
    events = [record["event"] for record in records]
    assert events[0] == "running"
    assert events[-1] == "ended"
    mine = [record for record in records if record["event"] == "saw it"]
    assert [record["number"] for record in mine] == list(range(10))
    assert mine[0].items() >= {"level": "info", "logger": "mine"}.items()
    assert "timestamp" in mine[0]
    assert out.splitlines()[-1].startswith("in 10 out 10")


@pytest.mark.parametrize("backend", BACKENDS)
def test_json_logs_hold_a_crash_with_its_traceback(backend: str, start: Start) -> None:
    code, _, err = start("run", "systems:crashes", "--log-format", "json", "--backend", backend).end()
    records = [json.loads(line) for line in err.splitlines()]
    (crash,) = [record for record in records if record["event"] == "component crashed"]
    assert code == 1
    assert crash["component"] == "crash"
    assert "KeyError" in crash["exception"]


def test_logs_below_the_level_are_left_out(start: Start) -> None:
    _, _, err = start("run", "systems:logs").end()
    assert err.count("saw it") == 10
    assert "running components" not in err, "the command line says this in its own way"
    _, _, err = start("run", "systems:logs", "--log-level", "warning").end()
    assert "saw it" not in err


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reader_that_goes_away_drains_the_system(backend: str, apps: Path) -> None:
    command = [sys.executable, "-m", "headrace", "run", "systems:endless", "--backend", backend]
    with subprocess.Popen(
        command, cwd=apps, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stderr is not None
        assert one.stdout.readline() == "0\n"
        one.stdout.close()
        err = one.stderr.read()
        assert one.wait(timeout=60) == BROKEN_PIPE
    assert err == f"running small: 2 components, 1 connection, {backend}\n"


def test_closed_outputs_are_no_error(apps: Path) -> None:
    command = f"exec {sys.executable} -m headrace run systems:finishes >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], cwd=apps, check=False).returncode == 0


def test_what_is_printed_into_a_pipe_comes_out_while_it_runs(start: Start) -> None:
    one = start("run", "systems:endless")
    assert one.process.stdout.readline() == "0\n"
    assert one.process.poll() is None


def test_no_colour_and_no_live_line_in_a_pipe(start: Start) -> None:
    _, out, err = start("run", "systems:crashes", FORCE_COLOR="1", TERM="xterm").end()
    assert "\x1b" not in out + err


def test_a_backend_that_is_not_installed_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from headrace.cli import run as run_module
    from headrace.cli.main import run_cli

    monkeypatch.setattr(run_module, "find_spec", lambda name: None)
    assert run_cli(["run", "x", "--backend", "trio"]) == 2
    assert "trio is not installed: pip install 'headrace[trio]'" in capsys.readouterr().err


def test_it_can_be_run_from_anywhere(start: Start, tmp_path: Path, apps: Path) -> None:
    code, _, _ = start("run", "systems:finishes", folder=tmp_path, PYTHONPATH=os.fspath(apps)).end()
    assert code == 0


# --- restarts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_crash_of_a_component_that_is_restarted_is_a_card_that_says_what_follows(
    backend: str, start: Start
) -> None:
    code, out, err = start("run", "systems:restarts", "--backend", backend).end()
    cards = [line for line in err.splitlines() if line.startswith("x ")]
    assert len(cards) == 3
    for number, card in enumerate(cards, 1):
        form = rf"x parse crashed \(restart {number}/5 in 0\.\d+ s\): KeyError 'id' at systems.py:\d+; "
        assert re.match(form, card), card
    assert cards[0].endswith("its 1 message in hand will come again")
    assert cards[2].endswith("message saved as dead letter 1")
    assert code == 4
    told = "restarted: parse 3 times, 2 messages delivered again, last error: KeyError 'id'"
    assert told in out.splitlines()
    assert out.splitlines()[-1].startswith("in 10 out 9 rejected 0 lost 0 dead 1 in")


def test_a_storm_is_given_up_with_the_first_error_first_and_no_raw_group(start: Start) -> None:
    code, out, err = start("run", "systems:storms").end()
    cards = [line for line in err.splitlines() if line.startswith("x ")]
    assert cards[-1].startswith("x parse crashed (given up after 2 restarts): KeyError 'id' at systems.py:")
    failed = [line for line in out.splitlines() if line.startswith("failed: ")]
    assert failed[0].startswith("failed: parse crashed after 2 restarts within 60 s: KeyError 'id'")
    assert code == 1
    assert "ExceptionGroup" not in err + out
    assert "Traceback" not in err + out
    _, _, err = start("run", "systems:storms", "--debug").end()
    assert "Traceback" in err


def test_restarts_are_in_json_logs_and_in_the_json_report(start: Start) -> None:
    _, out, err = start("run", "systems:restarts", "--format", "json", "--log-format", "json").end()
    [told] = json.loads(out.splitlines()[-1])["restarts"]
    assert told == {
        "component": "parse",
        "restarts": 3,
        "redelivered": 2,
        "state_lost": "",
        "from_the_start": False,
        "last_error": "KeyError 'id'",
        "troubles": [],
    }
    logs = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    crashes = [log for log in logs if log["event"] == "component crashed"]
    assert [(log["component"], log["restart"], log["of"]) for log in crashes] == [
        ("parse", number, 5) for number in (1, 2, 3)
    ]
    assert [log["restarts"] for log in logs if log["event"] == "component restarted"] == [1, 2, 3]
