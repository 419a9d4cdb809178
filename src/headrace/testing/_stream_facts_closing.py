"""Facts about closing: clones, the end of a stream, and what the calls that wait then get."""

from __future__ import annotations

from functools import partial

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.lowlevel import checkpoint

from ._stream_fact import Fact, Handle, Make, expect, refused, refused_now, settle, start, streams

__all__ = ["CLOSING_FACTS"]

# --- clones ------------------------------------------------------------------------------------


async def clones_share_the_stream(make: Make) -> None:
    async with streams(make, 2) as (send, receive, _):
        with send.clone() as other_send, receive.clone() as other_receive:
            with other_send.clone() as third_send:
                expect(third_send is not other_send is not send, "each clone is a handle of its own")
                send.send_nowait(1)
                third_send.send_nowait(2)
            expect(other_receive.receive_nowait() == 1, "a clone receives what the original sent")
            expect(receive.receive_nowait() == 2, "the original receives what a clone sent")


async def statistics_count_open_handles(make: Make) -> None:
    async with streams(make, 0) as (send, receive, _):
        counts = []
        others: list[Handle] = [send.clone(), receive.clone(), send.clone()]
        for handle in (*others, others[0], send, receive):
            counts.append(send.statistics()[2:4])
            handle.close()
        counts.append(receive.statistics()[2:4])
        want = [(3, 2), (2, 2), (2, 1), (1, 1), (1, 1), (0, 1), (0, 0)]
        expect(counts == want, f"(senders, receivers) are {want}, not {counts}")


async def closing_a_clone_leaves_the_others(make: Make) -> None:
    async with streams(make, 2) as (send, receive, _):
        other_send, other_receive = send.clone(), receive.clone()
        other_send.close()
        other_receive.close()
        refused_now(ClosedResourceError, lambda: other_send.send_nowait(1), "send_nowait on a closed clone")
        refused_now(ClosedResourceError, other_receive.receive_nowait, "receive_nowait on a closed clone")
        await send.send(1)
        expect(await receive.receive() == 1, "the originals go on")


async def the_end_comes_when_all_senders_have_closed(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks), send.clone() as other:
        receiver = await start(tasks, receive.receive)
        send.close()
        await settle()
        receiver.expect_waiting("receive with one of two senders closed")
        other.close()
        await settle()
        receiver.expect_error(EndOfStream, "receive with both senders closed")


async def sending_breaks_when_all_receivers_have_closed(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks), receive.clone() as other:
        sender = await start(tasks, partial(send.send, 1))
        receive.close()
        await settle()
        sender.expect_waiting("send with one of two receivers closed")
        other.close()
        await settle()
        sender.expect_error(BrokenResourceError, "send with both receivers closed")


# --- each method in each state -------------------------------------------------------------------


async def closed_send_stream_refuses(make: Make) -> None:
    for peer_closed in (False, True):
        async with streams(make, 1) as (send, receive, _):
            send.close()
            if peer_closed:
                receive.close()
            await refused(ClosedResourceError, partial(send.send, 1), "send when closed")
            refused_now(ClosedResourceError, partial(send.send_nowait, 1), "send_nowait when closed")
            refused_now(ClosedResourceError, send.clone, "clone when closed")


async def closed_receive_stream_refuses(make: Make) -> None:
    for peer_closed in (False, True):
        async with streams(make, 1) as (send, receive, _):
            send.send_nowait(1)
            receive.close()
            if peer_closed:
                send.close()
            await refused(ClosedResourceError, receive.receive, "receive when closed")
            await refused(ClosedResourceError, receive.__anext__, "iteration when closed")
            refused_now(ClosedResourceError, receive.receive_nowait, "receive_nowait when closed")
            refused_now(ClosedResourceError, receive.clone, "clone when closed")


async def closing_twice_is_closing_once(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _), send.clone(), receive.clone():
        for end in (send, receive):
            end.close()
            end.close()
            await end.aclose()
        counts = send.statistics()[2:4]
        expect(counts == (1, 1), f"one of two handles of each end is open, not {counts}")


async def aclose_is_close(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):
        await send.aclose()
        refused_now(ClosedResourceError, lambda: send.send_nowait(1), "send_nowait after aclose")
        refused_now(EndOfStream, receive.receive_nowait, "receive_nowait after the sender's aclose")
        await receive.aclose()
        refused_now(ClosedResourceError, receive.receive_nowait, "receive_nowait after aclose")


async def what_is_buffered_comes_before_the_end(make: Make) -> None:
    async with streams(make, 2) as (send, receive, _):
        send.send_nowait(1)
        send.send_nowait(2)
        send.close()
        got = [await receive.receive(), receive.receive_nowait()]
        expect(got == [1, 2], f"got {got}")
        for _ in range(2):
            await refused(EndOfStream, receive.receive, "receive at the end, each time")
            refused_now(EndOfStream, receive.receive_nowait, "receive_nowait at the end, each time")
        with receive.clone() as other:
            refused_now(EndOfStream, other.receive_nowait, "receive_nowait of a clone made at the end")


async def sending_without_receivers_breaks(make: Make) -> None:
    async with streams(make, 2) as (send, receive, _):
        send.send_nowait(1)
        receive.close()
        await refused(BrokenResourceError, partial(send.send, 2), "send with room and no receiver")
        refused_now(BrokenResourceError, lambda: send.send_nowait(2), "send_nowait with no receiver")
        with send.clone() as other:
            refused_now(BrokenResourceError, lambda: other.send_nowait(2), "send_nowait of a clone")


async def statistics_outlive_closing(make: Make) -> None:
    async with streams(make, 3) as (send, receive, _):
        send.send_nowait(1)
        receive.close()
        send.close()
        for end in (send, receive):
            statistics = tuple(end.statistics())
            expect(statistics == (1, 3, 0, 0, 0, 0), f"what nobody received stays counted, but {statistics}")


# --- iteration and contexts ------------------------------------------------------------------------


async def iteration_ends_with_the_stream(make: Make) -> None:
    async with streams(make, 3) as (send, receive, _):
        for item in range(3):
            send.send_nowait(item)
        send.close()
        expect(receive.__aiter__() is receive, "the stream is its own iterator")
        got = [item async for item in receive]
        again = [item async for item in receive]
        expect((got, again) == ([0, 1, 2], []), f"all, then nothing, not {got} and {again}")
        await refused(StopAsyncIteration, receive.__anext__, "anext at the end")


async def with_closes_the_handle(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):
        with send.clone() as other_send, receive.clone() as other_receive:
            expect(send.statistics()[2:4] == (2, 2), "with gives the open handle")
        refused_now(ClosedResourceError, other_send.clone, "clone after with")
        refused_now(ClosedResourceError, other_receive.clone, "clone after with")
        async with send as same_send, receive as same_receive:
            expect(same_send is send and same_receive is receive, "async with gives the stream itself")
        counts = send.statistics()[2:4]
        expect(counts == (0, 0), f"async with closes, but {counts} are open")


async def with_closes_and_passes_errors_on(make: Make) -> None:
    async with streams(make, 1) as (send, receive, _):

        async def fail_in_async_with() -> None:
            async with send, receive:
                raise KeyError

        def fail_in_with() -> None:
            with send.clone(), receive.clone():
                raise KeyError

        refused_now(KeyError, fail_in_with, "an error inside with")
        await refused(KeyError, fail_in_async_with, "an error inside async with")
        counts = send.statistics()[2:4]
        expect(counts == (0, 0), f"all four handles are closed, but {counts} are open")


# --- closing while calls wait ------------------------------------------------------------------------


async def closing_the_last_sender_ends_all_waiting_receivers(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks), receive.clone() as other:
        waiters = [await start(tasks, handle.receive) for handle in (receive, other, receive)]
        send.close()
        expect(receive.statistics().tasks_waiting_receive == 0, "none waits any more")
        await settle()
        for waiter in waiters:
            waiter.expect_error(EndOfStream, "receive")


async def closing_the_last_receiver_breaks_all_waiting_senders(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks), send.clone() as other:
        send.send_nowait(0)
        waiters = [await start(tasks, partial(handle.send, 1)) for handle in (send, other, send)]
        receive.close()
        await settle()
        for waiter in waiters:
            waiter.expect_error(BrokenResourceError, "send")
        statistics = tuple(send.statistics())
        expect(statistics == (1, 1, 2, 0, 0, 0), f"none waits, none was buffered, but {statistics}")


async def closing_a_receive_stream_under_its_own_waiters(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks), receive.clone() as other:
        mine = [await start(tasks, receive.receive) for _ in range(2)]
        others = await start(tasks, other.receive)
        receive.close()
        expect(send.statistics().tasks_waiting_receive == 1, "only the clone's call waits still")
        send.send_nowait(1)
        await settle()
        for waiter in mine:
            waiter.expect_error(ClosedResourceError, "receive of the closed handle")
        others.expect_result(1, "receive of its clone")


async def closing_a_send_stream_under_its_own_waiters(make: Make) -> None:
    async with streams(make, 1) as (send, receive, tasks), send.clone() as other:
        send.send_nowait(0)
        mine = [await start(tasks, partial(send.send, item)) for item in (1, 2)]
        others = await start(tasks, partial(other.send, 3))
        send.close()
        expect(receive.statistics().tasks_waiting_send == 1, "only the clone's call waits still")
        await settle()
        for waiter in mine:
            waiter.expect_error(ClosedResourceError, "send of the closed handle")
        got = [receive.receive_nowait(), receive.receive_nowait()]
        await settle()
        others.expect_result(None, "send of its clone")
        expect(got == [0, 3], f"what was withdrawn is not received, but got {got}")


async def closing_after_the_hand_over_takes_nothing_back(make: Make) -> None:
    async with streams(make, 0) as (send, receive, tasks):
        receiver = await start(tasks, receive.receive)
        send.send_nowait(1)
        receive.close()
        send.close()
        await settle()
        receiver.expect_result(1, "receive of a handle closed just after the item came")
    async with streams(make, 0) as (send, receive, tasks):
        sender = await start(tasks, partial(send.send, 1))
        expect(receive.receive_nowait() == 1, "the waiting sender's item")
        send.close()
        receive.close()
        await settle()
        sender.expect_result(None, "send of a handle closed just after the item went")


async def a_woken_receiver_sees_the_end_only_after_the_buffer(make: Make) -> None:
    async with streams(make, 2) as (send, receive, tasks):
        receiver = await start(tasks, receive.receive)
        send.send_nowait(1)
        send.send_nowait(2)
        send.close()
        await checkpoint()
        await settle()
        receiver.expect_result(1, "the receive that waited")
        expect(await receive.receive() == 2, "the buffered one is next")
        await refused(EndOfStream, receive.receive, "then receive")


CLOSING_FACTS: tuple[Fact, ...] = (
    clones_share_the_stream,
    statistics_count_open_handles,
    closing_a_clone_leaves_the_others,
    the_end_comes_when_all_senders_have_closed,
    sending_breaks_when_all_receivers_have_closed,
    closed_send_stream_refuses,
    closed_receive_stream_refuses,
    closing_twice_is_closing_once,
    aclose_is_close,
    what_is_buffered_comes_before_the_end,
    sending_without_receivers_breaks,
    statistics_outlive_closing,
    iteration_ends_with_the_stream,
    with_closes_the_handle,
    with_closes_and_passes_errors_on,
    closing_the_last_sender_ends_all_waiting_receivers,
    closing_the_last_receiver_breaks_all_waiting_senders,
    closing_a_receive_stream_under_its_own_waiters,
    closing_a_send_stream_under_its_own_waiters,
    closing_after_the_hand_over_takes_nothing_back,
    a_woken_receiver_sees_the_end_only_after_the_buffer,
)
