"""Message ids: unique, sorted by time, of fixed length, and different after a fork."""

from __future__ import annotations

import os

from headrace.streams import message_ids
from headrace.streams.message_ids import MessageIds


def test_ids_are_unique_and_sort_in_the_order_of_their_making() -> None:
    ids = MessageIds()
    made = [ids(1_700_000_000.0 + number / 3000) for number in range(5000)]
    assert len(set(made)) == len(made)
    assert sorted(made) == made


def test_a_clock_that_steps_back_does_not_put_new_ids_before_old_ones() -> None:
    ids = MessageIds()
    assert ids(2000.0) < ids(1000.0) < ids(2000.5)


def test_ids_of_two_generators_differ_and_have_one_length() -> None:
    one, two = MessageIds()(1.0), MessageIds()(1.0)
    assert one != two
    assert len(one) == len(two) == len(MessageIds()(4e9))


def test_a_given_node_makes_ids_repeatable() -> None:
    assert MessageIds("n1")(1.0) == MessageIds("n1")(1.0) == "0000000003e8-0000000000-n1"


def test_a_fork_renews_every_generator_whose_node_was_not_given() -> None:
    ids, named = MessageIds(), MessageIds("n1")
    before, named_before = ids(1.0), named(1.0)
    message_ids._after_fork()
    assert ids(1.0).split("-")[2] != before.split("-")[2]
    assert named(1.0).split("-")[2] == named_before.split("-")[2]


def test_a_forked_process_makes_other_ids() -> None:
    ids, named = MessageIds(), MessageIds("n1")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, f"{ids(1.0)} {named(1.0)}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        forked, forked_named = pipe.read().split()
    assert forked != ids(1.0)
    assert forked_named == named(1.0)
