"""What becomes of the messages a component has in hand when a life of it ends, and another may follow."""

from __future__ import annotations

from typing import Any

from headrace.authoring.function_component import FunctionComponent
from headrace.model.message import Rejected
from headrace.model.options import Attempts

from .dead_letters import DeadLetterStore
from .wiring import Member


class Hands:
    """Takes back what components have in hand, and puts away what was tried often enough.

    Args:
        dead_letters: Where messages go that failed for good.
    """

    def __init__(self, dead_letters: DeadLetterStore) -> None:
        self.dead_letters = dead_letters
        self.redelivered: dict[str, int] = {}
        self._tried: dict[int, int] = {}

    def acknowledge(self, member: Member) -> None:
        """Settle what is in hand: its component has returned, and will live again on new handles."""
        for inlet in member.inlets.values():
            inlet.settle_all("acknowledged")
        self.keep(member)

    def keep(self, member: Member) -> None:
        """Let what is in hand come again, without counting it as an attempt: its component was not to blame."""
        _shut(member)
        for inlet in member.inlets.values():
            back = _take(inlet)
            self.redelivered[member.name] = self.redelivered.get(member.name, 0) + len(back)
            inlet.put_back_all(back)

    def put_back(self, member: Member, error: BaseException) -> None:
        """Let what is in hand come again after a crash; what was tried often enough is put away."""
        _shut(member)
        limit = deliveries(member)
        for inlet in member.inlets.values():
            again = []
            for edge, [message] in _take(inlet):
                tried = self._tried[id(message)] = self._tried.get(id(message), 0) + 1
                if tried >= limit:
                    self._put_away(member, edge, message, error, tried)
                else:
                    again.append((edge, [message]))
            self.redelivered[member.name] = self.redelivered.get(member.name, 0) + len(again)
            inlet.put_back_all(again)

    def put_away(self, member: Member, error: BaseException) -> None:
        """Dead-letter what a component has in hand that is given up: nobody will try it again."""
        for inlet in member.inlets.values():
            for edge, message in inlet.settle_all("dead_lettered"):
                tried = self._tried.get(id(message), 0) + 1
                self.dead_letters.put_now(member.name, message, error, attempts=tried, edge=edge.key)

    def _put_away(self, member: Member, edge: Any, message: Any, error: BaseException, tried: int) -> None:
        action = policy_of(member).on_error
        if action == "drop":
            edge.settle([message], "dropped", "on_error")
        elif action == "reject" and "rejected" in member.outlets:
            edge.settle([message], "acknowledged")
            member.outlets["rejected"].accept_all([Rejected(message, f"{type(error).__name__}: {error}")])
        else:
            edge.settle([message], "dead_lettered")
            self.dead_letters.put_now(member.name, message, error, attempts=tried, edge=edge.key)


def policy_of(member: Member) -> Attempts:
    """Return what was said of messages that fail in a component."""
    if isinstance(member.component, FunctionComponent):
        return member.component.attempts
    return member.attempts or Attempts()


def deliveries(member: Member) -> int:
    """Return how often a message is delivered: never so often that it alone could use up the restarts."""
    return min(policy_of(member).attempts, member.restart.max_restarts)


def _shut(member: Member) -> None:
    for outlet in member.outlets.values():
        outlet.retire()


def _take(inlet: Any) -> list[Any]:
    pieces = []
    for handle in inlet.handles:
        handle.shut()
        handle._final = True
        if handle.edge is not None:
            handle.edge.settled_before += handle.acknowledged_of(handle.edge)
        pieces += handle._hand.put_down()
    inlet.handles.clear()
    return pieces


__all__ = ["Hands", "deliveries", "policy_of"]
