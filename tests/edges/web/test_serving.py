"""Where a system is served, by which token, and what is left of it afterwards: nothing."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import fail_after
from fastapi import FastAPI

from headrace.edges.web import local_socket
from headrace.edges.web import serving as serving_module
from headrace.edges.web.address import Address, parse_address
from headrace.edges.web.embedding import web_app
from headrace.edges.web.serving import TOKEN_VARIABLE, serving
from headrace.exceptions import ConfigError, HarnessError, MissingExtraError
from headrace.runtime.system_execution_harness import System


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let sockets lie in a folder of the test; a short path, as those of sockets have to be."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    return tmp_path


def system(name: str = "served") -> System:
    """Return a system that runs until it is stopped."""

    async def waits() -> AsyncIterator[int]:
        await anyio.sleep_forever()
        yield 0

    made = System(name, source_grace=0.01)
    made.add("waits", waits)
    return made


def by_socket(path: Path | None) -> httpx.AsyncClient:
    """Return a client over a local socket."""
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://local")


async def test_the_local_socket_is_its_owners_alone_and_needs_no_token(runtime: Path) -> None:
    made = system("a b/c")
    with fail_after(30):
        async with serving(made) as served, made:
            assert (served.url, served.token) == ("", "")
            path = served.path
            assert path is not None
            assert path == runtime / "headrace" / f"a_b_c-{os.getpid()}.sock"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert [one[1:] for one in local_socket.found()] == [(os.getpid(), path)]
            async with by_socket(path) as web:
                assert (await web.get("/api/v1/access")).json() == {"control": True, "read_only": False}
                assert (await web.post("/api/v1/system/pause")).json()["done"] == "paused"
                assert (await web.get("/api/v1/system")).json()["paused"] is True
                assert (await web.post("/api/v1/system/stop")).status_code == 202
            await made.wait()
    assert not path.exists()


async def test_two_systems_of_one_name_have_a_socket_each() -> None:
    with fail_after(30):
        async with serving(system()) as one, serving(system()) as other:
            assert one.path != other.path
            assert len(list(local_socket.found())) == 2
    assert list(local_socket.found()) == []


async def test_sockets_of_processes_that_are_gone_are_removed(runtime: Path) -> None:
    gone = await anyio.run_process([sys.executable, "-c", "import os; print(os.getpid())"])
    stale = runtime / "headrace" / f"stale-{int(gone.stdout)}.sock"
    stale.parent.mkdir(mode=0o755)
    stale.touch()
    other = stale.with_name("notes.txt")
    other.touch()
    async with serving(system()):
        assert not stale.exists()
        assert stat.S_IMODE(stale.parent.stat().st_mode) == 0o700
    assert other.exists()


async def test_a_folder_that_is_none_of_ours_is_not_used_and_the_system_does_without(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir()
    (runtime / "headrace").symlink_to(runtime / "elsewhere", target_is_directory=True)
    async with serving(system()) as served:
        assert served.path is None
    with pytest.raises(HarnessError, match="not a folder of this user"):
        local_socket.open_socket("x")


def test_without_a_runtime_folder_sockets_lie_with_the_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert local_socket.folder() == tmp_path / f"headrace-{os.getuid()}"
    assert len(os.fsencode(local_socket.path_for("long" * 100))) <= 108


async def test_a_token_is_made_and_stands_in_the_link_once() -> None:
    async with (
        serving(system(), "127.0.0.1:0") as one,
        serving(system(), "127.0.0.1:0", token="") as read_only,
    ):
        assert len(one.token) >= 32
        assert one.link == f"{one.url}?token={one.token}"
        assert (read_only.token, read_only.link) == ("", read_only.url)
        async with httpx.AsyncClient(base_url=one.url) as web:
            headers = {"authorization": f"Bearer {one.token}"}
            assert (await web.get("/api/v1/access", headers=headers)).json()["control"] is True
            assert (await web.get("/api/v1/access")).json() == {"control": False, "read_only": False}
        async with httpx.AsyncClient(base_url=read_only.url) as web:
            assert (await web.get("/api/v1/access")).json() == {"control": False, "read_only": True}


async def test_a_token_of_the_users_own_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "my-own-long-token")
    async with serving(system(), "127.0.0.1:0") as served:
        assert served.token == "my-own-long-token"
        assert served.link == served.url
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(ConfigError, match="at least 16 printable"):
        async with serving(system(), "127.0.0.1:0"):
            pass


async def test_an_address_in_use_is_told_with_a_way_out() -> None:
    async with serving(system(), "127.0.0.1:0") as served:
        port = served.url.rstrip("/").rpartition(":")[2]
        with pytest.raises(HarnessError, match=rf"cannot listen on 127.0.0.1:{port}: .*take another port"):
            async with serving(system(), f"127.0.0.1:{port}"):
                pass
    assert list(local_socket.found()) == []


async def test_whoever_listens_for_all_is_warned_and_answers_to_numbers_and_given_names_only() -> None:
    async with serving(system(), "0.0.0.0:0", hosts=["box.example"]) as served:
        assert "everybody who reaches" in served.warning
        url = served.url.replace("0.0.0.0", "127.0.0.1")
        async with httpx.AsyncClient(base_url=url) as web:
            for host, code in (("10.1.2.3:80", 200), ("box.example", 200), ("evil.example", 403)):
                assert (await web.get("/healthz", headers={"host": host})).status_code == code


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8000", "127.0.0.1", 8000),
        (":8000", "127.0.0.1", 8000),
        ("box:1", "box", 1),
        ("[::1]:80", "::1", 80),
        (" 1.2.3.4:0 ", "1.2.3.4", 0),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", "box", "box:", "box:x", "::1:80", "box:70000", "a b:1", "http://box:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no address to listen on"):
        parse_address(text)


async def test_without_the_extra_an_address_is_refused_with_the_command_and_a_run_does_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[web\]'"):
        async with serving(system(), "127.0.0.1:0"):
            pass
    async with serving(system()) as served:
        assert served.path is None
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[web\]'"):
        web_app(system())


async def test_it_can_be_mounted_in_an_application_of_others() -> None:
    made, token = system(), "a-token-of-the-tests"
    app = FastAPI()
    app.mount("/system", web_app(made, token=token, hosts=["app.example"]))
    transport: Any = httpx.ASGITransport(app)
    async with made, httpx.AsyncClient(transport=transport, base_url="http://app.example") as web:
        assert (await web.get("/system/api/v1/system")).json()["state"] == "running"
        assert (await web.post("/system/api/v1/system/pause")).status_code == 401
        headers = {"authorization": f"Bearer {token}", "origin": "http://app.example"}
        assert (await web.post("/system/api/v1/system/pause", headers=headers)).status_code == 200
        assert (await web.get("/system/healthz", headers={"host": "evil.example"})).status_code == 403
