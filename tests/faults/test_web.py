"""Rows 38 to 42: what reaches the web server of a system, as bytes on a connection, and what comes back."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after
from starlette.types import ASGIApp

from headrace.edges.web.access import Access
from headrace.edges.web.application import application
from headrace.edges.web.assets import Assets
from headrace.edges.web.connections import Connections
from headrace.edges.web.site import Site
from headrace.runtime.system_execution_harness import System

TOKEN = "a-token-of-the-tests"
MARKUP = "<script>alert(1)</script>"
CONTROL = "/api/v1/system/pause"
Shown = Callable[[str], None]


@asynccontextmanager
async def serve(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an application around a block; gives the port."""
    one = socket.create_server(("127.0.0.1", 0))
    one.setblocking(False)
    port, closing = one.getsockname()[1], anyio.Event()
    async with create_task_group() as group:
        group.start_soon(Connections(5.0).serve, [(one, lambda: app)], closing)
        yield port
        closing.set()


async def ask(port: int, target: str, *headers: str, method: str = "GET", host: str = "") -> str:
    """Send a request as it is, and return all that comes back."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host or f'127.0.0.1:{port}'}",
        "Connection: close",
        *headers,
    ]
    with fail_after(30):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send("\r\n".join([*lines, "", ""]).encode())
            got = b""
            async for chunk in stream:
                got += chunk
    return got.decode()


def system(name: str = "number") -> System:
    """Return a system of which one component sends markup and another one fails on it."""

    async def sends() -> AsyncIterator[str]:
        yield MARKUP
        await anyio.sleep_forever()

    def fails(message: str) -> None:
        raise ValueError(message)

    made = System("watched", source_grace=0.01)
    made.add(name, sends)
    made.add("fails", fails, attempts=1)
    made.connect(name, "fails")
    return made


def app_of(made: System, token: str = TOKEN, assets: Assets | None = None) -> ASGIApp:
    """Return the application of a system."""
    return application(Site(made, Access(token)), assets)


@pytest.mark.fault(
    38,
    "404, whatever the path looks like: the files of the page are read once at the start, without links, and "
    "nothing else can be served.",
    sees=["HTTP/1.1 404"],
)
async def test_no_path_leads_out_of_the_folder_of_the_page(tmp_path: Path, shown: Shown) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "page.js").write_text("page")
    (tmp_path / "secret.js").write_text("secret")
    (root / "link.js").symlink_to(tmp_path / "secret.js")
    (root / "linked").symlink_to(tmp_path, target_is_directory=True)
    paths = (
        "/assets/../secret.js",
        "/assets/deep/../../secret.js",
        "/assets/%2e%2e/secret.js",
        "/assets/..%2fsecret.js",
        "/assets/%2e%2e%2fsecret.js",
        "/assets/%252e%252e/secret.js",
        "/assets/..%5csecret.js",
        "/assets//../secret.js",
        f"/assets/{tmp_path}/secret.js",
        f"/assets//{tmp_path}/secret.js",
        "/assets/link.js",
        "/assets/linked/secret.js",
        "/assets/page.js%00",
        "/assets/",
        "/../secret.js",
    )
    async with serve(app_of(system(), assets=Assets(root))) as port:
        assert (await ask(port, "/assets/page.js")).endswith("page")
        for path in paths:
            answer = await ask(port, path)
            assert answer.startswith("HTTP/1.1 404"), path
            assert "secret\n" not in answer
        shown(answer.splitlines()[0])


@pytest.mark.fault(
    39,
    "403: whatever is no GET needs an `Origin` of this very server where a browser sends one, and the token, which "
    "no other site can read or make a browser send.",
    sees=["HTTP/1.1 403"],
)
async def test_a_request_from_another_site_is_refused_even_with_the_token(shown: Shown) -> None:
    made = system()
    async with serve(app_of(made)) as port, made:
        token = f"Authorization: Bearer {TOKEN}"
        own = f"Origin: http://127.0.0.1:{port}"
        foreign = (
            "Origin: http://evil.example",
            "Origin: null",
            f"Origin: http://127.0.0.1:{port}.evil.example",
            f"Origin: http://127.0.0.1:{port + 1}",
            f"Origin: http://evil@127.0.0.1:{port}",
            "Origin: http://[",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        )
        for header in foreign:
            answer = await ask(port, CONTROL, token, header, method="POST")
            assert answer.startswith("HTTP/1.1 403"), header
            assert "another site" in answer
        assert not any(one.paused for one in made.statistics().components.values())
        shown(answer.splitlines()[0])
        for headers in ((own,), ()):
            assert (await ask(port, CONTROL, token, *headers, method="POST")).startswith("HTTP/1.1 200")
        cross = await ask(port, "/api/v1/statistics", "Origin: http://evil.example")
        assert "access-control-allow-origin" not in cross.lower()


@pytest.mark.fault(
    40,
    "403: the server answers to the names of the loopback, to the host it was started with, and to those it was "
    "given; reading needs that too.",
    sees=["HTTP/1.1 403"],
)
async def test_a_foreign_host_gets_no_answer(shown: Shown) -> None:
    async with serve(app_of(system())) as port:
        for host in (
            "evil.example",
            f"evil.example:{port}",
            f"127.0.0.1.evil.example:{port}",
            f"localhost:{port}@evil.example",
            f"evil.example@localhost:{port}",
            "10.0.0.1",
            "localhost:port",
            "[::1",
        ):
            for path in ("/", "/api/v1/statistics", "/metrics", "/healthz", "/api/v1/events"):
                answer = await ask(port, path, host=host)
                assert answer.startswith("HTTP/1.1 403"), host
        shown(answer.splitlines()[0])
        for host in (
            "localhost",
            f"localhost:{port}",
            f"LOCALHOST:{port}",
            f"127.0.0.1:{port}",
            f"[::1]:{port}",
        ):
            assert (await ask(port, "/healthz", host=host)).startswith("HTTP/1.1 200"), host


@pytest.mark.fault(
    41,
    "401 without the token and with a wrong one, compared in constant time; 403 where the server has none, which "
    "only shows. It listens on the loopback unless told otherwise.",
    sees=["HTTP/1.1 401", 'www-authenticate: Bearer realm="headrace"'],
)
async def test_control_needs_the_token(shown: Shown) -> None:
    made = system()
    routes = (
        CONTROL,
        "/api/v1/system/stop",
        "/api/v1/components/fails/restart",
        "/api/v1/dead-letters/discard",
    )
    async with serve(app_of(made)) as port, made:
        for header in (
            "X-None: 1",
            "Authorization: Bearer wrong",
            "Authorization: Bearer ",
            f"Authorization: Bearer {TOKEN}x",
            f"Authorization: Bearer {TOKEN[:-1]}",
            f"Authorization: Basic {TOKEN}",
            f"Cookie: token={TOKEN}",
        ):
            for route in routes:
                answer = await ask(port, route, header, method="POST")
                assert answer.startswith("HTTP/1.1 401"), header
        shown(answer)
        assert (await ask(port, f"{CONTROL}?token={TOKEN}", method="POST")).startswith("HTTP/1.1 401")
        for method in ("PUT", "DELETE", "PATCH", "TRACE"):
            assert (await ask(port, CONTROL, method=method)).startswith("HTTP/1.1 401")
        assert made.running
        assert not any(one.paused for one in made.statistics().components.values())
    read_only = system()
    async with serve(app_of(read_only, token="")) as port, read_only:
        for header in ("X-None: 1", "Authorization: Bearer ", "Authorization: Bearer x"):
            answer = await ask(port, CONTROL, header, method="POST")
            assert answer.startswith("HTTP/1.1 403")
            assert "read-only" in answer
        assert (await ask(port, "/api/v1/system")).startswith("HTTP/1.1 200")


@pytest.mark.fault(
    42,
    "It is data: names and messages go out as JSON that no browser takes for a page, under a content security "
    "policy that runs nothing but the page's own files; nobody may frame it.",
    sees=[
        "content-security-policy: default-src 'none'; script-src 'self'; ...",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
    ],
)
async def test_markup_in_names_and_messages_is_data(shown: Shown) -> None:
    made = system(MARKUP)
    async with serve(app_of(made)) as port, made:
        with fail_after(30):
            while not made.statistics().dead_letters:  # noqa: ASYNC110 - nobody is told of a death
                await anyio.sleep(0.01)
        for path, kind in (
            ("/api/v1/statistics", "application/json"),
            ("/api/v1/graph", "application/json"),
            ("/api/v1/dead-letters/1", "application/json"),
            ("/api/v1/components/%3Cscript%3Ealert(1)%3C/script%3E", "application/json"),
            ("/api/v1/components/%3Cb%3E", "application/json"),
            ("/metrics", "text/plain"),
        ):
            answer = await ask(port, path)
            head = answer.partition("\r\n\r\n")[0].lower()
            assert f"content-type: {kind}" in head, path
            assert "x-content-type-options: nosniff" in head
            assert "frame-ancestors 'none'" in head
            assert "unsafe" not in head
        assert MARKUP in await ask(port, "/api/v1/dead-letters/1")
        shown(answer)


async def test_every_answer_carries_the_same_policy_also_a_refusal_and_a_fault(monkeypatch: Any) -> None:
    made = system()
    async with serve(app_of(made)) as port:
        monkeypatch.setattr(made, "statistics", lambda: 1 / 0)
        for target, code in (("/none", 404), ("/api/v1/statistics", 500), ("/healthz", 200)):
            answer = await ask(port, target)
            assert answer.startswith(f"HTTP/1.1 {code}"), answer
            assert "content-security-policy: default-src 'none'" in answer
            assert "ZeroDivisionError" not in answer
        assert "content-security-policy" in await ask(port, "/", host="evil.example")
