"""``headrace run --web`` in a real process: the link, the token, the socket, and an end that waits for nobody."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

APP = """
import anyio
from headrace import System

async def numbers():
    number = 0
    while True:
        yield number
        number += 1
        await anyio.sleep(0.01)

def store(number):
    pass

system = System("shown")
system.add("numbers", numbers)
system.add("store", store)
system.connect("numbers", "store")
"""
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class Run:
    """A ``headrace run`` of the application above."""

    def __init__(self, folder: Path, *options: str, token: str | None = None) -> None:
        (folder / "shown.py").write_text(APP)
        hidden = ("HEADRACE_WEB_TOKEN", "FORCE_COLOR")
        env = {key: value for key, value in os.environ.items() if key not in hidden}
        env |= {"XDG_RUNTIME_DIR": str(folder)} | ({} if token is None else {"HEADRACE_WEB_TOKEN": token})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "run", *options],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, pattern: str) -> re.Match[str]:
        """Return the next line of stderr that is like that."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError(f"no {pattern} in {seen}")

    def end(self) -> tuple[int, str]:
        """Interrupt it, and return its exit code and what it has shown."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out + err


def ask(port: int, method: str, path: str, **headers: str) -> tuple[int, str]:
    """Return the code and the body of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


@BACKENDS
def test_the_link_has_the_token_and_the_server_ends_with_the_system(tmp_path: Path, backend: str) -> None:
    run = Run(tmp_path, "shown:system", "--web", "127.0.0.1:0", "--backend", backend)
    try:
        found = run.line(r"web: http://127\.0\.0\.1:(\d+)/\?token=(\S+)")
        port, token = int(found[1]), found[2]
        run.line("running shown")
        code, said = ask(port, "GET", "/api/v1/system")
        assert (code, json.loads(said)["state"]) == (200, "running")
        assert ask(port, "POST", "/api/v1/system/pause")[0] == 401
        assert ask(port, "POST", "/api/v1/system/pause", Authorization=f"Bearer {token}")[0] == 200
        assert [one.suffix for one in (tmp_path / "headrace").iterdir()] == [".sock"]
        watcher = socket.create_connection(("127.0.0.1", port))  # it stays, and reads nothing
        watcher.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        code, said = run.end()
        watcher.close()
        assert code == 130, said
        assert "lost 0" in said
        assert list((tmp_path / "headrace").iterdir()) == []
    finally:
        run.process.kill()
        run.process.communicate()


def test_web_may_stand_before_the_target(tmp_path: Path) -> None:
    run = Run(tmp_path, "--web", "nowhere:system")
    _, err = run.process.communicate(timeout=60)
    assert "nowhere" in err
    assert "is no address" not in err


def test_a_token_of_the_users_own_is_not_printed(tmp_path: Path) -> None:
    run = Run(tmp_path, "shown:system", "--web", "127.0.0.1:0", token="a-long-token-of-mine")
    try:
        assert run.line(r"web: (\S+)")[1].endswith("/")
        _, said = run.end()
        assert "a-long-token-of-mine" not in said
    finally:
        run.process.kill()
        run.process.communicate()


def test_an_address_in_use_ends_the_command_before_anything_runs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = Run(tmp_path, "shown:system", "--web", f"127.0.0.1:{port}")
        _, err = run.process.communicate(timeout=60)
    assert run.process.returncode == 2
    assert f"Error: cannot listen on 127.0.0.1:{port}: Address already in use; take another port" in err
    assert "Traceback" not in err
    assert list((tmp_path / "headrace").iterdir() if (tmp_path / "headrace").exists() else []) == []


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "http://localhost:1", "x"])
def test_what_is_no_address_is_refused_at_once(tmp_path: Path, address: str) -> None:
    run = Run(tmp_path, "shown:system", f"--web={address}")
    _, err = run.process.communicate(timeout=60)
    assert run.process.returncode == 2
    assert "is no address to listen on; write HOST:PORT" in err


def test_json_logs_have_the_address_and_no_token(tmp_path: Path) -> None:
    run = Run(tmp_path, "shown:system", "--web", "127.0.0.1:0", "--log-format", "json")
    try:
        line = run.line("web: http").string
        assert "token" not in line
        assert json.loads(line)["event"].startswith("web: http://127.0.0.1:")
    finally:
        run.end()
