"""Settings become their declared type, or an error that names the one that is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
import pytest

from headrace.exceptions import ConfigError
from headrace.model.secret import Secret
from headrace.model.settings import can_convert, convert_settings


class Limits(msgspec.Struct, frozen=True):
    low: int = 0


class Config(msgspec.Struct):
    path: Path
    rate: Annotated[int, msgspec.Meta(ge=1)] = 1
    limits: Limits = Limits()
    weights: dict[str, int] = {}
    mode: Literal["fast", "safe"] = "safe"


class Renamed(msgspec.Struct, rename="kebab"):
    buffer_size: int = 1


class Checked(msgspec.Struct):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


class Outer(msgspec.Struct):
    inner: Checked


class Forward(msgspec.Struct):
    when: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Closer(Protocol):
    def close(self) -> None: ...


@dataclasses.dataclass
class Plain:
    size: int
    unit: str = "C"
    computed: int = dataclasses.field(default=0, init=False)


class Login(msgspec.Struct):
    password: Secret = Secret("")


def test_a_text_becomes_the_declared_secret_which_is_not_shown() -> None:
    made = convert_settings({"password": "hush"}, Login)
    assert made.password == "hush"
    assert repr(made) == "Login(password=<secret>)"
    kept = Secret("hush", "${file:password}")
    assert convert_settings({"password": kept}, Login).password is kept
    with pytest.raises(ConfigError, match="Expected `Secret`, got `int`"):
        convert_settings({"password": 5}, Login)


def test_a_mapping_becomes_the_declared_type() -> None:
    made = convert_settings({"path": "a/b.csv", "rate": 3, "limits": {"low": 2}}, Config)
    assert made == Config(Path("a/b.csv"), 3, Limits(2))
    assert convert_settings({"path": Path("x")}, Config).path == Path("x")
    assert convert_settings({"size": 1}, Plain) == Plain(1, "C")
    assert convert_settings({"buffer-size": 5}, Renamed).buffer_size == 5


@pytest.mark.parametrize(
    ("config", "into", "field", "text"),
    [
        ({"path": "x", "ratee": 5}, Config, "ratee", "unknown setting 'ratee'; did you mean 'rate'?"),
        ({"size": 1, "unti": "F"}, Plain, "unti", "unknown setting 'unti'; did you mean 'unit'?"),
        ({"size": 1, "computed": 1}, Plain, "computed", "unknown setting 'computed'; known: size, unit"),
        ({"buffer_size": 5}, Renamed, "buffer_size", "did you mean 'buffer-size'?"),
        ({"path": "x", 5: 5}, Config, "5", "unknown setting '5'"),
        ({}, Config, "path", "setting 'path' is missing"),
        ({}, Plain, "size", "setting 'size' is missing"),
        ({"path": "x", "rate": "5"}, Config, "rate", "setting 'rate': Expected `int`, got `str`"),
        ({"path": "x", "rate": 0}, Config, "rate", "setting 'rate': Expected `int` >= 1"),
        ({"path": 5}, Config, "path", "setting 'path': Expected `Path`, got `int`"),
        (
            {"path": "x", "mode": "slow"},
            Config,
            "mode",
            "setting 'mode': 'slow' is not one of 'fast', 'safe'",
        ),
        ({"path": "x", "limits": {"low": "z"}}, Config, "limits.low", "setting 'limits.low': Expected"),
        ({"path": "x", "weights": {"a": "z"}}, Config, "weights.a", "setting 'weights.a': Expected"),
        ({"path": "x", "mode": 5}, Config, "mode", "setting 'mode': 5 is not one of 'fast', 'safe'"),
        ({"path": "x", "mode": "sfae"}, Config, "mode", "did you mean 'safe'?"),
        ({"path": "x", "limits": {"lwo": 1}}, Config, "limits.lwo", "did you mean 'low'?"),
        ({"path": "x", "weights": {1: 1}}, Config, "weights", "setting 'weights': Expected `str`"),
        ({"low": 2, "high": 1}, Checked, "", "low is above high"),
    ],
)
def test_a_wrong_setting_is_named(config: Any, into: Any, field: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert_settings(config, into)
    assert text in str(caught.value)
    assert caught.value.field == field


def test_all_mistakes_are_told_in_one_error_that_names_the_first() -> None:
    with pytest.raises(ConfigError) as caught:
        convert_settings({"rat": 1, "mode": "sfae"}, Config)
    assert str(caught.value) == (
        "3 mistakes in the settings: unknown setting 'rat'; did you mean 'rate'?; setting 'path' is missing; "
        "add 'path: ...'; setting 'mode': 'sfae' is not one of 'fast', 'safe'; did you mean 'safe'?"
    )
    assert caught.value.field == "rat"


def test_a_missing_setting_inside_another_is_named_with_its_path() -> None:
    with pytest.raises(ConfigError, match=r"setting 'inner\.low' is missing"):
        convert_settings({"inner": {"high": 1}}, Outer)


def test_where_there_are_no_settings_the_error_says_so() -> None:
    class Empty(msgspec.Struct):
        pass

    with pytest.raises(ConfigError, match="unknown setting 'x'; there are no settings"):
        convert_settings({"x": 1}, Empty)


@pytest.mark.parametrize("into", [int, dict, type("Config", (), {}), 5])
def test_a_type_that_cannot_hold_settings_is_refused(into: Any) -> None:
    with pytest.raises(ConfigError, match="use a msgspec Struct, a dataclass or a pydantic model"):
        convert_settings({}, into)


def test_a_declaration_that_cannot_be_converted_to_is_explained() -> None:
    with pytest.raises(ConfigError, match="Forward: name 'Nowhere' is not defined"):
        convert_settings({"when": 1}, Forward)


@pytest.mark.parametrize("config", [5, [("a", 1)], "a"])
def test_settings_are_a_mapping(config: Any) -> None:
    with pytest.raises(ConfigError, match="settings are a mapping"):
        convert_settings(config, Config)


def test_it_is_known_beforehand_which_types_can_be_checked() -> None:
    assert can_convert(int)
    assert can_convert(Path | None)
    assert can_convert(object)
    assert can_convert(Callable[[int], int])
    assert not can_convert(Path | str)
    assert not can_convert(Closer)
    assert not can_convert("Nowhere")
