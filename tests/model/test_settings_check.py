"""All mistakes in a component's settings at once."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from headrace.model.settings_check import find_setting_errors


class Inner(msgspec.Struct):
    """A nested setting."""

    size: int


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Settings with everything."""

    path: str
    limit: int
    inner: Inner | None = None

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError("limit is below 0")


@dataclass
class Plain:
    """Settings as a dataclass."""

    path: str


def fields(config: dict[str, object], into: type = Settings) -> list[str]:
    """Return the fields of all mistakes."""
    return [error.field for error in find_setting_errors(config, into)]


def test_sound_settings_have_no_errors() -> None:
    assert fields({"path": "x", "limit": 1, "inner": {"size": 2}}) == []


def test_unknown_missing_and_wrong_settings_are_told_together() -> None:
    assert fields({"limit": "many", "ratio": 1, "inner": {"size": "x"}}) == [
        "ratio",
        "path",
        "limit",
        "inner.size",
    ]


def test_a_setting_that_was_only_misspelt_is_not_told_as_missing_too() -> None:
    errors = find_setting_errors({"pth": "x", "limit": 1}, Settings)
    assert [(error.field, error.hint) for error in errors] == [("pth", "did you mean 'path'?")]


def test_what_only_the_whole_can_refuse_is_told_of_the_whole() -> None:
    (error,) = find_setting_errors({"path": "x", "limit": -1}, Settings)
    assert "limit is below 0" in error.message


def test_other_types_are_checked_as_a_whole() -> None:
    assert fields({"path": "x"}, Plain) == []
    assert fields({"path": 1}, Plain) == ["path"]
