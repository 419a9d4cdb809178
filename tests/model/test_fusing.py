"""Which connections are fused: only those on which nobody could tell the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.endpoint import Endpoint
from headrace.model.fusing import LONGEST_RUN, Fusable, Joint, fused_joints
from headrace.model.options import EdgeOptions, OutputOptions
from headrace.model.topology import Topology

SYNC = Fusable(True, True)


def joint(sender: str, receiver: str, **options: Any) -> Joint:
    one, other = (
        Endpoint(*(text if "." in text else f"{text}.{port}").split("."))
        for text, port in ((sender, "out"), (receiver, "in"))
    )
    return Joint(f"{sender} -> {receiver}", one, other, **options)


def fused(joints: Iterable[Joint], cycles: Any = (), **components: Fusable) -> list[str]:
    every = list(joints)
    names = {end.component for one in every for end in (one.sender, one.receiver)}
    found = fused_joints(dict.fromkeys(names, SYNC) | components, every, cycles)
    return [one.key for one in found]


def test_a_linear_run_is_fused_at_all_its_joints() -> None:
    assert fused([joint("b", "c"), joint("a", "b")]) == ["a -> b", "b -> c"]


@pytest.mark.parametrize(
    "other",
    [
        joint("a", "b", edge=EdgeOptions(when_full="drop_oldest")),
        joint("a", "b", edge=EdgeOptions(when_full="error")),
        joint("a", "b", edge=EdgeOptions(copy=True)),
        joint("a", "b", output=OutputOptions("by_key", key=id)),
        joint("a.rejected", "b"),
    ],
)
def test_an_edge_that_is_more_than_a_queue_is_not_fused(other: Joint) -> None:
    assert fused([other]) == []


def test_fan_out_and_fan_in_are_not_fused() -> None:
    assert fused([joint("a", "b"), joint("a", "c")]) == []
    assert fused([joint("a", "c"), joint("b", "c")]) == []


def test_nothing_in_a_cycle_is_fused_nor_next_to_one() -> None:
    joints = [joint("a", "b"), joint("b", "c"), joint("c.rejected", "b.again")]
    assert fused(joints, [("b", "c")]) == []


def test_whoever_may_fail_at_sending_does_not_work_in_the_task_of_another() -> None:
    joints = [joint("a", "b"), joint("b", "c", edge=EdgeOptions(copy=True))]
    assert fused(joints) == []


def test_components_that_cannot_be_fused_end_a_run() -> None:
    joints = [joint("a", "b"), joint("b", "c"), joint("c", "d")]
    assert fused(joints, b=Fusable()) == ["c -> d"]
    assert fused(joints, c=Fusable(sends=False, receives=True)) == ["a -> b", "b -> c"]


def test_a_long_run_is_cut() -> None:
    names = [f"n{number}" for number in range(3 * LONGEST_RUN)]
    joints = [joint(one, other) for one, other in pairwise(names)]
    left_out = {one.key for one in joints} - set(fused(joints))
    assert left_out == {joints[LONGEST_RUN - 1].key, joints[2 * LONGEST_RUN - 1].key}


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=14, unique=True))
def test_in_any_graph_whoever_is_fused_has_one_neighbour_on_each_side(links: list[tuple[int, int]]) -> None:
    joints = [joint(f"n{one}", f"n{other}") for one, other in links]
    names = {end.component for one in joints for end in (one.sender, one.receiver)}
    cycles = Topology.of(sorted(names), [(j.sender.component, j.receiver.component) for j in joints]).cycles
    found = fused_joints(dict.fromkeys(names, SYNC), joints, cycles)
    senders = Counter(one.sender for one in joints)
    receivers = Counter(one.receiver for one in joints)
    assert len(set(found)) == len(found)
    for one in found:
        assert senders[one.sender] == receivers[one.receiver] == 1
        assert not any(one.sender.component in cycle or one.receiver.component in cycle for cycle in cycles)
