"""The end of a component's life: what it has in hand is delivered again, in order, and who is to blame is found."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import ClosedResourceError, EndOfStream, WouldBlock, create_task_group, wait_all_tasks_blocked
from tests.streams.edges import assert_books_close, assert_nobody_waits, fan_in, link, one_edge

from headrace.model.options import EdgeOptions
from headrace.streams import redelivering
from headrace.streams.edge import AnyEdge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.redelivering import take_all_back
from headrace.streams.send_stream import EdgeSendStream


def crash(edge: AnyEdge, *, counts: bool = True) -> list[tuple[Any, int, bool]]:
    """End the life of the reader; returns what comes again, how often it was tried, and whether it is blamed."""
    again = edge.inlet.take_hands_back(crashed=counts)
    assert_books_close(edge)
    return [(one.message, one.tried, one.blamed) for one in again]


async def test_the_message_in_hand_comes_again_before_all_else_and_is_told_its_attempt() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("abcde")
    assert [await receive.receive() for _ in range(3)] == ["a", "b", "c"]
    assert crash(edge) == [("c", 1, True)]
    assert (edge.ledger().acknowledged, edge.ledger().buffered, edge.ledger().in_hand) == (2, 3, 0)
    anew = edge.inlet.open()
    message, meta = await anew.receive_with_meta()
    assert (message, meta.attempt) == ("c", 2)
    assert crash(edge) == [("c", 2, True)]
    anew = edge.inlet.open()
    message, again = await anew.receive_with_meta()
    assert (message, again.attempt, again.id) == ("c", 3, meta.id)
    message, other = await anew.receive_with_meta()
    assert (message, other.attempt) == ("d", 1)
    assert other.id != meta.id
    assert await anew.receive() == "e"
    anew.settle()
    assert edge.ledger().acknowledged == 5
    assert edge.inlet.line is None, "memory only for messages being redelivered"


async def test_equal_messages_are_told_apart() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many([7, 7, 7])
    assert await receive.receive() == 7
    crash(edge)
    anew = edge.inlet.open()
    assert [(await anew.receive_with_meta())[1].attempt for _ in range(3)] == [2, 1, 1]


async def test_a_life_that_somebody_else_ended_counts_no_attempt() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("ab")
    await anext(receive.batch(2))
    assert crash(edge, counts=False) == [("a", 0, False), ("b", 0, False)]
    anew = edge.inlet.open()
    assert await anew.receive_many(2) == ["a", "b"], "not one by one: there is nobody to blame"
    assert anew.tried == 0


async def test_the_old_handle_is_shut_and_the_port_goes_on() -> None:
    send, receive, edge = one_edge(10)
    other = receive.clone()
    await send.send_many("ab")
    assert await receive.receive() == "a"
    edge.inlet.take_hands_back(crashed=True)
    for handle in (receive, other):
        for call in (handle.receive, handle.receive_many, handle.take):
            with pytest.raises(ClosedResourceError):
                await call()
        with pytest.raises(ClosedResourceError):
            handle.receive_nowait()
        async with handle:
            handle.settle("dead_lettered")
        handle.close()
    assert not edge.reader_ended
    assert edge.ledger().dead_lettered == 0
    assert await edge.inlet.open().receive() == "a"


async def test_a_task_of_the_old_life_that_waits_is_told_so_and_takes_nothing() -> None:
    send, receive, edge = one_edge(10)

    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await receive.receive()

    async with create_task_group() as group:
        group.start_soon(wait)
        await wait_all_tasks_blocked()
        edge.inlet.take_hands_back(crashed=True)
        await send.send("a")
    assert_nobody_waits(edge)
    assert await edge.inlet.open().receive() == "a"


async def test_what_it_was_about_to_receive_stays_on_the_edge() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many(range(6))
    async for message in receive:
        if message == 2:
            break
    crash(edge)
    assert edge.messages() == [2, 3, 4, 5]
    anew = edge.inlet.open()
    assert [await anew.receive() for _ in range(4)] == [2, 3, 4, 5]
    assert anew.unhanded == 0


async def test_neighbours_only_see_back_pressure() -> None:
    send, receive, edge = one_edge(2)
    await send.send("a")
    await receive.receive()
    await send.send_many("bc")
    edge.inlet.take_hands_back(crashed=True)
    with pytest.raises(WouldBlock):
        send.send_nowait("d")
    assert (edge.free, edge.ledger().remaining) == (0, 3), "what comes again takes no room"
    anew = edge.inlet.open()
    assert await anew.receive() == "a"
    with pytest.raises(WouldBlock):
        send.send_nowait("d")
    assert await anew.receive() == "b"
    send.send_nowait("d")


async def test_drop_oldest_does_not_reach_what_comes_again() -> None:
    send, receive, edge = one_edge(2, when_full="drop_oldest")
    await send.send("a")
    await receive.receive()
    edge.inlet.take_hands_back(crashed=True)
    await send.send_many("bcde")
    anew = edge.inlet.open()
    assert [await anew.receive() for _ in range(3)] == ["a", "d", "e"]
    assert edge.dropped == {"drop_oldest": 2}


async def test_of_a_batch_each_goes_alone_until_the_poison_is_found() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("abcde")
    assert await anext(receive.batch(4)) == list("abcd")
    assert crash(edge) == [(one, 1, False) for one in "abcd"]
    anew = edge.inlet.open()
    assert await anew.receive_many(4) == ["a"]
    assert await anew.receive_many(4) == ["b"]
    assert crash(edge) == [("b", 2, True)], "nobody else was in hand, so nobody else is blamed"
    assert [entry.tried for entry in edge.inlet.line.entries] == [2, 1, 1]  # type: ignore[union-attr]
    anew = edge.inlet.open()
    found = [await anew.receive_many(4) for _ in range(4)]
    assert found == [["b"], ["c"], ["d"], ["e"]]
    anew.settle()
    assert edge.ledger().acknowledged == 5


@pytest.mark.parametrize("within", [None, 10.0])
async def test_a_batch_gathers_nothing_beside_a_message_that_goes_alone(within: float | None) -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("abcdef")
    async for batch in receive.batch(3):
        assert batch == list("abc")
        break
    crash(edge)
    anew = edge.inlet.open()
    found = []
    async for batch in anew.batch(3, within=within):
        found.append(batch)
        if len(found) == 4:
            break
    assert found == [["a"], ["b"], ["c"], list("def")]


async def test_a_batch_that_is_gathered_ends_where_one_goes_alone() -> None:
    sends, receive, (first, second) = fan_in([10, 10])
    await sends[0].send_many("ab")
    await anext(receive.batch(2))
    crash(first)
    await sends[1].send("x")
    anew = first.inlet.open()
    assert await anew.receive() == "a"
    anew.release()
    batches = anew.batch(5)
    assert await anext(batches) == ["a"]
    assert await anext(batches) == ["b"]
    assert (first.ledger().in_hand, second.ledger().buffered) == (1, 1)


async def test_of_several_handles_one_has_the_message_that_goes_alone_and_the_others_wait() -> None:
    send, receive, edge = one_edge(10)
    others = [receive.clone() for _ in range(2)]
    await send.send_many("abcd")
    got = [await handle.receive() for handle in (receive, *others)]
    assert got == list("abc")
    assert crash(edge) == [("a", 1, False), ("b", 1, False), ("c", 1, False)]
    first, second = edge.inlet.open(), edge.inlet.open()
    seen: list[str] = []

    async def read() -> None:
        seen.extend([message async for message in second])

    async with create_task_group() as group:
        assert await first.receive() == "a"
        group.start_soon(read)
        await wait_all_tasks_blocked()
        assert edge.ledger().in_hand == 1
        with pytest.raises(WouldBlock):
            second.receive_nowait()
        first.settle()
        await wait_all_tasks_blocked()
        send.close()
    assert seen == ["b", "c", "d"]
    assert_books_close(edge)


async def test_after_a_while_others_do_not_wait_for_who_never_lets_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redelivering, "PATIENCE", 0.02)
    send, receive, edge = one_edge(10)
    other = receive.clone()
    await send.send_many("abc")
    assert [await receive.receive(), await other.receive()] == ["a", "b"]
    crash(edge)
    first, second = edge.inlet.open(), edge.inlet.open()
    assert await first.receive() == "a"
    began = anyio.current_time()
    assert await second.receive() == "b"
    assert anyio.current_time() - began >= 0.02
    assert crash(edge) == [("a", 1, False), ("b", 2, True)], "then it is the one received last"


async def test_the_order_is_that_of_the_first_time_whoever_had_it() -> None:
    send, receive, edge = one_edge(10)
    others = [receive.clone() for _ in range(3)]
    await send.send_many("abcdef")
    for handle in (others[1], receive, others[2], others[0]):
        await handle.receive()
    crash(edge)
    anew = edge.inlet.open()
    assert [await anew.receive() for _ in range(2)] == ["a", "b"]
    crash(edge)
    anew = edge.inlet.open()
    assert [await anew.receive() for _ in range(5)] == list("bcdef")


async def test_released_messages_come_again_as_if_they_had_never_been_received() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("abcde")
    assert await anext(receive.batch(3)) == list("abc")
    receive.release(but=1)
    assert receive.hands() == [(edge, "b")]
    assert crash(edge) == [("b", 1, True)]
    anew = edge.inlet.open()
    assert [(await anew.receive(), anew.tried) for _ in range(5)] == [
        ("a", 0),
        ("b", 1),
        ("c", 0),
        ("d", 0),
        ("e", 0),
    ]
    assert_books_close(edge)


async def test_what_is_buried_does_not_come_again() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("ab")
    await receive.receive()
    (entry,) = edge.inlet.take_hands_back(crashed=True)
    edge.inlet.bury(entry)
    assert (edge.ledger().dead_lettered, edge.inlet.line) == (1, None)
    assert await edge.inlet.open().receive() == "b"
    assert_books_close(edge)


async def test_attempts_that_a_component_made_by_itself_count_as_well() -> None:
    send, receive, edge = one_edge(10)
    await send.send("a")
    await receive.receive()
    receive.note(3)
    assert crash(edge) == [("a", 3, True)]
    anew = edge.inlet.open()
    assert (await anew.receive(), anew.tried) == ("a", 3)
    assert crash(edge) == [("a", 4, True)]


async def test_it_comes_again_after_all_senders_have_ended_too() -> None:
    send, receive, edge = one_edge(10)
    await send.send("a")
    send.close()
    await receive.receive()
    crash(edge)
    anew = edge.inlet.open()
    assert [message async for message in anew] == ["a"]
    with pytest.raises(EndOfStream):
        await anew.receive()


async def test_what_would_come_again_is_lost_with_the_reader_and_said_to_be() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("abc")
    await receive.receive()
    crash(edge)
    edge.inlet.end()
    assert edge.dropped == {"reader_ended": 3}
    assert_books_close(edge)
    with pytest.raises(ClosedResourceError):
        await edge.inlet.open().receive()


async def test_a_closed_handle_has_a_hand_too() -> None:
    send, receive, edge = one_edge(10)
    other = receive.clone()
    await send.send_many("ab")
    await receive.receive()
    receive.close()
    assert await other.receive() == "b"
    assert crash(edge) == [("a", 1, False), ("b", 1, False)]


async def test_a_batch_that_is_still_being_gathered_goes_back() -> None:
    send, receive, edge = one_edge(10)
    await send.send_many("ab")

    async def gather() -> None:
        with pytest.raises(ClosedResourceError):
            await anext(receive.batch(3))

    async with create_task_group() as group:
        group.start_soon(gather)
        await wait_all_tasks_blocked()
        assert edge.ledger().in_hand == 2
        assert crash(edge) == []
        assert edge.messages() == ["a", "b"]
    assert edge.messages() == ["a", "b"]
    assert_books_close(edge)


async def test_taps_hear_of_each_delivery() -> None:
    send, receive, edge = one_edge(10)
    heard: list[str] = []
    edge.inlet.add_tap(heard.append)
    await send.send_many("ab")
    await receive.receive()
    crash(edge)
    anew = edge.inlet.open()
    assert [await anew.receive() for _ in range(2)] == ["a", "b"]
    assert heard == ["a", "a", "b"]


async def test_several_edges_have_one_line() -> None:
    sends, receive, edges = fan_in([5, 5])
    await sends[0].send_many("ab")
    await sends[1].send_many("xy")
    got = await anext(receive.batch(4))
    assert sorted(got) == ["a", "b", "x", "y"]
    edges[0].inlet.take_hands_back(crashed=True)
    assert [edge.ledger().buffered for edge in edges] == [2, 2]
    anew = edges[0].inlet.open()
    assert [await anew.receive() for _ in range(4)] == got
    assert_books_close(*edges)


# --- the sending side ------------------------------------------------------------------------------


async def test_old_send_handles_are_shut_and_the_port_goes_on() -> None:
    send, receive, edge = one_edge(1)
    clone = send.clone()
    await send.send("a")

    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await send.send("b")

    async with create_task_group() as group:
        group.start_soon(wait)
        await wait_all_tasks_blocked()
        edge.outlet.retire_handles()
    for handle in (send, clone):
        with pytest.raises(ClosedResourceError):
            await handle.send("c")
        with pytest.raises(ClosedResourceError):
            handle.send_nowait("c")
        assert handle.send_some(["c"]) == 0
        handle.close()
    assert not edge.sender_ended
    assert_nobody_waits(edge)
    anew = edge.outlet.open()
    assert await receive.receive() == "a"
    await anew.send("d")
    anew.close()
    assert [message async for message in receive] == ["d"]


async def test_a_port_that_was_closed_for_good_stays_closed_in_the_next_life() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlet: AnyInlet = Inlet("b.in")
    link(outlet, inlet, EdgeOptions(2))
    outlet.open().close()
    with pytest.raises(ClosedResourceError):
        await outlet.open().send("a")


async def test_nothing_comes_again_while_the_port_is_paused() -> None:
    send, receive, edge = one_edge(10)
    await send.send("a")
    await receive.receive()
    crash(edge)
    edge.inlet.pause()
    anew = edge.inlet.open()
    got: list[str] = []

    async def read() -> None:
        got.append(await anew.receive())

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        assert got == []
        edge.inlet.resume()
    assert got == ["a"]


# --- several ports of one component ----------------------------------------------------------------


def two_ports() -> tuple[list[EdgeSendStream[Any]], list[AnyInlet]]:
    """Return the senders of two input ports of one component, and the ports, open for its first life."""
    outlets: list[AnyOutlet] = [Outlet(f"a{number}.out") for number in range(2)]
    inlets: list[AnyInlet] = [Inlet(f"b.in{number}") for number in range(2)]
    for outlet, inlet in zip(outlets, inlets, strict=True):
        link(outlet, inlet, EdgeOptions(10))
        inlet.company = inlets
    return [outlet.open() for outlet in outlets], inlets


def all_back(inlets: list[AnyInlet]) -> list[tuple[Any, int, bool]]:
    again = [entry for _, some in take_all_back(inlets, crashed=True) for entry in some]
    assert_books_close(*(edge for inlet in inlets for edge in inlet.lanes))
    return [(entry.message, entry.tried, entry.blamed) for entry in again]


async def test_with_a_message_in_hand_at_each_port_they_go_alone_and_the_poison_is_found() -> None:
    (first, second), inlets = two_ports()
    await first.send_many("ab")
    await second.send_many("xy")
    handles = [inlet.open() for inlet in inlets]
    assert [await handle.receive() for handle in handles] == ["a", "x"]
    assert all_back(inlets) == [("a", 1, False), ("x", 1, False)]
    one, other = (inlet.open() for inlet in inlets)
    assert await one.receive() == "a"
    with pytest.raises(WouldBlock):
        other.receive_nowait()
    assert all_back(inlets) == [("a", 2, True)]
    one, other = (inlet.open() for inlet in inlets)
    assert await other.receive() == "x"
    with pytest.raises(WouldBlock):
        one.receive_nowait()
    assert await other.receive() == "y"
    other.settle()
    assert await one.receive() == "a"
    one.settle()
    assert await one.receive() == "b"
    one.settle()
    assert [inlet.line for inlet in inlets] == [None, None]


async def test_a_port_waits_for_the_message_that_is_alone_in_hand_at_another_one() -> None:
    (first, second), inlets = two_ports()
    await first.send("a")
    await second.send_many("xy")
    handles = [inlet.open() for inlet in inlets]
    assert [await handle.receive() for handle in handles] == ["a", "x"]
    all_back(inlets)
    one, other = (inlet.open() for inlet in inlets)
    got: list[str] = []

    async def read() -> None:
        got.append(await other.receive())

    assert await one.receive() == "a"
    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        assert got == []
        one.settle()
    assert got == ["x"]


async def test_a_message_that_is_kept_in_hand_is_not_blamed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivering, "PATIENCE", 0.02)
    (first, second), inlets = two_ports()
    await first.send("settings")
    await second.send_many("xyz")
    tried = []
    for _ in range(4):
        one, other = (inlet.open() for inlet in inlets)
        assert await one.receive() == "settings"
        assert await other.receive() == "x"
        tried.append(all_back(inlets))
    assert tried[1:] == [[("settings", 1, False), ("x", n, True)] for n in (2, 3, 4)]
