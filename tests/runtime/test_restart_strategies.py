"""Who is restarted with a component that crashed, in what order, and what that costs nobody."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import fail_after

from headrace import (
    Backoff,
    HarnessComponent,
    In,
    Out,
    RestartPolicy,
    System,
    SystemFailed,
    component,
)
from headrace.components import Aggregate

AT_ONCE = RestartPolicy(backoff=Backoff(0))


class Logged(HarnessComponent):
    """Passes on what it receives, tells its life to a list, and crashes once where it is told to."""

    in_: In[int]
    out: Out[int]

    @property
    def log(self) -> list[str]:
        """What was told."""
        log: list[str] = self.config["log"]
        return log

    async def setup(self, harness_context: Any = None) -> None:
        await super().setup(harness_context)
        self.log.append(f"setup {self.name}")

    async def cleanup(self) -> None:
        self.log.append(f"cleanup {self.name}")
        await super().cleanup()

    async def process(self) -> None:
        self.log.append(f"run {self.name}")
        async for message in self.in_:
            if self.config["crash"].get(self.name) == message:
                del self.config["crash"][self.name]
                self.log.append(f"crash {self.name}")
                raise ValueError(self.name)
            await self.out.send(message)


def chain(
    parts: SimpleNamespace, strategy: Any, crash: dict[str, int], **policies: Any
) -> tuple[System, list[str], Any]:
    """Return numbers -> a -> b -> c -> sink, what it tells, and the sink."""
    log: list[str] = []
    system = System("chain", buffer_size=3, strategy=strategy)
    numbers, sink = parts.Numbers(count=50), parts.Collect()
    system.register_component("numbers", numbers)
    for name in "abc":
        policy = policies.get(name, AT_ONCE)
        system.add(name, Logged, {"log": log, "crash": crash}, restart=policy)
    system.register_component("sink", sink)
    for sender, receiver in ("numbers", "a"), ("a", "b"), ("b", "c"), ("c", "sink"):
        system.connect(sender, receiver)
    return system, log, sink


FIRST = ["setup c", "setup b", "setup a", "run c", "run b", "run a"]
LAST = ["cleanup a", "cleanup b", "cleanup c"]


@pytest.mark.parametrize(
    ("strategy", "between"),
    [
        ("one_for_one", ["crash b", "cleanup b", "setup b", "run b"]),
        ("rest_for_one", ["crash b", "cleanup b", "cleanup c", "setup c", "setup b", "run c", "run b"]),
        (
            "one_for_all",
            ["crash b", *LAST, "setup c", "setup b", "setup a", "run c", "run b", "run a"],
        ),
    ],
)
async def test_those_that_a_strategy_adds_end_upstream_first_and_begin_downstream_first(
    parts: SimpleNamespace, strategy: Any, between: list[str]
) -> None:
    system, log, sink = chain(parts, strategy, {"b": 20})
    with fail_after(30):
        report = await system.run()
    assert log == [*FIRST, *between, *LAST]
    assert report.exit_code() == 0
    assert report.ledger.closes
    assert report.ledger.totals.lost == 0
    assert (
        sorted(set(sink.got)) == list(range(50))
        if strategy != "one_for_all"
        else set(sink.got) >= set(range(50))
    )
    counted = sum(one.redelivered for one in report.restarts)
    assert len(sink.got) <= 50 + counted + (50 if strategy == "one_for_all" else 0)


async def test_who_is_restarted_with_another_is_not_counted_as_having_crashed(parts: SimpleNamespace) -> None:
    system, _, _ = chain(parts, "rest_for_one", {"b": 20})
    with fail_after(30):
        report = await system.run()
    assert {one.component: one.restarts for one in report.restarts} == {"b": 1, "c": 1, "sink": 1}
    assert {name: part.status.error_count for name, part in system.components.items()} == {
        "numbers": 0,
        "a": 0,
        "b": 1,
        "c": 0,
        "sink": 0,
    }


async def test_two_crashes_at_once_are_restarted_one_group_after_the_other(parts: SimpleNamespace) -> None:
    system, log, sink = chain(parts, "rest_for_one", {"a": 20, "b": 18, "c": 17})
    with fail_after(30):
        report = await system.run()
    assert {word for word in log if word.startswith("crash")} == {"crash c", "crash b", "crash a"}
    assert set(sink.got) == set(range(50))
    assert report.exit_code() == 0
    assert report.ledger.totals.lost == 0


async def test_a_component_that_is_never_restarted_takes_the_system_down_under_any_strategy(
    parts: SimpleNamespace,
) -> None:
    system, log, sink = chain(parts, "one_for_all", {"b": 20}, b="never")
    with fail_after(30), pytest.raises(SystemFailed, match="b failed in process: ValueError b"):
        await system.run()
    assert log.count("setup a") == 1
    assert sink.got == list(range(20))


async def test_a_member_of_a_group_whose_set_up_fails_for_good_takes_the_system_down_and_the_rest_drains(
    parts: SimpleNamespace,
) -> None:
    system, log, _ = chain(
        parts, "rest_for_one", {"b": 20}, c=RestartPolicy(max_restarts=2, backoff=Backoff(0))
    )
    made = system.components["c"]

    async def fail(self: Any, harness_context: Any = None) -> None:
        if log.count("setup c"):
            raise OSError("cannot come back")
        await HarnessComponent.setup(self, harness_context)
        log.append("setup c")

    class Own(type(made)):  # type: ignore[misc]
        setup = fail

    system.replace("c", Own, {"log": log, "crash": {}})
    with fail_after(30), pytest.raises(SystemFailed) as caught:
        await system.run()
    assert str(caught.value).startswith("chain: c failed in setup after 2 restarts within 60 s: OSError")
    assert caught.value.report.ledger.closes
    assert caught.value.report.exit_code() == 1


# --- what is lost with a life ----------------------------------------------------------------------


async def run_with_totals(parts: SimpleNamespace, totals: Any, **options: Any) -> Any:
    """Run numbers -> totals with a restart in between; return the report."""
    system = System("totals")
    system.register_component("numbers", parts.Numbers(count=10))
    system.add("totals", totals, restart=AT_ONCE, **options)
    system.connect("numbers", "totals")
    with fail_after(30):
        return await system.run()


def counting(*, says: bool | None, crash_on: int = 5) -> type[HarnessComponent]:
    """Return a class that counts in an attribute, and crashes once."""
    crashed: list[int] = []

    class Counting(HarnessComponent):
        in_: In[int]
        accumulates = says

        def __init__(self, name: str, config: Any = None) -> None:
            super().__init__(name, config)
            self.total = 0
            self.seen: list[int] = []

        async def process(self) -> None:
            async for message in self.in_:
                if message == crash_on and not crashed:
                    crashed.append(message)
                    raise ValueError(message)
                self.total += message
                self.seen.append(message)

    return Counting


async def test_a_component_that_accumulates_says_what_is_lost_and_the_run_does_not_claim_otherwise(
    parts: SimpleNamespace,
) -> None:
    report = await run_with_totals(parts, counting(says=True))
    [one] = report.restarts
    assert one.state_lost == "what it had gathered from 5 messages"
    assert "lost 0 (state of totals lost)" in report.summary()
    assert report.exit_code() == 3
    assert not report.clean


async def test_numbers_and_collections_among_the_attributes_tell_where_a_class_says_nothing(
    parts: SimpleNamespace,
) -> None:
    report = await run_with_totals(parts, counting(says=None))
    assert report.restarts[0].state_lost == "total, seen"
    assert report.exit_code() == 3
    report = await run_with_totals(parts, counting(says=False))
    assert report.restarts[0].state_lost == ""
    assert (report.exit_code(), "state" in report.summary()) == (0, False)


async def test_that_holds_for_one_that_looks_at_its_own_attributes_too(parts: SimpleNamespace) -> None:
    class Looking(counting(says=None)):  # type: ignore[misc]
        def __init__(self, name: str, config: Any = None) -> None:
            super().__init__(name, config)
            self.limit = 1
            assert vars(self)["limit"] == 1  # CPython keeps its attributes in a dict from now on

    report = await run_with_totals(parts, Looking)
    assert report.restarts[0].state_lost == "total, seen"


async def test_a_crash_before_anything_was_gathered_loses_nothing(parts: SimpleNamespace) -> None:
    for says in (True, None):
        report = await run_with_totals(parts, counting(says=says, crash_on=0))
        assert (report.restarts[0].state_lost, report.exit_code()) == ("", 0)


async def test_a_finished_component_keeps_its_attributes(parts: SimpleNamespace) -> None:
    made = counting(says=None)("totals")
    report = await run_with_totals(parts, made)
    assert (report.restarts[0].state_lost, report.exit_code()) == ("", 0)
    assert made.total == sum(range(10))  # type: ignore[attr-defined]


async def test_the_standard_accumulators_declare_it(parts: SimpleNamespace) -> None:
    from headrace.components import ConsoleSink, Join

    assert Aggregate.accumulates is True
    assert Join.accumulates is True
    assert ConsoleSink("c", {"format": "table"}).accumulates is True
    assert ConsoleSink("c", {"format": "json"}).accumulates is False


async def test_a_source_that_is_made_anew_is_said_to_begin_again(parts: SimpleNamespace) -> None:
    lives: list[int] = []

    class Source(HarnessComponent):
        out: Out[int]

        async def process(self) -> None:
            lives.append(1)
            for number in range(3):
                await self.out.send(number)
            if len(lives) == 1:
                raise ValueError("at the end")

    system = System("source")
    sink = parts.Collect()
    system.add("source", Source, restart=AT_ONCE)
    system.register_component("sink", sink)
    system.connect("source", "sink")
    with fail_after(30):
        report = await system.run()
    assert sink.got == [0, 1, 2, 0, 1, 2]
    assert report.restarts[0].from_the_start


# --- the pause -------------------------------------------------------------------------------------


async def test_pauses_double_in_virtual_time() -> None:
    import trio
    from trio.testing import MockClock

    began: list[float] = []

    class Failing(HarnessComponent):
        async def process(self) -> None:
            began.append(anyio.current_time())
            raise ValueError("again")

    async def main() -> None:
        system = System("pauses")
        policy = RestartPolicy(max_restarts=8, backoff=Backoff(1, 30, jitter=0))
        system.add("one", Failing, restart=policy)
        with pytest.raises(SystemFailed, match="after 8 restarts"):
            await system.run()

    await anyio.to_thread.run_sync(lambda: trio.run(main, clock=MockClock(autojump_threshold=0)))
    gaps = [round(after - before) for before, after in pairwise(began)]
    assert gaps == [1, 2, 4, 8, 16, 30, 30, 30]


# --- in the middle of a group ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deadline", "cancelled"])
async def test_a_group_that_waits_for_one_that_does_not_end_is_cut_off_with_each_judged_once(
    parts: SimpleNamespace, how: str
) -> None:
    insisting = anyio.Event()

    async def insist(self: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                insisting.set()
                await anyio.sleep(0.3)

    system = System(strategy="one_for_all", shutdown_timeout=0.05, source_grace=0.01, restart=AT_ONCE)
    system.register_component("numbers", parts.Numbers(count=1))

    async def crash(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            raise ValueError("crash")

    system.add("crash", parts.Acting("crash", crash))
    system.add("insist", parts.Acting("insist", insist))
    system.connect("numbers", "crash")
    system.connect("numbers", "insist")
    with fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(system.run)
            await insisting.wait()
            if how == "cancelled":
                tasks.cancel_scope.cancel()
            else:
                late = system.statistics().components["insist"].waiting_for
                assert late is not None
                report = await system.stop()
                assert report is not None
                assert {one.component for one in report.overruns} == {"crash", "insist"}
    run = system._last
    assert run is not None
    assert run._alive == 0, "each was judged once"
    assert system.report is not None
    assert system.report.ledger.closes


async def test_a_constructor_that_fails_at_a_restart_is_one_more_failure(parts: SimpleNamespace) -> None:
    made: list[int] = []

    class Picky(HarnessComponent):
        def __init__(self, name: str, config: Any = None) -> None:
            super().__init__(name, config)
            made.append(1)
            if len(made) in (2, 3):
                raise OSError("not now")

        async def process(self) -> None:
            if len(made) == 1:
                raise ValueError("first")

    system = System()
    system.add("one", Picky, restart=AT_ONCE)
    with fail_after(30):
        report = await system.run()
    assert (len(made), report.exit_code()) == (4, 0)
    status = system.components["one"].status
    assert [str(move.error) for move in status.history if move.error] == ["first", "not now", "not now"]


async def test_time_that_a_component_ran_counts_when_its_life_is_ended_for_others() -> None:
    from headrace.model.restart_policy import RestartCounter

    now = [0.0]
    counter = RestartCounter(
        RestartPolicy(max_restarts=1, within=10), clock=lambda: now[0], random=lambda: 0.0
    )
    counter.began()
    counter.ended(failed=True)
    counter.began()
    now[0] = 20.0
    counter.interrupted()
    now[0] = 1_000.0
    counter.began()
    assert type(counter.ended(failed=True)).__name__ == "Restart"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_a_constructor_that_wants_to_exit_is_given_up_with_its_error(
    error: type[BaseException],
) -> None:
    made: list[int] = []

    class Leaving(HarnessComponent):
        def __init__(self, name: str, config: Any = None) -> None:
            super().__init__(name, config)
            made.append(1)
            if len(made) > 1:
                raise error

        async def process(self) -> None:
            raise ValueError("first")

    system = System()
    system.add("one", Leaving, restart=AT_ONCE)
    with fail_after(30), pytest.raises(error):
        await system.run()
    assert system.report is not None
    assert [type(failure.error) for failure in system.report.failures] == [error]
    assert system.report.exit_code() == 1
    assert len(made) == 2


async def test_a_generator_that_crashes_begins_again_and_the_report_says_so(parts: SimpleNamespace) -> None:
    lives: list[int] = []

    def source() -> Iterator[int]:
        lives.append(1)
        yield from (1, 2)
        if len(lives) == 1:
            raise ValueError("at the end")

    system, sink = System(), parts.Collect()
    system.add("source", component(source), restart=AT_ONCE)
    system.register_component("sink", sink)
    system.connect("source", "sink")
    with fail_after(30):
        report = await system.run()
    assert sink.got == [1, 2, 1, 2]
    assert report.restarts[0].from_the_start
