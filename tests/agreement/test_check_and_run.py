"""``headrace check`` and ``headrace run`` agree, whatever the blueprint.

What the one accepts the other starts; what the one refuses the other refuses with the same words, before any
component has worked.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.cli.main import run_cli
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import NotSerializableSystemError
from headrace.model.blueprint import CODES

HERE = Path(__file__).parent
BLUEPRINTS = HERE.parent / "blueprints"
BACKENDS = ("asyncio", "trio")
EXAMPLES = 110
PROBLEM = re.compile(r":\d+:\d+: (error|warning) ([EW]\d{3}) ")
UNREACHABLE: dict[str, str] = {}
"""The codes that no text of a blueprint causes, and why."""


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


writer = _load("blueprint_writer")


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def problems(self) -> list[str]:
        """The lines that tell a mistake or a warning."""
        return [line for line in f"{self.out}{self.err}".splitlines() if PROBLEM.search(line)]

    @property
    def codes(self) -> set[str]:
        """The codes of its mistakes."""
        return {found[2] for line in self.problems if (found := PROBLEM.search(line)) and found[1] == "error"}


def say(*arguments: str) -> Said:
    """Call the command line in this process, as ``main()`` does."""
    out, err = io.StringIO(), io.StringIO()
    impatient = threading.Timer(60, os.kill, (os.getpid(), signal.SIGINT))  # a graph that stands still
    impatient.daemon = True  # what is no daemon counts as a thread of a component
    impatient.start()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_cli(arguments)
    finally:
        impatient.cancel()
        impatient.join()
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture
def as_before(tmp_path: Path) -> Iterator[None]:
    """Give back what a run of the command line leaves behind in a process that it thinks its own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    path, modules, hook = list(sys.path), set(sys.modules), threading.excepthook
    with warnings.catch_warnings():
        yield
    logging.captureWarnings(False)
    root.handlers[:], sys.path[:], threading.excepthook = handlers, path, hook
    root.setLevel(level)
    for number, handler in signals.items():
        signal.signal(number, handler)
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_before: None) -> Path:
    """Return a folder with the parts, in which the commands run, with the variables in the environment."""
    for part in (HERE / "parts").iterdir():
        if part.is_file():
            shutil.copy(part, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, value in writer.VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)
    return tmp_path


def work() -> list[str]:
    """Return what the parts have done; nothing where they were not even imported."""
    done = getattr(sys.modules.get("agreed_parts"), "WORK", [])
    assert isinstance(done, list)
    return done


def agree(target: str, backend: str, *further: str) -> Said:
    """Check and run one blueprint, and compare; return what ``check`` said."""
    files = [target, *(part for file in further for part in ("-f", file))]
    work().clear()
    checked = say("check", *files)
    assert "Traceback" not in checked.out + checked.err
    assert checked.code in (0, 2)
    assert not work(), "what is only checked does not work"
    told = json.loads(say("check", "--format", "json", *files).out)
    assert told["ok"] == (checked.code == 0)
    assert [_line(problem) for problem in told["problems"]] == checked.problems
    assert {problem["severity"] for problem in told["problems"]} <= {"error", "warning"}
    assert told["errors"] == sum(": error E" in line for line in checked.problems)
    assert writer.SECRET_TEXT not in checked.out + checked.err, "secrets are never printed"
    run = say("run", *files, "--backend", backend)
    assert run.problems == checked.problems, "the same words"
    assert "Traceback" not in run.out + run.err
    assert (run.code == 2) == (checked.code == 2), f"check {checked}, run {run}"
    if checked.code == 2:
        assert checked.codes
        assert (run.out, run.err) == (checked.err, checked.out), "the same lines, the closing one too"
        assert not work(), "what is refused does not work"
    else:
        assert not checked.codes
        assert re.search(rf"^running .*, {backend}$", run.err, re.MULTILINE) or _failed_in_setup(run), run
        assert re.search(r"^in \d+ out \d+ ", run.out.splitlines()[-1]), "it ended with its summary"
    return checked


def _failed_in_setup(run: Said) -> bool:
    return run.code == 1 and re.search(r"^x .*(set-up|setup)", run.err, re.MULTILINE) is not None


def _line(problem: dict[str, object]) -> str:
    text = "{file}:{line}:{column}: {severity} {code} {message}".format(**problem)
    return f"{text}, {problem['hint']}" if problem["hint"] else text


# --- generated -----------------------------------------------------------------------------------------


@pytest.mark.timeout(600)  # hundreds of runs in one test
def test_check_and_run_agree_on_generated_blueprints(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[tuple[bytes, ...], Said] = {}
    broken = Counter[bool]()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64 - 1), st.sampled_from(BACKENDS))
    def one(seed: int, backend: str) -> None:
        contents, times = writer.write(Random(seed))
        files = [f"{name}.yaml" for name, _ in zip(("base", "prod"), contents, strict=False)]
        for file, content in zip(files, contents, strict=True):
            (folder / file).write_bytes(content)
        if tuple(contents) not in seen:
            said = agree(files[0], backend, *files[1:])
            assert said.code == 0 or times, f"a whole blueprint was refused: {said}\n{contents}"
            seen[tuple(contents)] = said
            broken[times > 0] += 1

    one()
    accepted = sum(said.code == 0 for said in seen.values())
    codes = Counter(code for said in seen.values() for code in said.codes)
    with capsys.disabled():
        print(f"\n{len(seen)} blueprints, {broken[True]} of them broken: {accepted} accepted, "
              f"{len(seen) - accepted} refused; mistakes: {dict(sorted(codes.items()))}")  # fmt: skip
    assert len(seen) >= 100
    assert 0.3 < accepted / len(seen) < 0.7, "as many good ones as bad ones, about"
    assert len(codes) >= 15, "broken in many ways"


# --- fixed -----------------------------------------------------------------------------------------------

ODD: dict[str, tuple[bytes, str]] = {
    "a_name_with_an_arrow": (b"system: s\ncomponents:\n  a->b: {type: 'agreed_parts:numbers'}\n", "E200"),
    "a_name_that_could_be_a_port": (
        b"system: s\ncomponents:\n  a: {type: 'agreed_parts:numbers'}\n  a.out: {type: 'agreed_parts:numbers'}\n"
        b"  b: {type: 'agreed_parts:show'}\nconnections:\n  - a.out -> b\n",
        "E200",
    ),
    "a_part_whose_port_could_be_a_component": (
        b"system: s\ncomponents:\n  a.in: {type: 'agreed_parts:numbers'}\n  a: {type: agreed_inner.yaml}\n",
        "E200",
    ),
    "a_name_of_a_module_of_python": (b"system: s\ncomponents:\n  a: {type: 'string:x'}\n", "E244"),
    "a_constructor_that_raises_colours": (
        b"system: s\ncomponents:\n  a: {type: 'agreed_parts:Refuses'}\n",
        "E250",
    ),
    "a_module_that_fails": (b"system: s\ncomponents:\n  a: {type: 'agreed_broken:x'}\n", "E242"),
    "a_part_and_its_name": (
        b"system: s\nresources: {a/table: 'agreed_parts:open_table'}\ncomponents:\n"
        b"  a/first: {type: 'agreed_parts:numbers'}\n  a: {type: agreed_inner.yaml}\nconnections: [a/first -> a]\n",
        "E2",
    ),
    "a_variable_as_a_number": (
        b"system: s\ncomponents:\n  a:\n    type: agreed_parts:numbers\n    config:\n      count: ${SOME}\n"
        b"  b: {type: agreed_parts:show}\nconnections:\n  - a -> b\n",
        "",
    ),
    "a_cycle_that_ends": (
        b"system: s\ncomponents:\n  a: {type: agreed_parts:numbers}\n  b: {type: agreed_parts:less}\n"
        b"connections:\n  - a -> b\n  - b -> b\n",
        "",
    ),
    "a_file_that_is_not_there": (
        b"system: s\ncomponents:\n  a: {type: csv_source, config: {path: nowhere.csv}}\n",
        "",
    ),
}
"""Blueprints of this test, besides the files in `tests/blueprints`: the code that is to be seen, or none."""


@pytest.fixture
def corpus(folder: Path) -> list[tuple[str, str]]:
    """Return the files of the fixed corpus, each with what is expected of it in short."""
    shutil.copytree(BLUEPRINTS, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    files = sorted(
        path.relative_to(folder) for path in (*folder.glob("good/*.yaml"), *folder.glob("broken/*.yaml"))
    )
    for name, (content, _) in ODD.items():
        (folder / f"{name}.yaml").write_bytes(content)
    (folder / "folder.yaml").mkdir()
    odd = [(f"{name}.yaml", code) for name, (_, code) in ODD.items()]
    return [
        *((str(path), "" if path.parts[0] == "good" else "E") for path in files),
        *odd,
        ("nowhere.yaml", "E100"),
        ("folder.yaml", "E100"),
    ]


@pytest.mark.timeout(600)
def test_check_and_run_agree_on_every_mistake_there_is(corpus: list[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for number, (target, expected) in enumerate(corpus):
        said = agree(target, BACKENDS[number % 2])
        assert bool(said.codes) == bool(expected), f"{target}: {said}"
        assert any(code.startswith(expected) for code in said.codes or {""}), f"{target}: {said}"
        seen |= said.codes
    missing = {code for code in CODES if code.startswith("E")} - seen
    assert missing == set(UNREACHABLE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_they_agree_on_warnings_too_and_strict_refuses_what_run_warns_of(folder: Path, backend: str) -> None:
    (folder / "bp.yaml").write_bytes(b"system: s\ncomponents:\n  a: {type: 'agreed_parts:numbers'}\n")
    said = agree("bp.yaml", backend)
    assert [line.split(" ")[1:3] for line in said.problems] == [["warning", "W301"]]
    assert say("check", "--strict", "bp.yaml").code == 2
    assert say("run", "--quiet", "bp.yaml").problems == []


@pytest.mark.timeout(600)
def test_what_was_loaded_writes_itself_as_a_blueprint_that_both_take_as_the_same(folder: Path) -> None:
    written = Counter[str]()

    @settings(
        max_examples=32,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64 - 1), st.sampled_from(BACKENDS))
    def one(seed: int, backend: str) -> None:
        rnd = Random(seed)
        (folder / "bp.yaml").write_text(writer.text_of(writer.draft(rnd).tree, rnd), encoding="utf-8")
        first = load_system("bp.yaml").harness
        try:
            text = first.to_yaml()
        except NotSerializableSystemError as error:
            written[str(error)] += 1
            return
        assert writer.SECRET_TEXT not in text
        (folder / "again.yaml").write_text(text, encoding="utf-8")
        assert agree("again.yaml", backend).code == 0, text
        second = load_system("again.yaml").harness
        assert second.name == first.name
        assert list(second.wiring.members) == list(first.wiring.members)
        assert set(second.wiring.connections) == set(first.wiring.connections)
        assert second.to_yaml() == text
        written["yes"] += 1

    one()
    assert written["yes"] > 16, written
