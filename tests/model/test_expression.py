"""Conditions on messages: what they say, what is refused and where, and that they run nobody's code."""

from __future__ import annotations

import contextlib
import datetime
import enum
import string
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.exceptions import ConfigError
from headrace.model.expression import LONGEST, Condition, ConditionError
from headrace.model.secret import Secret


class Trap:
    """Tells when any code of it runs."""

    def __init__(self) -> None:
        self.v = 5

    def _spring(self, *args: object) -> Any:
        raise AssertionError("code of the message ran")

    __eq__ = __lt__ = __gt__ = __contains__ = __len__ = __add__ = __bool__ = __getitem__ = _spring
    __hash__ = None  # type: ignore[assignment]
    name = property(_spring)


class Reading(msgspec.Struct):
    v: int
    inner: dict[str, Any]


class Colour(enum.Enum):
    RED = "red"


ROW: dict[str, Any] = {
    "v": 4,
    "name": "alpha",
    "none": None,
    "list": [1, "two", {"x": 3}],
    "inner": {"x": 7, "from": "here"},
    "price": Decimal("1.50"),
    "at": datetime.datetime(2013, 1, 2, tzinfo=datetime.UTC),
    "colour": Colour.RED,
    "flag": True,
    "secret": Secret("password"),
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("v > 3", True),
        ("v<4", False),
        (" v >= 4 ", True),
        ("3 < v <= 4", True),
        ("1 < v < 3", False),
        ("v == 4.0", True),
        ("v != 4", False),
        ("not v == 4", False),
        ("v > 3 and name == 'beta' or flag", True),
        ("v in [1, 4]", True),
        ("v in (1, 2)", False),
        ("v not in {1, 2}", True),
        ("'two' in list", True),
        ("'lph' in name", True),
        ("'x' in inner", True),
        ("[1] in list", False),
        ("none is None", True),
        ("none == null", True),
        ("v is not None", True),
        ("v != None", True),
        ("None != none", False),
        ("none == none", False),
        ("none != 3", False),
        ("none < 3 or none > 3", False),
        ("none not in [1]", False),
        ("flag is true", True),
        ("flag == false", False),
        ("v + 1 == 5 and v - 1 == 3 and v * 2 == 8 and v / 8 == 0.5 and v // 3 == 1 and v % 3 == 1", True),
        ("-v < 0", True),
        ("abs(-v) == 4", True),
        ("price * 2 == 3", True),
        ("inner.x == 7 and inner['from'] == 'here'", True),
        ("message.inner.x == 7 and message['v'] == 4", True),
        ("list[0] == 1 and list[-1].x == 3", True),
        ("name[0] == 'a'", True),
        ("name.startswith('al') and name.endswith('ha') and name.contains('ph')", True),
        ("list.contains(1)", True),
        ("name.upper() == 'ALPHA' and name.upper().lower() == name", True),
        ("len(name) == 5 and len(list) == 3 and len(inner) == 2", True),
        ("at > '2013-01-01'", True),
        ("colour == 'red'", True),
        ("secret.startswith('pass')", False),
        ("secret == 'password'", False),
        ("name", True),
        ("none", False),
    ],
)
def test_what_a_condition_says_of_a_row(text: str, holds: bool) -> None:
    assert Condition(text)(ROW) is holds


def test_messages_of_any_kind_have_fields() -> None:
    assert Condition("v == 2 and inner.x == 1")(Reading(2, {"x": 1}))
    assert Condition("v == 2")(SimpleNamespace(v=2))
    assert Condition("message % 2 == 1")(7)
    assert Condition("message.startswith('a')")("abc")
    assert Condition("message[1] == 5")({1: 5})


@pytest.mark.parametrize("text", ["v == 5", "message == 5", "name == 'x'", "5 in message", "not message"])
def test_nothing_of_the_message_runs(text: str) -> None:
    with contextlib.suppress(KeyError, TypeError):
        Condition(text)(Trap())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("w == 1", "no field 'w'"),
        ("nam == 'a'", "no field 'nam', did you mean 'name'?"),
        ("v.x == 1", "no field 'x': int has none"),
        ("list[9] == 1", "no item 9 of 3"),
        ("v[0] == 1", "no item 0: int"),
        ("inner[2.5] == 1", "no item 2.5: dict"),
        ("v > 'a'", "cannot compare int with str"),
        ("name * 9 == 'x'", "cannot reckon with str"),
        ("v / 0 == 1", "division by zero"),
        ("price + 0.5 == 2", "unsupported operand"),
        ("1 in name", "not a text but int"),
        ("1 in v", "cannot look for something in int"),
        ("v.lower() == 'x'", "not a text but int"),
        ("len(v) == 1", "int has no length"),
        ("v * 1e308 * 1e308 == 1 or v // 1e-320 // 0 == 1", "division by zero"),
    ],
)
def test_what_does_not_fit_a_message_is_said(text: str, reason: str) -> None:
    with pytest.raises((KeyError, TypeError)) as caught:
        Condition(text)(ROW)
    assert str(caught.value.args[0]).startswith(reason) or reason in str(caught.value.args[0])


def test_numbers_stay_small() -> None:
    with pytest.raises(TypeError, match="that large"):
        Condition("v * v > 0")({"v": 1 << 5000})


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 0, "there is no condition; write one, as `v > 3`"),
        ("v >", 3, "this is not understood: invalid syntax"),
        ("  v = 3", 4, "'=' is not understood; write `==`"),
        ("v > 3 && w", 6, "'&&' is not understood; write `and`"),
        ("v > 3 AND w", 6, "'AND' is not understood; write `and`"),
        ("a == 'x || y' || b", 14, "'||' is not understood; write `or`"),
        ("!v", 0, "'!' is not understood; write `not`"),
        ("v ** 2 > 1", 5, "of arithmetic there is + - * / // %"),
        ("+v > 1", 0, "of signs there is `-`"),
        ("~v > 1", 0, "of signs there is `-`"),
        ("v > 1 and (lambda: 1)", 11, "there is no lambda"),
        ("[x for x in v]", 0, "there is no comprehension"),
        ("(w := 1) > v", 1, "there is no assignment"),
        ("f'{v}' == 1", 0, "there is no f-string"),
        ("b'x' == v", 0, "there is no bytes"),
        ("{1: 2} == v", 0, "there is no dict"),
        ("1j == v", 0, "there is no complex"),
        ("... == v", 0, "there is no ellipsis"),
        ("v[1:2] == 1", 2, "there is no slice"),
        ("v.__class__ == 1", 0, "'__class__' is private"),
        ("__import__('os')", 0, "there is no function '__import__'"),
        ("v > 1 and open('x')", 10, "there is no function 'open'"),
        ("nämé.format(1)", 0, "there is no method 'format'"),
        ("nämé == 1 and v.foo()", 14, "there is no method 'foo'"),
        ("v.startwith('a')", 0, "there is no method 'startwith'; did you mean 'startswith'?"),
        ("v.startswith()", 0, "it takes 1 value, not 0"),
        ("len(v, w)", 0, "it takes 1 value, not 2"),
        ("v.lower(1)", 0, "it takes 0 values, not 1"),
        ("len(x=v)", 0, "a call takes values only"),
        ("len(*v)", 0, "a call takes values only"),
        ("v()()", 0, "this cannot be called"),
        ("v if w else x", 0, "there is no if"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, column: int, reason: str) -> None:
    with pytest.raises(ConditionError) as caught:
        Condition(text)
    lines = str(caught.value).split("\n")
    assert reason.lower() in lines[0].lower()
    assert lines[1:] == [f"  {text}", f"  {' ' * column}^"]
    assert (caught.value.column, caught.value.field) == (column, "where")


def test_a_condition_is_bounded() -> None:
    with pytest.raises(ConfigError, match=f"at most {LONGEST:,} characters".replace(",", "")):
        Condition("v" * (LONGEST + 1))
    with pytest.raises(ConfigError, match="one line"):
        Condition("v\n> 3")
    with pytest.raises(ConditionError, match="nested too deeply"):
        Condition("not " * 200 + "v")
    with pytest.raises(ConditionError):
        Condition("(" * 450 + "v" + ")" * 450)
    with pytest.raises(ConditionError, match=r"v\?\?"):
        Condition("v\x1b\x07 >")


def test_a_condition_that_python_itself_finds_too_deep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(*args: object, **options: object) -> None:
        raise RecursionError

    monkeypatch.setattr("ast.parse", too_deep)
    with pytest.raises(ConditionError, match="nested too deeply"):
        Condition("v > 3")


def test_its_repr_shows_it() -> None:
    assert repr(Condition("v > 3")) == "Condition('v > 3')"


_NAMES = ["v", "name", "list", "inner", "message", "startswith", "len", "__class__", "None", "'a'", "3", "0"]
_SIGNS = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "(",
    ")",
    "[",
    "]",
    ".",
    "-",
    "*",
    "/",
    "%",
    "==",
    "<",
    ">",
    ",",
    "**",
    ":=",
]
words = st.sampled_from([*_NAMES, *_SIGNS, ":="])


@given(st.lists(words, max_size=14).map(" ".join) | st.text(alphabet=string.printable, max_size=60))
def test_any_text_is_read_or_refused_and_any_condition_ends(text: str) -> None:
    try:
        condition = Condition(text)
    except ConfigError:
        return
    for message in (ROW, 3, None, [ROW], Trap()):
        with contextlib.suppress(KeyError, TypeError):
            assert condition(message) in (True, False)
