"""The neutral base of components: a name, a configuration and a life of three calls.

It knows nothing of streams or of a harness, so that existing code can subclass it and stay as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ComponentLike(Protocol):
    """What a harness can register: any object with these three methods, whatever it inherits from."""

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready; called once before each start, before any component runs, and before each restart."""
        ...

    async def process(self) -> None:
        """Do the work; returning ends the component for this run, raising crashes it."""
        ...

    async def cleanup(self) -> None:
        """Release everything; called once after each run, and before each restart, whatever happened."""
        ...


class Component:
    """Base class with a name and a configuration.

    Args:
        name: Names the component in a system, in logs and in reports.
        config: Its settings; kept as a dict of its own.
    """

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.config: Any = dict(config or {})

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready. Called by the harness before any component runs, downstream first, and at each restart."""

    async def process(self) -> None:
        """Do the work. Called once all components are set up; returning ends the component."""

    async def cleanup(self) -> None:
        """Release everything. Called once after the run, also after a failure or a cancellation.

        Where the component is restarted, also between two of its lives, after a set-up that failed too.
        """

    async def health_check(self) -> dict[str, Any]:
        """Return the component's name and whether it is healthy, as plain values."""
        return {"name": self.name, "healthy": True}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


__all__ = ["Component", "ComponentLike"]
