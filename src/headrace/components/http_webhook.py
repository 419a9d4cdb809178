"""``http_webhook``: a message for each request that others send to an address."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError, HeadraceError, UnavailableError
from headrace.model.message import Rejected
from headrace.runtime.tracing import traced

from .http_reading import Format, Refusal, RequestReader
from .times import Duration, seconds

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from headrace.edges.web.listening import Listener

_AT_STOP = 0.1
"""Seconds that a request under way still waits for room when the system stops."""
_NOBODY = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class HttpWebhook(HarnessComponent):
    """Sends the body of each request, and answers 202 once the edge has taken it.

    While the edge is full a request waits so long, and is then answered 503 (or 429) with ``Retry-After``; so is
    all that comes while the system stops. What cannot be decoded is answered 400 and goes to ``rejected``.
    Components that name one address share its server.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The libraries of the extra ``http`` are missing.

    Attributes:
        accepted: How many requests became messages.
        refused: How many did not, by status code.
    """

    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a webhook.

        Attributes:
            listen: ``HOST:PORT``; a port of 0 for a free one.
            path: The path that is answered.
            methods: The methods that are.
            format: What a body is; ``auto`` goes by its content type, which must be a known one then.
            message: ``body``, or the whole ``request``: a row of ``method``, ``path``, ``query``, ``headers`` and
                ``body``.
            max_body: How many bytes a body may have; more is answered 413.
            body_within: How long a client may take to send its body; longer is answered 408.
            head_within: How long a client may take to say what it wants; it is cut off then.
            wait: How long a request waits while the edge is full.
            full_status: What it is answered then: 503 or 429.
            retry_after: Seconds after which it may try again, as it is told.
            token: What a request must bring along as ``Authorization: Bearer TOKEN``; anybody may send where empty.
            signature_header: The header with the hexadecimal HMAC-SHA256 of the body, such as
                ``X-Hub-Signature-256``; a ``sha256=`` before it is left out.
            signature_secret: The secret of that signature.
        """

        listen: str
        path: str = "/"
        methods: list[str] = msgspec.field(default_factory=lambda: ["POST"])
        format: Format = "auto"
        message: Literal["body", "request"] = "body"
        max_body: int = 1_000_000
        body_within: Duration = 10.0
        head_within: Duration = 10.0
        wait: Duration = 5.0
        full_status: Literal[503, 429] = 503
        retry_after: Duration = 1.0
        token: str = ""
        signature_header: str = ""
        signature_secret: str = ""

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        from headrace.edges.web.listening import address_of, require_server

        require_server("http_webhook")
        settings = self.config
        self._address = address_of(settings.listen)
        if not settings.path.startswith("/"):
            raise ConfigError("path must begin with /", field="path")
        if not settings.methods:
            raise ConfigError("methods is empty", field="methods")
        self._reader = RequestReader(
            format=settings.format,
            message=settings.message,
            max_body=settings.max_body,
            body_within=settings.body_within,
            token=settings.token,
            signature_header=settings.signature_header,
            signature_secret=settings.signature_secret,
        )
        self._head_within = seconds(settings.head_within, "head_within")
        self._wait = seconds(settings.wait, "wait", or_zero=True)
        self._retry_after = str(math.ceil(seconds(settings.retry_after, "retry_after", or_zero=True)))
        self._methods = tuple(method.upper() for method in settings.methods)
        self._listener: Listener | None = None
        self._under_way = 0
        self._quiet = anyio.Event()
        self._begin()

    def _begin(self) -> None:
        self.accepted = 0
        self.refused: dict[int, int] = {}

    @property
    def url(self) -> str:
        """Where it listens; empty while it does not."""
        return "" if self._listener is None else self._listener.url + self.config.path

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Listen; requests that come before all components run wait.

        Raises:
            UnavailableError: The address is in use, or is none of this computer's.
            ConfigError: Another component has this path.
        """
        from headrace.edges.web.listening import listener_at

        self._begin()
        try:
            listener = await listener_at(self._address, self._head_within)
        except HeadraceError as error:
            raise UnavailableError(f"{self.name}: {error}", component=self.name) from error
        listener.answer(self.config.path, self._methods, self._answer)
        self._listener = listener
        await super().setup(harness_context)
        if self.context.logger is not None:
            self.context.logger.info("listening", url=self.url)

    async def process(self) -> None:
        """Answer requests until the system stops, and those under way."""
        assert self._listener is not None
        async with self._listener.serving():
            await self.context.stop_event.wait()
            while self._under_way:
                self._quiet = anyio.Event()
                await self._quiet.wait()

    async def _answer(self, request: Request) -> Response:
        from headrace.edges.web.listening import json_response

        self._under_way += 1
        try:
            await self._take(request)
        except Refusal as refusal:
            self.refused[refusal.status] = self.refused.get(refusal.status, 0) + 1
            return json_response(refusal.status, {"error": refusal.detail}, refusal.headers)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()
        self.accepted += 1
        return json_response(202, {"accepted": True})

    async def _take(self, request: Request) -> None:
        self._refuse_at_stop()
        body = await self._reader.body(request)
        self._refuse_at_stop()
        title = f"{request.method} {self.config.path}"
        with traced(request.headers.get("traceparent", ""), title, self.out, self.rejected):
            try:
                message = self._reader.message(request, body)
            except Refusal as refusal:
                if refusal.status == 400:
                    await self._send(self.rejected, Rejected(body, refusal.detail))
                raise
            await self._send(self.out, message)

    async def _send(self, port: Out[Any], message: Any) -> None:
        """Send, within the time there is for it; a send that is cancelled has sent nothing."""
        try:
            port.send_nowait(message)
        except anyio.WouldBlock:
            await self._send_late(port, message)
        except _NOBODY:
            raise self._nobody() from None

    async def _send_late(self, port: Out[Any], message: Any) -> None:
        failed: Refusal | None = Refusal(self.config.full_status, "the system is full", self._later())
        with anyio.move_on_after(self._wait) as waiting:
            async with anyio.create_task_group() as group:
                group.start_soon(self._cut_short_at_stop, waiting)
                try:
                    await port.send(message)
                    failed = None
                except _NOBODY:
                    failed = self._nobody()
                group.cancel_scope.cancel()
        if failed is not None:
            self._refuse_at_stop()
            raise failed

    def _nobody(self) -> Refusal:
        return Refusal(503, "nobody takes messages any more", self._later())

    async def _cut_short_at_stop(self, waiting: anyio.CancelScope) -> None:
        await self.context.stop_event.wait()
        waiting.deadline = min(waiting.deadline, anyio.current_time() + _AT_STOP)

    # --- what is refused ---------------------------------------------------------------------------

    def _later(self) -> dict[str, str]:
        return {"Retry-After": self._retry_after}

    def _refuse_at_stop(self) -> None:
        if self.context.stop_event.is_set():
            raise Refusal(503, "the system is stopping", {**self._later(), "Connection": "close"})

    # --- the end -----------------------------------------------------------------------------------

    async def cleanup(self) -> None:
        """Listen no more, and close the streams."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.leave(self.config.path)
        await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add where it listens, how many requests were accepted, are under way, and were refused by status."""
        counts = {"url": self.url, "accepted": self.accepted, "under_way": self._under_way}
        return {**await super().health_check(), **counts, "refused": dict(self.refused)}


__all__ = ["HttpWebhook"]
