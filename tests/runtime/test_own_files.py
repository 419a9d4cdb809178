from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import anyio
import pytest

import headrace
from headrace.runtime.own_files import is_own, short


def test_the_users_files_are_those_of_nobody_else() -> None:
    assert is_own(__file__)
    assert not is_own(headrace.__file__)
    assert not is_own(anyio.__file__)
    assert not is_own(os.path.join(sysconfig.get_path("stdlib"), "asyncio", "tasks.py"))
    assert not is_own("<string>")


def test_a_path_below_the_current_folder_is_shown_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert short(str(tmp_path / "a" / "b.py")) == os.path.join("a", "b.py")
    assert short(str(tmp_path.parent / "b.py")) == str(tmp_path.parent / "b.py")
