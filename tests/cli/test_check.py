"""``headrace check``: every mistake with its place and its mend, never a traceback."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

Invoke = Callable[..., Result]
Module = Callable[[str, str], str]
InTerminal = Callable[..., tuple[int, str]]

BLUEPRINTS = Path(__file__).parent.parent / "blueprints"
BROKEN = sorted((BLUEPRINTS / "broken").glob("*.yaml"))
LINE = re.compile(r"^(?P<file>[^:]+):\d+:\d+: (error|warning) [EW]\d{3} .+, .+")

GOOD = """
from headrace import System, component

@component
def ten():
    yield from range(10)

@component
def show(number: int) -> None: ...

system = System("good")
system.add("ten", ten)
system.add("show", show)
system.connect("ten", "show")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with all broken blueprints, whose modules are not loaded, neither before nor after."""
    shutil.copytree(BLUEPRINTS / "broken", tmp_path, dirs_exist_ok=True)
    names = [path.stem for path in tmp_path.glob("*.py")]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    yield tmp_path
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def test_there_are_at_least_25_broken_blueprints() -> None:
    assert len(BROKEN) >= 25


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_blueprint_exits_with_2_and_every_line_has_place_and_mend(
    path: Path, invoke: Invoke, folder: Path
) -> None:
    result = invoke("check", path.name)
    *lines, last = result.stdout.splitlines()
    assert result.exit_code == 2
    assert re.fullmatch(r"\d+ errors?(, \d+ warnings?)?", last)
    assert lines
    for line in lines:
        found = LINE.match(line)
        assert found, line
        assert found["file"] == path.name
    assert "Traceback" not in result.output


def test_a_directory_and_a_missing_file_are_one_line(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "flights.yaml").touch()
    missing = invoke("check", "flihgts.yaml")
    assert missing.exit_code == 2
    assert missing.stdout.splitlines() == [
        "flihgts.yaml:1:1: error E100 there is no such file, did you mean 'flights.yaml'?",
        "1 error",
    ]
    directory = invoke("check", ".")
    assert directory.exit_code == 2
    assert directory.stdout.startswith(".:1:1: error E100 cannot be read: Is a directory")


def test_a_missing_file_in_a_missing_folder_is_explained(invoke: Invoke) -> None:
    assert "name a blueprint (a YAML file), or module:attribute" in invoke("check", "no/where.yaml").stdout


def test_a_good_system_says_so_and_exits_with_0(invoke: Invoke, module: Module) -> None:
    module("good_system", GOOD)
    result = invoke("check", "good_system:system")
    assert result.exit_code == 0
    assert result.stdout == "good_system:system: ok, 2 components, 1 connection\n"


def test_warnings_exit_with_0_and_with_2_where_strict(invoke: Invoke, module: Module) -> None:
    module("warned", GOOD.replace("-> None", "-> int"))
    result = invoke("check", "warned:system")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("warned.py:13:1: warning W301 output 'show.out' is not")
    assert result.stdout.splitlines()[-1] == "warned:system: ok, 2 components, 1 connection, 1 warning"
    strict = invoke("check", "warned:system", "--strict")
    assert strict.exit_code == 2
    assert strict.stdout.splitlines()[-1] == "1 warning"


def test_json_holds_the_same_and_nothing_else(invoke: Invoke, folder: Path, module: Module) -> None:
    module("chatty", "print('being imported')\n" + GOOD)
    good = invoke("check", "chatty:system", "--format", "json")
    assert good.exit_code == 0
    assert json.loads(good.stdout) == {
        "target": "chatty:system",
        "ok": True,
        "errors": 0,
        "warnings": 0,
        "components": 2,
        "connections": 1,
        "problems": [],
    }
    bad = invoke("check", "component_typo.yaml", "--format", "json")
    found = json.loads(bad.stdout)
    assert bad.exit_code == 2
    assert not found["ok"]
    assert found["errors"] == len(found["problems"]) == 1
    (problem,) = found["problems"]
    assert problem.items() >= {"file": "component_typo.yaml", "line": 7, "column": 10, "code": "E221"}.items()
    assert problem["hint"] == "did you mean 'bee'?"


def test_allow_lets_a_blueprint_use_a_package(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "allowed_parts.py").write_text(
        "from headrace import component\n\n@component\ndef ten():\n    yield 1\n"
    )
    monkeypatch.syspath_prepend(str(elsewhere))
    (tmp_path / "bp.yaml").write_text(
        "system: s\ncomponents:\n  ten: {type: 'allowed_parts:ten'}\n  sink: {type: console_sink}\n"
        "connections:\n  - ten -> sink\n"
    )
    refused = invoke("check", "bp.yaml")
    assert refused.exit_code == 2
    assert "E241" in refused.stdout
    assert invoke("check", "bp.yaml", "--allow", "allowed_parts").exit_code == 0


def test_a_terminal_gets_a_caret_below_the_line(folder: Path, in_terminal: InTerminal) -> None:
    code, shown = in_terminal(["check", "component_typo.yaml"], folder)
    assert code == 2
    lines = shown.splitlines()
    assert lines[1].strip() == (folder / "component_typo.yaml").read_text().splitlines()[6].strip()
    assert lines[2].index("^") == 4 + 9


def test_an_output_that_is_full_is_told_in_one_line() -> None:
    broken = Path(__file__).resolve().parents[1] / "blueprints" / "broken" / "bomb.yaml"
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "headrace", "check", str(broken)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: No space left on device\n"


SLEEPY = """
import time

from headrace import HarnessComponent, In, System, component

@component
def numbers():
    yield 1

class Sleepy(HarnessComponent):
    in_: In[int]

    async def process(self):
        async for number in self.in_:
            time.sleep(number)

system = System("s")
system.add("numbers", numbers)
system.add("sleepy", Sleepy)
system.connect("numbers", "sleepy")
"""
BLOCKING = "sleepy.py:15:13: warning W310 time.sleep(...) blocks the event loop: all components stand still"


def test_the_sources_of_components_are_looked_at_in_a_program_and_in_a_blueprint(
    invoke: Invoke, module: Module, tmp_path: Path
) -> None:
    module("sleepy", SLEEPY)
    program = invoke("check", "sleepy:system")
    assert program.exit_code == 0
    assert program.stdout.splitlines()[0].startswith(BLOCKING)
    assert invoke("check", "sleepy:system", "--strict").exit_code == 2
    (tmp_path / "sleepy.yaml").write_text(
        'system: s\ncomponents:\n  a: {type: "sleepy:numbers"}\n  b: {type: "sleepy:Sleepy"}\n'
        "connections: [a -> b]\n"
    )
    blueprint = invoke("check", "sleepy.yaml")
    assert blueprint.exit_code == 0
    assert blueprint.stdout.splitlines()[0].startswith(BLOCKING)
    assert blueprint.stdout.splitlines()[-1] == "sleepy.yaml: ok, 2 components, 1 connection, 1 warning"
    (problem,) = json.loads(invoke("check", "sleepy.yaml", "--format", "json").stdout)["problems"]
    assert problem.items() >= {"file": "sleepy.py", "line": 15, "column": 13, "code": "W310"}.items()


def test_a_comment_silences_a_warning(invoke: Invoke, module: Module) -> None:
    module("quiet", SLEEPY.replace("time.sleep(number)", "time.sleep(number)  # headrace: ignore[W310]"))
    assert invoke("check", "quiet:system", "--strict").exit_code == 0


def test_a_process_that_is_not_async_is_an_error_in_a_program_and_in_a_blueprint(
    invoke: Invoke, module: Module, tmp_path: Path
) -> None:
    module(
        "plain", SLEEPY.replace("async def process(self):", "def process(self):").replace("async for", "for")
    )
    program = invoke("check", "plain:system")
    assert program.exit_code == 2
    assert program.stdout.splitlines()[0] == (
        "plain.py:19:1: error E211 sleepy: Sleepy.process() is no coroutine function, write `async def process`"
    )
    (tmp_path / "parts.py").write_text(SLEEPY.partition("system =")[0].replace("async ", ""))
    (tmp_path / "plain.yaml").write_text('system: s\ncomponents:\n  b: {type: "parts:Sleepy"}\n')
    blueprint = invoke("check", "plain.yaml")
    assert blueprint.exit_code == 2
    assert blueprint.stdout.splitlines()[0] == (
        "plain.yaml:3:13: error E211 b: Sleepy.process() is no coroutine function, write `async def process`"
    )


def test_an_empty_program_is_warned_of(invoke: Invoke, module: Module) -> None:
    module("empty", "from headrace import System\n\nsystem = System('s')\n")
    result = invoke("check", "empty:system")
    assert result.exit_code == 0
    assert result.stdout.startswith("empty.py:3:1: warning W306 the system has no components")


def test_what_is_wrong_already_is_not_warned_of(invoke: Invoke, module: Module) -> None:
    module("lonely", SLEEPY.replace('system.connect("numbers", "sleepy")', ""))
    lines = invoke("check", "lonely:system").stdout.splitlines()
    assert [line.split()[2] for line in lines[:-1]] == ["W310", "W303", "E224"]
