"""Sends dead letters once more: back on the edges that they came by, ahead of all other messages."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.model.report import DeadLetter

from .dead_letters import DeadLetterStore
from .wiring import Wiring


class Redriving:
    """Takes letters back into the books of a run.

    Args:
        wiring: The system.
        dead_letters: Where the letters are.

    Attributes:
        before: How many letters there were before this run.
        revived: How many of this run's letters went back.
    """

    def __init__(self, wiring: Wiring, dead_letters: DeadLetterStore) -> None:
        self._wiring = wiring
        self._dead_letters = dead_letters
        self.before = dead_letters.total
        self.revived = 0

    @property
    def dead(self) -> int:
        """How many messages have died in this run, also those whose letters were discarded."""
        return self._dead_letters.total - self.before - self.revived

    def letters(self) -> tuple[DeadLetter, ...]:
        """Return the letters of this run that are in the store."""
        return tuple(letter for letter in self._dead_letters.letters() if letter.number > self.before)

    def redrive(self, letters: Iterable[DeadLetter]) -> int:
        """Put letters back on the edges they came by, where the reader has not ended.

        Returns:
            How many went back.
        """
        known = {letter.number for letter in self._dead_letters.letters()}
        back: dict[str, list[DeadLetter]] = {}
        for letter in letters:
            edge = self._wiring.edges.get(letter.edge)
            if edge is not None and not edge.reader_ended and letter.number in known:
                back.setdefault(letter.edge, []).append(letter)
        for key, some in back.items():
            edge = self._wiring.edges[key]
            for letter in some:
                self._dead_letters.discard([letter])
                if letter.number > self.before:  # it is in the books of this run: not dead after all
                    edge.dead_lettered -= 1
                    self.revived += 1
                else:
                    edge.accept_again()
            edge.inlet.put_back(edge, [letter.message for letter in some])
        return sum(map(len, back.values()))


__all__ = ["Redriving"]
