"""Messages as plain data, whatever they are and however large."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
from collections import OrderedDict, namedtuple
from decimal import Decimal
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.plain import MOST_TEXT, fields_of, plain
from headrace.model.secret import Secret

Pair = namedtuple("Pair", "a b")


class Record(msgspec.Struct):
    a: int
    b: Any = msgspec.UNSET


@dataclasses.dataclass
class Row:
    a: int
    _hidden: int = 3


class Slotted:
    __slots__ = ("a",)

    def __repr__(self) -> str:
        return "<slotted>"


class Colour(enum.Enum):
    RED = "red"


class Loud:
    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("no")


class OwnInt(int):
    def __int__(self) -> int:
        raise RuntimeError("never called")


class Array:
    """Stands for an array of numpy."""

    dtype = "int64"

    def __init__(self, length: int) -> None:
        self.length, self.shape, self.nbytes = length, (length,), length * 8

    def tolist(self) -> list[int]:
        return list(range(self.length))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (10**400, "<int of 1329 bits>"),
        ("x", "x"),
        (b"ab\xff", "ab\\xff"),
        (Secret("password"), "<secret>"),
        (datetime.date(2013, 1, 2), "2013-01-02"),
        (datetime.timedelta(seconds=3), "0:00:03"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (PurePosixPath("/a"), "/a"),
        (ValueError("bad"), "ValueError: bad"),
        ({"a": [1, (2, 3)]}, {"a": [1, [2, 3]]}),
        (OrderedDict(a=1), {"a": 1}),
        ({1: 2}, {"1": 2}),
        ({OwnInt(1)}, [1]),
        (frozenset([4]), [4]),
        (Pair(1, 2), {"a": 1, "b": 2}),
        (Record(1), {"a": 1}),
        (Record(1, Secret("p")), {"a": 1, "b": "<secret>"}),
        (Row(1), {"a": 1}),
        (SimpleNamespace(a=1, _b=2), {"a": 1}),
        (Slotted(), "<slotted>"),
        (Colour.RED, "red"),
        (Loud(), "<Loud: its text raises RuntimeError>"),
        (int, "<class 'int'>"),
        (Array(3), [0, 1, 2]),
        (Array(10_000), "<Array (10000,) int64>"),
    ],
)
def test_what_a_message_looks_like(value: object, shown: object) -> None:
    assert plain(value) == shown
    json.dumps(plain(value), allow_nan=False)


def test_subclasses_of_basic_types_are_shown_as_these() -> None:
    class OwnText(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise RuntimeError("never called")

    class OwnFloat(float):
        pass

    assert plain([OwnText("x"), OwnFloat(1.5), {OwnText("k"): 1}]) == ["x", 1.5, {"k": 1}]


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    assert plain("x" * (MOST_TEXT + 1234)) == "x" * MOST_TEXT + "... 1,234 more"
    assert plain(b"x" * (MOST_TEXT + 7)).endswith("... 8 more") is False
    assert plain(b"x" * (MOST_TEXT + 7)).endswith(" more")


def test_many_values_are_counted_beyond_the_first() -> None:
    assert plain(list(range(10)), most=4) == [0, 1, 2, "... 7 more"]
    assert plain({str(n): n for n in range(10)}, most=4) == {"0": 0, "1": 1, "2": 2, "...": "7 more"}
    assert plain({"a": [1, 2, 3], "b": 2, "c": 3}, most=4) == {"a": [1, 2, "... 1 more"], "...": "2 more"}
    assert plain([[1, 2, 3], [4]], most=3) == [[1, "... 2 more"], "... 1 more"]


def test_depth_is_bounded_also_where_a_message_holds_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "<list>" in str(plain(loop))


def test_fields_of_what_has_none() -> None:
    assert fields_of(3) is None
    assert fields_of([1]) is None
    assert fields_of({"a": 1}) == {"a": 1}
    assert fields_of(Pair(1, 2)) == {"a": 1, "b": 2}


def test_a_property_is_never_asked() -> None:
    class Trap:
        def __init__(self) -> None:
            self.a = 1

        @property
        def b(self) -> int:
            raise AssertionError("asked")

    assert plain(Trap()) == {"a": 1}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=30,
)


@given(values, st.integers(1, 40))
def test_anything_can_be_written_as_json_and_is_bounded(value: Any, most: int) -> None:
    text = json.dumps(plain(value, most), allow_nan=False)
    assert len(text) < 60 * (most + 1) + len(str(value).encode()) * 12
