"""A plain function at work outside the event loop: its workers get batches, and outcomes are sent in order.

Each batch under way is in hand on a handle of its own, so the books need nothing new: a message is acknowledged
when its outputs are sent. Where it fails, it is tried again as a batch of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import msgspec
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from headrace.exceptions import ComponentError, WorkerDied, WorkerError
from headrace.model.message import Meta

from .function_concurrency import Turns, is_asked_for
from .function_outputs import Outputs
from .function_stage import Begun, sorted_out

if TYPE_CHECKING:
    from .function_component import FunctionComponent

AHEAD = 2
"""Batches under way for each worker: one that it works on, and one to go on with at once."""
WORTH = 0.02
"""Seconds of work that a batch should be: little beside the wait for a result, and much beside the way there."""
_WIDEST = 1024


class Told(NamedTuple):
    """A message for a thread, with what its function is to be told about it."""

    message: Any
    meta: Meta | None = None


class Span:
    """How many messages make a batch, from how long the last ones took.

    Args:
        workers: How many batches are worked on at a time.
    """

    __slots__ = ("_ends", "size")

    def __init__(self, workers: int) -> None:
        self.size = 1
        self._ends = deque([0.0] * workers, maxlen=workers)

    def note(self, number: int, began: float, ended: float) -> None:
        """Take note of a batch: it is twice as large at most next time, and at once as small as need be.

        Args:
            number: How many messages it had.
            began: When it was given away, in seconds; a worker began with it when it was done with an earlier one.
            ended: When it came back.
        """
        took = ended - max(began, self._ends[0])
        self._ends.append(ended)
        fitting = int(number * WORTH / max(took, 1e-9))
        self.size = max(1, min(fitting, 2 * self.size, _WIDEST))


class Away:
    """Where the function of a component works, if not in the event loop; made for each run by the runtime.

    Args:
        make: Makes its workers: ``open()``, ``run(messages)``, ``abandon()``, ``close(within)``.
        close_within: Seconds in which they have to end.
        takes_told: Whether they take messages as ``Told``.
    """

    def __init__(self, make: Callable[[], Any], close_within: float, *, takes_told: bool = False) -> None:
        self.takes_told = takes_told
        self._make = make
        self._close_within = close_within
        self._workers: Any = None

    async def open(self) -> None:
        """Start the workers."""
        self._workers = self._make()
        await self._workers.open()

    async def run(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return what became of each message: ``outputs``, or ``error``."""
        outcomes: Sequence[Any] = await self._workers.run(messages)
        return outcomes

    async def work(self, component: FunctionComponent, stream: Any) -> None:
        """Let the workers work on the messages of a stream, until it ends.

        After an error, the message in hand is the one that it is about; the others are put back.
        """
        number = component.attempts.concurrency
        turns, span = Turns(), Span(number)
        handles = [stream, *(stream.clone() for _ in range(number * AHEAD - 1))]
        lines = [_Line(self, component, handle, turns, span) for handle in handles]
        try:
            async with create_task_group() as group:
                for line in lines:
                    group.start_soon(line.work)
        except BaseException:
            _put_down(lines)
            errors = [line.error for line in lines if line.error is not None]
            if not errors:
                raise
            if len(errors) > 1:
                raise BaseExceptionGroup("several batches", errors) from None
            raise errors[0] from errors[0].__cause__
        for clone in handles[1:]:
            clone.close()

    def abandon(self) -> None:
        """Give up what is being worked on: processes are killed, a thread goes on for itself."""
        if self._workers is not None:
            self._workers.abandon()

    async def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            await self._workers.close(self._close_within)


class _Line:
    """One handle on the input, with one batch at a time under way.

    Attributes:
        handle: The handle; what is under way is in hand.
        number: The place of its batch among all.
        place: While it works: which of the messages in hand is to blame for an error; None for none of them.
        tried: How many attempts at that message count, 0 where it has not failed; and
        meta: what its function was told of it.
        error: What it has failed with.
    """

    def __init__(
        self, away: Away, component: FunctionComponent, handle: Any, turns: Turns, span: Span
    ) -> None:
        self.handle = handle
        self.number = 0
        self.place: int | None = None
        self.tried = 0
        self.meta: Meta | None = None
        self.error: BaseException | None = None
        self._away = away
        self._component = component
        self._outputs: Outputs = component.outputs
        self._turns = turns
        self._span = span

    async def work(self) -> None:
        """Work on one batch after the other, until the input ends."""
        while True:
            try:
                messages = await self.handle.receive_many(self._span.size)
            except anyio.EndOfStream:
                return
            self.number = self._turns.draw()
            try:
                await self._work_on(messages)
            except BaseException as error:
                if is_asked_for(error):
                    raise
                self.error = error
                raise ComponentError("a worker's batch failed") from error
            self._turns.end(self.number)

    async def _work_on(self, messages: Sequence[Any]) -> None:
        """Have a batch worked on, and send what came of it, when it is its turn."""
        self.place, self.tried, self.meta = None, 0, None
        tried, metas = self._known(messages)
        began = perf_counter()
        outcomes = await self._run(messages, metas)
        self._span.note(len(messages), began, perf_counter())
        if self._component.attempts.ordered:
            await self._turns.wait(self.number)
        self.place = 0  # from here on the oldest one in hand
        done = 0
        while done < len(messages):
            done += self._put_what_fits(outcomes[done:])
            if done < len(messages):
                await self._finish(messages[done], metas[done], tried[done], outcomes[done])
                done += 1

    async def _run(self, messages: Sequence[Any], metas: Sequence[Meta | None]) -> Sequence[Any]:
        if self._away.takes_told:
            messages = [Told(*pair) for pair in zip(messages, metas, strict=True)]
        try:
            return await self._away.run(messages)
        except WorkerError as error:
            await checkpoint()  # where they were abandoned, we are cancelled
            self.place = getattr(error, "index", None) if self.place is None else self.place
            if isinstance(error, WorkerDied) and error.index is None:
                await self._turns.wait(self.number)  # an earlier batch knows what the worker was at
            raise

    def _put_what_fits(self, outcomes: Sequence[Any]) -> int:
        """Send what came of the next messages, as long as there is room and none failed; returns how many."""
        room = self._outputs.look()
        done = 0
        for outcome in outcomes:
            room -= len(outcome.outputs)
            if outcome.error is not None or room < 0:
                break
            self._outputs.put(*sorted_out(list(outcome.outputs)))
            self.handle.settle_first(1)
            done += 1
        return done

    async def _finish(self, message: Any, meta: Meta | None, tried: int, outcome: Any) -> None:
        """Send what came of one message, which may need room, or further attempts."""
        outputs: list[Any] | None = list(outcome.outputs)
        if outcome.error is not None:
            outputs = await self._try_again(message, meta, tried, outcome.error)
        if outputs is not None:
            await self._outputs.send(*sorted_out(outputs))
            self.handle.settle_first(1)

    async def _try_again(
        self, message: Any, meta: Meta | None, tried: int, error: BaseException
    ) -> list[Any] | None:
        """Return the outputs of a message that has failed once; None where it is dead or dropped in the end."""
        policy = self._component.attempts
        self.tried, self.meta = tried + 1, meta
        while isinstance(error, Exception) and self.tried < policy.attempts:
            await anyio.sleep(policy.pause_before(self.tried + 1))
            if meta is not None:
                meta = msgspec.structs.replace(meta, attempt=self.tried + 1)
            (outcome,) = await self._run([message], [meta])
            if outcome.error is None:
                self.tried = 0
                return list(outcome.outputs)
            error = outcome.error
            self.tried += 1
        if not isinstance(error, Exception):
            raise error
        failed = Begun(message, error=error, meta=meta)
        return await self._component.give_up(failed, self.tried, _Oldest(self.handle)) or None

    def _known(self, messages: Sequence[Any]) -> tuple[Sequence[int], Sequence[Meta | None]]:
        """Return for each message how many attempts at it count, and what its function is told of it."""
        number = len(messages)
        tried, metas = [0] * number, list[Meta | None]([None] * number)
        if self.handle.has_redeliveries:
            tried, metas = map(list, zip(*self.handle.known(), strict=True))
        if self._component.function.meta_parameter:
            metas = [
                self._component.next_meta(*pair) for pair in zip(metas, (n + 1 for n in tried), strict=True)
            ]
        return tried, metas


class _Oldest:
    """The oldest message in hand, as if it were the only one."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @property
    def edge_in_hand(self) -> str:
        found: str = self._handle.edge_in_hand
        return found

    def settle(self, outcome: str, reason: str = "") -> None:
        self._handle.settle_first(1, outcome, reason)


def _put_down(lines: Sequence[_Line]) -> None:
    """After an error, leave in hand what it is about, and put the rest back in its order; else leave all there."""
    if any(line.error for line in lines):
        for line in lines:
            place = line.place if line.error and line.handle.has_hand else None
            line.handle.release(place)
            if place is not None:
                line.handle.note(line.tried, line.meta)


__all__ = ["AHEAD", "WORTH", "Away", "Span", "Told"]
