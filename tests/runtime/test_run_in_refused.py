"""Where ``run_in`` may be said, how it travels, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.runtime import run_in_parts as parts

from headrace import System, component
from headrace.authoring.function_component import FunctionComponent
from headrace.cli.drawing import draw_json
from headrace.cli.drawing_text import draw_text
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import BlueprintError, ConfigError
from headrace.runtime import worker_functions
from headrace.runtime.picture import picture_of

LOCAL = component(lambda number: number)
REFUSED = {
    "lambda": (LOCAL, "process", "is a lambda"),
    "async": (parts.asynchronous, "thread", "is async"),
    "source": (parts.endless, "process", "is a source"),
    "resource": (parts.looked_up, "process", "asks for resources (table)"),
    "meta": (parts.told, "process", "asks for the Meta"),
}
MODULE = """
from headrace import component

@component
def numbers(*, count: int = 3):
    yield from range(count)

@component
def double(number: int) -> int:
    return 2 * number

short = component(lambda number: number)

class Part:
    async def setup(self): ...
    async def process(self): ...
    async def cleanup(self): ...
"""


def made(system: System, name: str) -> FunctionComponent:
    found = system.components[name]
    assert isinstance(found, FunctionComponent)
    return found


def write(folder: Path, module: str, text: str) -> Path:
    (folder / f"{module}.py").write_text(MODULE)
    file = folder / "bp.yaml"
    file.write_text(text.replace("MODULE", module))
    return file


def problems(file: Path) -> list[str]:
    with pytest.raises(BlueprintError) as caught:
        load_system(file)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("function", "run_in", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_work_elsewhere_is_refused_with_the_line_of_the_call(
    function: Any, run_in: Any, text: str
) -> None:
    with pytest.raises(ConfigError, match=r"test_run_in_refused\.py:\d+") as caught:
        System("s").add("work", function, run_in=run_in)
    assert text in str(caught.value)
    assert caught.value.hint


def test_a_function_that_says_so_itself_is_looked_at_too() -> None:
    with pytest.raises(ConfigError, match=r"run_in: process: .* is a lambda"):
        System("s").add("work", component(run_in="process")(lambda number: number))


@pytest.mark.parametrize("run_in", ["processes", 1, None, True])
def test_a_place_that_there_is_not_is_refused(run_in: Any) -> None:
    with pytest.raises(ConfigError, match="run_in must be one of loop, thread, process"):
        component(run_in=run_in)


def test_only_functions_have_it() -> None:
    with pytest.raises(ConfigError, match="run_in and the like are for function components"):
        System("s").add("work", parts.Part, run_in="thread")


def test_what_add_says_wins_and_the_rest_stays_as_the_function_has_it() -> None:
    system = System("s")
    system.add("away", parts.away)
    system.add("home", parts.away, run_in="loop")
    system.add("various", parts.various, run_in="thread")
    assert [made(system, name).attempts.run_in for name in ("away", "home", "various")] == [
        "process",
        "loop",
        "thread",
    ]
    assert made(system, "various").attempts.attempts == 2


def test_a_worker_process_that_imports_the_program_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_functions, "importing", True)
    System("s").add("work", parts.plus, run_in="process")


def test_a_blueprint_says_it_of_a_component_or_of_all(tmp_path: Path) -> None:
    text = """system: s
components:
  numbers: {type: "MODULE:numbers", run_in: loop}
  double: {type: "MODULE:double", replicas: 2, run_in: process}
  again: {type: "MODULE:double"}
connections: [numbers -> double -> again]
defaults: {run_in: thread}
"""
    system = load_system(write(tmp_path, "said", text)).harness
    assert made(system, "double[1]").attempts.run_in == "process"
    assert made(system, "again").attempts.run_in == "thread"
    assert system.statistics().components["double[0]"].run_in == "process"
    again = yaml.safe_load(system.to_yaml())["components"]
    assert [again[name].get("run_in") for name in ("numbers", "double", "again")] == [
        None,
        "process",
        "thread",
    ]
    picture = picture_of(system)
    assert "numbers -[balance]-> double x2 (process) -> again (thread)" in draw_text(picture, plain=True)
    assert '"run_in": "process"' in draw_json(picture)


def test_a_blueprint_is_refused_at_its_line_in_the_same_words(tmp_path: Path) -> None:
    text = """system: s
components:
  numbers:
    type: "MODULE:numbers"
  short:
    type: "MODULE:short"
    attempts: 2
    run_in: process
connections: [numbers -> short]
"""
    (told,) = problems(write(tmp_path, "refused", text))
    assert "bp.yaml:8:" in told
    with pytest.raises(ConfigError) as caught:
        System("s").add("short", component(lambda number: number), run_in="process")
    words = "which has no name to find it by"
    assert words in told
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('{type: "MODULE:double", run_in: proces}', "did you mean 'process'?"),
        ('{type: "MODULE:Part", run_in: process}', "are for function components"),
    ],
)
def test_a_mistake_in_a_blueprint_has_its_mend(tmp_path: Path, said: str, text: str) -> None:
    module = f"mistake_{len(said)}"
    (told,) = problems(write(tmp_path, module, f"system: s\ncomponents:\n  a: {said}\n"))
    assert text in told
