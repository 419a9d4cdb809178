"""The settings of edges, outputs, components and systems, with the defaults of the house."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean

WhenFull = Literal["block", "drop_oldest", "drop_newest", "error"]
FanOut = Literal["broadcast", "balance", "by_key"]
OnError = Literal["dead_letter", "reject", "drop", "crash"]
RunIn = Literal["loop", "thread", "process"]
Health = Literal["required", "optional"]
KeyFn = Callable[[Any], Hashable]

Ack = Literal["auto", "manual"]

DEFAULT_BUFFER_SIZE = 100
DEFAULT_MAX_UNACKED = 1000


_LONGEST_PAUSE = 30.0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}", field=name)


def _check_truth(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, not {value!r}", field=name)


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no time to give to something; None is none, and fine.

    Raises:
        ConfigError: It is no positive, finite number.
    """
    if value is not None and not (_is_number(value) and float(value) > 0):  # type: ignore[arg-type]
        raise ConfigError(f"{name} must be seconds, a positive and finite number, not {value!r}", field=name)


def _check_choice(name: str, value: object, choices: Any) -> None:
    known = get_args(choices)
    if value not in known:
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}", hint=hint, field=name)


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
        _check_count("buffer_size", self.buffer_size)
        _check_choice("when_full", self.when_full, WhenFull)
        _check_truth("copy", self.copy)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How an output with several edges spreads its messages; ``key`` is for ``by_key``."""

    fan_out: FanOut = "broadcast"
    key: KeyFn | None = None

    def __post_init__(self) -> None:
        _check_choice("fan_out", self.fan_out, FanOut)
        if (self.fan_out == "by_key") != (self.key is not None):
            raise ConfigError("fan_out 'by_key' goes together with a key, and only it does", field="key")
        if self.key is not None and not callable(self.key):
            raise ConfigError(f"key must be a function of the message, not {self.key!r}", field="key")


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many instances of a component there are, and how the messages for it are spread over them.

    Attributes:
        count: How many; each has its own state.
        key: A function of the message: equal keys go to the same replica, in order. Where None, each message
            goes to the next replica with room, and no order is promised.
    """

    count: int
    key: KeyFn | None = None

    def __post_init__(self) -> None:
        _check_count("replicas", self.count)
        if self.key is not None and not callable(self.key):
            raise ConfigError(f"key must be a function of the message, not {self.key!r}", field="replicas")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who acknowledges what a component has received.

    Attributes:
        ack: ``auto``: the next receive on the handle, or the end of ``process()``; ``manual``: the component, by
            ``ack()``.
        max_unacked: With ``manual``, how many messages a handle may have in hand; who receives more waits.
    """

    ack: Ack = "auto"
    max_unacked: int = DEFAULT_MAX_UNACKED

    def __post_init__(self) -> None:
        _check_choice("ack", self.ack, Ack)
        _check_count("max_unacked", self.max_unacked)
        if self.ack == "auto" and self.max_unacked != DEFAULT_MAX_UNACKED:
            raise ConfigError("max_unacked goes together with ack 'manual'", field="max_unacked")

    @property
    def window(self) -> int:
        """How many messages a handle may have in hand with manual acknowledgement; 0 for automatic."""
        return self.max_unacked if self.ack == "manual" else 0

    def but(self, ack: Ack | None, max_unacked: int | None) -> Acknowledgement:
        """Return this with what was said in its place; None for what was not said."""
        ack = self.ack if ack is None else ack
        if max_unacked is None:
            max_unacked = self.max_unacked if ack == "manual" else DEFAULT_MAX_UNACKED
        return Acknowledgement(ack, max_unacked)


AUTOMATIC = Acknowledgement()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The deadlines of a system, in seconds."""

    setup: float = 30.0
    cleanup: float = 5.0
    shutdown: float = 5.0
    source_grace: float = 0.5

    def __post_init__(self) -> None:
        for name in self.__slots__:
            seconds = getattr(self, name)
            if not _is_number(seconds) or seconds <= 0:
                raise ConfigError(
                    f"{name} time-out must be a positive, finite number, not {seconds!r}", field=name
                )


@dataclass(frozen=True, slots=True)
class Marks:
    """What is said of one component to the system rather than to itself.

    Attributes:
        stop_timeout: Seconds that it may take once its inputs have ended, or as a source once the system stops.
        health: Whether the system is ready without it.
    """

    stop_timeout: float | None = None
    health: Health = "required"

    def __post_init__(self) -> None:
        check_seconds("stop_timeout", self.stop_timeout)
        _check_choice("health", self.health, Health)


UNMARKED = Marks()


@dataclass(frozen=True, slots=True)
class Watching:
    """After how many seconds what is wrong in a running system is told; 0 for never.

    Attributes:
        stall_after: How long a component may keep others waiting; a set-up or clean-up has five times as long.
        blocked_after: How long the event loop may be kept from turning.
    """

    stall_after: float = 1.0
    blocked_after: float = 0.5

    def __post_init__(self) -> None:
        for name in self.__slots__:
            seconds = getattr(self, name)
            if not _is_number(seconds) or seconds < 0:
                raise ConfigError(f"{name} must be seconds of at least 0, not {seconds!r}", field=name)


@dataclass(frozen=True, slots=True)
class Attempts:
    """How a function component works on its messages, and what it does with one that fails.

    Attributes:
        attempts: How often a message is tried in all; at least 1.
        on_error: What happens after the last attempt.
        backoff: Seconds before the second attempt; doubles with each further one, up to 30 s.
        concurrency: How many messages an asynchronous function works on at once, or how many threads or
            processes a plain one has; at least 1.
        ordered: Whether its outputs keep the order of the messages all the same.
        fuse: Whether a synchronous function may work in one task with its neighbours.
        run_in: Where a plain function works: in the event loop, in threads, or in worker processes.
    """

    attempts: int = 3
    on_error: OnError = "dead_letter"
    backoff: float = 0.05
    concurrency: int = 1
    ordered: bool = True
    fuse: bool = True
    run_in: RunIn = "loop"

    def __post_init__(self) -> None:
        _check_count("attempts", self.attempts)
        _check_count("concurrency", self.concurrency)
        _check_truth("ordered", self.ordered)
        _check_truth("fuse", self.fuse)
        _check_choice("on_error", self.on_error, OnError)
        _check_choice("run_in", self.run_in, RunIn)
        if not _is_number(self.backoff) or self.backoff < 0:
            raise ConfigError(f"backoff must be seconds of at least 0, not {self.backoff!r}", field="backoff")

    def pause_before(self, attempt: int) -> float:
        """Return the seconds to wait before attempt number ``attempt`` (2, 3, ...)."""
        doublings = min(attempt - 2, 64)  # beyond that any back-off has reached the longest pause
        return float(min(self.backoff * 2**doublings, max(self.backoff, _LONGEST_PAUSE)))


__all__ = [
    "AUTOMATIC",
    "DEFAULT_BUFFER_SIZE",
    "DEFAULT_MAX_UNACKED",
    "UNMARKED",
    "Ack",
    "Acknowledgement",
    "Attempts",
    "EdgeOptions",
    "FanOut",
    "Health",
    "KeyFn",
    "Marks",
    "OnError",
    "OutputOptions",
    "Replicas",
    "RunIn",
    "Timeouts",
    "Watching",
    "WhenFull",
    "check_seconds",
]
