"""Requests to an HTTP server, by httpx: within a time, with a bounded answer, and errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urljoin

import anyio
import httpx

from headrace.exceptions import ConfigError, HeadraceError, UnavailableError

MOST_RETRY_AFTER = 3600.0
"""Seconds that a server can ask to be left alone; it is asked again after them, whatever it said."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 508, 509, 520, 521, 522, 523, 524, 529})
"""Answers after which the same request may be taken later."""
_SHOWN = 200  # characters of an answer, in a reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has answered.

    Attributes:
        status: The status code.
        headers: The headers, by names in small letters.
        body: The body.
        url: What was asked.
        links: The addresses of its ``Link`` headers, by their ``rel``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        """Whether it has done what was asked."""
        return 200 <= self.status < 300

    @property
    def is_passing(self) -> bool:
        """Whether the same request may be taken later."""
        return self.status in PASSING

    def retry_after(self) -> float:
        """Return the seconds that the server asks to be left alone: 0 where it does not."""
        said = self.headers.get("retry-after", "").strip()
        if said.isdigit():
            return min(float(said), MOST_RETRY_AFTER)
        try:
            wanted = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
        return min(max(0.0, wanted), MOST_RETRY_AFTER)

    def told(self) -> str:
        """Say for people what was answered."""
        text = " ".join(self.body.decode("utf-8", "replace").split())
        if 300 <= self.status < 400 and "location" in self.headers:
            return f"answered {self.status}: it is at {self.headers['location'][:_SHOWN]} now"
        return f"answered {self.status}" + (f": {text[:_SHOWN]}" if text else "")


class _Body(httpx.AsyncByteStream):
    """The body of a request. httpx's own is an async generator, which a broken connection leaves half-way."""

    def __init__(self, content: bytes) -> None:
        self._rest = [content] if content else []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        return self._rest.pop()


class HttpClient:
    """A client of one server, with its connections kept between requests; ``async with`` it.

    Args:
        url: What is asked.
        headers: Headers of every request.
        timeout: Seconds for a request, from the connection to the end of its answer.
        connections: How many requests there may be at once.
        max_body: How many bytes an answer may have.
        cut: Whether of a longer one its beginning is enough; so it is of any that tells of an error.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout: float,
        connections: int = 1,
        max_body: int = 65_536,
        cut: bool = False,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ConfigError(f"url is no address: {error}", field="url") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigError("url must begin with http:// or https:// and name a host", field="url")
        try:
            self._headers = httpx.Headers({"Accept-Encoding": "identity", **headers})
        except UnicodeError:
            raise ConfigError("headers must be ASCII", field="headers") from None
        if any(ord(letter) < 32 for name, value in headers.items() for letter in name + value):
            raise ConfigError("headers may not have control characters", field="headers")
        self._origin = (parsed.scheme, parsed.netloc)
        self.what = f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"  # without name, password and query
        self._url = url
        self._timeout = timeout
        self._connections = connections
        self._max_body = max_body
        self._cut = cut
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        limits = httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections)
        self._client = httpx.AsyncClient(headers=self._headers, timeout=None, limits=limits)
        return self

    async def __aexit__(self, *exc: object) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def request(
        self, method: str, *, url: str = "", content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make a request.

        Args:
            method: Its method.
            url: What is asked, where it is not the address of the client; a relative one is of that.
            content: Its body.
            headers: More headers.

        Raises:
            UnavailableError: There is no whole answer, or not within its time.
            HeadraceError: The answer has more bytes than it may, or what is asked is on another server, which
                would see our headers.
        """
        assert self._client is not None, "async with comes first"
        target = self._target(url) if url else self._url
        try:
            with anyio.fail_after(self._timeout):
                asked = self._client.build_request(method, target, content=content or None, headers=headers)
                asked.stream = _Body(content)
                response = await self._client.send(asked, stream=True)
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise UnavailableError(f"{self.what}: no whole answer within {self._timeout:g} s") from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise UnavailableError(f"{self.what}: {said}") from error
        found = {name.lower(): value for name, value in response.headers.items()}
        links = {rel: link["url"] for rel, link in response.links.items() if rel and "url" in link}
        return Answer(response.status_code, found, body, str(response.url), links)

    def _target(self, link: str) -> str:
        target = urljoin(self._url, link)
        try:
            wanted = httpx.URL(target)
        except httpx.InvalidURL as error:
            raise HeadraceError(f"{self.what}: a link is no address: {error}") from None
        if (wanted.scheme, wanted.netloc) != self._origin:
            raise HeadraceError(f"{self.what}: a link leads to another server, {wanted.host}")
        return target

    async def _read(self, response: httpx.Response) -> bytes:
        parts: list[bytes] = []
        length = 0
        chunks = response.aiter_bytes()
        async for part in chunks:
            parts.append(part)
            length += len(part)
            if length > self._max_body:
                break
        else:
            return b"".join(parts)
        await response.aclose()
        with suppress(httpx.HTTPError, httpx.StreamError):  # trio minds an iteration that is left half-way
            async for _ in chunks:
                pass
        if response.is_success and not self._cut:
            raise HeadraceError(f"{self.what}: the answer has more than {self._max_body} bytes")
        return b"".join(parts)


__all__ = ["MOST_RETRY_AFTER", "PASSING", "Answer", "HttpClient"]
