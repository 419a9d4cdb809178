"""What becomes of the messages a component has in hand when a life of it ends, and another may follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from headrace.authoring.function_component import FunctionComponent
from headrace.exceptions import UnavailableError
from headrace.model.message import Rejected
from headrace.model.options import Attempts
from headrace.model.report import text_of
from headrace.streams.edge import GIVEN_UP, Settlement
from headrace.streams.redelivering import AnyRedelivering, take_all_back
from headrace.streams.redelivery import Redelivery

from .dead_letters import DeadLetterStore
from .driven import leaves
from .wiring import Member

PutAway = Callable[..., Awaitable[None]]


class Put(NamedTuple):
    """Where messages in hand went: the numbers of new dead letters, and how many come again."""

    letters: tuple[int, ...]
    again: int


class Hands:
    """Takes back what components have in hand, and puts away what was tried often enough.

    Args:
        dead_letters: Where messages go that failed for good.

    Attributes:
        redelivered: How many messages were to be delivered again, by the edge that they came by.
    """

    def __init__(self, dead_letters: DeadLetterStore) -> None:
        self.redelivered: Counter[str] = Counter()
        self._dead_letters = dead_letters

    def acknowledge(self, member: Member) -> None:
        """Settle what is in hand: its component has returned, and will live again on new handles.

        What it was to acknowledge itself, and has not, comes again.
        """
        if not member.acks.window:
            for inlet in member.inlets.values():
                inlet.settle_all("acknowledged")
        self.keep(member)

    def take_over(self, member: Member, put_away: PutAway) -> None:
        """Be told of messages that a component gives back by ``nack`` after their last attempt.

        Args:
            member: The component.
            put_away: Makes a message a dead letter; waits where there is no room.
        """
        if isinstance(member.component, FunctionComponent):  # which never does
            return
        policy = policy_of(member)
        rejected = member.outlets.get("rejected")

        async def give_up(entry: Redelivery[object], error: BaseException) -> tuple[Settlement, str]:
            if policy.on_error == "crash":
                raise error
            if policy.on_error == "drop":
                return "dropped", "on_error"
            if policy.on_error == "reject" and rejected is not None and not rejected.ended:
                rejected.accept_all([_rejected(entry, error)])
                return "acknowledged", ""
            known = "" if entry.meta is None else entry.meta.id
            await put_away(entry.message, error, attempts=entry.tried, edge=entry.edge.key, id=known)
            return "dead_lettered", ""

        for inlet in member.inlets.values():
            inlet.attempts, inlet.give_up = policy.attempts, give_up

    def keep(self, member: Member) -> None:
        """Let what is in hand come again, without counting it as an attempt: its component was not to blame."""
        for outlet in member.outlets.values():
            outlet.retire_handles()
        for _, again in take_all_back(member.inlets.values(), crashed=False):
            self._count(again)

    def put_back(self, member: Member, error: BaseException) -> Put:
        """Let what is in hand come again after a crash; what was tried often enough is put away."""
        before, again_before = self._dead_letters.total, self.redelivered.total()
        for outlet in member.outlets.values():
            outlet.retire_handles()
        limit = deliveries(member)
        for inlet, again in self._take_back(member, error):
            poison = [one for one in again if one.blamed and one.tried >= limit]
            for one in poison:
                self._put_away(member, inlet, one, error)
            self._count([one for one in again if one not in poison])
        return self._put_since(before, again_before)

    def put_away(self, member: Member, error: BaseException) -> Put:
        """Dead-letter what a component has in hand that is given up: nobody will try it again."""
        before, again_before = self._dead_letters.total, self.redelivered.total()
        for inlet, again in self._take_back(member, error):
            for one in again:
                self._dead_letter(member, inlet, one, error, GIVEN_UP)
        return self._put_since(before, again_before)

    def _put_since(self, letters: int, again: int) -> Put:
        numbers = range(letters + 1, self._dead_letters.total + 1)
        return Put(tuple(numbers), self.redelivered.total() - again)

    def _take_back(
        self, member: Member, error: BaseException
    ) -> list[tuple[AnyRedelivering, list[Redelivery[object]]]]:
        """Take what is in hand after a crash; of a port that the component has closed, it dies at once."""
        for inlet in member.inlets.values():
            for edge, message in inlet.settle_all("dead_lettered", GIVEN_UP) if inlet.ended else ():
                self._dead_letters.put_now(member.name, message, error, attempts=1, edge=edge.key)
        blameless = all(isinstance(leaf, UnavailableError) for leaf in leaves(error))
        return take_all_back(member.inlets.values(), crashed=not blameless)

    def _count(self, again: list[Redelivery[object]]) -> None:
        self.redelivered.update(one.edge.key for one in again)

    def _put_away(
        self, member: Member, inlet: AnyRedelivering, one: Redelivery[object], error: BaseException
    ) -> None:
        """Do with a message what ``on_error`` says; the crash itself has happened already."""
        action = policy_of(member).on_error
        rejected = member.outlets.get("rejected")
        if action == "drop":
            inlet.bury(one, "dropped", "on_error")
        elif action == "reject" and rejected is not None and not rejected.ended:
            inlet.bury(one, "acknowledged")
            rejected.accept_all([_rejected(one, error)])
        else:
            self._dead_letter(member, inlet, one, error)

    def _dead_letter(
        self,
        member: Member,
        inlet: AnyRedelivering,
        one: Redelivery[object],
        error: BaseException,
        reason: str = "",
    ) -> None:
        inlet.bury(one, reason=reason)
        known = "" if one.meta is None else one.meta.id
        self._dead_letters.put_now(
            member.name, one.message, error, attempts=max(one.tried, 1), edge=one.edge.key, id=known
        )


def _rejected(one: Redelivery[object], error: BaseException) -> Rejected[object]:
    return Rejected(one.message, f"{type(error).__name__}: {text_of(error)}")


def policy_of(member: Member) -> Attempts:
    """Return what was said of messages that fail in a component."""
    if isinstance(member.component, FunctionComponent):
        return member.component.attempts
    return member.attempts or Attempts()


def deliveries(member: Member) -> int:
    """Return how often a message is tried: never so often that it alone could use up the restarts."""
    return min(policy_of(member).attempts, member.restart.max_restarts)


__all__ = ["Hands", "Put", "deliveries", "policy_of"]
