"""Life after life on live edges: what a restarted component finds, and what its neighbours see of it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest
from anyio import ClosedResourceError, create_task_group, fail_after
from tests.runtime import worker_parts

from headrace import (
    Backoff,
    HarnessComponent,
    In,
    Out,
    Resource,
    RestartPolicy,
    System,
    SystemFailed,
    component,
)

AT_ONCE = RestartPolicy(backoff=Backoff(0))
OFTEN = RestartPolicy(max_restarts=1_000, backoff=Backoff(0))
Body = Callable[[Any], Awaitable[None]]


class Fragile(HarnessComponent):
    """Sends on what it receives; raises, once each, on what the class is told to."""

    in_: In[int]
    out: Out[int]
    made: ClassVar[list[Fragile]] = []
    fails_on: ClassVar[list[int]] = []

    def __init__(self, name: str, config: Any = None) -> None:
        super().__init__(name, config)
        self.made.append(self)

    async def process(self) -> None:
        async for message in self.in_:
            if message in self.fails_on:
                self.fails_on.remove(message)
                raise ValueError(message)
            await self.out.send(message)


@pytest.fixture
def fragile() -> type[Fragile]:
    """Return a class of its own, whose instances and failures are a test's own."""

    class Own(Fragile):
        made: ClassVar[list[Fragile]] = []
        fails_on: ClassVar[list[int]] = []

    return Own


def chain(parts: SimpleNamespace, middle: Any, count: int = 10, **options: Any) -> tuple[System, Any]:
    """Return numbers -> middle -> sink, and the sink."""
    system = System("chain", buffer_size=2)
    sink = parts.Collect()
    system.register_component("numbers", parts.Numbers(count=count))
    system.add("middle", middle, restart=options.pop("restart", AT_ONCE), **options)
    system.register_component("sink", sink)
    system.connect("numbers", "middle")
    system.connect("middle", "sink")
    return system, sink


def hundred() -> Iterator[int]:
    """Yield 0 to 99."""
    yield from range(100)


# --- one for one -------------------------------------------------------------------------------


@pytest.mark.fault(3)
async def test_a_component_that_crashes_is_made_anew_and_its_message_comes_again(
    parts: SimpleNamespace, fragile: type[Fragile]
) -> None:
    fragile.fails_on[:] = [3, 7]
    system, sink = chain(parts, fragile)
    with fail_after(30):
        report = await system.run()
    assert sink.got == list(range(10))
    assert report.exit_code() == 0
    assert report.ledger.closes
    assert report.ledger.totals.lost == 0
    assert len(fragile.made) == 3
    assert system.components["middle"] is fragile.made[-1]
    status = fragile.made[-1].status
    assert status.error_count == 2
    assert [str(move.error) for move in status.history if move.error] == ["3", "7"]
    states = [move.target.value for move in status.history]
    again = ["error", "stopped", "ready", "running"]
    assert states == ["ready", "running", *again, *again, "stopping", "stopped"]


async def test_a_finished_component_is_set_up_again_with_its_state(parts: SimpleNamespace) -> None:
    lives = 0

    async def body(self: Any) -> None:
        nonlocal lives
        lives += 1
        async for message in self.receive_streams["in"]:
            if message == 4 and lives == 1:
                raise ValueError("four")
            await self.send_streams["out"].send(message)

    system, sink = chain(parts, parts.Acting("middle", body))
    made = system.components["middle"]
    with fail_after(30):
        report = await system.run()
    assert (sink.got, lives) == (list(range(10)), 2)
    assert system.components["middle"] is made
    assert report.exit_code() == 0


async def test_old_handles_refuse_after_a_restart_and_tables_show_the_new_ones(
    parts: SimpleNamespace,
) -> None:
    old: list[Any] = []

    async def body(self: Any) -> None:
        handles = (self.receive_streams["in"], self.send_streams["out"])
        if not old:
            old.extend(handles)
            raise ValueError("at once")
        assert handles[0] is not old[0]
        assert handles[1] is not old[1]
        with pytest.raises(ClosedResourceError):
            await old[0].receive()
        with pytest.raises(ClosedResourceError):
            await old[1].send(1)
        assert system.streams["numbers.out -> middle.in"][1] is handles[0]
        assert system.streams["middle.out -> sink.in"][0] is handles[1]
        info = system.stream_manager.active_streams["middle.out -> sink.in"]
        assert info.send_stream is handles[1]
        old[0].close()
        old[1].close()  # of no consequence
        async for message in handles[0]:
            await handles[1].send(message)

    system, sink = chain(parts, parts.Acting("middle", body))
    with fail_after(30):
        await system.run()
    assert sink.got == list(range(10))


async def test_each_life_has_the_context_variables_of_before_the_first(parts: SimpleNamespace) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="clean")
    seen: list[str] = []

    class Setting(parts.Acting):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            seen.append(f"setup {variable.get()}")
            variable.set("of set-up")
            await super().setup(harness_context)

        async def cleanup(self) -> None:
            seen.append(f"cleanup {variable.get()}")
            await super().cleanup()

    async def body(self: Any) -> None:
        seen.append(f"process {variable.get()}")
        variable.set("dirty")
        if len(seen) < 4:
            raise ValueError("first life")

    system = System()
    system.add("one", Setting("one", body), restart=AT_ONCE)
    with fail_after(30):
        await system.run()
    assert seen == [
        f"{what} clean" for what in ("setup", "process", "cleanup", "setup", "process", "cleanup")
    ]


async def test_a_crash_of_a_spawned_task_is_a_crash_of_its_component(parts: SimpleNamespace) -> None:
    lives = 0

    async def body(self: Any) -> None:
        nonlocal lives
        lives += 1
        if lives == 1:
            self.context.spawn(fail)
            await anyio.sleep_forever()
        async for message in self.receive_streams["in"]:
            await self.send_streams["out"].send(message)

    async def fail() -> None:
        raise ValueError("in a task of its own")

    system, sink = chain(parts, parts.Acting("middle", body))
    with fail_after(30):
        await system.run()
    assert (sink.got, lives) == (list(range(10)), 2)


async def test_a_normal_return_is_no_failure_and_always_restarts_while_there_may_be_messages(
    parts: SimpleNamespace,
) -> None:
    async def one_message(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            await self.send_streams["out"].send(message)
            return

    policy = RestartPolicy("always", max_restarts=100, backoff=Backoff(0))
    system, sink = chain(parts, parts.Acting("middle", one_message), restart=policy)
    with fail_after(30):
        report = await system.run()
    assert sink.got == list(range(10))
    assert report.exit_code() == 0
    assert system.components["middle"].status.error_count == 0

    system, sink = chain(parts, parts.Acting("middle", one_message), restart="failure")
    with fail_after(30):
        report = await system.run()
    assert sink.got == [0]


async def test_a_component_that_always_returns_at_once_is_given_up(parts: SimpleNamespace) -> None:
    async def nothing(self: Any) -> None:
        return

    policy = RestartPolicy("always", max_restarts=3, backoff=Backoff(0))
    system, _ = chain(parts, parts.Acting("middle", nothing), restart=policy)
    with fail_after(30), pytest.raises(SystemFailed, match=r"after 3 restarts .*returns again and again"):
        await system.run()


async def test_a_function_that_crashes_its_component_goes_on_after_a_restart(parts: SimpleNamespace) -> None:
    failing = [3, 3]

    @component(on_error="crash", attempts=1)
    def middle(message: int) -> int:
        if message in failing:
            failing.remove(message)
            raise ValueError(message)
        return message

    system, sink = chain(parts, middle)
    with fail_after(30):
        report = await system.run()
    assert sink.got == [n for n in range(10) if n != 3]
    [letter] = report.dead_letters
    assert (letter.message, letter.attempts) == (3, 1)
    assert report.exit_code(allow_dead=True) == 0


@pytest.mark.parametrize("fuse", [True, False])
async def test_neighbours_in_a_fused_run_do_not_notice_a_restart(parts: SimpleNamespace, fuse: bool) -> None:
    failing = {("a", 11), ("b", 22), ("c", 33), ("b", 44)}

    def stage(name: str) -> Any:
        def work(message: int) -> int:
            if (name, message) in failing:
                failing.remove((name, message))
                raise ValueError(name)
            return message

        return component(on_error="crash", attempts=1, restart=OFTEN)(work)

    system = System("fused", fuse=fuse, buffer_size=5)
    got: list[int] = []
    system.add("numbers", component(hundred))
    for name in "abc":
        system.add(name, stage(name))
    system.add("sink", component(got.append))
    for sender, receiver in ("numbers", "a"), ("a", "b"), ("b", "c"), ("c", "sink"):
        system.connect(sender, receiver)
    with fail_after(30):
        report = await system.run()
    assert failing == set()
    assert got == [n for n in range(100) if n not in (11, 22, 33, 44)]
    assert report.ledger.closes
    assert len(report.dead_letters) == 4
    assert report.ledger.totals.lost == 0


async def test_replicas_are_restarted_each_for_itself(parts: SimpleNamespace, fragile: type[Fragile]) -> None:
    fragile.fails_on[:] = [5]
    system, sink = chain(parts, fragile, replicas=2)
    with fail_after(30):
        await system.run()
    assert sorted(sink.got) == list(range(10))
    statuses = [system.components[f"middle[{n}]"].status for n in (0, 1)]
    assert sorted(status.error_count for status in statuses) == [0, 1]
    assert len(fragile.made) == 3
    assert set(system.wiring.replicas["middle"].component) < set(fragile.made)


async def test_what_a_component_logs_says_which_life_it_is(
    parts: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(self: Any) -> None:
        self.context.logger.warning("at work")
        if self.context.restarts < 2:
            raise ValueError("again")

    system = System()
    system.add("one", parts.Acting("one", body), restart=AT_ONCE)
    with fail_after(30):
        await system.run()
    told = [record for record in caplog.records if record.getMessage() == "at work"]
    assert [getattr(record, "restart", None) for record in told] == [None, 1, 2]


# --- set-up and clean-up between lives -----------------------------------------------------------


async def test_a_set_up_that_fails_at_a_restart_is_one_more_crash(parts: SimpleNamespace) -> None:
    calls: list[str] = []

    class Stubborn(parts.Acting):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            calls.append("setup")
            if len(calls) in (4, 6):
                raise OSError("not yet")
            await super().setup(harness_context)

        async def cleanup(self) -> None:
            calls.append("cleanup")
            await super().cleanup()

    async def body(self: Any) -> None:
        if calls.count("setup") == 1:
            calls.append("crash")
            raise ValueError("first")

    system = System()
    system.add("one", Stubborn("one", body), restart=AT_ONCE)
    with fail_after(30):
        report = await system.run()
    once = ["setup", "cleanup"]
    assert calls == ["setup", "crash", "cleanup", *once, *once, *once]
    assert report.exit_code() == 0
    assert system.components["one"].status.error_count == 3


async def test_a_clean_up_that_fails_between_lives_is_named_and_does_not_stop_the_restart(
    parts: SimpleNamespace,
) -> None:
    class Messy(parts.Acting):  # type: ignore[misc]
        cleanups = 0

        async def cleanup(self) -> None:
            self.cleanups += 1
            if self.cleanups == 1:
                raise OSError("cannot tidy up")
            await super().cleanup()

    async def body(self: Any) -> None:
        if not self.cleanups:
            raise ValueError("first")

    system = System()
    system.add("one", Messy("one", body), restart=AT_ONCE)
    with fail_after(30):
        report = await system.run()
    assert report.exit_code() == 0
    [again] = report.restarts
    assert (again.component, again.restarts) == ("one", 1)
    assert again.troubles == ("one failed in cleanup: OSError cannot tidy up",)


async def test_a_clean_up_that_hangs_between_lives_is_cut_off_and_named(parts: SimpleNamespace) -> None:
    class Hanging(parts.Acting):  # type: ignore[misc]
        cleanups = 0

        async def cleanup(self) -> None:
            self.cleanups += 1
            if self.cleanups == 1:
                await anyio.sleep_forever()
            await super().cleanup()

    async def body(self: Any) -> None:
        if not self.cleanups:
            raise ValueError("first")

    system = System(cleanup_timeout=0.05)
    system.add("one", Hanging("one", body), restart=AT_ONCE)
    with fail_after(30):
        report = await system.run()
    assert (report.exit_code(), report.overruns) == (0, ())
    [trouble] = report.restarts[0].troubles
    assert trouble.startswith("one overran its cleanup after 0.")
    assert "cleanup() at test_restarting.py:" in trouble


async def test_each_life_gets_resources_a_context_and_its_optional_ports_anew(parts: SimpleNamespace) -> None:
    seen: list[Any] = []

    class Asking(HarnessComponent):
        in_: In[int]
        side: In[int] | None
        db: Resource[dict[str, int]]

        async def process(self) -> None:
            seen.append((id(self), self.side, self.db["opened"], self.context.resources["db"] is self.db))
            seen.append(id(self.context))
            async for _ in self.in_:
                if len(seen) < 4:
                    raise ValueError("first")

    @contextlib.contextmanager
    def database() -> Iterator[dict[str, int]]:
        opened.append(1)
        yield {"opened": len(opened)}

    opened: list[int] = []
    system = System()
    system.resource("db", database)
    system.register_component("numbers", parts.Numbers(count=3))
    made = system.add("one", Asking, restart=AT_ONCE)
    system.connect("numbers", "one.in")
    first = made.component  # type: ignore[attr-defined]
    with fail_after(30):
        report = await system.run()
    assert report.exit_code() == 0
    (one, *rest), before, (other, *again), after = seen
    assert rest == again == [None, 1, True]
    assert before != after
    assert made.component is system.components["one"] is not first  # type: ignore[attr-defined]
    assert one == id(first)
    assert other == id(system.components["one"])


# --- giving up ---------------------------------------------------------------------------------


@pytest.mark.fault(4)
async def test_a_restart_storm_escalates_with_the_first_error_first(parts: SimpleNamespace) -> None:
    errors = iter(range(100))

    async def storm(self: Any) -> None:
        raise ValueError(f"error {next(errors)}")

    system, _ = chain(
        parts, parts.Acting("middle", storm), restart=RestartPolicy(max_restarts=3, backoff=Backoff(0))
    )
    with fail_after(30), pytest.raises(SystemFailed) as caught:
        await system.run()
    error = caught.value
    assert str(error) == (
        "chain: middle failed in process after 3 restarts within 60 s: ValueError error 0 (and 1 more)"
    )
    assert str(error.__cause__) == "error 0"
    assert [str(one) for one in error.errors] == ["error 0", "error 3"]
    assert error.report.exit_code() == 1
    assert error.report.ledger.closes


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.fault(13)
async def test_what_is_no_exception_is_never_restarted(
    parts: SimpleNamespace, error: type[BaseException]
) -> None:
    lives = 0

    async def body(self: Any) -> None:
        nonlocal lives
        lives += 1
        raise error

    system, _ = chain(parts, parts.Acting("middle", body))
    with fail_after(30), pytest.raises(error):
        await system.run()
    assert lives == 1
    assert system.report is not None
    assert system.report.exit_code() == 1
    assert system.report.ledger.closes


async def test_a_message_in_hand_of_a_port_that_was_closed_dies_with_the_life(parts: SimpleNamespace) -> None:
    lives = 0

    async def body(self: Any) -> None:
        nonlocal lives
        lives += 1
        if lives == 1:
            await self.receive_streams["in"].receive()
            self.receive_streams["in"].close()
            raise ValueError("closed before")
        with pytest.raises(ClosedResourceError):
            await self.receive_streams["in"].receive()

    system, _ = chain(parts, parts.Acting("middle", body))
    with fail_after(30):
        report = await system.run()
    assert lives == 2
    assert [letter.message for letter in report.dead_letters] == [0]
    assert report.ledger.closes


# --- poison ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "tries"),
    [({}, 3), ({"attempts": 2}, 2), ({"attempts": 1}, 1), ({"attempts": 9}, 5)],
)
@pytest.mark.fault(17)
async def test_a_poison_message_is_tried_as_often_as_said_and_the_system_goes_on(
    parts: SimpleNamespace, options: dict[str, int], tries: int
) -> None:
    tried: list[int] = []

    class Poisoned(HarnessComponent):
        in_: In[int]
        out: Out[int]

        async def process(self) -> None:
            async for message in self.in_:
                if message == 4:
                    tried.append(message)
                    raise ValueError("poison")
                await self.out.send(message)

    system, sink = chain(parts, Poisoned, **options)
    with fail_after(30):
        report = await system.run()
    assert len(tried) == tries
    [letter] = report.dead_letters
    assert (letter.component, letter.message, letter.attempts) == ("middle", 4, tries)
    assert (letter.edge, str(letter.error)) == ("numbers.out -> middle.in", "poison")
    assert 'raise ValueError("poison")' in letter.traceback
    assert sink.got == [n for n in range(10) if n != 4]
    assert (report.exit_code(), report.exit_code(allow_dead=True)) == (4, 0)
    assert report.ledger.closes
    [restarts] = report.restarts
    assert (restarts.restarts, restarts.redelivered) == (tries, tries - 1)
    assert restarts.last_error == "ValueError poison"


@pytest.mark.parametrize("on_error", ["drop", "reject"])
async def test_on_error_says_what_becomes_of_poison(parts: SimpleNamespace, on_error: Any) -> None:
    class Poisoned(HarnessComponent):
        in_: In[int]
        out: Out[int]
        rejected: Out[Any]

        async def process(self) -> None:
            async for message in self.in_:
                if message == 4:
                    raise ValueError("poison")
                await self.out.send(message)

    system, sink = chain(parts, Poisoned, on_error=on_error)
    bad = parts.Collect()
    system.register_component("bad", bad)
    system.connect("middle.rejected", "bad")
    with fail_after(30):
        report = await system.run()
    assert sink.got == [n for n in range(10) if n != 4]
    assert report.dead_letters == ()
    assert report.ledger.closes
    if on_error == "drop":
        assert report.ledger.dropped == {"on_error": 1}
    else:
        assert [(one.message, one.reason) for one in bad.got] == [(4, "ValueError: poison")]
        assert report.ledger.totals.rejected == 1


async def test_of_a_batch_in_hand_only_the_poison_dies(parts: SimpleNamespace) -> None:
    class Batching(HarnessComponent):
        in_: In[int]
        out: Out[int]

        async def process(self) -> None:
            async for messages in self.in_.batch(5, within=0.05):
                if 7 in messages:
                    raise ValueError("poison")
                await self.out.send_many(messages)

    policy = RestartPolicy(max_restarts=50, backoff=Backoff(0))
    system, sink = chain(parts, Batching, restart=policy)
    with fail_after(30):
        report = await system.run()
    assert sink.got == [n for n in range(10) if n != 7]
    assert [letter.message for letter in report.dead_letters] == [7]


# --- stopped meanwhile ---------------------------------------------------------------------------


async def until(system: System, name: str, restarts: int = 1) -> None:
    """Wait until a component is between two lives, in its pause."""
    while system.statistics().components[name].next_restart_in is None:
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("crashes", [1, 2])
async def test_a_drain_does_not_wait_for_the_pause_and_what_is_buffered_gets_through(
    parts: SimpleNamespace, fragile: type[Fragile], crashes: int
) -> None:
    fragile.fails_on[:] = [3] * crashes
    system, sink = chain(parts, fragile, count=None, restart=RestartPolicy(backoff=Backoff(1_000, 1_000)))
    with fail_after(30):
        async with create_task_group() as tasks:
            tasks.start_soon(system.run)
            await until(system, "middle")
            report = await system.stop()
    assert report is not None
    assert report.exit_code() == 0
    assert report.overruns == ()
    assert sink.got == list(range(len(sink.got)))
    assert len(sink.got) >= 5, "what was buffered got through"
    assert report.ledger.totals.lost == 0


async def test_a_source_between_two_lives_is_not_started_again_for_a_drain(parts: SimpleNamespace) -> None:
    lives = 0

    async def body(self: Any) -> None:
        nonlocal lives
        lives += 1
        raise ValueError("a source")

    system = System()
    system.add("source", parts.Acting("source", body), restart=RestartPolicy(backoff=Backoff(1_000, 1_000)))
    with fail_after(30):
        async with create_task_group() as tasks:
            tasks.start_soon(system.run)
            await until(system, "source")
            report = await system.stop()
    assert report is not None
    assert (report.exit_code(), report.failures, lives) == (0, (), 1)
    assert system.components["source"].status.state == "stopped"


async def test_a_set_up_that_hangs_at_a_restart_is_cut_off_at_the_drains_deadline(
    parts: SimpleNamespace,
) -> None:
    hanging = anyio.Event()

    class Hanging(parts.Acting):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            if self.status.error_count:
                hanging.set()
                await anyio.sleep_forever()
            await super().setup(harness_context)

    async def body(self: Any) -> None:
        await self.receive_streams["in"].receive()
        raise ValueError("first")

    system = System(shutdown_timeout=0.2, source_grace=0.01)
    system.register_component("numbers", parts.Numbers())
    system.add("middle", Hanging("middle", body), restart=AT_ONCE)
    system.connect("numbers", "middle")
    with fail_after(30):
        async with create_task_group() as tasks:
            tasks.start_soon(system.run)
            await hanging.wait()
            report = await system.stop()
    assert report is not None
    [overrun] = [one for one in report.overruns if one.component == "middle"]
    assert "anyio.sleep_forever()" in overrun.awaiting or "setup()" in overrun.awaiting
    assert report.exit_code() == 5
    assert report.ledger.closes
    assert report.ledger.remaining > 0


@pytest.mark.parametrize("when", ["pause", "setup"])
async def test_a_run_that_is_cancelled_between_two_lives_ends_at_once(
    parts: SimpleNamespace, when: str
) -> None:
    reached = anyio.Event()

    class Hanging(parts.Acting):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            if self.status.error_count:
                reached.set()
                await anyio.sleep_forever()
            await super().setup(harness_context)

    async def body(self: Any) -> None:
        raise ValueError("first")

    pause = 1_000 if when == "pause" else 0
    system = System()
    system.add("one", Hanging("one", body), restart=RestartPolicy(backoff=Backoff(pause, 1_000)))
    with fail_after(30):
        async with create_task_group() as tasks:
            tasks.start_soon(system.run)
            await (until(system, "one") if when == "pause" else reached.wait())
            tasks.cancel_scope.cancel()
    assert system.report is not None
    assert system.report.outcome == "cancelled"
    assert system.report.ledger.closes
    assert not system.running


# --- functions ---------------------------------------------------------------------------------


def crash(system: System, name: str) -> None:
    """Let a task of a component fail at its next turn."""

    async def fail() -> None:
        raise ValueError("beside it")

    assert system._run is not None
    system._run.supervised[name].spawn(fail)


@pytest.mark.parametrize("options", [{}, {"concurrency": 3}, {"concurrency": 3, "ordered": False}])
@pytest.mark.parametrize("is_slow", [True, False])
async def test_a_function_whose_component_crashes_at_any_wait_loses_and_duplicates_nothing(
    options: dict[str, Any], is_slow: bool
) -> None:
    calls = 0
    got: list[int] = []

    async def work(message: int) -> int:
        nonlocal calls
        calls += 1
        if calls % 7 == 0:
            crash(system, "work")
        for _ in range(message % 4 if is_slow else 0):
            await anyio.lowlevel.checkpoint()
        return message

    system = System(buffer_size=4)
    system.add("numbers", component(hundred))
    system.add("work", component(**options)(work), restart=OFTEN)
    system.add("sink", component(got.append))
    system.connect("numbers", "work")
    system.connect("work", "sink")
    with fail_after(30):
        report = await system.run()
    if options.get("ordered", True):
        assert got == list(range(100))
    assert sorted(got) == list(range(100))
    assert report.ledger.closes
    assert report.dead_letters == ()
    [restarts] = report.restarts
    assert restarts.restarts >= 5
    assert restarts.redelivered >= is_slow
    assert restarts.state_lost == ""


async def test_a_worker_process_that_dies_is_started_again_with_its_component(tmp_path: Path) -> None:
    got: list[int] = []
    system = System()
    system.add("numbers", component(hundred))
    system.add("work", worker_parts.exit_once, path=str(tmp_path / "died"), restart=AT_ONCE, run_in="process")
    system.add("sink", component(got.append))
    system.connect("numbers", "work")
    system.connect("work", "sink")
    with fail_after(60):
        report = await system.run()
    assert got == list(range(100))
    assert [one.restarts for one in report.restarts] == [1]
    assert report.exit_code() == 0


async def test_threads_are_started_again_with_their_component() -> None:
    got: list[int] = []

    def work(message: int) -> int:
        if message == 50:
            raise ValueError("fifty")
        return message

    system = System()
    system.add("numbers", component(hundred))
    system.add("work", component(run_in="thread", on_error="crash", attempts=1)(work), restart=AT_ONCE)
    system.add("sink", component(got.append))
    system.connect("numbers", "work")
    system.connect("work", "sink")
    with fail_after(60):
        report = await system.run()
    assert got == [n for n in range(100) if n != 50]
    assert [letter.message for letter in report.dead_letters] == [50]
    assert [one.restarts for one in report.restarts] == [1]


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_in_a_fused_run_what_is_no_exception_is_blamed_on_the_function_that_raised_it(
    error: type[BaseException], fuse: bool
) -> None:
    got: list[int] = []

    def fail(message: int) -> int:
        if message == 40:
            raise error
        return message

    system = System("fused", fuse=fuse, restart=AT_ONCE)
    system.add("numbers", component(hundred))
    system.add("before", component(lambda message: message))
    system.add("fails", component(on_error="crash", attempts=1)(fail))
    system.add("sink", component(got.append))
    for sender, receiver in ("numbers", "before"), ("before", "fails"), ("fails", "sink"):
        system.connect(sender, receiver)
    with fail_after(30), pytest.raises(error):
        await system.run()
    report = system.report
    assert report is not None
    assert [failure.component for failure in report.failures] == ["fails"]
    assert [(letter.component, letter.message) for letter in report.dead_letters] == [("fails", 40)]
    assert (got, report.restarts, report.exit_code()) == (list(range(40)), (), 1)
    assert report.ledger.closes


# --- past the deadline -----------------------------------------------------------------------------


async def test_what_crashes_when_it_is_cut_off_is_not_started_again(parts: SimpleNamespace) -> None:
    lives = 0

    async def body(self: Any) -> None:
        nonlocal lives
        lives += 1
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("cut off")

    system = System(shutdown_timeout=0.1, source_grace=0.01)
    system.register_component("numbers", parts.Numbers())
    system.add("middle", parts.Acting("middle", body), restart=AT_ONCE)
    system.connect("numbers", "middle")
    with fail_after(30), pytest.raises(SystemFailed, match="middle failed in process: ValueError cut off"):
        async with system:
            await system.stop()
    assert lives == 1
    assert system.report is not None
    assert system.report.ledger.closes


async def test_a_life_that_had_to_be_made_to_end_does_not_count_against_the_next(
    parts: SimpleNamespace,
) -> None:
    lives = 0

    async def body(self: Any) -> None:
        nonlocal lives
        lives += 1
        if lives > 1:
            return
        self.context.spawn(fail)
        while True:
            with contextlib.suppress(BaseException):
                await anyio.sleep_forever()

    async def fail() -> None:
        raise ValueError("beside one that swallows its cancellation")

    system = System()
    system.add("one", parts.Acting("one", body), restart=AT_ONCE)
    with fail_after(30):
        report = await system.run()
    assert (report.exit_code(), report.overruns, lives) == (0, (), 2)
