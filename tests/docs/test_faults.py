"""The page of faults is what the tests prove, and every row has one on both backends."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def make_faults() -> ModuleType:
    """Return docs/make_faults.py as a module."""
    spec = importlib.util.spec_from_file_location("make_faults", ROOT / "docs" / "make_faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_faults"] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(make_faults: ModuleType) -> None:
    page = make_faults.page(make_faults.proofs())
    assert make_faults.PAGE.read_text(encoding="utf-8") == page, "run: python docs/make_faults.py"


def test_every_row_has_a_test_on_both_backends_and_what_is_shown_was_shown(make_faults: ModuleType) -> None:
    assert make_faults.problems(make_faults.proofs()) == []


def test_every_row_of_the_issue_is_there(make_faults: ModuleType) -> None:
    numbered = {row for row in make_faults.ROWS if row.isdigit()}
    assert numbered == {str(number) for number in (*range(1, 21), 27, *range(38, 43), 44)}
    assert len(make_faults.ROWS) - len(numbered) == 14


def test_what_is_missing_or_wrong_is_told(make_faults: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(
        "import pytest\n"
        '@pytest.mark.fault(1, "It is named.", sees=["x failed"])\n'
        "def test_one() -> None: ...\n"
        '@pytest.mark.fault("99")\n'
        "async def test_two() -> None: ...\n"
    )
    found = make_faults.proofs(tmp_path / "tests")
    assert [(proof.test, proof.row, proof.backends) for proof in found] == [
        ("tests/test_x.py::test_one", "1", False),
        ("tests/test_x.py::test_two", "99", True),
    ]
    problems = make_faults.problems(found)
    assert "tests/test_x.py::test_two: there is no row '99'" in problems
    assert "tests/test_x.py::test_one does not show what it says" in problems
    assert "row 1 (`setup` raises) has no test on both backends" in problems
    assert "row 2 (`setup` hangs): no test says what happens" in problems
