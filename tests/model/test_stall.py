"""Who blocks whom, decided without a loop: culprits at the end of chains, and circles in which nobody can move."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.stall import Picture, find_deadlocks, find_stalls
from headrace.model.trouble import Link, Wait, WaitKind, span

NOW = 100.0


def link(
    key: str, *, for_seconds: float | None = None, taken: int = 0, fill: tuple[int, int] = (2, 2)
) -> Link:
    """Return an edge ``a.out -> b.in``, on which somebody has waited for so many seconds."""
    sender, receiver = (end.partition(".")[0] for end in key.split(" -> "))
    since = None if for_seconds is None else NOW - for_seconds
    return Link(key, sender, receiver, *fill, since, taken, 1.0 if for_seconds else 0.0)


def wait(kind: WaitKind, *edges: str, text: str = "", for_seconds: float = 5, where: str = "") -> Wait:
    return Wait(kind, text or " or ".join(edges), NOW - for_seconds, edges, where)


def picture(waits: dict[str, list[Wait]], *links: Link, shared: dict[str, str] | None = None) -> Picture:
    return Picture(
        NOW, {k: tuple(v) for k, v in waits.items()}, {one.key: one for one in links}, shared or {}
    )


AWAITS = wait("await", text="fetch() at store.py:41", where="fetch() at store.py:41")
CHAIN = picture(
    {
        "source": [wait("send", "source.out -> parse.in", for_seconds=9)],
        "parse": [wait("send", "parse.out -> store.in", for_seconds=12)],
        "store": [AWAITS],
    },
    link("source.out -> parse.in", for_seconds=9),
    link("parse.out -> store.in", for_seconds=12, fill=(100, 100)),
)


# --- culprits ---------------------------------------------------------------------------------------


def test_a_chain_of_blocked_senders_is_followed_to_whoever_waits_for_no_edge() -> None:
    (stall,) = find_stalls(CHAIN, 1)
    assert (stall.kind, stall.component, stall.blocked) == ("blocked", "store", ("parse", "source"))
    assert str(stall) == (
        "parse has been blocked 12 s sending to store.in (100/100); store awaits fetch() at store.py:41; "
        "behind parse: source"
    )
    assert stall.over(13) == "store goes on again; parse was held up 13 s sending to store.in"


def test_who_has_not_waited_long_enough_is_not_told() -> None:
    assert find_stalls(CHAIN, 20) == ()


def test_an_idle_system_has_no_stall() -> None:
    idle = picture(
        {
            "source": [wait("await", text="recv() at net.py:3")],
            "sink": [wait("receive", "source.out -> sink.in")],
        },
        link("source.out -> sink.in", fill=(0, 2)),
    )
    assert find_stalls(idle, 0) == ()
    assert find_deadlocks(idle, 0) == ()


def test_who_takes_little_is_slow_and_who_keeps_up_is_not_told() -> None:
    waits = {"parse": [wait("send", "parse.out -> store.in", for_seconds=0.1)], "store": [AWAITS]}
    slow = link("parse.out -> store.in", for_seconds=12, taken=3, fill=(100, 100))
    (stall,) = find_stalls(picture(waits, slow), 1)
    assert str(stall) == (
        "parse has been held up 12 s sending to store.in (100/100); store is slow (3 messages/s, 33 s behind): "
        "it awaits fetch() at store.py:41"
    )
    assert find_stalls(picture(waits, replace(slow, taken=1000)), 1) == ()


def test_a_tiny_buffer_does_not_hide_who_is_slow() -> None:
    waits = {"parse": [wait("send", "parse.out -> store.in")], "store": [AWAITS]}
    slow = link("parse.out -> store.in", for_seconds=5, taken=4, fill=(1, 1))
    assert [stall.kind for stall in find_stalls(picture(waits, slow), 1)] == ["slow"]
    assert find_stalls(picture(waits, replace(slow, taken=10)), 1) == ()


def test_who_lacks_other_messages_is_not_to_blame() -> None:
    seen = picture(
        {
            "rows": [wait("send", "rows.out -> join.left")],
            "join": [wait("receive", "weather.out -> join.right")],
            "weather": [wait("await", text="recv() at weather.py:12")],
        },
        link("rows.out -> join.left", for_seconds=5),
        link("weather.out -> join.right", fill=(0, 2)),
    )
    (stall,) = find_stalls(seen, 1)
    assert str(stall) == (
        "rows has been blocked 5.0 s sending to join.left (2/2); join waits for a message on join.right; "
        "weather awaits recv() at weather.py:12"
    )


def test_replicas_that_are_slow_together_are_one_stall_by_the_name_they_share() -> None:
    keys = ("parse.out -> store[0].in", "parse.out -> store[1].in")
    links = [replace(link(key, for_seconds=4), receiver=f"store[{i}]") for i, key in enumerate(keys)]
    seen = picture(
        {"parse": [wait("send", *keys)], "store[0]": [AWAITS], "store[1]": [AWAITS]},
        *links,
        shared={"store[0]": "store", "store[1]": "store"},
    )
    (stall,) = find_stalls(seen, 1)
    assert stall.key == "store"
    assert stall.component in ("store[0]", "store[1]")


@pytest.mark.parametrize(
    ("kind", "text", "told", "says"),
    [
        ("paused", "", "paused", "store is paused"),
        ("restart", "restarts in 1.6 s", "restarting", "store restarts in 1.6 s"),
        (
            "workers",
            "its worker, which is in slow() at x.py:3",
            "blocked",
            "store waits for its worker, which",
        ),
        ("turn", "", "blocked", "store is at work"),
    ],
)
def test_what_a_culprit_does_is_said(kind: WaitKind, text: str, told: str, says: str) -> None:
    waits = {"parse": [wait("send", "parse.out -> store.in")], "store": [Wait(kind, text, NOW - 5)]}
    (stall,) = find_stalls(picture(waits, link("parse.out -> store.in", for_seconds=5)), 1)
    assert stall.kind == told
    assert says in str(stall)
    assert stall.is_meant is (told in ("paused", "restarting"))


def test_a_full_dead_letter_store_is_told_before_anybody_is_blocked() -> None:
    text = "room in the dead-letter store (2/2)"
    (stall,) = find_stalls(picture({"parse": [wait("dead_letters", text=text, for_seconds=3)]}), 1)
    assert (stall.kind, str(stall)) == (
        "dead_letters",
        "parse has been waiting 3.0 s for room in the dead-letter store (2/2)",
    )
    assert stall.over(4) == "parse goes on, after waiting 4.0 s for room in the dead-letter store (2/2)"


def test_a_chain_of_ten_thousand_is_followed() -> None:
    names = [f"c{number}" for number in range(10_000)]
    keys = [f"{a}.out -> {b}.in" for a, b in pairwise(names)]
    waits = {name: [wait("send", key)] for name, key in zip(names, keys, strict=False)}
    seen = picture({**waits, names[-1]: [AWAITS]}, *(link(key, for_seconds=5) for key in keys))
    (stall,) = find_stalls(seen, 1)
    assert stall.component == "c9999"
    assert len(stall.blocked) == 9_999
    assert len(str(stall)) < 400
    assert find_deadlocks(seen, 1) == ()


# --- deadlocks --------------------------------------------------------------------------------------

PAIR = {
    "a": [wait("send", "a.out -> b.in", where="process() at pair.py:9")],
    "b": [wait("send", "b.out -> a.in", where="process() at pair.py:14", for_seconds=4)],
}
PAIR_LINKS = (
    link("a.out -> b.in", for_seconds=5, fill=(100, 100)),
    link("b.out -> a.in", for_seconds=4, fill=(100, 100)),
)


def test_two_that_wait_for_each_other_are_a_deadlock_with_their_lines() -> None:
    (deadlock,) = find_deadlocks(picture(PAIR, *PAIR_LINKS), 1)
    assert str(deadlock) == (
        "deadlock: a.out -> b.in (100/100) and b.out -> a.in (100/100) wait for each other: "
        "a in process() at pair.py:9, b in process() at pair.py:14"
    )
    assert deadlock.seconds == 4  # since the last of them came to a stop
    assert find_deadlocks(picture(PAIR, *PAIR_LINKS), 4.5) == ()
    assert find_stalls(picture(PAIR, *PAIR_LINKS), 1) == ()
    assert deadlock.over(6) == "a and b go on, after waiting for each other 6.0 s"


@pytest.mark.parametrize("other", [AWAITS, wait("turn"), wait("workers"), wait("receive", "x.out -> a.side")])
def test_a_task_that_may_still_move_makes_it_none(other: Wait) -> None:
    waits = {**PAIR, "a": [*PAIR["a"], other], "x": [wait("await")]}
    assert find_deadlocks(picture(waits, *PAIR_LINKS, link("x.out -> a.side", fill=(0, 2))), 1) == ()


def test_a_circle_with_a_timer_in_it_is_told_with_what_its_owner_awaits() -> None:
    waits = {**PAIR, "a": [*PAIR["a"], wait("await", text="tick() at pair.py:5")]}
    (stall,) = find_stalls(picture(waits, *PAIR_LINKS), 1)
    assert str(stall) == (
        "b has been blocked 4.0 s sending to a.in (100/100); a waits for a.out -> b.in, too; "
        "a awaits tick() at pair.py:5"
    )


def test_one_that_sends_to_itself_waits_for_itself() -> None:
    seen = picture({"a": [wait("send", "a.out -> a.in")]}, link("a.out -> a.in", for_seconds=5))
    assert [str(one) for one in find_deadlocks(seen, 1)] == ["deadlock: a.out -> a.in (2/2) waits for itself"]


def test_a_join_that_reads_one_side_while_the_other_is_full_is_a_deadlock() -> None:
    seen = picture(
        {
            "rows": [wait("send", "rows.out -> join.left")],
            "join": [wait("receive", "rows.out -> join.right")],
        },
        link("rows.out -> join.left", for_seconds=5),
        link("rows.out -> join.right", fill=(0, 2)),
    )
    assert [str(one) for one in find_deadlocks(seen, 1)] == [
        "deadlock: rows.out -> join.left (2/2) and join, which waits for a message on rows.out -> join.right "
        "(0/2), wait for each other"
    ]


def test_a_circle_in_which_all_wait_for_messages_only_is_none() -> None:
    seen = picture(
        {"a": [wait("receive", "b.out -> a.in")], "b": [wait("receive", "a.out -> b.in")]},
        link("a.out -> b.in", fill=(0, 2)),
        link("b.out -> a.in", fill=(0, 2)),
    )
    assert find_deadlocks(seen, 0) == ()


def test_one_that_waits_for_its_own_message_while_others_send_to_it_is_one() -> None:
    seen = picture(
        {"a": [wait("receive", "a.out -> a.back")], "source": [wait("send", "source.out -> a.in")]},
        link("a.out -> a.back", fill=(0, 2)),
        link("source.out -> a.in", for_seconds=5),
    )
    assert [str(one) for one in find_deadlocks(seen, 1)] == [
        "deadlock: a, which waits for a message on a.out -> a.back (0/2), waits for itself; "
        "behind them: source"
    ]


def test_who_may_send_to_one_of_several_is_stuck_only_if_all_of_them_are() -> None:
    waits = {**PAIR, "a": [wait("send", "a.out -> b.in", "a.out -> c.in")], "c": [AWAITS]}
    links = (*PAIR_LINKS, link("a.out -> c.in", for_seconds=5))
    assert find_deadlocks(picture(waits, *links), 1) == ()
    waits["c"] = [wait("send", "c.out -> a.in")]
    links = (*links, link("c.out -> a.in", for_seconds=5))
    (deadlock,) = find_deadlocks(picture(waits, *links), 1)
    assert set(deadlock.components) <= {"a", "b", "c"}


def test_who_merely_waits_for_a_deadlock_is_not_in_it() -> None:
    waits = {**PAIR, "source": [wait("send", "source.out -> a.in2")]}
    (deadlock,) = find_deadlocks(picture(waits, *PAIR_LINKS, link("source.out -> a.in2", for_seconds=5)), 1)
    assert (deadlock.components, deadlock.blocked) == (("a", "b"), ("source",))


# --- whatever the picture ---------------------------------------------------------------------------

NAMES = "abcde"


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Draw a system of a few components with waits that its edges allow."""
    ways = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), unique=True, max_size=8))
    links, waits = [], dict[str, list[Wait]]()
    for sender, receiver in ways:
        pressed = draw(st.booleans())
        one = link(f"{sender}.o -> {receiver}.i{sender}", for_seconds=5 if pressed else None)
        links.append(one)
        if pressed:
            waits.setdefault(sender, []).append(wait("send", one.key))
        elif draw(st.booleans()):
            waits.setdefault(receiver, []).append(wait("receive", one.key))
    for name in NAMES:
        if name not in waits or draw(st.booleans()):
            waits.setdefault(name, []).append(AWAITS)
    return picture(waits, *links)


def helpers(seen: Picture, name: str) -> set[str]:
    """Return who can end any wait of a component."""
    found = set()
    for one in seen.waits[name]:
        for key in one.edges:
            found.add(seen.links[key].receiver if one.kind == "send" else seen.links[key].sender)
    return found


@given(pictures())
def test_nobody_outside_can_free_who_is_in_a_deadlock(seen: Picture) -> None:
    for deadlock in find_deadlocks(seen, 1):
        for name in deadlock.components:
            assert all(one.kind in ("send", "receive") for one in seen.waits[name])
            assert helpers(seen, name) <= {*deadlock.components, *deadlock.blocked} | stuck(seen)


def stuck(seen: Picture) -> set[str]:
    """Return who can never go on, by trying whoever can, over and over."""
    free: set[str] = set()
    while more := {
        name
        for name in NAMES
        if name not in free
        and (any(one.kind == "await" for one in seen.waits[name]) or helpers(seen, name) & free)
    }:
        free |= more
    return set(NAMES) - free


@given(pictures())
def test_who_is_told_to_keep_others_waiting_has_something_of_its_own_to_wait_for(seen: Picture) -> None:
    for stall in find_stalls(seen, 1):
        kinds = {one.kind for one in seen.waits[stall.component]}
        assert kinds - {"send", "receive"} or stall.component in reached(seen, stall.component)
        assert stall.blocked
        assert stall.component not in stall.blocked or stall.blocked == (stall.component,)


@given(pictures())
def test_every_blocked_sender_is_explained(seen: Picture) -> None:
    told = {name for stall in find_stalls(seen, 1) for name in (stall.component, *stall.blocked)}
    told |= {name for one in find_deadlocks(seen, 1) for name in (*one.components, *one.blocked)}
    pressed = {one.sender for one in seen.links.values() if one.pressed_since is not None}
    assert pressed <= told


def reached(seen: Picture, name: str) -> set[str]:
    """Return all that a component waits for, over any number of steps."""
    found: set[str] = set()
    todo = [name]
    while todo:
        fresh = helpers(seen, todo.pop()) - found
        found |= fresh
        todo += fresh
    return found


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.84, "0.8 s"), (9.96, "10 s"), (12, "12 s"), (180, "3 min"), (9000, "2 h")]
)
def test_times_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
