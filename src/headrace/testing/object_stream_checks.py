"""The conformance suite of memory object streams: what AnyIO's do, as named facts.

Whoever makes streams that claim AnyIO's semantics runs it over them, and learns by name which fact does
not hold.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

import anyio

from ._stream_fact import Fact, Make
from ._stream_facts_cancelling import CANCELLING_FACTS
from ._stream_facts_closing import CLOSING_FACTS
from ._stream_facts_flow import FLOW_FACTS

__all__ = ["OBJECT_STREAM_FACTS", "ObjectStreamCheckError", "check_object_stream"]

_FACTS: dict[str, Fact] = {
    getattr(fact, "__name__"): fact  # noqa: B009 - a Callable has no __name__ for mypy
    for fact in (*FLOW_FACTS, *CLOSING_FACTS, *CANCELLING_FACTS)
}

#: The names of all facts, in the order in which they are checked.
OBJECT_STREAM_FACTS: tuple[str, ...] = tuple(_FACTS)


class ObjectStreamCheckError(AssertionError):
    """Raised by ``check_object_stream`` when facts do not hold; ``failed`` has each with its error."""

    def __init__(self, failed: dict[str, Exception]) -> None:
        self.failed = failed
        lines = [f"  {name}: {_text(error)}" for name, error in failed.items()]
        count = f"{len(failed)} of {len(OBJECT_STREAM_FACTS)} facts about memory object streams do not hold"
        super().__init__("\n".join([f"{count}:", *lines]))


async def check_object_stream(
    make: Make, *, excluding: Collection[str] = (), fact_timeout: float = 5.0
) -> None:
    """Check that streams behave as AnyIO's memory object streams do (since AnyIO 4.16), to the letter.

    Runs under the current backend; run it under each. Nothing else may be busy in the event loop
    meanwhile, because the facts wait for all other tasks to be blocked.

    Args:
        make: makes a new pair of send and receive stream from a buffer size, which it passes on as it is
            (bad sizes included). It keeps no reference to them.
        excluding: names of facts, out of ``OBJECT_STREAM_FACTS``, that the streams do not claim.
        fact_timeout: seconds after which a fact that still waits does not hold.

    Raises:
        ObjectStreamCheckError: facts do not hold; names all of them.
        ValueError: an excluded name is not a fact.
    """
    _refuse_unknown(excluding)
    failed: dict[str, Exception] = {}
    for name, fact in _FACTS.items():
        if name not in excluding:
            error = await _failure(fact, make, fact_timeout)
            if error is not None:
                failed[name] = error
    if failed:
        raise ObjectStreamCheckError(failed) from next(iter(failed.values()))


async def _failure(fact: Fact, make: Make, fact_timeout: float) -> Exception | None:
    try:
        with anyio.fail_after(fact_timeout):
            await fact(make)
    except TimeoutError:
        return TimeoutError(f"still waits after {fact_timeout} s")
    except ExceptionGroup as group:
        return _only_error(group)
    except Exception as error:
        return error
    return None


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, (AssertionError, TimeoutError)) else repr(error)


def _only_error(group: ExceptionGroup[Exception]) -> Exception:
    """Return the one error in a task group's exception group, however deep; else the group."""
    error: Exception = group
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _refuse_unknown(names: Collection[str]) -> None:
    for name in names:
        if name not in _FACTS:
            near = difflib.get_close_matches(name, OBJECT_STREAM_FACTS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{name!r} is not a fact about memory object streams{hint}")
