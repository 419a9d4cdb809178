"""A component made anew for its next life: from its factory where it has one, on new handles in any case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.authoring.factory import build_component
from headrace.authoring.function_component import FunctionComponent
from headrace.model.component_status import ComponentStatus
from headrace.streams.inlet import AnyInlet
from headrace.streams.outlet import AnyOutlet

from .fusing import FusedOut
from .member import Member, give
from .wiring import Wiring


def renew(wiring: Wiring, member: Member) -> None:
    """Make a component anew where it has a factory, and give it new handles, before its set-up.

    A finished component, and a function, which has no state, stay the same object.

    Raises:
        Exception: Whatever its factory raises.
    """
    if is_made_anew(member):
        made = build_component(member.name, member.factory, member.config, attempts=member.attempts)
        _keep_status(made, member.status)
        wiring.exchange(member, made)
    wiring.leave_optional_out(member)
    for port, outlet in member.outlets.items():
        sending = outlet.open()
        give(member.component, "send_streams", port, sending, member.ports.outputs)
        _show(wiring, outlet, send=sending)
    for port, inlet in member.inlets.items():
        if inlet.lanes:
            receiving = inlet.open()
            give(member.component, "receive_streams", port, receiving, member.ports.inputs)
            _show(wiring, inlet, receive=receiving)
    made = member.component
    if isinstance(made, FunctionComponent) and isinstance(made.fused_out, FusedOut):
        made.fused_out.send_by(made.send_streams["out"])


def is_made_anew(member: Member) -> bool:
    """Return whether a restart makes another object: not of a finished component, nor of a function."""
    return isinstance(member.factory, type) and not isinstance(member.component, FunctionComponent)


def begins_anew(member: Member) -> bool:
    """Return whether a restart begins from the start: a generator does, and what its class makes anew."""
    return is_made_anew(member) or isinstance(member.component, FunctionComponent)


def _keep_status(made: Any, status: ComponentStatus) -> None:
    """Let a new component have the status of the one before, with its history."""
    own = getattr(made, "status", None)
    if isinstance(own, ComponentStatus):
        attribute = "_status" if getattr(made, "_status", None) is own else "status"
        setattr(made, attribute, status)


def _show(wiring: Wiring, port: AnyInlet | AnyOutlet, *, send: Any = None, receive: Any = None) -> None:
    """Let the tables of streams have the new handle in the place of the old one."""
    for edge in port.lanes:
        before = wiring.streams[edge.key]
        pair = (send or before[0], receive or before[1])
        wiring.streams[edge.key] = pair
        known = wiring.stream_manager.active_streams
        if edge.key in known:
            known[edge.key] = replace(known[edge.key], send_stream=pair[0], receive_stream=pair[1])


__all__ = ["begins_anew", "is_made_anew", "renew"]
