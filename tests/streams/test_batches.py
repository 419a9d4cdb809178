"""Many messages at a time: batches on the reading side, ``send_many`` on the writing side, and their books."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import CancelScope, ClosedResourceError, EndOfStream, create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.edges import assert_books_close, assert_nobody_waits, fan_in, fan_out, one_edge

from headrace.exceptions import ReaderEndedError
from headrace.streams.latency import LatencySampler

# --- reading ---------------------------------------------------------------------------------------


@pytest.fixture
def unsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow no message for its latency: one that is begins a chunk of its own, wherever it is."""
    monkeypatch.setattr(LatencySampler, "follow", lambda self, ahead: None)


async def test_a_batch_is_full_or_the_last_one() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many(range(7))
    send.close()
    assert [batch async for batch in receive.batch(3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert_books_close(edge)
    assert edge.ledger().acknowledged == 7


async def test_a_batch_may_be_larger_than_the_edge() -> None:
    send, receive, edge = one_edge(2)

    async def write() -> None:
        await send.send_many(range(25))
        send.close()

    async with create_task_group() as group:
        group.start_soon(write)
        batches = receive.batch(10)
        assert await anext(batches) == list(range(10))
        assert edge.ledger().in_hand == 10
        assert_books_close(edge)
        assert await anext(batches) == list(range(10, 20))
        assert edge.ledger().acknowledged == 10
        assert await anext(batches) == list(range(20, 25))
    assert_books_close(edge)


async def test_a_batch_is_handed_over_when_its_time_is_up() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("ab")
    batches = receive.batch(5, within=0)
    assert await anext(batches) == ["a", "b"]
    await send.send("c")
    assert await anext(batches) == ["c"]
    assert_nobody_waits(edge)


async def test_the_time_of_a_batch_begins_with_its_first_message() -> None:
    send, receive, _ = one_edge(10)
    found: list[Any] = []

    async def read() -> None:
        found.append(await anext(receive.batch(2, within=0)))

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        assert found == [], "it waits for a first message for ever"
        await send.send(1)
    assert found == [[1]]


async def test_a_batch_gathers_from_every_sender_of_a_fan_in() -> None:
    sends, receive, edges = fan_in([10, 10, 10])
    for number, send in enumerate(sends):
        await send.send_many([number] * 2)
    batch = await anext(receive.batch(6))
    assert sorted(batch) == [0, 0, 1, 1, 2, 2]
    assert [edge.ledger().in_hand for edge in edges] == [2, 2, 2]
    receive.settle_first(4, "dead_lettered")
    assert sum(edge.dead_lettered for edge in edges) == 4
    assert_books_close(*edges)
    receive.settle()
    assert_books_close(*edges)
    assert sum(edge.ledger().acknowledged for edge in edges) == 2


async def test_a_cancelled_batch_is_received_again_in_its_order() -> None:
    sends, receive, edges = fan_in([2, 2])
    for number, send in enumerate(sends):
        await send.send_many([f"{number}a", f"{number}b"])
    batches = receive.batch(5)
    async with create_task_group() as group:
        group.start_soon(anext, batches)
        await wait_all_tasks_blocked()
        assert sum(edge.ledger().in_hand for edge in edges) == 4
        group.cancel_scope.cancel()
    assert_books_close(*edges)
    assert sum(edge.ledger().in_hand for edge in edges) == 0
    again = await receive.receive_many(4) + await receive.receive_many(4)
    assert sorted(again) == ["0a", "0b", "1a", "1b"]
    assert again.index("0a") < again.index("0b")
    assert again.index("1a") < again.index("1b")


async def test_what_a_batch_gathered_when_its_handle_is_closed_is_dropped_with_the_rest() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many([1, 2])
    errors: list[Any] = []

    async def read() -> None:
        try:
            await anext(receive.batch(5))
        except ClosedResourceError as error:
            errors.append(error)

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        receive.close()
    assert len(errors) == 1
    assert edge.dropped == {"reader_ended": 2}
    assert_books_close(edge)


async def test_a_receive_beside_a_batch_acknowledges_it_and_loses_nothing() -> None:
    send, receive, edge = one_edge(10)
    await send.send(1)
    found: list[Any] = []

    async def read() -> None:
        found.append(await anext(receive.batch(3)))

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        await send.send_many([2, 3, 4])
        found.append(await receive.receive())
    assert sorted(m for one in found for m in (one if isinstance(one, list) else [one])) in (
        [1, 2],
        [1, 2, 3, 4],
    )
    assert_books_close(edge)


@pytest.mark.parametrize(("n", "within"), [(0, None), (-1, 1), (1, -0.1), (1, float("nan"))])
async def test_a_batch_that_cannot_be_is_refused(n: int, within: float | None) -> None:
    _, receive, _ = one_edge()
    with pytest.raises(ValueError, match="at least 1 message"):
        receive.batch(n, within)


async def test_the_batches_of_a_stream_survive_a_cancelled_wait() -> None:
    send, receive, _ = one_edge()
    batches = receive.batch(2)
    await send.send(1)
    with CancelScope() as scope:
        scope.cancel()
        await anext(batches)
    await send.send(2)
    assert await anext(batches) == [1, 2]


@pytest.mark.parametrize("at_most", [0, -1])
async def test_fewer_than_one_message_cannot_be_received(at_most: int) -> None:
    _, receive, _ = one_edge()
    with pytest.raises(ValueError, match="at least 1 message"):
        await receive.receive_many(at_most)


async def test_receive_many_returns_what_there_is_and_keeps_all_of_it_in_hand() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many(range(5))
    assert await receive.receive() == 0
    assert await receive.receive_many(3) == [1, 2, 3]
    assert (edge.ledger().acknowledged, edge.ledger().in_hand, edge.ledger().buffered) == (1, 3, 1)
    receive.settle_first(1)
    receive.settle_first(1, "dropped", "why")
    assert (edge.ledger().acknowledged, edge.ledger().in_hand) == (2, 1)
    assert receive.hands() == [(edge, 3)]
    assert_books_close(edge)
    assert await receive.receive() == 4
    assert edge.ledger().acknowledged == 3
    assert_books_close(edge)


async def test_whoever_changes_the_list_of_a_batch_changes_nothing_else() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many(range(9))
    send.close()
    (await receive.receive_many(3)).clear()
    assert edge.ledger().in_hand == 3
    async for batch in receive.batch(3):
        batch += [None, None]
    assert_books_close(edge)
    assert edge.ledger().acknowledged == 9


async def test_receive_many_takes_as_many_as_it_is_told_whoever_else_reads(unsampled: None) -> None:
    send, receive, edge = one_edge(10)
    other = receive.clone()
    seen: list[int] = []
    edge.inlet.add_tap(seen.append)
    await send.send_many(range(7))
    assert await receive.receive() == 0
    assert await receive.receive_many(2) == [1, 2]
    assert await other.receive_many(3) == [3, 4, 5]
    assert await receive.receive_many() == [6]
    assert seen == [0, 1, 2, 3, 4, 5, 6]
    assert_books_close(edge)


async def test_what_is_released_is_received_again_but_for_one_message(unsampled: None) -> None:
    send, receive, edge = one_edge(10)
    await send.send_many(range(-1, 6))
    assert await receive.receive() == -1
    assert await receive.receive_many(5) == [0, 1, 2, 3, 4]
    assert edge.ledger().acknowledged == 1
    receive.settle_first(1)
    receive.release(2)
    assert receive.hands() == [(edge, 3)]
    assert (edge.ledger().acknowledged, edge.ledger().in_hand, edge.ledger().buffered) == (2, 1, 4)
    receive.settle_first(1, "dead_lettered")
    assert await receive.receive_many(9) == [1, 2, 4]
    assert edge.ledger().acknowledged == 2
    receive.release()
    assert not receive.has_hand
    assert await receive.receive_many(9) == [1, 2, 4]
    assert await receive.receive_many(9) == [5]
    assert_books_close(edge)


async def test_what_is_left_of_a_chunk_goes_back_when_the_loop_is_left() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many(range(5))
    async for message in receive:
        if message == 1:
            break
    assert edge.ledger().in_hand == 1
    assert edge.ledger().buffered == 3
    clone = receive.clone()
    assert await clone.receive() == 2, "another handle may have it"
    assert await receive.receive() == 3
    assert_books_close(edge)


async def test_tasks_on_one_handle_share_what_it_has_taken() -> None:
    send, receive, edge = one_edge(10)
    seen: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        async for message in receive:
            seen.append((name, message))
            await checkpoint()

    async with create_task_group() as group:
        for name in "abc":
            group.start_soon(work, name)
        await wait_all_tasks_blocked()
        await send.send_many(range(9))
        await wait_all_tasks_blocked()
        send.close()
    assert sorted(message for _, message in seen) == list(range(9))
    assert {name for name, _ in seen} == {"a", "b", "c"}
    assert_books_close(edge)


async def test_aiter_survives_a_cancelled_wait() -> None:
    send, receive, _ = one_edge()
    messages = aiter(receive)
    with CancelScope() as scope:
        scope.cancel()
        await anext(messages)
    await send.send(1)
    assert await anext(messages) == 1


async def test_a_sender_that_waits_for_room_beside_a_half_used_chunk_is_let_in() -> None:
    """A reader in the middle of a chunk may wait for the very sender that waits for room."""
    send, receive, edge = one_edge(4)
    answer, answers = anyio.create_memory_object_stream[int](1)

    async def ask() -> None:
        for number in range(8):
            await send.send(number)
        await answer.send(99)

    async with create_task_group() as group:
        group.start_soon(ask)
        await wait_all_tasks_blocked()
        async for number in receive:
            await wait_all_tasks_blocked()
            if number == 3:
                assert edge.ledger().buffered == 4, "the sender has let in the last four"
                assert await answers.receive() == 99
                break
    answer.close()
    answers.close()
    assert_books_close(edge)


# --- writing ---------------------------------------------------------------------------------------


async def test_send_many_waits_for_room_and_keeps_the_order() -> None:
    send, receive, edge = one_edge(3)
    async with create_task_group() as group:
        group.start_soon(send.send_many, iter(range(100)))
        found = [await receive.receive() for _ in range(100)]
    assert found == list(range(100))
    assert_books_close(edge)


@pytest.mark.fault(19)
async def test_a_cancelled_send_many_has_sent_the_first_ones_and_no_others() -> None:
    send, receive, edge = one_edge(3)
    with CancelScope() as scope:
        async with create_task_group() as group:
            group.start_soon(send.send_many, range(10))
            await wait_all_tasks_blocked()
            scope.cancel()
    send.close()
    assert [message async for message in receive] == [0, 1, 2]
    assert_books_close(edge)


async def test_send_many_reaches_every_branch_of_a_broadcast() -> None:
    send, receives, edges = fan_out([5, 2])
    async with create_task_group() as group:
        group.start_soon(send.send_many, range(9))
        found = [[await receive.receive() for _ in range(4)] for receive in reversed(receives)]
        await wait_all_tasks_blocked()
        assert found == [[0, 1, 2, 3]] * 2
        assert_books_close(*edges)
        group.cancel_scope.cancel()


async def test_send_many_of_nothing_does_nothing() -> None:
    send, _, edge = one_edge()
    await send.send_many([])
    assert edge.accepted == 0


async def test_send_many_says_that_a_handle_is_closed_and_that_nobody_reads() -> None:
    send, receive, _ = one_edge()
    clone = send.clone()
    clone.close()
    with pytest.raises(ClosedResourceError):
        await clone.send_many([1])
    receive.close()
    with pytest.raises(ReaderEndedError):
        await send.send_many([1])


# --- both ------------------------------------------------------------------------------------------


async def move_all(capacity: int, writes: list[int], n: int, within: float | None) -> None:
    send, receive, edge = one_edge(capacity)
    number = sum(writes)

    async def write() -> None:
        first = 0
        for count in writes:
            await send.send_many(range(first, first + count))
            first += count
            await checkpoint()
        send.close()

    async with create_task_group() as group:
        group.start_soon(write)
        batches = [batch async for batch in receive.batch(n, within)]
    assert [message for batch in batches for message in batch] == list(range(number))
    assert all(1 <= len(batch) <= n for batch in batches)
    assert within is not None or all(len(batch) == n for batch in batches[:-1])
    assert edge.ledger().acknowledged == number
    assert_books_close(edge)
    with pytest.raises(EndOfStream):
        await receive.receive_many()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 16),
    st.lists(st.integers(0, 20), max_size=8),
    st.integers(1, 30),
    st.sampled_from([None, 0, 0.0001]),
)
def test_whatever_the_sizes_every_message_comes_once_in_order(
    backend: str, capacity: int, writes: list[int], n: int, within: float | None
) -> None:
    anyio.run(move_all, capacity, writes, n, within, backend=backend)
