"""``headrace test``: what it prints, in which order, and its exit codes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from headrace.cli.testing import Session, SessionOptions

PARTS = """
import threading

import anyio
from headrace import component


@component
def src():
    raise RuntimeError("must not run")
    yield ""


@component
def parse(line: str) -> str:
    print("parsing", line)
    if line == "boom":
        raise KeyError(line)
    return line.upper()


@component(on_error="crash", attempts=1)
def crash(line: str) -> str:
    raise KeyError(line)


@component
async def hang(line: str) -> str:
    await anyio.sleep_forever()
    return line


RELEASE = threading.Event()


@component
def block(line: str) -> str:
    RELEASE.wait(30)
    return line
"""

HEAD = """\
system: t
components:
  src: {type: "cli_test_parts:src"}
  parse: {type: "cli_test_parts:KIND"}
connections: [src -> parse]
"""

PASSING = "tests:\n  shouts: {component: parse, send: [a], expect: [A]}\n"
FAILING = "  fails:\n    component: parse\n    send: [a]\n    expect: [b]\n"

Invoke = Callable[..., Result]


@pytest.fixture
def write(tmp_path: Path, module: Callable[[str, str], str], invoke: Invoke) -> Callable[..., None]:
    """Return a function that writes a blueprint to the current folder."""
    module("cli_test_parts", PARTS)

    def call(tests: str, *, kind: str = "parse", name: str = "bp.yaml") -> None:
        (tmp_path / name).write_text(HEAD.replace("KIND", kind) + tests, encoding="utf-8")

    return call


def lines(text: str) -> list[str]:
    """Return lines without times."""
    return re.sub(r"\d+ ms|\d+\.\d s", "T", text).splitlines()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_passes_is_said_in_a_line_each(write: Any, invoke: Invoke, backend: str) -> None:
    write(PASSING)
    result = invoke("test", "bp.yaml", "--backend", backend)
    assert lines(result.stdout) == ["PASS shouts T", "1 passed in T"]
    assert result.exit_code == 0


def test_what_fails_is_said_with_place_and_with_what_was_printed(write: Any, invoke: Invoke) -> None:
    write(PASSING + FAILING)
    result = invoke("test", "bp.yaml")
    assert lines(result.stdout) == [
        "PASS shouts T",
        "FAIL fails T",
        'FAIL parse.out[0]: want "b" got "A" (bp.yaml:11)',
        "  | parsing a",
        "1 passed, 1 failed in T",
    ]
    assert result.exit_code == 1


def test_a_test_that_names_what_is_not_there_is_an_error(write: Any, invoke: Invoke) -> None:
    write(
        PASSING + "  typo: {component: parze, send: [a], expect: [A]}\n  also: {component: x, expect: []}\n"
    )
    result = invoke("test", "bp.yaml")
    assert lines(result.stdout) == [
        "PASS shouts T",
        "ERROR typo T",
        "bp.yaml:8:21: error E221 no component is named 'parze', did you mean 'parse'?",
        "ERROR also T",
        "bp.yaml:9:21: error E221 no component is named 'x', known: parse, src",
        "1 passed, 2 errors in T",
    ]
    assert result.exit_code == 2


def test_a_blueprint_with_mistakes_is_an_error(write: Any, invoke: Invoke) -> None:
    write("tests: {t: {expects: []}}\n")
    result = invoke("test", "bp.yaml")
    assert lines(result.stdout)[1].startswith("bp.yaml:6:13: error E102 unknown key 'expects' in a test")
    assert result.exit_code == 2
    assert invoke("test", "none.yaml").exit_code == 2


def test_names_are_chosen_with_k(write: Any, invoke: Invoke) -> None:
    write(PASSING + FAILING)
    assert lines(invoke("test", "bp.yaml", "-k", "shou").stdout) == ["PASS shouts T", "1 passed in T"]
    result = invoke("test", "bp.yaml", "-k", "nothing")
    assert result.stderr == "no tests found with 'nothing' in their names\n"
    assert result.exit_code == 2


def test_a_blueprint_without_tests_is_told(write: Any, invoke: Invoke) -> None:
    write("")
    result = invoke("test", "bp.yaml")
    assert result.stderr == "bp.yaml holds no tests: write them under 'tests:'\nno tests found\n"
    assert result.exit_code == 2


def test_json_is_one_document_of_everything(write: Any, invoke: Invoke) -> None:
    write(PASSING + FAILING + "  typo: {component: parze, expect: []}\n")
    result = invoke("test", "bp.yaml", "--format", "json")
    found = json.loads(result.stdout)
    assert {key: found[key] for key in ("passed", "failed", "error", "skipped")} == {
        "passed": 1,
        "failed": 1,
        "error": 1,
        "skipped": 0,
    }
    passed, failed, error = found["tests"]
    assert (passed["name"], passed["outcome"], passed["file"], passed["line"]) == (
        "shouts",
        "passed",
        "bp.yaml",
        7,
    )
    assert failed["mismatches"] == [
        {"message": 'parse.out[0]: want "b" got "A"', "file": "bp.yaml", "line": 11}
    ]
    assert error["problems"][0]["code"] == "E221"
    assert result.exit_code == 2


def test_further_files_change_the_blueprint(write: Any, invoke: Invoke, tmp_path: Path) -> None:
    write(PASSING)
    (tmp_path / "more.yaml").write_text("tests: {more: {component: parse, send: [b], expect: [B]}}\n")
    for arguments in (("bp.yaml", "-f", "more.yaml"), ("-f", "bp.yaml", "-f", "more.yaml")):
        assert lines(invoke("test", *arguments).stdout) == ["PASS shouts T", "PASS more T", "2 passed in T"]


def test_one_that_hangs_is_cut_off_and_said_to(write: Any, invoke: Invoke) -> None:
    write(PASSING, kind="hang")
    result = invoke("test", "bp.yaml", "--timeout", "0.05")
    assert result.exit_code == 1
    assert "waited 0.05 s for parse to end, and it is still at work: parse awaits hang()" in result.stdout


def test_one_that_blocks_the_loop_is_given_up(
    write: Any, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(PASSING, kind="block")
    monkeypatch.setattr("headrace.cli.testing._MARGIN", 0.0)
    codes: list[int] = []

    def exit_hard(code: int) -> None:
        codes.append(code)
        sys.modules["cli_test_parts"].RELEASE.set()

    for is_json in (False, True):
        sys.modules.pop("cli_test_parts", None)
        options = SessionOptions(timeout=1.0, is_json=is_json)
        Session(options, exit_hard).run(["bp.yaml"])
    assert codes == [1, 1]
    assert "FAIL it blocks the event loop in block() at cli_test_parts.py:" in capsys.readouterr().out


def test_debug_shows_tracebacks(write: Any, invoke: Invoke) -> None:
    write(PASSING, kind="crash")
    shown = invoke("test", "bp.yaml").stdout
    assert "FAIL parse failed in process: KeyError 'a' (bp.yaml:7)" in shown
    assert "Traceback" not in shown
    assert "Traceback" in invoke("test", "bp.yaml", "--debug").stdout


def test_a_backend_that_is_not_installed_is_told(
    write: Any, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(PASSING)
    monkeypatch.setattr("headrace.cli.test.find_spec", lambda name: None)
    result = invoke("test", "bp.yaml", "--backend", "trio")
    assert "trio is not installed: pip install 'headrace[trio]'" in str(result.exception)


def test_secrets_are_not_shown(write: Any, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter22")
    write('tests: {t: {component: parse, send: ["${file:secret}"], expect: [x]}}\n')
    result = invoke("test", "bp.yaml")
    assert result.exit_code == 1
    assert "hunter22" not in result.output


# --- the current folder ----------------------------------------------------------------------------

PYTEST = """
from cli_test_parts import parse

async def test_with_a_probe(probe):
    async with probe(parse) as p:
        await p.feed("a")
        assert await p.next() == "A"
"""


@pytest.fixture
def python_tests(tmp_path: Path) -> Callable[[str], None]:
    """Return a function that writes tests for pytest."""

    def call(text: str) -> None:
        (tmp_path / "cli_test_parts.py").write_text(PARTS, encoding="utf-8")
        (tmp_path / "conftest.py").write_text(
            "import sys, pathlib\nsys.path.insert(0, str(pathlib.Path(__file__).parent))\n", encoding="utf-8"
        )
        (tmp_path / "test_it.py").write_text(text, encoding="utf-8")

    return call


def test_without_a_target_everything_in_the_folder_is_run(
    write: Any, python_tests: Callable[[str], None], invoke: Invoke
) -> None:
    write(PASSING)
    write("", name="without.yaml")
    write("oops: 1\n", name="broken_without_tests.yaml")
    python_tests(PYTEST)
    result = invoke("test")
    assert lines(result.stdout) == [
        "PASS shouts T",
        "PASS test_it.py::test_with_a_probe[asyncio] T",
        "PASS test_it.py::test_with_a_probe[trio] T",
        "3 passed in T",
    ], result.output
    assert result.exit_code == 0


def test_what_pytest_says_of_failures_is_shown(python_tests: Callable[[str], None], invoke: Invoke) -> None:
    python_tests(
        "import pytest\n"
        "def test_bad():\n    assert 1 == 2\n"
        "@pytest.mark.skip\ndef test_skipped(): ...\n"
        "@pytest.fixture\ndef broken(): raise OSError('gone')\n"
        "def test_error(broken): ...\n"
    )
    result = invoke("test")
    shown = lines(result.stdout)
    assert shown[:3] == [
        "FAIL test_it.py::test_bad T",
        "SKIP test_it.py::test_skipped T",
        "FAIL test_it.py::test_error T",
    ]
    assert "assert 1 == 2" in result.stdout
    assert shown[-1] == "2 failed, 1 skipped in T"
    assert result.exit_code == 1
    result = invoke("test", "--format", "json")
    assert [test["outcome"] for test in json.loads(result.stdout)["tests"]] == ["failed", "skipped", "failed"]
    assert "assert 1 == 2" in result.stderr


def test_a_file_that_pytest_cannot_import_is_an_error(
    python_tests: Callable[[str], None], invoke: Invoke
) -> None:
    python_tests("import nothing_of_this_name\n")
    result = invoke("test")
    assert result.exit_code == 2
    assert "nothing_of_this_name" in result.stdout


def test_k_chooses_among_both(write: Any, python_tests: Callable[[str], None], invoke: Invoke) -> None:
    write(PASSING)
    python_tests(PYTEST)
    assert lines(invoke("test", "-k", "shouts").stdout) == ["PASS shouts T", "1 passed in T"]
    assert len(lines(invoke("test", "-k", "probe").stdout)) == 3


def test_a_folder_without_tests_is_told(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("test")
    assert (result.exit_code, result.stderr) == (2, "no tests found\n")


def test_without_pytest_its_tests_are_left_out_and_it_says_so(
    write: Any,
    python_tests: Callable[[str], None],
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    python_tests(PYTEST)
    monkeypatch.setattr("headrace.cli.pytest_run.find_spec", lambda name: None)
    notice = "not run, pytest is not installed: pip install pytest\n"
    result = invoke("test")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"test_it.py: {notice}")
    write(PASSING)
    result = invoke("test")
    assert lines(result.stdout) == ["PASS shouts T", "1 passed in T"]
    assert (result.exit_code, result.stderr) == (0, f"test_it.py: {notice}")
    (tmp_path / "other_test.py").touch()
    assert invoke("test").stderr == f"other_test.py and 1 more: {notice}"
    assert json.loads(invoke("test", "--format", "json").stdout)["passed"] == 1


def test_the_command_works_as_a_program(write: Any, start: Any, tmp_path: Path) -> None:
    (tmp_path / "cli_test_parts.py").write_text(PARTS, encoding="utf-8")
    write(PASSING)
    code, out, err = start("test", folder=tmp_path).end()
    assert lines(out) == ["PASS shouts T", "1 passed in T"], err
    assert code == 0
    assert err == ""
    assert sys.executable
