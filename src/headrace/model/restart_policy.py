"""When a component is started again, after what pause, and when that is given up; and who goes with it.

Pure: clock and randomness are parameters. The runtime asks for a verdict whenever a life has ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean

When = Literal["never", "failure", "always"]
Strategy = Literal["one_for_one", "rest_for_one", "one_for_all"]


def _is_seconds(value: object, *, at_least: float = 0.0) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and value >= at_least


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pauses before restarts; each is twice the one before.

    Attributes:
        first: Seconds before the first restart.
        longest: Seconds that no pause exceeds.
        jitter: What share of a pause is left to chance, from 0 to 1, so that not all come back at one moment.
    """

    first: float = 0.1
    longest: float = 30.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not _is_seconds(self.first):
            raise ConfigError(f"first must be seconds of at least 0, not {self.first!r}", field="first")
        if not _is_seconds(self.longest, at_least=self.first):
            raise ConfigError(
                f"longest must be seconds of at least 'first', {self.first:g}, not {self.longest!r}",
                field="longest",
            )
        if not _is_seconds(self.jitter) or self.jitter > 1:
            raise ConfigError(f"jitter must be a share from 0 to 1, not {self.jitter!r}", field="jitter")

    def pause_before(self, restart: int, chance: float = 0.0) -> float:
        """Return the seconds to wait before restart number ``restart`` (1, 2, ...).

        Args:
            restart: Which one in a row.
            chance: A random number from 0 to 1.
        """
        doublings = min(restart - 1, 1_000)  # 2.0 ** 1024 overflows
        pause = min(self.first * 2.0**doublings, self.longest)
        return pause * (1.0 - self.jitter * chance)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """What becomes of a component whose ``process()`` has ended.

    Attributes:
        when: ``never``; after a ``failure``; or ``always``, after a normal return too, as long as there may be
            work: not while the system drains, and not once all inputs have ended.
        max_restarts: How many restarts there may be ``within`` so many seconds; one more, and it is given up.
        within: Seconds that the component has run; pauses before restarts do not count, so a long back-off
            cannot hide one that only fails.
        backoff: The pauses. After ``within`` seconds without a failure they begin anew with the first.
    """

    when: When = "failure"
    max_restarts: int = 5
    within: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        known = get_args(When)
        if self.when not in known:
            raise ConfigError(
                f"restart must be one of {', '.join(known)}, not {self.when!r}",
                hint=did_you_mean(str(self.when), known),
                field="when",
            )
        count = self.max_restarts
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigError(
                f"max_restarts must be a whole number of at least 1, not {count!r}", field="max_restarts"
            )
        if not _is_seconds(self.within) or self.within == 0:
            raise ConfigError(
                f"within must be a positive, finite number of seconds, not {self.within!r}", field="within"
            )
        if not isinstance(self.backoff, Backoff):
            raise ConfigError(f"backoff must be a Backoff, not {self.backoff!r}", field="backoff")

    @classmethod
    def of(cls, said: RestartPolicy | str) -> RestartPolicy:
        """Return the policy that a plain word stands for, or the policy itself.

        Raises:
            ConfigError: There is no such word.
        """
        if isinstance(said, RestartPolicy):
            return said
        if not isinstance(said, str):
            raise ConfigError(f"restart must be a RestartPolicy or a word, not {said!r}", field="restart")
        return NEVER if said == "never" else cls(said)  # type: ignore[arg-type]


NEVER = RestartPolicy("never")
"""What holds where nothing is said."""


@dataclass(frozen=True, slots=True)
class Restart:
    """The verdict that a component is started again.

    Attributes:
        number: Which restart this is, of those within the time that counts.
        of: How many there may be.
        after: Seconds to wait before it.
    """

    number: int
    of: int
    after: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The verdict that it is not; ``restarts`` is how many were in vain, 0 where there were to be none."""

    restarts: int = 0
    within: float = 0.0

    def __str__(self) -> str:
        if not self.restarts:
            return ""
        times = "1 restart" if self.restarts == 1 else f"{self.restarts} restarts"
        return f"after {times} within {self.within:g} s"


class RestartCounter:
    """Counts the restarts of one component, and gives the verdict when a life has ended.

    Time is what the component has run; whoever runs it says when that begins and ends.

    Args:
        policy: Its policy.
        clock: Gives seconds, monotonic.
        random: Gives random numbers from 0 to 1.
    """

    __slots__ = ("_clock", "_in_a_row", "_ran", "_random", "_recent", "_since", "policy")

    def __init__(
        self, policy: RestartPolicy, *, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self.policy = policy
        self._clock = clock
        self._random = random
        self._recent: list[float] = []  # how long it had run at each; an empty deque takes 760 bytes
        self._ran = 0.0
        self._since: float | None = None
        self._in_a_row = 0

    def began(self) -> None:
        """Take note that it runs from now on."""
        self._since = self._clock()

    def interrupted(self) -> None:
        """Take note that it runs no longer, for a reason that is not its own."""
        if self._since is not None:
            self._ran += self._clock() - self._since
            self._since = None

    def ended(self, *, failed: bool) -> Restart | GiveUp:
        """Return the verdict on a life that has ended, or that failed before it began to run.

        Args:
            failed: Whether by a failure; else ``process()`` has returned.
        """
        self.interrupted()
        policy = self.policy
        if policy.when == "never" or (policy.when == "failure" and not failed):
            return GiveUp()
        while self._recent and self._recent[0] <= self._ran - policy.within:
            del self._recent[0]
        if not self._recent:
            self._in_a_row = 0
        if len(self._recent) >= policy.max_restarts:
            return GiveUp(len(self._recent), policy.within)
        self._recent.append(self._ran)
        self._in_a_row += 1
        pause = policy.backoff.pause_before(self._in_a_row, self._random())
        return Restart(len(self._recent), policy.max_restarts, pause)


def check_strategy(strategy: str) -> Strategy:
    """Return a strategy.

    Raises:
        ConfigError: There is none of that name.
    """
    known = get_args(Strategy)
    if strategy not in known:
        raise ConfigError(
            f"strategy must be one of {', '.join(known)}, not {strategy!r}",
            hint=did_you_mean(str(strategy), known),
            field="strategy",
        )
    return strategy  # type: ignore[return-value]


def restarted_with(
    strategy: Strategy, failed: str, names: Iterable[str], receivers: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """Return who is restarted when a component is: itself, and whom the strategy adds, in the order of ``names``.

    Args:
        strategy: ``one_for_one``: nobody; ``rest_for_one``: all downstream of it; ``one_for_all``: all.
        failed: The component.
        names: All components.
        receivers: To whom each of them sends.
    """
    if strategy == "one_for_one":
        return (failed,)
    if strategy == "one_for_all":
        return tuple(names)
    found, pending = {failed}, [failed]
    while pending:
        new = set(receivers.get(pending.pop(), ())) - found
        found |= new
        pending += new
    return tuple(name for name in names if name in found)


__all__ = [
    "NEVER",
    "Backoff",
    "GiveUp",
    "Restart",
    "RestartCounter",
    "RestartPolicy",
    "Strategy",
    "When",
    "check_strategy",
    "restarted_with",
]
