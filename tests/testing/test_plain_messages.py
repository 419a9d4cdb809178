"""Messages as a blueprint's tests write them, to a port's type and back."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

import attrs
import msgspec
import numpy
import pydantic
import pytest

from headrace.model.message import Rejected
from headrace.testing._plain_messages import same, show, to_message, to_plain

T = TypeVar("T")


class Struct(msgspec.Struct):
    """A msgspec class."""

    n: int
    when: datetime.datetime | None = None


@dataclasses.dataclass
class Data:
    """A dataclass."""

    n: int
    raw: bytes = b""


@attrs.define
class Attrs:
    """An attrs class."""

    n: int


class Model(pydantic.BaseModel):
    """A pydantic class."""

    n: int


class Holder(msgspec.Struct):
    """Holds what msgspec does not know."""

    model: Model
    where: PurePosixPath


class Plain:
    """A class of the user's own."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._hidden = 1


class Slotted:
    """A class without a dictionary."""

    __slots__ = ()

    def __str__(self) -> str:
        return "slotted"


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("ä", bytes, "ä".encode()),
        ("a", bytearray, bytearray(b"a")),
        ({"n": 1}, Any, {"n": 1}),
        ({"n": 1}, T, {"n": 1}),
        ({"n": 1}, Struct, Struct(1)),
        ({"n": 1}, Data, Data(1)),
        ({"n": 1}, Attrs, Attrs(1)),
        ({"n": 1}, Model, Model(n=1)),
        ({"n": 1}, Model | None, Model(n=1)),
        ({"model": {"n": 1}, "where": "/a"}, Holder, Holder(Model(n=1), PurePosixPath("/a"))),
        ({"message": "x", "reason": "y"}, Rejected[str], Rejected("x", "y")),
        (1, float, 1.0),
        ("2024-01-02", datetime.date, datetime.date(2024, 1, 2)),
        ("red", Colour, Colour.RED),
        ([1, 2], Point, Point(1, 2)),
        ("1.5", decimal.Decimal, decimal.Decimal("1.5")),
        (1, lambda: None, 1),
    ],
)
def test_a_plain_value_becomes_a_message_of_the_ports_type(value: Any, kind: Any, message: Any) -> None:
    made = to_message(value, kind)
    assert made == message
    assert type(made) is type(message)


def test_a_class_of_the_users_own_is_called_with_the_keys() -> None:
    made = to_message({"n": 3}, Plain)
    assert isinstance(made, Plain)
    assert made.n == 3
    assert to_message(made, Plain) is made


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (1, str, "Expected `str`, got `int`"),
        ({"n": "x"}, Struct, r"Expected `int`, got `str` - at `\$.n`"),
        ({"n": "x"}, Model, "valid integer"),
        (3, Plain, "Expected `Plain`, got `int`"),
    ],
)
def test_a_value_that_does_not_fit_is_told(value: Any, kind: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_message(value, kind)


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        (b"\xff\xc3\xa4", "\\xffä"),
        (Struct(1, datetime.datetime(2024, 1, 2, 3)), {"n": 1, "when": "2024-01-02T03:00:00"}),
        (Data(1, b"x"), {"n": 1, "raw": "x"}),
        (Attrs(1), {"n": 1}),
        (Model(n=1), {"n": 1}),
        ([Model(n=1), Plain(2), Slotted()], [{"n": 1}, {"n": 2}, "slotted"]),
        (Rejected(b"x", "y"), {"message": "x", "reason": "y"}),
        ((1, {2, 1}, frozenset({"b", "a"})), [1, [1, 2], ["a", "b"]]),
        (Point(1, 2), [1, 2]),
        (Colour.RED, "red"),
        (Path("a/b"), "a/b"),
        (numpy.float64(1.5), 1.5),
        (numpy.array([1, 2]), [1, 2]),
        (ValueError("no"), "ValueError: no"),
        ({1: decimal.Decimal("1.5"), b"k": None}, {1: "1.5", "k": None}),
    ],
)
def test_a_message_becomes_plain(message: Any, plain: Any) -> None:
    assert to_plain(message) == plain


@pytest.mark.parametrize(
    ("want", "got", "is_same"),
    [
        (1, 1.0, True),
        (0.3, 0.1 + 0.2, True),
        (0.3, 0.3001, False),
        (math.nan, math.nan, True),
        (math.inf, math.inf, True),
        (1, True, False),
        (True, True, True),
        ("1", 1, False),
        (None, None, True),
        ([1, [2]], [1, [2]], True),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": 1}, [1], False),
    ],
)
def test_values_are_compared_as_people_mean_it(want: Any, got: Any, is_same: bool) -> None:
    assert same(want, got) is is_same


def test_a_partial_table_may_leave_out_keys_at_any_depth() -> None:
    got = {"a": [{"b": 1, "c": 2}], "d": 3}
    assert same({"a": [{"b": 1}]}, got, partial=True)
    assert not same({"a": [{"x": 1}]}, got, partial=True)
    assert not same({"a": []}, got, partial=True)


def test_values_are_shown_as_json_in_one_line() -> None:
    assert show({"ä": [None, "x\n"]}) == '{"ä": [null, "x\\n"]}'
    assert show("x" * 1000) == '"' + "x" * 196 + "..."
    assert show(object).startswith('"<class')
