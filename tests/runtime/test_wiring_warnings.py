from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace import HarnessComponent, In, Out, Resource, RestartPolicy, System, component
from headrace.model.blueprint import Position, Problem
from headrace.model.port import PortTable
from headrace.runtime.wiring_warnings import find_warnings, place_of

if TYPE_CHECKING:
    from somewhere import Reading

HERE = str(Path(__file__).relative_to(Path.cwd())) if Path(__file__).is_relative_to(Path.cwd()) else __file__


@component
def numbers() -> Any:
    yield 1


@component
def double(number: int) -> int:
    return number * 2


@component
def show(number: int) -> None:
    print(number)


class Service(HarnessComponent):
    """Has nothing to do with streams."""

    async def process(self) -> None:
        self.beats = 1


class AnyPorts(HarnessComponent):
    async def process(self) -> None:
        async for message in self.receive_streams["in"]:
            print(message)


class Passing(HarnessComponent):
    """Hands itself on, and who knows what becomes of its streams there."""

    async def process(self) -> None:
        print(self)


class Looped(HarnessComponent):
    in_: In[int]
    back: In[int] | None
    out: Out[int]

    async def process(self) -> None:
        print(self.back)
        async for number in self.in_:
            await self.out.send(number)


def line(text: str) -> int:
    """Return the line of this file that ends in a comment of this text."""
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, one in enumerate(lines, 1) if one.endswith(f"# {text}"))


def found(problems: list[Problem]) -> list[tuple[str, int]]:
    """Return code and line of what was found in this file."""
    assert {problem.position.file for problem in problems} <= {HERE}
    return [(problem.code, problem.position.line) for problem in problems]


def test_a_system_in_which_all_is_connected_has_none() -> None:
    system = System()
    system.add("numbers", numbers)
    system.add("show", show)
    system.connect("numbers", "show")
    assert find_warnings(system) == []


def test_an_unconnected_output_is_told_at_the_line_that_added_it() -> None:
    system = System()
    system.add("numbers", numbers)
    system.add("double", double)  # doubled
    system.connect("numbers", "double")
    problems = find_warnings(system)
    assert found(problems) == [("W301", line("doubled"))]
    assert "# doubled" in problems[0].source
    assert "'double.out'" in problems[0].message
    assert problems[0].severity == "warning"


def test_a_component_that_nothing_is_connected_to_is_told_once() -> None:
    system = System()
    system.add("numbers", numbers)
    system.add("show", show)
    system.connect("numbers", "show")
    system.add("alone", numbers)  # alone
    system.add("any", AnyPorts)  # any
    system.add("passing", Passing)  # passing
    lines = [line("alone"), line("any"), line("passing")]
    assert found(find_warnings(system)) == [("W303", one) for one in lines]


def test_a_service_without_ports_needs_no_connection() -> None:
    system = System()
    system.add("numbers", numbers)
    system.add("show", show)
    system.connect("numbers", "show")
    system.add("service", Service)
    assert find_warnings(system) == []


def test_a_component_all_alone_is_only_told_of_its_outputs() -> None:
    system = System()
    system.add("numbers", numbers)  # only
    assert found(find_warnings(system)) == [("W301", line("only"))]


def test_a_cycle_that_can_block_is_told_at_its_first_connection_and_one_that_drops_is_not() -> None:
    system = System()
    system.add("numbers", numbers)
    system.add("a", Looped)
    system.connect("numbers", "a.in")
    system.connect("a.out", "a.back")  # round
    assert found(find_warnings(system)) == [("W302", line("round"))]
    key = "a.out -> a.back"
    loop = system.wiring.connections[key]
    system.wiring.connections[key] = replace(loop, options=replace(loop.options, when_full="drop_oldest"))
    assert find_warnings(system) == []


def test_a_resource_that_nobody_asks_for_is_told_and_one_that_is_used_is_not() -> None:
    class Uses(HarnessComponent):
        used: Resource[Any]

        async def process(self) -> None:
            print(self.used)

    async def opened() -> Any:
        yield 1

    system = System()
    system.resource("used", opened)
    system.resource("unused", opened)  # unused
    system.add("uses", Uses)
    assert found(find_warnings(system)) == [("W304", line("unused"))]


def test_a_type_that_is_not_known_at_run_time_is_told_at_the_component_once() -> None:
    @component
    def typed(number: Reading) -> None:  # typed
        print(number)

    system = System()
    system.add("a", typed)
    system.add("b", typed)
    problems = find_warnings(system, unsure=["a", "b"])
    assert found(problems) == [("W305", line("typed") - 1)]
    assert problems[0].message.startswith(
        "the type 'Reading' of port 'in' cannot be resolved (only type checkers"
    )
    assert problems[0].hint == "import it at run time too"


def test_a_type_that_is_not_known_is_told_where_the_component_is_added_if_it_has_no_place() -> None:
    system = System()
    system.add("service", Service)  # placeless
    system.wiring.members["service"].ports = PortTable(unresolved=("it is odd. Mend it",))
    (problem,) = find_warnings(system)
    assert (problem.position.line, problem.message, problem.hint) == (
        line("placeless"),
        "it is odd",
        "mend it",
    )


def test_an_empty_system_is_told_at_its_own_place() -> None:
    (problem,) = find_warnings(System("bare"), at=Position("x.py", 3))
    assert (problem.code, problem.position) == ("W306", Position("x.py", 3))
    assert find_warnings(System("bare"))[0].position == Position("bare")
    assert find_warnings(System("bare"), unsure=["lost"]) == []


def test_what_is_unsure_is_not_told() -> None:
    system = System()
    system.add("numbers", numbers)
    system.add("alone", numbers)
    assert find_warnings(system, unsure=["numbers", "alone"]) == []
    assert find_warnings(system, any_output=True) == []
    assert {problem.code for problem in find_warnings(system, any_input=True)} == {"W301"}


def test_other_places_can_be_given() -> None:
    system = System()
    system.add("numbers", numbers)
    system.add("a", Looped)
    system.connect("numbers", "a.in")
    system.connect("a.out", "a.back")
    system.add("double", double)
    system.connect("numbers", "double")
    problems = find_warnings(
        system,
        component_at=lambda name: Position("bp.yaml", 1, len(name)),
        connection_at=lambda key: Position("bp.yaml", 2, len(key)),
    )
    assert [(p.code, str(p.position)) for p in problems] == [
        ("W301", "bp.yaml:1:6"),
        ("W302", "bp.yaml:2:15"),
    ]


def test_a_call_without_a_place_gets_another_one() -> None:
    assert place_of(("", 0), Position("x", 1)) == Position("x", 1)
    assert place_of(("/nowhere/y.py", 7), Position("x", 1)) == Position("/nowhere/y.py", 7)


def test_warnings_of_the_sources_are_among_them_and_told_once_for_each_class(tmp_path: Path) -> None:
    import importlib.util

    path = tmp_path / "sleepy.py"
    path.write_text(
        "import time\nfrom headrace import HarnessComponent\n\n\nclass Sleepy(HarnessComponent):\n"
        "    async def process(self):\n        time.sleep(1)\n"
    )
    spec = importlib.util.spec_from_file_location("sleepy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    system = System()
    system.add("a", module.Sleepy)
    system.add("b", module.Sleepy)
    (problem,) = find_warnings(system)
    assert str(problem).startswith(f"{path}:7:9: warning W310 time.sleep(...) blocks the event loop")
    assert problem.excerpt().splitlines()[0] == "        time.sleep(1)"


@pytest.mark.parametrize(
    ("attempts", "restart", "warned"),
    [
        (9, "failure", True),
        (5, "failure", False),
        (9, "never", False),
        (9, RestartPolicy(max_restarts=9), False),
        (None, RestartPolicy(max_restarts=1), False),
    ],
)
def test_more_attempts_than_restarts_are_told(attempts: int | None, restart: Any, warned: bool) -> None:
    system = System()
    system.add("one", HarnessComponent, restart=restart, attempts=attempts)
    found = [problem for problem in find_warnings(system) if problem.code == "W307"]
    assert [problem.message[:36] for problem in found] == ["'one' has 9 attempts and 5 restarts:"] * warned
