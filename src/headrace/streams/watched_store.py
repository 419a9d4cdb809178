"""How somebody looks at the messages of an edge: by another class for its store, for as long as somebody does.

So the usual way has no flag to ask for. A wrapper around the store would cost a call each time that its length is
asked, several times a message.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Any

from .marks import Marks
from .sampler import Sampler

if TYPE_CHECKING:
    from .edge import AnyEdge
    from .settlements import Settlements


def attach(edge: AnyEdge, sampler: Sampler) -> None:
    """Let a sampler see what an edge accepts, from now on."""
    store = edge.store
    _watch(edge, (*store.samplers, sampler), store.marks, store.settlements)


def detach(edge: AnyEdge, sampler: Sampler) -> None:
    """Let a sampler see nothing more of an edge; the last one leaves the store as it was."""
    store = edge.store
    others = tuple(one for one in store.samplers if one is not sampler)
    _watch(edge, others, store.marks, store.settlements)


def mark(edge: AnyEdge, marks: Marks | None) -> None:
    """Let the messages of an edge have marks from now on, or none."""
    _watch(edge, edge.store.samplers, marks, edge.store.settlements)


def hear(edge: AnyEdge, settlements: Settlements) -> None:
    """Let somebody hear what an edge accepts, and what becomes of it, from now on."""
    store = edge.store
    _watch(edge, store.samplers, store.marks, (*store.settlements, settlements))


def hear_no_more(edge: AnyEdge, settlements: Settlements) -> None:
    """Let somebody hear nothing more of an edge."""
    store = edge.store
    others = tuple(one for one in store.settlements if one is not settlements)
    _watch(edge, store.samplers, store.marks, others)


def _watch(
    edge: AnyEdge,
    samplers: tuple[Sampler, ...],
    marks: Marks | None,
    settlements: tuple[Settlements, ...],
) -> None:
    store = edge.store
    is_watched = store.samplers or store.marks is not None or store.settlements
    kind = type(store).__bases__[0] if is_watched else type(store)
    kind = kind.__bases__[0] if store.settlements else kind
    if not samplers and marks is None and not settlements:
        store.__class__ = kind
        return
    if settlements:
        kind = _heard(settlements, edge, kind)
    members: dict[str, Any] = {"__slots__": (), "samplers": samplers, "marks": marks}
    members |= _seen_by(samplers, edge, kind) if marks is None else _marked(samplers, marks, edge, kind)
    watched: type[Any] = ABCMeta(f"Watched{kind.__name__}", (kind,), members)
    store.__class__ = watched


def _heard(settlements: tuple[Settlements, ...], edge: AnyEdge, kind: type[Any]) -> type[Any]:
    """Return a class of stores whose messages somebody wants to know what becomes of."""

    def add(store: Any, messages: list[Any]) -> Any:
        for one in settlements:
            one.stored(edge, messages)
        return kind.add(store, messages)

    def append(store: Any, message: Any) -> None:
        for one in settlements:
            one.stored(edge, (message,))
        kind.append(store, message)

    def discard_oldest(store: Any) -> None:
        oldest = kind.messages(store)[:1]
        kind.discard_oldest(store)
        for one in settlements:
            one.settled(edge, oldest, "dropped", "drop_oldest")

    members = {"add": add, "append": append, "discard_oldest": discard_oldest}
    heard: type[Any] = ABCMeta(
        kind.__name__, (kind,), {"__slots__": (), "settlements": settlements, **members}
    )
    return heard


def _seen_by(samplers: tuple[Sampler, ...], edge: AnyEdge, kind: type[Any]) -> dict[str, Any]:
    """Return what a store does that shows messages to samplers before it keeps them."""

    def add(store: Any, messages: list[Any]) -> Any:
        first = edge.accepted_before - len(messages) + 1
        for sampler in samplers:
            sampler.offer(edge, first, messages)
        return kind.add(store, messages)

    def append(store: Any, message: Any) -> None:
        for sampler in samplers:
            sampler.offer(edge, edge.accepted_before, (message,))
        kind.append(store, message)

    def ended(store: Any) -> None:
        kind.ended(store)
        for sampler in samplers:
            sampler.edge_ended()

    return {"add": add, "append": append, "ended": ended}


def _marked(samplers: tuple[Sampler, ...], marks: Marks, edge: AnyEdge, kind: type[Any]) -> dict[str, Any]:
    """Return what a store does some of whose messages have marks."""
    seen = _seen_by(samplers, edge, kind)

    def add(store: Any, messages: list[Any]) -> Any:
        marks.stored += len(messages)
        marks.passing(edge)
        return seen["add"](store, messages)

    def append(store: Any, message: Any) -> None:
        marks.stored += 1
        marks.passing(edge)
        seen["append"](store, message)

    def ended(store: Any) -> None:
        marks.look()
        seen["ended"](store)

    return {"add": add, "append": append, "ended": ended, **_one_by_one(marks, kind)}


def _one_by_one(marks: Marks, kind: type[Any]) -> dict[str, Any]:
    """Return how messages leave a store: one with a mark is taken alone, and it is seen when that is settled."""
    length = kind.__len__

    def take(store: Any, at_most: int) -> Any:
        marks.look()
        ahead = marks.ahead(length(store))
        if ahead < 0:
            return kind.take(store, at_most)
        chunk = kind.take(store, min(at_most, ahead) or 1)
        if not ahead:
            marks.take()
        return chunk

    def size(store: Any) -> Any:
        if marks.at_work:
            marks.look()
        return length(store)

    def clear(store: Any) -> Any:
        marks.forget()
        return kind.clear(store)

    return {"take": take, "__len__": size, "clear": clear}


__all__ = ["attach", "detach", "hear", "hear_no_more", "mark"]
