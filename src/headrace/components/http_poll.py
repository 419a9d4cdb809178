"""``http_poll``: what an HTTP server has, asked for again and again, and sent where it has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.exceptions import ConfigError, HeadraceError, MissingExtraError, UnavailableError
from headrace.model.message import Rejected
from headrace.model.secret import Secret

from .connection import Connection
from .times import Duration, seconds

if TYPE_CHECKING:
    from headrace.edges.http_client import Answer, HttpClient

_CLOSING = 5.0  # seconds
_NOT_MODIFIED = 304
_WRONG = (ValueError, RecursionError, msgspec.MsgspecError)
_CONDITIONS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}

Messages = tuple[list[Any], list[Rejected[Any]]]


def _json(body: bytes) -> Messages:
    try:
        found = msgspec.json.decode(body)
    except _WRONG as error:
        return [], [Rejected(body, f"no JSON: {error}")]
    return found if isinstance(found, list) else [found], []


def _lines(body: bytes) -> Messages:
    found: list[Any] = []
    rejected: list[Rejected[Any]] = []
    for line in filter(None, map(bytes.strip, body.split(b"\n"))):
        try:
            found.append(msgspec.json.decode(line))
        except _WRONG as error:
            rejected.append(Rejected(line, f"no JSON: {error}"))
    return found, rejected


def _text(body: bytes) -> Messages:
    try:
        return [body.decode("utf-8")], []
    except UnicodeDecodeError as error:
        return [], [Rejected(body, f"no UTF-8: {error}")]


def _bytes(body: bytes) -> Messages:
    return [body], []


_FORMATS: dict[str, Callable[[bytes], Messages]] = {
    "json": _json,
    "lines": _lines,
    "text": _text,
    "bytes": _bytes,
}


class HttpPoll(HarnessComponent):
    """Gets an address every so often, and sends what it finds: the items of a JSON list, lines, or all of it.

    What has not changed, by its ``ETag`` or ``Last-Modified``, is not sent again in one life of the component.
    While the server does not answer, or answers with an error, the component is not ready and tries again, after
    the time that ``Retry-After`` says or growing pauses. What cannot be decoded goes to ``rejected``.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package httpx is missing.

    Attributes:
        polls: How often there was an answer.
        unchanged: How often that was: nothing new.
        errors: How often there was an error.
    """

    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of an HTTP source.

        Attributes:
            url: What is asked for.
            every: From one request to the next, in seconds or as ``5m``; asked once where not given.
            format: ``json`` (a list is its items), ``lines`` of JSON, ``text`` or ``bytes``.
            follow_links: Whether the pages that follow by ``Link: ...; rel="next"`` are read too.
            max_pages: How many pages are read at most; more is an error.
            max_body: How many bytes a page may have.
            headers: More headers.
            token: Sent along as ``Authorization: Bearer TOKEN``.
            timeout: How long a request may take, from the connection to the end of the answer.
        """

        url: str
        every: Duration | None = None
        format: Literal["json", "lines", "text", "bytes"] = "json"
        follow_links: bool = False
        max_pages: int = 1000
        max_body: int = 10_000_000
        headers: dict[str, str] = {}
        token: Secret = Secret("")
        timeout: Duration = 10.0

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        for field in ("max_pages", "max_body"):
            if getattr(settings, field) < 1:
                raise ConfigError(f"{field} must be at least 1", field=field)
        self._every = None if settings.every is None else seconds(settings.every, "every")
        self._decode = _FORMATS[settings.format]
        self._client = self._make_client()
        self._server = Connection(self._client.what)
        self._begin()

    def _make_client(self) -> HttpClient:
        try:
            from headrace.edges.http_client import HttpClient
        except ImportError:
            raise MissingExtraError("http_poll", "http") from None
        settings = self.config
        token = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        return HttpClient(
            settings.url,
            headers={**token, **settings.headers},
            timeout=seconds(settings.timeout, "timeout"),
            max_body=settings.max_body,
        )

    def _begin(self) -> None:
        self.polls = 0
        self.unchanged = 0
        self.errors = 0
        self._conditions: dict[str, str] = {}

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Get ready; the server is first asked when all components run."""
        self._begin()
        await super().setup(harness_context)
        self._server.begin(self.context)
        await self._client.__aenter__()

    async def process(self) -> None:
        """Ask and send, until the system stops; only once where ``every`` is not given."""
        stop = self.context.stop_event
        while not stop.is_set():
            due = self.context.clock() + (self._every or 0.0)
            if await self._poll() and self._every is None:
                return
            with anyio.move_on_after(due - self.context.clock()):
                await stop.wait()

    async def _poll(self) -> bool:
        """Ask once, for all pages; returns whether that has worked.

        Only what was sent wholly is not asked for again.
        """
        conditions: dict[str, str] = {}
        page = ""
        for number in range(self.config.max_pages):
            answer = await self._answer_to(page, {} if number else self._conditions)
            if answer is None:
                return False
            if answer.status == _NOT_MODIFIED:
                self.unchanged += 1
                self._server.found()
                return True
            if not number:
                conditions = {
                    asks: answer.headers[says] for says, asks in _CONDITIONS.items() if says in answer.headers
                }
            await self._send(*self._decode(answer.body))
            page = answer.links.get("next", "") if self.config.follow_links else ""
            if not page:
                self._server.found()
                self._conditions = conditions
                return True
        self.errors += 1
        await self._server.wait_unless_stopping(f"there are more than {self.config.max_pages} pages")
        return False

    async def _send(self, messages: Sequence[Any], rejected: Sequence[Rejected[Any]]) -> None:
        await self.out.send_many(messages)
        await self.rejected.send_many(rejected)

    async def _answer_to(self, page: str, conditions: Mapping[str, str]) -> Answer | None:
        """Return the answer, however often it takes; None where the system stops, or all is to begin anew."""
        while True:
            pause = 0.0
            again = True
            try:
                answer = await self._request(page, conditions)
            except HeadraceError as error:
                said, again = str(error), isinstance(error, UnavailableError)
            else:
                if answer is None:
                    return None
                if answer.is_success or (answer.status == _NOT_MODIFIED and conditions):
                    self.polls += 1
                    return answer
                said, pause, again = answer.told(), answer.retry_after(), answer.is_passing
            self.errors += 1
            if not await self._server.wait_unless_stopping(said, at_least=pause) or not again:
                return None

    async def _request(self, page: str, conditions: Mapping[str, str]) -> Answer | None:
        """Make a request, which a stop ends."""
        answer: Answer | None = None
        error: HeadraceError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._cancel_at_stop, group.cancel_scope)
            try:
                answer = await self._client.request("GET", url=page, headers=conditions)
            except HeadraceError as caught:
                error = caught
            group.cancel_scope.cancel()
        if error is not None:
            raise error
        return answer

    async def _cancel_at_stop(self, scope: anyio.CancelScope) -> None:
        await self.context.stop_event.wait()
        scope.cancel()

    async def cleanup(self) -> None:
        """Close the connections and the streams."""
        with anyio.move_on_after(_CLOSING, shield=True):
            await self._client.__aexit__(None, None, None)
        await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add how often it was asked, with what success, and whether the server is there."""
        counts = {"polls": self.polls, "unchanged": self.unchanged, "errors": self.errors}
        return {**await super().health_check(), **counts, **self._server.health()}


__all__ = ["HttpPoll"]
