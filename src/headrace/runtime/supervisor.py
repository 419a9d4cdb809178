"""A component while the system runs: life after life, what each end means for its streams, and the last verdict.

Its edges stay open between two lives, so that its neighbours see nothing but back-pressure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol

import anyio

from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.harness_component import finish_winding_down, wind_down
from headrace.exceptions import ComponentError
from headrace.model.component_status import ComponentState
from headrace.model.report import Crash, Failure, Phase, Restarts, describe
from headrace.model.restart_policy import GiveUp, Restart, RestartCounter

from .driven import Driven, leaves
from .gathered import Gathered
from .hands import Hands
from .life import Ended, Life, inside
from .moving import surviving_listeners
from .renewal import begins_anew
from .wiring import Member

Verdict = Literal["finished", "stopped", "crashed", "overran", "cancelled"]
Why = Literal["grace", "deadline", "restart"]


class Between(Protocol):
    """What looks after a component between two lives."""

    def awaiting(self, one: Supervised) -> str:
        """Return what it waits for."""
        ...

    def cut_off(self, one: Supervised) -> None:
        """Do not bring a component back any more."""
        ...


class Superior(Protocol):
    """Who is told of the ends of a component."""

    @property
    def draining(self) -> bool:
        """Whether the system is to end."""
        ...

    def restart(self, one: Supervised, pause: float) -> None:
        """Have a component live again, after a pause."""
        ...

    def has_ended(self, one: Supervised) -> None:
        """Take note of the verdict on a component."""
        ...


class Supervised:
    """A member while the system runs.

    Args:
        member: The component.
        harness: What ``stop()`` recognises its own components by.
        superior: Told of its ends, in the component's task.
        hands: What becomes of messages in hand.
        counter: Counts its restarts.
        logger: For what happens.

    Attributes:
        verdict: How it ended for good; None until then.
        error: What it failed with for good.
        between: What looks after it between two lives.
        left: Set at the end of a life that was ended for the sake of others.
        restarts: How often it was started again.
        next_restart: When it is to be started again, on the system's monotonic clock, which every thread can
            read; None where it is not.
        crash: Its last crash, and what followed.
        last_error: What it has last failed with.
        state_lost: What it had gathered, and lost with a life.
    """

    __slots__ = (
        "_counter",
        "_first",
        "_gathered",
        "_harness",
        "_life",
        "_logger",
        "_phase",
        "_superior",
        "between",
        "crash",
        "error",
        "forced_at",
        "given_up",
        "hands",
        "last_error",
        "left",
        "member",
        "next_restart",
        "on_task_end",
        "restarts",
        "silent",
        "state_lost",
        "stopping",
        "verdict",
    )

    def __init__(
        self,
        member: Member,
        harness: object,
        superior: Superior,
        hands: Hands,
        counter: RestartCounter,
        logger: Any,
    ) -> None:
        self.member = member
        self.hands = hands
        self.verdict: Verdict | None = None
        self.error: BaseException | None = None
        self._first: tuple[Phase, BaseException] | None = None
        self.last_error: BaseException | None = None
        self.given_up = GiveUp()
        self._phase: Phase = "process"
        self.silent = False
        self.stopping: Why | Literal[""] = ""
        self.forced_at = ""
        self.on_task_end: Callable[[], None] | None = None
        self.between: Between | None = None
        self.left: anyio.Event | None = None
        self.restarts = 0
        self.next_restart: float | None = None
        self.crash: Crash | None = None
        self.state_lost = ""
        self._harness = harness
        self._superior = superior
        self._counter = counter
        self._logger = logger
        self._gathered: Gathered | None = None
        self._life = Life(member, self._task_has_ended)

    # --- what others see and do ----------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether it has not been judged yet; it may be between two lives."""
        return self.verdict is None

    @property
    def at_work(self) -> tuple[Driven, ...]:
        """The tasks of its life: ``process()`` and what it spawned; none between two lives."""
        return self._life.at_work if self.between is None else ()

    @property
    def lives(self) -> bool:
        """Whether it runs, be it that it is to end for the sake of others."""
        return self.alive and (self.between is None or (self.left is not None and not self.left.is_set()))

    @property
    def awaiting(self) -> str:
        """Where it waits, as a line of its own source, or what for between two lives."""
        if self.between is None or self.lives:
            return self._life.awaiting
        return self.between.awaiting(self)

    @property
    def rests(self) -> bool:
        """Whether it can only be roused by a message: all its tasks wait to receive, with nothing in hand."""
        return self.between is None and self._life.rests

    def insist(self) -> None:
        """Do not let it swallow a cancellation from now on."""
        self._life.insist()

    def cancel(self, why: Why) -> None:
        """Cancel it: a source after its grace (a normal end), anything at the deadline, or for a restart."""
        if self.stopping != "deadline":
            self.stopping = why
        if self.between is not None and why == "deadline":
            self.between.cut_off(self)
        self._life.cancel()
        component = self.member.component
        if why != "grace" and isinstance(component, FunctionComponent) and component.away is not None:
            component.away.abandon()

    def spawn(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], *args: object, name: str | None = None
    ) -> None:
        """Start a task in the component's own task group."""
        self._life.spawn(fn, *args, name=name)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What it was given up for: the first error of those in a row, and the last."""
        name, last, after = self.member.name, self.error, str(self.given_up)
        if last is None:
            return ()
        if self._first is None or self._first[1] is last or not after:
            return (Failure(name, self._phase, last, after),)
        return (Failure(name, *self._first, after), Failure(name, self._phase, last))

    @property
    def redelivered(self) -> int:
        """How many messages it was given once more."""
        edges = (edge for inlet in self.member.inlets.values() for edge in inlet.lanes)
        return sum(self.hands.redelivered[edge.key] for edge in edges)

    def report(self, troubles: Sequence[str] = ()) -> Restarts | None:
        """Return what is to be said of its restarts; nothing where there were none."""
        if not (self.restarts or troubles):
            return None
        error = "" if self.last_error is None else describe(self.last_error)
        return Restarts(
            self.member.name,
            self.restarts,
            self.redelivered,
            self.state_lost,
            error,
            bool(self.restarts) and self.member.is_source and begins_anew(self.member),
            tuple(troubles),
        )

    def inject(self, error: BaseException) -> None:
        """Let it crash where it waits, as if a task of its own had failed; nothing happens between two lives."""
        if self.between is None and self.alive:
            self._life.fail(error)

    # --- a life ----------------------------------------------------------------------------------------

    def be_reborn(self) -> None:
        """Be ready for another life, on handles that were made for it."""
        self.restarts += 1
        self.next_restart = None
        self.between = None
        self.stopping = ""
        self.forced_at = ""
        self._life = Life(self.member, self._task_has_ended)

    async def run(self) -> None:
        """Live one life; the next one gets a task of its own, so that it inherits nothing."""
        inside.set((*inside.get(), self._harness))
        self._counter.began()
        self._gathered = Gathered(self.member)
        life = self._life
        try:
            ended = await life.run(silent=self.silent)
        except BaseException:
            self.forced_at = life.forced_at
            if life.errors:
                self.give_up(_one_of(life.errors), GiveUp())
            else:
                self.judge("cancelled")
            raise
        self.forced_at = life.forced_at
        self._has_lived(ended)

    def _has_lived(self, ended: Ended) -> None:
        if ended == "crashed":
            self._has_crashed(_one_of(self._life.errors))
        elif ended == "returned":
            self._has_returned()
        elif self.stopping == "restart" and self.between is not None:
            self._counter.interrupted()
            self._lose_state()
            self.hands.keep(self.member)
        elif self.stopping == "grace" and not self.forced_at:
            self.judge("stopped")
        else:
            self.judge("overran")
        if self.left is not None:
            self.left.set()

    def _task_has_ended(self) -> None:
        if self.on_task_end is not None:
            self.on_task_end()

    def _has_returned(self) -> None:
        """End for good, unless it is to work as long as there may be something to do."""
        if self._counter.policy.when != "always" or self.silent or self._superior.draining:
            self.judge("finished")
            return
        self.hands.acknowledge(self.member)
        if self.member.inlets and all(inlet.exhausted for inlet in self.member.inlets.values()):
            self.judge("finished")
            return
        verdict = self._counter.ended(failed=False)
        if isinstance(verdict, GiveUp):
            self.give_up(ComponentError("its process() returns again and again"), verdict)
            return
        wind_down(self.member.status)
        self._logger.info("component restarts", **self._about(verdict))
        self._come_back(verdict)

    def _has_crashed(self, error: BaseException) -> None:
        verdict = self.fails(error)
        if isinstance(verdict, GiveUp):
            self.give_up(error, verdict)
            return
        self._lose_state()
        put = self.hands.put_back(self.member, error)
        self.crash = Crash(
            self.member.name, error, verdict.number, verdict.of, verdict.after, put.letters, put.again
        )
        self._move_to_error(error)
        self._log_crash(error, verdict)
        self._come_back(verdict)

    def _lose_state(self) -> None:
        lost = "" if self._gathered is None else self._gathered.lost()
        if lost:
            self.state_lost = lost
            self._logger.warning("component lost its state", component=self.member.name, state=lost)

    def _come_back(self, verdict: Restart) -> None:
        if self.between is None:  # else it was about to be restarted anyway
            self._superior.restart(self, verdict.after)

    # --- verdicts --------------------------------------------------------------------------------------

    def fails(self, error: BaseException, phase: Phase = "process") -> Restart | GiveUp:
        """Return the verdict on an error: what is no ``Exception``, or comes past the deadline, is given up."""
        verdict: Restart | GiveUp = self._counter.ended(failed=True)
        if self.stopping == "deadline" or not all(isinstance(leaf, Exception) for leaf in leaves(error)):
            verdict = GiveUp()
        if isinstance(verdict, Restart):
            if verdict.number == 1:
                self._first = (phase, error)
            self.next_restart = time.monotonic() + verdict.after
        self.last_error = error
        return verdict

    def give_up(self, error: BaseException, verdict: GiveUp, phase: Phase = "process") -> None:
        """End it for good because of an error."""
        self.given_up = verdict
        self._phase = phase
        self.error = self.last_error = error
        self.next_restart = None
        put = self.hands.put_away(self.member, error)
        self.crash = Crash(self.member.name, error, of=verdict.restarts, letters=put.letters)
        self._move_to_error(error)
        self._log_crash(error, verdict)
        self.judge("crashed")

    def judge(self, verdict: Verdict) -> None:
        """End it for good: the end travels over its edges, and the system is told."""
        self.verdict = verdict
        self.next_restart = None
        member = self.member
        for outlet in member.outlets.values():
            outlet.end()
        for inlet in member.inlets.values():
            if verdict in ("overran", "cancelled"):
                inlet.ended = True  # what is left stays in the books as left, whatever clean-up closes
            else:
                inlet.finish()
                inlet.end()
        if verdict in ("finished", "stopped"):
            for move in (wind_down, finish_winding_down):
                with surviving_listeners(self._logger, member.name):
                    move(member.status)
        self._superior.has_ended(self)

    def _move_to_error(self, error: BaseException) -> None:
        status = self.member.status
        with surviving_listeners(self._logger, self.member.name):
            if status.can_transition_to(ComponentState.ERROR):
                status.transition_to(ComponentState.ERROR, error=error)

    def _log_crash(self, error: BaseException, verdict: Restart | GiveUp) -> None:
        for leaf in leaves(error):
            trace = (type(leaf), leaf, leaf.__traceback__)
            self._logger.error(
                "component crashed", **self._about(verdict), error=describe(leaf), exc_info=trace
            )

    def _about(self, verdict: Restart | GiveUp) -> dict[str, Any]:
        """Return what logs say of a component and its restarts."""
        about: dict[str, Any] = {"component": self.member.name}
        if isinstance(verdict, Restart):
            about |= {"restart": verdict.number, "of": verdict.of, "after": round(verdict.after, 3)}
        elif verdict.restarts:
            about["gave_up"] = str(verdict)
        return about


def _one_of(errors: list[BaseException]) -> BaseException:
    return errors[0] if len(errors) == 1 else BaseExceptionGroup("several tasks of the component", errors)


__all__ = ["Superior", "Supervised", "Verdict", "Why", "inside"]
