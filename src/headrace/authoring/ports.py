"""Typed ports: ``in_: In[bytes]`` and ``out: Out[Reading]`` as annotations of a component class.

They are protocols that the runtime's streams fulfil; a trailing underscore is not part of the name.
"""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self, TypeVar, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from headrace.model.message import Meta
from headrace.model.port import Port, PortTable

from .annotations import Hints, read_class

T = TypeVar("T")
ALL: Any = object()  # stands in signatures for all messages in hand; the runtime's streams have their own
_tables: WeakKeyDictionary[type, PortTable] = WeakKeyDictionary()  # reading a class takes 150 us


class In(Protocol[T]):
    """The reading end of an input port.

    A message is in hand from its receive on. The next receive acknowledges it, or with ``ack = "manual"`` the
    component itself, by ``ack``. What is in hand when a component crashes is received again after its restart.
    """

    async def receive(self) -> T:
        """Return the next message; raises ``EndOfStream`` when every sender has ended."""
        ...

    def receive_nowait(self) -> T:
        """Return the next message, or raise ``WouldBlock`` if there is none now."""
        ...

    async def receive_many(self, at_most: int | None = None) -> list[T]:
        """Return the messages that there are, at least one; acknowledges all that was received before.

        All of them are in hand until the next receive: so whoever sends what they give, or writes them, before
        that loses none in a crash. A cancelled call loses nothing.

        Args:
            at_most: How many at most; as many as suit the fairness quantum unless said.

        Raises:
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        ...

    def batch(self, n: int, within: float | None = None) -> AsyncIterator[list[T]]:
        """Iterate in batches: ``async for messages in self.in_.batch(100, within=0.5)``.

        All messages of a batch are in hand until the next one is asked for. Where the iteration is cancelled,
        what was gathered is received again next; nothing is lost.

        Args:
            n: How many messages make a batch.
            within: Seconds after its first message in which a batch is handed over, full or not; None to wait
                until it is full. The last one, at the end of the stream, may be smaller too.

        Raises:
            ValueError: ``n`` is below 1, or ``within`` is negative.
        """
        ...

    async def receive_with_meta(self) -> tuple[T, Meta]:
        """Return the next message with what is known about it: an id, and which attempt this is.

        Raises:
            EndOfStream: Every sender has ended and nothing is buffered.
        """
        ...

    def ack(self, message: T = ALL) -> None:
        """Acknowledge a message in hand, or all of them; nothing happens where nothing is in hand.

        Args:
            message: Which: the object itself comes before an equal one.

        Raises:
            NotInHandError: It is not in hand; it may have been acknowledged before.
        """
        ...

    def ack_first(self, number: int) -> None:
        """Acknowledge so many of the oldest messages in hand."""
        ...

    async def nack(self, message: T = ALL, *, error: BaseException | None = None, delay: float = 0.0) -> None:
        """Give a message in hand back, or all of them: it is received again, first in line.

        It counts as an attempt, and after the last one ``on_error`` says what becomes of it. Waits only where
        there is no room for dead letters.

        Args:
            message: Which: the object itself comes before an equal one.
            error: What was wrong with it, for the dead letter.
            delay: Seconds until it is received again; others are meanwhile.

        Raises:
            NotInHandError: It is not in hand; it may have been acknowledged before.
        """
        ...

    def release(self) -> None:
        """Give all that is in hand back as if it had never been received: no attempt counts."""
        ...

    def settle(self, outcome: str, reason: str = "") -> None:
        """Enter in the books what became of all that is in hand, before the next receive does."""
        ...

    def __aiter__(self) -> AsyncIterator[T]:
        """Iterate until every sender has ended."""
        ...

    def clone(self) -> Self:
        """Return another handle on this port; the port closes when all of them have."""
        ...

    def close(self) -> None:
        """Stop reading for good."""
        ...

    async def aclose(self) -> None:
        """Stop reading for good."""
        ...

    if TYPE_CHECKING:  # it may be given to ``connect``, which asks whether the types fit

        def __accepts__(self, message: T, /) -> None: ...


class Out(Protocol[T]):
    """The writing end of an output port; ``send`` waits while a connected edge is full."""

    async def send(self, item: T) -> None:
        """Send a message; raises ``BrokenResourceError`` when every reader has ended."""
        ...

    def send_nowait(self, item: T) -> None:
        """Send a message, or raise ``WouldBlock`` if there is no room now."""
        ...

    async def send_many(self, items: Iterable[T]) -> None:
        """Send messages in their order; waits while a connected edge is full.

        A cancelled call has sent the first ones and none of the others, as a loop of ``send`` would have.

        Args:
            items: The messages; none at all is fine.

        Raises:
            BrokenResourceError: Every reader has ended.
        """
        ...

    def clone(self) -> Self:
        """Return another handle on this port; the port closes when all of them have."""
        ...

    def close(self) -> None:
        """End this output for good."""
        ...

    async def aclose(self) -> None:
        """End this output for good."""
        ...

    if TYPE_CHECKING:  # it may be given to ``connect``, which asks whether the types fit

        def __emits__(self) -> T: ...


def ports_of(component: object) -> PortTable:
    """Return the ports a component (or its class) declares; a direction without any takes every name."""
    own = getattr(component, "port_table", None)
    if isinstance(own, PortTable):
        return own
    cls = component if isinstance(component, type) else type(component)
    table = _tables.get(cls)
    if table is None:
        table = _read_ports(cls)
        if not table.unresolved:  # what is missing now may be there the next time
            _tables[cls] = table
    return table


def _read_ports(cls: type) -> PortTable:
    inputs: dict[str, Port] = {}
    outputs: dict[str, Port] = {}
    unresolved: list[str] = []
    for attribute, hints in _annotated(cls).items():
        found = _port(attribute, hints.types[attribute])
        if found is not None:
            direction, port = found
            (inputs if direction is In else outputs)[port.name] = port
            unresolved += hints.unchecked({attribute: port.name})
    return PortTable(inputs or None, outputs or None, where=_where(cls), unresolved=tuple(unresolved))


def _annotated(cls: type) -> dict[str, Hints]:
    """Return what is known of each annotated attribute; what the most derived class says counts."""
    return {name: hints for hints in read_class(cls, {"In": In, "Out": Out}) for name in hints.types}


def _port(attribute: str, annotation: Any) -> tuple[Any, Port] | None:
    optional = False
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) != 1:
            return None
        annotation, optional = members[0], True
    direction = get_origin(annotation) or annotation
    if direction not in (In, Out):
        return None
    kind = (get_args(annotation) or (Any,))[0]
    name = attribute.rstrip("_")
    optional = optional or (direction is Out and name == "rejected")
    return direction, Port(name, kind, optional, attribute)


def _where(cls: type) -> str:
    code = getattr(getattr(cls, "process", None), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


__all__ = ["In", "Out", "ports_of"]
