"""The first example, on both backends."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

APP = Path(__file__).resolve().parent.parent.parent / "examples" / "00-hello" / "app.py"


@pytest.fixture
def app() -> ModuleType:
    """Return the program as a module, loaded anew."""
    spec = importlib.util.spec_from_file_location("hello_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_it_shouts_the_long_words(app: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    report = await app.system.run()
    assert capsys.readouterr().out.split() == ["QUICK", "BROWN", "JUMPS", "OVER", "LAZY"]
    assert report.summary().startswith("in 9 out 5 rejected 0 lost 0 in ")
    assert report.clean
    assert report.exit_code() == 0


def test_its_functions_are_still_functions(app: ModuleType) -> None:
    assert app.shout("quick") == "QUICK"
    assert app.shout("fox") is None


def test_it_is_about_fifteen_lines_of_code() -> None:
    code = [line for line in APP.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(code) <= 22
