"""The suite passes AnyIO's own streams and ours, and catches every deliberately broken one by name."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, WouldBlock
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace.streams.stream_manager import StreamManager
from headrace.testing import OBJECT_STREAM_FACTS, ObjectStreamCheckError, check_object_stream

Make = Callable[[float], Any]


async def test_anyio_passes_its_own_suite() -> None:
    await check_object_stream(anyio.create_memory_object_stream)


async def test_the_stream_managers_streams_pass() -> None:
    await check_object_stream(lambda size: StreamManager().create_stream(size))


class Send(MemoryObjectSendStream[Any]):
    def clone(self) -> Any:
        super().clone().close()
        return type(self)(self._state)


class Receive(MemoryObjectReceiveStream[Any]):
    def clone(self) -> Any:
        super().clone().close()
        return type(self)(self._state)


def making(
    send: type[Any] = Send, receive: type[Any] = Receive, size: Callable[[float], float] = lambda size: size
) -> Make:
    def make(buffer_size: float) -> Any:
        ends = anyio.create_memory_object_stream[Any](size(buffer_size))
        made = send(ends[0]._state), receive(ends[1]._state)
        for end in ends:
            end.close()
        return made

    return make


# --- broken checkpoints --------------------------------------------------------------------------


class SendWithoutCheckpoint(Send):
    async def send(self, item: Any) -> None:
        try:
            self.send_nowait(item)
        except WouldBlock:
            await super().send(item)


class ReceiveWithoutCheckpoint(Receive):
    async def receive(self) -> Any:
        try:
            return self.receive_nowait()
        except WouldBlock:
            return await super().receive()


class SendsBeforeItsCheckpoint(Send):
    async def send(self, item: Any) -> None:
        try:
            self.send_nowait(item)
        except WouldBlock:
            await super().send(item)
        else:
            await checkpoint()


class ReceivesBeforeItsCheckpoint(Receive):
    async def receive(self) -> Any:
        item = await super().receive()
        await checkpoint()
        return item


class ChecksAgainAfterSending(Send):
    async def send(self, item: Any) -> None:
        await super().send(item)
        await checkpoint()


# --- broken order and hand-over --------------------------------------------------------------------


class TakesTheNewest(Receive):
    def receive_nowait(self) -> Any:
        self._state.buffer.reverse()
        try:
            return super().receive_nowait()
        finally:
            self._state.buffer.reverse()


class ServesTheNewestReceiver(Send):
    def send_nowait(self, item: Any) -> None:
        if self._state.waiting_receivers:
            self._state.waiting_receivers.move_to_end(
                next(reversed(self._state.waiting_receivers)), last=False
            )
        super().send_nowait(item)


class ServesTheNewestSender(Receive):
    def receive_nowait(self) -> Any:
        waiting = self._state.waiting_senders
        if waiting:
            waiting.move_to_end(next(reversed(waiting)), last=False)
        return super().receive_nowait()


class WakesEverySender(Receive):
    def receive_nowait(self) -> Any:
        item = super().receive_nowait()
        waiting = self._state.waiting_senders
        while waiting:
            event, waited = waiting.popitem(last=False)
            self._state.buffer.append(waited)
            event.set()
        return item


class FreesSendersLate(Receive):
    def receive_nowait(self) -> Any:
        if self._state.buffer and not self._closed:
            return self._state.buffer.popleft()
        return super().receive_nowait()


class NeverTakesFromASender(Receive):
    def receive_nowait(self) -> Any:
        if self._state.waiting_senders and not self._state.buffer and not self._closed:
            raise WouldBlock
        return super().receive_nowait()


class NeverHandsOver(Send):
    def send_nowait(self, item: Any) -> None:
        if self._state.waiting_receivers and self._state.max_buffer_size and not self._closed:
            self._state.buffer.append(item)
        else:
            super().send_nowait(item)


class Copies(Send):
    def send_nowait(self, item: Any) -> None:
        super().send_nowait(copy.deepcopy(item))


class ReturnsTheItem(Send):
    def send_nowait(self, item: Any) -> Any:
        super().send_nowait(item)
        return item


# --- broken statistics, types, identity --------------------------------------------------------------


class MisreportsWaiting(Send):
    def statistics(self) -> Any:
        real = super().statistics()
        return real._replace(
            tasks_waiting_send=real.tasks_waiting_receive, tasks_waiting_receive=real.tasks_waiting_send
        )


class ReportsAPlainTuple(Receive):
    def statistics(self) -> Any:
        return tuple(super().statistics())


class ReportsAnEmptyBuffer(Receive):
    def statistics(self) -> Any:
        return super().statistics()._replace(current_buffer_used=0)


class NotAnyios:
    def __init__(self, state: Any) -> None:
        self._real = Send(state)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class AllEqual(Receive):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class HasAnAttribute(Send):
    @property
    def extra_attributes(self) -> Any:
        return {"name": str}


class NeverWarns(Send):
    def __del__(self) -> None:
        pass


class AlwaysWarns(Receive):
    def __del__(self) -> None:
        warnings.warn(f"Unclosed at {id(self):x}", ResourceWarning, stacklevel=1)


# --- broken closing ----------------------------------------------------------------------------------


class CloneIsItself(Send):
    def clone(self) -> Any:
        super().clone().close()
        return self


class CloneIsNotCounted(Receive):
    def clone(self) -> Any:
        twin = super().clone()
        self._state.open_receive_channels -= 1
        return twin


class ClosesAllClones(Send):
    def close(self) -> None:
        if not self._closed:
            self._state.open_send_channels = 1
        super().close()


class ClosesTwice(Receive):
    def close(self) -> None:
        self._closed = False
        super().close()


class ClosesWithoutWaking(Send):
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._state.open_send_channels -= 1


class ReceiverClosesWithoutWaking(Receive):
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._state.open_receive_channels -= 1


class AcloseDoesNothing(Send):
    async def aclose(self) -> None:
        pass


class WithDoesNothing(Receive):
    def __exit__(self, *error: object) -> None:
        pass


class WithSwallowsErrors(Send):
    def __exit__(self, *error: object) -> Any:
        self.close()
        return True


class ClosingEmptiesTheBuffer(Send):
    def close(self) -> None:
        self._state.buffer.clear()
        super().close()


class StatisticsEndWithTheStream(Receive):
    def statistics(self) -> Any:
        if self._closed:
            raise ClosedResourceError
        return super().statistics()


class EndIsClosed(Receive):
    def receive_nowait(self) -> Any:
        try:
            return super().receive_nowait()
        except EndOfStream:
            raise ClosedResourceError from None


class ClosedIsTheEnd(Receive):
    def receive_nowait(self) -> Any:
        try:
            return super().receive_nowait()
        except ClosedResourceError:
            raise EndOfStream from None


class ClosedIsBroken(Send):
    def send_nowait(self, item: Any) -> None:
        try:
            super().send_nowait(item)
        except ClosedResourceError:
            raise BrokenResourceError from None


class BrokenIsFull(Send):
    def send_nowait(self, item: Any) -> None:
        try:
            super().send_nowait(item)
        except BrokenResourceError:
            raise WouldBlock from None


class IterationIsAnotherObject(Receive):
    def __aiter__(self) -> Any:
        return self.clone()


class ForgetsWhatWasHandedOverWhenClosed(Receive):
    async def receive(self) -> Any:
        item = await super().receive()
        if self._closed:
            raise ClosedResourceError
        return item


# --- broken cancelling -------------------------------------------------------------------------------


class HandsToTheCancelled(Send):
    def send_nowait(self, item: Any) -> None:
        waiting = self._state.waiting_receivers
        if waiting and not self._closed:
            event, receiver = waiting.popitem(last=False)
            receiver.item = item
            event.set()
        else:
            super().send_nowait(item)


class Ghost:
    item: Any = None

    @property
    def task_info(self) -> Any:
        return self

    def has_pending_cancellation(self) -> bool:
        return False


class CancelledReceiveStaysInTheQueue(Receive):
    async def receive(self) -> Any:
        try:
            return await super().receive()
        except anyio.get_cancelled_exc_class():
            ghost: Any = Ghost()
            self._state.waiting_receivers[anyio.Event()] = ghost
            raise


class CancelledSendStillSends(Send):
    async def send(self, item: Any) -> None:
        try:
            await super().send(item)
        except anyio.get_cancelled_exc_class():
            self._state.buffer.append(item)
            raise


class TellsItsTask(Send):
    async def send(self, item: Any) -> None:
        self._state.__dict__["sending"] = anyio.get_current_task()
        await super().send(item)


class SkipsACancelledSender(Receive):
    def receive_nowait(self) -> Any:
        sending = self._state.__dict__.get("sending")
        if sending is not None and sending.has_pending_cancellation():
            self._state.waiting_senders.clear()
        return super().receive_nowait()


# Each broken stream, and facts that catch it; together they are all facts, so none is vacuous.
BROKEN: dict[str, tuple[Make, tuple[str, ...]]] = {
    "SendWithoutCheckpoint": (making(SendWithoutCheckpoint), ("every_send_lets_others_run",)),
    "ReceiveWithoutCheckpoint": (
        making(receive=ReceiveWithoutCheckpoint),
        (
            "receive_delivers_cancellation_without_waiting",
            "iteration_delivers_cancellation_without_waiting",
            "every_receive_lets_others_run",
        ),
    ),
    "SendsBeforeItsCheckpoint": (
        making(SendsBeforeItsCheckpoint),
        (
            "send_delivers_cancellation_without_waiting",
            "cancellation_comes_before_errors",
            "a_handle_waited_on_is_not_taken_by_cancelled_calls",
        ),
    ),
    "ReceivesBeforeItsCheckpoint": (
        making(receive=ReceivesBeforeItsCheckpoint),
        (
            "a_receive_that_has_its_item_is_not_cancelled",
            "nothing_is_lost_or_doubled_when_receivers_are_cancelled",
        ),
    ),
    "ChecksAgainAfterSending": (
        making(ChecksAgainAfterSending),
        ("a_send_that_was_received_is_not_cancelled",),
    ),
    "TakesTheNewest": (making(receive=TakesTheNewest), ("items_come_out_in_order",)),
    "ServesTheNewestReceiver": (making(ServesTheNewestReceiver), ("waiting_receivers_are_served_in_order",)),
    "ServesTheNewestSender": (
        making(receive=ServesTheNewestSender),
        (
            "waiting_senders_are_served_in_order",
            "a_cancelled_send_withdraws_its_item",
        ),
    ),
    "WakesEverySender": (
        making(receive=WakesEverySender),
        (
            "one_receive_frees_one_sender",
            "statistics_count_waiting_senders",
        ),
    ),
    "FreesSendersLate": (making(receive=FreesSendersLate), ("receiving_frees_the_sender_that_waits",)),
    "NeverTakesFromASender": (making(receive=NeverTakesFromASender), ("no_buffer_is_a_rendezvous",)),
    "NeverHandsOver": (
        making(NeverHandsOver),
        (
            "sending_wakes_the_receiver_that_waits",
            "a_woken_receiver_sees_the_end_only_after_the_buffer",
        ),
    ),
    "Copies": (making(Copies), ("any_object_passes_by_identity",)),
    "ReturnsTheItem": (making(ReturnsTheItem), ("send_methods_return_none",)),
    "MisreportsWaiting": (making(MisreportsWaiting), ("statistics_count_waiting_receivers",)),
    "ReportsAPlainTuple": (
        making(receive=ReportsAPlainTuple),
        ("statistics_have_six_fields_from_both_ends",),
    ),
    "ReportsAnEmptyBuffer": (making(receive=ReportsAnEmptyBuffer), ("statistics_count_the_buffer",)),
    "NotAnyios": (making(NotAnyios), ("both_ends_are_anyio_classes",)),
    "AllEqual": (making(receive=AllEqual), ("handles_compare_and_hash_by_identity",)),
    "HasAnAttribute": (making(HasAnAttribute), ("typed_attributes_are_none",)),
    "NeverWarns": (making(NeverWarns), ("unclosed_handles_warn_when_collected",)),
    "AlwaysWarns": (making(receive=AlwaysWarns), ("closed_handles_do_not_warn",)),
    "CloneIsItself": (making(CloneIsItself), ("closing_the_last_receiver_breaks_all_waiting_senders",)),
    "CloneIsNotCounted": (
        making(receive=CloneIsNotCounted),
        ("sending_breaks_when_all_receivers_have_closed",),
    ),
    "ClosesAllClones": (making(ClosesAllClones), ("the_end_comes_when_all_senders_have_closed",)),
    "ClosesTwice": (making(receive=ClosesTwice), ("closing_twice_is_closing_once",)),
    "ClosesWithoutWaking": (
        making(ClosesWithoutWaking),
        (
            "closing_the_last_sender_ends_all_waiting_receivers",
            "closing_a_send_stream_under_its_own_waiters",
        ),
    ),
    "ReceiverClosesWithoutWaking": (
        making(receive=ReceiverClosesWithoutWaking),
        (
            "sending_breaks_when_all_receivers_have_closed",
            "closing_the_last_receiver_breaks_all_waiting_senders",
            "closing_a_receive_stream_under_its_own_waiters",
        ),
    ),
    "AcloseDoesNothing": (making(AcloseDoesNothing), ("aclose_is_close",)),
    "WithDoesNothing": (making(receive=WithDoesNothing), ("with_closes_the_handle",)),
    "WithSwallowsErrors": (making(WithSwallowsErrors), ("with_closes_and_passes_errors_on",)),
    "ClosingEmptiesTheBuffer": (making(ClosingEmptiesTheBuffer), ("clones_share_the_stream",)),
    "StatisticsEndWithTheStream": (
        making(receive=StatisticsEndWithTheStream),
        (
            "statistics_count_open_handles",
            "statistics_outlive_closing",
        ),
    ),
    "EndIsClosed": (making(receive=EndIsClosed), ("what_is_buffered_comes_before_the_end",)),
    "ClosedIsTheEnd": (
        making(receive=ClosedIsTheEnd),
        (
            "closing_a_clone_leaves_the_others",
            "closed_receive_stream_refuses",
        ),
    ),
    "ClosedIsBroken": (making(ClosedIsBroken), ("closed_send_stream_refuses",)),
    "BrokenIsFull": (making(BrokenIsFull), ("sending_without_receivers_breaks",)),
    "IterationIsAnotherObject": (
        making(receive=IterationIsAnotherObject),
        ("iteration_ends_with_the_stream",),
    ),
    "ForgetsWhatWasHandedOverWhenClosed": (
        making(receive=ForgetsWhatWasHandedOverWhenClosed),
        ("closing_after_the_hand_over_takes_nothing_back",),
    ),
    "HandsToTheCancelled": (
        making(HandsToTheCancelled),
        (
            "a_receive_being_cancelled_is_passed_over",
            "what_a_cancelled_receive_would_get_is_buffered",
        ),
    ),
    "CancelledReceiveStaysInTheQueue": (
        making(receive=CancelledReceiveStaysInTheQueue),
        ("a_cancelled_receive_leaves_the_queue",),
    ),
    "CancelledSendStillSends": (making(CancelledSendStillSends), ("a_cancelled_send_withdraws_its_item",)),
    "SkipsACancelledSender": (
        making(TellsItsTask, SkipsACancelledSender),
        ("a_send_being_cancelled_may_still_be_received",),
    ),
    "AcceptsNegativeSizes": (making(size=abs), ("bad_size_is_a_value_error",)),
    "HoldsOneMore": (making(size=lambda size: size + 1), ("buffer_holds_exactly_its_size",)),
    "InfinityIsAThousand": (
        making(size=lambda size: 1000 if size == math.inf else size),
        ("infinite_buffer_never_blocks",),
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "anyio_backend", ["asyncio"]
)  # it is the suite that is tested; whole streams pass on both
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_stream_is_caught_by_the_facts_it_breaks(name: str) -> None:
    make, facts = BROKEN[name]
    with pytest.raises(ObjectStreamCheckError) as caught:
        await check_object_stream(make, fact_timeout=0.5)
    assert set(facts) <= set(caught.value.failed)
    assert all(f"  {fact}: " in str(caught.value) for fact in facts)
    assert caught.value.__cause__ is next(iter(caught.value.failed.values()))


def test_every_fact_catches_some_broken_stream() -> None:
    assert {fact for _, facts in BROKEN.values() for fact in facts} == set(OBJECT_STREAM_FACTS)


async def test_streams_broken_in_no_way_by_these_tests_pass() -> None:
    await check_object_stream(making())


class NeverReturns(Receive):
    async def receive(self) -> Any:
        await anyio.sleep_forever()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_call_that_hangs_fails_its_fact_by_name() -> None:
    others = set(OBJECT_STREAM_FACTS) - {"any_object_passes_by_identity"}
    with pytest.raises(
        ObjectStreamCheckError, match=r"any_object_passes_by_identity: still waits after 0\.05 s"
    ):
        await check_object_stream(making(receive=NeverReturns), excluding=others, fact_timeout=0.05)


async def test_an_excluded_fact_is_not_checked() -> None:
    await check_object_stream(making(Copies), excluding=["any_object_passes_by_identity"])


async def test_excluding_what_is_no_fact_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'items_come_out_in_order'"):
        await check_object_stream(making(), excluding=["items_come_in_order"])
    with pytest.raises(ValueError, match=r"'zzz' is not a fact about memory object streams$"):
        await check_object_stream(making(), excluding=["zzz"])


async def test_an_error_that_is_no_assertion_is_shown_with_its_class() -> None:
    def make(size: float) -> Any:
        raise KeyError

    with pytest.raises(ObjectStreamCheckError, match=r"items_come_out_in_order: KeyError\(\)"):
        await check_object_stream(make)


class FailsInEveryTask(Receive):
    async def receive(self) -> Any:
        self.close()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(self._fail)

    async def _fail(self) -> None:
        raise KeyError


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_several_errors_of_one_fact_stay_a_group() -> None:
    with pytest.raises(ObjectStreamCheckError) as caught:
        await check_object_stream(making(receive=FailsInEveryTask), fact_timeout=0.5)
    failed = caught.value.failed["any_object_passes_by_identity"]
    assert isinstance(failed, ExceptionGroup)
    assert len(failed.exceptions) == 2


async def test_cancelling_the_check_goes_through() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await check_object_stream(anyio.create_memory_object_stream)
    assert scope.cancelled_caught
