"""An async generator as what ``async for`` iterates, and only that: a cancellation ends it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from dis import opmap
from types import FrameType
from typing import TypeVar

T = TypeVar("T")
_OF_ASYNC_FOR = opmap["GET_AITER"]


def is_of_async_for(caller: FrameType) -> bool:
    """Return whether what asks for an iterator is an ``async for``, and not ``aiter()``."""
    return caller.f_code.co_code[caller.f_lasti] == _OF_ASYNC_FOR


def without_hooks(generator: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Let no event loop look after an async generator that has nothing to clean up.

    Left half-way (``break``), asyncio would start a task to close it, and trio would warn.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        generator.__anext__().close()  # asks for the hooks, and does not begin
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return generator


__all__ = ["is_of_async_for", "without_hooks"]
