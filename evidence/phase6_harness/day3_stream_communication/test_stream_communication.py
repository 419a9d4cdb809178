"""Acceptance tests of spec.md section 3, one per sentence; each quotes its sentence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import anyio
import attrs
import msgspec
import numpy as np
import pydantic
import pytest
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from headrace import BroadcastReport, MessageProtocol, StreamFramework, SystemExecutionHarness, component
from headrace.exceptions import (
    CyclicMessageError,
    HeadraceError,
    MessageError,
    MessageTooDeepError,
    MessageTooLargeError,
    NotAnEnvelopeError,
    NotJsonError,
    PayloadTooDeepError,
    RequestFailedError,
    RequestTimeoutError,
    SchemaVersionError,
    TruncatedMessageError,
    UnknownGroupError,
    UnknownTypeError,
    UnregisteredTypeError,
)

Ends = tuple[ObjectSendStream[Any], ObjectReceiveStream[Any]]


@pytest.fixture
def streams() -> Iterator[Any]:
    """Return a function that makes AnyIO streams, which are closed at the end of the test."""
    made: list[Any] = []

    def make(buffer_size: int = 10) -> Ends:
        ends = anyio.create_memory_object_stream[Any](buffer_size)
        made.extend(ends)
        return ends

    yield make
    for end in made:
        end.close()


# --- StreamFramework -------------------------------------------------------------------------------


async def test_a_message_is_sent_and_received(streams: Any) -> None:
    """`.message_protocol`, `send_message(stream, message)`, `receive_message(stream)`"""
    framework, (send, receive) = StreamFramework(), streams()
    assert isinstance(framework.message_protocol, MessageProtocol)
    await framework.send_message(send, {"v": 1})
    assert await framework.receive_message(receive) == {"v": 1}


async def test_a_broadcast_reaches_every_stream(streams: Any) -> None:
    """`broadcast_message(streams, message)`"""
    framework, pairs = StreamFramework(), [streams() for _ in range(3)]
    report = await framework.broadcast_message([send for send, _ in pairs], "all")
    assert [await framework.receive_message(receive) for _, receive in pairs] == ["all"] * 3
    assert list(report.delivered) == [0, 1, 2]


async def test_a_multicast_reaches_a_named_group_which_changes(streams: Any) -> None:
    """`multicast_message(group, message)` over named, changeable groups"""
    framework, (one, one_out), (two, two_out) = StreamFramework(), streams(), streams()
    framework.create_group("loggers", {"one": one})
    await framework.multicast_message("loggers", "first")
    framework.add_to_group("loggers", two, name="two")
    await framework.multicast_message("loggers", "second")
    framework.remove_from_group("loggers", "one")
    await framework.multicast_message("loggers", "third")
    assert [await framework.receive_message(one_out) for _ in range(2)] == ["first", "second"]
    assert [await framework.receive_message(two_out) for _ in range(2)] == ["second", "third"]
    framework.delete_group("loggers")
    with pytest.raises(UnknownGroupError):
        await framework.multicast_message("loggers", "nobody")


async def test_a_request_gets_its_reply(streams: Any) -> None:
    """request/reply"""
    framework, (ask, asked), (answer, answered) = StreamFramework(), streams(), streams()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: framework.serve(asked, lambda n: n * n, reply_stream=answer))
        replies = [await framework.request(ask, n, reply_stream=answered) for n in (2, 3)]
        await ask.aclose()
    assert replies == [4, 9]


async def test_a_request_without_a_reply_times_out(streams: Any) -> None:
    """request/reply with a time-out"""
    framework, (ask, _), (_, answered) = StreamFramework(), streams(), streams()
    with pytest.raises(RequestTimeoutError):
        await framework.request(ask, "anybody?", reply_stream=answered, timeout=0.01)


async def test_a_failing_handler_fails_its_request_alone(streams: Any) -> None:
    """request/reply"""
    framework, (ask, asked), (answer, answered) = StreamFramework(), streams(), streams()
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: framework.serve(asked, lambda n: 10 // n, reply_stream=answer))
        with pytest.raises(RequestFailedError, match="ZeroDivisionError"):
            await framework.request(ask, 0, reply_stream=answered)
        assert await framework.request(ask, 5, reply_stream=answered) == 2
        await ask.aclose()


async def test_what_the_framework_sends_is_serialised_bytes(streams: Any) -> None:
    """What it sends is always serialised bytes"""
    framework, (send, receive) = StreamFramework(), streams()
    await framework.send_message(send, [1])
    await framework.broadcast_message([send], [1])
    assert {type(receive.receive_nowait()), type(receive.receive_nowait())} == {bytes}


async def test_edges_made_by_connect_carry_objects() -> None:
    """edges made by `connect` carry objects"""
    sent, seen = object(), list[object]()

    @component
    def source() -> Iterator[object]:
        yield sent

    @component
    def sink(item: object) -> None:
        seen.append(item)

    harness = SystemExecutionHarness()
    harness.add("source", source)
    harness.add("sink", sink)
    harness.connect("source", "sink")
    await harness.run()
    assert seen[0] is sent


async def test_a_closed_or_failed_receiver_does_not_cancel_the_others_and_is_reported(streams: Any) -> None:
    """One closed or failed receiver in a broadcast must not cancel the others: [...] `BroadcastReport`"""
    framework, (good, good_out), (closed, _), (lonely, lonely_out) = (
        StreamFramework(),
        streams(),
        streams(),
        streams(),
    )
    await closed.aclose()
    await lonely_out.aclose()
    report = await framework.broadcast_message({"closed": closed, "good": good, "lonely": lonely}, "news")
    assert isinstance(report, BroadcastReport)
    assert report.delivered == ("good",)
    assert set(report.failed) == {"closed", "lonely"}
    assert "ClosedResourceError" in report.failed["closed"]
    assert "BrokenResourceError" in report.failed["lonely"]
    assert await framework.receive_message(good_out) == "news"


# --- MessageProtocol: the envelope -------------------------------------------------------------------


def test_messages_become_bytes_and_messages_again() -> None:
    """`serialize(message) -> bytes`, `deserialize(bytes) -> message`"""
    protocol = MessageProtocol()
    data = protocol.serialize({"id": 7})
    assert isinstance(data, bytes)
    assert protocol.deserialize(data) == {"id": 7}


def test_decode_gives_the_message_and_its_metadata() -> None:
    """`decode(bytes) -> Envelope` (message and metadata)"""
    protocol = MessageProtocol(clock=lambda: 1234.5)
    envelope = protocol.decode(protocol.serialize([1, 2]))
    assert (envelope.message, envelope.type, envelope.timestamp) == ([1, 2], "list", 1234.5)


def test_validate_raises_what_serialize_would() -> None:
    """`validate(message)`"""
    protocol = MessageProtocol()
    protocol.validate({"fine": [1, 2, 3]})
    with pytest.raises(UnregisteredTypeError):
        protocol.validate({"bad": object()})


def test_the_wire_is_json_with_the_fields_of_the_envelope() -> None:
    """JSON on the wire, with an envelope of `type`, `data`, `timestamp`, `id` [...] and a schema version"""
    wire = json.loads(MessageProtocol().serialize("hello"))
    assert {"type", "data", "timestamp", "id", "version"} <= set(wire)
    assert (wire["type"], wire["data"]) == ("str", "hello")


def test_ids_are_unique_and_sort_by_time() -> None:
    """`id` (unique, sortable by time)"""
    protocol = MessageProtocol()
    ids = [protocol.decode(protocol.serialize(number)).id for number in range(1000)]
    assert len(set(ids)) == 1000
    assert sorted(ids) == ids


# --- MessageProtocol: what travels --------------------------------------------------------------------


class Colour(Enum):
    RED = "r"


@dataclass
class Point:
    x: int
    y: float


class Reading(msgspec.Struct):
    sensor: str
    value: float


@attrs.define
class Tag:
    name: str


class Order(pydantic.BaseModel):
    id: int
    lines: list[str]


class Money:
    """A class that nothing knows how to take apart."""

    def __init__(self, pence: int) -> None:
        self.pence = pence

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.pence == other.pence

    def __hash__(self) -> int:
        return hash(self.pence)


BERLIN = ZoneInfo("Europe/Berlin")
TRAVELS = [
    None,
    True,
    0,
    -(10**40),
    1.5,
    -0.0,
    math.inf,
    -math.inf,
    "text äöü \u2028 \x00",
    b"\x00\xff bytes",
    [],
    [1, [2, [3]]],
    (),
    (1, (2,)),
    {1, 2},
    frozenset({"a"}),
    {},
    {1: "int", None: "none", (1, 2): "tuple", False: "bool"},
    datetime(2024, 2, 29, 12, 30, 1, 999, UTC),
    datetime(2024, 2, 29, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    date(1, 1, 1),
    time(23, 59, 59, 999999),
    timedelta(days=-3, microseconds=1),
    Decimal("1.10"),
    UUID(int=7),
    PurePosixPath("/tmp/x"),
    Path("relative/path"),
    np.float32(1.5),
    np.int64(-3),
]


def check_travels(protocol: MessageProtocol, message: object) -> None:
    """Check that a message comes out as it went in, alone and inside others."""
    for wrapped in (message, [message], {"key": message}, (message, message)):
        back = protocol.deserialize(protocol.serialize(wrapped))
        assert back == wrapped
        assert type(back) is type(wrapped)
    assert type(protocol.deserialize(protocol.serialize([message]))[0]) is type(message)


@pytest.mark.parametrize("message", TRAVELS, ids=lambda message: f"{type(message).__name__}-{message!r:.20}")
def test_what_goes_in_comes_out_with_its_type(message: object) -> None:
    """What goes in comes out, with its type: `None`, bool, int of any size, float [...] NumPy scalars"""
    check_travels(MessageProtocol(), message)


def test_nan_comes_out_as_nan() -> None:
    """float (also nan and infinities)"""
    protocol = MessageProtocol()
    assert math.isnan(protocol.deserialize(protocol.serialize(math.nan)))


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "complex128", "bool", "datetime64[ns]"])
def test_numpy_arrays_come_out_with_dtype_and_shape(dtype: str) -> None:
    """NumPy scalars and arrays where NumPy is installed"""
    array = np.arange(6).reshape(2, 3).astype(dtype)
    protocol = MessageProtocol()
    back = protocol.deserialize(protocol.serialize({"a": array}))["a"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array)


@pytest.mark.parametrize(
    "message", [Colour.RED, Point(1, 2.0), Reading("t", 0.5), Tag("x"), Order(id=1, lines=["a"])]
)
def test_registered_types_travel(message: object) -> None:
    """once registered, Enums, dataclasses, msgspec Structs, attrs and pydantic models"""
    protocol = MessageProtocol()
    with pytest.raises(UnregisteredTypeError, match=type(message).__name__):
        protocol.serialize(message)
    protocol.register(type(message))
    check_travels(protocol, message)


def test_any_type_travels_with_an_encoder_and_a_decoder() -> None:
    """and any type with an encoder and decoder"""
    protocol = MessageProtocol()
    protocol.register(Money, encode=lambda money: money.pence, decode=Money)
    check_travels(protocol, Money(250))


def test_zone_fold_and_lone_surrogates_survive() -> None:
    """`ZoneInfo`, `fold` and lone surrogates survive"""
    protocol = MessageProtocol()
    ambiguous = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN)
    back = protocol.deserialize(protocol.serialize({"when": ambiguous, "text": "a\ud800z"}))
    assert (back["when"], back["when"].fold, back["when"].tzinfo) == (ambiguous, 1, BERLIN)
    assert back["text"] == "a\ud800z"


# --- MessageProtocol: what is refused -------------------------------------------------------------------


def test_decoding_builds_only_registered_or_built_in_types() -> None:
    """Decoding builds only registered or built-in types, never whatever a message names"""
    before = set(sys.modules)
    wire = json.loads(MessageProtocol().serialize(1))
    for name in ("os:system", "subprocess.Popen", "antigravity", "builtins.eval", "Point"):
        with pytest.raises(UnknownTypeError):
            MessageProtocol().deserialize(json.dumps({**wire, "type": name}).encode())
    assert not {"antigravity"} & (set(sys.modules) - before)


def test_a_cyclic_value_is_refused_with_its_place() -> None:
    """a cyclic or too deep value"""
    cycle: dict[str, Any] = {"rows": [1, 2]}
    cycle["rows"].append(cycle)
    with pytest.raises(CyclicMessageError) as caught:
        MessageProtocol().serialize(cycle)
    assert caught.value.place == "$.rows[2]"


def test_a_too_deep_value_is_refused_on_both_sides() -> None:
    """a cyclic or too deep value"""
    deep: Any = 1
    for _ in range(10):
        deep = [deep]
    with pytest.raises(MessageTooDeepError):
        MessageProtocol(max_depth=5).serialize(deep)
    with pytest.raises(PayloadTooDeepError):
        MessageProtocol(max_depth=5).deserialize(MessageProtocol().serialize(deep))


def test_an_unregistered_type_is_refused_with_its_place() -> None:
    """an unknown or unregistered type; an error of its own class that names the place in the message"""
    with pytest.raises(UnregisteredTypeError, match="Money") as caught:
        MessageProtocol().serialize({"rows": [{"price": Money(1)}]})
    assert caught.value.place == "$.rows[0].price"


def test_an_unknown_type_is_refused_with_its_place() -> None:
    """an unknown or unregistered type; an error of its own class that names the place in the message"""
    sender = MessageProtocol()
    sender.register(Point)
    with pytest.raises(UnknownTypeError, match="Point") as caught:
        MessageProtocol().deserialize(sender.serialize({"at": [Point(1, 2.0)]}))
    assert caught.value.place == "$.at[0]"


def test_a_truncated_payload_is_refused() -> None:
    """a truncated or oversized payload"""
    data = MessageProtocol().serialize({"text": "something long enough"})
    for cut in range(1, len(data)):
        with pytest.raises(TruncatedMessageError):
            MessageProtocol().deserialize(data[:cut])


def test_an_oversized_payload_is_refused_on_both_sides() -> None:
    """a truncated or oversized payload"""
    small = MessageProtocol(max_size=200)
    with pytest.raises(MessageTooLargeError, match="200"):
        small.serialize("x" * 300)
    with pytest.raises(MessageTooLargeError, match="200"):
        small.deserialize(MessageProtocol().serialize("x" * 300))


def test_a_wrong_version_is_refused() -> None:
    """a wrong version"""
    wire = json.loads(MessageProtocol().serialize(1))
    with pytest.raises(SchemaVersionError, match="99"):
        MessageProtocol().deserialize(json.dumps({**wire, "version": 99}).encode())


@pytest.mark.parametrize("data", [b"\xff\xfe", b"hello world", b'{"a": nope}'])
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    """bytes that are not JSON"""
    with pytest.raises(NotJsonError):
        MessageProtocol().deserialize(data)


def test_json_without_our_envelope_is_refused() -> None:
    """Everything else is an error of its own class"""
    with pytest.raises(NotAnEnvelopeError):
        MessageProtocol().deserialize(b'{"some": "json"}')


def test_every_error_of_a_message_has_a_class_of_its_own_and_a_place() -> None:
    """an error of its own class that names the place in the message"""
    kinds = [
        CyclicMessageError,
        MessageTooDeepError,
        MessageTooLargeError,
        NotJsonError,
        SchemaVersionError,
        TruncatedMessageError,
        UnknownTypeError,
        UnregisteredTypeError,
    ]
    for kind in kinds:
        assert issubclass(kind, MessageError)
        assert issubclass(kind, HeadraceError)
        assert kind("wrong", place="$.a[3]").place == "$.a[3]"


if __name__ == "__main__":
    command = [sys.executable, "-m", "pytest", str(Path(__file__).resolve()), *sys.argv[1:]]
    sys.exit(subprocess.call(command))
