"""How a run ends: grace for sources, cycles that come to rest, a deadline with names."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint

from headrace.authoring.function_component import component
from headrace.runtime.system_execution_harness import System


def together(parts: SimpleNamespace, bodies: dict[str, Any], *edges: str, **options: Any) -> System:
    """Return a system of acting components, joined by ``a.out -> b.in`` edges."""
    system = System(**options)
    for name, body in bodies.items():
        made = parts.Acting(name, body) if callable(body) else body
        system.register_component(name, made)
    for edge in edges:
        system.connect(*edge.split(" -> "))
    return system


async def stop_once_running(system: System, seconds: float = 30) -> Any:
    """Start a system, stop it when everybody waits, and return the report."""
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        with fail_after(seconds):
            return await system.stop()


# --- sources -----------------------------------------------------------------------------------


async def test_a_source_that_ends_on_its_stop_event_ends_without_the_grace(parts: SimpleNamespace) -> None:
    async def source(self: Any) -> None:
        await self.context.stop_event.wait()
        await self.send_streams["out"].send("last")

    sink = parts.Collect()
    system = together(parts, {"source": source, "sink": sink}, "source.out -> sink.in", source_grace=1000)
    report = await stop_once_running(system)
    assert sink.got == ["last"]
    assert report.overruns == ()


@pytest.mark.fault(19)
async def test_a_source_cancelled_in_a_blocked_send_has_not_sent(parts: SimpleNamespace) -> None:
    go_on = anyio.Event()
    sent: list[int] = []

    async def source(self: Any) -> None:
        for number in range(10):
            await self.send_streams["out"].send(number)
            sent.append(number)

    async def slow(self: Any) -> None:
        await go_on.wait()
        got.extend([message async for message in self.receive_streams["in"]])

    got: list[int] = []
    system = together(
        parts, {"source": source, "slow": slow}, "source.out -> slow.in", buffer_size=2, source_grace=0.05
    )
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        system.request_stop()
        while system.components["source"].status.is_running:
            await checkpoint()
        go_on.set()
    assert got == sent == [0, 1]
    assert system.report is not None
    assert system.report.clean
    assert system.report.outcome == "stopped"


async def test_a_generator_source_stops_after_the_message_it_is_at(parts: SimpleNamespace) -> None:
    closed = False

    @component
    def numbers() -> Any:
        nonlocal closed
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed = True

    sink = parts.Collect()
    system = System(source_grace=1000)
    system.add("numbers", numbers)
    system.register_component("sink", sink)
    system.connect("numbers", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await sink.reached.wait()
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert report.ledger.totals.lost == 0
    assert closed


async def test_an_async_generator_source_is_cancelled_wherever_it_waits(parts: SimpleNamespace) -> None:
    closed = False

    @component
    async def ticks() -> Any:
        nonlocal closed
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            closed = True

    sink = parts.Collect()
    system = System(source_grace=0.05)
    system.add("ticks", ticks)
    system.register_component("sink", sink)
    system.connect("ticks", "sink.in")
    report = await stop_once_running(system)
    assert closed
    assert report.overruns == ()
    assert report.outcome == "stopped"
    assert sink.got == [1]


async def test_a_source_that_outlives_its_grace_and_the_deadline_is_named(parts: SimpleNamespace) -> None:
    release = anyio.Event()

    async def source(self: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await release.wait()

    system = together(parts, {"source": source}, source_grace=0.02, shutdown_timeout=0.05)
    async with create_task_group() as group:
        await group.start(system.run)
        system.request_stop()
        while not system._run._drain.overruns:  # type: ignore[union-attr]
            await checkpoint()
        release.set()
    assert system.report is not None
    [late] = system.report.overruns
    assert late.component == "source"
    assert late.awaiting.startswith("source() at test_drain.py:")


# --- the deadline ------------------------------------------------------------------------------


async def test_the_deadline_names_who_and_where_and_what_was_left(parts: SimpleNamespace) -> None:
    async def stuck(self: Any) -> None:
        await self.receive_streams["in"].receive()
        await anyio.Event().wait()

    bodies = {"numbers": parts.Numbers(count=4), "stuck": stuck}
    system = together(parts, bodies, "numbers.out -> stuck.in", shutdown_timeout=0.1)
    report = await stop_once_running(system)
    [late] = report.overruns
    assert (late.component, late.phase) == ("stuck", "process")
    assert late.after >= 0.1
    assert late.awaiting.startswith("stuck() at test_drain.py:")
    [left] = report.ledger.leftovers()
    assert (left.edge, left.buffered, left.in_hand, left.remaining) == ("numbers.out -> stuck.in", 3, 1, 4)
    assert report.ledger.closes
    assert report.exit_code() == 5


async def test_whoever_was_cut_off_is_named_as_it_was_then(parts: SimpleNamespace) -> None:
    async def hang(self: Any) -> None:
        await anyio.sleep_forever()

    system = together(parts, {"hang": hang}, shutdown_timeout=1000)
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        run = system._run
        assert run is not None
        while system.running:
            run.cut_off()  # a second signal, a third one, a deadline
            await checkpoint()
    assert run.report is not None
    [overrun] = run.report.overruns
    assert overrun.awaiting.startswith("hang() at test_drain.py:")


@pytest.mark.fault("spinning", "A drain, and a clean-up, that wait take no processor time.")
async def test_waiting_for_the_deadline_burns_no_cpu(parts: SimpleNamespace) -> None:
    async def stuck(self: Any) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.6)

    system = together(parts, {"stuck": stuck}, source_grace=0.05, shutdown_timeout=0.1)
    began, cpu = time.monotonic(), time.process_time()
    await stop_once_running(system)
    assert time.process_time() - cpu < (time.monotonic() - began) / 2


async def test_a_spawned_task_that_overruns_is_named_with_its_own_line(parts: SimpleNamespace) -> None:
    async def lingering() -> None:
        await anyio.sleep_forever()

    async def body(self: Any) -> None:
        self.context.spawn(lingering)
        async for _ in self.receive_streams["in"]:
            pass

    bodies = {"numbers": parts.Numbers(count=1), "one": body}
    report = await stop_once_running(together(parts, bodies, "numbers.out -> one.in", shutdown_timeout=0.05))
    assert report.overruns[0].awaiting.startswith("lingering() at test_drain.py:")


@pytest.mark.fault(16)
async def test_a_cycle_of_full_buffers_is_cut_at_the_deadline_and_named(parts: SimpleNamespace) -> None:
    async def double(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            await self.send_streams["out"].send(message)
            await self.send_streams["out"].send(message)

    bodies = {"seed": parts.Numbers(count=1), "a": double, "b": double}
    edges = ("seed.out -> a.in", "a.out -> b.in", "b.out -> a.in")
    system = together(parts, bodies, *edges, buffer_size=2, shutdown_timeout=0.1)
    report = await stop_once_running(system)
    assert {late.component for late in report.overruns} == {"a", "b"}
    assert all("double() at test_drain.py" in late.awaiting for late in report.overruns)
    assert report.ledger.closes
    assert report.ledger.remaining == 6


# --- cycles ------------------------------------------------------------------------------------


def bounce(limit: int, got: list[int]) -> Any:
    """Return a body that sends on each number, one larger, until the limit."""

    async def body(self: Any) -> None:
        async for number in self.receive_streams["in"]:
            got.append(number)
            if number < limit:
                await self.send_streams["out"].send(number + 1)

    return body


async def test_a_ping_pong_with_an_outside_source_ends_by_itself(parts: SimpleNamespace) -> None:
    got: list[int] = []
    bodies = {"seed": parts.Numbers(count=3), "ping": bounce(50, got), "pong": bounce(50, got)}
    edges = ("seed.out -> ping.in", "ping.out -> pong.in", "pong.out -> ping.in")
    with fail_after(30):
        report = await together(parts, bodies, *edges).run()
    assert sorted(got) == sorted([*range(51), *range(1, 51), *range(2, 51)])
    assert report.outcome == "finished"
    assert report.clean


async def test_a_loop_to_itself_ends_by_itself(parts: SimpleNamespace) -> None:
    got: list[int] = []
    bodies = {"seed": parts.Numbers(count=1), "self": bounce(20, got)}
    with fail_after(30):
        report = await together(parts, bodies, "seed.out -> self.in", "self.out -> self.in").run()
    assert got == list(range(21))
    assert report.clean


async def test_a_cycle_that_starts_itself_ends_by_itself(parts: SimpleNamespace) -> None:
    got: list[int] = []

    async def first(self: Any) -> None:
        await self.send_streams["out"].send(1)
        await bounce(30, got)(self)

    with fail_after(30):
        report = await together(
            parts, {"a": first, "b": bounce(30, got)}, "a.out -> b.in", "b.out -> a.in"
        ).run()
    assert got == list(range(1, 31))
    assert report.clean


async def test_two_cycles_that_share_nothing_end_each_by_itself(parts: SimpleNamespace) -> None:
    first: list[int] = []
    second: list[int] = []
    bodies = {
        "s": parts.Numbers("s", 1),
        "a": bounce(10, first),
        "b": bounce(10, first),
        "t": parts.Numbers("t", 1),
        "c": bounce(20, second),
        "d": bounce(20, second),
    }
    edges = ("s.out -> a.in", "a.out -> b.in", "b.out -> a.in")
    others = ("t.out -> c.in", "c.out -> d.in", "d.out -> c.in")
    with fail_after(30):
        await together(parts, bodies, *edges, *others).run()
    assert (first, second) == (list(range(11)), list(range(21)))


async def test_a_cycle_downstream_of_a_cycle_ends_after_it(parts: SimpleNamespace) -> None:
    got: list[int] = []

    async def relay(self: Any) -> None:
        async for number in self.receive_streams["in"]:
            await self.send_streams["down"].send(0)
            if number < 5:
                await self.send_streams["out"].send(number + 1)

    bodies = {"seed": parts.Numbers(count=1), "a": relay, "b": bounce(3, got)}
    edges = ("seed.out -> a.in", "a.out -> a.in", "a.down -> b.in", "b.out -> b.in")
    with fail_after(30):
        report = await together(parts, bodies, *edges).run()
    assert len(got) == 6 * 4
    assert report.clean


@pytest.mark.parametrize("spawned", [False, True])
async def test_a_cycle_of_members_with_two_inputs_ends_by_itself_and_no_word_is_cut_off(
    parts: SimpleNamespace, spawned: bool
) -> None:
    echoes: list[str] = []

    async def fresh(self: Any) -> None:
        async for number in self.receive_streams["in"]:
            await self.send_streams["out"].send(f"{self.name} {number}")
        await self.send_streams["out"].send(f"{self.name} last")  # after the end of the outside input

    async def back(self: Any) -> None:
        async for text in self.receive_streams["back"]:
            if text.count("*") < 3:
                await self.send_streams["out"].send(text + "*")
            else:
                echoes.append(text)

    async def member(self: Any) -> None:
        if spawned:
            self.context.spawn(fresh, self)
            self.context.spawn(back, self)
            return
        async with create_task_group() as group:
            group.start_soon(fresh, self)
            group.start_soon(back, self)

    bodies = {"n": parts.Numbers("n", 2), "a": member, "b": member}
    edges = ("n.out -> a.in", "n.out -> b.in", "a.out -> b.back", "b.out -> a.back")
    with fail_after(30):
        report = await together(parts, bodies, *edges).run()
    assert sorted(echoes) == sorted(f"{name} {what}***" for name in "ab" for what in (0, 1, "last"))
    assert report.clean


async def test_a_spawned_task_keeps_its_cycle_alive(parts: SimpleNamespace) -> None:
    got: list[int] = []
    go = anyio.Event()

    async def later(stream: Any) -> None:
        await go.wait()
        await stream.send(1)

    async def first(self: Any) -> None:
        self.context.spawn(later, self.send_streams["out"])
        await bounce(5, got)(self)

    system = together(parts, {"a": first, "b": bounce(5, got)}, "a.out -> b.in", "b.out -> a.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        assert system.running
        go.set()
        with fail_after(30):
            report = await system.wait()
    assert got == [1, 2, 3, 4, 5]
    assert report.clean


async def test_a_member_blocked_in_a_send_out_of_the_cycle_keeps_it_alive(parts: SimpleNamespace) -> None:
    go_on, got = anyio.Event(), []

    async def chatty(self: Any) -> None:
        async def tell() -> None:
            for number in range(3):
                await self.send_streams["out"].send(number)

        async with create_task_group() as group:
            group.start_soon(tell)
            async for _ in self.receive_streams["loop"]:
                pass

    async def slow(self: Any) -> None:
        await go_on.wait()
        got.extend([message async for message in self.receive_streams["in"]])

    edges = ("a.back -> a.loop", "a.out -> slow.in")
    system = together(parts, {"a": chatty, "slow": slow}, *edges, buffer_size=1)
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.wait_all_tasks_blocked()
        assert system.components["a"].status.is_running
        go_on.set()
        with fail_after(30):
            await system.wait()
    assert got == [0, 1, 2]


async def test_a_member_that_ends_lets_the_rest_of_its_cycle_end(parts: SimpleNamespace) -> None:
    async def once(self: Any) -> None:
        await self.send_streams["out"].send(1)
        self.send_streams["out"].close()

    got: list[int] = []
    system = together(parts, {"a": once, "b": bounce(5, got)}, "a.out -> b.in", "b.out -> a.in")
    with fail_after(30):
        report = await system.run()
    assert got == [1]
    assert report.outcome == "finished"


async def test_a_cycle_drains_when_it_is_stopped(parts: SimpleNamespace) -> None:
    got: list[int] = []
    bodies = {"n": parts.Numbers(), "a": bounce(0, got), "b": bounce(0, got)}
    system = together(parts, bodies, "n.out -> a.in", "a.out -> b.in", "b.out -> a.in", source_grace=0.05)
    async with create_task_group() as group:
        await group.start(system.run)
        while not got:
            await checkpoint()
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert report.clean


async def test_a_cycle_that_feeds_itself_is_cancelled_at_the_deadline_and_reported(
    parts: SimpleNamespace,
) -> None:
    async def endless(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            await checkpoint()
            await self.send_streams["out"].send(message)

    bodies = {"seed": parts.Numbers(count=1), "a": endless, "b": endless}
    edges = ("seed.out -> a.in", "a.out -> b.in", "b.out -> a.in")
    system = together(parts, bodies, *edges, shutdown_timeout=0.1)
    async with create_task_group() as group:
        await group.start(system.run)
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert {late.component for late in report.overruns} == {"a", "b"}
    assert report.ledger.closes
    assert report.ledger.remaining == 1
    assert report.exit_code() == 5


async def test_messages_settled_by_hand_do_not_keep_a_cycle_from_ending(parts: SimpleNamespace) -> None:
    async def holding(self: Any) -> None:
        stream = self.receive_streams["in"]

        async def settle() -> None:
            await checkpoint()
            await anyio.sleep(0.01)
            stream.settle()

        async with create_task_group() as group:
            await stream.receive()
            group.start_soon(settle)
            async for _ in self.receive_streams["loop"]:
                pass

    bodies = {"seed": parts.Numbers(count=1), "a": holding}
    with fail_after(30):
        report = await together(parts, bodies, "seed.out -> a.in", "a.back -> a.loop").run()
    assert report.clean


async def test_a_member_that_closes_its_outside_input_early_lets_its_cycle_end(
    parts: SimpleNamespace,
) -> None:
    async def picky(self: Any) -> None:
        async with self.receive_streams["in"] as stream:
            await self.send_streams["back"].send(await stream.receive())
        async for _ in self.receive_streams["loop"]:
            pass

    bodies = {"seed": parts.Numbers(count=3), "a": picky}
    with fail_after(30):
        report = await together(parts, bodies, "seed.out -> a.in", "a.back -> a.loop").run()
    assert report.outcome == "finished"
    assert dict(report.ledger.dropped) == {"reader_ended": 2}
