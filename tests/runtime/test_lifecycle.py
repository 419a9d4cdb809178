"""Set-up and clean-up: their order, their errors, their deadlines."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, get_cancelled_exc_class, to_thread
from anyio.lowlevel import checkpoint

from headrace.authoring.context import Context
from headrace.exceptions import CleanupFailed, SetupFailed, SystemFailed
from headrace.model.component_status import ComponentState
from headrace.runtime.system_execution_harness import System


class Noted:
    """Writes down what happens to it; ends at once."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    async def setup(self) -> None:
        self.notes.append(f"set up {self.name}")
        await checkpoint()
        await self.after_setup()

    async def after_setup(self) -> None:
        """Do nothing more."""

    async def process(self) -> None:
        self.notes.append(f"start {self.name}")

    async def cleanup(self) -> None:
        self.notes.append(f"clean {self.name}")
        await checkpoint()
        await self.after_cleanup()

    async def after_cleanup(self) -> None:
        """Do nothing more."""


def chain(notes: list[str], *classes: type[Noted]) -> System:
    """Return a system of a -> b -> c, with the given classes for them."""
    system = System("chain", setup_timeout=0.2, cleanup_timeout=0.2)
    names = "abc"[: len(classes)]
    for name, cls in zip(names, classes, strict=True):
        system.register_component(name, cls(name, notes))
    for sender, receiver in itertools.pairwise(names):
        system.connect(f"{sender}.out", f"{receiver}.in")
    return system


# --- order -------------------------------------------------------------------------------------


async def test_set_up_and_start_go_downstream_first_and_clean_up_the_other_way_round() -> None:
    notes: list[str] = []
    await chain(notes, Noted, Noted, Noted).run()
    assert notes == [
        *("set up c", "set up b", "set up a"),
        *("start c", "start b", "start a"),
        *("clean a", "clean b", "clean c"),
    ]


async def test_within_a_layer_the_order_is_that_of_registration_on_both_backends() -> None:
    notes: list[str] = []
    system = System()
    for name in "abcdef":
        system.register_component(name, Noted(name, notes))
    await system.run()
    assert [note[-1] for note in notes] == [*"abcdef", *"abcdef", *"fedcba"]


async def test_a_layer_is_set_up_concurrently() -> None:
    met = [anyio.Event(), anyio.Event()]

    class Meeting(Noted):
        async def after_setup(self) -> None:
            number = int(self.name)
            met[number].set()
            await met[1 - number].wait()

    system = System(setup_timeout=1000)
    system.register_component("0", Meeting("0", []))
    system.register_component("1", Meeting("1", []))
    with fail_after(30):
        assert (await system.run()).outcome == "finished"


async def test_port_dictionaries_are_filled_before_set_up_anew_at_each_run(parts: SimpleNamespace) -> None:
    seen: list[Any] = []

    class Looking(parts.Numbers):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            self.sent = 0
            seen.append(self.send_streams["out"])
            await super().setup(harness_context)

        async def cleanup(self) -> None:
            await super().cleanup()
            self.send_streams.clear()

    system = System()
    system.register_component("numbers", Looking(count=2))
    system.register_component("sink", parts.Collect())
    system.connect("numbers.out", "sink.in")
    await system.run()
    report = await system.run()
    assert report.ledger.totals.given_out == 2
    assert seen[0] is not seen[1]


# --- what set-up is given ----------------------------------------------------------------------


async def test_set_up_gets_a_context_that_is_a_mapping(parts: SimpleNamespace) -> None:
    given: list[Any] = []

    class Curious(parts.Stranger):  # type: ignore[misc]
        config = {"unit": "C"}  # noqa: RUF012

        async def setup(self, harness_context: Any = None) -> None:
            given.append(harness_context)

    system = System("iot")
    system.register_component("curious", Curious())
    await system.run()
    context = given[0]
    assert isinstance(context, Mapping)
    assert isinstance(context, Context)
    assert context["name"] == "curious"
    assert context["system"] == "iot"
    assert context["config"] == {"unit": "C"}
    assert not hasattr(context, "harness")


async def test_a_set_up_without_a_parameter_and_sync_ones_are_called_as_they_are() -> None:
    calls: list[str] = []

    class Sync:
        __slots__ = ("receive_streams", "send_streams", "status")

        def __init__(self) -> None:
            self.status = "mine"  # not a ComponentStatus: left alone

        def setup(self) -> None:
            calls.append("setup")

        async def process(self) -> None:
            calls.append("process")

        def cleanup(self) -> None:
            calls.append("cleanup")

    system = System()
    sync = Sync()
    system.register_component("sync", sync)
    assert (await system.run()).outcome == "finished"
    assert calls == ["setup", "process", "cleanup"]
    assert sync.status == "mine"


async def test_a_set_up_without_a_signature_gets_the_context() -> None:
    given: list[Any] = []

    class Opaque:
        __signature__ = "none"

        async def __call__(self, *args: Any) -> None:
            given.append(args)

    class Odd(Noted):
        setup = None  # type: ignore[assignment]

    odd = Odd("odd", [])
    odd.setup = Opaque()  # type: ignore[assignment]
    system = System()
    import inspect

    original = inspect.signature

    def refuse(call: Any) -> Any:
        if isinstance(call, Opaque):
            raise ValueError("no signature found")
        return original(call)

    inspect.signature = refuse  # type: ignore[assignment]
    try:
        system.register_component("odd", odd)
        await system.run()
    finally:
        inspect.signature = original
    assert isinstance(given[0][0], Context)


async def test_the_harness_moves_the_states_when_overrides_forget_super(parts: SimpleNamespace) -> None:
    class Forgetful(parts.Collect):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            """Forget it."""

        async def cleanup(self) -> None:
            """Forget it."""

    forgetful = Forgetful()
    system = System()
    system.register_component("numbers", parts.Numbers(count=1))
    system.register_component("sink", forgetful)
    system.connect("numbers.out", "sink.in")
    await system.run()
    states = [move.target for move in forgetful.status.history]
    assert states == ["ready", "running", "stopping", "stopped"]


# --- set-up fails ------------------------------------------------------------------------------


@pytest.mark.fault(1)
async def test_a_set_up_that_raises_starts_nothing_and_cleans_up_in_reverse() -> None:
    notes: list[str] = []

    class Bad(Noted):
        async def after_setup(self) -> None:
            raise OSError("no disk")

    system = chain(notes, Noted, Bad, Noted)
    with pytest.raises(SystemFailed, match="b failed in setup: OSError no disk") as caught:
        await system.run()
    assert notes == ["set up c", "set up b", "clean b", "clean c"]
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.errors == (caught.value.__cause__,)
    assert caught.value.report is system.report
    assert caught.value.report.exit_code() == 1
    assert not system.running
    with pytest.raises(SystemFailed):
        await system.wait()


async def test_a_failure_stops_the_set_up_of_its_layer() -> None:
    notes: list[str] = []

    class Hanging(Noted):
        async def after_setup(self) -> None:
            await anyio.sleep_forever()

    class Bad(Noted):
        async def setup(self) -> None:
            self.notes.append(f"set up {self.name}")
            raise OSError("no")

    system = System(setup_timeout=1000)
    for name, cls in {"a": Hanging, "b": Bad, "c": Noted}.items():
        system.register_component(name, cls(name, notes))
    with fail_after(30), pytest.raises(SystemFailed) as caught:
        await system.run()
    assert len(caught.value.errors) == 1
    begun = [note for note in notes if not note.endswith(" c")]  # c may have begun in the same tick
    assert begun == ["set up a", "set up b", "clean b", "clean a"]


@pytest.mark.fault(2)
async def test_a_set_up_that_hangs_is_named_with_the_line_where_it_waits() -> None:
    class Hanging(Noted):
        async def after_setup(self) -> None:
            await anyio.sleep_forever()

    with pytest.raises(SystemFailed) as caught:
        await chain([], Noted, Hanging).run()
    error = caught.value.__cause__
    assert isinstance(error, SetupFailed)
    assert error.component == "b"
    assert "took over 0.2 s, awaiting after_setup() at test_lifecycle.py:" in str(error)


async def test_a_set_up_that_swallows_cancellation_is_ended_all_the_same() -> None:
    class Swallowing(Noted):
        async def after_setup(self) -> None:
            while True:
                try:
                    await anyio.sleep_forever()
                except get_cancelled_exc_class():
                    pass

    with fail_after(30), pytest.raises(SystemFailed) as caught:
        await chain([], Noted, Swallowing).run()
    assert isinstance(caught.value.__cause__, SetupFailed)


async def test_a_set_up_that_swallows_everything_is_left_behind() -> None:
    class Swallowing(Noted):
        async def after_setup(self) -> None:
            never = anyio.Event()
            while True:
                with contextlib.suppress(BaseException):
                    await never.wait()

    with fail_after(30), pytest.raises(SystemFailed) as caught:
        await chain([], Noted, Swallowing).run()
    assert isinstance(caught.value.__cause__, SetupFailed)


async def test_a_state_that_the_component_made_impossible_fails_its_set_up(parts: SimpleNamespace) -> None:
    class Odd(parts.Numbers):  # type: ignore[misc]
        async def setup(self, harness_context: Any = None) -> None:
            self.status.transition_to("ready")
            self.status.transition_to("running")

    system = System()
    system.register_component("odd", Odd(count=1))
    with pytest.raises(SystemFailed, match="odd failed in setup: InvalidStateTransition"):
        await system.run()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("phase", ["after_setup", "after_cleanup"])
@pytest.mark.fault(11)
async def test_keyboard_interrupt_and_system_exit_come_out_bare(
    error: type[BaseException], phase: str
) -> None:
    notes: list[str] = []

    async def interrupt() -> None:
        raise error(7)

    system = chain(notes, Noted, Noted)
    setattr(system.components["b"], phase, interrupt)
    with pytest.raises(error):
        await system.run()
    assert notes[-2:] == ["clean a", "clean b"] if phase == "after_cleanup" else ["clean b"]
    assert system.report is not None
    assert system.report.outcome == "failed"
    assert [failure.component for failure in system.report.failures] == ["b"]


@pytest.mark.fault("cancelled from outside")
async def test_cancelling_a_run_in_set_up_cleans_up(parts: SimpleNamespace) -> None:
    notes: list[str] = []
    begun = anyio.Event()

    class Swallowing(Noted):
        async def after_setup(self) -> None:
            begun.set()
            while True:
                try:
                    await anyio.sleep_forever()
                except get_cancelled_exc_class():
                    pass

    system = chain(notes, Noted, Swallowing)
    with fail_after(30):
        async with create_task_group() as group:
            group.start_soon(system.run)
            await begun.wait()
            group.cancel_scope.cancel()
    assert notes == ["set up b", "clean b"]
    assert system.report is not None
    assert system.report.outcome == "cancelled"


# --- clean-up fails ----------------------------------------------------------------------------


@pytest.mark.fault(5)
async def test_a_clean_up_that_raises_stops_no_other() -> None:
    notes: list[str] = []

    class Bad(Noted):
        async def after_cleanup(self) -> None:
            raise OSError("busy")

    system = chain(notes, Noted, Bad, Noted)
    with pytest.raises(SystemFailed, match="b failed in cleanup: OSError busy"):
        await system.run()
    assert notes[-3:] == ["clean a", "clean b", "clean c"]
    assert system.report is not None
    assert system.report.outcome == "failed"


@pytest.mark.fault(5)
async def test_the_original_error_stays_first() -> None:
    class Bad(Noted):
        async def process(self) -> None:
            raise ValueError("first")

        async def after_cleanup(self) -> None:
            raise OSError("second")

    with pytest.raises(SystemFailed, match=r"b failed in process: ValueError first \(and 1 more\)") as caught:
        await chain([], Noted, Bad).run()
    assert [str(error) for error in caught.value.errors] == ["first", "second"]
    assert str(caught.value.__cause__) == "first"


@pytest.mark.fault(12)
async def test_every_leaf_of_a_group_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Noted):
        async def after_cleanup(self) -> None:
            raise ExceptionGroup("both", [OSError("left"), ExceptionGroup("in", [ValueError("right")])])

    with pytest.raises(SystemFailed):
        await chain([], Bad).run()
    logged = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert logged == ["left", "right"]


@pytest.mark.fault(6)
async def test_a_clean_up_that_hangs_is_named_and_the_others_run() -> None:
    notes: list[str] = []

    class Hanging(Noted):
        async def after_cleanup(self) -> None:
            await anyio.sleep_forever()

    system = chain(notes, Noted, Hanging, Noted)
    with fail_after(30):
        report = await system.run()
    assert notes[-1] == "clean c"
    late = report.overruns[0]
    assert (late.component, late.phase) == ("b", "cleanup")
    assert late.awaiting.startswith("after_cleanup() at test_lifecycle.py:")
    assert report.exit_code() == 5
    assert system.wiring.members["b"].status.state is ComponentState.STOPPED


async def test_a_clean_up_that_hangs_is_an_error_of_a_component_that_had_not_ended() -> None:
    class Hanging(Noted):
        async def process(self) -> None:
            await anyio.sleep_forever()

        async def after_cleanup(self) -> None:
            await anyio.sleep_forever()

    system = chain([], Hanging)
    async with create_task_group() as group:
        await group.start(system.run)
        group.cancel_scope.cancel()
    status = system.wiring.members["a"].status
    assert status.state is ComponentState.STOPPED
    assert isinstance(status.last_error, CleanupFailed)


async def test_an_abandoned_clean_up_is_named_too() -> None:
    class Swallowing(Noted):
        async def after_cleanup(self) -> None:
            never = anyio.Event()
            while True:
                with contextlib.suppress(BaseException):
                    await never.wait()

    with fail_after(30):
        report = await chain([], Swallowing, Noted).run()
    assert [late.component for late in report.overruns] == ["a"]


@pytest.mark.fault(9)
async def test_a_stuck_worker_thread_is_named_before_it_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = threading.Event()
    named = False

    class Stuck(Noted):
        async def after_cleanup(self) -> None:
            await to_thread.run_sync(release.wait)

    system = chain([], Stuck)
    async with create_task_group() as group:
        group.start_soon(system.run)
        while not named:
            await checkpoint()
            named = any("clean-up overran" in record.getMessage() for record in caplog.records)
        assert system.running
        release.set()
    assert system.report is not None
    assert [late.component for late in system.report.overruns] == ["a"]


@pytest.mark.fault("spinning")
async def test_waiting_for_a_clean_up_burns_no_cpu() -> None:
    class Slow(Noted):
        async def after_cleanup(self) -> None:
            await anyio.sleep(0.4)

    system = System(cleanup_timeout=5)
    system.register_component("slow", Slow("slow", []))
    began, cpu = time.monotonic(), time.process_time()
    with anyio.move_on_after(0.1):
        await system.run()
    async with create_task_group() as group:
        group.start_soon(system.run)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert time.monotonic() - began >= 0.4
    assert time.process_time() - cpu < (time.monotonic() - began) / 2
