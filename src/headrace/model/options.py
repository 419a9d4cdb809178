"""The settings of edges, outputs, components and systems, with the defaults of the house."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from headrace.exceptions import ConfigError

WhenFull = Literal["block", "drop_oldest", "drop_newest", "error"]
FanOut = Literal["broadcast", "balance", "by_key"]
OnError = Literal["dead_letter", "reject", "drop", "crash"]
KeyFn = Callable[[Any], Hashable]

DEFAULT_BUFFER_SIZE = 100


def _positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigError(f"{name} must be a positive, finite number, not {value!r}")


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """How one edge behaves.

    Attributes:
        buffer_size: How many messages it accepts before the reader takes them; at least 1.
        when_full: What a send on a full edge does; ``block`` is lossless, the others count what they drop.
        copy: Whether each message is deep-copied, so that branches of a broadcast share nothing.
    """

    buffer_size: int = DEFAULT_BUFFER_SIZE
    when_full: WhenFull = "block"
    copy: bool = False

    def __post_init__(self) -> None:
        if (
            isinstance(self.buffer_size, bool)
            or not isinstance(self.buffer_size, int)
            or self.buffer_size < 1
        ):
            raise ConfigError(f"buffer_size must be a whole number of at least 1, not {self.buffer_size!r}")
        if self.when_full not in get_args(WhenFull):
            known = ", ".join(get_args(WhenFull))
            raise ConfigError(f"when_full must be one of {known}, not {self.when_full!r}")


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How an output with several edges spreads its messages; ``key`` is for ``by_key``."""

    fan_out: FanOut = "broadcast"
    key: KeyFn | None = None

    def __post_init__(self) -> None:
        if self.fan_out not in get_args(FanOut):
            known = ", ".join(get_args(FanOut))
            raise ConfigError(f"fan_out must be one of {known}, not {self.fan_out!r}")
        if (self.fan_out == "by_key") != (self.key is not None):
            raise ConfigError("fan_out 'by_key' goes together with a key, and only it does")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The deadlines of a system, in seconds."""

    setup: float = 30.0
    cleanup: float = 5.0
    shutdown: float = 5.0
    source_grace: float = 0.5

    def __post_init__(self) -> None:
        for name in self.__slots__:
            _positive(f"{name} time-out", getattr(self, name))


@dataclass(frozen=True, slots=True)
class Attempts:
    """What a function component does with a message that fails.

    Attributes:
        attempts: How often a message is tried in all; at least 1.
        on_error: What happens after the last attempt.
        backoff: Seconds before the second attempt; doubles with each further one.
    """

    attempts: int = 3
    on_error: OnError = "dead_letter"
    backoff: float = 0.05

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigError(f"attempts must be a whole number of at least 1, not {self.attempts!r}")
        if self.on_error not in get_args(OnError):
            known = ", ".join(get_args(OnError))
            raise ConfigError(f"on_error must be one of {known}, not {self.on_error!r}")
        if isinstance(self.backoff, bool) or not isinstance(self.backoff, (int, float)) or self.backoff < 0:
            raise ConfigError(f"backoff must be seconds of at least 0, not {self.backoff!r}")

    def pause_before(self, attempt: int) -> float:
        """Return the seconds to wait before attempt number ``attempt`` (2, 3, ...)."""
        return float(self.backoff * 2 ** (attempt - 2))


__all__ = [
    "DEFAULT_BUFFER_SIZE",
    "Attempts",
    "EdgeOptions",
    "FanOut",
    "KeyFn",
    "OnError",
    "OutputOptions",
    "Timeouts",
    "WhenFull",
]
