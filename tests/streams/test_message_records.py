"""Registered types: they come back as they were, or are refused where they cannot."""

from __future__ import annotations

import datetime as dt
import enum
import subprocess
import sys
from collections import OrderedDict, namedtuple
from dataclasses import InitVar, dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pydantic
import pytest

from headrace.exceptions import (
    CannotRegisterError,
    InvalidMessageError,
    InvalidPayloadError,
    MessageTooDeepError,
    TypeAlreadyRegistered,
    UnknownTypeError,
    UnregisteredTypeError,
)
from headrace.streams.message_protocol import MessageProtocol


class Colour(enum.Enum):
    RED = object()  # not a value that could travel: the name does
    BLUE = "b"
    AZURE = BLUE


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Reading:
    sensor: str
    value: float
    when: dt.datetime
    tags: frozenset[Any] = frozenset()


@dataclass
class Order:
    items: list[Any]
    note: str = field(kw_only=True, default="")
    total: float = field(init=False)
    hidden: Any = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError("an order needs items")
        self.total = float(len(self.items))


@dataclass
class Doubled:
    value: float

    def __post_init__(self) -> None:
        self.value *= 2


@dataclass
class Lowered:
    word: str

    def __post_init__(self) -> None:
        self.word = self.word.lower()


@dataclass
class WithInitVar:
    value: int
    scale: InitVar[int]


class Packet(msgspec.Struct, frozen=True, rename="camel", tag="packet"):
    first_part: bytes
    path: PurePosixPath = PurePosixPath("x")


@attrs.define
class Job:
    name: str
    _secret: Any = None
    steps: dict[Any, Any] = attrs.field(factory=dict)
    done: bool = attrs.field(init=False, default=False)


@attrs.frozen
class Checked:
    count: int = attrs.field(converter=int, validator=attrs.validators.ge(0))


class Account(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    name: str
    balance: Any = None
    limits: tuple[float, ...] = ()
    _session: int = pydantic.PrivateAttr(default=0)


class Aliased(pydantic.BaseModel):
    inner: int = pydantic.Field(alias="Inner")
    other: int = pydantic.Field(1, validation_alias=pydantic.AliasChoices("first", "second"))


class ByName(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(validate_by_alias=False, validate_by_name=True)

    inner: int = pydantic.Field(alias="Inner")


class Deeply(pydantic.BaseModel):
    inner: int = pydantic.Field(validation_alias=pydantic.AliasPath("a", 0))


class Open(pydantic.BaseModel, extra="allow"):
    known: int = 0


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Point(NamedTuple):
    x: Any
    y: Any = 0


class Opaque:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Opaque and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


class MyInt(int):
    pass


WHEN = dt.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=dt.UTC)
FIELDS = (
    Colour,
    Level,
    Word,
    Access,
    Reading,
    Order,
    Packet,
    Job,
    Checked,
    Account,
    Aliased,
    ByName,
    Open,
    Numbers,
    Point,
)


def a_protocol(*types: type) -> MessageProtocol:
    protocol = MessageProtocol()
    for one in types or FIELDS:
        protocol.register(one)
    return protocol


def roundtrip(value: Any, protocol: MessageProtocol | None = None) -> Any:
    protocol = protocol or a_protocol()
    return protocol.deserialize(protocol.serialize(value))


def changed(value: Any, old: bytes, new: bytes, protocol: MessageProtocol) -> bytes:
    data = protocol.serialize(value)
    assert old in data
    return data.replace(old, new)


@pytest.mark.parametrize(
    "value",
    [
        *Colour,
        Level.LOW,
        Word.YES,
        Access.READ,
        Access.READ | Access.WRITE,
        Access(0),
        Reading("a", 1.5, WHEN, frozenset({1, (2, "x")})),
        Order([1, (2,), {3: Level.LOW}], note="n"),
        Packet(b"\x00", PurePosixPath("a/b")),
        Job("j", secret={1, 2}, steps={1: Reading("b", float("inf"), WHEN)}),
        Checked(3),
        Account(name="n", balance=2**80, limits=(1.0, 2.5)),
        Account.model_construct(name="n", balance=Point(1, 2), limits=()),
        Aliased(Inner=3, first=4),
        ByName(inner=3),
        Open(known=1, more=(1, 2), **{"a b": None}),
        Numbers([1, 2]),
        Point(1, Point(b"x")),
    ],
    ids=lambda value: type(value).__name__,  # a repr may hold an address, or a set in the order of the day
)
def test_a_registered_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    back = roundtrip(value)
    assert type(back) is type(value)
    assert back == value
    deep = [{"k": (value, [value])}]
    assert roundtrip(deep) == deep


def test_the_fields_come_back_with_their_types() -> None:
    back = roundtrip(Job("j", secret=(1, {2.0}), steps={3: [Level.LOW, True]}))
    assert type(back._secret) is tuple
    assert type(back._secret[1]) is set
    assert type(back.steps[3][0]) is Level
    assert back.steps[3][1] is True


def test_fields_outside_the_constructor_come_back_too() -> None:
    order = Order([1])
    order.total, order.hidden = 99.5, (1, 2)
    assert roundtrip(order) == order
    job = Job("j")
    job.done = True
    assert roundtrip(job).done is True


def test_an_enum_comes_back_as_the_very_member() -> None:
    assert roundtrip(Colour.RED) is Colour.RED
    assert roundtrip(Colour.AZURE) is Colour.BLUE


def test_what_a_pydantic_model_keeps_beside_its_fields_comes_back() -> None:
    account = Account(name="n")
    account._session = 7
    back = roundtrip(account)
    assert back == account
    assert back._session == 7
    assert back.model_fields_set == {"name"}
    assert roundtrip(Open(known=1, z=2)).model_extra == {"z": 2}


def test_register_is_a_decorator_and_gives_a_name_if_asked() -> None:
    protocol = MessageProtocol()

    @protocol.register
    @dataclass
    class Local:
        a: int

    assert protocol.register(Point, name="geo.point") is Point
    assert protocol.registered == {"Local": Local, "geo.point": Point}
    assert roundtrip(Local(3), protocol) == Local(3)
    assert protocol.decode(protocol.serialize(Point(1))).type == "geo.point"


def test_any_type_travels_with_an_encoder_and_a_decoder() -> None:
    protocol = MessageProtocol()
    protocol.register(Opaque, encode=lambda one: (one.value, "x"), decode=lambda pair: Opaque(pair[0]))
    protocol.register(MyInt, encode=int, decode=MyInt)
    protocol.register(OrderedDict, encode=dict, decode=OrderedDict)
    protocol.register(Doubled, encode=lambda one: one.value, decode=lambda value: Doubled(value / 2))
    for value in (
        Opaque({1: Opaque(MyInt(3))}),
        MyInt(2**70),
        OrderedDict({2: 1, 1: MyInt(2)}),
        Doubled(1.0),
    ):
        back = roundtrip([value], protocol)[0]
        assert type(back) is type(value)
        assert back == value
    assert type(roundtrip(Opaque(MyInt(3)), protocol).value) is MyInt


def test_a_subclass_of_a_registered_type_is_not_registered_with_it() -> None:
    class Special(Order):
        pass

    with pytest.raises(UnregisteredTypeError):
        a_protocol().serialize(Special([1]))


def test_the_place_of_a_bad_field_is_named_as_in_the_code() -> None:
    with pytest.raises(UnregisteredTypeError) as caught:
        a_protocol().serialize([Job("j", steps={"first": Account(name="n", balance=1j)})])
    assert caught.value.place == "$[0].steps.first.balance"


# --- what register refuses


@pytest.mark.parametrize("kind", [Opaque, object, MyInt, OrderedDict, 3, "Reading", list[int]])
def test_a_type_that_cannot_be_taken_apart_needs_an_encoder_and_a_decoder(kind: Any) -> None:
    with pytest.raises(CannotRegisterError):
        MessageProtocol().register(kind)


def test_a_constructor_that_asks_for_more_than_the_fields_is_refused() -> None:
    with pytest.raises(CannotRegisterError, match="'scale', which is not a field"):
        MessageProtocol().register(WithInitVar)
    with pytest.raises(CannotRegisterError, match=r"Deeply\.inner"):
        MessageProtocol().register(Deeply)


@pytest.mark.parametrize("half", [{"encode": str}, {"decode": str}])
def test_half_a_codec_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(CannotRegisterError, match="both"):
        MessageProtocol().register(Opaque, **half)


@pytest.mark.parametrize("name", ["", "a\nb", "\udc80"])
def test_a_name_must_be_fit_to_print(name: str) -> None:
    with pytest.raises(CannotRegisterError, match="not a name"):
        MessageProtocol().register(Level, name=name)


@pytest.mark.parametrize("name", ["dict", "tuple", "Reading", "numpy.ndarray", "numpy.mine"])
def test_a_name_is_taken_once(name: str) -> None:
    with pytest.raises(TypeAlreadyRegistered, match="is taken"):
        a_protocol(Reading).register(Level, name=name)


def test_a_type_is_registered_once_and_the_same_registration_again_is_no_error() -> None:
    protocol = a_protocol(Reading)
    assert protocol.register(Reading) is Reading
    with pytest.raises(TypeAlreadyRegistered, match="already travels as 'Reading'"):
        protocol.register(Reading, name="other")
    with pytest.raises(TypeAlreadyRegistered, match="already travels as 'tuple'"):
        protocol.register(tuple, name="mine", encode=list, decode=tuple)


# --- what the types themselves refuse


def test_an_encoder_that_raises_makes_the_message_invalid() -> None:
    protocol = MessageProtocol()
    protocol.register(Opaque, encode=lambda one: 1 // 0, decode=Opaque)
    with pytest.raises(InvalidMessageError, match="ZeroDivisionError") as caught:
        protocol.serialize({"a": [Opaque(1)]})
    assert caught.value.place == "$.a[0]"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_encoder_that_never_gets_simpler_comes_to_an_end() -> None:
    protocol = MessageProtocol()
    protocol.register(Opaque, encode=lambda one: Opaque(one), decode=Opaque)
    with pytest.raises(MessageTooDeepError):
        protocol.serialize(Opaque(1))
    protocol.register(MyInt, encode=lambda one: [MyInt(one)], decode=MyInt)
    with pytest.raises(MessageTooDeepError):
        protocol.serialize(MyInt(1))


def test_wrapped_types_nest_up_to_the_depth_on_both_sides() -> None:
    protocol = MessageProtocol(max_depth=5)
    protocol.register(Opaque, encode=lambda one: one.value, decode=Opaque)
    value: Any = 7
    for _ in range(6):
        value = Opaque(value)
    assert roundtrip(value, protocol) == value
    with pytest.raises(MessageTooDeepError):
        protocol.serialize(Opaque(value))


def test_an_enum_value_that_is_no_member_is_refused() -> None:
    odd = object.__new__(Colour)
    odd._name_, odd._value_ = "ODD", 9  # type: ignore[misc]
    with pytest.raises(InvalidMessageError, match="not among the members"):
        a_protocol().serialize(odd)


def test_extra_fields_called_like_others_are_refused() -> None:
    class Shadow(pydantic.BaseModel, extra="allow"):
        _hidden: int = 0

    shadow = Shadow(_hidden=3)  # type: ignore[call-arg]
    if "_hidden" not in (shadow.model_extra or {}):
        shadow.__pydantic_extra__ = {"_hidden": 3}
    with pytest.raises(InvalidMessageError, match="called like others"):
        a_protocol(Shadow).serialize(shadow)


@pytest.mark.parametrize(
    ("value", "old", "new"),
    [
        (Colour.BLUE, b'"BLUE"', b'"GREEN"'),
        (Colour.BLUE, b'"BLUE"', b'"__class__"'),
        (Colour.BLUE, b'"BLUE"', b"[]"),
        (Access.READ, b'"data":1', b'"data":64'),
        (Access.READ, b'"data":1', b'"data":"READ"'),
        (Order([1]), b"[1]", b"[]"),
        (Order([1]), b'"items"', b'"itemz"'),
        (Order([1]), b'"note"', b'"__class__"'),
        (Packet(b"a"), b'"first_part"', b'"firstPart"'),
        (Job("j"), b'"_secret"', b'"secret"'),
        (Checked(3), b":3", b":-3"),
        (Checked(3), b":3", b':"3"'),
        (Account(name="n"), b'"n"', b"5"),
        (Account(name="n"), b'"name"', b'"nam"'),
        (Account(name="n"), b'"limits":', b'"limitz":'),
        (Account(name="n"), b'[":unset"', b"["),
        (Aliased(Inner=3), b":3", b':"3"'),
        (Open(known=1), b'"known":1', b'"known":"1"'),
        (Numbers([1]), b"[1]", b'["x"]'),
        (Point(1), b'"x"', b'"z"'),
        (Point(1), b'"data":{', b'"data":[{'),
    ],
    ids=repr,
)
def test_what_a_type_does_not_accept_is_an_invalid_payload(value: Any, old: bytes, new: bytes) -> None:
    protocol = a_protocol()
    if b"unset" in old:
        old, new = b'":unset":["balance","limits"]', b'":unset":"all"'
    data = changed(value, old, new, protocol)
    if new.endswith(b"[{"):
        data = data[:-1] + b"]}"
    with pytest.raises(InvalidPayloadError) as caught:
        protocol.deserialize(data)
    assert caught.value.place == "$"
    assert caught.value.__cause__ is not None


def test_a_constructor_that_changes_what_was_sent_is_told_never_silent() -> None:
    protocol = a_protocol(Doubled, Lowered)
    with pytest.raises(InvalidPayloadError, match=r"changes 'value' from 2\.0 to 4\.0"):
        protocol.deserialize(protocol.serialize(Doubled(1.0)))
    assert roundtrip(Lowered("ABC"), protocol) == Lowered("abc")


def test_a_constructor_that_copies_an_array_is_no_change() -> None:
    @dataclass
    class Frame:
        data: Any

        def __post_init__(self) -> None:
            self.data = self.data.copy()

    back = roundtrip(Frame(np.arange(3)), a_protocol(Frame))
    assert back.data.tolist() == [0, 1, 2]


def test_a_field_that_an_older_sender_lacks_gets_its_default() -> None:
    protocol = a_protocol()
    data = changed(Point(1, 2), b',"y":2', b"", protocol)
    assert protocol.deserialize(data) == Point(1, 0)


def test_a_decoder_that_returns_something_else_is_refused() -> None:
    protocol = MessageProtocol()
    protocol.register(Opaque, encode=lambda one: one.value, decode=lambda payload: payload)
    with pytest.raises(InvalidPayloadError, match="returned int"):
        protocol.deserialize(protocol.serialize(Opaque(1)))


def test_a_type_that_only_the_sender_registered_is_named() -> None:
    with pytest.raises(UnknownTypeError, match="'Reading'") as caught:
        MessageProtocol().deserialize(a_protocol().serialize([Reading("a", 1.0, WHEN)]))
    assert caught.value.place == "$[0]"


def test_two_namedtuples_of_one_shape_stay_apart() -> None:
    other = namedtuple("Other", "x y")
    protocol = a_protocol(Point, other)
    assert type(roundtrip(other(1, 2), protocol)) is other


def test_nothing_optional_is_imported_by_registering_and_sending() -> None:
    program = """
import sys, dataclasses, enum
from headrace.streams.message_protocol import MessageProtocol
before = {name for name in ("numpy", "attrs", "attr", "pydantic") if name in sys.modules}
@dataclasses.dataclass
class A:
    x: int
p = MessageProtocol()
p.register(A)
assert p.deserialize(p.serialize([A(1), (2,)])) == [A(1), (2,)]
try:
    p.register(object)
except Exception: pass
assert {name for name in ("numpy", "attrs", "attr", "pydantic") if name in sys.modules} == before == set(), before
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
