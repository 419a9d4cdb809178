"""The README: short, and every command and output in it is run here."""

from __future__ import annotations

import importlib.util
import json
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
DEMO, TEST = "python3 bootstrap.py demo", "python3 bootstrap.py test"
INSTALL = "`pip install headrace` (from a checkout: `pip install .`)"


@pytest.fixture
def bootstrap() -> ModuleType:
    """Return bootstrap.py as a module."""
    spec = importlib.util.spec_from_file_location("bootstrap_of_readme", ROOT / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_under_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 80


def test_the_program_prints_what_the_readme_shows(blocks: Any, player: Any) -> None:
    shown = [block for block in blocks("README.md") if block.title or block.language == "console"]
    player.play([block for block in shown if DEMO not in block.text])


def test_the_program_is_the_first_example(blocks: Any) -> None:
    (program,) = [block for block in blocks("README.md") if block.title]
    assert program.title == "app.py"
    assert program.text == (ROOT / "examples" / "00-hello" / "app.py").read_text(encoding="utf-8")


def test_every_command_of_the_readme_is_known_to_these_tests(blocks: Any) -> None:
    found = blocks("README.md")
    played = [command for block in found if block.language == "console" for command, _ in block.exchanges()]
    assert played == ["python app.py", "headrace run app:system", DEMO]
    named = [line for block in found if block.language == "sh" for line in block.text.splitlines()]
    assert named == [TEST]
    assert README.read_text(encoding="utf-8").count("pip install") == INSTALL.count("pip install")
    assert {block.language for block in found} == {"sh", "python", "console"}


def test_pip_has_installed_this_checkout_under_the_name_in_the_readme() -> None:
    assert INSTALL in README.read_text(encoding="utf-8")
    installed = distribution("headrace")
    assert (installed.read_text("INSTALLER") or "").strip() == "pip"
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    assert origin["url"] == ROOT.as_uri()


def test_bootstrap_has_both_commands(bootstrap: ModuleType) -> None:
    for command in (DEMO, TEST):
        assert command.split()[2] in bootstrap.COMMANDS


def test_the_demo_prints_what_the_readme_shows(
    blocks: Any, player: Any, bootstrap: ModuleType, tmp_path: Path
) -> None:
    (demo,) = [b for b in blocks("README.md") if b.language == "console" and DEMO in b.text]
    ((command, shown),) = demo.exchanges()
    assert command == DEMO
    player.environment |= {"DATA": bootstrap.data_folder(), "OUT": str(tmp_path / "out")}
    (tmp_path / "out").mkdir()
    player.folder = ROOT
    player.compare(f"python {' '.join(bootstrap.DEMO)}", shown)
    assert player.code == 0
