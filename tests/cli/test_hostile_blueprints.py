"""Blueprints that are out to hurt, each in a process of its own: one line, code 2, nothing out of proportion.

The cases are those of `proofs/hostile_blueprints.py`, which measures that each ends within a second and 100 MB.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.untraced

HERE = Path(__file__).resolve()


def _cases() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "hostile_cases", HERE.parents[2] / "proofs/_hostile_cases.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cases = _cases()
PARTS, GRAPH = cases.PARTS, cases.GRAPH
HOSTILE, PATHS, CROWDS = cases.HOSTILE, cases.PATHS, cases.CROWDS
MEGABYTES = 100.0


Call = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a module of components, which notes that it was imported."""
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Return what has imported headrace once for all processes that need no environment of their own."""
    one = cases.Server()
    yield one
    one.close()


@pytest.fixture
def call(folder: Path, server: Any) -> Call:
    """Return a function that runs both commands in a process of its own, measured."""

    def run(*arguments: str, **extra: str) -> dict[str, Any]:
        run_measured = cases.run_measured if extra else server.run_measured
        ends: dict[str, Any] = run_measured(folder, ("check", "run"), *arguments, **extra)
        return ends

    return run


@functools.cache
def seconds_of_a_plain_one() -> float:
    """Return the processor time that checking a small good blueprint takes here and now."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "parts.py").write_text(PARTS)
        (Path(folder) / "bp.yaml").write_text(f"system: s\n{GRAPH}")
        ended = cases.run_measured(Path(folder), ("check",), "bp.yaml")["check"]
    assert ended.code == 0
    return float(ended.seconds)


def assert_is_cheap(ended: Any) -> None:
    """Assert that a command took little memory, and no time out of proportion.

    What a bomb would cost is minutes and gigabytes; "within a second" is measured by the proof of that name.
    """
    assert ended.seconds < max(10, 10 * seconds_of_a_plain_one())
    assert ended.megabytes < MEGABYTES


def assert_refused(ends: dict[str, Any], sign: str) -> None:
    """Assert that both commands ended with the same line that says what is wrong, and did not take long."""
    said = ends["check"].out.splitlines()
    assert re.match(r"[^:]+:\d+:\d+: error E\d{3} .", said[0]), said
    assert sign in said[0]
    assert len(said[0]) < 1_500, "no line repeats what it was given"
    assert said[1:] == ["1 error"]
    assert ends["run"].err.splitlines() == said
    assert ends["check"].err == ends["run"].out == ""
    for ended in ends.values():
        assert ended.code == 2
        assert_is_cheap(ended)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_blueprint_gives_one_line(name: str, folder: Path, call: Call) -> None:
    content, sign = HOSTILE[name]
    (folder / "bp.yaml").write_bytes(content)
    assert_refused(call("bp.yaml"), sign)
    assert not (folder / "touched").exists()


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("name", ["a bomb", "lists 2,000 deep", "a tag that runs a command", "empty"])
def test_the_program_itself_ends_with_its_line_and_code_2(name: str, command: str, folder: Path) -> None:
    content, sign = HOSTILE[name]
    (folder / "bp.yaml").write_bytes(content)
    line = [sys.executable, "-m", "headrace", command, "bp.yaml"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert sign in (done.stdout + done.stderr).splitlines()[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_is_no_blueprint_gives_one_line(name: str, folder: Path, call: Call) -> None:
    cases.write_paths(folder)
    path, sign = PATHS[name]
    for ended in call(path).values():
        line, *rest = (ended.out + ended.err).splitlines()
        assert ended.code == 2
        assert sign in line
        assert rest == ["1 error"]
        assert_is_for_terminals(ended)
        assert_is_cheap(ended)


# --- many mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CROWDS)
def test_very_many_mistakes_are_told_in_part(name: str, folder: Path, call: Call) -> None:
    (folder / "bp.yaml").write_bytes(CROWDS[name])
    for ended in call("bp.yaml").values():
        said = ended.out + ended.err
        assert ended.code == 2
        assert 1 <= len(said.splitlines()) <= 250, "nobody reads more"
        assert len(said) < 100_000
        assert "Traceback" not in said
        assert_is_cheap(ended)


def test_variables_do_not_make_a_file_grow_without_end(folder: Path, call: Call) -> None:
    (folder / "bp.yaml").write_text('system: "' + "${BIG}" * 100_000 + f'"\n{GRAPH}')
    assert_refused(call("bp.yaml", BIG="x" * 2_000), "E107")


# --- what must not happen ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["outside:numbers", "other.outside:numbers", "outside"])
def test_what_is_outside_the_allowed_packages_is_not_imported(
    kind: str, folder: Path, call: Call, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "other").mkdir()
    for path in (elsewhere, elsewhere / "other"):
        (path / "outside.py").write_text(PARTS)
    (elsewhere / "other" / "__init__.py").write_text(PARTS)
    (folder / "bp.yaml").write_text(f"system: s\ncomponents: {{a: {{type: '{kind}'}}}}\n")
    path = os.pathsep.join(filter(None, [str(elsewhere), os.environ.get("PYTHONPATH")]))
    assert_refused(call("bp.yaml", PYTHONPATH=path), "E24")
    assert not (folder / "imported").exists()
    if ":" in kind:
        top = kind.partition(".")[0].partition(":")[0]
        allowed = call("bp.yaml", "--allow", top, PYTHONPATH=path)
        assert {ended.code for ended in allowed.values()} == {0}, allowed
        assert (folder / "imported").exists(), "the trap works"


@pytest.mark.parametrize("text", ["no", "1:30", "0777", "1_000", "2013-01-01", "yes", "on", "0x1F", "1e3x"])
def test_what_other_readers_make_numbers_and_truths_of_stays_the_text_it_is(
    text: str, folder: Path, call: Call
) -> None:
    (folder / "bp.yaml").write_text(f"system: {text}\n{GRAPH}")
    ended = call("bp.yaml")["run"]
    assert ended.code == 0
    assert f"running {text}: 2 components" in ended.err


# --- control characters ----------------------------------------------------------------------------------------

ESCAPES = r"\e[31m\e]0;title\a\u009b2J\u202e\x7f"
NAMES = {
    "the system": f'system: "{ESCAPES}s"\n{GRAPH}',
    "a component": f'system: s\ncomponents: {{"{ESCAPES}a": {{type: "parts:numbers"}}}}\n',
    "a type": f'system: s\ncomponents: {{a: {{type: "{ESCAPES}a"}}}}\n',
    "a type of a module": f'system: s\ncomponents: {{a: {{type: "parts:{ESCAPES}a"}}}}\n',
    "a setting": f'system: s\ncomponents: {{a: {{type: "parts:numbers", config: {{"{ESCAPES}": 1}}}}}}\n',
    "a connection": f'system: s\n{GRAPH}  - "a -> {ESCAPES}.x"\n',
    "a port": f'system: s\n{GRAPH}  - "a -> b.{ESCAPES}"\n',
    "a key": f'system: s\n"{ESCAPES}": 1\n{GRAPH}',
    "a word": f'system: s\ndefaults: {{on_error: "{ESCAPES}"}}\n{GRAPH}',
    "a duration": f'system: s\ndefaults: {{backoff: "{ESCAPES}"}}\n{GRAPH}',
    "a tag": f"system: s\ndefaults: !%1b[31m {{}}\n{GRAPH}",
    "a summary": f'system: s\n{GRAPH}summary: {{in: "{ESCAPES}"}}\n',
    "an output": f'system: s\ncomponents: {{a: {{type: "parts:numbers", outputs: {{"{ESCAPES}": {{}}}}}}}}\n',
}


def assert_is_for_terminals(ended: Any) -> None:
    """Assert that nothing in what was written moves a terminal's cursor, colours it or turns the text."""
    for char in ended.out + ended.err:
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cf"), repr(char)


@pytest.mark.parametrize("where", NAMES)
def test_control_characters_do_not_reach_the_terminal(where: str, folder: Path, call: Call) -> None:
    (folder / "bp.yaml").write_text(NAMES[where])
    for ended in call("bp.yaml").values():
        assert_is_for_terminals(ended)
        assert ended.code == 2
        assert "error E" in ended.out + ended.err


def test_what_a_component_raises_does_not_reach_the_terminal_as_it_is(folder: Path, call: Call) -> None:
    raising = PARTS.replace("    pass", '    raise ValueError("\\x1b[31mred\\x1b]0;title\\x07")')
    (folder / "parts.py").write_text(raising)
    (folder / "bp.yaml").write_text("system: s\ndefaults: {attempts: 1}\n" + GRAPH)
    ended = call("bp.yaml")["run"]
    assert ended.code == 4
    assert "1 in b: ValueError \\x1b[31mred" in ended.out
    assert_is_for_terminals(ended)
    (folder / "bp.yaml").write_text("system: s\ndefaults: {attempts: 1, on_error: crash}\n" + GRAPH)
    ended = call("bp.yaml")["run"]
    assert ended.code == 1
    assert "x b crashed: ValueError \\x1b[31mred" in ended.err
    assert_is_for_terminals(ended)
