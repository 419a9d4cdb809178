"""Samplers on an edge: what they see, what they count, and that they leave nothing behind."""

from __future__ import annotations

from typing import Any

from headrace.model.options import EdgeOptions
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.edge_store import MemoryStore
from headrace.streams.inlet import Inlet
from headrace.streams.outlet import Outlet
from headrace.streams.sampler import BURST, KEPT_COST, SHARE, Sampler
from headrace.streams.watched_store import attach, detach


class Clock:
    """Gives the same time until it is moved; each look may cost some."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def edge_of(size: int = 1000, **options: Any) -> AnyEdge:
    outlet: Outlet[Any] = Outlet("a.out")
    inlet: Inlet[Any] = Inlet("b.in")
    edge: AnyEdge = Edge("a.out -> b.in", EdgeOptions(buffer_size=size, **options), outlet, inlet)
    outlet.add(edge)
    inlet.add(edge)
    return edge


def everything(key: str, number: int, message: Any) -> Any:
    return (number, message)


def sampler_of(look: Any = everything, **options: Any) -> Sampler:
    return Sampler(look, clock=Clock(), **options)


def test_a_store_is_of_its_own_class_again_once_nobody_looks() -> None:
    edge = edge_of()
    one, other = sampler_of(), sampler_of()
    attach(edge, one)
    attach(edge, other)
    assert edge.store.samplers == (one, other)
    edge.accept("x")
    detach(edge, one)
    edge.accept("y")
    detach(edge, other)
    edge.accept("z")
    assert type(edge.store) is MemoryStore
    assert edge.store.messages() == ["x", "y", "z"]
    assert list(one.samples) == [(1, "x")]
    assert list(other.samples) == [(1, "x"), (2, "y")]


def test_chunks_are_numbered_like_single_messages() -> None:
    edge = edge_of()
    sampler = sampler_of()
    attach(edge, sampler)
    edge.accept("a")
    edge.accept_all(["b", "c"])
    edge.append("d")
    assert list(sampler.samples) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_a_message_that_is_put_back_is_seen_once() -> None:
    edge = edge_of()
    sampler = sampler_of()
    attach(edge, sampler)
    edge.accept_all(["a", "b"])
    edge.put_back(edge.take(2))
    assert edge.take(2) == ["a", "b"]
    assert len(sampler.samples) == 2


def test_a_message_that_finds_no_room_is_not_seen_where_it_is_dropped() -> None:
    edge = edge_of(1, when_full="drop_newest")
    sampler = sampler_of()
    attach(edge, sampler)
    edge.append("a")
    edge.append("b")
    assert list(sampler.samples) == [(1, "a")]


def test_what_nobody_takes_is_skipped_and_counted() -> None:
    sampler = sampler_of(size=2)
    edge = edge_of()
    sampler.offer(edge, 1, ["a", "b", "c"])
    sampler.offer(edge, 4, ["d", "e"])
    assert list(sampler.samples) == [(1, "a"), (2, "b")]
    assert sampler.skipped == 3
    sampler.samples.clear()
    sampler.offer(edge, 6, ["f"])
    assert list(sampler.samples) == [(6, "f")]


def test_it_takes_no_more_than_its_share_of_the_time() -> None:
    clock = Clock()
    asked = 0

    def unwanted(key: str, number: int, message: Any) -> None:
        nonlocal asked
        asked += 1
        clock.now += 0.001  # a look costs a millisecond

    sampler = Sampler(unwanted, clock=clock)
    edge = edge_of()
    sampler.offer(edge, 1, range(1000))
    assert asked == round(BURST / 0.001)
    began = clock.now
    while clock.now < began + 100:
        clock.now += 0.01
        sampler.offer(edge, 1, range(10))
    assert (asked * 0.001) / clock.now <= SHARE + BURST / clock.now
    assert asked * 0.001 / clock.now > SHARE * 0.8
    assert sampler.unwanted == asked


def test_a_sample_is_charged_for_what_it_costs_whoever_takes_it() -> None:
    sampler = sampler_of(size=10_000)
    sampler.offer(edge_of(), 1, range(10_000))
    assert len(sampler.samples) == round(BURST / KEPT_COST)


def test_what_raises_is_counted_and_the_edge_goes_on() -> None:
    def fussy(key: str, number: int, message: Any) -> Any:
        if message == "b":
            raise ValueError("b!")
        return message

    edge = edge_of()
    sampler = sampler_of(fussy)
    attach(edge, sampler)
    edge.accept_all(["a", "b", "c"])
    assert list(sampler.samples) == ["a", "c"]
    assert (sampler.failed, str(sampler.error)) == (1, "b!")
    assert edge.store.messages() == ["a", "b", "c"]


def test_it_says_once_that_there_is_something_to_take() -> None:
    told: list[int] = []
    sampler = sampler_of()
    sampler.on_sample = lambda: told.append(len(sampler.samples))
    sampler.offer(edge_of(), 1, ["a", "b"])
    sampler.offer(edge_of(), 3, ["c"])
    assert told == [2]


def test_it_is_told_of_both_ends_of_an_edge() -> None:
    told: list[str] = []
    edge = edge_of()
    sampler = sampler_of()
    sampler.on_end = lambda: told.append("end")
    attach(edge, sampler)
    edge.end_sender()
    edge.end_reader()
    assert told == ["end", "end"]


def test_an_edge_that_does_not_lead_is_not_looked_at() -> None:
    sampler = sampler_of(leads=lambda edge: False)
    sampler.offer(edge_of(), 1, ["a"])
    assert (len(sampler.samples), sampler.skipped) == (0, 0)


def test_messages_that_were_offered_before_are_passed_over() -> None:
    sampler = sampler_of()
    edge = edge_of()
    sampler.pass_over(2)
    sampler.offer(edge, 1, ["a", "b"])
    sampler.offer(edge, 3, ["c"])
    assert list(sampler.samples) == [(3, "c")]
