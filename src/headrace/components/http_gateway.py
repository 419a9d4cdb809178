"""The HTTP front of a gateway: a request goes through the graph, and its answer is the response."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from headrace.exceptions import (
    ConfigError,
    RequestFailedError,
    RequestRefusedError,
    RequestTimeoutError,
)
from headrace.runtime.log import get_logger
from headrace.runtime.tracing import traced

from .gateway import Gateway
from .http_reading import Refusal, RequestReader
from .rows import Row
from .times import Duration, seconds

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class _Front:
    """Answers the requests of one path by asking a gateway."""

    def __init__(self, gateway: Gateway, reader: RequestReader, path: str, retry_after: str) -> None:
        self._gateway = gateway
        self._reader = reader
        self._path = path
        self._retry_after = retry_after

    async def answer(self, request: Request) -> Response:
        from headrace.edges.web.listening import json_response

        try:
            reply = await self._ask(request)
            body = msgspec.json.encode(reply, enc_hook=str)
        except Refusal as refusal:
            return json_response(refusal.status, {"error": refusal.detail}, refusal.headers)
        return json_response(200, msgspec.Raw(body))

    async def _ask(self, request: Request) -> Row:
        row = await self._row(request)
        with traced(request.headers.get("traceparent", ""), f"{request.method} {self._path}"):
            try:
                return await self._gateway.ask(row)
            except RequestFailedError as error:
                raise Refusal(422, error.reason) from None
            except RequestTimeoutError as error:
                raise Refusal(504, str(error)) from None
            except RequestRefusedError as error:
                headers = {"Retry-After": self._retry_after}
                if not self._gateway.is_open:
                    headers["Connection"] = "close"
                raise Refusal(503, str(error), headers) from None

    async def _row(self, request: Request) -> Row:
        body = await self._reader.body(request)
        if request.method in ("GET", "HEAD", "DELETE") and not body:
            return dict(request.query_params)
        row = self._reader.message(request, body)
        if not isinstance(row, dict):
            raise Refusal(400, f"the body must be an object of named fields, not {type(row).__name__}")
        return row


@asynccontextmanager
async def open_http_gateway(
    listen: str,
    path: str = "/",
    methods: Sequence[str] = ("GET", "POST"),
    max_requests: int = 1000,
    timeout: Duration = 30.0,
    id_field: str = "request_id",
    max_body: int = 1_000_000,
    body_within: Duration = 10.0,
    head_within: Duration = 10.0,
    token: str = "",
    retry_after: Duration = 1.0,
) -> AsyncIterator[Gateway]:
    """Make the gateway of a system and let it be asked over HTTP: a resource of the gateway's two components.

    A body, in JSON, msgpack or as a form, is the row of a request, or the query where there is none. An answer is
    JSON with 200. What was rejected is answered 422, what got no answer in time 504, and what is refused, because
    too many are at work or the system is stopping, 503 with ``Retry-After``.

    Args:
        listen: ``HOST:PORT``; a port of 0 for a free one, which is logged.
        path: The path that is answered.
        methods: The methods that are.
        max_requests: How many are at work at most; one more is refused at once.
        timeout: Time until a request without an answer is given up.
        id_field: The field of a row by which its answer is known.
        max_body: How many bytes a body may have.
        body_within: How long a client may take to send its body.
        head_within: How long a client may take to say what it wants; it is cut off then.
        token: What a request must bring along as ``Authorization: Bearer TOKEN``; anybody may ask where empty.
        retry_after: Time after which who was refused may try again, as it is told.

    Raises:
        ConfigError: These do not fit.
        HarnessError: The address is in use, or is none of this computer's.
        MissingExtraError: The libraries of the extra ``http`` are missing.
    """
    from headrace.edges.web.listening import address_of, listener_at, require_server

    require_server("an HTTP gateway")
    if not path.startswith("/"):
        raise ConfigError("path must begin with /", field="path")
    gateway = Gateway(max_requests=max_requests, timeout=timeout, id_field=id_field)
    reader = RequestReader(max_body=max_body, body_within=body_within, token=token)
    later = str(math.ceil(seconds(retry_after, "retry_after", or_zero=True)))
    front = _Front(gateway, reader, path, later)
    address = address_of(listen)
    listener = await listener_at(address, seconds(head_within, "head_within"))
    listener.answer(path, tuple(method.upper() for method in methods), front.answer)
    try:
        gateway.url = listener.url + path
        get_logger().info("listening", url=gateway.url)
        async with listener.serving(), gateway.opened():
            yield gateway
    finally:
        listener.leave(path)


__all__ = ["open_http_gateway"]
