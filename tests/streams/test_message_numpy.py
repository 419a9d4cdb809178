"""NumPy on the wire: dtype, shape and values survive, and hostile bytes allocate nothing."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.exceptions import (
    DeserializationError,
    InvalidMessageError,
    MalformedMessageError,
    MessageError,
    UnknownTypeError,
    UnregisteredTypeError,
)
from headrace.streams.message_protocol import SCHEMA_VERSION, MessageProtocol

DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.nested_dtypes(max_itemsize=200),
    st.sampled_from(["q", "Q", ">q", "g", "G", "m8", "M8", "m8[25s]"]).map(np.dtype),
)


def roundtrip(value: Any) -> Any:
    protocol = MessageProtocol()
    return protocol.deserialize(protocol.serialize(value))


def received(payload: Any, kind: str = "numpy.ndarray") -> Any:
    fields = {"version": SCHEMA_VERSION, "type": kind, "id": "", "timestamp": 0, "data": payload}
    return MessageProtocol().deserialize(json.dumps(fields).encode())


def payload(dtype: Any, shape: Any, data: bytes | str) -> dict[str, Any]:
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return {"dtype": dtype, "shape": shape, "data": {"$": "bytes", "v": text}}


def fields(names: str, dtype: str, offset: int, itemsize: int) -> dict[str, Any]:
    formats, offsets = [dtype] * len(names), [offset] * len(names)
    return {"names": [*names], "formats": formats, "offsets": offsets, "itemsize": itemsize, "align": False}


def assert_same(one: Any, two: Any) -> None:
    assert type(one) is type(two)
    assert one.dtype == two.dtype
    assert one.dtype.type is two.dtype.type
    assert one.shape == two.shape
    assert one.tobytes() == two.tobytes()


@settings(deadline=None)
@given(st.data())
def test_arrays_of_any_dtype_and_shape_come_back(data: st.DataObject) -> None:
    dtype = data.draw(DTYPES)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    try:
        array = data.draw(hnp.arrays(dtype, shape))
    except Exception:  # Hypothesis has no elements for some dtypes
        array = np.zeros(shape, dtype)
    if array.dtype.kind in "O":
        return
    assert_same(roundtrip({"a": [array]})["a"][0], array)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.array([], dtype="i4"),
        np.zeros((0, 3, 0)),
        np.arange(12).reshape(3, 4)[:, ::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1, 2], ">i4"),
        np.array(["a", "bcd", "\U0001f600"]),
        np.array([b"a", b"b\x00c"]),
        np.array([True, False]),
        np.array([1 + 2j, complex(np.nan, np.inf)]),
        np.array(["2024-01-01", "NaT"], "M8[D]"),
        np.array([(1, 2.5, "x")], [("a", "i4"), ("b", ">f8"), ("c", "U3")]),
        np.zeros(2, np.dtype([("a", "u1"), ("b", "f8")], align=True)),
        np.zeros(2, [("a", [("x", "i2"), ("y", "S2")]), ("m", "f4", (2, 3))]),
        np.zeros(2, [(("Title", "name"), "i4"), ("plain", "i4")]),
        np.zeros(2, {"names": ["a"], "formats": ["i4"], "offsets": [4], "itemsize": 16}),
        np.zeros(3, []),
        np.zeros(2, "V5"),
        np.ndarray((3,), "U0"),
        np.array([1.5], np.longdouble),
        np.array([7], np.longlong),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_each_sort_of_array_comes_back(array: Any) -> None:
    assert_same(roundtrip(array), array)


@pytest.mark.parametrize(
    "scalar",
    [
        np.int8(-3), np.uint64(2**64 - 1), np.float64(0.1), np.float16(np.inf), np.float32(np.nan), np.bool_(True),
        np.complex64(1j), np.str_("a\udc80\x00"), np.str_(""), np.bytes_(b"a\x00"), np.datetime64("2024-01-01T01"),
        np.datetime64("NaT"), np.timedelta64(5, "ns"), np.longlong(3), np.longdouble(1) / 3, np.void(b"abc"),
        np.array([(1, "x")], [("a", "i4"), ("b", "U2")])[0],
    ],
    ids=repr,
)  # fmt: skip
def test_scalars_come_back_as_scalars_of_their_own_type(scalar: Any) -> None:
    back = roundtrip([scalar])[0]
    assert type(back) is type(scalar)
    assert back.dtype == scalar.dtype
    assert back.tobytes() == scalar.tobytes()
    assert str(back) == str(scalar)


def test_scalars_are_keys_and_members_of_sets() -> None:
    back = roundtrip({np.int32(1): {np.float64(2.5)}})
    assert [type(key) for key in back] == [np.int32]
    assert [type(item) for item in back[np.int32(1)]] == [np.float64]


def test_a_received_array_may_be_written_to() -> None:
    back = roundtrip(np.arange(3))
    back[0] = 7
    assert back.tolist() == [7, 1, 2]


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array([1, "a", None], dtype=object),
        np.zeros(1, [("a", "i4"), ("b", object)]),
        np.zeros(1, [("a", [("b", object, (2,))])]),
        np.zeros(1, [("a", "i4")]).view(np.recarray),
        np.rec.array([(1,)], [("a", "i4")])[0],
        np.asarray(np.zeros(1, np.dtype((np.record, [("a", "i4")])))),
        np.ma.array([1, 2], mask=[True, False]),
        np.array(["a"], dtype=getattr(np.dtypes, "StringDType", lambda: object)()),
    ],
    ids=lambda array: f"{type(array).__name__}-{array.dtype}",
)
def test_objects_and_subclasses_of_arrays_are_refused(array: Any) -> None:
    with pytest.raises(UnregisteredTypeError) as caught:
        MessageProtocol().serialize({"a": array})
    assert caught.value.place == "$.a"


def test_too_many_elements_of_no_size_are_refused_on_both_sides() -> None:
    with pytest.raises(InvalidMessageError, match="no size"):
        MessageProtocol().serialize(np.zeros(2**21, []))
    with pytest.raises(MalformedMessageError):
        received(payload("|V0", [2**40], b""))


@pytest.mark.parametrize(
    "bad",
    [
        payload("|O", [1], b"\0" * 8),
        payload("O8", [1], b"\0" * 8),
        payload("f8,O", [1], b"\0" * 16),
        payload("T", [1], b"\0" * 16),
        payload("numpy.float64", [1], b"\0" * 8),
        payload("<f8\n", [1], b"\0" * 8),
        payload(3, [1], b"\0" * 8),
        payload("<f8", [2**62, 2**62], b"\0" * 8),
        payload("<f8", [10**12], b""),
        payload("<U999999999", [1], b"abcd"),
        payload("<f8", [-1, -1], b"\0" * 8),
        payload("<f8", [1.0], b"\0" * 8),
        payload("<f8", [True], b"\0" * 8),
        payload("<f8", "1", b"\0" * 8),
        payload("<f8", [0] + [2**62] * 3, b""),
        payload("<f8", [1] * 200, b"\0" * 8),
        payload("<f8", [1], b"\0" * 7),
        payload("<f8", [1], "no base64"),
        payload("|b1", [1], b"\x02"),
        payload("<U1", [1], b"\xff\xff\xff\xff"),
        payload(">U1", [1], b"\x00\x11\x00\x00"),
        payload(["<i4", [2]], [1], b"\0" * 8),
        payload(["<i4", [2**40]], [], b"\0" * 8),
        payload(["<i4"], [], b"\0" * 4),
        payload(fields("a", "|O", 0, 8), [1], b"\0" * 8),
        payload(fields("a", "|b1", 0, 1), [1], b"\x07"),
        payload(fields("a", "<i4", 9, 4), [1], b"\0" * 4),
        payload(fields("aa", "<i4", 0, 8), [], b"\0" * 8),
        payload({"names": ["a"], "formats": ["<i4"], "offsets": [0], "itemsize": 4}, [1], b"\0" * 4),
        payload({"formats": ["<i4"], "align": False, "metadata": {}}, [1], b"\0" * 4),
        payload({"formats": "<i4", "align": False}, [1], b"\0" * 4),
        {"dtype": "<f8", "shape": [1], "data": "AAAAAAAAAAA="},
        {"dtype": "<f8"},
        "AAAA",
    ],
)  # fmt: skip
def test_hostile_arrays_are_refused(bad: Any) -> None:
    with pytest.raises(MalformedMessageError):
        received(bad)


def test_hostile_scalars_are_refused() -> None:
    for bad in (payload("|O", [], b"\0" * 8), payload("<f8", [], b""), [], {"dtype": "|V0"}):
        with pytest.raises(MalformedMessageError):
            received(bad, "numpy.scalar")
    for kind in ("numpy.str_", "numpy.bytes_"):
        with pytest.raises(MalformedMessageError):
            received(3, kind)


SPECS = st.recursive(
    st.one_of(
        st.sampled_from(["<f8", "|O", "<U2", "|b1", "q", "M8[s]", "|V3", "|V0", ""]), st.integers(), st.none()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.fixed_dictionaries(
            {
                "names": st.lists(st.sampled_from(["a", "b", ""]), max_size=2),
                "formats": st.lists(inner, max_size=2),
                "offsets": st.lists(st.integers(-1, 2**33), max_size=2),
                "itemsize": st.integers(-1, 2**33),
                "align": st.booleans(),
            }
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(SPECS, st.lists(st.integers(-1, 2**33), max_size=3), st.binary(max_size=24))
def test_any_dtype_shape_and_bytes_give_an_array_or_a_refusal(spec: Any, shape: Any, data: bytes) -> None:
    try:
        array = received(payload(spec, shape, data))
    except DeserializationError:
        return
    assert array.nbytes == len(data)
    assert not array.dtype.hasobject
    array.tolist()


@pytest.mark.parametrize("dtype", ["?", [("a", "?")]])
def test_uninitialised_bools_are_refused_where_they_are_sent(dtype: Any) -> None:
    array = np.ndarray((1,), dtype, buffer=bytearray(b"\x07"))
    for value in (array, array[0]) if array.dtype.names else (array,):
        with pytest.raises(InvalidMessageError, match="neither 0 nor 1"):
            MessageProtocol().serialize(value)


def test_numpy_can_be_switched_off() -> None:
    protocol = MessageProtocol(numpy=False)
    with pytest.raises(UnregisteredTypeError):
        protocol.serialize(np.int64(1))
    with pytest.raises(UnknownTypeError):
        protocol.deserialize(MessageProtocol().serialize(np.arange(3)))


def test_a_name_like_numpys_that_is_none_is_unknown() -> None:
    for protocol in (MessageProtocol(), MessageProtocol(numpy=True)):
        assert protocol.deserialize(protocol.serialize(np.int8(3))) == 3
    with pytest.raises(UnknownTypeError):
        received(1, "numpy.matrix")


def test_a_type_of_numpys_that_the_user_registered_stays_the_users() -> None:
    protocol = MessageProtocol()
    protocol.register(np.int8, name="tiny", encode=int, decode=np.int8)
    assert protocol.decode(protocol.serialize(np.int8(3))).type == "tiny"
    assert protocol.decode(protocol.serialize(np.int16(3))).type == "numpy.scalar"


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_numpy_is_imported_by_the_first_array_that_arrives_not_before() -> None:
    data = MessageProtocol().serialize(np.arange(3))
    run(f"""
import sys
from headrace.streams.message_protocol import MessageProtocol
p = MessageProtocol()
p.deserialize(p.serialize({{"a": (1,)}}))
assert "numpy" not in sys.modules
assert p.deserialize({data!r}).tolist() == [0, 1, 2]
""")


def test_without_numpy_an_array_is_an_unknown_type_and_asking_for_it_names_the_extra() -> None:
    data = MessageProtocol().serialize(np.arange(3))
    run(f"""
import sys
sys.modules["numpy"] = None
from headrace.exceptions import MissingExtraError, UnknownTypeError
from headrace.streams.message_protocol import MessageProtocol
p = MessageProtocol()
for _ in range(2):
    try:
        p.deserialize({data!r})
    except UnknownTypeError as error:
        assert "headrace[numpy]" in str(error), error
    else:
        raise AssertionError
try:
    p.serialize([object()])
except Exception as error:
    assert type(error).__name__ == "UnregisteredTypeError", error
try:
    MessageProtocol(numpy=True)
except MissingExtraError as error:
    assert "headrace[numpy]" in str(error)
else:
    raise AssertionError
""")
    assert issubclass(UnknownTypeError, MessageError)
