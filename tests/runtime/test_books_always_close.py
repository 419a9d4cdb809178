"""Any graph, with any faults in it, ended in any way: the books close, and say what became of every message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace import HarnessComponent, Rejected, component
from headrace.exceptions import HeadraceError
from headrace.model.restart_policy import Backoff, RestartPolicy
from headrace.runtime.system_execution_harness import System

FAULTS = ("none", "none", "raises", "returns", "hangs", "slow", "rejects", "setup", "cleanup")
KINDS = ("raw", "batches", "function", "async function", "concurrent", "generator", "thread")
ENDLESS = 10**9
QUICK = Backoff(0.001, 0.002)
RESTARTS = (
    RestartPolicy("never"),
    RestartPolicy("failure", backoff=QUICK),
    RestartPolicy("failure", max_restarts=100, backoff=QUICK),
    RestartPolicy("always", backoff=QUICK),
)
ENDS = ("finish", "stop", "stop twice", "cut off", "cancel", "pause and stop", "pause and cancel")


@dataclass(frozen=True)
class Node:
    """One component of a drawn system."""

    kind: str
    fault: str
    at: int
    on_error: str
    replicas: int
    fan_out: str
    restart: RestartPolicy


@dataclass(frozen=True)
class Plan:
    """A drawn system, and how it ends."""

    nodes: tuple[Node, ...]
    links: tuple[tuple[int, int, int, str], ...]
    count: int
    end: str
    after: int
    fuse: bool
    redrive: bool
    strategy: str


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a system of up to six components with links forwards and, rarely, back."""
    size = draw(st.integers(2, 6))
    nodes = tuple(
        Node(
            draw(st.sampled_from(KINDS)),
            draw(st.sampled_from(FAULTS)),
            draw(st.integers(1, 12)),
            draw(st.sampled_from(["dead_letter", "drop", "reject", "crash"])),
            draw(st.sampled_from([1, 1, 1, 2])),
            draw(st.sampled_from(["broadcast", "broadcast", "balance", "by_key"])),
            draw(st.sampled_from(RESTARTS)),
        )
        for _ in range(size)
    )
    pairs = [
        (a, b)
        for a in range(size)
        for b in range(size)
        if a < b or (a and b and draw(st.integers(0, 9)) == 0)
    ]
    links = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=8, unique=True))
    edges = tuple(
        (
            a,
            b,
            draw(st.integers(1, 5)),
            draw(st.sampled_from(["block", "block", "drop_oldest", "drop_newest"])),
        )
        for a, b in links
    )
    return Plan(
        nodes,
        edges,
        draw(st.sampled_from([0, 3, 20, 200, ENDLESS])),
        draw(st.sampled_from(ENDS)),
        draw(st.integers(0, 30)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"])),
    )


class World:
    """What all components of one system share: how many messages were seen."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = 0
        self.reached = anyio.Event()

    def see(self) -> None:
        """Count a message."""
        self.seen += 1
        if self.seen > self.plan.after:
            self.reached.set()


class Raw(HarnessComponent):
    """Does what a node says, by hand."""

    node: Node
    world: World

    async def setup(self, harness_context: Any = None) -> None:
        await super().setup(harness_context)
        if self.node.fault == "setup" and self.node.at < 3:
            raise ValueError("no set-up")

    async def process(self) -> None:
        if not self.receive_streams:
            for number in range(self.world.plan.count if self.send_streams else 0):
                await self.send(number)
            return
        read = self.read_batches if self.node.kind == "batches" else self.read
        async with create_task_group() as group:
            for stream in self.receive_streams.values():
                group.start_soon(read, stream)

    async def read_batches(self, stream: Any) -> None:
        taken = 0
        async for batch in stream.batch(3, within=0.01):
            taken += len(batch)
            for message in batch:
                await self.work_on(message, taken)

    async def read(self, stream: Any) -> None:
        taken = 0
        async for message in stream:
            taken += 1
            if taken > self.node.at and self.node.fault == "returns":
                return
            await self.work_on(message, taken)

    async def work_on(self, message: Any, taken: int) -> None:
        self.world.see()
        if taken >= self.node.at:
            await fail_as(self.node)
        await self.send(message)

    async def send(self, message: Any) -> None:
        if "out" in self.send_streams:
            await self.send_streams["out"].send(message)

    async def cleanup(self) -> None:
        await super().cleanup()
        if self.node.fault == "cleanup":
            raise ValueError("no clean-up")


async def fail_as(node: Node) -> None:
    """Do what is wrong with a node."""
    if node.fault == "raises":
        raise ValueError("no")
    if node.fault == "hangs":
        await anyio.sleep_forever()
    if node.fault == "slow":
        await anyio.sleep(0.001)
    await checkpoint()


class Functions:
    """The functions of a node."""

    def __init__(self, node: Node, world: World) -> None:
        self.node = node
        self.world = world
        self.taken = 0

    def begin(self) -> bool:
        """Count a message; raises, or says whether to reject it."""
        self.taken += 1
        if self.node.kind != "thread":
            self.world.see()
        if self.taken >= self.node.at and self.node.fault == "raises":
            raise ValueError("no")
        return self.taken >= self.node.at and self.node.fault == "rejects"

    def work(self, message: int) -> int | Rejected[int]:
        return Rejected(message, "no") if self.begin() else message

    async def work_async(self, message: int) -> int | Rejected[int]:
        rejects = self.begin()
        if self.taken >= self.node.at:
            await fail_as(self.node)
        return Rejected(message, "no") if rejects else message

    def work_often(self, message: int) -> Iterator[int | Rejected[int]]:
        yield from [message] * (self.taken % 3)
        if self.begin():
            yield Rejected(message, "no")


def function_of(node: Node, world: World) -> Any:
    """Return a function component that does what a node says."""
    options: dict[str, Any] = {"attempts": 2, "backoff": 0, "on_error": node.on_error}
    own = Functions(node, world)
    if node.kind == "concurrent":
        return component(**options, concurrency=3, ordered=node.at % 2 == 0)(own.work_async)
    if node.kind == "thread":
        return component(**options, run_in="thread", concurrency=2)(own.work)
    chosen: Any = {"generator": own.work_often, "async function": own.work_async}.get(node.kind, own.work)
    return component(**options)(chosen)


def source_of(world: World) -> Any:
    """Return a function that is a source."""

    def numbers() -> Iterator[int]:
        yield from range(world.plan.count)

    return component(numbers)


def system_of(plan: Plan, world: World) -> System:
    """Return the drawn system."""
    system = System(
        shutdown_timeout=0.05,
        source_grace=0.01,
        cleanup_timeout=0.5,
        setup_timeout=5,
        fuse=plan.fuse,
        strategy=plan.strategy,  # type: ignore[arg-type]
    )
    targets = {b for _, b, _, _ in plan.links}
    for number, node in enumerate(plan.nodes):
        made: Any = type("OneRaw", (Raw,), {"node": node, "world": world})
        if node.kind not in ("raw", "batches"):
            made = function_of(node, world) if number in targets else source_of(world)
        system.add(f"n{number}", made, replicas=node.replicas, restart=node.restart)
    for a, b, size, when_full in plan.links:
        system.connect(f"n{a}.out", f"n{b}.in", buffer_size=size, when_full=when_full)  # type: ignore[arg-type]
    for number, node in enumerate(plan.nodes):
        if any(a == number for a, *_ in plan.links) and node.fan_out != "broadcast":
            key = (lambda message: message) if node.fan_out == "by_key" else None
            system.spread(f"n{number}.out", node.fan_out, key=key)  # type: ignore[arg-type]
    return system


async def end_it(plan: Plan, system: System, world: World, run: anyio.CancelScope) -> None:
    """End a running system as planned, once enough was seen or nothing more seems to come."""
    with anyio.move_on_after(0.05):
        await world.reached.wait()
    if plan.end.startswith("pause"):
        try:
            with anyio.move_on_after(0.005):
                await system.pause()
        except HeadraceError:
            return  # it has ended
    if "cancel" in plan.end:
        run.cancel()
        return
    system.request_stop()
    if plan.end == "stop twice":
        system.request_stop()
    if plan.end == "cut off":
        await checkpoint()
        if system._run is not None:
            system._run.cut_off()


async def run_it(plan: Plan) -> None:
    """Run a planned system to its end, and look at the books."""
    world = World(plan)
    system = system_of(plan, world)
    with fail_after(30):
        async with create_task_group() as group:
            with anyio.CancelScope() as run:
                group.start_soon(end_it, plan, system, world, run)
                with suppress(HeadraceError):
                    await system.run()
            group.cancel_scope.cancel()
    check(system)
    if plan.redrive and system.dead_letters():
        with fail_after(30), anyio.move_on_after(0.2), suppress(HeadraceError):
            await system.redrive()  # some hang in that too
        check(system)


def check(system: System) -> None:
    """Assert that the books close, and that the report says the same as the harness."""
    assert system.report is not None
    ledger = system.report.ledger
    assert ledger.disagreements() == ()
    assert ledger.accepted == (
        ledger.acknowledged + sum(ledger.dropped.values()) + ledger.dead_lettered + ledger.remaining
    )
    assert ledger.totals.lost == sum(ledger.dropped.values()) + ledger.remaining
    assert system.report.exit_code() != 3 or ledger.remaining
    assert system.ledger() == ledger
    assert not system.running


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=plans())
def test_the_books_close_whatever_happens(backend: str, plan: Plan) -> None:
    anyio.run(run_it, plan, backend=backend)
