"""What ``nats_source`` and ``nats_sink`` share: the server, and how it is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.edges.interruptible_thread import InterruptibleThread
from headrace.exceptions import (
    ComponentError,
    ConfigError,
    HeadraceError,
    MissingExtraError,
    UnavailableError,
)

from .connection import Connection
from .payloads import Payloads
from .times import seconds

if TYPE_CHECKING:
    from headrace.edges.nats import NatsSession

T = TypeVar("T")


class NatsEnd(HarnessComponent):
    """What source and sink share: the server, and how it is reached."""

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        servers = [settings.url] if isinstance(settings.url, str) else list(settings.url)
        if not servers or not all(one.startswith(("nats://", "tls://")) for one in servers):
            raise ConfigError("url must begin with nats:// or tls://", field="url")
        if settings.create_stream and not settings.stream:
            raise ConfigError("create_stream needs stream", field="create_stream")
        self._timeout = seconds(settings.timeout, "timeout")
        self._session = self._make_session(servers)
        self._thread = InterruptibleThread(self._session.interrupt)
        self._server = Connection(
            ", ".join(one.rpartition("@")[2].removeprefix("nats://") for one in servers)
        )
        self._payloads = Payloads(settings.format, getattr(settings, "subject_field", ""))

    def _make_session(self, servers: list[str]) -> NatsSession:
        raise NotImplementedError

    def _options(self, servers: list[str], subjects: Sequence[str]) -> dict[str, Any]:
        settings = self.config
        return {
            "servers": servers,
            "user": settings.user,
            "password": str(settings.password),
            "token": str(settings.token),
            "credentials": settings.credentials,
            "timeout": self._timeout,
            "stream": settings.stream,
            "subjects": subjects if settings.create_stream else (),
        }

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


def nats_edge() -> Any:
    try:
        from headrace.edges import nats
    except ImportError:
        raise MissingExtraError("nats", "nats") from None
    return nats


__all__ = ["NatsEnd", "nats_edge"]
