"""Brings components back to life on live edges: one alone, or with those that the system's strategy adds.

Clean-up, pause, the component made anew, set-up, start; a set-up that fails is one more failure of its
component. A drain cuts pauses short, so that what is buffered still gets through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import CancelScope
from anyio.lowlevel import checkpoint

from headrace.authoring.harness_component import finish_winding_down
from headrace.model.component_status import ComponentState
from headrace.model.options import Timeouts
from headrace.model.report import Failure, Overrun, Restarts
from headrace.model.restart_policy import GiveUp, Strategy, restarted_with
from headrace.model.topology import Topology

from .dead_letters import DeadLetterStore
from .driven import leaves
from .lifecycle import Lifecycle, Notes
from .moving import surviving_listeners
from .supervisor import Supervised, Verdict
from .wiring import Member


@dataclass(frozen=True, slots=True)
class Site:
    """What it takes to bring components back.

    Attributes:
        running: The running members, by name.
        topology: The shape of the graph.
        strategy: Who is restarted with a component that failed.
        timeouts: The deadlines.
        lifecycle: Cleans up and sets up.
        dead_letters: Where messages go that failed for good.
        renew: Makes a component anew, where that can be, on new handles.
        launch: Starts a task in the system's task group, in a context that no component has touched.
        hurry: Set when the system begins to drain.
        logger: For what happens.
    """

    running: Mapping[str, Supervised]
    topology: Topology
    strategy: Strategy
    timeouts: Timeouts
    lifecycle: Lifecycle
    dead_letters: DeadLetterStore
    renew: Callable[[Member], None]
    launch: Callable[..., None]
    hurry: anyio.Event
    logger: Any


class Restarter:
    """Restarts components; where a strategy restarts several, one group after the other.

    Args:
        site: What it takes.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = None if site.strategy == "one_for_one" else anyio.Lock()

    def restart(self, cause: Supervised, pause: float) -> None:
        """Begin to bring a component back that has just ended."""
        comeback = Comeback(self._site, cause, pause, self._turn)
        cause.between = comeback
        self._site.launch(comeback.run, name=f"restart of {cause.member.name}")

    def renew(self, one: Supervised) -> Comeback:
        """End a component's life, with the lives of those that its restart takes along, and begin the next ones."""
        comeback = Comeback(self._site, one, 0.0, self._turn)
        self._site.launch(comeback.run, name=f"restart of {one.member.name}")
        return comeback


class Comeback:
    """One component, and those that go with it, on the way to their next life.

    Args:
        site: What it takes.
        cause: The component that failed.
        pause: Seconds to wait before it is started.
        turn: Held while a group is restarted, where groups may overlap.

    Attributes:
        over: Set when all of them run again, or have ended for good.
    """

    def __init__(self, site: Site, cause: Supervised, pause: float, turn: anyio.Lock | None) -> None:
        self._site = site
        self._cause = cause
        self._pause = pause
        self._turn = turn
        self._members = [cause]
        self._scope = CancelScope()
        self._cut_off: set[Supervised] = set()
        self._doing = "its turn to be restarted"
        self.over = anyio.Event()

    @property
    def text(self) -> str:
        """Who waits for what."""
        return f"{self._cause.member.name} awaits {self.awaiting(self._cause)}"

    def awaiting(self, one: Supervised) -> str:
        """Return what a component waits for."""
        return self._site.lifecycle.awaiting(one.member) or self._doing

    def cut_off(self, one: Supervised) -> None:
        """Do not bring a component back any more."""
        self._cut_off.add(one)
        if self._cut_off.issuperset(self._waiting()):
            self._scope.cancel()

    async def run(self) -> None:
        """Bring all of them back; whoever does not get there has ended for good."""
        try:
            with self._scope:
                async with AsyncExitStack() as stack:
                    if self._turn is not None:
                        await stack.enter_async_context(self._turn)
                    await self._bring_back()
        finally:
            verdict: Verdict = "overran" if self._scope.cancelled_caught else "cancelled"
            for one in self._waiting():
                if one.lives:
                    one.between = None  # its life ends by itself, and is judged then
                else:
                    self._end(one, verdict)
            self.over.set()

    def _waiting(self) -> list[Supervised]:
        return [one for one in self._members if one.alive and one.between is self]

    async def _bring_back(self) -> None:
        await self._end_others()
        pause: float | None = self._pause
        while pause is not None:
            await self._clean_up()
            if not self._waiting():
                return
            await self._rest(pause)
            self._leave_out()
            self._doing = "set-up"
            pause = await self._set_up()
        await self._start()

    async def _clean_up(self) -> None:
        """Clean all of them up; what fails with something that is no ``Exception`` has ended for good."""
        site = self._site
        self._doing = "clean-up before its restart"
        waiting = {one.member.name: one for one in self._waiting()}
        for one in waiting.values():
            one.hands.keep(one.member)  # a clean-up that closes its handles must not end the ports
        with CancelScope(shield=True):
            failures = await site.lifecycle.clean_up_some(
                [one.member for one in waiting.values()], site.timeouts.cleanup
            )
        for failure in failures:
            if not all(isinstance(leaf, Exception) for leaf in leaves(failure.error)):
                waiting[failure.component].between = None
                waiting[failure.component].give_up(failure.error, GiveUp(), "cleanup")

    async def _end_others(self) -> None:
        """End the lives of those that are restarted with it; what they have in hand comes again, uncounted."""
        site, name = self._site, self._cause.member.name
        names = restarted_with(site.strategy, name, site.topology.downstream_first, site.topology.receivers)
        others = [one for one in map(site.running.__getitem__, names) if one.alive and one.between is None]
        for one in others:
            one.between, one.left = self, anyio.Event()
            one.cancel("restart")
        self._members = [one for one in map(site.running.__getitem__, names) if one.between is self]
        self._doing = "the end of those that are restarted with it"
        for one in others:
            assert one.left is not None
            await one.left.wait()
            one.left = None
        if others:
            also = ", ".join(one.member.name for one in others)
            site.logger.info("restarting", component=name, also=also, strategy=site.strategy)

    async def _rest(self, pause: float) -> None:
        """Wait before the restart, and until there is room for a dead letter.

        A drain ends the pause under way, and lets none be longer than what it gives its sources.
        """
        site = self._site
        self._doing = f"its restart after {pause:.3g} s"
        if site.hurry.is_set():
            await anyio.sleep(min(pause, site.timeouts.source_grace))
        else:
            with anyio.move_on_after(pause):
                await site.hurry.wait()
        if site.dead_letters.is_full:
            store = site.dead_letters
            self._doing = f"room in the dead-letter store ({len(store)}/{store.limit})"
            await store.wait_for_room(self._cause.member.name)

    def _leave_out(self) -> None:
        """End for good whoever is cut off, and sources while the system drains: they would have nothing to do."""
        for one in self._waiting():
            if one in self._cut_off:
                self._end(one, "overran")
            elif self._site.hurry.is_set() and one.member.is_source:
                self._end(one, "stopped")

    def _end(self, one: Supervised, verdict: Verdict) -> None:
        one.between = None
        one.judge(verdict)

    async def _set_up(self) -> float | None:
        """Make and set up all of them; returns how long to wait before the next try, None where all are ready."""
        site = self._site
        waiting = {one.member.name: one for one in self._waiting()}
        errors = list[tuple[Supervised, BaseException]]()
        for one in waiting.values():
            try:
                site.renew(one.member)
            except BaseException as error:  # code of the user's; nothing is awaited, so it is no cancellation
                site.lifecycle.take_note(one.member, "setup", error)
                finish_winding_down(one.member.status)  # nothing was made that a clean-up could be called of
                errors.append((one, error))
        if not errors:
            layers = [
                [waiting[name].member for name in layer if name in waiting] for layer in site.topology.layers
            ]
            failures = await site.lifecycle.set_up_some(
                [layer for layer in layers if layer], site.timeouts.setup
            )
            errors = [(waiting[failure.component], failure.error) for failure in failures]
        return await self._try_again(errors) if errors else None

    async def _try_again(self, errors: Sequence[tuple[Supervised, BaseException]]) -> float:
        """Give up whoever has failed too often; returns how long the others wait."""
        pause = 0.0
        for one, error in errors:
            verdict = one.fails(error, "setup")
            if isinstance(verdict, GiveUp):
                with CancelScope(shield=True):
                    await self._site.lifecycle.clean_up_some([one.member], self._site.timeouts.cleanup)
                one.between = None
                one.give_up(error, verdict, "setup")
            else:
                pause = max(pause, verdict.after)
        return pause

    async def _start(self) -> None:
        """Start all of them, downstream first: whoever sends finds its reader there."""
        for one in self._waiting():
            self._leave_out()
            if not one.alive:
                continue
            with surviving_listeners(self._site.logger, one.member.name):
                one.member.status.transition_to(ComponentState.RUNNING)
            one.be_reborn()
            self._site.logger.info("component restarted", component=one.member.name, restarts=one.restarts)
            self._site.launch(one.run, name=one.member.name)
            await checkpoint()  # in this order, on trio too


def restarts_of(running: Iterable[Supervised], notes: Notes) -> tuple[Restarts, ...]:
    """Return what a report says of restarts.

    Args:
        running: The members.
        notes: What went wrong in clean-ups between lives.
    """
    troubles: dict[str, list[str]] = {}
    every: tuple[Failure | Overrun, ...] = (*notes.failures, *notes.overruns)
    for trouble in every:
        troubles.setdefault(trouble.component, []).append(str(trouble))
    told = (one.report(troubles.get(one.member.name, ())) for one in running)
    return tuple(one for one in told if one is not None)


__all__ = ["Comeback", "Restarter", "Site", "restarts_of"]
