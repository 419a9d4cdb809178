"""Random programs over random graphs, and what must be true after every step of every one of them.

Sends, receives, cancellations, clones, closes (deliberate and while an exception unwinds), settlements, lives that
end and begin anew, manual acknowledgement, ``nack``, and ended ports, over broadcast, balance and keys, single
edges and groups of them, every policy and capacities from 1 to 16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, get_args

import anyio
import pytest
from anyio import BrokenResourceError, CancelScope, ClosedResourceError, EndOfStream, WouldBlock
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.streams.edges import assert_books_close, link

from headrace.model.options import EdgeOptions, OutputOptions, WhenFull
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.manual_stream import ManualReceiveStream
from headrace.streams.outlet import AnyOutlet, Outlet
from headrace.streams.receive_stream import EdgeReceiveStream
from headrace.streams.redelivering import take_all_back
from headrace.streams.send_stream import EdgeSendStream
from headrace.streams.spread import Group

BACKENDS: list[Any] = [
    pytest.param(("asyncio", {}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param(("trio", {}), id="trio"),
]
ENDS = (EndOfStream, BrokenResourceError, ClosedResourceError, WouldBlock)


@dataclass(frozen=True)
class Item:
    """A message: who sent it, and its number among what that task sent."""

    task: int
    number: int

    def __deepcopy__(self, memo: object) -> Item:
        return self


@dataclass
class Job:
    """A task of the program."""

    handle: Any
    scope: CancelScope = field(default_factory=CancelScope)
    pending: Item | None = None
    done: bool = False
    sends: bool = False


class Machine:
    """A graph, the tasks that work on it, and what is known about every message."""

    def __init__(self, graph: Any, group: TaskGroup) -> None:
        outputs, inputs, lanes, groups, manual, together = graph
        self.outlets: list[AnyOutlet] = [Outlet(f"a{n}.out", spread(mode)) for n, mode in enumerate(outputs)]
        self.groups: dict[tuple[int, int], Group[Any]] = {}
        self.inlets: list[AnyInlet] = [Inlet(f"b{n}.in") for n in range(inputs)]
        for inlet in self.inlets if together else ():
            inlet.company = self.inlets
        for number, max_unacked in manual.items():
            if number < inputs:
                self.inlets[number].max_unacked = max_unacked
        self.edges: list[AnyEdge] = [
            link(
                self.outlets[o],
                self.inlets[i],
                EdgeOptions(size, policy, copy),
                self._group(o, *groups[i]) if i in groups else None,
            )
            for (o, i), (size, policy, copy) in lanes.items()
            if o < len(outputs) and i < inputs
        ]
        self.senders = [outlet.open() for outlet in self.outlets]
        self.receivers = [inlet.open() for inlet in self.inlets]
        self.group = group
        self.jobs: list[Job] = []
        self.completed: set[Item] = set()
        self.refused: set[Item] = set()
        self.sent: dict[AnyOutlet, int] = defaultdict(int)
        self.seen: dict[tuple[AnyEdge, int], int] = defaultdict(lambda: -1)
        self.once: set[tuple[AnyEdge, Item]] = set()
        self.batching: set[AnyInlet] = set()  # what is gathered may be overtaken by what others receive
        self.received = 0
        self.attempts = 0  # crashes and calls of nack

    def _group(self, output: int, group: int, mode: Any) -> Group[Any]:
        """Return the group that an output has for some inputs; the first of these says how it spreads."""
        return self.groups.setdefault((output, group), Group(spread(mode)))

    # --- what a program can do ---------------------------------------------------------------------

    async def step(self, name: str, one: int, two: int) -> None:
        act: Callable[[int, int], Awaitable[None] | None] = getattr(self, f"do_{name}")
        result = act(one, two)
        if result is not None:
            await result
        self.check()

    def do_send(self, one: int, two: int) -> None:
        self._start(self._send, self.senders[one % len(self.senders)], two + 1)

    def do_receive(self, one: int, two: int) -> None:
        self._start(self._receive, self.receivers[one % len(self.receivers)], two + 1)

    def do_iterate(self, one: int, two: int) -> None:
        self._start(self._iterate, self.receivers[one % len(self.receivers)], two + 1)

    def do_receive_many(self, one: int, two: int) -> None:
        self._start(self._receive_many, self.receivers[one % len(self.receivers)], two + 1)

    def do_batch(self, one: int, two: int) -> None:
        self.batching.add(self.receivers[one % len(self.receivers)].inlet)
        self._start(self._batch, self.receivers[one % len(self.receivers)], two + 1)

    def do_send_some(self, one: int, two: int) -> None:
        self._start(self._send_some, self.senders[one % len(self.senders)], two + 1)

    def do_send_nowait(self, one: int, two: int) -> None:
        item = Item(10_000 + len(self.completed) + len(self.refused), 0)
        handle = self.senders[one % len(self.senders)]
        try:
            handle.send_nowait(item)
        except ENDS:
            self.refused.add(item)
        else:
            self._has_sent(handle, item)

    def do_send_some_nowait(self, one: int, two: int) -> None:
        """Send a few messages of one sender in a row, so that readers have several of them in hand."""
        task = 10_000 + len(self.completed) + len(self.refused)
        handle = self.senders[one % len(self.senders)]
        for number in range(two):
            item = Item(task, number)
            try:
                handle.send_nowait(item)
            except ENDS:
                self.refused.add(item)
                return
            self._has_sent(handle, item)

    def do_receive_some_nowait(self, one: int, two: int) -> None:
        for _ in range(two):
            self.do_receive_nowait(one, 0)

    def do_receive_nowait(self, one: int, two: int) -> None:
        handle = self.receivers[one % len(self.receivers)]
        with suppress(*ENDS):
            self._note(handle, handle.receive_nowait())

    def do_cancel(self, one: int, two: int) -> None:
        alive = [job for job in self.jobs if not job.done]
        if alive:
            alive[(one * 8 + two) % len(alive)].scope.cancel()

    def do_clone_sender(self, one: int, two: int) -> None:
        with suppress(ClosedResourceError):
            self.senders.append(self.senders[one % len(self.senders)].clone())

    def do_clone_receiver(self, one: int, two: int) -> None:
        with suppress(ClosedResourceError):
            self.receivers.append(self.receivers[one % len(self.receivers)].clone())

    def do_close_sender(self, one: int, two: int) -> None:
        self._close(self.senders[one % len(self.senders)], unwinding=two == 0)

    def do_close_receiver(self, one: int, two: int) -> None:
        self._close(self.receivers[one % len(self.receivers)], unwinding=two == 0)

    def do_settle(self, one: int, two: int) -> None:
        outcomes: Any = ("acknowledged", "dead_lettered", "dropped")
        self.receivers[one % len(self.receivers)].settle(outcomes[two % 3], "why")

    def do_ack(self, one: int, two: int) -> None:
        handle = self.receivers[one % len(self.receivers)]
        held = handle.hands()
        with suppress(ClosedResourceError):
            if held:
                handle.ack(held[two % len(held)][1])
            handle.ack_first(two % 2)

    async def do_nack(self, one: int, two: int) -> None:
        handle = self.receivers[one % len(self.receivers)]
        held = handle.hands()
        if not held:
            return
        if two % 2:
            held = [held[two % len(held)]]
        self.attempts += 1
        with suppress(ClosedResourceError):
            await handle.nack(held[0][1], delay=0.0005 if two > 5 else 0) if two % 2 else await handle.nack()
            self._comes_again(held, ordered=two <= 5)

    def do_release(self, one: int, two: int) -> None:
        handle = self.receivers[one % len(self.receivers)]
        held = handle.hands()
        handle.release()
        self._comes_again(held)

    def do_crash(self, one: int, two: int) -> None:
        inlets = self.inlets[one % len(self.inlets)].company
        handles = [handle for inlet in inlets for handle in inlet.handles]
        before = [(edge, item) for handle in handles for edge, item in handle.hands()]
        self.attempts += two % 2 == 0
        taken = take_all_back(inlets, crashed=two % 2 == 0)
        again = [entry for _, some in taken for entry in some]
        assert sorted(map(str, before)) == sorted(str((entry.edge, entry.message)) for entry in again)
        self._comes_again([(edge, item) for edge, item in before if two < 6 or edge.reader_ended])
        for entry in again:
            assert entry.tried <= self.attempts
            assert entry.tried or not entry.blamed
            if two >= 6 and not entry.edge.reader_ended:
                entry.edge.inlet.bury(entry, "dropped", "why")
        stale = [handle for handle in self.receivers if handle.inlet in inlets]
        self.receivers = [handle for handle in self.receivers if handle not in stale]
        self.receivers += [inlet.open() for inlet in self.inlets if inlet in inlets]
        self.receivers += stale[-1:]

    def do_sender_crash(self, one: int, two: int) -> None:
        outlet = self.outlets[one % len(self.outlets)]
        outlet.retire_handles()
        self.senders.append(outlet.open())

    def _comes_again(self, held: list[tuple[AnyEdge, Item]], *, ordered: bool = True) -> None:
        """Expect messages once more that were received; what cannot come any more is lost, and counted so."""
        for edge, item in held:
            self.received -= 1
            self.once.discard((edge, item))
            self.seen[edge, item.task] = min(self.seen[edge, item.task], item.number - 1)
            if not ordered:
                self.batching.add(edge.inlet)

    def do_end_inlet(self, one: int, two: int) -> None:
        if two == 0:
            self.inlets[one % len(self.inlets)].end()

    def do_end_outlet(self, one: int, two: int) -> None:
        if two == 0:
            self.outlets[one % len(self.outlets)].end()

    async def do_turn(self, one: int, two: int) -> None:
        await checkpoint()

    async def do_rest(self, one: int, two: int) -> None:
        for _ in range(60):
            await checkpoint()
        await anyio.wait_all_tasks_blocked()
        self.check_at_rest()

    # --- its tasks -----------------------------------------------------------------------------------

    def _start(self, work: Callable[[Job, int, int], Awaitable[None]], handle: Any, count: int) -> None:
        job = Job(handle, sends=work in (self._send, self._send_some))
        number = len(self.jobs)
        self.jobs.append(job)

        async def run() -> None:
            try:
                with job.scope, suppress(*ENDS):
                    await work(job, number, count)
            finally:
                job.done = True

        self.group.start_soon(run)

    async def _send(self, job: Job, task: int, count: int) -> None:
        for number in range(count):
            await self._send_one(job, Item(task, number))

    async def _send_one(self, job: Job, item: Item) -> None:
        job.pending = item
        self.refused.add(item)
        await job.handle.send(item)
        self.refused.discard(item)
        self._has_sent(job.handle, item)
        job.pending = None

    async def _send_some(self, job: Job, task: int, count: int) -> None:
        rest = [Item(task, number) for number in range(count)]
        while rest:
            number = job.handle.send_some(rest)
            for item in rest[:number]:
                self._has_sent(job.handle, item)
            del rest[:number]
            if rest:
                await self._send_one(job, rest.pop(0))

    def _has_sent(self, handle: Any, item: Item) -> None:
        self.completed.add(item)
        self.sent[handle._outlet] += 1

    async def _receive(self, job: Job, task: int, count: int) -> None:
        for _ in range(count):
            self._note(job.handle, await job.handle.receive())

    async def _iterate(self, job: Job, task: int, count: int) -> None:
        async for item in job.handle:
            self._note(job.handle, item)
            count -= 1
            if not count:
                return
            if count % 2:
                await checkpoint()

    async def _receive_many(self, job: Job, task: int, count: int) -> None:
        self._note_many(job.handle, await job.handle.receive_many(count))

    async def _batch(self, job: Job, task: int, count: int) -> None:
        async for batch in job.handle.batch(count, within=0 if count % 2 else None):
            self._note_many(job.handle, batch)
            await checkpoint()

    def _note_many(self, handle: EdgeReceiveStream[Any], items: list[Item]) -> None:
        assert not self.refused & set(items), "a send that did not return has reached a reader"
        self.received += len(items)
        held = handle.hands()
        if [item for _, item in held] == items:  # no other task has received on this handle meanwhile
            for edge, item in held:
                self._check_order(edge, item)

    def _note(self, handle: EdgeReceiveStream[Any], item: Item) -> None:
        self.received += 1
        edge, last = handle.hands()[-1]  # with manual acknowledgement there may be others, of other edges
        assert handle.hand is last is item
        assert item not in self.refused, "a send that did not return has reached a reader"
        self._check_order(edge, item)

    def _check_order(self, edge: AnyEdge, item: Item) -> None:
        assert (edge, item) not in self.once, "twice"
        self.once.add((edge, item))
        if edge.inlet not in self.batching:
            assert item.number > self.seen[edge, item.task], "out of order"
        self.seen[edge, item.task] = item.number

    def _close(self, handle: Any, *, unwinding: bool) -> None:
        if not unwinding:
            handle.close()
            return
        with suppress(ValueError), handle:
            raise ValueError

    # --- what must be true ---------------------------------------------------------------------------

    def check(self) -> None:
        assert_books_close(*self.edges)
        for edge in self.edges:
            assert set(edge.dropped) <= {"reader_ended", "why", edge.options.when_full} - {"block"}
            for item in edge.messages():
                assert item in self.completed, "a send that did not return has reached an edge"
        for outlet in self.outlets:
            own = [edge for edge in self.edges if edge.outlet is outlet]
            for target in outlet.targets:
                if outlet.options.fan_out == "broadcast" and not target.ended:
                    self._check_target(target, self.sent[outlet])
            for edge in own:
                assert edge.accepted <= self.sent[outlet]
            if own and not all(edge.ended for edge in own):
                assert outlet.accepted == self.sent[outlet]

    def _check_target(self, target: AnyEdge | Group[Any], sent: int) -> None:
        """Each message went to a target: to its edge, to one of its edges, or to all that have not ended."""
        if isinstance(target, Group) and target.options.fan_out == "broadcast":
            assert all(edge.accepted == sent for edge in target.edges())
        else:
            assert target.accepted == sent

    def check_at_rest(self) -> None:
        """Nobody waits who need not, and everybody who waits is alive."""
        waiting = [job for job in self.jobs if not job.done]
        assert len({w for edge in self.edges for w in edge.blocked}) == sum(job.sends for job in waiting)
        for_room = [w for inlet in self.inlets for handle in inlet.handles for w in for_room_of(handle)]
        hungry = [waiter for inlet in self.inlets for waiter in inlet.hungry]
        assert len(hungry) + len(for_room) == sum(not job.sends for job in waiting)
        for job in waiting:
            assert not job.handle.closed
            if job.sends:
                self._check_must_wait_to_send(job)
            else:
                inlet = job.handle.inlet
                sleeps = inlet.has_message and job.handle.room > 0 and inlet.has_stored
                assert not sleeps, "a reader sleeps beside a message"
                assert not inlet.exhausted, "a reader waits for senders that have all ended"

    def _check_must_wait_to_send(self, job: Job) -> None:
        assert job.pending is not None
        outlet = job.handle._outlet
        assert outlet.edges(), "a sender waits for readers that have all ended"
        assert must_wait(outlet, job.pending), "a sender sleeps beside room"

    async def finish(self) -> None:
        """End everything and count: each accepted message became exactly one thing."""
        await self.do_rest(0, 0)
        for outlet in self.outlets:
            outlet.end()
        await self.do_rest(0, 0)
        for number, inlet in enumerate(self.inlets):
            reader = next((r for r in self.receivers if r.inlet is inlet and not r.closed), None)
            if reader is not None:
                with suppress(EndOfStream):
                    while True:
                        for other in self.inlets:  # one may have to be alone in hand
                            other.settle_all("acknowledged")
                        with anyio.move_on_after(
                            0.01
                        ):  # a task on this handle may take the room that there is
                            self._note(reader, await reader.receive())
            inlet.settle_all("acknowledged" if number % 2 else "dead_lettered")
            inlet.end()
        await self.do_rest(0, 0)
        self.check()
        assert all(job.done for job in self.jobs)
        handed = [e.acknowledged + e.dead_lettered + e.dropped.get("why", 0) for e in self.edges]
        assert sum(handed) == self.received, "what is settled was received, by somebody, once"
        for edge in self.edges:
            assert edge.ledger().remaining == 0
            assert not edge.blocked
            assert not edge.inlet.hungry
        for handle in (*self.senders, *self.receivers):
            assert not handle.waiters


def for_room_of(handle: EdgeReceiveStream[Any]) -> list[Any]:
    """Return the tasks that wait for an ack on a handle."""
    return handle._for_room if isinstance(handle, ManualReceiveStream) else []


def spread(mode: Any) -> OutputOptions:
    return OutputOptions(mode, (lambda item: item.task) if mode == "by_key" else None)


def must_wait(target: AnyEdge | Group[Any] | AnyOutlet, item: Item) -> bool:
    """Return whether a message has to wait for room on a target; said once more, from what is promised."""
    if isinstance(target, Edge):
        return target.holds_back
    alive = [one for one in target.targets if not one.ended]
    if target.options.fan_out == "broadcast":
        return any(must_wait(one, item) for one in alive)
    if target.options.fan_out == "by_key":
        return any(must_wait(one, item) for one in alive)  # of some key: the machine does not know the digest
    return not any(has_room(one, item) for one in alive) and any(must_wait(one, item) for one in alive)


def has_room(target: AnyEdge | Group[Any], item: Item) -> bool:
    """Return whether a message surely needs neither to wait nor to be dropped at a target."""
    if isinstance(target, Edge):
        return not target.full
    alive = [one for one in target.targets if not one.ended]
    some = any if target.options.fan_out == "balance" else all
    return some(has_room(one, item) for one in alive)


async def run_program(graph: Any, program: list[tuple[str, int, int]]) -> None:
    async with anyio.create_task_group() as group:
        machine = Machine(graph, group)
        for step in program:
            await machine.step(*step)
        await machine.finish()


lane_options = st.tuples(
    st.integers(1, 16) | st.integers(1, 2),
    st.sampled_from(["block"] * 3 + list(get_args(WhenFull))),
    st.booleans() | st.just(False),
)
lanes = st.dictionaries(st.tuples(st.integers(0, 1), st.integers(0, 4)), lane_options, min_size=1, max_size=8)
modes = st.sampled_from(["broadcast", "broadcast", "balance", "by_key"])
inner_modes = st.sampled_from(["balance", "balance", "by_key", "by_key", "broadcast"])
groups = st.dictionaries(st.integers(0, 4), st.tuples(st.integers(0, 1), inner_modes), max_size=5)
manual = st.dictionaries(st.integers(0, 4), st.integers(1, 4), max_size=3)
graphs = st.tuples(
    st.lists(modes, min_size=1, max_size=2),
    st.integers(1, 5),
    lanes,
    groups | st.just({}),
    manual | st.just({}),
    st.booleans(),
)
common = ["send", "send", "receive", "receive", "send_nowait", "receive_nowait", "cancel", "turn", "rest"]
common += ["send_some", "iterate", "receive_many", "batch", "crash"]
common += ["send_some_nowait", "receive_some_nowait", "receive_some_nowait"]
rare = [
    "clone_sender",
    "clone_receiver",
    "close_sender",
    "close_receiver",
    "settle",
    "end_inlet",
    "end_outlet",
    "crash",
    "crash",
    "sender_crash",
    "ack",
    "ack",
    "nack",
    "release",
]
small = st.integers(0, 7)
steps = st.tuples(st.sampled_from(common * 2 + rare), small, small)
programs = st.lists(steps, min_size=5, max_size=80) | st.lists(steps, min_size=40, max_size=80)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=graphs, program=programs)
def test_whatever_happens_the_books_close_and_nobody_is_forgotten(
    backend: tuple[str, dict[str, Any]], graph: Any, program: list[tuple[str, int, int]]
) -> None:
    name, options = backend
    anyio.run(run_program, graph, program, backend=name, backend_options=options)


def test_the_handles_are_typed_as_what_they_are() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlet: AnyInlet = Inlet("b.in")
    assert isinstance(outlet.open(), EdgeSendStream)
    assert isinstance(inlet.open(), EdgeReceiveStream)
