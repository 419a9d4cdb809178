"""The state machine: every move, every refusal, racing threads, and a model that walks at random."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headrace.exceptions import ComponentError, InvalidStateTransition
from headrace.model.component_status import TRANSITIONS, ComponentState, ComponentStatus, Transition

# Written out a second time, straight from the contract, so that a slip in the table shows.
CONTRACT = {
    "created": {"ready", "error"},
    "ready": {"running", "stopping", "error"},
    "running": {"stopping", "error"},
    "stopping": {"stopped", "error"},
    "stopped": {"ready"},
    "error": {"ready", "stopped"},
}
WAY_TO = {
    "created": [],
    "ready": ["ready"],
    "running": ["ready", "running"],
    "stopping": ["ready", "stopping"],
    "stopped": ["ready", "stopping", "stopped"],
    "error": ["error"],
}
LEGAL = [(source, target) for source, targets in CONTRACT.items() for target in sorted(targets)]
ILLEGAL = [pair for pair in itertools.product(CONTRACT, CONTRACT) if pair not in LEGAL]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def status_in(state: str) -> ComponentStatus:
    status = ComponentStatus("pump", clock=Clock())
    for step in WAY_TO[state]:
        status.transition_to(step)
    assert status.state == state
    return status


def test_the_table_is_the_contract() -> None:
    assert {str(source): {str(t) for t in targets} for source, targets in TRANSITIONS.items()} == CONTRACT


@pytest.mark.parametrize(("source", "target"), LEGAL)
def test_a_legal_move_is_made_timed_and_remembered(source: str, target: str) -> None:
    status = status_in(source)
    before, errors = status.last_transition, status.error_count
    assert status.can_transition_to(target)

    status.transition_to(target)

    assert status.state == target
    assert status.last_transition > before
    assert status.error_count == errors + (target == "error")
    assert status.is_running is (target == "running")
    last = status.history[-1]
    assert (last.source, last.target, last.at) == (source, target, status.last_transition)


@pytest.mark.parametrize(("source", "target"), ILLEGAL)
def test_an_illegal_move_changes_nothing_and_names_both_states_and_the_legal_ones(
    source: str, target: str
) -> None:
    status = status_in(source)
    seen: list[Transition] = []
    status.add_listener(lambda _, move: seen.append(move))
    before = (status.state, status.last_transition, status.error_count, status.history)
    assert not status.can_transition_to(target)

    with pytest.raises(InvalidStateTransition) as caught:
        status.transition_to(target)

    legal = ", ".join(str(one) for one in TRANSITIONS[ComponentState(source)])
    assert (
        str(caught.value) == f"pump: cannot go from '{source}' to '{target}'; legal from '{source}': {legal}"
    )
    assert (caught.value.current, caught.value.requested) == (source, target)
    assert set(caught.value.legal) == CONTRACT[source]
    assert isinstance(caught.value, ComponentError)
    assert caught.value.component == "pump"
    assert (status.state, status.last_transition, status.error_count, status.history) == before
    assert not seen


def test_a_state_that_does_not_exist_is_an_illegal_move() -> None:
    with pytest.raises(InvalidStateTransition, match=r"^cannot go from 'created' to 'runing'; legal"):
        ComponentStatus().transition_to("runing")
    with pytest.raises(InvalidStateTransition, match="to 'None'"):
        ComponentStatus().transition_to(None)  # type: ignore[arg-type]


def test_the_state_is_a_string_and_an_enum_member() -> None:
    status = ComponentStatus("pump")
    assert isinstance(status.state, str)
    assert status.state is ComponentState.CREATED
    assert status.state == "created"
    assert f"{status.state}" == "created"


def test_the_last_transition_is_in_seconds_since_the_epoch() -> None:
    assert ComponentStatus().last_transition > 1_600_000_000


def test_it_keeps_the_error_given_with_its_traceback() -> None:
    status = ComponentStatus("pump")
    try:
        raise ValueError("dry")
    except ValueError as error:
        kept = error
    status.transition_to("error", error=kept)

    assert status.last_error is kept
    assert kept.__traceback__ is not None
    assert status.history[-1].error is kept


def test_it_takes_the_exception_being_handled_where_none_is_given() -> None:
    status = ComponentStatus("pump")
    try:
        raise ValueError("dry")
    except ValueError:
        status.transition_to("error")
    assert str(status.last_error) == "dry"


def test_an_error_is_kept_after_recovery_until_the_next_one() -> None:
    status = ComponentStatus("pump")
    status.transition_to("error", error=ValueError("first"))
    status.transition_to("ready")
    assert str(status.last_error) == "first"
    assert status.error_count == 1

    status.transition_to("error")

    assert status.last_error is None
    assert status.error_count == 2


def test_a_handled_exception_is_no_error_of_a_move_elsewhere() -> None:
    status = ComponentStatus("pump")
    try:
        raise KeyError
    except KeyError:
        status.transition_to("ready")
    assert status.history[-1].error is None
    assert status.last_error is None


def test_the_history_is_bounded_and_keeps_the_newest() -> None:
    status = ComponentStatus("pump", clock=Clock(), history=4)
    for _ in range(50):
        status.transition_to("error")
        status.transition_to("ready")
    assert [str(move.target) for move in status.history] == ["error", "ready"] * 2
    assert status.error_count == 50
    with pytest.raises(ValueError, match="non-negative"):
        ComponentStatus(history=-1)


def test_listeners_hear_each_move_in_order_until_removed() -> None:
    status = ComponentStatus("pump")
    heard: list[str] = []

    def listen(told: ComponentStatus, move: Transition) -> None:
        assert told is status
        heard.append(f"{move.source}->{move.target}")

    remove = status.add_listener(listen)
    status.transition_to("ready")
    status.transition_to("running")
    remove()
    remove()
    status.transition_to("stopping")
    assert heard == ["created->ready", "ready->running"]


def test_a_listener_may_move_the_status() -> None:
    status = ComponentStatus("pump")

    def recover(told: ComponentStatus, move: Transition) -> None:
        if move.target == "error":
            told.transition_to("ready")

    status.add_listener(recover)
    status.transition_to("error")
    assert status.state == "ready"


def test_a_listener_that_raises_undoes_nothing_and_all_are_told() -> None:
    status = ComponentStatus("pump")
    heard: list[str] = []

    def broken(_: ComponentStatus, __: Transition) -> None:
        raise RuntimeError("deaf")

    remove = status.add_listener(broken)
    status.add_listener(lambda _, move: heard.append(move.target))

    with pytest.raises(RuntimeError, match="deaf") as caught:
        status.transition_to("ready")

    assert status.state == "ready"
    assert heard == ["ready"]
    assert caught.value.__notes__[0].startswith("pump: created -> ready stands; raised by the listener")
    status.add_listener(broken)
    with pytest.raises(ExceptionGroup) as group:
        status.transition_to("running")
    assert len(group.value.exceptions) == 2
    remove()


@pytest.mark.parametrize("state", CONTRACT)
def test_of_many_threads_racing_exactly_one_wins_a_move(state: str) -> None:
    for _ in range(20):
        status = status_in(state)
        target = sorted(CONTRACT[state])[0]
        gate = threading.Barrier(8)
        won: list[bool] = []

        def race(status: ComponentStatus, target: str, gate: threading.Barrier, won: list[bool]) -> None:
            gate.wait()
            try:
                status.transition_to(target)
            except InvalidStateTransition:
                won.append(False)
            else:
                won.append(True)

        threads = [threading.Thread(target=race, args=(status, target, gate, won)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False] * 7 + [True]
        assert status.state == target
        assert len(status.history) == len(WAY_TO[state]) + 1


def test_threads_that_move_at_random_leave_an_unbroken_history() -> None:
    status = ComponentStatus("pump", history=100_000)
    heard: list[Transition] = []
    status.add_listener(lambda _, move: heard.append(move))

    def wander(seed: int) -> None:
        for step in range(300):
            targets = TRANSITIONS[status.state]
            try:
                status.transition_to(targets[(seed + step) % len(targets)])
            except InvalidStateTransition:
                continue

    threads = [threading.Thread(target=wander, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    history = status.history
    assert history[0].source == "created"
    assert all(one.target is two.source for one, two in itertools.pairwise(history))
    assert history[-1].target is status.state
    assert status.error_count == sum(move.target == "error" for move in history)
    assert sorted(map(id, heard)) == sorted(map(id, history))


def test_its_repr_says_component_state_and_errors() -> None:
    status = ComponentStatus("pump")
    status.transition_to("error")
    assert repr(status) == "ComponentStatus('pump', error, errors=1)"


class Walk(RuleBasedStateMachine):
    """A status beside the plainest model of one: a state, a counter, a list."""

    def __init__(self) -> None:
        super().__init__()
        self.status = ComponentStatus("walk", clock=Clock(), history=5)
        self.state, self.errors, self.error = "created", 0, None
        self.moves: list[tuple[str, str]] = []
        self.heard: list[tuple[str, str]] = []
        self.status.add_listener(lambda _, move: self.heard.append((move.source, move.target)))

    @rule(target_state=st.sampled_from([*CONTRACT, "nowhere"]), fails=st.booleans())
    def move(self, target_state: str, fails: bool) -> None:
        error = ValueError() if fails else None
        if target_state in CONTRACT[self.state]:
            self.status.transition_to(target_state, error=error)
            self.moves.append((self.state, target_state))
            self.state = target_state
            if target_state == "error":
                self.errors, self.error = self.errors + 1, error
        else:
            with pytest.raises(InvalidStateTransition):
                self.status.transition_to(target_state, error=error)

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert self.status.state == self.state
        assert self.status.error_count == self.errors
        assert self.status.last_error is self.error
        assert self.status.is_running is (self.state == "running")
        assert [(m.source, m.target) for m in self.status.history] == self.moves[-5:]
        assert self.heard == self.moves


Walk.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestWalk = Walk.TestCase
