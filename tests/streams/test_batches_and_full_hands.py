"""Batches that are gathered while another task fills the hand of the same handle, with manual acknowledgement."""

from __future__ import annotations

import anyio
from anyio import create_task_group, fail_after, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from tests.streams.edges import assert_books_close, link

from headrace.model.options import EdgeOptions
from headrace.streams.inlet import Inlet
from headrace.streams.outlet import Outlet


async def test_a_batch_is_handed_over_as_it_is_once_another_task_has_filled_the_hand() -> None:
    outlet, inlet = Outlet[int]("a.out"), Inlet[int]("b.in")
    inlet.max_unacked = 3
    edge = link(outlet, inlet, EdgeOptions(10))
    sender, handle = outlet.open(), inlet.open()
    batches: list[list[int]] = []

    async def gather() -> None:
        async for batch in handle.batch(5):
            batches.append(batch)
            return

    async with create_task_group() as group:
        group.start_soon(gather)
        sender.send_nowait(0)
        await wait_all_tasks_blocked()  # the batch has one message by now
        sender.send_nowait(1)
        assert handle.receive_nowait() == 1
        await handle.nack(1, delay=0.02)
        for number in (2, 3):
            sender.send_nowait(number)
            assert handle.receive_nowait() == number
        await anyio.sleep(0.03)  # what was given back is due
        sender.send_nowait(4)
        with fail_after(5):
            while not batches:
                await checkpoint()
    assert batches == [[0]]
    assert sorted(item for _, item in handle.hands()) == [0, 2, 3]
    handle.ack()
    assert [await handle.receive(), await handle.receive()] == [1, 4]
    handle.ack()
    assert_books_close(edge)
    assert edge.acknowledged == 5
