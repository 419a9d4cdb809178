"""Component types for the schema; what the command makes of them is in tests/cli/test_schema.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.components import CsvSource
from headrace.runtime import known_types
from headrace.runtime.known_types import KnownTypes, known_type


def test_an_installed_type_that_cannot_be_imported_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_types, "component_types", lambda: {"ghost": None})
    known = KnownTypes()
    known.add_installed()
    assert [(kind.name, kind.settings) for kind in known.types] == [("ghost", None)]
    assert known.notes[0].startswith("type 'ghost' is left out: ")


def test_a_type_says_what_it_is_and_what_it_takes() -> None:
    kind = known_type("csv_source", CsvSource)
    assert kind.about.startswith("Sends each record of CSV files")
    assert kind.settings is CsvSource.Config
    assert not kind.takes_attempts


def test_what_is_neither_beside_nor_allowed_is_not_imported(tmp_path: Path) -> None:
    known = KnownTypes([tmp_path])
    known.add_named("type: 'json:loads'\ntype: 'os.path:join'\n")
    assert known.types == ()
    assert known.resources == ()
    assert known.notes == []
