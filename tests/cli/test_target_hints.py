"""A TARGET that names no system: what was meant is said, and nothing of the user's is imported for that."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click import UsageError
from click.testing import Result

from headrace.cli.target import default_target, load_target
from headrace.cli.target_hints import blueprints_here, python_target, systems_in
from headrace.exceptions import BlueprintError

PROGRAM = """from headrace import HarnessComponent, System, component
raise SystemExit("it was imported")
"""
PARTS = """from headrace import HarnessComponent, System, component

@component
def double(number: int) -> int:
    return number * 2

class Thing(HarnessComponent):
    async def process(self) -> None: ...

thing = Thing("thing")
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


@pytest.mark.parametrize(
    ("file", "body", "target", "says"),
    [
        (
            "pipe.py",
            "pipe = System('p')",
            "pipe.py",
            "'pipe.py' is a Python file, not a module, write pipe:pipe",
        ),
        (
            "pipe.py",
            "p: System = System('p')",
            "pipe",
            "is a module: it does not say which system, write pipe:p",
        ),
        ("pipe.py", "import headrace\nx = headrace.System('p')", "pipe.py", "write pipe:x"),
        ("pipe.py", "def make() -> System: ...", "pipe", "write pipe:make"),
        ("pipe.py", "def make() -> 'headrace.System': ...", "pipe", "write pipe:make"),
        ("pipe.py", "a = System('a')\nb = System('b')", "pipe", "write one of pipe:a, pipe:b"),
        ("pipe.py", "x = 3\ny: int", "pipe", "write pipe:NAME, the variable that holds the system"),
        ("pipe.py", "x = (", "pipe", "write pipe:NAME, the variable that holds the system"),
        ("pipe.py", "x.y = System('a')\nz[0]: int = System('b')", "pipe", "write pipe:NAME"),
        ("sub/pipe.py", "p = System('p')", "sub/pipe.py", "write sub.pipe:p"),
        ("sub/pipe.py", "p = System('p')", "sub.pipe", "write sub.pipe:p"),
        ("pipe.py", "p = System('p')", "pipe.py:other", "write pipe:other"),
        ("pack/__init__.py", "p = System('p')", "pack", "write pack:p"),
        ("my-pipe.py", "p = System('p')", "my-pipe.py", "write MODULE:NAME, from a folder where MODULE"),
    ],
)
def test_a_python_file_or_a_module_alone_is_told_what_to_type(
    file: str, body: str, target: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"{PROGRAM}{body}\n", encoding="utf-8")
    found = refusal(target)
    assert says in found
    assert "error E100" in found


def test_a_python_file_elsewhere_is_told_how_it_would_be_named(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "pipe.py").write_text("p = System('p')", encoding="utf-8")
    target = str(tmp_path.parent / "outside.py")
    Path(target).write_text("p = System('p')", encoding="utf-8")
    assert "from a folder where MODULE can be imported" in refusal(target)


@pytest.mark.parametrize("target", ["gone.py", "gone", "app.yaml", "gone.py:system", "a b", "pipe:system"])
def test_what_names_no_python_file_is_none_of_its_business(target: str) -> None:
    assert python_target(target) is None


def test_a_blueprint_beside_a_module_of_the_same_name_is_the_blueprint(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("system: app", encoding="utf-8")
    (tmp_path / "app.py").write_text("", encoding="utf-8")
    assert python_target("app") is None


def test_a_file_that_cannot_be_read_holds_no_systems(tmp_path: Path) -> None:
    assert systems_in(tmp_path / "gone.py") == []


@pytest.mark.parametrize(
    ("target", "more", "says"),
    [
        ("m:double", "", "'m:double' is a component, not a system, put it into one: system = System('m')"),
        ("m:Thing", "", "'m:Thing' is a component class, not a system, put it into one"),
        ("m:Thing", "s = System('s')", "'m:Thing' is a component class, not a system, write m:s"),
        (
            "m:thing",
            "s = System('s')\nt = System('t')",
            "'m:thing' is a component, not a system, write m:s or m:t",
        ),
    ],
)
def test_a_component_in_place_of_a_system_is_told_where_the_system_is(
    target: str, more: str, says: str, module: Callable[[str, str], str]
) -> None:
    module("m", PARTS + more + "\n")
    found = refusal(target)
    assert says in found
    assert "E243" in found


# --- no target ------------------------------------------------------------------------------------


def test_the_only_blueprint_here_is_meant(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# about\n'system': a\n", encoding="utf-8")
    (tmp_path / "values.yaml").write_text("defaults:\n  system: no\n", encoding="utf-8")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yml").symlink_to(tmp_path / "gone")
    assert default_target() == "a.yaml"


def test_a_blueprint_with_a_byte_order_mark_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfsystem: a\n")
    assert blueprints_here() == ["a.yml"]


def test_a_file_that_cannot_be_opened_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("system: a", encoding="utf-8")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    assert blueprints_here() == []


def test_without_any_and_with_several_it_is_said(tmp_path: Path, invoke: Callable[..., Result]) -> None:
    with pytest.raises(UsageError, match=r"no blueprint .* is in this folder"):
        default_target()
    for name in ("b.yaml", "a.yml"):
        (tmp_path / name).write_text("system: x\n", encoding="utf-8")
    for command in ("check", "graph", "run"):
        result = invoke(command)
        assert isinstance(result.exception, UsageError)
        assert "there are a.yml, b.yaml: name the one that is meant" in str(result.exception)
