"""Where a trace goes in and out of a system: by the header ``traceparent`` of W3C Trace Context.

Components use it; what traces fills it in (``edges.opentelemetry``). Until something does, nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .wiring import Wiring


class Watcher(Protocol):
    """Told by a system when a run of it begins and ends."""

    def run_begins(self, wiring: Wiring) -> None:
        """Take note that the edges of a run are there, and nothing has been sent."""

    def run_ends(self) -> None:
        """Take note that nothing more will be sent."""


Receive = Callable[[str, str, tuple[Any, ...]], AbstractContextManager[None]]


class _Hooks:
    """What is done; replaced by what traces."""

    receive: Receive = staticmethod(lambda traceparent, name, outs: nullcontext())
    send: Callable[[], str] = str


def traced(traceparent: str, name: str, *outs: object) -> AbstractContextManager[None]:
    """Return a block in which what a component sends belongs to the trace of a request: ``with`` around the sends.

    Args:
        traceparent: The header that came with the request; where it is empty or unreadable, a trace may begin.
        name: What the part of the trace in this block is called, such as ``POST /orders``.
        outs: The outputs of the component that are sent on in the block.
    """
    return _Hooks.receive(traceparent, name, outs)


def traceparent() -> str:
    """Return the header to send along with a request, so that its trace goes on; empty where there is none."""
    return _Hooks.send()


def use_tracing(receive: Receive, send: Callable[[], str]) -> None:
    """Let ``traced`` and ``traceparent`` do this, in this process, from now on."""
    _Hooks.receive = staticmethod(receive)
    _Hooks.send = staticmethod(send)


__all__ = ["Watcher", "traced", "traceparent", "use_tracing"]
