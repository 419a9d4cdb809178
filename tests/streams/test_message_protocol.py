"""The wire protocol: what goes in comes out with its type, and what does not fit is refused with its place."""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
import sys
import threading
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from enum import IntEnum
from fractions import Fraction
from importlib import resources
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.exceptions import (
    CyclicMessageError,
    DeserializationError,
    InvalidMessageError,
    MalformedMessageError,
    MessageError,
    MessageTooDeepError,
    MessageTooLargeError,
    NotAnEnvelopeError,
    NotJsonError,
    PayloadTooDeepError,
    SchemaVersionError,
    SerializationError,
    TruncatedMessageError,
    UnknownTypeError,
    UnregisteredTypeError,
)
from headrace.model.message import Envelope
from headrace.streams.message_protocol import SCHEMA_VERSION, MessageProtocol

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates included
OFFSETS = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))
ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.builds(dt.timezone, OFFSETS),
    st.builds(dt.timezone, OFFSETS, ANY_TEXT),
    st.sampled_from(["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "UTC"]).map(ZoneInfo),
)
FOLDS = st.sampled_from([0, 1])


def _with_zone(kind: Any, zone: Any, fold: int) -> Any:
    return kind.replace(tzinfo=zone, fold=fold)


def _special_decimals() -> st.SearchStrategy[Decimal]:
    texts = [
        "NaN",
        "-NaN123",
        "sNaN",
        "-sNaN7",
        "Infinity",
        "-Infinity",
        "-0",
        "0E+7",
        "1E-999999",
        "1.10",
        "9" * 60,
    ]
    return st.sampled_from(texts).map(Decimal)


HASHABLE_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 40).map(lambda bits: (1 << 62) * (1 << bits) - 1),
    st.integers(4000, 5000).map(lambda digits: -(10**digits)),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([-0.0, math.inf, -math.inf, math.nan, -math.nan, 5e-324, 2.0**63, 1e22]),
    ANY_TEXT,
    st.binary(),
    st.datetimes(),
    st.builds(_with_zone, st.datetimes(), ZONES, FOLDS),
    st.dates(),
    st.builds(_with_zone, st.times(), ZONES, FOLDS),
    st.timedeltas(),
    st.decimals().filter(lambda number: not number.is_snan()),
    st.uuids(),
    st.sampled_from(
        ["", "/", "a/b", "/etc//x", "../é", "a\udc80b", "C:/x", "./c:x", "//h/s", "a/.."]
    ).flatmap(lambda text: st.sampled_from([PurePosixPath(text), PosixPath(text), PureWindowsPath(text)])),
    ZONES,
)


def _hashables() -> st.SearchStrategy[Any]:
    return st.recursive(
        HASHABLE_SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
        max_leaves=5,
    )


def _messages() -> st.SearchStrategy[Any]:
    hashables = _hashables()
    keys = st.one_of(st.sampled_from(["$", "v", "type", "data", "dict"]), hashables)
    return st.recursive(
        st.one_of(hashables, _special_decimals(), st.binary().map(bytearray), st.sets(hashables, max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(ANY_TEXT, inner, max_size=4),
            st.dictionaries(keys, inner, max_size=4),
        ),
        max_leaves=12,
    )


def same(one: Any, two: Any) -> bool:
    """Whether two values have equal types and values, all the way down, nan equal to nan and 0.0 not to -0.0."""
    return _key(one) == _key(two)


def _key(value: Any) -> Any:
    kind = type(value)
    parts: Any
    if kind in (list, tuple):
        parts = [_key(item) for item in value]
    elif kind is dict:
        parts = [(_key(key), _key(item)) for key, item in value.items()]
    elif kind is int:
        parts = hex(value)
    elif kind in (set, frozenset):
        parts = sorted(repr(_key(item)) for item in value)
    elif kind is float:
        parts = (math.copysign(1.0, value), "nan") if value != value else struct.pack(">d", value)
    elif kind is Decimal:
        parts = value.as_tuple()
    else:
        parts = tuple(_leaf(value))
    return kind, parts


def _leaf(value: Any) -> Iterator[Any]:
    if isinstance(value, dt.datetime | dt.time):
        yield value.replace(tzinfo=None, fold=0)
        yield value.fold
        yield _key(value.tzinfo)
    elif isinstance(value, dt.timezone):
        yield value.__getinitargs__()  # type: ignore[attr-defined]
    elif isinstance(value, ZoneInfo):
        yield value.key
    else:
        yield value


MESSAGES = _messages()
JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)
REFUSALS = (DeserializationError, MessageTooLargeError)


class MyInt(int):
    pass


class MyStr(str):
    __slots__ = ()


class MyList(list):  # type: ignore[type-arg]
    pass


class MyMoment(dt.datetime):
    pass


class Level(IntEnum):
    LOW = 1


Point = namedtuple("Point", "x y")


class Opaque:
    def __init__(self, value: Any) -> None:
        self.value = value


def envelope(data: Any, kind: str = "dict", **changes: Any) -> bytes:
    fields = {"version": SCHEMA_VERSION, "type": kind, "id": "x", "timestamp": 0.0, "data": data, **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not ...}).encode()


def tagged(tag: Any, payload: Any) -> dict[str, Any]:
    return {"$": tag, "v": payload}


def ascii_or_size(value: Any) -> str:
    return f"{value.bit_length()}-bits" if isinstance(value, int) else ascii(value)


def roundtrip(value: Any, protocol: MessageProtocol | None = None) -> Any:
    protocol = protocol or MessageProtocol()
    return protocol.deserialize(protocol.serialize(value))


# --- what goes in comes out


@settings(deadline=None)
@given(MESSAGES)
@example({1: "one", "1": "text", None: 0})
@example({math.nan: 1, "x": {float("nan"), float("nan")}})
@example({"$": "tuple", "v": [1]})
@example({"$": {"$": "dict", "v": [["$", "v"]]}})
@example({"a\ud800": ["\ud83d\ude00", "\U0001f600"], "$": 1})
@example([(), set(), frozenset(), {}, [], "", b"", ((),)])
def test_everything_built_in_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert same(roundtrip(value), value)


@settings(deadline=None)
@given(MESSAGES)
def test_serialising_leaves_the_message_as_it_was(value: Any) -> None:
    before = _key(value)
    MessageProtocol().serialize(value)
    assert _key(value) == before


@given(JSON_VALUES)
def test_plain_messages_lie_in_the_bytes_as_plain_json(value: Any) -> None:
    data = json.loads(MessageProtocol().serialize(value))["data"]
    if "$" not in repr(value):
        assert data == value


@pytest.mark.parametrize(
    "value",
    [
        0,
        1,
        True,
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        10**5000,
        -(10**5000),
        0.1,
        -0.0,
        1e308,
        5e-324,
        1.0,
    ],
    ids=ascii_or_size,
)
def test_numbers_keep_their_type_and_every_digit(value: Any) -> None:
    back = roundtrip([value, {value: value}])
    assert same(back, [value, {value: value}])


def test_the_order_of_a_dict_survives() -> None:
    value = dict.fromkeys(["b", "a", 3, "c", None, (1, 2)])
    assert list(roundtrip(value)) == list(value)
    assert list(roundtrip({"z": 1, "a": 2})) == ["z", "a"]


def test_two_times_that_a_fold_tells_apart_stay_apart() -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone)
    second = first.replace(fold=1)
    back = roundtrip([first, second])
    assert [moment.utcoffset() for moment in back] == [dt.timedelta(hours=2), dt.timedelta(hours=1)]
    assert all(moment.tzinfo is zone for moment in back)


def test_a_decimal_comes_back_whatever_the_threads_context_is() -> None:
    with localcontext() as context:
        context.prec = 2
        context.traps = dict.fromkeys(context.traps, False)
        assert str(roundtrip(Decimal("1.23456789"))) == "1.23456789"
        with pytest.raises(MalformedMessageError):
            MessageProtocol().deserialize(envelope("garbage", "Decimal"))


def test_a_shared_value_is_no_cycle() -> None:
    shared = [1]
    assert roundtrip([shared, shared, (shared,)]) == [[1], [1], ([1],)]


def test_bytes_may_arrive_in_any_buffer() -> None:
    protocol = MessageProtocol()
    data = protocol.serialize({"a": (1,)})
    assert protocol.deserialize(bytearray(data)) == protocol.deserialize(memoryview(data)) == {"a": (1,)}


# --- the envelope


def test_the_envelope_has_the_fields_of_the_contract() -> None:
    protocol = MessageProtocol(clock=lambda: 12.5, ids=lambda now: f"id-{now}")
    data = protocol.serialize({"a": 1}, headers={"k": "v"})
    assert json.loads(data) == {
        "version": SCHEMA_VERSION,
        "type": "dict",
        "id": "id-12.5",
        "timestamp": 12.5,
        "data": {"a": 1},
        "headers": {"k": "v"},
    }
    assert protocol.decode(data) == Envelope({"a": 1}, "dict", "id-12.5", 12.5, SCHEMA_VERSION, {"k": "v"})
    assert protocol.decode_headers(data) == ("id-12.5", {"k": "v"})
    assert protocol.new_id() == "id-12.5"


def test_a_given_id_is_kept_and_no_headers_take_no_room() -> None:
    protocol = MessageProtocol()
    assert protocol.decode(protocol.serialize(1, id="mine")).id == "mine"
    assert b"headers" not in protocol.serialize(1)


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "null"), (True, "bool"), (1, "int"), (2**99, "int"), (math.nan, "float"), ("\udc80", "str"),
     ([], "list"), ({1: 2}, "dict"), ((1,), "tuple"), (uuid.UUID(int=7), "UUID"), (Path("a"), "PosixPath")],
)  # fmt: skip
def test_the_envelope_names_the_type_of_the_message(value: Any, name: str) -> None:
    protocol = MessageProtocol()
    assert protocol.decode(protocol.serialize(value)).type == name


def test_ids_and_timestamps_follow_the_order_of_sending() -> None:
    protocol = MessageProtocol()
    envelopes = [protocol.decode(protocol.serialize(number)) for number in range(100)]
    assert sorted(envelopes, key=lambda one: one.id) == envelopes
    assert sorted(one.timestamp for one in envelopes) == [one.timestamp for one in envelopes]


def test_fields_that_this_version_does_not_know_are_ignored() -> None:
    assert MessageProtocol().deserialize(envelope({"a": 1}, future=[1])) == {"a": 1}


def test_one_protocol_serves_several_threads() -> None:
    protocol = MessageProtocol()
    made: list[str] = []

    def work() -> None:
        made.extend(protocol.decode(protocol.serialize({"n": (1,)})).id for _ in range(300))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1200


# --- what cannot travel


@pytest.mark.parametrize(
    "value",
    [MyInt(1), MyStr("a"), MyList([1]), MyMoment(2024, 1, 1), Level.LOW, Point(1, 2), OrderedDict(a=1),
     defaultdict(int), Counter("a"), object(), Opaque(1), int, len, 1j, Fraction(1, 2), range(3), iter([]),
     memoryview(b"a"), {}.keys(), ..., NotImplemented, ValueError("x"), sys, lambda: None],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_type_that_is_not_registered_is_refused_with_its_place(value: Any) -> None:
    protocol = MessageProtocol()
    with pytest.raises(UnregisteredTypeError, match=r"is not registered.* at \$\.rows\[1\]\.when") as caught:
        protocol.serialize({"rows": [1, {"when": value}]})
    assert caught.value.place == "$.rows[1].when"
    assert type(value).__qualname__ in str(caught.value)


def test_a_subclass_is_said_not_to_travel_as_its_base() -> None:
    with pytest.raises(UnregisteredTypeError, match="a subclass of int, and it would not come back as one"):
        MessageProtocol().serialize(MyInt(1))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (object(), "$"),
        ([0, object()], "$[1]"),
        ((0, (object(),)), "$[1][0]"),
        ({"a b": object()}, "$['a b']"),
        ({"": object()}, "$['']"),
        ({3: object()}, "$[3]"),
        ({None: [object()]}, "$[None][0]"),
        ({"$": object()}, "$['$']"),
        ({(1, Level.LOW): 1}, "$.<key (1, <Level.LOW: 1>)>[1]"),
        ({10**5000: object()}, "$[<int>]"),
        ({"at": dt.datetime(2024, 1, 1, tzinfo=type("Odd", (dt.tzinfo,), {})())}, "$.at.tzinfo"),
        ({"x" * 90: object()}, f"$['{'x' * 56}...]"),
    ],
)
def test_the_place_is_a_path_from_the_root(value: Any, place: str) -> None:
    with pytest.raises(UnregisteredTypeError) as caught:
        MessageProtocol().serialize(value)
    assert caught.value.place == place


def test_a_long_place_is_shortened_in_the_middle() -> None:
    value: Any = object()
    for _ in range(50):
        value = [value]
    with pytest.raises(UnregisteredTypeError) as caught:
        MessageProtocol().serialize(value)
    assert caught.value.place == "$" + "[0]" * 10 + "...(35 more)..." + "[0]" * 5


def cyclic_list() -> Any:
    value: list[Any] = [1]
    value.append({"self": (value,)})
    return value


def cyclic_dict() -> Any:
    value: dict[Any, Any] = {"head": 1}
    value[2] = {"up": [value]}
    return {"deep": value}


@pytest.mark.parametrize(
    ("value", "place"), [(cyclic_list(), "$[1].self[0]"), (cyclic_dict(), "$.deep[2].up[0]")]
)
def test_a_value_that_contains_itself_is_told_from_a_deep_one(value: Any, place: str) -> None:
    with pytest.raises(CyclicMessageError, match="contains itself") as caught:
        MessageProtocol().serialize(value)
    assert caught.value.place == place


def nested(levels: int, wrap: Callable[[Any], Any], value: Any = None) -> Any:
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPS = [lambda v: [v], lambda v: (v,), lambda v: {"a": v}, lambda v: {1: v}, lambda v: {"$": v}]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("leaf", [None, 2**70, math.nan, "\udc80", b"x", uuid.UUID(int=1), Path("p")])
def test_max_depth_levels_travel_and_one_more_does_not(wrap: Callable[[Any], Any], leaf: Any) -> None:
    protocol = MessageProtocol(max_depth=7)
    deep = nested(7, wrap, leaf)
    assert same(roundtrip(deep, protocol), deep)
    with pytest.raises(MessageTooDeepError):
        protocol.serialize(wrap(deep))
    with pytest.raises(PayloadTooDeepError):
        protocol.deserialize(MessageProtocol().serialize(wrap(deep)))


def test_a_protocol_without_depth_takes_scalars_only() -> None:
    protocol = MessageProtocol(max_depth=0)
    assert roundtrip(2**70, protocol) == 2**70
    with pytest.raises(MessageTooDeepError):
        protocol.serialize([])


def test_a_depth_beyond_pythons_recursion_is_an_error_of_ours() -> None:
    protocol = MessageProtocol(max_depth=10**9)
    with pytest.raises(MessageTooDeepError):
        protocol.serialize(nested(100_000, lambda v: [v]))
    with pytest.raises(PayloadTooDeepError):
        protocol.deserialize(b'{"version":1,"type":"list","id":"","timestamp":0,"data":' + b"[" * 100_000)
    data = envelope(..., "list")[:-1] + b',"data":' + b"[" * 800 + b"]" * 800 + b"}"
    with pytest.raises(PayloadTooDeepError):
        protocol.deserialize(data)


def test_a_message_above_max_size_names_both_sizes() -> None:
    protocol = MessageProtocol(max_size=200)
    with pytest.raises(MessageTooLargeError, match=r"takes 1\d\d\d bytes, the limit is 200"):
        protocol.serialize("x" * 1000)
    with pytest.raises(MessageTooLargeError, match="received 201 bytes, the limit is 200"):
        protocol.deserialize(b" " * 201)
    with pytest.raises(MessageTooLargeError):
        protocol.decode_headers(b" " * 201)


def test_sharing_that_would_explode_on_the_wire_is_refused_early() -> None:
    value: Any = ["x"]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(MessageTooLargeError, match="more values than fit"):
        MessageProtocol(max_size=100_000).serialize(value)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        cyclic_list(),
        nested(100, lambda v: [v]),
        "x" * 2000,
        [MyInt(1)],
        {"a": ZoneInfo("UTC"), "b": {1j}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_validate_raises_what_serialize_raises(value: Any) -> None:
    protocol = MessageProtocol(max_size=1000, clock=lambda: 0.0)
    with pytest.raises(MessageError) as one:
        protocol.serialize(value)
    with pytest.raises(MessageError) as two:
        protocol.validate(value)
    assert type(one.value) is type(two.value)
    assert str(one.value) == str(two.value)


def test_validate_accepts_what_serialize_accepts() -> None:
    MessageProtocol().validate({"a": [1, (2.5, b"x")], 3: "\udc80"})


def test_a_time_zone_without_a_name_cannot_travel() -> None:
    with resources.files("tzdata.zoneinfo").joinpath("UTC").open("rb") as file:
        nameless = ZoneInfo.from_file(file)
    with pytest.raises(InvalidMessageError, match="without a key") as caught:
        MessageProtocol().serialize({"zone": nameless})
    assert caught.value.place == "$.zone"


@pytest.mark.parametrize("text", ["./c:x", "./c:/x", "a/c:x", "c:x", "c:/x", "//host/share/x", ""])
def test_a_windows_path_comes_back_whatever_its_text_looks_like(text: str) -> None:
    path = PureWindowsPath(text)
    back = roundtrip(path)
    assert back == path
    assert back.parts == path.parts


def test_a_header_that_is_no_text_for_the_wire_is_refused() -> None:
    with pytest.raises(InvalidMessageError, match="lone surrogate"):
        MessageProtocol().serialize(1, headers={"k": "\udc80"})
    assert issubclass(InvalidMessageError, SerializationError)


@pytest.mark.parametrize("settings", [{"max_size": 0}, {"max_depth": -1}])
def test_limits_that_make_no_sense_are_refused_at_once(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="max_"):
        MessageProtocol(**settings)  # type: ignore[arg-type]


# --- bytes from outside


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedMessageError),
        (b"  ", TruncatedMessageError),
        (envelope({"a": [1]})[:-1], TruncatedMessageError),
        (envelope({"a": "text"})[:-8], TruncatedMessageError),
        (b"hello", NotJsonError),
        (b"\x00\xff", NotJsonError),
        (b"{hello", NotJsonError),
        (b"{'a': 1}", NotJsonError),
        (envelope(1, "int") + b"x", NotJsonError),
        (envelope("a", "str").replace(b'"a"', b'"\xff"'), NotJsonError),
        (envelope("a", "str").replace(b'"a"', b'"\\ud800"'), NotJsonError),
        (envelope("a", "str").replace(b'"a"', b"NaN"), NotJsonError),
        (b"[]", NotAnEnvelopeError),
        (b"12", NotAnEnvelopeError),
        (b"{}", NotAnEnvelopeError),
        (envelope({}, id=3), NotAnEnvelopeError),
        (envelope({}, type=None), NotAnEnvelopeError),
        (envelope(...), NotAnEnvelopeError),
        (envelope({}, timestamp="now"), NotAnEnvelopeError),
        (envelope({}, headers={"a": 1}), NotAnEnvelopeError),
        (envelope({}, version="1"), NotAnEnvelopeError),
        (envelope({}, version=2), SchemaVersionError),
        (envelope({}, version=0), SchemaVersionError),
        (b'{"version": 2}', SchemaVersionError),
        (envelope({}, version="3", type=7), NotAnEnvelopeError),
        (envelope({}, "Reading"), UnknownTypeError),
        (envelope([tagged("os.system", "ls")], "list"), UnknownTypeError),
        (envelope(b"1e999".decode(), "str").replace(b'"1e999"', b"1e999"), MalformedMessageError),
        (envelope(1, "int").replace(b": 1}", b": " + b"1" * 6000 + b"}"), MalformedMessageError),
    ],
)
def test_bytes_that_are_no_message_get_the_error_that_says_why(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        MessageProtocol().deserialize(data)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("null", 0), ("bool", 1), ("int", "0x1f"), ("int", "1_0"), ("int", "-"), ("int", 1.0), ("int", True),
        ("float", 1), ("float", "1.5"), ("float", "NAN"), ("str", 1), ("str", [-1]), ("str", [2**40]),
        ("str", ["a"]),
        ("list", {}), ("dict", "a"), ("dict", [[1]]), ("dict", [1]), ("dict", [[[], 1]]), ("dict", [[1, 2, 3]]),
        ("dict", tagged("dict", [])), ("int", tagged("int", "1")), ("tuple", {}), ("tuple", "ab"), ("set", [[1]]),
        ("set", 3), ("frozenset", [{}]), ("bytes", "a"), ("bytes", "é==="), ("bytes", [1]), ("bytearray", 3),
        ("datetime", "yesterday"), ("datetime", 3), ("datetime", {}), ("datetime", {"at": "2024-01-01", "fold": 2}),
        ("datetime", {"at": "2024-01-01", "fold": 0, "tzinfo": 3}), ("date", "2024-13-01"), ("time", "25:00"),
        ("timedelta", [1]), ("timedelta", [10**10, 0, 0]), ("timedelta", [1.5, 0, 0]), ("timezone", [[2, 0, 0]]),
        ("timezone", []), ("timezone", [[0, 1, 0], 3]), ("ZoneInfo", "Not/There"), ("ZoneInfo", "../../etc/passwd"),
        ("ZoneInfo", "/etc/passwd"), ("ZoneInfo", "America"), ("ZoneInfo", ""), ("ZoneInfo", "a\x00"),
        ("Decimal", "1e99999999999999999999999"), ("Decimal", 1), ("UUID", "1234"), ("UUID", 5),
        ("PosixPath", 3), ("WindowsPath", "a"), ("dict", {"$": "int"}), ("dict", {"$": "int", "v": 1, "w": 2}),
        ("list", [{"$": 1, "v": 2}]), ("list", [{"$": ["dict"], "v": 2}]), ("tuple", {"$": ["dict"], "v": 2}),
        ("list", [tagged("list", tagged("int", tagged("int", "1")))]),
    ],
)  # fmt: skip
def test_a_payload_that_is_not_of_its_type_is_malformed(kind: str, payload: Any) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        MessageProtocol().deserialize(envelope(payload, kind))
    assert caught.value.place.startswith("$")


def test_what_is_wrong_in_the_bytes_is_named_by_its_place() -> None:
    data = envelope({"rows": [1, {"when": tagged("datetime", "soon")}], "x y": 1})
    with pytest.raises(MalformedMessageError, match="not a datetime") as caught:
        MessageProtocol().deserialize(data)
    assert caught.value.place == "$.rows[1].when"
    with pytest.raises(MalformedMessageError) as caught:
        MessageProtocol().deserialize(envelope([[1, 2], ["k", tagged("UUID", "?")]], "dict"))
    assert caught.value.place == "$.k"
    huge = envelope([0, 5], "list").replace(b"5", b"1e999")
    with pytest.raises(MalformedMessageError) as caught:
        MessageProtocol().deserialize(huge)
    assert caught.value.place == "$[1]"


def test_an_unknown_type_suggests_the_nearest_and_is_no_import() -> None:
    with pytest.raises(UnknownTypeError, match="did you mean 'datetime'"):
        MessageProtocol().deserialize(envelope(1, "datetine"))
    with pytest.raises(UnknownTypeError):
        MessageProtocol().deserialize(envelope("x", "antigravity.fly"))
    assert "antigravity" not in sys.modules


def test_every_proper_prefix_of_a_message_is_truncated() -> None:
    protocol = MessageProtocol()
    data = protocol.serialize({"a": ['é\\"}', (1.5, -2)], "b": {3: None}, "c": b"\x00"}, headers={"h": "é"})
    for size in range(len(data)):
        with pytest.raises(TruncatedMessageError):
            protocol.deserialize(data[:size])


@pytest.mark.parametrize("data", ["text", None, 3, [1]])
def test_what_is_no_bytes_at_all_is_refused(data: Any) -> None:
    with pytest.raises(MalformedMessageError, match="expected bytes"):
        MessageProtocol().deserialize(data)


def test_headers_are_readable_where_the_data_is_not() -> None:
    protocol = MessageProtocol()
    data = envelope({"n": 1}, "Nowhere", headers={"reply_to": "r"})
    assert protocol.decode_headers(data) == ("x", {"reply_to": "r"})
    with pytest.raises(NotJsonError):
        protocol.decode_headers(b"nonsense")


def read_or_refuse(data: bytes) -> None:
    protocol = MessageProtocol(max_size=100_000)
    try:
        protocol.decode(data)
    except REFUSALS:
        return


@given(st.binary())
def test_random_bytes_give_a_refusal(data: bytes) -> None:
    read_or_refuse(data)


TAGS = st.sampled_from(
    ["null", "bool", "int", "float", "str", "list", "dict", "tuple", "set", "frozenset", "bytes", "datetime",
     "time", "date", "timedelta", "timezone", "ZoneInfo", "Decimal", "UUID", "PosixPath", "WindowsPath",
     "numpy.ndarray", "numpy.scalar", "numpy.str_", "numpy.none"]
)  # fmt: skip
PAYLOADS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(),
        st.sampled_from(["<f8", "|O", "<U3", "|V0", "nan", "2024-01-01", "UTC", "AAAA", "1f"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["$", "v", "at", "fold", "tzinfo", "dtype", "shape", "data", "a"]), inner),
        st.builds(tagged, TAGS, inner),
        st.builds(lambda d, s: {"dtype": d, "shape": s, "data": tagged("bytes", "AAAA")}, inner, inner),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None)
@given(TAGS, PAYLOADS)
def test_any_payload_under_any_tag_gives_a_value_or_a_refusal(tag: str, payload: Any) -> None:
    read_or_refuse(envelope(payload, tag))


@settings(deadline=None)
@given(MESSAGES, st.data())
def test_a_damaged_message_gives_a_value_or_a_refusal(value: Any, data: st.DataObject) -> None:
    good = bytearray(MessageProtocol(clock=lambda: 0.0, ids=str).serialize(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        new = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"{", b"[", b"]", b"}", b"\\", b"9"]))
        )
        good[at : at + data.draw(st.integers(0, 3))] = new
    read_or_refuse(bytes(good))


def test_refusing_bytes_takes_time_linear_in_their_number() -> None:
    protocol = MessageProtocol()
    for data in (b'{"a":' + b'\\"' * 300_000, b"[" * 600_000, b'"' + b'\\"' * 300_000, b'{"' * 300_000):
        with pytest.raises(DeserializationError):
            protocol.deserialize(data)
