"""Who blocks whom: from a picture of what waits for what to the component at fault, in words.

A blocked sender is not to blame, nor is whoever waits for a message: the chain is followed to somebody who does
neither. A circle in which nobody can ever move again is a deadlock; one that merely is busy is not.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .topology import Topology
from .trouble import Deadlock, Link, Stall, StallKind, Wait, WaitKind

_KINDS: Mapping[WaitKind, StallKind] = {
    "dead_letters": "dead_letters",
    "paused": "paused",
    "restart": "restarting",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Who waits for what at one moment; of a large system only the part that somebody is stuck in.

    Attributes:
        now: The moment, in seconds on the clock of the run.
        waits: What each task of a component waits for, by the component's name.
        links: The edges, by key.
        shared: The names that replicas share, by their own.
    """

    now: float
    waits: Mapping[str, tuple[Wait, ...]]
    links: Mapping[str, Link]
    shared: Mapping[str, str] = field(default_factory=dict)

    def known_as(self, component: str) -> str:
        """Return the name that the user has given to a component; replicas have one together."""
        return self.shared.get(component, component)


# --- who is to blame ------------------------------------------------------------------------------


def find_stalls(picture: Picture, after: float) -> tuple[Stall, ...]:
    """Return the components that others have been waiting for, the one that has been so longest first.

    Args:
        picture: Who waits for what.
        after: Seconds after which a wait is worth a word.
    """
    hops = list(_hops(picture, after))
    waiting = {hop.waiting for hop in hops}
    into: dict[str, list[_Hop]] = {}
    for hop in hops:
        into.setdefault(hop.helper, []).append(hop)
    culprits = [name for name in into if name not in waiting]
    culprits += _at_large_in_circles(picture, hops)
    found = [stall for name in culprits if (stall := _stall(picture, after, name, into)) is not None]
    found += [stall for stall in _starved_of_letters(picture, after) if stall.component not in culprits]
    merged: dict[str, Stall] = {}
    for stall in sorted(found, key=lambda one: -one.seconds):
        merged.setdefault(picture.known_as(stall.component), stall)
    return tuple(merged.values())


@dataclass(frozen=True, slots=True)
class _Hop:
    """One step from a component that waits to one that it waits for; ``sends`` or receives on the edge."""

    waiting: str
    helper: str
    link: Link
    sends: bool


def _hops(picture: Picture, after: float) -> Iterator[_Hop]:
    """Yield who waits for whom: for room, and without such a wait or one of its own for a message."""
    sending: set[str] = set()
    for link in picture.links.values():
        if link.pressed_since is not None and picture.now - link.pressed_since >= after:
            sending.add(link.sender)
            yield _Hop(link.sender, link.receiver, link, sends=True)
    for name, waits in picture.waits.items():
        if name in sending or any(wait.kind != "receive" for wait in waits):
            continue
        for key in dict.fromkeys(key for wait in waits for key in wait.edges):
            link = picture.links[key]
            if link.pressed_since is None:
                yield _Hop(name, link.sender, link, sends=False)


def _at_large_in_circles(picture: Picture, hops: list[_Hop]) -> Iterator[str]:
    """Yield who waits for others in a circle that nothing leads out of, and for something of its own as well.

    It may still go on, so this is no deadlock; or it is, and what it awaits is only a timer.
    """
    names = dict.fromkeys(name for hop in hops for name in (hop.waiting, hop.helper))
    for part in Topology.of(names, [(hop.waiting, hop.helper) for hop in hops]).cycles:
        inside = set(part)
        if all(hop.helper in inside for hop in hops if hop.waiting in inside):
            yield from (name for name in part if _may_go_on(picture, name, inside))


def _may_go_on(picture: Picture, name: str, circle: set[str]) -> bool:
    """Whether a component waits for something of its own, or for a message from outside of a circle."""
    waits = [wait for wait in picture.waits.get(name, ()) if wait.kind not in ("send", "turn")]
    senders = {picture.links[key].sender for wait in waits for key in wait.edges}
    return bool(senders - circle) or any(wait.kind != "receive" for wait in waits)


def _stall(picture: Picture, after: float, name: str, into: Mapping[str, list[_Hop]]) -> Stall | None:
    """Return the stall of a component that is waited for; None where it moves on well enough."""
    behind = list(_behind(name, into))
    sending = sorted((hop for hop in behind if hop.sends), key=lambda hop: hop.waiting == name)
    hop = next(iter(sending), None)
    pressed = None if hop is None else hop.link.pressed_since
    if hop is None or pressed is None:
        return None  # nobody waits for room in the end
    link = hop.link
    if link.taken and not link.is_slow(after):
        return None
    wait = _what_it_does(picture, name)
    return Stall(
        _KINDS.get(wait.kind, "slow" if link.taken else "blocked"),
        name,
        wait,
        picture.now - (pressed if link.taken else _blocked_since(picture, link)),
        tuple(dict.fromkeys(one.waiting for one in sending if one.waiting != name)) or (name,),
        link.key,
        (link.buffered, link.capacity),
        link.rate,
        _in_between(picture, name, hop, behind),
        picture.known_as(name),
    )


def _in_between(picture: Picture, name: str, hop: _Hop, behind: list[_Hop]) -> str:
    """Say what else there is to know: who waits for a message in between, or that the circle closes here."""
    if hop.helper != name:
        lacking = next(one for one in behind if one.waiting == hop.helper)
        return f"{lacking.waiting} waits for a message on {lacking.link.port}"
    sends = [wait.text for wait in picture.waits.get(name, ()) if wait.kind == "send"]
    return f"{name} waits for {sends[0]}, too" if sends else ""


def _behind(name: str, into: Mapping[str, list[_Hop]]) -> Iterator[_Hop]:
    """Yield all steps that lead to a component, the nearest first."""
    seen, queue = {name}, deque([name])
    while queue:
        for hop in sorted(into.get(queue.popleft(), ()), key=lambda hop: not hop.sends):
            yield hop
            if hop.waiting not in seen:
                seen.add(hop.waiting)
                queue.append(hop.waiting)


def _blocked_since(picture: Picture, link: Link) -> float:
    """Return when the wait for room on an edge began; that of the sender, where it is known."""
    waits = [wait.since for wait in picture.waits.get(link.sender, ()) if link.key in wait.edges]
    return min(waits, default=link.pressed_since or picture.now)


def _what_it_does(picture: Picture, name: str) -> Wait:
    """Return the wait that says most of a component: what is its own before its place in a queue."""
    waits = picture.waits.get(name, ())
    return min(
        waits,
        key=lambda wait: (wait.kind in ("send", "turn"), wait.kind == "receive", not wait.where, wait.since),
        default=Wait("turn", since=picture.now),
    )


def _starved_of_letters(picture: Picture, after: float) -> Iterator[Stall]:
    for name, waits in picture.waits.items():
        for wait in waits:
            if wait.kind == "dead_letters" and picture.now - wait.since >= after:
                seconds = picture.now - wait.since
                yield Stall("dead_letters", name, wait, seconds, known_as=picture.known_as(name))
                break


# --- deadlocks ------------------------------------------------------------------------------------


def find_deadlocks(picture: Picture, after: float) -> tuple[Deadlock, ...]:
    """Return the circles of components in which nobody can ever go on.

    A component is stuck if all its tasks wait for edges, and whoever could end such a wait is stuck too.

    Args:
        picture: Who waits for what.
        after: Seconds for which all of them have to have waited: a time-out of their own may still end it.
    """
    helpers = _helpers(picture)
    stuck = _stuck(helpers)
    order = [name for name in picture.waits if name in stuck]
    parts = Topology.of(order, [(name, other) for name in order for other in sorted(helpers[name])]).cycles
    waited: dict[str, list[str]] = defaultdict(list)
    for name, others in helpers.items():
        for other in others if name in stuck else ():
            waited[other].append(name)
    for link in picture.links.values():
        if link.pressed_since is not None:
            waited[link.receiver].append(link.sender)
    found = [_deadlock(picture, part, waited) for part in parts]
    return tuple(one for one in found if one is not None and one.seconds >= after)


def _stuck(helpers: Mapping[str, set[str]]) -> set[str]:
    """Return who can never go on: those that remain when whoever can go on has freed all it can."""
    stuck = {name for name, others in helpers.items() if others}
    waiting: dict[str, list[str]] = defaultdict(list)
    for name in stuck:
        for other in helpers[name]:
            waiting[other].append(name)
    free = deque(other for other in waiting if other not in stuck)
    while free:
        for name in waiting.get(free.popleft(), ()):
            if name in stuck:
                stuck.remove(name)
                free.append(name)
    return stuck


def _helpers(picture: Picture) -> dict[str, set[str]]:
    """Return by component who can end its waits; nobody where it waits for something else as well."""
    helpers: dict[str, set[str]] = {}
    for name, waits in picture.waits.items():
        helpers[name] = set()
        if all(wait.kind in ("send", "receive") for wait in waits):
            helpers[name] = {_helper(picture, wait, key) for wait in waits for key in wait.edges}
    return helpers


def _helper(picture: Picture, wait: Wait, key: str) -> str:
    link = picture.links.get(key)
    if link is None:
        return ""  # nobody of that name is stuck
    return link.receiver if wait.kind == "send" else link.sender


def _deadlock(picture: Picture, part: tuple[str, ...], waited: Mapping[str, list[str]]) -> Deadlock | None:
    """Return the deadlock of components that all wait for each other.

    None where they only wait for messages, and nobody waits to send them one: they are idle.
    """
    circle = _circle(picture, part)
    waits = [wait for name in part for wait in picture.waits[name]]
    pressed = (link for link in picture.links.values() if link.pressed_since is not None)
    if not any(link.sender in part or link.receiver in part for link in pressed):
        return None
    since = max(wait.since for wait in waits)
    names = [name for name, _, _ in circle]
    behind, queue = dict.fromkeys(names), deque(names)
    while queue:
        fresh = [name for name in waited[queue.popleft()] if name not in behind]
        behind.update(dict.fromkeys(fresh))
        queue += fresh
    return Deadlock(
        tuple(names),
        tuple(link for _, link, _ in circle),
        tuple(wait for _, _, wait in circle),
        picture.now - since,
        tuple(behind)[len(names) :],
    )


def _circle(picture: Picture, part: tuple[str, ...]) -> list[tuple[str, Link, Wait]]:
    """Return one way round among components that all wait for each other: each with its edge and its wait.

    Waits for room are preferred: they are what there is to mend.
    """
    way: list[tuple[str, Link, Wait]] = []
    senders = [name for name in part if any(wait.kind == "send" for wait in picture.waits[name])]
    name = (senders or list(part))[0]
    while name not in [one for one, _, _ in way]:
        hops = [
            (picture.links[key], wait)
            for wait in sorted(picture.waits[name], key=lambda wait: wait.kind != "send")
            for key in wait.edges
        ]
        link, wait = next(hop for hop in hops if _helper(picture, hop[1], hop[0].key) in part)
        way.append((name, link, wait))
        name = _helper(picture, wait, link.key)
    start = [one for one, _, _ in way].index(name)
    return way[start:]


__all__ = ["Picture", "find_deadlocks", "find_stalls"]
