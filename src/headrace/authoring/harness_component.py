"""A component with a status and streams: the base class that most components inherit from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from headrace.model.component_status import ComponentState, ComponentStatus
from headrace.model.options import Ack
from headrace.model.restart_policy import RestartPolicy, When
from headrace.model.settings import convert_settings

from .component import Component
from .context import Context


class HarnessComponent(Component):
    """A component that a harness runs: ``receive_streams`` and ``send_streams`` are filled by ``connect``.

    A subclass overrides ``process()``, and ``setup()`` and ``cleanup()`` where it has something to do there.
    Ports can be declared as annotations (``in_: In[bytes]``); settings as an inner class ``Config``.

    Attributes:
        restart: When it is restarted, where nothing else is said: ``"failure"``, or a ``RestartPolicy``.
        ack: Who acknowledges what it has received, where nothing else is said: ``"auto"``, its next receive, or
            ``"manual"``, itself by ``ack()``.
        max_unacked: With ``"manual"``, how many messages an input handle may have in hand; 1000 where None.
        accumulates: Whether it gathers something from its messages that is lost when it crashes, as totals are; the
            report says so then. Where None, the numbers and collections among its attributes tell.

    Args:
        name: Names the component in a system.
        config: Its settings. With an inner class ``Config`` they are converted to it.

    Raises:
        ConfigError: The settings do not fit ``Config``.
    """

    Config: ClassVar[Any] = None
    restart: ClassVar[RestartPolicy | When | None] = None
    ack: ClassVar[Ack] = "auto"
    max_unacked: ClassVar[int | None] = None
    accumulates: bool | None = None

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if self.Config is not None:
            self.config = convert_settings(config or {}, self.Config)
        self._status = ComponentStatus(name)
        self._context: Context | None = None
        self.receive_streams: dict[str, MemoryObjectReceiveStream[Any]] = {}
        self.send_streams: dict[str, MemoryObjectSendStream[Any]] = {}

    @property
    def context(self) -> Context:
        """What the component sees of the system that set it up; else one of its own, outside of any system."""
        if self._context is None:
            self._context = Context(self.name, config=self.config)
        return self._context

    @context.setter
    def context(self, context: Context | None) -> None:
        self._context = context

    @property
    def status(self) -> ComponentStatus:
        """Where the component is in its life."""
        return self._status

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready; ends in state ``ready``. An override calls this one, before its own work or after.

        Raises:
            InvalidStateTransition: The component is running.
        """
        if harness_context is None or isinstance(harness_context, Context):
            self._context = harness_context
        else:
            self._context = Context.of(harness_context, name=self.name, config=self.config)
        if self._status.state is not ComponentState.READY:
            self._status.transition_to(ComponentState.READY)

    async def process(self) -> None:
        """Do the work; returning ends the component and, through its outputs, what is downstream of it.

        Raises:
            NotImplementedError: A subclass did not override it.
        """
        raise NotImplementedError(f"{type(self).__name__} {self.name!r} does not override process()")

    async def cleanup(self) -> None:
        """Close every stream and end in state ``stopped``. Idempotent, and legal from every state."""
        wind_down(self._status)
        for sending in self.send_streams.values():
            sending.close()
        for receiving in self.receive_streams.values():
            receiving.close()
        finish_winding_down(self._status)

    async def health_check(self) -> dict[str, Any]:
        """Return name, state, errors and whether the component is healthy, as plain values."""
        status = self._status
        return {
            "name": self.name,
            "healthy": status.state is not ComponentState.ERROR,
            "state": status.state.value,
            "error_count": status.error_count,
            "last_error": None if status.last_error is None else repr(status.last_error),
            "last_transition": status.last_transition,
        }


def wind_down(status: ComponentStatus) -> None:
    """Move towards ``stopped`` from any state, as far as ``stopping`` (``error`` stays: it skips it)."""
    if status.state is ComponentState.CREATED:  # through ready, so that error_count stays true
        status.transition_to(ComponentState.READY)
    if status.can_transition_to(ComponentState.STOPPING):
        status.transition_to(ComponentState.STOPPING)


def finish_winding_down(status: ComponentStatus) -> None:
    """Move to ``stopped`` from ``stopping`` or ``error``; nothing happens where it is there already."""
    if status.can_transition_to(ComponentState.STOPPED):
        status.transition_to(ComponentState.STOPPED)


__all__ = ["HarnessComponent", "finish_winding_down", "wind_down"]
