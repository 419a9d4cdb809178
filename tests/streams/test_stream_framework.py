"""Messages over streams: one to one, one to many, named groups, request and reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from anyio.streams.stapled import StapledObjectStream

from headrace.exceptions import (
    DeserializationError,
    GroupConflictError,
    MessageTooLargeError,
    RequestFailedError,
    RequestTimeoutError,
    SchemaVersionError,
    UnknownGroupError,
    UnknownTypeError,
    UnregisteredTypeError,
)
from headrace.streams.message_protocol import MessageProtocol
from headrace.streams.stream_framework import BroadcastReport, StreamFramework

Pair = tuple[MemoryObjectSendStream[bytes], MemoryObjectReceiveStream[bytes]]


@asynccontextmanager
async def pairs(count: int, buffer: float = 10) -> AsyncIterator[list[Pair]]:
    made = [anyio.create_memory_object_stream[bytes](buffer) for _ in range(count)]
    try:
        yield list(made)
    finally:
        for send, receive in made:
            send.close()
            receive.close()


class Failing(ObjectSendStream[bytes]):
    async def send(self, item: bytes) -> None:
        await checkpoint()
        raise OSError("cable cut")

    async def aclose(self) -> None:
        await checkpoint()


class BothWays(ObjectSendStream[bytes], ObjectReceiveStream[bytes]):
    """A stream of one's own that is no AnyIO class, sends and receives."""

    def __init__(self, send: ObjectSendStream[bytes], receive: ObjectReceiveStream[bytes]) -> None:
        self._send, self._receive = send, receive

    async def send(self, item: bytes) -> None:
        await self._send.send(item)

    async def receive(self) -> bytes:
        return await self._receive.receive()

    async def aclose(self) -> None:
        await checkpoint()


@dataclass
class Reading:
    value: float


# --- one to one


async def test_a_message_arrives_as_it_was_sent_and_travels_as_bytes() -> None:
    framework = StreamFramework()
    async with pairs(1) as [(send, receive)]:
        await framework.send_message(send, {"a": (1, {2})})
        await framework.send_message(send, None)
        raw = receive.receive_nowait()
        assert isinstance(raw, bytes)
        assert framework.message_protocol.deserialize(raw) == {"a": (1, {2})}
        assert await framework.receive_message(receive) is None
    assert (framework.statistics().sent, framework.statistics().received) == (2, 1)


async def test_headers_and_metadata_come_with_the_envelope() -> None:
    framework = StreamFramework(MessageProtocol(clock=lambda: 5.0))
    async with pairs(1) as [(send, receive)]:
        await framework.send_message(send, [1], headers={"trace": "t1"})
        envelope = await framework.receive_envelope(receive)
    assert envelope.message == [1]
    assert (envelope.type, envelope.timestamp, envelope.headers) == ("list", 5.0, {"trace": "t1"})


async def test_the_given_protocol_is_used() -> None:
    protocol = MessageProtocol()
    protocol.register(Reading)
    framework = StreamFramework(protocol)
    assert framework.message_protocol is protocol
    async with pairs(1) as [(send, receive)]:
        await framework.send_message(send, Reading(1.5))
        assert await framework.receive_message(receive) == Reading(1.5)
        with pytest.raises(UnregisteredTypeError):
            await framework.send_message(send, object())
        assert receive.statistics().current_buffer_used == 0


async def test_bytes_that_are_no_message_are_refused_and_the_next_one_is_read() -> None:
    framework = StreamFramework(MessageProtocol(max_size=500))
    async with pairs(1) as [(send, receive)]:
        await send.send(b"garbage")
        await send.send(b" " * 501)
        await framework.send_message(send, 7)
        with pytest.raises(DeserializationError):
            await framework.receive_message(receive)
        with pytest.raises(MessageTooLargeError):
            await framework.receive_message(receive)
        assert await framework.receive_message(receive) == 7


async def test_the_streams_own_errors_come_through_as_they_are() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(send, receive), (other, unread)]:
        send.close()
        with pytest.raises(anyio.ClosedResourceError):
            await framework.send_message(send, 1)
        with pytest.raises(anyio.EndOfStream):
            await framework.receive_message(receive)
        unread.close()
        with pytest.raises(anyio.BrokenResourceError):
            await framework.send_message(other, 1)


async def test_a_cancelled_receive_loses_no_message() -> None:
    framework = StreamFramework()
    async with pairs(1) as [(send, receive)]:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await framework.receive_message(receive)
        assert scope.cancelled_caught
        await framework.send_message(send, 1)
        assert await framework.receive_message(receive) == 1


# --- one to many


async def test_a_broadcast_reaches_all_and_reports_the_closed_the_failed_and_the_slow() -> None:
    framework = StreamFramework()
    async with pairs(3) as [(one, got_one), (two, got_two), (closed, _)], pairs(1, 0) as [(slow, _)]:
        closed.close()
        streams = {"one": one, "closed": closed, "slow": slow, "failing": Failing(), "two": two}
        report = await framework.broadcast_message(streams, {"n": 1}, timeout=0.01)
        assert await framework.receive_message(got_one) == {"n": 1}
        assert await framework.receive_message(got_two) == {"n": 1}
    assert report.delivered == ("one", "two")
    assert not report.complete
    assert report.failed == {
        "closed": "ClosedResourceError",
        "slow": "TimeoutError: not taken within 0.01 s",
        "failing": "OSError: cable cut",
    }
    assert isinstance(report.errors["failing"], OSError)
    assert (framework.statistics().sent, framework.statistics().failed_deliveries) == (2, 3)


async def test_streams_without_names_are_reported_by_position() -> None:
    framework = StreamFramework()
    async with pairs(3) as [(one, _), (two, unread), (three, _)]:
        unread.close()
        report = await framework.broadcast_message((stream for stream in (one, two, three)), 1)
    assert report == BroadcastReport((0, 2), {1: "BrokenResourceError"})


async def test_all_receivers_of_a_broadcast_get_the_same_bytes_with_one_id() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(one, got_one), (two, got_two)]:
        assert (await framework.broadcast_message([one, two], 1)).complete
        assert got_one.receive_nowait() == got_two.receive_nowait()


async def test_a_broadcast_to_nobody_delivers_to_nobody() -> None:
    assert await StreamFramework().broadcast_message([], 1) == BroadcastReport((), {})


async def test_what_cannot_travel_is_broadcast_to_nobody() -> None:
    async with pairs(1) as [(send, receive)]:
        with pytest.raises(UnregisteredTypeError):
            await StreamFramework().broadcast_message([send], object())
        assert receive.statistics().current_buffer_used == 0


async def test_a_slow_receiver_does_not_hold_up_the_others_without_a_timeout_either() -> None:
    framework = StreamFramework()
    reports: list[BroadcastReport] = []

    async def broadcast() -> None:
        reports.append(await framework.broadcast_message({"slow": slow, "quick": quick}, 1))

    async with pairs(1, 0) as [(slow, taken)], pairs(1) as [(quick, got)], anyio.create_task_group() as tg:
        tg.start_soon(broadcast)
        assert await framework.receive_message(got) == 1
        await anyio.wait_all_tasks_blocked()
        assert not reports
        assert await framework.receive_message(taken) == 1
    assert reports == [BroadcastReport(("slow", "quick"), {})]


async def test_a_cancellation_from_outside_ends_a_broadcast() -> None:
    framework = StreamFramework(broadcast_timeout=60)
    ended: list[BroadcastReport] = []

    async def broadcast() -> None:
        ended.append(await framework.broadcast_message([slow], 1))

    async with pairs(1, 0) as [(slow, _)], anyio.create_task_group() as tg:
        tg.start_soon(broadcast)
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert not ended


async def test_the_frameworks_broadcast_timeout_holds_unless_the_call_says_otherwise() -> None:
    framework = StreamFramework(broadcast_timeout=0.01)
    async with pairs(1, 0) as [(slow, _)]:
        report = await framework.broadcast_message([slow], 1)
        assert report.failed == {0: "TimeoutError: not taken within 0.01 s"}
        report = await framework.broadcast_message([slow], 1, timeout=0.02)
        assert report.failed == {0: "TimeoutError: not taken within 0.02 s"}


# --- groups


async def test_a_multicast_reaches_the_members_of_its_group() -> None:
    framework = StreamFramework()
    async with pairs(3) as [(one, got_one), (two, got_two), (three, got_three)]:
        framework.create_group("alerts", {"one": one})
        framework.create_group("rest", [three])
        assert framework.add_to_group("alerts", two) == 0
        report = await framework.multicast_message("alerts", "fire")
        assert report.delivered == ("one", 0)
        assert await framework.receive_message(got_one) == await framework.receive_message(got_two) == "fire"
        assert got_three.statistics().current_buffer_used == 0
        got_two.close()
        report = await framework.multicast_message("alerts", "again", timeout=1)
        assert report.failed == {0: "BrokenResourceError"}


async def test_groups_change_while_in_use() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(one, _), (two, _)]:
        framework.create_group("g")
        assert await framework.multicast_message("g", 1) == BroadcastReport((), {})
        assert framework.add_to_group("g", one, name="first") == "first"
        assert framework.add_to_group("g", one, name="first") == "first"
        assert framework.add_to_group("g", two) == 0
        assert framework.groups == {"g": ("first", 0)}
        framework.remove_from_group("g", "first")
        framework.remove_from_group("g", two)
        assert framework.groups == {"g": ()}
        framework.delete_group("g")
        assert framework.groups == {}


async def test_a_member_removed_during_a_multicast_is_still_reached_by_it() -> None:
    framework = StreamFramework()
    async with pairs(1, 0) as [(send, receive)], anyio.create_task_group() as tg:
        framework.create_group("g", {"a": send})
        tg.start_soon(framework.multicast_message, "g", 1)
        await anyio.wait_all_tasks_blocked()
        framework.delete_group("g")
        assert await framework.receive_message(receive) == 1


async def test_mistakes_with_groups_are_errors_of_their_own() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(one, _), (two, _)]:
        with pytest.raises(UnknownGroupError, match="create_group"):
            await framework.multicast_message("alerts", 1)
        framework.create_group("alerts", {"a": one})
        with pytest.raises(UnknownGroupError, match="did you mean 'alerts'"):
            await framework.multicast_message("alert", 1)
        with pytest.raises(GroupConflictError, match="already"):
            framework.create_group("alerts")
        with pytest.raises(GroupConflictError, match="another member"):
            framework.add_to_group("alerts", two, name="a")
        with pytest.raises(UnknownGroupError, match="no member 'b'"):
            framework.remove_from_group("alerts", "b")
        for call in (framework.delete_group, lambda g: framework.add_to_group(g, one)):
            with pytest.raises(UnknownGroupError):
                call("nowhere")
        with pytest.raises(UnknownGroupError):
            framework.remove_from_group("nowhere", "a")


# --- request and reply


async def test_a_request_gets_its_reply() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        tg.start_soon(lambda: framework.serve(asked, lambda n: n + 1, reply_stream=answer))
        assert await framework.request(ask, 1, reply_stream=answers) == 2
        assert await framework.request(ask, 2**70, reply_stream=answers) == 2**70 + 1
        ask.close()
    assert framework.statistics().pending_requests == 0


async def test_a_stream_that_goes_both_ways_needs_no_reply_stream() -> None:
    framework = StreamFramework()

    async def double(number: int) -> int:
        await checkpoint()
        return number * 2

    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        tg.start_soon(framework.serve, StapledObjectStream(answer, asked), double)
        assert await framework.request(StapledObjectStream(ask, answers), 4) == 8
        assert await framework.request(BothWays(ask, answers), 5) == 10
        ask.close()


async def test_requests_that_share_their_streams_get_each_its_own_reply() -> None:
    framework = StreamFramework()
    got: dict[int, Any] = {}

    async def ask_for(number: int) -> None:
        got[number] = await framework.request(ask, number, reply_stream=answers)

    async with pairs(2, 100) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        for number in range(20):
            tg.start_soon(ask_for, number)
        envelopes = [await framework.receive_envelope(asked) for _ in range(20)]
        assert framework.statistics().pending_requests == 20
        for envelope in reversed(envelopes):
            await framework.reply(answer, envelope, -envelope.message)
    assert got == {number: -number for number in range(20)}
    assert framework.statistics().late_replies == 0


async def test_several_workers_answer_at_once() -> None:
    framework = StreamFramework()
    together = anyio.Event()
    under_way: list[int] = []

    async def handler(number: int) -> int:
        under_way.append(number)
        if len(under_way) == 3:
            together.set()
        await together.wait()
        return number

    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        tg.start_soon(lambda: framework.serve(asked, handler, reply_stream=answer, workers=3))
        async with anyio.create_task_group() as requests:
            for number in range(3):
                requests.start_soon(lambda n=number: framework.request(ask, n, reply_stream=answers))
        ask.close()
    assert sorted(under_way) == [0, 1, 2]


async def test_a_request_without_reply_times_out_and_a_late_reply_is_counted_not_mixed_up() -> None:
    framework = StreamFramework(request_timeout=0.01)
    async with pairs(2) as [(ask, asked), (answer, answers)]:
        with pytest.raises(RequestTimeoutError, match=r"within 0\.01 s") as caught:
            await framework.request(ask, "slow", reply_stream=answers)
        assert isinstance(caught.value, TimeoutError)
        slow = await framework.receive_envelope(asked)
        await framework.reply(answer, slow, "too late")
        async with anyio.create_task_group() as tg:
            tg.start_soon(lambda: framework.serve(asked, str.upper, reply_stream=answer))
            assert await framework.request(ask, "quick", reply_stream=answers, timeout=5) == "QUICK"
            ask.close()
    assert framework.statistics().late_replies == 1


async def test_a_second_reply_to_one_request_is_late() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:

        async def twice() -> None:
            first = await framework.receive_envelope(asked)
            for text in ("first", "second"):
                await framework.reply(answer, first, text)

        tg.start_soon(twice)
        assert await framework.request(ask, 1, reply_stream=answers) == "first"
        tg.start_soon(lambda: framework.serve(asked, str, reply_stream=answer))
        assert await framework.request(ask, 2, reply_stream=answers) == "2"
        ask.close()
    assert framework.statistics().late_replies == 1


async def test_the_sending_of_a_request_counts_against_its_time_too() -> None:
    framework = StreamFramework()
    async with pairs(1, 0) as [(ask, _)], pairs(1) as [(_, answers)]:
        with pytest.raises(RequestTimeoutError):
            await framework.request(ask, 1, reply_stream=answers, timeout=0.01)
    assert framework.statistics().pending_requests == 0


async def test_when_the_reading_requester_is_cancelled_another_reads_on() -> None:
    framework = StreamFramework()
    got: list[Any] = []
    scopes = {name: anyio.CancelScope() for name in ("reads", "waits", "last")}

    async def ask_for(name: str) -> None:
        with scopes[name]:
            got.append(await framework.request(ask, name, reply_stream=answers))

    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        for name in scopes:
            tg.start_soon(ask_for, name)
            await anyio.wait_all_tasks_blocked()
        envelopes = {one.message: one for one in [await framework.receive_envelope(asked) for _ in scopes]}
        scopes["reads"].cancel()
        await anyio.wait_all_tasks_blocked()
        scopes["waits"].cancel()
        await anyio.wait_all_tasks_blocked()
        assert framework.statistics().pending_requests == 1
        for name in scopes:
            await framework.reply(answer, envelopes[name], f"to {name}")
    assert got == ["to last"]
    assert framework.statistics().late_replies == 2


async def test_a_requester_cancelled_just_as_it_is_woken_to_read_passes_it_on() -> None:
    framework = StreamFramework()
    got: list[Any] = []
    scopes = [anyio.CancelScope() for _ in range(3)]

    async def ask_for(number: int) -> None:
        with scopes[number]:
            got.append(await framework.request(ask, number, reply_stream=answers))

    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        for number in range(3):
            tg.start_soon(ask_for, number)
            await anyio.wait_all_tasks_blocked()
        envelopes = [await framework.receive_envelope(asked) for _ in range(3)]
        scopes[0].cancel()
        scopes[1].cancel()
        await anyio.wait_all_tasks_blocked()
        await framework.reply(answer, envelopes[2], "mine")
    assert got == ["mine"]


async def test_a_failing_handler_raises_at_the_requester_and_serving_goes_on() -> None:
    framework = StreamFramework()

    def handler(message: Any) -> Any:
        if message == "bad":
            raise LookupError("no such thing")
        return object() if message == "odd" else message

    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        tg.start_soon(lambda: framework.serve(asked, handler, reply_stream=answer))
        with pytest.raises(RequestFailedError, match="LookupError: no such thing") as caught:
            await framework.request(ask, "bad", reply_stream=answers)
        assert (caught.value.error_type, caught.value.reason) == ("LookupError", "no such thing")
        with pytest.raises(RequestFailedError) as caught:
            await framework.request(ask, "odd", reply_stream=answers)
        assert caught.value.error_type == "UnregisteredTypeError"
        assert await framework.request(ask, "good", reply_stream=answers) == "good"
        ask.close()


async def test_an_error_can_be_the_reply() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:

        async def refuse() -> None:
            await framework.reply_error(answer, await framework.receive_envelope(asked), ValueError("no"))

        tg.start_soon(refuse)
        with pytest.raises(RequestFailedError, match="ValueError: no"):
            await framework.request(ask, 1, reply_stream=answers)


async def test_requests_that_the_server_cannot_read_are_answered_with_the_reason() -> None:
    protocol = MessageProtocol()
    protocol.register(Reading)
    asking, serving = StreamFramework(protocol), StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        tg.start_soon(lambda: serving.serve(asked, str, reply_stream=answer))
        await ask.send(b"not even an envelope")
        with pytest.raises(RequestFailedError) as caught:
            await asking.request(ask, Reading(1.0), reply_stream=answers)
        assert caught.value.error_type == UnknownTypeError.__name__
        ask.close()
    assert serving.statistics().undecodable_messages == 1


async def test_a_reply_that_cannot_be_read_raises_at_its_requester() -> None:
    protocol = MessageProtocol()
    protocol.register(Reading)
    serving, asking = StreamFramework(protocol), StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        tg.start_soon(lambda: serving.serve(asked, Reading, reply_stream=answer))
        with pytest.raises(UnknownTypeError, match="Reading"):
            await asking.request(ask, 1.0, reply_stream=answers)
        ask.close()


async def test_what_is_no_reply_on_a_reply_stream_is_counted() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        await framework.send_message(answer, "hello")
        await answer.send(b"garbage")
        tg.start_soon(lambda: framework.serve(asked, str, reply_stream=answer))
        assert await framework.request(ask, 1, reply_stream=answers) == "1"
        ask.close()
    statistics = framework.statistics()
    assert (statistics.unexpected_messages, statistics.undecodable_messages) == (1, 1)


async def test_the_end_of_the_reply_stream_reaches_every_waiting_requester() -> None:
    framework = StreamFramework()
    ended: list[int] = []

    async def ask_for(number: int) -> None:
        try:
            await framework.request(ask, number, reply_stream=answers)
        except anyio.EndOfStream:
            ended.append(number)

    async with pairs(2) as [(ask, _), (answer, answers)], anyio.create_task_group() as tg:
        for number in range(3):
            tg.start_soon(ask_for, number)
        await anyio.wait_all_tasks_blocked()
        answer.close()
    assert sorted(ended) == [0, 1, 2]


async def test_what_cannot_travel_is_no_request() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(ask, asked), (_, answers)]:
        with pytest.raises(UnregisteredTypeError):
            await framework.request(ask, object(), reply_stream=answers)
        ask.close()
        with pytest.raises(anyio.ClosedResourceError):
            await framework.request(ask, 1, reply_stream=answers)
        assert asked.statistics().current_buffer_used == 0
    assert framework.statistics().pending_requests == 0


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_server_whose_replies_nobody_reads_ends_with_the_streams_error(workers: int) -> None:
    framework = StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)]:
        answers.close()
        await framework.send_message(ask, 1)
        with pytest.raises(anyio.BrokenResourceError):
            await framework.serve(asked, str, reply_stream=answer, workers=workers)


async def test_a_cancelled_server_stops_serving() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(_, asked), (answer, _)], anyio.create_task_group() as tg:
        tg.start_soon(lambda: framework.serve(asked, str, reply_stream=answer))
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()


async def test_a_server_needs_a_worker() -> None:
    async with pairs(1) as [(send, receive)]:
        with pytest.raises(ValueError, match="at least 1"):
            await StreamFramework().serve(receive, str, reply_stream=send, workers=0)


async def test_a_request_of_another_version_is_answered_so() -> None:
    framework = StreamFramework()
    async with pairs(2) as [(ask, asked), (answer, answers)], anyio.create_task_group() as tg:
        tg.start_soon(lambda: framework.serve(asked, str, reply_stream=answer))
        data = framework.message_protocol.serialize(1).replace(b'"version":1', b'"version":9')
        await ask.send(data)
        reply = await framework.receive_envelope(answers)
        assert reply.headers["error"] == SchemaVersionError.__name__
        ask.close()
