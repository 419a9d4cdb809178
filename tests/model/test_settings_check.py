"""All mistakes in a component's settings at once, each with the path of the setting."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.exceptions import ConfigError
from headrace.model.settings_check import find_setting_errors, read_settings


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
        if self.limit == 13:
            raise KeyError("thirteen")


@dataclass
class Plain:
    """Settings as a dataclass."""

    path: str
    sizes: list[int] = field(default_factory=list)


class Level(enum.Enum):
    """Levels."""

    LOW = "low"
    HIGH = "high"


class Tcp(msgspec.Struct, tag="tcp"):
    """One kind of server."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Unix(msgspec.Struct, tag="unix"):
    """Another kind of server."""

    path: Path


class Deep(msgspec.Struct, kw_only=True):
    """Settings within settings."""

    servers: list[Tcp | Unix] = []
    named: Mapping[str, Plain] = {}
    pair: tuple[int, Inner] | None = None
    many: tuple[Inner, ...] = ()
    few: Annotated[list[int], msgspec.Meta(max_length=2)] = []
    level: Level = Level.LOW
    either: Literal["a", 1] | None = None
    loose: Sequence[Inner] | int = 0
    text: str | int = ""
    ratio: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    on: bool = True
    note: Annotated[Level | None, msgspec.Meta(description="text")] = None


class Lost(msgspec.Struct):
    """A type that cannot be resolved."""

    when: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Odd(msgspec.Struct):
    """A type that cannot be converted to."""

    what: Path | str


def fields(config: dict[str, Any], into: Any = Settings) -> list[str]:
    """Return the fields of all mistakes."""
    return [error.field for error in find_setting_errors(config, into)]


def test_sound_settings_have_no_errors() -> None:
    assert fields({"path": "x", "limit": 1, "inner": {"size": 2}}) == []


def test_sound_settings_come_back_as_their_type() -> None:
    assert read_settings({"path": "x", "limit": 1}, Settings) == (Settings("x", 1), [])
    made, errors = read_settings(
        {"servers": [{"type": "tcp", "port": 5}, {"type": "unix", "path": "x"}], "pair": [1, {"size": 2}]},
        Deep,
    )
    assert (made, errors) == (Deep(servers=[Tcp(5), Unix(Path("x"))], pair=(1, Inner(2))), [])


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


def test_an_error_of_the_class_itself_is_told_and_not_raised() -> None:
    (error,) = find_setting_errors({"path": "x", "limit": 13}, Settings)
    assert (error.message, error.hint) == ("Settings: KeyError: 'thirteen'", "")


def test_a_dataclass_is_checked_setting_by_setting() -> None:
    assert fields({"path": "x"}, Plain) == []
    assert fields({"path": 1, "sizes": [1, "2", 3, "4"], "siezs": []}, Plain) == [
        "siezs",
        "path",
        "sizes[1]",
        "sizes[3]",
    ]


@pytest.mark.parametrize(
    ("config", "field", "message", "hint"),
    [
        (
            {"servers": [{"type": "tcp", "port": 5}, {"type": "tcp", "port": "x"}]},
            "servers[1].port",
            "Expected `int`, got `str`",
            "",
        ),
        ({"servers": [{"type": "tcp", "port": 0}]}, "servers[0].port", "Expected `int` >= 1", ""),
        (
            {"servers": [{"type": "tcp", "port": "80"}]},
            "servers[0].port",
            "got `str`",
            "write it without quotes",
        ),
        ({"servers": [{"type": "tcp"}]}, "servers[0].port", "is missing", "add 'port: ...'"),
        ({"servers": [{"type": "udp"}]}, "servers[0].type", "Invalid value 'udp'", ""),
        ({"servers": [{"type": "unix", "paht": "x"}]}, "servers[0].paht", "unknown", "did you mean 'path'?"),
        ({"servers": {}}, "servers", "Expected `array`, got `object`", ""),
        ({"servers": 5}, "servers", "Expected `array`, got `int`", ""),
        ({"named": {"a": {"path": "x"}, "b": {}}}, "named.b.path", "is missing", "add 'path: ...'"),
        ({"named": {"a": {"path": 5}}}, "named.a.path", "Expected `str`, got `int`", ""),
        ({"named": [1]}, "named", "Expected `object`, got `array`", ""),
        ({"pair": ["x", {"size": 1}]}, "pair[0]", "Expected `int`, got `str`", ""),
        ({"pair": [1, {"size": "x"}]}, "pair[1].size", "Expected `int`, got `str`", ""),
        ({"pair": [1, {"size": 1}, 3]}, "pair", "Expected `array` of length 2", ""),
        ({"many": [{"size": 1}, {}]}, "many[1].size", "is missing", "add 'size: ...'"),
        ({"few": [1, 2, 3]}, "few", "Expected `array` of length <= 2", ""),
        ({"few": [1, "2", 3]}, "few[1]", "Expected `int`, got `str`", "write it without quotes"),
        ({"level": "hihg"}, "level", "'hihg' is not one of 'low', 'high'", "did you mean 'high'?"),
        ({"level": "x"}, "level", "'x' is not one of 'low', 'high'", ""),
        ({"either": "b"}, "either", "'b' is not one of 'a', 1", ""),
        ({"either": [1]}, "either", "[1] is not one of", ""),
        ({"note": "lwo"}, "note", "'lwo' is not one of 'low', 'high'", "did you mean 'low'?"),
        ({"loose": [{"size": "x"}]}, "loose[0].size", "Expected `int`", ""),
        ({"text": 1.5}, "text", "Expected `int | str`, got `float`", ""),
        ({"ratio": "0.5"}, "ratio", "Expected `float`, got `str`", "write it without quotes"),
        ({"on": "true"}, "on", "Expected `bool`, got `str`", "write it without quotes"),
        ({"on": "yes"}, "on", "Expected `bool`, got `str`", ""),
    ],
)
def test_the_path_of_a_mistake_is_told_and_what_to_write(
    config: dict[str, Any], field: str, message: str, hint: str
) -> None:
    (error,) = find_setting_errors(config, Deep)
    assert (error.field, error.hint) == (field, hint)
    assert message in error.message


def test_a_value_that_is_one_already_is_taken() -> None:
    made, errors = read_settings({"path": "x", "limit": 1, "inner": Inner(2)}, Settings)
    assert (made, errors) == (Settings("x", 1, Inner(2)), [])


@pytest.mark.parametrize(
    ("into", "message"),
    [(Lost, "Lost: name 'Nowhere' is not defined"), (Odd, "Odd: Type unions containing a custom type")],
)
def test_a_declaration_that_cannot_be_read_is_one_mistake(into: Any, message: str) -> None:
    (error,) = find_setting_errors({"when": 1, "what": 1}, into)
    assert error.message.startswith(message)
    assert error.hint == "declare settings of simpler types"


@pytest.mark.parametrize("config", [5, [("a", 1)], None])
def test_settings_are_a_mapping(config: Any) -> None:
    (error,) = find_setting_errors(config, Settings)
    assert "settings are a mapping" in error.message


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
trees = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["size", "path", "port", "type", "sizes", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*Deep.__struct_fields__, "other"]), trees, max_size=4))
def test_whatever_is_written_is_either_converted_or_explained(config: dict[str, Any]) -> None:
    made, errors = read_settings(config, Deep)
    assert (made is None) == bool(errors)
    for error in errors:
        assert isinstance(error, ConfigError)
        assert error.field.split(".")[0].split("[")[0] in config
    if made is not None:
        assert made == msgspec.convert(config, Deep, dec_hook=lambda kind, value: kind(value))
