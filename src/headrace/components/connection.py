"""Whether the server on the other side is there: what sources and sinks say of it, and when they try again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from headrace.authoring.context import Context
from headrace.model.report import describe
from headrace.model.restart_policy import Backoff

BACKOFF = Backoff(first=0.1, longest=15.0)


class Connection:
    """The connection of a component to its server, that may go away and come back.

    While it is away the component is not ready, where its ``health_check()`` has what ``health`` returns. The first
    failure and the return are logged, the failures between them are not.

    Args:
        what: What it leads to, as people call it: ``postgresql at localhost:5432``. Never with a password.
        backoff: The pauses before the tries.

    Attributes:
        losses: How often it was lost.
    """

    def __init__(self, what: str, backoff: Backoff = BACKOFF) -> None:
        self.what = what
        self.losses = 0
        self._backoff = backoff
        self._tries = 0
        self._reason = ""
        self._since = 0.0
        self._context: Context | None = None

    def begin(self, context: Context) -> None:
        """Begin anew, in ``setup()``: nothing is known to be wrong."""
        self._context = context
        self._tries, self._reason = 0, ""

    @property
    def is_away(self) -> bool:
        """Whether the last try failed."""
        return bool(self._reason)

    @property
    def tries(self) -> int:
        """How many tries have failed since it was last there."""
        return self._tries

    def lost(self, error: BaseException | str, *, at_least: float = 0.0) -> float:
        """Take a failure in.

        Args:
            error: What happened.
            at_least: Seconds that the server has asked to be left alone, as in ``Retry-After``.

        Returns:
            Seconds until the next try.
        """
        context = self._of()
        first = not self._reason
        self._reason = error if isinstance(error, str) else describe(error)
        self._tries += 1
        pause = max(at_least, self._backoff.pause_before(self._tries, context.random.random()))
        if first:
            self.losses += 1
            self._since = context.clock()
            if context.logger is not None:
                context.logger.warning("server away", server=self.what, reason=self._reason)
        return pause

    def found(self) -> None:
        """Take in that it is there, which costs nothing where it was."""
        if not self._reason:
            return
        context = self._of()
        self._tries, self._reason = 0, ""
        if context.logger is not None:
            away = round(context.clock() - self._since, 3)
            context.logger.info("server back", server=self.what, away_seconds=away)

    async def wait(self, error: BaseException | str, *, at_least: float = 0.0) -> None:
        """Take a failure in, and wait until the next try."""
        await anyio.sleep(self.lost(error, at_least=at_least))

    async def wait_unless_stopping(self, error: BaseException | str, *, at_least: float = 0.0) -> bool:
        """Take a failure in, and wait until the next try or, as a source does, until the system stops.

        Returns:
            Whether to try again: False where the system stops.
        """
        stopping = self._of().stop_event
        pause = self.lost(error, at_least=at_least)
        with anyio.move_on_after(pause):
            await stopping.wait()
        return not stopping.is_set()

    def health(self) -> Mapping[str, Any]:
        """Return what ``health_check()`` says of it: ``connected``, and what makes the component not ready."""
        if not self._reason:
            return {"connected": True, "losses": self.losses}
        away = self._of().clock() - self._since
        reason = f"{self.what} has been away for {away:.1f} s ({self._tries} tries): {self._reason}"
        return {"connected": False, "losses": self.losses, "healthy": False, "reason": reason}

    def _of(self) -> Context:
        if self._context is None:
            raise RuntimeError("begin() comes first, in setup()")
        return self._context


__all__ = ["BACKOFF", "Connection"]
