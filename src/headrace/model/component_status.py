"""The state machine of a component: one literal table and one ``transition_to``.

Thread-safe, because statuses are read and moved from worker threads too.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from headrace.exceptions import InvalidStateTransition


class ComponentState(StrEnum):
    """The states of a component; each member is also its plain string."""

    CREATED = "created"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"


_S = ComponentState

TRANSITIONS: Mapping[ComponentState, tuple[ComponentState, ...]] = MappingProxyType(
    {
        _S.CREATED: (_S.READY, _S.ERROR),
        _S.READY: (_S.RUNNING, _S.STOPPING, _S.ERROR),
        _S.RUNNING: (_S.STOPPING, _S.ERROR),
        _S.STOPPING: (_S.STOPPED, _S.ERROR),
        _S.STOPPED: (_S.READY,),
        _S.ERROR: (_S.READY, _S.STOPPED),
    }
)
"""The state machine: from each state, the states it may move to."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of a component; ``at`` is in seconds since the epoch."""

    source: ComponentState
    target: ComponentState
    at: float
    error: BaseException | None = None


Listener = Callable[["ComponentStatus", Transition], None]


class ComponentStatus:
    """Where a component is in its life, what went wrong last, and how it got here.

    Args:
        component: The component's name, for error messages.
        clock: Gives seconds since the epoch; a parameter so that simulation can replace it.
        history: How many transitions are kept; at least 0.

    Raises:
        ValueError: ``history`` is negative.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_error_count",
        "_errors",
        "_history",
        "_kept",
        "_last_error",
        "_last_transition",
        "_listeners",
        "_lock",
        "_state",
        "component",
    )

    def __init__(
        self, component: str = "", *, clock: Callable[[], float] = time.time, history: int = 100
    ) -> None:
        if history < 0:
            raise ValueError(f"history must be non-negative, not {history!r}")
        self.component = component
        self._clock = clock
        self._lock = threading.RLock()
        self._state = ComponentState.CREATED
        self._last_transition = clock()
        self._error_count = 0
        self._errors: dict[str, int] = {}
        self._last_error: BaseException | None = None
        self._kept = history
        self._history: list[Transition] = []  # few, mostly: an empty deque takes 760 bytes
        self._listeners: tuple[Listener, ...] = ()

    @property
    def state(self) -> ComponentState:
        """The current state, a ``str`` that is also an enum member."""
        return self._state

    @property
    def last_transition(self) -> float:
        """When the state last changed (or the status was made), in seconds since the epoch."""
        return self._last_transition

    @property
    def error_count(self) -> int:
        """How often the component has entered ``error``."""
        return self._error_count

    @property
    def errors(self) -> Mapping[str, int]:
        """How often it has entered ``error`` with which kind of error, by the name of its class."""
        with self._lock:
            return MappingProxyType(dict(self._errors))

    @property
    def last_error(self) -> BaseException | None:
        """The error behind the last move to ``error``, with its traceback; None if that move named none."""
        return self._last_error

    @property
    def is_running(self) -> bool:
        """Whether the state is ``running``."""
        return self._state is ComponentState.RUNNING

    @property
    def history(self) -> tuple[Transition, ...]:
        """The last transitions, oldest first."""
        with self._lock:
            return tuple(self._history)

    def can_transition_to(self, state: str) -> bool:
        """Return whether the table has a move from the current state to ``state``."""
        return state in TRANSITIONS[self._state]

    def transition_to(self, state: str, *, error: BaseException | None = None) -> None:
        """Move to ``state`` and tell the listeners.

        A listener that raises undoes nothing and keeps no other from being told: what it raised comes
        out of this call afterwards, with a note that the move stands.

        Args:
            state: The state to enter, as a ``ComponentState`` or its string.
            error: On the way to ``error``: what went wrong, kept as ``last_error``. Inside an ``except``
                block the exception being handled is taken where none is given.

        Raises:
            InvalidStateTransition: The table has no such move; nothing has changed.
            ExceptionGroup: Several listeners raised.
        """
        with self._lock:
            legal = TRANSITIONS[self._state]
            if state not in legal:
                raise InvalidStateTransition(
                    self._state.value, str(state), [one.value for one in legal], component=self.component
                )
            target = ComponentState(state)
            if target is ComponentState.ERROR:
                error = error if error is not None else sys.exception()
            move = Transition(self._state, target, self._clock(), error)
            self._state = target
            self._last_transition = move.at
            if target is ComponentState.ERROR:
                self._error_count += 1
                self._last_error = error
                kind = "unknown" if error is None else type(error).__name__
                self._errors[kind] = self._errors.get(kind, 0) + 1
            self._history.append(move)
            del self._history[: -self._kept or None]
            listeners = self._listeners
        self._tell(listeners, move)

    def _tell(self, listeners: tuple[Listener, ...], move: Transition) -> None:
        failed: list[Exception] = []
        for listener in listeners:
            try:
                listener(self, move)
            except Exception as error:
                moved = f"{self.component}: {move.source} -> {move.target}"
                error.add_note(f"{moved} stands; raised by the listener {listener!r}")
                failed.append(error)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise ExceptionGroup("several listeners raised", failed)

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(status, transition)`` after each move, in the thread that moved, unlocked.

        It may move the status itself; moves by several threads may be told in another order than made.

        Returns:
            A function that removes the listener again; calling it twice does nothing more.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def remove() -> None:
            with self._lock:
                others = list(self._listeners)
                if listener in others:
                    others.remove(listener)
                    self._listeners = tuple(others)

        return remove

    def __repr__(self) -> str:
        return f"ComponentStatus({self.component!r}, {self._state.value}, errors={self._error_count})"


__all__ = ["TRANSITIONS", "ComponentState", "ComponentStatus", "Listener", "Transition"]
