"""What a component sees of the system it runs in: a view, never the harness.

It is typed, and also a ``Mapping``, so that ``setup(harness_context)`` of older components works.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, Self

import anyio


class StopEvent(Protocol):
    """Set when the system wants its sources to stop."""

    def is_set(self) -> bool:
        """Return whether the system is stopping."""
        ...

    async def wait(self) -> None:
        """Wait until the system is stopping."""
        ...


class DeadLetterFn(Protocol):
    """Puts a message away for good; waits while the dead-letter store is full."""

    async def __call__(
        self, message: object, error: BaseException, *, attempts: int, edge: str, id: str = ""
    ) -> None:
        """Store the message with its error; ``id`` is the one its ``Meta`` had, if it had any."""
        ...


def _refuse_spawn(fn: Callable[..., Awaitable[object]], *args: object, name: str = "") -> None:
    raise RuntimeError("spawn() works while the component runs: call it from process() or what it calls")


def _ignore_status(text: str) -> None:
    return None


def _count_up() -> str:
    return f"message-{next(_counter)}"


_counter = itertools.count(1)
_KEYS = ("name", "system", "config", "logger", "clock", "random", "stop_event", "resources")


_UNMADE: Any = None
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(frozen=True, eq=False, slots=True)
class Context(Mapping[str, Any]):
    """A component's view of its system.

    Attributes:
        name: The component's name in the system.
        system: The system's name.
        config: The component's settings.
        logger: A structured logger bound to the component (``logger.info("event", key=value)``).
        clock: Gives monotonic seconds of the running loop; virtual in simulation.
        random: The component's own random source, seeded in simulation; made when it is first asked for, because
            it takes 2.9 kB and 20 us.
        stop_event: Set when the system is stopping; sources end soon after.
        resources: Shared resources by name.
        spawn: ``spawn(fn, *args)`` starts a task in the component's own task group; the component ends
            when its ``process()`` and all it spawned have ended.
        report_status: ``report_status(text)`` says in a few words what the component is doing.
        dead_letter: Puts a message away for good, or None outside a harness.
        new_id: Makes the id of a message: unique, sortable by time.
        restarts: How often it was restarted in this run: 0 in its first life.
    """

    name: str
    system: str = ""
    config: Any = field(default_factory=dict)
    logger: Any = None
    clock: Callable[[], float] = anyio.current_time
    random: random.Random = field(default=_UNMADE, repr=False)  # see __getattr__
    stop_event: StopEvent = field(default_factory=anyio.Event)
    resources: Mapping[str, Any] = field(default_factory=_nothing)
    spawn: Callable[..., None] = _refuse_spawn
    report_status: Callable[[str], None] = _ignore_status
    dead_letter: DeadLetterFn | None = None
    new_id: Callable[[], str] = _count_up
    restarts: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any], *, name: str, config: Any) -> Self:
        """Return a context with what a plain mapping has of it, and the defaults for the rest."""
        known = {key: values[key] for key in _KEYS if key in values}
        return cls(**{**known, "name": name, "config": config})

    def __post_init__(self) -> None:
        if self.random is _UNMADE:
            object.__delattr__(self, "random")

    def __getattr__(self, name: str) -> Any:  # called for what has no value
        if name != "random":
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
            )
        object.__setattr__(self, "random", random.Random())
        return self.random

    def __getitem__(self, key: str) -> Any:
        if key in _KEYS:
            return getattr(self, key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(_KEYS)

    def __len__(self) -> int:
        return len(_KEYS)


__all__ = ["Context", "DeadLetterFn", "StopEvent"]
