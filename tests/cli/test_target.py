"""``module:attribute``: found, made, checked, and each mistake a line with a place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.cli.target import load_target
from headrace.exceptions import BlueprintError

Module = Callable[[str, str], str]

PARTS = """from headrace import System, component

@component
def ten():
    yield from range(10)

@component
def show(number: int) -> None: ...
"""


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def refusal(target: str) -> str:
    """Return the one problem of a target."""
    with pytest.raises(BlueprintError) as caught:
        load_target(target)
    (problem,) = caught.value.problems
    return str(problem)


def test_a_system_in_a_module_of_the_current_folder_is_found(module: Module) -> None:
    module("mine", PARTS + "system: System = System('mine')\nsystem.add('ten', ten)\n")
    loaded = load_target("mine:system")
    assert loaded.harness.name == "mine"
    assert loaded.target == "mine:system"
    assert [str(warning.position) for warning in loaded.warnings] == ["mine.py:10:1"]


def test_a_function_that_makes_a_system_is_called(module: Module) -> None:
    module("maker", PARTS + "def make():\n    made = System('made')\n    return made\n")
    assert load_target("maker:make").harness.name == "made"


def test_an_attribute_of_an_attribute_is_found(module: Module) -> None:
    module("nested", PARTS + "class All:\n    first = System('first')\n")
    assert load_target("nested:All.first").harness.name == "first"


@pytest.mark.parametrize(
    ("target", "text", "line"),
    [
        ("gone:system", "", "gone:system:1:1: error E242 there is no module 'gone', check its name"),
        (
            "m:sytem",
            "system = System('s')",
            "m.py:1:1: error E243 module 'm' has no 'sytem', did you mean 'system'?",
        ),
        ("m:system", "", "m.py:1:1: error E243 module 'm' has no 'system', name the variable or function"),
        ("m:mak", "def make(): ...", "m.py:1:1: error E243 module 'm' has no 'mak', did you mean 'make'?"),
        (
            "m:other",
            "def make(): ...\nsystem = System('s')",
            "m.py:1:1: error E243 module 'm' has no 'other', known: system",
        ),
        (
            "m:three",
            "\nthree, four = 3, 4\nfive = 5",
            "m.py:1:1: error E243 'm:three' is a int, not a system",
        ),
        ("m:t", "class t:\n    pass", "m.py:9:1: error E243 'm:t' is a t, not a system"),
        ("m:five", "\nfive = 5", "m.py:10:1: error E243 'm:five' is a int, not a system"),
        (
            "m:f",
            "def f():\n    raise ValueError('no')",
            "m.py:10:1: error E242 'm:f' cannot be called: ValueError no",
        ),
        ("m:f", "def f(x):\n    pass", "m:f:1:1: error E242 'm:f' cannot be called: TypeError"),
        ("m:s", "int('x')", "m.py:9:1: error E242 module 'm' cannot be imported: ValueError invalid literal"),
        (
            "m:s",
            "import nowhere",
            "m.py:9:1: error E242 module 'm' cannot be imported: ModuleNotFoundError No",
        ),
        ("m:s", "raise SystemExit(3)", "m.py:9:1: error E242 module 'm' cannot be imported: SystemExit 3"),
        ("m:s", "def s(:", "m.py:9:1: error E242 module 'm' cannot be imported: SyntaxError invalid syntax"),
        (
            "m:s",
            "s = System('s')\ns.add('ten', ten)\ns.add('show', show)\ns.connect('ten', 'shaw')",
            "m.py:12:1: error E221 no component is named 'shaw' (in 'shaw'), did you mean 'show'?",
        ),
        (
            "m:s",
            "\ns = System('s')\ns.add('show', show)",
            "m.py:11:1: error E224 input 'show.in' is not connected",
        ),
    ],
)
def test_each_mistake_is_one_line_with_its_place(target: str, text: str, line: str, module: Module) -> None:
    module("m", PARTS + text + "\n")
    assert refusal(target).startswith(line)


def test_a_cycle_that_can_block_is_warned_of(module: Module) -> None:
    text = """
@component
def echo(number: int) -> int:
    return number

s = System('s')
s.add('a', echo)
s.add('b', echo)
s.connect('a', 'b')
s.connect('b', 'a')
"""
    module("circle", PARTS + text)
    (warning,) = load_target("circle:s").warnings
    assert warning.code == "W302"
    assert "a, b" in warning.message


def test_a_module_without_a_file_has_the_target_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("sys:nothing").startswith("sys:nothing:1:1: error E243")


def test_a_path_that_exists_is_a_blueprint_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a:b").write_text("system: s\ncomponents: {}\n")
    with pytest.raises(BlueprintError) as caught:
        load_target("a:b")
    assert caught.value.problems[0].position.file == "a:b"
