"""Runs of synchronous functions in one task: whoever sends does the work of whoever waits for it.

Every member keeps its own task, which waits for messages as ever. While it waits, and nobody else has a hand in
its edge, the sender works on a whole batch in its stead, and enters it in the books of the edge. With anything
unusual (a failing message, a tap, a letter put back, no room behind it) messages take the edge, and the member
wakes up and does it all itself; so failures, retries, crashes, drains and reports need no second way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anyio.lowlevel import checkpoint

from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.function_signature import is_async
from headrace.model.fusing import Fusable, Joint, fused_joints
from headrace.streams.edge import AnyEdge

from .wiring import Member, Wiring


class FusedOut:
    """What a sender has instead of its stream ``out``, where the reader's work can be done at once.

    Args:
        stream: The stream that it stands in front of.
        edge: The only edge of that stream.
        reader: The component at its end.

    Attributes:
        is_late: Whether somebody in the run behind had messages of its own to work on when ``free`` was read.
    """

    __slots__ = ("_edge", "_open", "_reader", "_stream", "is_late")

    def __init__(self, stream: Any, edge: AnyEdge, reader: FunctionComponent) -> None:
        self._stream = stream
        self._edge = edge
        self._reader = reader
        self._open = False
        self.is_late = False

    def send_by(self, stream: Any) -> None:
        """Use a new handle of the sender, which lives again."""
        self._stream = stream

    @property
    def reader_name(self) -> str:
        """The name of the component whose work is done."""
        return self._reader.name

    @property
    def free(self) -> int:
        """How many messages can be put now, through all that is fused behind."""
        self._open = self.is_late = False
        if not self._reader_waits():
            self.is_late = True
        else:
            outputs = self._reader.outputs
            behind = outputs.look()
            self.is_late = outputs.is_late
            if behind > 0:
                self._open = True
                return min(self._edge.options.buffer_size, max(int(behind / self._reader.stage.gain), 1))
        return self._stream.free  # type: ignore[no-any-return]

    def put_all(self, items: Sequence[Any]) -> None:
        """Do the reader's work on messages, if that was found possible; else send them to it."""
        if self._open and self._edge.inlet.hungry:  # whatever else comes to the reader wakes it
            self._work_on(items)
        else:
            self._stream.put_all(items)

    def rehearse(self, items: Sequence[Any]) -> None:
        """Raise what keys or copies of messages raise, before any of them is sent."""
        self._stream.rehearse(items)

    async def send(self, item: Any) -> None:
        """Send a message to the reader, which does its work itself."""
        await self._stream.send(item)

    async def catch_up(self) -> None:
        """Give way to whoever in the run behind has a backlog, as long as that gets shorter.

        Else a run that has come apart would stay so: who is quick would keep the edge of who is slow full.
        """
        while (late := self._laggard()) is not None:
            before = late._edge.buffered
            await checkpoint()
            if self._laggard() is late and late._edge.buffered >= before:
                return

    def _laggard(self) -> FusedOut | None:
        """Return the first joint of the run at which messages would have to take the edge."""
        joint: Any = self
        while isinstance(joint, FusedOut):
            if not joint._reader_waits():
                return joint
            joint = joint._reader.outputs.out
        return None

    def _reader_waits(self) -> bool:
        """Whether the reader waits for a message, so that none is on the edge, and nobody listens to it."""
        inlet = self._edge.inlet
        return (
            len(inlet.hungry) == 1
            and not inlet.taps
            and not self._edge.outlet.taps
            and self._edge.outlet.gate is None
            and not inlet.shared
            and not self._reader.begun
            and self._reader.stage.kind in ("map", "flat")
        )

    def _work_on(self, items: Sequence[Any]) -> None:
        """Let the reader's function work on messages; what it is not done with goes on the edge."""
        reader, edge = self._reader, self._edge
        messages = iter(items)
        samplers, marks = edge.store.samplers, edge.store.marks
        if marks is not None:
            marks.passing(edge)
        for sampler in samplers:  # before the function may change them
            sampler.offer(edge, edge.accepted_before + 1, items)
        batch = reader.stage.run(messages, reader.outputs.room)
        left = messages.__length_hint__() + batch.open  # type: ignore[attr-defined]
        edge.pass_on(len(items) - left)
        if left:
            rest = items[len(items) - left :]
            reader.begin(rest, batch)
            edge.outlet.sent += left
            for sampler in samplers:
                sampler.pass_over(left)
            edge.accept_all(rest)
        reader.outputs.put(batch.outputs, batch.rejected)


def fuse(wiring: Wiring, *, enabled: bool = True) -> None:
    """Let the members of linear runs of synchronous functions work in one task each, for this run.

    Args:
        wiring: The system.
        enabled: Whether to; else all go by themselves.
    """
    for member in wiring.members.values():
        if isinstance(member.component, FunctionComponent):
            member.component.fused_out = None
    for joint in joints_of(wiring) if enabled else ():
        sender = wiring.members[joint.sender.component].component
        reader = wiring.members[joint.receiver.component].component
        stream = sender.send_streams[joint.sender.port]
        sender.fused_out = FusedOut(stream, wiring.edges[joint.key], reader)


def joints_of(wiring: Wiring) -> tuple[Joint, ...]:
    """Return the connections of a system that are fused."""
    joints = [
        Joint(key, c.sender, c.receiver, c.options, *_output_options(wiring, c.sender))
        for key, c in wiring.connections.items()
    ]
    fusable = {name: _fusable(member) for name, member in wiring.members.items()}
    return fused_joints(fusable, joints, wiring.topology().cycles)


def _output_options(wiring: Wiring, sender: Any) -> tuple[Any, ...]:
    return (wiring.outputs[sender],) if sender in wiring.outputs else ()


def _fusable(member: Member) -> Fusable:
    made = member.component
    if type(made) is not FunctionComponent or not made.attempts.fuse or made.attempts.run_in != "loop":
        return Fusable()
    if is_async(made.function.fn):
        return Fusable()
    return Fusable(sends=True, receives=made.function.message_parameter is not None)


__all__ = ["FusedOut", "fuse", "joints_of"]
