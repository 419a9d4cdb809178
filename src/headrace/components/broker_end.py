"""What the sources and sinks of brokers share: a session with a server, that may go away and come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.edges.interruptible_thread import InterruptibleThread
from headrace.exceptions import ComponentError, HeadraceError, UnavailableError
from headrace.model.carried import Given, Taken

from .connection import Connection
from .payloads import Payloads
from .times import seconds

T = TypeVar("T")


class Session(Protocol):
    """A connection that is opened, lost, and opened again. All of it blocks; several threads may call it."""

    dropped: int

    def open(self) -> None: ...

    def publish(self, messages: list[Given]) -> list[tuple[Given, str]]: ...

    def fetch(self, count: int, wait: float) -> list[Taken]: ...

    def settle(self, done: Sequence[Taken], undone: Sequence[Taken], working: Sequence[Taken]) -> None: ...

    def interrupt(self, since: float = 0.0) -> None: ...

    def stop_reading(self) -> None: ...

    def disconnect(self) -> None: ...

    def close(self) -> None: ...


class BrokerEnd(HarnessComponent):
    """A component with a session; a subclass has the ``Config``, and makes the session."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        self._timeout = seconds(self.config.timeout, "timeout")
        self._session, what = self._make_session()
        self._thread = InterruptibleThread(self._session.interrupt)
        self._server = Connection(what)
        self._payloads = Payloads(self.config.format, self._subject_field())

    def _make_session(self) -> tuple[Session, str]:
        """Return the session, and what the server is called."""
        raise NotImplementedError

    def _subject_field(self) -> str:
        return ""

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Connect; a server that is away keeps nobody from beginning.

        Raises:
            ComponentError: It does not let us in.
        """
        await super().setup(harness_context)
        self._server.begin(self.context)
        try:
            await self._call(self._session.open)
        except UnavailableError as error:
            self._server.lost(error)

    async def _call(self, fn: Callable[..., T], *args: Any) -> T:
        try:
            return await self._thread.call(fn, *args)
        except UnavailableError:
            raise
        except HeadraceError as error:
            raise ComponentError(f"{self.name}: {self._server.what} {error}", component=self.name) from error

    async def _connect(self) -> None:
        if self._server.is_away:
            await self._call(self._session.disconnect)
        await self._call(self._session.open)

    async def cleanup(self) -> None:
        """Close the connection and the streams."""
        try:
            with CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._session.close, limiter=CapacityLimiter(1))
        finally:
            await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add whether the server is there."""
        return {**await super().health_check(), **self._server.health()}


__all__ = ["BrokerEnd", "Session"]
