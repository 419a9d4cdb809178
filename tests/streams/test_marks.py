"""Marks: who has one is taken alone, and is told of when it is settled."""

from __future__ import annotations

from typing import Any

from headrace.model.options import EdgeOptions
from headrace.streams.edge import AnyEdge, Edge
from headrace.streams.edge_store import MemoryStore
from headrace.streams.inlet import Inlet
from headrace.streams.marks import MOST, Marks
from headrace.streams.outlet import Outlet
from headrace.streams.sampler import Sampler
from headrace.streams.watched_store import attach, detach, mark


class Line:
    """An edge whose messages may have marks, and what was told of them."""

    def __init__(self, **options: Any) -> None:
        outlet: Outlet[Any] = Outlet("a.out")
        inlet: Inlet[Any] = Inlet("b.in")
        self.edge: AnyEdge = Edge("a.out -> b.in", EdgeOptions(**options), outlet, inlet)
        outlet.add(self.edge)
        inlet.add(self.edge)
        self.told: list[Any] = []
        self.marks = Marks(self.edge, self._taken, lambda edge: None)
        mark(self.edge, self.marks)

    def _taken(self, what: Any) -> Any:
        self.told.append(("taken", what))
        return lambda is_dead: self.told.append(("settled", what, is_dead))

    def put(self, *messages: Any) -> None:
        for message in messages:
            self.edge.accept(message)


def test_a_message_with_a_mark_is_taken_alone_and_the_others_as_ever() -> None:
    line = Line()
    line.put(1, 2, 3)
    line.marks.mark_last("three")
    line.put(4, 5)
    assert [line.edge.take(10) for _ in range(3)] == [[1, 2], [3], [4, 5]]
    assert line.told == [("taken", "three")]


def test_it_is_told_when_all_up_to_it_is_settled() -> None:
    line = Line()
    line.put(1, 2)
    line.marks.mark_last("two")
    first, second = line.edge.take(10), line.edge.take(10)
    line.edge.settle(second, "acknowledged")
    line.marks.look()
    assert line.told == [("taken", "two")]
    line.edge.settle(first, "dead_lettered")
    assert len(line.edge.store) == 0  # which looks, too
    assert line.told == [("taken", "two"), ("settled", "two", True)]


def test_a_message_that_comes_back_keeps_its_mark_until_it_is_taken() -> None:
    line = Line()
    line.put(1, 2, 3)
    line.marks.mark_last("three")
    line.edge.put_back(line.edge.take(2))
    assert [line.edge.take(10) for _ in range(2)] == [[1, 2], [3]]


def test_the_mark_of_a_message_that_is_discarded_is_forgotten() -> None:
    line = Line(buffer_size=2, when_full="drop_oldest")
    line.put(1)
    line.marks.mark_last("one")
    line.put(2)
    line.edge.append(3)
    assert line.edge.take(10) + line.edge.take(10) == [2, 3]
    line.put(4)
    line.marks.mark_last("four")
    line.edge.end_reader()
    assert line.told == []


def test_what_is_not_settled_at_the_end_is_told_then() -> None:
    line = Line()
    line.put(1)
    line.marks.mark_last("one")
    line.edge.take(1)
    line.marks.end()
    line.marks.end()
    assert line.told == [("taken", "one"), ("settled", "one", False)]


def test_marks_are_bounded() -> None:
    line = Line(buffer_size=MOST + 10)
    for number in range(MOST + 5):
        line.put(number)
        line.marks.mark_last(number)
    assert sum(len(line.edge.take(10)) for _ in range(MOST)) == MOST
    assert line.edge.take(10) == list(range(MOST, MOST + 5))


def test_samplers_and_marks_do_not_mind_each_other() -> None:
    line = Line()
    sampler = Sampler(lambda key, number, message: message)
    attach(line.edge, sampler)
    line.put(1)
    line.marks.mark_last("one")
    line.edge.accept_all([2, 3])
    mark(line.edge, None)
    line.put(4)
    assert list(sampler.samples) == [1, 2, 3, 4]
    detach(line.edge, sampler)
    assert type(line.edge.store) is MemoryStore
    assert line.edge.take(10) == [1, 2, 3, 4]
