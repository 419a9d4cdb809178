"""What a component can ask of its run through its context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.model.report import text_of

from .dead_letters import DeadLetterStore
from .supervisor import Supervised


class ContextCalls:
    """The calls in the context of one component: three bound methods take a third of three closures.

    Args:
        name: The component.
        running: The running members, by name.
        dead_letters: Where messages go that failed for good.
        logger: For what happens.
    """

    __slots__ = ("_dead_letters", "_logger", "_name", "_running")

    def __init__(
        self, name: str, running: Mapping[str, Supervised], dead_letters: DeadLetterStore, logger: Any
    ) -> None:
        self._name = name
        self._running = running
        self._dead_letters = dead_letters
        self._logger = logger

    @property
    def restarts(self) -> int:
        """How many lives the component has had, when it is about to have another."""
        one = self._running.get(self._name)
        return 0 if one is None else one.restarts + 1

    def spawn(self, fn: Callable[..., Any], *args: object, **options: Any) -> None:
        """Start a task in the component's own task group."""
        one = self._running.get(self._name)
        if one is None:
            raise RuntimeError(
                f"{self._name}: spawn() works while the component runs: call it from process()"
            )
        one.spawn(fn, *args, **options)

    def report_status(self, text: str) -> None:
        """Say in a few words what the component is doing."""
        self._logger.info("status", component=self._name, text=text)

    async def dead_letter(
        self, message: object, error: BaseException, *, attempts: int, edge: str, id: str = ""
    ) -> None:
        """Put a message away for good."""
        known = {"message_id": id} if id else {}
        self._logger.warning(
            "message dead-lettered",
            component=self._name,
            edge=edge,
            attempts=attempts,
            error=text_of(error),
            **known,
        )
        await self._dead_letters.put(self._name, message, error, attempts=attempts, edge=edge, id=id)


__all__ = ["ContextCalls"]
