"""Section 1 of the contract: set-up, process, clean-up from every state, and the streams."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import pytest
from anyio import BrokenResourceError, EndOfStream, create_memory_object_stream

from headrace.authoring.component import Component
from headrace.authoring.context import Context
from headrace.authoring.harness_component import HarnessComponent
from headrace.exceptions import ConfigError, InvalidStateTransition
from headrace.model.component_status import ComponentStatus
from headrace.model.options import EdgeOptions
from headrace.streams.edge import Edge
from headrace.streams.inlet import AnyInlet, Inlet
from headrace.streams.outlet import AnyOutlet, Outlet

WAY_TO = {
    "created": [],
    "ready": ["ready"],
    "running": ["ready", "running"],
    "stopping": ["ready", "running", "stopping"],
    "stopped": ["ready", "stopping", "stopped"],
    "error": ["ready", "running", "error"],
}


def part_in(state: str) -> HarnessComponent:
    part = HarnessComponent("pump")
    for step in WAY_TO[state]:
        part.status.transition_to(step)
    return part


async def test_set_up_ends_in_ready() -> None:
    part = HarnessComponent("pump")
    assert part.status.state == "created"
    await part.setup()
    assert part.status.state == "ready"
    await part.setup()
    assert part.status.state == "ready"


@pytest.mark.parametrize("state", ["stopped", "error"])
async def test_set_up_again_is_restart_and_recovery(state: str) -> None:
    part = part_in(state)
    await part.setup({})
    assert part.status.state == "ready"


@pytest.mark.parametrize("state", ["running", "stopping"])
async def test_set_up_at_work_is_an_illegal_move(state: str) -> None:
    part = part_in(state)
    with pytest.raises(InvalidStateTransition):
        await part.setup()
    assert part.status.state == state


async def test_process_is_for_a_subclass_to_write() -> None:
    with pytest.raises(NotImplementedError, match=r"HarnessComponent 'pump' does not override process\(\)"):
        await HarnessComponent("pump").process()


@pytest.mark.parametrize("state", WAY_TO)
async def test_clean_up_is_legal_from_every_state_and_idempotent(state: str) -> None:
    part = part_in(state)
    errors = part.status.error_count
    for _ in range(3):
        await part.cleanup()
        assert part.status.state == "stopped"
    assert part.status.error_count == errors == (state == "error")


async def test_clean_up_goes_through_stopping() -> None:
    part = part_in("running")
    await part.cleanup()
    assert [str(move.target) for move in part.status.history] == ["ready", "running", "stopping", "stopped"]


async def test_a_life_can_begin_again_after_clean_up() -> None:
    part = part_in("error")
    for _ in range(3):
        await part.cleanup()
        await part.setup()
        part.status.transition_to("running")
        await part.cleanup()
    assert part.status.error_count == 1


async def test_clean_up_closes_every_stream_of_both_directions() -> None:
    part = HarnessComponent("pump")
    ends: dict[str, Any] = {}
    for number in range(3):
        ends[f"to{number}"], part.receive_streams[f"in{number}"] = create_memory_object_stream[int](1)
        part.send_streams[f"out{number}"], ends[f"from{number}"] = create_memory_object_stream[int](1)
    await part.setup()
    await part.cleanup()
    for number in range(3):
        with pytest.raises(BrokenResourceError):
            await ends[f"to{number}"].send(1)
        with pytest.raises(EndOfStream):
            await ends[f"from{number}"].receive()
    for end in ends.values():
        end.close()


async def test_clean_up_ends_the_edges_of_a_system_too() -> None:
    outlet: AnyOutlet = Outlet("a.out")
    inlet: AnyInlet = Inlet("b.in")
    edge = Edge("a.out -> b.in", EdgeOptions(), outlet, inlet)
    outlet.add(edge)
    inlet.add(edge)
    one, other = HarnessComponent("a"), HarnessComponent("b")
    one.send_streams["out"], other.receive_streams["in"] = outlet.open(), inlet.open()
    await one.cleanup()
    assert edge.sender_ended
    await other.cleanup()
    assert edge.reader_ended


async def test_clean_up_after_a_failure_keeps_the_error() -> None:
    part = part_in("running")
    with suppress(ValueError):
        try:
            raise ValueError("dry")
        except ValueError as error:
            part.status.transition_to("error", error=error)
            raise
    await part.cleanup()
    assert str(part.status.last_error) == "dry"
    assert part.status.error_count == 1


def test_status_is_there_under_both_names() -> None:
    part = HarnessComponent("pump")
    assert isinstance(part.status, ComponentStatus)
    assert part.status is part._status
    assert part.status.component == "pump"
    assert isinstance(part, Component)
    assert part.receive_streams == part.send_streams == {}


async def test_health_is_told_in_plain_values() -> None:
    part = HarnessComponent("pump")
    healthy = await part.health_check()
    assert healthy == {
        "name": "pump",
        "healthy": True,
        "state": "created",
        "error_count": 0,
        "last_error": None,
        "last_transition": part.status.last_transition,
    }
    assert type(healthy["state"]) is str
    part.status.transition_to("error", error=ValueError("dry"))
    sick = await part.health_check()
    assert (sick["healthy"], sick["error_count"], sick["last_error"]) == (False, 1, "ValueError('dry')")


# --- context ---------------------------------------------------------------------------------------


async def test_set_up_keeps_the_context_of_the_harness() -> None:
    part = HarnessComponent("pump")
    context = Context("pump")
    await part.setup(context)
    assert part.context is context
    await part.setup()
    assert part.context is not context


async def test_outside_of_any_system_it_has_a_context_of_its_own() -> None:
    part = HarnessComponent("pump", {"rate": 1})
    assert (part.context.name, part.context.system, part.context.config) == ("pump", "", {"rate": 1})
    assert part.context is part.context
    assert not part.context.stop_event.is_set()
    with pytest.raises(RuntimeError, match="spawn"):
        part.context.spawn(anyio.sleep, 0)


async def test_a_plain_mapping_becomes_a_context_with_what_it_has() -> None:
    part = HarnessComponent("pump", {"rate": 1})
    await part.setup({"logger": "theirs", "system": "plant", "name": "other", "else": 5})
    assert (part.context.name, part.context.system, part.context.logger) == ("pump", "plant", "theirs")
    assert part.context.config == {"rate": 1}


# --- configuration -----------------------------------------------------------------------------------


class Typed(HarnessComponent):
    class Config(msgspec.Struct):
        rate: int
        unit: str = "C"


class Data(HarnessComponent):
    @dataclasses.dataclass
    class Config:
        rate: int = 5


class Wrong(HarnessComponent):
    class Config:
        rate = 5


def test_a_config_class_types_the_settings() -> None:
    assert Typed("t", {"rate": 3}).config == Typed.Config(3, "C")
    assert Data("d").config == Data.Config(5)
    assert HarnessComponent("h", {"any": 1}).config == {"any": 1}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Typed("t"), "setting 'rate' is missing"),
        (lambda: Typed("t", {"rate": "3"}), "setting 'rate': Expected `int`"),
        (lambda: Typed("t", {"rate": 3, "unti": "F"}), "did you mean 'unit'"),
        (lambda: Data("d", {"rat": 3}), "did you mean 'rate'"),
        (lambda: Wrong("w", {"rate": 3}), "use a msgspec Struct, a dataclass or a pydantic model"),
    ],
)
def test_settings_that_do_not_fit_are_an_error_when_the_component_is_made(make: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()
