"""The dead letters of a system: found, sent once more, and forgotten, by number and by component."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.model.report import DeadLetter
from headrace.model.restart_policy import RestartPolicy, When

from .dead_letters import DeadLetters, DeadLetterStore
from .journal import Journal
from .system_builder import SystemBuilder
from .tracing import Watcher


class SystemLetters(SystemBuilder):
    """A system that keeps the messages that failed for good; ``SystemExecutionHarness`` can run it as well."""

    def __init__(
        self,
        name: str,
        buffer_size: int,
        restart: RestartPolicy | When | None,
        dead_letter_limit: int,
    ) -> None:
        super().__init__(name, buffer_size, restart)
        self._dead_letters = DeadLetterStore(dead_letter_limit)
        self.journal = Journal()
        self.watchers: list[Watcher] = []

    def dead_letters(self, number: int | None = None, *, component: str | None = None) -> DeadLetters:
        """Return messages that failed for good, oldest first.

        ``await letters.redrive()`` tries them again, ``letters.discard()`` forgets them.

        Args:
            number: The number of one letter; all where None.
            component: The component that failed on them; any where None.

        Raises:
            UnknownComponentError: There is no such component.
        """
        found = self._dead_letters.letters(number, self.wiring.names_behind(component))
        return DeadLetters.of(found, self._redrive, self._dead_letters.discard)

    def discard_dead_letters(self, number: int | None = None, *, component: str | None = None) -> int:
        """Forget one dead letter, those of a component, or all; components that wait for room go on.

        Args:
            number: The number of one letter; all where None.
            component: The component that failed on them; any where None.

        Returns:
            How many were forgotten.

        Raises:
            UnknownComponentError: There is no such component.
        """
        return self.dead_letters(number, component=component).discard()

    async def redrive(self, number: int | None = None, *, component: str | None = None) -> int:
        """Send dead letters once more to the components that failed on them, ahead of other messages.

        During a run they go back to their edges, and this returns at once. Otherwise it makes a run of its own
        in which the sources stay silent, and returns when that is over.

        Args:
            number: The number of one letter; all where None.
            component: The component that failed on them; any where None.

        Returns:
            How many went on their way; a letter whose component has ended by itself stays where it is.

        Raises:
            UnknownComponentError: There is no such component.
            SystemFailed: That run failed.
        """
        return await self.dead_letters(number, component=component).redrive()

    async def _redrive(self, letters: Iterable[DeadLetter]) -> int:
        """Send letters once more."""
        raise NotImplementedError


__all__ = ["SystemLetters"]
