"""Samples of the messages of a running system: ``async with system.tap("a.out") as tap: async for record in tap``.

The hot path does not know of it (see ``streams.sampler``); what is here finds the edges, and hands the records on.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from headrace.authoring.handles import Connectable
from headrace.exceptions import ConfigError, WiringError
from headrace.model.endpoint import did_you_mean
from headrace.model.expression import Condition
from headrace.model.plain import plain
from headrace.streams.edge import AnyEdge
from headrace.streams.sampler import SHARE, Sampler
from headrace.streams.spread import Group
from headrace.streams.watched_store import attach, detach

from .wiring import Wiring

if TYPE_CHECKING:
    from .run import Run

Where = str | Callable[[Any], object]


class TapRecord(msgspec.Struct, frozen=True):
    """A message as a tap saw it go by.

    Args:
        edge: The edge, as ``parse.out -> store.in``.
        id: Which message of that edge it is in this run, from 1.
        time: When the edge accepted it, in seconds since the epoch.
        value: The message as plain data: tables, lists, texts and numbers, cut where it is very large.
    """

    edge: str
    id: int
    time: float
    value: Any


class TapCounts(msgspec.Struct, frozen=True):
    """What a tap has done so far; together they are all messages that went by.

    Args:
        taken: Messages that became records.
        unwanted: Messages that it looked at and did not want.
        failed: Messages that the condition could not be applied to.
        skipped: Messages that it did not look at, because that would have slowed the system.
        error: Why the last one failed; empty where none has.
    """

    taken: int
    unwanted: int
    failed: int
    skipped: int
    error: str = ""


class Tap(AsyncIterator[TapRecord]):
    """Samples of the messages of some edges, until these or the run end; open within ``async with``.

    Made by ``SystemExecutionHarness.tap``. A component's restart does not end it.
    """

    def __init__(
        self,
        run: Run,
        what: Connectable,
        wiring: Wiring,
        *,
        n: int | None = None,
        where: Where | None = None,
        size: int = 100,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, number in (("n", n), ("size", size)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise ConfigError(f"{name} must be a whole number of at least 1, not {number!r}", field=name)
        self._run = run
        edges, by_output = edges_of(wiring, what)
        self._edges = tuple(edges)
        self._left = n
        self._where = Condition(where) if isinstance(where, str) else where
        self._clock = clock
        self._taken = 0
        self._open = False
        self._arrived: anyio.Event | None = None
        self._sampler = Sampler(self._look, size=size, leads=leads if by_output else None)
        self._sampler.on_sample = self._sampler.on_end = self._wake

    @property
    def edges(self) -> tuple[str, ...]:
        """The edges that it looks at."""
        return tuple(edge.key for edge in self._edges)

    @property
    def counts(self) -> TapCounts:
        """How many messages it has taken, and how many it has let go by."""
        one = self._sampler
        taken = self._taken + len(one.samples)
        return TapCounts(taken, one.unwanted, one.failed, one.skipped, _said(one.error))

    def _look(self, edge: str, number: int, message: Any) -> TapRecord | None:
        if self._where is not None and not self._where(message):
            return None
        return TapRecord(edge, number, self._clock(), plain(message))

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()

    # --- open and closed -----------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to look; ``async with`` does it."""
        if not self._open:
            self._open = True
            self._run.taps.append(self)
            _share_time(self._run.taps)
            for edge in self._edges:
                attach(edge, self._sampler)

    def close(self) -> None:
        """Look no further, and wake who waits; what it has taken can still be read."""
        if self._open:
            self._open = False
            self._run.taps.remove(self)
            _share_time(self._run.taps)
            for edge in self._edges:
                detach(edge, self._sampler)
        self._wake()

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    # --- reading -------------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return not self._open or all(edge.ended for edge in self._edges)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TapRecord:
        await checkpoint()
        while self._left is None or self._left > 0:
            if self._sampler.samples:
                self._taken += 1
                self._left = None if self._left is None else self._left - 1
                record: TapRecord = self._sampler.samples.popleft()
                return record
            if self._is_over:
                break
            self._arrived = anyio.Event()
            await self._arrived.wait()
        self.close()
        raise StopAsyncIteration

    def __repr__(self) -> str:
        return f"<Tap on {', '.join(self.edges)}>"


def edges_of(wiring: Wiring, what: Connectable) -> tuple[list[AnyEdge], bool]:
    """Return the edges that are meant, and whether that is because an output was named.

    Args:
        wiring: The system.
        what: An output, an input, a component with one of them, or an edge as ``"a.out -> b.in"``.

    Raises:
        WiringError: There is nothing of that name, or nothing is connected to it.
    """
    if isinstance(what, str) and "->" in what:
        return _edges_between(wiring, what), False
    problems: list[WiringError] = []
    for ports, is_output in ((wiring.outlets, True), (wiring.inlets, False)):
        try:
            edges = [edge for port in ports(what) for edge in port.lanes]
        except WiringError as error:
            problems.append(error)
        else:
            if edges:
                return edges, is_output
    if len(problems) == 2:
        raise problems[0]
    raise WiringError(f"nothing is connected to '{what}', so no message goes by there")


def _edges_between(wiring: Wiring, what: str) -> list[AnyEdge]:
    key = " -> ".join(part.strip() for part in what.split("->"))
    edges = [edge for name, edge in wiring.edges.items() if key in (name, wiring.connection_of(name).key)]
    if not edges:
        raise WiringError(f"there is no edge '{key}'", hint=did_you_mean(key, wiring.edges))
    return edges


def leads(edge: AnyEdge) -> bool:
    """Whether an edge is the first of those that get the same messages: else these would be seen several times."""
    outlet = edge.outlet
    if outlet.options.fan_out != "broadcast" or not outlet.alive:
        return True
    first = outlet.alive[0]
    return first is edge or (isinstance(first, Group) and edge in first.edges())


def _said(error: Exception | None) -> str:
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # its text would be quoted
    return "" if error is None else str(error) or type(error).__name__


def _share_time(taps: list[Tap]) -> None:
    for tap in taps:
        tap._sampler.share = SHARE / len(taps)


__all__ = ["Tap", "TapCounts", "TapRecord", "Where", "edges_of", "leads"]
