"""Moves of a status by the harness: a listener that raises is logged, and takes nothing down with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headrace.exceptions import InvalidStateTransition
from headrace.model.report import describe


@contextmanager
def surviving_listeners(logger: Any, component: str) -> Iterator[None]:
    """Move a status in this block: the move stands whatever its listeners raise.

    Args:
        logger: Where the listener's error goes, with its traceback.
        component: Whose status it is.
    """
    try:
        yield
    except InvalidStateTransition:
        raise
    except Exception as error:
        logger.error("status listener failed", component=component, error=describe(error), exc_info=error)


__all__ = ["surviving_listeners"]
