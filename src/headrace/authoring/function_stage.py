"""A function at work on many messages at once, as far as nothing has to be awaited.

The loop over the messages runs in C (``list.extend(map(...))``): 60 ns a message with a trivial function, a third
of a loop in Python. So what is rare (None, ``Rejected``, an awaitable, an error) is looked for once a batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from operator import countOf
from time import perf_counter
from types import AsyncGeneratorType, CoroutineType, GeneratorType, NoneType
from typing import Any, Literal

from headrace.model.message import Meta, Rejected, rejections_made

from .function_signature import is_async, is_truthful, underlying

Kind = Literal["unknown", "map", "flat", "each"]

_MANY_TYPES = 100
_FIRST_SLICE, _SLICE = 64, 256  # messages
LONG_ENOUGH = 0.002
"""Seconds after which a batch is cut short."""


@dataclass(slots=True)
class Begun:
    """A message on which the function was called once, and that is not done with.

    Attributes:
        message: The message.
        result: What the function returned.
        error: What it raised instead.
        meta: What it was told about the message.
    """

    message: Any
    result: Any = None
    error: BaseException | None = None
    meta: Meta | None = None


@dataclass(slots=True)
class Batch:
    """What came of some messages.

    Attributes:
        outputs: What goes to ``out``, in order.
        rejected: What goes to ``rejected``, in order.
        unfinished: What the function returned for the last messages, and what has to be awaited or taken apart.
        error: What it raised on the message after these; it was called on none behind that one.
    """

    outputs: list[Any]
    rejected: Sequence[Any] = ()
    unfinished: Sequence[Any] = ()
    error: BaseException | None = None

    @property
    def open(self) -> int:
        """On how many of the messages the function was called without being done with them."""
        return len(self.unfinished) + (self.error is not None)


@dataclass(slots=True)
class Stage:
    """A function with all its arguments but the message.

    Attributes:
        call: The function.
        kind: What it gives: a value a message (``map``), generators (``flat``), or something that only singly
            can be dealt with (``each``); ``unknown`` until its first result.
        gain: How many outputs a message had in the last batch; at least 1.
        truthful: Whether each of its results is true and a message, unless it is None or ``Rejected``, which
            are false (see ``is_truthful``).
    """

    call: Callable[[Any], Any]
    kind: Kind = "unknown"
    gain: float = 1.0
    truthful: bool = False
    _plain: set[type] = field(default_factory=lambda: {NoneType})
    _usual: type = NoneType

    def run(self, messages: Iterator[Any], room: int) -> Batch:
        """Call the function on the next messages, and sort out what came of them.

        Args:
            messages: The iterator of a list; on an error it stands right behind the message that raised.
            room: How many outputs are welcome; at least one message is taken. A generator may exceed it.
        """
        outputs: list[Any] = []
        unfinished: Sequence[Any] = ()
        error = None
        rejections = rejections_made()
        try:
            if self.kind == "flat":
                unfinished = self._expand(messages, room, outputs)
            else:
                self._map(messages, room if self.kind == "map" else 1, outputs)
        except BaseException as raised:
            error = raised
        truthful = self.truthful and rejections_made() == rejections  # else the annotation is wrong
        if self.kind == "map" and all_are(self._usual, outputs, truthful=truthful):
            return Batch([] if self._usual is NoneType else outputs, (), unfinished, error)
        return self._sort_out(outputs, unfinished, error)

    def _map(self, messages: Any, number: int, outputs: list[Any]) -> None:
        """Call the function on up to ``number`` messages; on fewer, where that has taken long enough.

        The clock is read after 64 messages and once in 256 then (once in 64 would cost 8 ns a message), so that
        a function that turns slow does not hold up everybody else for a whole batch.

        Raises:
            RuntimeError: The function raised StopIteration, which ``extend`` takes for the end of the messages.
        """
        until = perf_counter() + LONG_ENOUGH
        results = map(self.call, messages)
        while True:
            left = messages.__length_hint__()
            few = min(number - len(outputs), _SLICE if outputs else _FIRST_SLICE)
            wanted = len(outputs) + min(left, few)
            # Without islice it takes 20 ns less a message.
            outputs.extend(results if left <= few else islice(results, few))
            if len(outputs) < wanted:
                raise RuntimeError("the function raised StopIteration")
            if left <= few or len(outputs) >= number or perf_counter() > until:
                return

    def _sort_out(self, outputs: list[Any], unfinished: Sequence[Any], error: BaseException | None) -> Batch:
        types = set(map(type, outputs))
        if self._plain.issuperset(types):
            self._usual = type(outputs[-1]) if outputs else NoneType
            if NoneType in types:
                outputs = [output for output in outputs if output is not None]
            if self.kind == "unknown" and types:
                self.kind = "map"
            return Batch(outputs, (), unfinished, error)
        if self.kind != "flat":
            unfinished = self._take_open(outputs, types)
        return Batch(*sorted_out(outputs), unfinished, error)

    def _expand(self, messages: Iterator[Any], room: int, outputs: list[Any]) -> Sequence[Any]:
        """Call a generator function; returns what it returned instead where that has to be awaited."""
        taken = 0
        for message in messages:
            taken += 1
            result = self.call(message)
            if isinstance(result, GeneratorType):
                before = len(outputs)
                try:
                    outputs.extend(result)
                except BaseException:
                    del outputs[before:]  # outputs of a message are sent together, or none of them
                    raise
            elif _is_open(type(result)):
                self.kind = "each"
                return [result]
            else:
                outputs.append(result)
            if len(outputs) >= room:
                break
        self.gain = max(1.0, len(outputs) / max(taken, 1))
        return ()

    def _take_open(self, outputs: list[Any], types: set[type]) -> Sequence[Any]:
        """Take off the results from the first one on that is none yet; learn what the function gives."""
        open_types = {kind for kind in types - self._plain if _is_open(kind)}
        if not open_types:
            self.kind = "map"
            self._plain |= {kind for kind in types if not issubclass(kind, Rejected)}
            if len(self._plain) > _MANY_TYPES:
                self._plain = {NoneType}
            return ()
        self.kind = "flat" if self.kind == "unknown" and open_types == {GeneratorType} else "each"
        first = next(place for place, output in enumerate(outputs) if type(output) in open_types)
        unfinished = outputs[first:]
        del outputs[first:]
        return unfinished


def all_are(kind: type, outputs: list[Any], *, truthful: bool) -> bool:
    """Whether all outputs are of one type: 9 ns each; where None or their truth tells it, 2 to 4.

    Args:
        kind: The type.
        outputs: What a function gave.
        truthful: Whether what is true is a message of a type that is as good.
    """
    with suppress(Exception):  # the truth of an array is ambiguous, and so is whether it equals None
        if outputs.count(None) == len(outputs) if kind is NoneType else truthful and all(outputs):
            return True
    return countOf(map(type, outputs), kind) == len(outputs)


def stage_of(call: Callable[[Any], Any], fn: Any) -> Stage:
    """Return the stage of a function ``fn``, which ``call`` calls with all its other arguments."""
    if is_async(fn):
        return Stage(call, "each")
    if inspect.isgeneratorfunction(underlying(fn)):
        return Stage(call, "flat")
    return Stage(call, truthful=is_truthful(fn))


def sorted_out(outputs: list[Any], *, truthful: bool = False) -> tuple[list[Any], Sequence[Any]]:
    """Tell apart what goes to ``out`` and to ``rejected``; None goes nowhere.

    Args:
        outputs: What a function gave.
        truthful: Whether what is true of it is a message.
    """
    if truthful:
        with suppress(Exception):  # the truth of an array is ambiguous
            if all(outputs):
                return outputs, ()
    types = set(map(type, outputs))
    rejected: Sequence[Any] = ()
    if any(issubclass(kind, Rejected) for kind in types):
        rejected = [output for output in outputs if isinstance(output, Rejected)]
        outputs = [output for output in outputs if not isinstance(output, Rejected)]
    if NoneType in types:
        outputs = [output for output in outputs if output is not None]
    return outputs, rejected


def _is_open(kind: type) -> bool:
    """Whether an object of this type is no message, but has to be awaited or iterated."""
    return issubclass(kind, (CoroutineType, GeneratorType, AsyncGeneratorType, Awaitable))


__all__ = ["Batch", "Begun", "Stage", "all_are", "sorted_out", "stage_of"]
