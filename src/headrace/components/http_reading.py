"""What a request brings along: its token, its signature, its body, read within limits and decoded."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

import anyio
import msgspec

from headrace.exceptions import ConfigError

from .times import Duration, seconds

if TYPE_CHECKING:
    from starlette.requests import Request

Format = Literal["auto", "json", "msgpack", "form", "text", "bytes"]


def _json(body: bytes) -> Any:
    return msgspec.json.decode(body)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body)))


def _text(body: bytes) -> str:
    return body.decode("utf-8")


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "json": _json,
    "msgpack": msgspec.msgpack.decode,
    "form": _form,
    "text": _text,
    "bytes": bytes,
}
_BY_TYPE = {
    "application/json": "json",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/x-www-form-urlencoded": "form",
    "text/plain": "text",
    "application/octet-stream": "bytes",
}


_AS_JSON = "; it looks like JSON, so send the header content-type: application/json"


class Refusal(Exception):
    """A request gets this answer, and no message comes of it.

    Args:
        status: The status code.
        detail: Why, for who has sent it.
        headers: More headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    return request.stream()


class RequestReader:
    """Reads requests.

    Args:
        format: What a body is; ``auto`` goes by its content type, which must be a known one then.
        message: What is made of a request: its ``body``, or the whole ``request``.
        max_body: How many bytes a body may have.
        body_within: How long a client may take to send its body.
        token: What a request must bring along; nothing where empty.
        signature_header: The header with the HMAC of the body; there is none where empty.
        signature_secret: Its secret.

    Raises:
        ConfigError: These do not fit.
    """

    def __init__(
        self,
        *,
        format: Format = "auto",
        message: Literal["body", "request"] = "body",
        max_body: int = 1_000_000,
        body_within: Duration = 10.0,
        token: str = "",
        signature_header: str = "",
        signature_secret: str = "",
    ) -> None:
        if max_body < 1:
            raise ConfigError("max_body must be at least 1", field="max_body")
        if bool(signature_header) != bool(signature_secret):
            raise ConfigError(
                "signature_header and signature_secret belong together", field="signature_header"
            )
        self._format = format
        self._message = message
        self._max_body = max_body
        self._body_within = seconds(body_within, "body_within")
        self._token = token
        self._signature_header, self._signature_secret = signature_header, signature_secret

    async def body(self, request: Request) -> bytes:
        """Return the body of a request that may be made.

        Raises:
            Refusal: It may not, or its body is too large or too slow.
        """
        self._check_token(request)
        body = await self._read(request)
        self._check_signature(request, body)
        return body

    def message(self, request: Request, body: bytes) -> Any:
        """Return what is made of a request.

        Raises:
            Refusal: Its content type is unknown (415), or its body is not of that type (400).
        """
        content = self._decoded(request, body)
        if self._message == "body":
            return content
        return {
            "method": request.method,
            "path": request.url.path,
            "query": dict(request.query_params),
            "headers": dict(request.headers),
            "body": content,
        }

    def _check_token(self, request: Request) -> None:
        wanted = f"Bearer {self._token}"
        given = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(given.encode(), wanted.encode()):
            raise Refusal(401, "a token is needed", {"WWW-Authenticate": "Bearer"})

    def _check_signature(self, request: Request, body: bytes) -> None:
        if not self._signature_header:
            return
        wanted = hmac.new(self._signature_secret.encode(), body, hashlib.sha256).hexdigest()
        given = request.headers.get(self._signature_header, "").removeprefix("sha256=").lower()
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise Refusal(401, "the signature does not fit the body")

    async def _read(self, request: Request) -> bytes:
        too_large = Refusal(413, f"a body has at most {self._max_body} bytes", {"Connection": "close"})
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_body:
            raise too_large
        parts: list[bytes] = []
        length = 0
        with anyio.move_on_after(self._body_within) as reading:
            async with aclosing(_chunks(request)) as chunks:
                async for chunk in chunks:
                    parts.append(chunk)
                    length += len(chunk)
                    if length > self._max_body:
                        raise too_large
        if reading.cancelled_caught:
            raise Refusal(408, "the body did not come in time", {"Connection": "close"})
        return b"".join(parts)

    def _decoded(self, request: Request, body: bytes) -> Any:
        kind: str = self._format
        if kind == "auto":
            given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            known = "json" if given.endswith("+json") else _BY_TYPE.get(given, "")
            if not known:
                raise Refusal(415, f"the content type must be one of {', '.join(_BY_TYPE)}")
            kind = known
        try:
            return _DECODERS[kind](body)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            hint = _AS_JSON if kind == "form" and body.lstrip()[:1] in (b"{", b"[") else ""
            raise Refusal(400, f"the body is no {kind}: {error}{hint}") from None


__all__ = ["Format", "Refusal", "RequestReader"]
