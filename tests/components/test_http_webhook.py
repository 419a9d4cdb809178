"""Requests become messages: what is taken, what is refused and how, and that nobody holds others up."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from anyio import fail_after
from anyio.lowlevel import checkpoint
from tests.servers import free_port

from headrace import HarnessComponent, In, System
from headrace.components import HttpWebhook
from headrace.exceptions import ConfigError, SystemFailed


class Keep(HarnessComponent):
    """Keeps what it gets, once it may."""

    in_: In[Any]

    def __init__(self, name: str, *, open: bool = True) -> None:
        super().__init__(name)
        self.messages: list[Any] = []
        self.may = anyio.Event()
        if open:
            self.may.set()

    async def process(self) -> None:
        await self.may.wait()
        async for message in self.in_:
            self.messages.append(message)


class Running:
    """A system of a webhook, what takes its messages, and a client."""

    def __init__(self, config: dict[str, Any], *, open: bool = True, buffer_size: int = 100) -> None:
        self.system = System("hooks")
        self.hook = HttpWebhook("hook", {"listen": "127.0.0.1:0", **config})
        self.kept, self.bad = Keep("kept", open=open), Keep("bad")
        self.system.register_component("hook", self.hook)
        self.system.register_component("kept", self.kept)
        self.system.register_component("bad", self.bad)
        self.system.connect("hook.out", "kept.in", buffer_size=buffer_size)
        self.system.connect("hook.rejected", "bad.in")
        self.client = httpx.AsyncClient()

    async def post(self, content: bytes = b'{"n": 1}', **options: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return await self.client.post(self.hook.url, content=content, headers=headers, **options)


@asynccontextmanager
async def running(*, open: bool = True, buffer_size: int = 100, **config: Any) -> AsyncIterator[Running]:
    """Run a system with a webhook in this block."""
    made = Running(config, open=open, buffer_size=buffer_size)
    with fail_after(60):
        async with made.client, made.system:
            yield made
            made.kept.may.set()


async def test_a_body_becomes_a_message_and_is_answered_202() -> None:
    async with running(path="/orders") as made:
        answer = await made.post(b'{"fruit": "plum"}')
        assert (answer.status_code, answer.json()) == (202, {"accepted": True})
        health = await made.hook.health_check()
        assert (health["accepted"], health["refused"], health["under_way"]) == (1, {}, 0)
        assert health["url"].endswith("/orders")
    assert made.kept.messages == [{"fruit": "plum"}]
    assert made.hook.url == ""


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("application/json; charset=utf-8", b"[1, 2]", [1, 2]),
        ("application/cloudevents+json", b'{"a": 1}', {"a": 1}),
        ("application/msgpack", msgspec.msgpack.encode({"a": b"x"}), {"a": b"x"}),
        ("application/x-www-form-urlencoded", b"a=1&b=", {"a": "1", "b": ""}),
        ("text/plain", "grün".encode(), "grün"),
        ("application/octet-stream", b"\xff\x00", b"\xff\x00"),
    ],
)
async def test_bodies_are_decoded_by_their_content_type(kind: str, body: bytes, message: Any) -> None:
    async with running() as made:
        assert (await made.post(body, headers={"Content-Type": kind})).status_code == 202
    assert made.kept.messages == [message]


async def test_json_that_came_as_a_form_as_curl_sends_it_gets_the_header_to_send() -> None:
    async with running() as made:
        answer = await made.post(b'{"a": 1}', headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status_code == 400
        assert answer.json()["error"].endswith("send the header content-type: application/json")


async def test_a_whole_request_can_be_the_message() -> None:
    async with running(message="request", methods=["put"], path="/a") as made:
        answer = await made.client.put(made.hook.url + "?x=1", json={"n": 1}, headers={"X-Shop": "7"})
        assert answer.status_code == 202
    (row,) = made.kept.messages
    assert (row["method"], row["path"], row["query"], row["body"]) == ("PUT", "/a", {"x": "1"}, {"n": 1})
    assert row["headers"]["x-shop"] == "7"


async def test_what_does_not_decode_is_400_and_rejected() -> None:
    async with running() as made:
        answer = await made.post(b'{"n": ')
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("the body is no json: ")
        assert (await made.post(b"\xff", headers={"Content-Type": "text/plain"})).status_code == 400
        assert (await made.post(b"[" * 100_000)).status_code == 400
        assert (await made.post()).status_code == 202
    assert [one.message for one in made.bad.messages] == [b'{"n": ', b"\xff", b"[" * 100_000]
    assert made.kept.messages == [{"n": 1}]


async def test_what_is_refused_says_why() -> None:
    async with running(max_body=10, path="/a") as made:
        root = made.hook.url.removesuffix("/a")
        assert (await made.client.post(root + "/b")).status_code == 404
        wrong = await made.client.get(made.hook.url)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert (await made.post(b"x", headers={"Content-Type": "image/png"})).status_code == 415
        assert (await made.post(b"x" * 11)).status_code == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 5

        async with httpx.AsyncClient() as other:
            with_no_length = await other.post(made.hook.url, content=chunks())
        assert with_no_length.status_code == 413
        assert (await made.hook.health_check())["refused"] == {415: 1, 413: 2}
    assert made.kept.messages == []


async def test_a_token_is_needed_where_one_is_set() -> None:
    async with running(token="kept-in-a-safe") as made:
        assert (await made.post()).status_code == 401
        assert (await made.post(headers={"Authorization": "Bearer other"})).status_code == 401
        assert (await made.post(headers={"Authorization": "Bearer kept-in-a-safe"})).status_code == 202
    assert made.kept.messages == [{"n": 1}]


async def test_a_signature_must_fit_the_body() -> None:
    body = b'{"n": 2}'
    right = hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    async with running(signature_header="X-Signature", signature_secret="shared") as made:
        assert (await made.post(body)).status_code == 401
        assert (await made.post(body, headers={"X-Signature": f"sha256={right}"})).status_code == 202
        assert (await made.post(b'{"n": 3}', headers={"X-Signature": right})).status_code == 401
    assert made.kept.messages == [{"n": 2}]


@pytest.mark.parametrize("status", [503, 429])
async def test_a_full_edge_is_told_to_the_client(status: int) -> None:
    settings = {"full_status": status, "wait": "20ms", "retry_after": "2.5s"}
    async with running(open=False, buffer_size=1, **settings) as made:
        assert (await made.post()).status_code == 202
        answer = await made.post()
        assert (answer.status_code, answer.headers["retry-after"]) == (status, "3")
        made.kept.may.set()
        while made.system.statistics().edges["hook.out -> kept.in"].buffered:
            await checkpoint()
        assert (await made.post(b"3")).status_code == 202
    assert made.kept.messages == [{"n": 1}, 3]


async def test_a_request_waits_for_room() -> None:
    async with running(open=False, buffer_size=1, wait="1m") as made:
        assert (await made.post(b"1")).status_code == 202
        answers: list[int] = []

        async def send() -> None:
            answers.append((await made.post(b"2")).status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            while not (await made.hook.health_check())["under_way"]:
                await checkpoint()
            made.kept.may.set()
        assert answers == [202]
    assert made.kept.messages == [1, 2]


async def test_a_stop_refuses_what_is_new_and_answers_what_waits() -> None:
    async with running(open=False, buffer_size=1, wait="1m") as made:
        assert (await made.post(b"1")).status_code == 202
        answers: list[httpx.Response] = []

        async def send() -> None:
            answers.append(await made.post(b"2"))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            while not (await made.hook.health_check())["under_way"]:
                await checkpoint()
            made.system.request_stop()
        assert answers[0].status_code == 503
        assert answers[0].json() == {"error": "the system is stopping"}
        made.kept.may.set()
        await made.system.wait()
    assert made.kept.messages == [1]


class Slow:
    """A client that sends a byte now and then, until it is cut off."""

    def __init__(self, made: Running, begin: bytes) -> None:
        self._address = httpx.URL(made.hook.url)
        self._begin = begin
        self.got = b""

    async def run(self) -> None:
        async with await anyio.connect_tcp(self._address.host, self._address.port or 0) as stream:
            await stream.send(self._begin)
            async with anyio.create_task_group() as group:
                group.start_soon(self._drip, stream)
                await self._read(stream)
                group.cancel_scope.cancel()

    async def _drip(self, stream: anyio.abc.SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:  # faster than a byte a minute, and not fast enough all the same
                await anyio.sleep(0.02)
                await stream.send(b"x")

    async def _read(self, stream: anyio.abc.SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                self.got += await stream.receive()


async def test_a_client_that_sends_a_byte_now_and_then_is_cut_off_and_holds_nobody_up() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nx"
    async with running(head_within="300ms", body_within="300ms") as made:
        clients = [Slow(made, b"POST / HT"), Slow(made, head)]
        async with anyio.create_task_group() as group:
            for client in clients:
                group.start_soon(client.run)
            for number in range(20):  # meanwhile others are served
                assert (await made.post(str(number).encode())).status_code == 202
        assert clients[0].got == b""
        assert clients[1].got.startswith(b"HTTP/1.1 408 ")
    assert made.kept.messages == list(range(20))


async def test_webhooks_share_an_address_and_one_goes_on_when_the_other_ends() -> None:
    listen = f"127.0.0.1:{free_port()}"
    system = System("two")
    kept = {}
    for name in ("a", "b"):
        system.register_component(name, HttpWebhook(name, {"listen": listen, "path": f"/{name}"}))
        kept[name] = Keep(f"keep_{name}")
        system.register_component(f"keep_{name}", kept[name])
        system.connect(f"{name}.out", f"keep_{name}.in")
    with fail_after(60):
        async with httpx.AsyncClient(base_url=f"http://{listen}") as client, system:
            for name in ("a", "b"):
                assert (await client.post(f"/{name}", json=name)).status_code == 202
            await system.stop_component("a")
            again = httpx.AsyncClient(base_url=f"http://{listen}")
            async with again:
                assert (await again.post("/b", json="again")).status_code == 202
                assert (await again.post("/a", json="again")).status_code in (404, 503)
    assert (kept["a"].messages, kept["b"].messages) == (["a"], ["b", "again"])


async def test_an_address_in_use_fails_the_set_up() -> None:
    async with running() as made:
        port = made.hook.url.rstrip("/").rpartition(":")[2]
        other = System("other")
        other.register_component("hook", HttpWebhook("hook", {"listen": f"127.0.0.1:{port}"}))
        with pytest.raises(SystemFailed, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await other.run()


async def test_two_webhooks_of_one_path_fail_the_set_up() -> None:
    listen = f"127.0.0.1:{free_port()}"
    system = System("two")
    for name in ("a", "b"):
        system.register_component(name, HttpWebhook(name, {"listen": listen}))
    with pytest.raises(SystemFailed, match="another component listens at"):
        await system.run()
    with fail_after(60):
        again = System("again")
        again.register_component("a", HttpWebhook("a", {"listen": listen}))
        async with again:
            pass


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"listen": "nowhere:x"}, "listen"),
        ({"path": "orders"}, "path"),
        ({"methods": []}, "methods"),
        ({"max_body": 0}, "max_body"),
        ({"wait": "soon"}, "wait"),
        ({"signature_header": "X-Signature"}, "signature_header"),
    ],
)
def test_settings_that_do_not_fit_name_their_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpWebhook("hook", {"listen": "127.0.0.1:0", **settings})
    assert caught.value.field == field
