"""The fixtures as users meet them: in a pytest of its own, with nothing but the installed package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.authoring.function_component import component
from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import SystemFailed
from headrace.runtime.system_execution_harness import System
from headrace.testing import RunSystem

USER = """
import pytest
from headrace import HarnessComponent, In, Out, System, component

@component
def src():
    yield "real"

@component
def parse(raw: str) -> int:
    return int(raw)

def make():
    system = System("mine")
    system.add("src", src)
    system.add("parse", parse)
    system.add("sink", lambda number: None)
    system.connect("src", "parse")
    system.connect("parse.out", "sink")
    return system

class Crash(HarnessComponent):
    in_: In[str]
    out: Out[int]
    async def process(self):
        raise RuntimeError(await self.in_.receive())

async def test_one_component(probe):
    async with probe(parse) as p:
        await p.feed("1")
        assert await p.next() == 1

async def test_a_system(run_system):
    s = await run_system(make, replace={"src": None, "sink": None})
    await s.send("src.out", "7")
    assert await s.next("sink.in") == 7

async def test_that_hides_a_crash(run_system):
    s = await run_system(make, replace={"src": None, "parse": Crash})
    await s.send("src.out", "boom")
    await s.next("parse.in")

async def test_that_fails(run_system):
    s = await run_system(make, replace={"src": None})
    await s.next("sink.in")
"""


def run_pytest(folder: Path, *options: str) -> tuple[dict[str, int], str]:
    """Run pytest in a folder as a user would; return its counts and what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    return counts, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a user's tests, and no configuration at all."""
    (tmp_path / "test_mine.py").write_text(USER, encoding="utf-8")
    return tmp_path


def test_the_fixtures_need_no_configuration_and_run_on_both_backends(folder: Path) -> None:
    counts, output = run_pytest(folder, "-W", "error", "-rA")
    assert counts == {"passed": 6, "failed": 2, "error": 2}, output
    for backend in ("asyncio", "trio"):
        for name in ("one_component", "a_system", "that_hides_a_crash"):
            assert f"PASSED test_mine.py::test_{name}[{backend}]" in output
        assert f"FAILED test_mine.py::test_that_fails[{backend}]" in output
        assert f"ERROR test_mine.py::test_that_hides_a_crash[{backend}]" in output
    assert "NoMessageError: no further message at sink.in: nothing is at work (none ever came)" in output
    assert "SystemFailed: mine: parse failed in process: RuntimeError boom" in output


PYTEST_ASYNCIO = """
def pytest_addoption(parser):
    parser.addoption("--asyncio-mode", dest="asyncio_mode", default=None)
    parser.addini("asyncio_mode", "", default="strict")

def pytest_configure(config):
    config.pluginmanager.register(object(), "asyncio")
"""


@pytest.mark.parametrize("options", [["--asyncio-mode=auto"], ["-o", "asyncio_mode=auto"]])
def test_the_fixtures_refuse_the_auto_mode_of_pytest_asyncio(folder: Path, options: list[str]) -> None:
    (folder / "conftest.py").write_text(PYTEST_ASYNCIO, encoding="utf-8")
    chosen = ["-k", "test_one_component or test_a_system"]
    counts, output = run_pytest(folder, *chosen, *options)
    assert counts == {"error": 4}, output
    assert 'write asyncio_mode = "strict"' in output
    counts, output = run_pytest(folder, *chosen)
    assert counts == {"passed": 4}, output


def test_pytest_works_without_anyios_plugin_as_long_as_no_fixture_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    assert True\n", encoding="utf-8")
    counts, output = run_pytest(tmp_path, "-p", "no:anyio", "-W", "error")
    assert counts == {"passed": 1}, output


def test_a_start_of_pytest_loads_nothing_of_ours_but_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n"
        "def test_plain():\n"
        "    ours = {name for name in sys.modules if name.startswith('headrace')}\n"
        "    assert ours == {'headrace', 'headrace.testing', 'headrace.testing.pytest_plugin'}, ours\n",
        encoding="utf-8",
    )
    counts, output = run_pytest(tmp_path)
    assert counts == {"passed": 1}, output


# --- the same fixtures in this process ------------------------------------------------------------


@component
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


class Crash(HarnessComponent):
    """Crashes on its first message."""

    in_: In[int]
    out: Out[int]

    async def process(self) -> None:
        raise RuntimeError(f"got {await self.in_.receive()}")


def make(middle: Any = double) -> System:
    """Return a system of three."""
    system = System("three")
    system.add("src", double)
    system.add("middle", middle)
    system.connect("src.out", "middle")
    system.add("feeder", numbers)
    system.connect("feeder", "src")
    return system


@component
def numbers() -> Any:
    """Send nothing."""
    yield from ()


async def test_the_probe_fixture_is_the_function(probe: Any) -> None:
    async with probe(double) as p:
        await p.feed(2)
        assert await p.next() == 4


async def test_systems_are_awaited_or_entered_and_may_be_several(run_system: RunSystem) -> None:
    one = await run_system(make, replace={"feeder": None})
    two = await run_system(make(), replace={"feeder": None})
    for s in (one, two):
        await s.send("feeder", 1)
        assert await s.next("middle.out") == 4
    async with run_system(make, replace={"feeder": None}) as three:
        await three.send("feeder", 2)
        assert await three.next("middle.out") == 8
    assert three.report is not None
    assert one.report is None


async def test_a_failed_start_is_raised_by_the_await(run_system: RunSystem) -> None:
    class BadSetup(HarnessComponent):
        in_: In[int]

        async def setup(self, harness_context: Any = None) -> None:
            raise OSError("no licence")

        async def process(self) -> None: ...

    with pytest.raises(SystemFailed, match="no licence"):
        await run_system(make, replace={"middle": BadSetup})


async def test_the_end_of_the_fixture_drains_and_raises_what_nobody_looked_at() -> None:
    system = make(Crash)
    before = dict(system.components)
    with pytest.raises(SystemFailed, match="got 2"):  # noqa: PT012
        async with RunSystem.open() as run_system:
            s = await run_system(system, replace={"feeder": None})
            await s.send("feeder", 1)
            await s.next("middle.in")
    assert dict(system.components) == before
    async with RunSystem.open() as run_system:
        s = await run_system(system, replace={"feeder": None})
        await s.send("feeder", 1)
        with pytest.raises(SystemFailed, match="got 2"):
            await s.next("middle.out")
    assert not system.running


def test_the_public_names_are_loaded_when_they_are_used() -> None:
    from headrace import testing

    assert set(testing.__all__) <= set(dir(testing))
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    with pytest.raises(AttributeError, match=r"module 'headrace.testing' has no attribute 'prob'"):
        testing.prob  # noqa: B018
