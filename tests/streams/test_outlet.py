"""An output port: broadcast all or nothing, balance, keys, branches that end, and outputs to nowhere."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    WouldBlock,
    create_task_group,
    wait_all_tasks_blocked,
)
from tests.streams.edges import assert_books_close, assert_nobody_waits, fan_out, link

from headrace.exceptions import EdgeFullError, ReaderEndedError
from headrace.model.options import EdgeOptions, OutputOptions
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.send_stream import EdgeSendStream


def drain(stream: EdgeReceiveStream[Any]) -> list[Any]:
    items = []
    while True:
        try:
            items.append(stream.receive_nowait())
        except WouldBlock:
            return items


# --- nowhere -----------------------------------------------------------------------------------------


async def test_an_unconnected_output_discards_and_counts() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    send = outlet.open()
    for number in range(50):
        await send.send(number)
        send.send_nowait(number)
    assert outlet.discarded == outlet.accepted == 100
    assert send.statistics() == (0, 0, 1, 0, 0, 0)
    outlet.end()
    for _ in range(20):
        with pytest.raises(ClosedResourceError):
            await send.send(1)
    assert outlet.discarded == 100


# --- broadcast ---------------------------------------------------------------------------------------


async def test_broadcast_reaches_every_branch_with_the_same_object() -> None:
    send, receives, edges = fan_out([3, 3, 3])
    item = object()
    await send.send(item)
    assert [await receive.receive() for receive in receives] == [item] * 3
    assert edges[0].outlet.accepted == 1
    assert_books_close(*edges)


async def test_broadcast_waits_for_room_on_every_branch_and_reaches_none_before() -> None:
    send, receives, edges = fan_out([2, 1, 1])
    await send.send(0)
    async with create_task_group() as group:
        group.start_soon(send.send, 1)
        await wait_all_tasks_blocked()
        assert [edge.accepted for edge in edges] == [1, 1, 1]
        receives[1].receive_nowait()
        await wait_all_tasks_blocked()
        assert [edge.accepted for edge in edges] == [1, 1, 1]
        receives[2].receive_nowait()
        await wait_all_tasks_blocked()
        assert [edge.accepted for edge in edges] == [2, 2, 2]
    assert_nobody_waits(*edges)
    assert_books_close(*edges)


@pytest.mark.parametrize("room_on", [0, 1, 2])
async def test_a_cancelled_broadcast_has_reached_no_branch(room_on: int) -> None:
    send, receives, edges = fan_out([1, 1, 1])
    await send.send(0)
    async with create_task_group() as group:
        group.start_soon(send.send, 1)
        await wait_all_tasks_blocked()
        receives[room_on].receive_nowait()
        group.cancel_scope.cancel()
    assert [edge.accepted for edge in edges] == [1, 1, 1]
    assert_nobody_waits(*edges)


async def test_branches_that_copy_share_nothing() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlets: list[AnyInlet] = [Inlet("b.in"), Inlet("c.in")]
    link(outlet, inlets[0], EdgeOptions(copy=True))
    link(outlet, inlets[1])
    send, first, second = outlet.open(), inlets[0].open(), inlets[1].open()
    item = {"rows": [1]}
    await send.send(item)
    copied, shared = await first.receive(), await second.receive()
    assert copied == item
    assert copied is not item
    assert shared is item


async def test_a_broadcast_that_cannot_be_copied_has_reached_no_branch() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlets: list[AnyInlet] = [Inlet("b.in"), Inlet("c.in")]
    edges = [link(outlet, inlets[0]), link(outlet, inlets[1], EdgeOptions(copy=True))]
    send = outlet.open()
    with pytest.raises(TypeError):
        await send.send(number for number in range(3))
    assert [edge.accepted for edge in edges] == [0, 0]


async def test_each_branch_has_its_own_policy() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlets: list[AnyInlet] = [Inlet("oldest.in"), Inlet("newest.in"), Inlet("all.in")]
    edges = [
        link(outlet, inlets[0], EdgeOptions(1, "drop_oldest")),
        link(outlet, inlets[1], EdgeOptions(1, "drop_newest")),
        link(outlet, inlets[2], EdgeOptions(10)),
    ]
    send, receives = outlet.open(), [inlet.open() for inlet in inlets]
    for number in range(3):
        await send.send(number)
    assert [drain(receive) for receive in receives] == [[2], [0], [0, 1, 2]]
    assert outlet.accepted == 3
    assert_books_close(*edges)


async def test_a_full_branch_with_the_policy_error_refuses_for_all() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlets: list[AnyInlet] = [Inlet("b.in"), Inlet("c.in")]
    edges = [link(outlet, inlets[0], EdgeOptions(10)), link(outlet, inlets[1], EdgeOptions(1, "error"))]
    send = outlet.open()
    inlets[0].open()
    inlets[1].open()
    await send.send(1)
    with pytest.raises(EdgeFullError):
        await send.send(2)
    assert [edge.accepted for edge in edges] == [1, 1]


async def test_a_sender_that_waited_may_find_that_another_branch_refuses() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlets: list[AnyInlet] = [Inlet("b.in"), Inlet("c.in")]
    edges = [link(outlet, inlets[0], EdgeOptions(1)), link(outlet, inlets[1], EdgeOptions(1, "error"))]
    send, first = outlet.open(), inlets[0].open()
    await send.send(1)
    refused: list[bool] = []

    async def produce() -> None:
        with pytest.raises(EdgeFullError):
            await send.send(2)
        refused.append(True)

    async with create_task_group() as group:
        group.start_soon(produce)
        await wait_all_tasks_blocked()
        await first.receive()
    assert refused
    assert_nobody_waits(*edges)


# --- branches that end -------------------------------------------------------------------------------


async def test_when_a_branch_ends_the_others_go_on() -> None:
    send, receives, edges = fan_out([5, 5])
    await send.send(1)
    receives[0].close()
    for number in (2, 3):
        await send.send(number)
    assert drain(receives[1]) == [1, 2, 3]
    assert edges[0].ledger().dropped == {"reader_ended": 1}
    assert edges[0].accepted == 1
    assert edges[0].outlet.accepted == 3
    assert_books_close(*edges)


async def test_a_sender_that_waits_for_a_branch_that_ends_goes_on_with_the_others() -> None:
    send, receives, edges = fan_out([1, 5])
    await send.send(1)
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        receives[0].close()
    assert drain(receives[1]) == [1, 2]
    assert_nobody_waits(*edges)
    assert_books_close(*edges)


async def test_with_all_branches_gone_a_send_is_broken() -> None:
    send, receives, edges = fan_out([1, 1])
    await send.send(1)
    told: list[int] = []

    async def produce(number: int) -> None:
        with pytest.raises(ReaderEndedError, match=r"a\.out: every reader has ended"):
            await send.send(number)
        told.append(number)

    async with create_task_group() as group:
        for number in range(3):
            group.start_soon(produce, number)
        await wait_all_tasks_blocked()
        receives[0].close()
        await wait_all_tasks_blocked()
        assert not told
        receives[1].close()
    assert sorted(told) == [0, 1, 2]
    with pytest.raises(BrokenResourceError):
        send.send_nowait(9)
    assert_nobody_waits(*edges)
    assert_books_close(*edges)


async def test_an_edge_ended_by_itself_is_left_out_and_the_others_go_on() -> None:
    send, receives, edges = fan_out([5, 5])
    await send.send(1)
    edges[0].end_sender()
    await send.send(2)
    assert [item async for item in receives[0]] == [1]
    assert drain(receives[1]) == [1, 2]
    edges[1].end_sender()
    with pytest.raises(ReaderEndedError):
        await send.send(3)
    assert_books_close(*edges)


async def test_a_sender_that_waits_for_an_edge_that_is_ended_by_itself_is_told() -> None:
    send, receives, edges = fan_out([1, 1])
    await send.send(1)
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        edges[0].end_sender()
        receives[1].receive_nowait()
    assert drain(receives[1]) == [2]
    assert [item async for item in receives[0]] == [1]
    assert_nobody_waits(*edges)
    assert_books_close(*edges)


# --- balance -----------------------------------------------------------------------------------------


async def test_balance_gives_each_message_to_one_branch_in_turn() -> None:
    send, receives, edges = fan_out([10, 10, 10], OutputOptions("balance"))
    for number in range(9):
        await send.send(number)
    assert [drain(receive) for receive in receives] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert edges[0].outlet.accepted == 9
    assert_books_close(*edges)


async def test_balance_takes_the_branch_with_room_and_waits_only_when_there_is_none() -> None:
    send, receives, edges = fan_out([1, 3], OutputOptions("balance"))
    with anyio.fail_after(5):
        for number in range(4):
            await send.send(number)
    assert [edge.accepted for edge in edges] == [1, 3]
    async with create_task_group() as group:
        group.start_soon(send.send, 4)
        group.start_soon(send.send, 5)
        await wait_all_tasks_blocked()
        assert send.statistics().tasks_waiting_send == 2
        receives[1].receive_nowait()
        await wait_all_tasks_blocked()
        assert send.statistics().tasks_waiting_send == 1
        receives[0].receive_nowait()
    assert [edge.accepted for edge in edges] == [2, 4]
    assert_nobody_waits(*edges)
    assert_books_close(*edges)


async def test_balance_rather_waits_than_drops_and_nobody_spins_meanwhile() -> None:
    outlet: AnyOutlet = Outlet("a.out", OutputOptions("balance"))
    inlets: list[AnyInlet] = [Inlet("b.in"), Inlet("c.in")]
    edges = [link(outlet, inlets[0], EdgeOptions(1, "drop_oldest")), link(outlet, inlets[1], EdgeOptions(1))]
    send, first, second = outlet.open(), inlets[0].open(), inlets[1].open()
    await send.send(0)
    await send.send(1)
    async with create_task_group() as group:
        for number in (2, 3, 4):
            group.start_soon(send.send, number)
        await wait_all_tasks_blocked()
        assert [edge.accepted for edge in edges] == [1, 1]
        assert first.receive_nowait() == 0
        with anyio.fail_after(5):
            await wait_all_tasks_blocked()
        assert [edge.accepted for edge in edges] == [2, 1]
        second.close()
    assert edges[0].accepted == 4
    assert outlet.accepted == 5
    assert edges[0].ledger().dropped == {"drop_oldest": 2}
    assert_nobody_waits(*edges)
    assert_books_close(*edges)


async def test_balance_goes_on_with_the_branches_that_are_left() -> None:
    send, receives, edges = fan_out([1, 1], OutputOptions("balance"))
    await send.send(0)
    await send.send(1)
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        receives[0].close()
        await wait_all_tasks_blocked()
        receives[1].receive_nowait()
    assert drain(receives[1]) == [2]
    assert_nobody_waits(*edges)
    assert_books_close(*edges)


# --- by key ------------------------------------------------------------------------------------------


class Coin:
    """Equal by value, and shown by identity."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coin) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


class Colour(enum.StrEnum):
    RED = "red"


async def test_equal_keys_go_to_the_same_branch_in_order() -> None:
    send, receives, edges = fan_out([1000] * 4, OutputOptions("by_key", lambda item: item[0]))
    for number in range(400):
        await send.send((f"key{number % 20}", number))
    seen: dict[str, int] = {}
    for branch, receive in enumerate(receives):
        last: dict[str, int] = {}
        for key, number in drain(receive):
            assert seen.setdefault(key, branch) == branch
            assert last.get(key, -1) < number
            last[key] = number
    assert len(seen) == 20
    assert len(set(seen.values())) == 4
    assert_books_close(*edges)


@pytest.mark.parametrize("width", [2, 3, 4, 8])
@pytest.mark.parametrize(
    "keys",
    [
        range(1000),
        range(0, 2000, 2),
        range(0, 1000 << 32, 1 << 32),
        [number / 8 for number in range(1000)],
        [f"d{number}" for number in range(1000)],
        [b"d%d" % number for number in range(1000)],
        [("d", number) for number in range(0, 2000, 2)],
    ],
    ids=["ints", "even-ints", "high-ints", "floats", "texts", "bytes", "tuples"],
)
async def test_many_keys_spread_evenly(keys: Sequence[object], width: int) -> None:
    send, _, edges = fan_out([1000] * width, OutputOptions("by_key", lambda item: item))
    for key in keys:
        await send.send(key)
    accepted = [edge.accepted for edge in edges]
    assert sum(accepted) == 1000
    assert max(accepted) <= 1.5 * min(accepted)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (Coin(5), Coin(5)), ("red", Colour.RED), (("a", 1), ("a", 1.0)), (b"x", b"x")],
)
async def test_keys_that_are_equal_count_as_one(one: object, other: object) -> None:
    send, receives, _ = fan_out([10] * 7, OutputOptions("by_key", lambda item: item))
    await send.send(one)
    await send.send(other)
    assert [len(got) for got in map(drain, receives) if got] == [2]


def test_the_branch_of_a_text_key_is_the_same_in_every_process() -> None:
    code = (
        "from headrace.streams.spread import _digest, _mixed\n"
        "print([_mixed(_digest(k)) for k in ('a', b'a', ('a', 1, b'c'), 'd\\udc80', -7)])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


async def test_a_key_that_cannot_be_made_has_reached_no_branch() -> None:
    send, _, edges = fan_out([1, 1], OutputOptions("by_key", lambda item: item["id"]))
    with pytest.raises(KeyError):
        await send.send({})
    assert [edge.accepted for edge in edges] == [0, 0]


async def test_a_key_waits_for_its_own_branch_while_others_pass() -> None:
    send, receives, edges = fan_out([1, 1], OutputOptions("by_key", lambda item: item % 2))
    await send.send(0)
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        with anyio.fail_after(5):
            await send.send(1)
        receives[0].receive_nowait()
    assert [drain(receive) for receive in receives] == [[2], [1]]
    assert_nobody_waits(*edges)


async def test_a_key_whose_branch_has_ended_is_dropped_and_counted() -> None:
    send, receives, edges = fan_out([5, 5], OutputOptions("by_key", lambda item: item))
    receives[0].close()
    await send.send(0)
    await send.send(1)
    assert edges[0].ledger().dropped == {"reader_ended": 1}
    assert drain(receives[1]) == [1]
    assert_books_close(*edges)


# --- several senders on one output ---------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 3])
async def test_senders_of_one_broadcast_get_equal_shares(capacity: int) -> None:
    send, receives, edges = fan_out([capacity, capacity])
    accepted = [0] * 4

    async def produce(name: int, stream: EdgeSendStream[Any]) -> None:
        while True:
            await stream.send(name)
            accepted[name] += 1

    async def read(stream: EdgeReceiveStream[Any]) -> None:
        for _ in range(4000):
            await stream.receive()

    async with create_task_group() as group:
        for name in range(4):
            group.start_soon(produce, name, send.clone())
        async with create_task_group() as readers:
            for receive in receives:
                readers.start_soon(read, receive)
        group.cancel_scope.cancel()
    assert max(accepted) / min(accepted) <= 1.2, accepted
    assert_books_close(*edges)
    assert_nobody_waits(*edges)


async def test_the_statistics_of_a_fan_out_are_those_of_its_edges_together() -> None:
    send, receives, _ = fan_out([1, 2])
    receives[1].clone()
    await send.send(1)
    async with create_task_group() as group:
        group.start_soon(send.send, 2)
        await wait_all_tasks_blocked()
        assert send.statistics() == (2, 3, 1, 3, 1, 0)
        receives[0].receive_nowait()
