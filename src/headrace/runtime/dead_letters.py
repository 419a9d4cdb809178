"""Messages that failed for good, kept with all that is needed to understand them."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Self

import anyio

from headrace.exceptions import ConfigError
from headrace.model.report import DeadLetter
from headrace.streams.pace import loop_clock


class DeadLetterStore:
    """A bounded store in memory; a component that finds it full waits.

    Args:
        limit: How many letters it holds.
        clock: Gives seconds since the epoch.

    Attributes:
        waiting: How many tasks of which component wait for room.
        counts: How many letters were ever stored, by component and kind of error.
    """

    def __init__(self, limit: int = 10_000, *, clock: Callable[[], float] = time.time) -> None:
        if limit < 1:
            raise ConfigError(f"dead_letter_limit must be at least 1, not {limit}")
        self.limit = limit
        self._clock = clock
        self._letters: dict[int, DeadLetter] = {}
        self._count = 0
        self._room: anyio.Event | None = None
        self.waiting: Counter[str] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def total(self) -> int:
        """How many letters were ever stored: the number of the last one."""
        return self._count

    def letters(
        self, number: int | None = None, components: Container[str] | None = None
    ) -> tuple[DeadLetter, ...]:
        """Return what is stored, oldest first: all, or the letter of a number, or those of some components."""
        return tuple(
            letter
            for letter in self._letters.values()
            if number in (None, letter.number) and (components is None or letter.component in components)
        )

    async def put(
        self,
        component: str,
        message: object,
        error: BaseException,
        *,
        attempts: int,
        edge: str,
        id: str = "",
    ) -> None:
        """Store a message; waits while the store is full."""
        await self.wait_for_room(component)
        self.put_now(component, message, error, attempts=attempts, edge=edge, id=id)

    @property
    def is_full(self) -> bool:
        """Whether it holds as many letters as it may."""
        return len(self._letters) >= self.limit

    async def wait_for_room(self, component: str) -> None:
        """Wait until there is room for a letter of a component."""
        if self.is_full:
            await self._wait(component, began=loop_clock()())

    async def _wait(self, component: str, began: float) -> None:
        self.waiting[component] += 1
        try:
            while self.is_full:
                self._room = self._room or anyio.Event()
                await self._room.wait()
        finally:
            self.waiting -= Counter((component,))

    def put_now(
        self,
        component: str,
        message: object,
        error: BaseException,
        *,
        attempts: int,
        edge: str,
        id: str = "",
    ) -> None:
        """Store a message even if that exceeds the limit: the last words of a component that crashed."""
        self._count += 1
        self.counts[component, type(error).__name__] += 1
        text = "".join(traceback.format_exception(error))
        self._letters[self._count] = DeadLetter(
            self._count, component, edge, message, error, text, attempts, self._clock(), id
        )

    def discard(self, letters: Iterable[DeadLetter]) -> int:
        """Forget letters, as far as they are there; returns how many were forgotten."""
        numbers = [letter.number for letter in letters if letter.number in self._letters]
        for gone in numbers:
            del self._letters[gone]
        if numbers and self._room is not None:
            self._room.set()
            self._room = None
        return len(numbers)


class DeadLetters(tuple[DeadLetter, ...]):
    """The letters of a system at one moment, oldest first.

    ``await letters.redrive()`` sends them once more to the components that failed on them, ``letters.discard()``
    forgets them.
    """

    _redrive: Callable[[Iterable[DeadLetter]], Awaitable[int]]
    _discard: Callable[[Iterable[DeadLetter]], int]

    @classmethod
    def of(
        cls,
        letters: Iterable[DeadLetter],
        redrive: Callable[[Iterable[DeadLetter]], Awaitable[int]],
        discard: Callable[[Iterable[DeadLetter]], int],
    ) -> Self:
        """Return letters that know how to be sent again, and how to be forgotten."""
        made = cls(letters)
        made._redrive = redrive
        made._discard = discard
        return made

    def discard(self) -> int:
        """Forget these letters; returns how many were still there. Components that wait for room go on."""
        return self._discard(self)

    async def redrive(self) -> int:
        """Send these letters once more; see ``SystemExecutionHarness.redrive``.

        Returns:
            How many went on their way; a letter that is gone, or whose component has ended, does not.
        """
        return await self._redrive(self)


__all__ = ["DeadLetterStore", "DeadLetters"]
