"""Groups: several edges that are one target of an output, and what all or nothing means with them."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from anyio import BrokenResourceError, WouldBlock, create_task_group, wait_all_tasks_blocked
from tests.streams.edges import assert_books_close, assert_nobody_waits, grouped, link

from headrace.exceptions import EdgeFullError
from headrace.model.options import EdgeOptions, OutputOptions
from headrace.streams import pace
from headrace.streams.edge import AnyEdge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.spread import Group

BALANCE = OutputOptions("balance")
ODD = OutputOptions("by_key", lambda number: number % 2)
ALL = OutputOptions("broadcast")


def drain(stream: EdgeReceiveStream[Any]) -> list[Any]:
    items = []
    while True:
        try:
            items.append(stream.receive_nowait())
        except WouldBlock:
            return items


def merged(shares: list[list[int]]) -> list[int]:
    return sorted(chain.from_iterable(shares))


def everything(lanes: list[list[AnyEdge]]) -> list[AnyEdge]:
    return [edge for some in lanes for edge in some]


# --- one target ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [BALANCE, ODD])
async def test_a_group_gets_each_message_once_and_a_single_edge_gets_all(how: OutputOptions) -> None:
    send, receives, lanes = grouped([how, None])
    for number in range(10):
        await send.send(number)
    shares = [drain(receive) for receive in receives[0]]
    assert merged(shares) == drain(receives[1][0]) == list(range(10))
    assert [len(share) for share in shares] == [5, 5]
    assert all(share == sorted(share) for share in shares)
    assert_books_close(*everything(lanes))


async def test_several_groups_of_one_output_each_get_all() -> None:
    send, receives, _ = grouped([BALANCE, ODD, ALL], width=2)
    for number in range(8):
        await send.send(number)
    first, second, third = [[drain(receive) for receive in some] for some in receives]
    assert merged(first) == merged(second) == list(range(8))
    assert sorted(map(sorted, second)) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert third == [list(range(8))] * 2


async def test_an_output_that_balances_gives_a_message_to_one_edge_or_to_one_group() -> None:
    send, receives, lanes = grouped([None, ALL, BALANCE], BALANCE)
    for number in range(9):
        await send.send(number)
    alone, both, one_of = [[drain(receive) for receive in some] for some in receives]
    assert alone == [[0, 3, 6]]
    assert both == [[1, 4, 7]] * 2
    assert merged(one_of) == [2, 5, 8]
    assert sorted(map(len, one_of)) == [1, 2]
    assert_books_close(*everything(lanes))


async def test_an_output_by_key_counts_a_group_as_one_branch() -> None:
    send, receives, _ = grouped([None, BALANCE], ODD)
    for number in range(8):
        await send.send(number)
    (even,), odd = [[drain(receive) for receive in some] for some in receives]
    assert even == [0, 2, 4, 6]
    assert [len(share) for share in odd] == [2, 2]


@pytest.mark.parametrize("width", [2, 3])
async def test_the_keys_that_an_output_gives_to_a_group_spread_over_all_of_its_edges(width: int) -> None:
    same = OutputOptions("by_key", lambda number: number)
    send, _, lanes = grouped([same, same], same, capacity=1000, width=width)
    for number in range(1000):
        await send.send(number)
    accepted = [edge.accepted for edge in everything(lanes)]
    assert len(accepted) == 2 * width
    assert max(accepted) <= 1.5 * min(accepted)


# --- room, and who waits for it --------------------------------------------------------------------------


async def test_a_message_that_waits_for_another_target_has_reached_no_edge_of_the_group_and_taken_no_turn() -> (
    None
):
    send, receives, lanes = grouped([BALANCE, None], capacity=4)
    for number in range(4):
        await send.send(number)
    for receive in receives[0]:
        drain(receive)
    before = [edge.accepted for edge in lanes[0]]
    for number in range(4, 8):
        async with create_task_group() as group:
            group.start_soon(send.send, number)
            await wait_all_tasks_blocked()
            assert [edge.accepted for edge in lanes[0]] == before
            group.cancel_scope.cancel()
    for number in range(4, 8):
        async with create_task_group() as group:
            group.start_soon(send.send, number)
            await wait_all_tasks_blocked()
            receives[1][0].receive_nowait()
    assert [drain(receive) for receive in receives[0]] == [[4, 6], [5, 7]]
    assert_nobody_waits(*everything(lanes))


async def test_a_sender_goes_on_when_any_edge_of_a_group_has_room() -> None:
    for lucky in range(3):
        send, receives, lanes = grouped([None, BALANCE], width=3, capacity=1)
        wide = receives[0][0]
        for number in range(3):
            await send.send(number)
            assert wide.receive_nowait() == number
        async with create_task_group() as group:
            group.start_soon(send.send, 3)
            await wait_all_tasks_blocked()
            assert send.statistics().tasks_waiting_send == 1
            assert receives[1][lucky].receive_nowait() == lucky
            await wait_all_tasks_blocked()
            assert receives[1][lucky].receive_nowait() == wide.receive_nowait() == 3
        assert_nobody_waits(*everything(lanes))


async def test_a_message_with_a_key_waits_for_its_own_edge_while_others_pass() -> None:
    send, receives, lanes = grouped([ODD], capacity=1)
    await send.send(0)
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        await send.send(1)
        assert receives[0][1].receive_nowait() == 1
        await wait_all_tasks_blocked()
        assert send.statistics().tasks_waiting_send == 1
        assert receives[0][0].receive_nowait() == 0
        await wait_all_tasks_blocked()
        assert receives[0][0].receive_nowait() == 2
    assert_nobody_waits(*everything(lanes))


async def test_a_group_that_is_full_waits_though_another_target_would_drop() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    group: Group[Any] = Group(BALANCE)
    inlets: list[AnyInlet] = [Inlet(f"b{n}.in") for n in range(3)]
    link(outlet, inlets[0], EdgeOptions(1, "drop_oldest"))
    edges = [link(outlet, inlet, EdgeOptions(1), group) for inlet in inlets[1:]]
    receives = [inlet.open() for inlet in inlets]
    send = outlet.open()
    for number in range(2):
        await send.send(number)
    with pytest.raises(WouldBlock):
        send.send_nowait(2)
    assert drain(receives[0]) == [1]
    assert receives[1].receive_nowait() == 0
    send.send_nowait(2)
    assert [edge.accepted for edge in edges] == [2, 1]


async def test_an_edge_that_refuses_refuses_for_the_group_and_all_others() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    group: Group[Any] = Group(BALANCE)
    inlets: list[AnyInlet] = [Inlet(f"b{n}.in") for n in range(3)]
    edges = [link(outlet, inlets[0], EdgeOptions(5))]
    edges += [link(outlet, inlet, EdgeOptions(1, "error"), group) for inlet in inlets[1:]]
    send = outlet.open()
    for number in range(2):
        await send.send(number)
    with pytest.raises(EdgeFullError):
        await send.send(2)
    assert [edge.accepted for edge in edges] == [2, 1, 1]


# --- ends ------------------------------------------------------------------------------------------------


async def test_a_group_goes_on_with_the_edges_that_are_left_and_ends_with_the_last() -> None:
    send, receives, lanes = grouped([BALANCE, None])
    receives[0][0].close()
    for number in range(4):
        await send.send(number)
    assert drain(receives[0][1]) == [0, 1, 2, 3]
    receives[0][1].close()
    await send.send(4)
    assert drain(receives[1][0]) == [0, 1, 2, 3, 4]
    receives[1][0].close()
    with pytest.raises(BrokenResourceError):
        await send.send(5)
    assert_books_close(*everything(lanes))


async def test_a_sender_that_waits_for_a_group_is_told_when_that_ends() -> None:
    send, receives, lanes = grouped([BALANCE, None], capacity=1)
    for number in range(2):
        await send.send(number)
        receives[1][0].receive_nowait()
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        for receive in receives[0]:
            receive.close()
    assert receives[1][0].receive_nowait() == 2
    assert_nobody_waits(*everything(lanes))


async def test_a_message_whose_key_belongs_to_an_ended_edge_is_dropped_and_counted() -> None:
    send, receives, lanes = grouped([ODD, None])
    receives[0][1].close()
    for number in range(4):
        await send.send(number)
    assert drain(receives[0][0]) == [0, 2]
    assert lanes[0][1].dropped == {"reader_ended": 2}
    assert drain(receives[1][0]) == [0, 1, 2, 3]


# --- taps, and the short way -----------------------------------------------------------------------------


async def test_a_tap_sees_each_message_once_however_many_edges_share_it() -> None:
    send, _, lanes = grouped([BALANCE, ODD, None])
    seen: list[int] = []
    lanes[0][0].outlet.add_tap(seen.append)
    for number in range(6):
        await send.send(number)
    assert seen == list(range(6))
    assert lanes[0][0].outlet.accepted == 6


async def test_a_plain_broadcast_keeps_its_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "perf_counter", lambda: 0.0)  # on a slow machine every send looks at the clock
    send, _, lanes = grouped([None, None])
    await send.send(0)
    await send.send(1)
    assert lanes[0][0].outlet.room > 0
    send, _, lanes = grouped([None, BALANCE])
    await send.send(0)
    assert lanes[0][0].outlet.room == 0


async def test_a_group_can_be_spread_anew() -> None:
    send, receives, lanes = grouped([BALANCE, None])
    await send.send(0)
    outlet = lanes[0][0].outlet
    outlet.spread_group(lanes[0][0], ALL)
    outlet.spread_group(lanes[1][0], BALANCE)  # no group: nothing changes
    await send.send(1)
    assert [drain(receive) for receive in receives[0]] == [[0, 1], [1]]
    assert drain(receives[1][0]) == [0, 1]
    outlet.spread(BALANCE)
    await send.send(2)
    assert sum(len(drain(receive)) for some in receives for receive in some) in {1, 2}


@pytest.mark.parametrize("capacity", [1, 10, 100])
async def test_senders_of_a_group_get_equal_shares(capacity: int) -> None:
    send, receives, lanes = grouped([BALANCE], capacity=capacity)
    sends = [send, *(send.clone() for _ in range(3))]
    received = [0] * 4

    async def produce(name: int) -> None:
        while True:
            await sends[name].send(name)

    async def consume(receive: EdgeReceiveStream[Any]) -> None:
        async for name in receive:
            received[name] += 1
            if sum(received) >= 8_000:
                group.cancel_scope.cancel()

    async with create_task_group() as group:
        for name in range(4):
            group.start_soon(produce, name)
        await wait_all_tasks_blocked()
        for receive in receives[0]:
            group.start_soon(consume, receive)
    assert max(received) / min(received) <= 1.2, received
    assert_books_close(*everything(lanes))
