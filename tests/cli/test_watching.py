"""``headrace top``, ``tap`` and ``status``: against a system that runs, in a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

pytestmark = pytest.mark.untraced

APPS = Path(__file__).parent / "apps"
Invoke = Callable[..., Result]
TOKEN = "a-token-for-this-test"


class Pumps:
    """The system ``pumps``, running in a process of its own, with a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "run", "pumps:system", "--web", "127.0.0.1:0"],
            cwd=APPS,
            env=os.environ | {"XDG_RUNTIME_DIR": str(folder), "HEADRACE_WEB_TOKEN": TOKEN},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.url = ""
        while not self.url:
            line = self.process.stderr.readline()
            assert line, "it ended"
            found = re.search(r"http://[0-9.:]+/", line)
            self.url = found[0] if found else ""
        while not self.is_ready():
            assert self.process.poll() is None, "it ended"

    def is_ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}readyz", timeout=10).close()
        except urllib.error.HTTPError:
            return False
        return True

    @property
    def name(self) -> str:
        return f"pumps-{self.process.pid}"

    @property
    def socket(self) -> Path:
        return self.folder / "headrace" / f"{self.name}.sock"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def pumps() -> Iterator[Pumps]:
    folder = Path(tempfile.mkdtemp(prefix="hr"))  # short: the path of a socket may have 100 bytes
    one = Pumps(folder)
    yield one
    one.kill()
    shutil.rmtree(folder)


@pytest.fixture
def here(pumps: Pumps, monkeypatch: pytest.MonkeyPatch) -> Pumps:
    """Return the system that runs, for commands that look for it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(pumps.folder))
    monkeypatch.delenv("HEADRACE_WEB_TOKEN", raising=False)
    return pumps


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty folder in which commands look for systems."""
    folder = Path(tempfile.mkdtemp(prefix="hr"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


# --- status ----------------------------------------------------------------------------------------


def test_status_says_how_all_that_runs_is(here: Pumps, invoke: Invoke) -> None:
    result = invoke("status")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert re.fullmatch(
        rf"pumps: running, up .*, in [\d,]+ out [\d,]+ rejected 0 dead 0, process {here.process.pid}", line
    )


def test_status_is_json_where_that_is_asked_for(here: Pumps, invoke: Invoke) -> None:
    facts = json.loads(invoke("status", "--format", "json").stdout)
    assert (facts["name"], facts["ready"], facts["live"], facts["pid"]) == (
        "pumps",
        True,
        True,
        here.process.pid,
    )
    assert facts["place"] == str(here.socket)


@pytest.mark.parametrize("way", ["name", "name-pid", "pid", "socket", "url"])
def test_a_system_is_found_by_whatever_names_it(way: str, here: Pumps, invoke: Invoke) -> None:
    known = {
        "name": "pumps",
        "name-pid": here.name,
        "pid": str(here.process.pid),
        "socket": str(here.socket),
        "url": here.url,
    }
    result = invoke("status", known[way], "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["name"] == "pumps"


def test_what_is_not_ready_is_told_and_ends_with_1(
    here: Pumps, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.cli.attaching import Attached

    asked = Attached.get

    def not_ready(self: Attached, path: str) -> object:
        found = asked(self, path)
        found["system"] |= {"ready": False, "reason": "store only fails", "unhealthy": {"store": "disk full"}}
        return found

    monkeypatch.setattr(Attached, "get", not_ready)
    result = invoke("status")
    assert result.exit_code == 1
    head, *rest = result.stdout.splitlines()
    assert head.startswith("pumps: running, not ready, up")
    assert rest[-1] == "  store: disk full"


# --- top -------------------------------------------------------------------------------------------


def test_top_in_a_pipe_prints_one_table(here: Pumps, invoke: Invoke) -> None:
    result = invoke("top")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    heading = next(place for place, line in enumerate(lines) if line.startswith("NAME"))
    assert lines[0].startswith("pumps: running, up ")
    assert lines[heading].split() == [
        "NAME",
        "STATE",
        "msg/s",
        "QUEUE",
        "p50",
        "p99",
        "ERR",
        "RESTARTS",
        "WAITING-FOR",
    ]
    assert [line.split()[:2] for line in lines[heading + 1 :]] == [
        ["readings", "running"],
        ["parse", "running"],
        ["store", "running"],
    ]
    store = lines[-1].split()
    assert int(store[2].replace(",", "")) > 0
    assert store[3].endswith("/10")


def test_top_prints_an_object_a_look_as_json(here: Pumps, invoke: Invoke) -> None:
    result = invoke("top", "pumps", "-n", "2", "--every", "0.1", "--format", "json")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert second["time"] > first["time"]
    store = second["components"][2]
    assert (store["name"], store["state"], store["capacity"], store["errors"]) == ("store", "running", 10, 0)
    assert store["rate"] > 0
    assert second["system"]["ready"] is True


def test_top_on_a_terminal_shows_the_table_until_ctrl_c(
    here: Pumps, in_terminal: Callable[..., tuple[int, str]]
) -> None:
    code, shown = in_terminal(
        ["top", "pumps", "--every", "0.1"],
        on={"WAITING-FOR": signal.SIGINT},
        XDG_RUNTIME_DIR=str(here.folder),
    )
    assert code == 0
    assert "\x1b[?1049h" in shown  # a screen of its own,
    assert "\x1b[?1049l" in shown  # and the old one again
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown)
    for word in ("readings", "parse", "store", "msg/s", "RESTARTS"):
        assert word in text
    assert text.rstrip().splitlines()[-1].strip().startswith("pumps: running, up")


def test_top_ends_with_the_system_and_says_so(nowhere: Path) -> None:
    system = Pumps(nowhere)
    try:
        top = subprocess.Popen(
            [sys.executable, "-m", "headrace", "top", "-n", "10000", "--every", "0.1", "--format", "json"],
            env=os.environ | {"XDG_RUNTIME_DIR": str(nowhere)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert top.stdout is not None
        assert json.loads(top.stdout.readline())["system"]["name"] == "pumps"
        system.process.send_signal(signal.SIGINT)
        _, told = top.communicate(timeout=60)
        assert top.returncode == 0
        assert "does not answer (any more)" in told
    finally:
        system.kill()


# --- tap -------------------------------------------------------------------------------------------


def test_tap_prints_json_lines_and_says_what_went_by(here: Pumps, invoke: Invoke) -> None:
    result = invoke("tap", "parse.out", "-n", "5", "--where", "v > 3 and pump == 'north'")
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(records) == 5
    assert all(record["value"]["v"] > 3 and record["value"]["ok"] for record in records)
    assert {record["edge"] for record in records} == {"parse.out -> store.in"}
    ids = [record["id"] for record in records]
    assert ids == sorted(ids)
    assert re.search(r"5 shown, .*went by unseen", result.stderr)


def test_tap_ends_at_ctrl_c_with_what_it_has_counted(here: Pumps) -> None:
    tap = subprocess.Popen(
        [sys.executable, "-m", "headrace", "tap", "parse.out -> store.in", "pumps"],
        env=os.environ | {"XDG_RUNTIME_DIR": str(here.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tap.stdout is not None
    assert json.loads(tap.stdout.readline())["edge"] == "parse.out -> store.in"
    tap.send_signal(signal.SIGINT)
    _, told = tap.communicate(timeout=60)
    assert tap.returncode == 130
    assert "shown" in told
    assert "Traceback" not in told


def test_a_condition_that_does_not_fit_is_told_once(here: Pumps) -> None:
    tap = subprocess.Popen(
        [sys.executable, "-m", "headrace", "tap", "parse.out", "--where", "w > 3"],
        env=os.environ | {"XDG_RUNTIME_DIR": str(here.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tap.stderr is not None
    assert tap.stderr.readline() == (
        "the condition does not fit some messages: no field 'w', known: ok, pump, v\n"
    )
    tap.send_signal(signal.SIGTERM)
    tap.communicate(timeout=60)


def test_tap_refuses_a_wrong_condition_before_it_asks_anybody(nowhere: Path, invoke: Invoke) -> None:
    result = invoke("tap", "parse.out", "--where", "v >")
    assert "this is not understood" in str(result.exception)
    assert "  v >\n     ^" in str(result.exception)


def test_tap_tells_what_there_is_where_the_edge_is_none(here: Pumps, invoke: Invoke) -> None:
    result = invoke("tap", "prase.out", "pumps")
    assert "no component is named 'prase'" in str(result.exception)
    assert "did you mean 'parse'?" in str(result.exception)


# --- who is not there --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["top"], ["status"], ["tap", "parse.out"]])
def test_where_nothing_runs_it_says_how_to_start_something(
    command: list[str], nowhere: Path, invoke: Invoke
) -> None:
    result = invoke(*command)
    assert "no system runs here that could be asked" in str(result.exception)
    assert "pip install 'headrace[web]'" in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2


def test_another_name_is_answered_with_those_that_run(here: Pumps, invoke: Invoke) -> None:
    result = invoke("top", "pomps")
    assert str(result.exception) == f"no system 'pomps' runs here; these do: {here.name}"


def test_several_of_a_name_are_listed(here: Pumps, invoke: Invoke) -> None:
    other = here.socket.with_name(f"pumps-{os.getpid()}.sock")
    other.touch()
    try:
        result = invoke("top", "pumps")
        assert str(result.exception).startswith("2 systems run by that name: say which one: pumps-")
        assert here.name in str(result.exception)
        both = invoke("status")
        assert both.exit_code == 2
        assert f"pumps (process {os.getpid()}) does not answer (any more)" in both.stderr
        assert f"process {here.process.pid}" in both.stdout
    finally:
        other.unlink()


@pytest.mark.parametrize("where", ["/nowhere/x.sock", "http://127.0.0.1:9/"])
def test_a_place_where_nobody_is_does_not_answer(where: str, invoke: Invoke) -> None:
    result = invoke("status", where)
    assert f"{where.rstrip('/')} does not answer" in str(result.exception)
