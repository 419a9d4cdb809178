"""``stop_timeout``: one component's own deadline, beside the system's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from headrace.edges.yaml_blueprint import parse_blueprint
from headrace.exceptions import BlueprintError, ConfigError
from headrace.runtime.assembly import assemble
from headrace.runtime.system_execution_harness import System


async def stuck(self: Any) -> None:
    """Take two messages, and never come back."""
    await self.receive_streams["in"].receive()
    await self.receive_streams["in"].receive()
    await anyio.sleep_forever()


async def test_who_overruns_its_own_deadline_is_cancelled_and_named_and_the_others_go_on(
    parts: SimpleNamespace,
) -> None:
    go_on, got = anyio.Event(), []

    async def slow(self: Any) -> None:
        async for message in self.receive_streams["in"]:
            await go_on.wait()
            got.append(message)

    system = System()
    system.register_component("numbers", parts.Numbers(count=5))
    system.add("stuck", parts.Acting("stuck", stuck), stop_timeout=0.05)
    system.add("slow", parts.Acting("slow", slow))
    system.connect("numbers.out", "stuck.in")
    system.connect("numbers.out", "slow.in")
    async with create_task_group() as group:
        await group.start(system.run)
        while system.components["stuck"].status.is_running and not system._run._drain.overruns:  # type: ignore[union-attr]
            await checkpoint()
        assert system.components["slow"].status.is_running
        go_on.set()
        with fail_after(30):
            report = await system.wait()
    [late] = report.overruns
    assert (late.component, late.phase, late.deadline) == ("stuck", "process", "stop_timeout")
    assert dict(late.left) == {"numbers.out -> stuck.in": 4}
    assert 0.05 <= late.after < 5
    assert "stuck() at test_stop_timeout.py:" in late.awaiting
    assert str(late).startswith("stuck overran its stop_timeout after 0.0")
    assert got == list(range(5))
    assert report.outcome == "finished"
    assert report.exit_code() == 5
    assert report.ledger.closes


async def test_it_runs_from_the_end_of_the_inputs_and_not_from_the_start(parts: SimpleNamespace) -> None:
    system = System()
    go_on = anyio.Event()

    async def source(self: Any) -> None:
        await self.send_streams["out"].send(1)
        await go_on.wait()

    system.register_component("source", parts.Acting("source", source))
    system.add("sink", parts.Collect(), stop_timeout=0.02)
    system.connect("source.out", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.sleep(0.06)
        assert system.components["sink"].status.is_running
        go_on.set()
        with fail_after(30):
            report = await system.wait()
    assert report.clean


async def test_a_component_that_waits_for_its_second_input_has_its_time_yet(parts: SimpleNamespace) -> None:
    async def both(self: Any) -> None:
        for stream in self.receive_streams.values():
            async for _ in stream:
                pass

    async def patient(self: Any) -> None:
        await self.context.stop_event.wait()

    system = System()
    system.register_component("numbers", parts.Numbers(count=1))
    system.register_component("patient", parts.Acting("patient", patient))
    system.add("both", parts.Acting("both", both), stop_timeout=0.02)
    system.connect("numbers.out", "both.one")
    system.connect("patient.out", "both.two")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.sleep(0.06)
        assert system.components["both"].status.is_running
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    assert report.clean


async def test_for_a_source_it_runs_from_the_stop(parts: SimpleNamespace) -> None:
    release = anyio.Event()

    async def source(self: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await release.wait()

    system = System(source_grace=0.01)
    system.add("source", parts.Acting("source", source), stop_timeout=0.05)
    system.register_component("other", parts.Numbers("other"))
    system.register_component("sink", parts.Collect())
    system.connect("other.out", "sink.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.sleep(0.08)
        assert system.components["source"].status.is_running
        system.request_stop()
        while not system._run._drain.overruns:  # type: ignore[union-attr]
            await checkpoint()
        release.set()
        with fail_after(30):
            await system._run.over.wait()  # type: ignore[union-attr]
    assert system.report is not None
    [late] = system.report.overruns
    assert (late.component, late.deadline) == ("source", "stop_timeout")
    assert late.awaiting.startswith("source() at test_stop_timeout.py:")


async def test_the_deadline_of_the_system_holds_for_it_as_well(parts: SimpleNamespace) -> None:
    system = System(shutdown_timeout=0.05)
    system.register_component("numbers", parts.Numbers(count=5))
    system.add("stuck", parts.Acting("stuck", stuck), stop_timeout=60)
    system.connect("numbers.out", "stuck.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await wait_all_tasks_blocked()
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    [late] = report.overruns
    assert late.deadline == "shutdown_timeout"
    assert dict(late.left) == {"numbers.out -> stuck.in": 4}


async def test_who_does_not_even_go_then_keeps_the_name_of_its_own_deadline(parts: SimpleNamespace) -> None:
    async def stubborn(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            pass
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.3)

    system = System(shutdown_timeout=0.1, source_grace=0.01)
    system.register_component("numbers", parts.Numbers(count=1))
    system.add("stubborn", parts.Acting("stubborn", stubborn), stop_timeout=0.02)
    system.connect("numbers.out", "stubborn.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.sleep(0.05)
        with fail_after(30):
            report = await system.stop()
    assert report is not None
    [late] = report.overruns
    assert late.deadline == "stop_timeout"


async def test_the_time_of_a_pause_does_not_count(parts: SimpleNamespace) -> None:
    system = System()
    sink = parts.Collect()
    system.register_component("numbers", parts.Numbers(count=3))
    system.add("sink", sink, stop_timeout=0.02)
    system.connect("numbers.out", "sink.in")
    async with create_task_group() as group:
        system.components["sink"].setup = lambda: system.pause("sink")
        await group.start(system.run)
        await anyio.sleep(0.1)
        assert sink.status.is_running
        await system.resume()
        with fail_after(30):
            report = await system.wait()
    assert sink.got == [0, 1, 2]
    assert report.clean


async def test_who_swallows_its_cancellation_is_named_with_the_time_since_its_inputs_ended(
    parts: SimpleNamespace,
) -> None:
    async def swallows(self: Any) -> None:
        async for _ in self.receive_streams["in"]:
            pass
        while True:
            try:
                await anyio.sleep_forever()
            except BaseException:
                continue

    system = System()
    body_over = anyio.Event()

    async def source(self: Any) -> None:
        await body_over.wait()

    system.register_component("source", parts.Acting("source", source))
    system.add("swallows", parts.Acting("swallows", swallows), stop_timeout=0.02)
    system.connect("source.out", "swallows.in")
    async with create_task_group() as group:
        await group.start(system.run)
        await anyio.sleep(0.3)
        body_over.set()
        with fail_after(30):
            report = await system.wait()
    [late] = report.overruns
    assert late.after < 0.3
    assert late.deadline == "stop_timeout"
    assert late.awaiting.endswith("which swallows cancellation")


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), "2", True])
def test_what_is_no_time_is_refused(parts: SimpleNamespace, seconds: Any) -> None:
    system = System()
    with pytest.raises(ConfigError, match="stop_timeout must be seconds") as caught:
        system.add("numbers", parts.Numbers, stop_timeout=seconds)
    assert caught.value.field == "stop_timeout"
    assert system.components == {}


async def test_a_component_that_is_replaced_keeps_it(parts: SimpleNamespace) -> None:
    system = System()
    system.add("numbers", parts.Numbers, stop_timeout=2)
    system.replace("numbers", parts.Numbers)
    assert system.wiring.members["numbers"].stop_timeout == 2


def test_replicas_have_it_each(parts: SimpleNamespace) -> None:
    system = System()
    system.add("sink", parts.Collect, replicas=2, stop_timeout=2)
    assert [member.stop_timeout for member in system.wiring.members.values()] == [2, 2]


# --- in a blueprint ------------------------------------------------------------------------------

BLUEPRINT = """
system: s
components:
  rows: {type: csv_source, config: {path: a.csv}, stop_timeout: 1.5s}
  show: {type: console_sink, stop_timeout: 200ms, replicas: 2}
connections: [rows -> show]
"""


def test_a_blueprint_says_it_too_and_is_written_with_it() -> None:
    system = assemble(parse_blueprint(BLUEPRINT, env={})).harness
    found = {name: member.stop_timeout for name, member in system.wiring.members.items()}
    assert found == {"rows": 1.5, "show[0]": 0.2, "show[1]": 0.2}
    again = assemble(parse_blueprint(system.to_yaml(), env={})).harness
    assert {name: member.stop_timeout for name, member in again.wiring.members.items()} == found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("stop_timeout: 0s", "stop_timeout"),
        ("stop_timeout: soon", "stop_timeout"),
        ("stop_timout: 1s", "did you mean 'stop_timeout'"),
    ],
)
def test_a_mistake_in_a_blueprint_is_told_with_its_place(line: str, message: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        parse_blueprint(BLUEPRINT.replace("stop_timeout: 1.5s", line), env={})
    [problem] = caught.value.problems
    assert problem.position.line == 4
    assert message in str(problem)
