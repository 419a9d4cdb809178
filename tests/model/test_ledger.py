"""The books add up, and say so when they do not."""

from __future__ import annotations

from headrace.model.ledger import EdgeLedger, OutputLedger, SystemLedger, Totals, add_up


def edge(key: str = "a.out -> b.in", **numbers: object) -> EdgeLedger:
    return EdgeLedger(key, **numbers)  # type: ignore[arg-type]


def test_an_edge_closes_when_every_accepted_message_is_accounted_for() -> None:
    books = edge(
        accepted=21, acknowledged=6, dropped={"x": 1, "y": 2}, dead_lettered=3, buffered=4, in_hand=5
    )
    assert books.imbalance == 0
    assert books.closes
    assert (books.remaining, books.lost) == (9, 12)


def test_an_edge_that_misses_one_says_how_many() -> None:
    books = edge(accepted=2, acknowledged=1)
    assert books.imbalance == 1
    assert not books.closes


def test_the_books_of_a_system_are_those_of_its_edges() -> None:
    fine = edge("fine", accepted=2, acknowledged=2)
    left = edge("left", accepted=3, acknowledged=1, dropped={"full": 1}, buffered=1)
    system = SystemLedger((fine, left), {}, Totals(5, 3, 0, 0, 2))
    assert system.closes
    assert system.remaining == 1
    assert system.dropped == {"full": 1}
    assert system.leftovers() == (left,)
    assert not SystemLedger((edge(accepted=1),), {}, Totals(0, 0, 0, 0, 0)).closes


def test_the_summary_is_one_line_and_names_the_dead_only_if_there_are_any() -> None:
    assert str(Totals(336776, 327346, 9430, 0, 0)) == "in 336,776 out 327,346 rejected 9,430 lost 0"
    assert str(Totals(1, 0, 0, 1, 0)) == "in 1 out 0 rejected 0 lost 0 dead 1"


def test_counters_add_up_by_reason() -> None:
    assert add_up([{"a": 1}, {}, {"a": 2, "b": 3}]) == {"a": 3, "b": 3}
    assert add_up([]) == {}


def test_an_output_closes_when_what_it_sent_is_on_its_edges() -> None:
    assert OutputLedger("a.out", sent=3, accepted=3).closes
    assert OutputLedger("a.out", sent=3, accepted=5, copies=2).closes  # one reader had ended by then
    assert not OutputLedger("a.out", sent=3, accepted=2, copies=2).closes
    assert not OutputLedger("a.out", sent=3, accepted=7, copies=2).closes


def test_every_disagreement_is_told_with_its_numbers() -> None:
    wrong = edge(accepted=1_002, acknowledged=1, dropped={"x": 2}, dead_lettered=1)
    outputs = (OutputLedger("a.out", 3, 2), OutputLedger("b.out", 3, 8, 2), OutputLedger("c.out", 1, 1))
    books = SystemLedger((wrong, edge("fine")), {}, Totals(0, 0, 0, 0, 0), outputs)
    assert [str(one) for one in books.disagreements()] == [
        "a.out -> b.in by +998: accepted 1,002, acknowledged 1, dropped 2, dead 1, left 0",
        "a.out by +1: sent 3, accepted 2, copies 1",
        "b.out by -2: sent 3, accepted 8, copies 2",
        "dead letters by +1: on edges 1, letters 0",
    ]
    assert not books.closes
    assert (books.accepted, books.acknowledged, books.dead_lettered) == (1_002, 1, 1)


def test_a_letter_of_which_no_edge_knows_is_no_disagreement() -> None:
    assert SystemLedger((edge(),), {}, Totals(0, 0, 0, 1, 0)).disagreements() == ()
