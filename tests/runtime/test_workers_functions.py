"""Which functions may run outside the loop, how they are found there, and programs that start workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from tests.runtime import worker_parts as parts

from headrace.exceptions import ConfigError
from headrace.runtime import worker_functions
from headrace.runtime.worker_functions import find_function, function_path, main_program, refuse_unportable

NEVER = {
    "async": (parts.asynchronous, "asynchronous is async"),
    "async generator": (parts.asynchronous_flat, "asynchronous_flat is async"),
    "source": (parts.source, "source is a source"),
}
NOT_BY_NAME = {
    "lambda": (parts.lambda_component, "is a lambda"),
    "local": (parts.make_local(), "is defined inside a function"),
    "method": (parts.method_component, "is a bound method"),
    "object": (parts.object_component, "is an object that can be called"),
    "partial": (parts.partial_component, "is a partial"),
    "resource": (parts.with_resource, "asks for resources (db)"),
    "meta": (parts.with_meta, "asks for the Meta of a message"),
    "shadowed": (parts.shadowed, "is not what 'tests.runtime.worker_parts:_shadowed' names"),
}
FINE = [parts.act, parts.several, parts.Holder.static]


@pytest.mark.parametrize("run_in", ["thread", "process"])
@pytest.mark.parametrize(("function", "text"), NEVER.values(), ids=NEVER.keys())
def test_what_waits_or_has_no_message_stays_in_the_loop(function: Any, text: str, run_in: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_unportable(function, run_in)
    assert f"run_in: {run_in}: {text}" in str(caught.value)
    assert caught.value.hint
    assert caught.value.field == "run_in"


@pytest.mark.parametrize(("function", "text"), NOT_BY_NAME.values(), ids=NOT_BY_NAME.keys())
def test_what_has_no_name_of_its_own_or_needs_what_stays_here_runs_in_a_thread_only(
    function: Any, text: str
) -> None:
    refuse_unportable(function, "thread")
    with pytest.raises(ConfigError) as caught:
        refuse_unportable(function)
    assert text in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("function", FINE, ids=lambda function: str(function.__name__))
def test_a_function_of_a_module_travels_by_its_name(function: Any) -> None:
    refuse_unportable(function)
    assert find_function(function_path(function.fn)) is function.fn


def test_a_setting_that_cannot_travel_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"has a setting that cannot travel: .* at \$\['factor'\]"):
        refuse_unportable(parts.act, "process", {"factor": threading.Lock()})


def test_a_module_that_cannot_be_imported_by_its_name_is_refused() -> None:
    lost = ModuleType("lost")
    exec("from headrace import component\n@component\ndef f(message): return message", vars(lost))
    with pytest.raises(ConfigError, match="is not found as 'lost:f': No module named 'lost'"):
        refuse_unportable(lost.f)


def test_a_name_of_what_cannot_be_called_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "act", 7)
    with pytest.raises(TypeError, match="it is a int"):
        find_function("tests.runtime.worker_parts:act")


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("app", None, {"init_main_from_name": "app"}),
        ("app.__main__", None, {}),
        (None, __file__, {"init_main_from_path": __file__}),
        (None, "<stdin>", {}),
        (None, None, {}),
    ],
)
def test_the_program_is_imported_as_multiprocessing_would(
    monkeypatch: pytest.MonkeyPatch, name: str | None, file: str | None, expected: dict[str, str]
) -> None:
    main = ModuleType("__main__")
    main.__spec__ = None if name is None else type("Spec", (), {"name": name})()  # type: ignore[assignment]
    if file is not None:
        main.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert main_program() == expected


def test_a_worker_starts_no_workers_while_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_functions, "importing", True)
    with pytest.raises(ConfigError, match="would be started by its own worker process"):
        refuse_unportable(parts.act)


# --- whole programs

PROGRAM = """
import logging, os, sys
import anyio
from headrace.authoring.function_component import component
from headrace.runtime.process_workers import ProcessWorkers

class Row:
    def __init__(self, number): self.number = number

@component
def double(message, *, by: int = 2):
    print("printed", message.number)
    logging.getLogger("f").warning("logged %d", message.number)
    if message.number < 0:
        print("pid", os.getpid(), flush=True)
        while True: pass
    return Row(message.number * by)

async def main(number):
    async with ProcessWorkers(double, {"by": 3}) as workers:
        (outcome,) = await workers.run([Row(number)])
        print("got", outcome.outputs[0].number, type(outcome.outputs[0]) is Row)
"""
GUARDED = "if __name__ == '__main__':\n    anyio.run(main, int(sys.argv[2]), backend=sys.argv[1])\n"
UNGUARDED = "anyio.run(main, int(sys.argv[2]), backend=sys.argv[1])\n"

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@both
@pytest.mark.parametrize("way", [("app.py",), ("-m", "app")], ids=["python app.py", "python -m app"])
def test_a_program_that_is_run_has_its_own_functions_and_classes_in_its_workers(
    tmp_path: Path, backend: str, way: tuple[str, ...]
) -> None:
    (tmp_path / "app.py").write_text(PROGRAM + GUARDED)
    done = run(tmp_path, *way, backend, "7")
    assert done.returncode == 0, done.stderr
    assert "got 21 True" in done.stdout


def test_what_a_worker_prints_and_logs_appears_where_the_program_does(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM + GUARDED)
    done = run(tmp_path, "app.py", "asyncio", "7")
    assert done.stdout.splitlines() == ["printed 7", "got 21 True"]
    assert done.stderr == "logged 7\n"


def test_a_program_without_a_guard_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM + UNGUARDED)
    done = run(tmp_path, "app.py", "asyncio", "7")
    assert done.returncode == 1
    assert "WorkerStartFailed: double: its worker process did not get ready" in done.stderr
    assert "put what starts the system under if __name__ == '__main__':" in done.stderr


@pytest.mark.parametrize("way", ["-c", "-m"])
def test_a_program_that_no_process_can_import_is_told_to_make_a_module(tmp_path: Path, way: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(PROGRAM + GUARDED)
    done = run(tmp_path, way, PROGRAM + GUARDED if way == "-c" else "app", "asyncio", "7")
    assert done.returncode == 1
    assert "double is defined in a program that no other process can import" in done.stderr
    assert "move it to a module of its own" in done.stderr


@both
def test_a_worker_at_work_ends_when_its_harness_is_killed(tmp_path: Path, backend: str) -> None:
    (tmp_path / "app.py").write_text(PROGRAM + GUARDED)
    with subprocess.Popen(
        [sys.executable, "app.py", backend, "-1"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as harness:
        worker = first_pid(harness)
        os.kill(harness.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs([worker], timeout=30)
    assert (gone, alive) == ([worker], [])


def first_pid(harness: subprocess.Popen[str]) -> psutil.Process:
    """Return the worker process that says its pid."""
    assert harness.stdout is not None
    for line in harness.stdout:
        if line.startswith("pid "):
            return psutil.Process(int(line.split()[1]))
    raise AssertionError("the worker did not begin")
