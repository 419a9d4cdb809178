"""Several files as one blueprint, and blueprints that are components: read, refused, built and run."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.edges.yaml_blueprint import load_system, parse_blueprint, read_blueprint
from headrace.exceptions import BlueprintError
from headrace.model.blueprint_variables import MAX_FILES
from headrace.model.secret import Secret
from headrace.runtime.assembly import Assembled, assemble
from headrace.runtime.blueprint_loader import MAX_NESTING

PARTS = """
from collections.abc import Iterator
from contextlib import asynccontextmanager

from headrace import Context, HarnessComponent, In, Out, Resource, component

opened = []
shown = []


@asynccontextmanager
async def open_list(*, label: str, size: int = 1):
    opened.append(label)
    yield [label]


def not_a_manager():
    return 5


@component
def numbers(*, upto: int = 3) -> Iterator[int]:
    yield from range(upto)


@component
def add(number: int, *, by: int = 1) -> int:
    return number + by


@component
def tag(number: int, *, db: Resource[list[str]]) -> str:
    return f"{db[0]}{number}"


@component
def show(message: object) -> None:
    shown.append(message)


@component
def login(number: int, *, password: str, mode: int = 0) -> None:
    raise RuntimeError(f"cannot log in with {password}")


class Fan(HarnessComponent):
    in_: In[int]
    again: In[int] | None
    low: Out[int]
    high: Out[int]

    async def process(self) -> None:
        async for number in self.in_:
            await (self.low if number < 2 else self.high).send(number)


class Looks(HarnessComponent):
    in_: In[int]

    async def setup(self, context: Context) -> None:
        shown.append(sorted(context.resources))

    async def process(self) -> None:
        async for _ in self.in_:
            pass


class Refuses(HarnessComponent):
    def __init__(self, name, config=None):
        super().__init__(name, config)
        raise RuntimeError(f"no login with {config['password']!r}: {str(config['password'])[:20]}")
"""
ENRICH = """
system: enrich
components:
  first: {type: "MODULE:add", config: {by: 10}}
  last: {type: "MODULE:add"}
connections: [first -> last]
ports: {in: first.in, out: last.out}
"""
OUTER = """
system: outer
components:
  src: {type: "MODULE:numbers"}
  enrich: {type: enrich.yaml}
  show: {type: "MODULE:show"}
connections: [src -> enrich -> show]
"""
_count = 100  # of three digits, so that columns do not depend on how many tests there are


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that writes files (MODULE stands for the module with the parts); the first is the path."""
    global _count
    _count += 1
    module = f"loader_parts_{_count}"
    (tmp_path / f"{module}.py").write_text(PARTS)
    before = list(sys.path)

    def written(**texts: str) -> Path:
        paths = []
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text.lstrip().replace("MODULE", module))
            paths.append(path)
        return paths[0]

    yield written
    sys.path[:] = before


def wrong(*paths: Path, **env: str) -> list[str]:
    """Return what is wrong, as ``file:line:column code``, each with a mend."""
    with pytest.raises(BlueprintError) as caught:
        load_system(*paths, env=env)
    assert all(problem.hint for problem in caught.value.problems)
    places = [problem.position for problem in caught.value.problems]
    codes = [problem.code for problem in caught.value.problems]
    return [
        f"{os.path.basename(p.file)}:{p.line}:{p.column} {code}"
        for p, code in zip(places, codes, strict=True)
    ]


def message(*paths: Path, **env: str) -> str:
    """Return all that is said to be wrong."""
    with pytest.raises(BlueprintError) as caught:
        load_system(*paths, env=env)
    return "\n".join(map(str, caught.value.problems))


def parts_of(assembled: Assembled) -> Any:
    """Return the module with the parts."""
    member = next(iter(assembled.harness.wiring.members.values()))
    function = getattr(member.component, "function", None) or member.factory
    return sys.modules[function.__module__]


# --- several files -----------------------------------------------------------------------------------


async def test_a_later_file_changes_the_base_and_the_whole_runs(write: Callable[..., Path]) -> None:
    base = write(
        base="""
system: base
defaults: {buffer_size: 5}
components:
  src: {type: "MODULE:numbers", config: {upto: 2}}
  show: {type: "MODULE:show"}
  debug: {type: "MODULE:show"}
connections:
  - src -> show
  - src -> debug
"""
    )
    prod = write(
        prod="""
defaults: {shutdown_timeout: 9}
components:
  src: {config: {upto: 4}}
  debug: null
  add: {type: "MODULE:add"}
connections:
  - {from: src.out, to: show.in, buffer_size: 50}
  - src -> add -> show
"""
    )
    assembled = load_system(base, prod)
    harness = assembled.harness
    assert list(harness.components) == ["src", "show", "add"]
    sizes = {key: c.options.buffer_size for key, c in harness.wiring.connections.items()}
    assert sizes == {"src.out -> show.in": 50, "src.out -> add.in": 5, "add.out -> show.in": 5}
    assert harness.timeouts.shutdown == 9
    assert assembled.blueprint is not None
    assert list(assembled.blueprint.sources.lines) == [str(base), str(prod)]
    assert (await harness.run()).exit_code() == 0
    assert sorted(parts_of(assembled).shown) == [0, 1, 1, 2, 2, 3, 3, 4]


def test_each_problem_is_told_in_its_file_in_the_order_of_the_files(write: Callable[..., Path]) -> None:
    base = write(zbase=OUTER.replace("show: {type", "show: {tipe"), enrich=ENRICH)
    prod = write(aprod="defaults: {buffer_size: x}\nconnections:\n  - src -> nobody\n")
    assert wrong(base, prod) == [
        "zbase.yaml:5:10 E102",
        "aprod.yaml:1:25 E104",
        "aprod.yaml:3:12 E221",
    ]


def test_the_same_connection_twice_in_one_file_is_still_a_mistake(write: Callable[..., Path]) -> None:
    text = """
components: {src: {type: "MODULE:numbers"}, show: {type: "MODULE:show"}}
connections:
  - src -> show
"""
    base = write(base="system: s\n" + text.lstrip())
    later = write(later="connections:\n  - {from: src, to: show, copy: true}\n  - src.out -> show.in\n")
    assert wrong(base, later) == ["later.yaml:3:16 E223"]


def test_a_part_of_several_files_that_is_none_is_told(write: Callable[..., Path], tmp_path: Path) -> None:
    base = write(base=OUTER, listing="- a\n", empty="\n", enrich=ENRICH)
    assert wrong(base, tmp_path / "listing.yaml", tmp_path / "empty.yaml") == [
        "listing.yaml:1:1 E104",
        "empty.yaml:1:1 E114",
    ]


def test_reading_takes_at_least_one_file() -> None:
    with pytest.raises(TypeError, match="at least one"):
        read_blueprint()


# --- blueprints as components ------------------------------------------------------------------------


async def test_a_blueprint_is_a_component_with_its_own_ports(write: Callable[..., Path]) -> None:
    assembled = load_system(write(outer=OUTER, enrich=ENRICH))
    assert list(assembled.harness.components) == ["src", "enrich/first", "enrich/last", "show"]
    assert list(assembled.harness.wiring.connections) == [
        "enrich/first.out -> enrich/last.in",
        "src.out -> enrich/first.in",
        "enrich/last.out -> show.in",
    ]
    assert (await assembled.harness.run()).exit_code() == 0
    assert parts_of(assembled).shown == [11, 12, 13]
    again = assemble(read_blueprint(Path(str(assembled.blueprint.file))))  # type: ignore[union-attr]
    assert list(again.harness.components) == list(assembled.harness.components)


def test_a_part_runs_on_its_own_with_its_ports_unconnected(write: Callable[..., Path]) -> None:
    assert wrong(write(enrich=ENRICH)) == ["enrich.yaml:3:3 E224", "enrich.yaml:4:3 W301"]


def test_defaults_hold_inside_and_reach_in_from_around(write: Callable[..., Path]) -> None:
    outer = OUTER.replace("components:", "defaults: {buffer_size: 7, attempts: 5}\ncomponents:", 1)
    inner = ENRICH.replace("components:", "defaults: {buffer_size: 3, backoff: 1}\ncomponents:", 1)
    harness = load_system(write(outer=outer, enrich=inner)).harness
    sizes = [connection.options.buffer_size for connection in harness.wiring.connections.values()]
    assert sizes == [3, 7, 7]
    policy = harness.components["enrich/first"].attempts
    assert (policy.attempts, policy.backoff) == (5, 1)


async def test_the_settings_of_a_part_are_its_variables_before_the_environment(
    write: Callable[..., Path],
) -> None:
    inner = """
system: ${NAME}
components:
  first:
    type: "MODULE:add"
    config:
      by: ${BY}
ports: {in: first.in, out: first.out}
"""
    outer = OUTER.replace("enrich.yaml}", "enrich.yaml, config: {BY: 100}}")
    assembled = load_system(write(outer=outer, enrich=inner), env={"BY": "x", "NAME": "enrich"})
    assert (await assembled.harness.run()).exit_code() == 0
    assert parts_of(assembled).shown == [100, 101, 102]


def test_settings_of_every_kind_are_texts_inside(write: Callable[..., Path]) -> None:
    inner = ENRICH.replace("{by: 10}", '{a: "${A}", b: "${B}", c: "${C:-}", d: "${D}"}')
    outer = OUTER.replace("enrich.yaml}", "enrich.yaml, config: {A: true, B: 1.5, C: null, D: x}}")
    inner = inner.replace("MODULE:add", "csv_source")
    blueprint = read_blueprint(write(outer=outer, enrich=inner))
    part = blueprint.components[1].inner
    assert part is not None
    assert part.components[0].config == {"a": "true", "b": "1.5", "c": "", "d": "x"}


@pytest.mark.parametrize(
    ("config", "problems"),
    [
        ("{BYY: 1, BY: 1}", ["outer.yaml:4:40 E230"]),
        ("{BY: [1]}", ["outer.yaml:4:40 E104"]),
        ("{BY: {x: 1}}", ["outer.yaml:4:40 E104"]),
        ("{}", ["enrich.yaml:3:55 E109"]),
        ("{BY: x}", ["enrich.yaml:3:50 E230"]),
    ],
)
def test_wrong_settings_of_a_part_are_told_where_they_stand(
    write: Callable[..., Path], config: str, problems: list[str]
) -> None:
    inner = ENRICH.replace("config: {by: 10}}", 'config: {by: "${BY}"}}')
    if config.startswith("{BYY"):
        inner = inner.replace('"${BY}"', "5").replace("system: enrich", 'system: "${BY}"')
    outer = OUTER.replace("enrich.yaml}", f"enrich.yaml, config: {config}}}")
    if config == "{BY: x}":
        inner = inner.replace('"${BY}"', '"no ${BY}"')
    assert wrong(write(outer=outer, enrich=inner)) == problems


def test_a_variable_that_a_part_lacks_is_to_be_said_in_its_config(write: Callable[..., Path]) -> None:
    inner = ENRICH.replace("by: 10", 'by: "${NUMBER}"')
    assert "say it in the config of 'enrich', or write ${NUMBER:-default}" in message(
        write(outer=OUTER, enrich=inner)
    )


@pytest.mark.parametrize(
    ("links", "problem", "hint"),
    [
        ("src -> enrich.inn, enrich -> show", "6:22 E222", "did you mean 'in'?"),
        ("src -> enrich.out, enrich -> show", "6:22 E222", "is an output, not an input"),
        ("src -> enrich, enrich.in -> show", "6:30 E222", "is an input, not an output"),
        ("src -> enrich/first.in, enrich -> show", "6:22 E221", "connected by its 'ports' alone: in, out"),
        ("src -> enrch, enrich -> show", "6:22 E221", "did you mean 'enrich'?"),
        ("src -> .x, enrich -> show", "6:22 E220", "component.port"),
    ],
)
def test_a_part_is_connected_by_its_ports_alone(
    write: Callable[..., Path], links: str, problem: str, hint: str
) -> None:
    path = write(outer=OUTER.replace("src -> enrich -> show", links), enrich=ENRICH)
    assert wrong(path) == [f"outer.yaml:{problem}"]
    assert hint in message(path)


def test_of_several_ports_one_is_named(write: Callable[..., Path]) -> None:
    inner = """
system: fan
components: {fan: {type: "MODULE:Fan"}}
ports: {in: fan.in, again: fan.again, low: fan.low, high: fan.high}
"""
    outer = OUTER.replace("src -> enrich -> show", "src -> enrich -> show")
    text = message(write(outer=outer, enrich=inner))
    assert "'enrich' has several output ports, write one of 'enrich.low', 'enrich.high'" in text
    fine = OUTER.replace("src -> enrich -> show", "src -> enrich.in, enrich.low -> show")
    harness = load_system(write(outer=fine, enrich=inner)).harness
    assert "enrich/fan.low -> show.in" in harness.wiring.connections


def test_a_part_without_ports_says_so(write: Callable[..., Path]) -> None:
    text = message(write(outer=OUTER, enrich=ENRICH.replace("ports: {in: first.in, out: last.out}", "")))
    assert "'enrich' has no input port, add 'ports: {PORT: component.port}' to " in text
    outer = OUTER.replace("src -> enrich -> show", "src -> enrich.in")
    inner = ENRICH.replace("ports: {in: first.in, out: last.out}", "")
    assert "add 'ports: {in: component.port}' to " in message(write(outer=outer, enrich=inner))


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ("{in: first.inn}", "enrich.yaml:6:13 E222"),
        ("{in: first.oout}", "enrich.yaml:6:13 E222"),
        ("{in: frist.in}", "enrich.yaml:6:13 E221"),
    ],
)
def test_a_port_that_stands_for_nothing_is_told_in_its_file(
    write: Callable[..., Path], ports: str, problem: str
) -> None:
    inner = ENRICH.replace("{in: first.in, out: last.out}", ports)
    outer = OUTER.replace("src -> enrich -> show", "src -> show, src -> enrich.in")
    assert wrong(write(outer=outer, enrich=inner)) == [problem]


def test_an_input_of_a_part_that_is_not_connected_is_told_outside(write: Callable[..., Path]) -> None:
    path = write(outer=OUTER.replace("src -> enrich -> show", "src -> show, enrich -> show"), enrich=ENRICH)
    assert wrong(path) == ["outer.yaml:4:3 E224"]
    assert "input 'enrich.in' is not connected, which is 'enrich/first.in'" in message(path)


def test_a_mistake_inside_is_told_inside_and_nothing_follows_from_it(write: Callable[..., Path]) -> None:
    assert wrong(write(outer=OUTER, enrich=ENRICH.replace("by: 10", "buy: 10"))) == ["enrich.yaml:3:50 E230"]
    broken = ENRICH.replace("system: enrich", "system: [enrich")
    assert wrong(write(outer=OUTER, enrich=broken)) == ["enrich.yaml:2:11 E101"]
    assert wrong(write(outer=OUTER, enrich="- a\n")) == ["enrich.yaml:1:1 E104"]


def test_the_outputs_of_a_part_that_failed_are_left_out_in_silence(write: Callable[..., Path]) -> None:
    outer = OUTER.replace("enrich.yaml}", "enrich.yaml, outputs: {out: {fan_out: balance}}}")
    outer += "summary: {in: src.out, out: enrich.in}\n"
    assert wrong(write(outer=outer, enrich=ENRICH.replace("by: 10", "buy: 10").replace('add"}', 'ad"}'))) == [
        "enrich.yaml:3:50 E230",
        "enrich.yaml:4:16 E243",
    ]


def test_a_message_policy_does_not_go_with_a_part(write: Callable[..., Path]) -> None:
    outer = OUTER.replace("enrich.yaml}", "enrich.yaml, attempts: 3, on_error: drop}")
    assert wrong(write(outer=outer, enrich=ENRICH)) == ["outer.yaml:4:31 E230", "outer.yaml:4:44 E230"]


def test_the_outputs_of_a_part_are_spread_and_its_ports_counted(write: Callable[..., Path]) -> None:
    outer = OUTER.replace("enrich.yaml}", "enrich.yaml, outputs: {out: {fan_out: balance}}}")
    outer += "summary: {in: src.out, out: [enrich.in, show.in]}\n"
    harness = load_system(write(outer=outer, enrich=ENRICH)).harness
    assert harness.wiring.members["enrich/last"].outlets["out"].options.fan_out == "balance"
    assert [str(port) for port in harness.summary.given_out or ()] == ["enrich/first.in", "show.in"]
    bad = outer.replace("enrich.in, show.in", "enrich.inn").replace("{out: {fan", "{oot: {fan")
    assert wrong(write(outer=bad, enrich=ENRICH)) == ["outer.yaml:4:41 E222", "outer.yaml:7:30 E222"]


async def test_parts_nest_and_each_path_begins_at_the_file_that_names_it(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    middle = """
system: middle
components: {deep: {type: enrich.yaml}, plus: {type: "MODULE:add"}}
connections: [deep -> plus]
ports: {in: deep.in, out: plus.out}
"""
    path = write(
        outer=OUTER.replace("enrich.yaml", "sub/middle.yaml"), sub__middle=middle, sub__enrich=ENRICH
    )
    assembled = load_system(path)
    assert "enrich/deep/first" in assembled.harness.components
    assert (await assembled.harness.run()).exit_code() == 0
    assert parts_of(assembled).shown == [12, 13, 14]
    write(sub__middle=middle.replace("[deep -> plus]", "[]").replace(", out: plus.out", ""))
    assert wrong(path) == ["outer.yaml:6:22 E220"]
    outer = OUTER.replace("enrich.yaml", "sub/middle.yaml").replace("src -> enrich -> show", "src -> show")
    path = write(outer=outer, sub__middle=middle)
    assert wrong(path) == ["outer.yaml:4:3 E224", "middle.yaml:2:41 W301"]


def test_a_blueprint_inside_itself_is_refused_with_the_way(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    loop = 'system: a\ncomponents: {x: {type: "NEXT.yaml"}}\nports: {in: x.in}\n'
    path = write(a=loop.replace("NEXT", "b"), b=loop.replace("NEXT", "c"), c=loop.replace("NEXT", "b"))
    text = message(path)
    folder = f"{tmp_path}/"
    assert f"E245 a blueprint inside itself: {folder}b.yaml -> {folder}c.yaml -> {folder}b.yaml" in text
    assert wrong(write(a=loop.replace("NEXT", "a"))) == ["a.yaml:2:24 E245"]


def test_there_is_an_end_to_how_many_stand_inside_each_other(write: Callable[..., Path]) -> None:
    texts = {
        f"p{number}": f'system: p\ncomponents: {{x: {{type: "p{number + 1}.yaml"}}}}\nports: {{in: x.in}}\n'
        for number in range(MAX_NESTING + 2)
    }
    assert wrong(write(**texts)) == [f"p{MAX_NESTING}.yaml:2:24 E245"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [("../other.yaml", "E241"), ("/etc/other.yaml", "E241"), ("link.yaml", "E241"), ("enrch.yaml", "E240")],
)
def test_a_part_is_there_and_inside_the_folder(
    write: Callable[..., Path], tmp_path: Path, kind: str, code: str
) -> None:
    (tmp_path / "link.yaml").symlink_to("/etc/passwd")
    path = write(outer=OUTER.replace("enrich.yaml", kind), enrich=ENRICH)
    assert wrong(path) == [f"outer.yaml:4:18 {code}"]
    if code == "E240":
        assert "did you mean 'enrich.yaml'?" in message(path)
        assert "begins at the blueprint that names it" in message(
            write(outer=OUTER.replace("enrich.yaml", "zzz/none.yaml"))
        )


def test_a_part_of_a_folder_above_is_used_from_a_part_below(write: Callable[..., Path]) -> None:
    middle = 'system: m\ncomponents: {x: {type: "../enrich.yaml"}}\nports: {in: x.in, out: x.out}\n'
    path = write(outer=OUTER.replace("enrich.yaml", "sub/m.yaml"), sub__m=middle, enrich=ENRICH)
    assert "enrich/x/last" in load_system(path).harness.components


def test_a_text_without_a_folder_names_no_blueprints(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(outer=OUTER, enrich=ENRICH)
    with pytest.raises(BlueprintError, match="E241 a text without a folder"):
        parse_blueprint(path.read_text())
    made = parse_blueprint(path.read_text(), directory=tmp_path)
    assert made.components[1].inner is not None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "folder", "binary"])
def test_a_part_that_cannot_be_read_is_told_once_where_it_is_named(
    write: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    part = tmp_path / "enrich.yaml"
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    else:
        part.write_bytes(b"\xff")
    place = "enrich.yaml:1:1 E113" if kind == "binary" else "outer.yaml:4:18 E100"
    assert wrong(write(outer=OUTER)) == [place]


# --- bombs -------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_parts_of_parts_cannot_grow_without_end(write: Callable[..., Path]) -> None:
    def level(kind: str) -> str:
        entries = "\n".join(f"  x{number}: {{type: {kind}}}" for number in range(30))
        return f"system: s\ncomponents:\n{entries}\n"

    texts = {f"p{number}": level(f"p{number + 1}.yaml") for number in range(8)}
    path = write(**texts, p8=ENRICH)
    assert any(problem.endswith("E107") for problem in wrong(path))


@pytest.mark.timeout(60)
def test_files_of_parts_cannot_be_many(write: Callable[..., Path]) -> None:
    names = [f"n{number}" for number in range(MAX_FILES + 5)]
    entries = "\n".join(f"  {name}: {{type: {name}.yaml}}" for name in names)
    path = write(outer=f"system: s\ncomponents:\n{entries}\n", **dict.fromkeys(names, ENRICH))
    assert "E107 more than 100 files" in message(path)


@pytest.mark.timeout(60)
def test_a_secret_cannot_be_repeated_without_end(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 60_000)
    many = "${file:big}" * 80_000
    path = write(bp=f'system: s\ncomponents:\n  a: {{type: csv_source, config: {{path: "{many}"}}}}\n')
    assert wrong(path) == ["bp.yaml:3:646 E107"]


# --- resources ---------------------------------------------------------------------------------------

RESOURCES = """
system: s
resources:
  db: {type: "MODULE:open_list", config: {label: outer}}
components:
  src: {type: "MODULE:numbers", config: {upto: 1}}
  tag: {type: "MODULE:tag"}
  show: {type: "MODULE:show"}
connections: [src -> tag -> show]
"""


async def test_a_resource_reaches_the_component_that_asks_for_it(write: Callable[..., Path]) -> None:
    assembled = load_system(write(bp=RESOURCES))
    assert assembled.warnings == ()
    assert (await assembled.harness.run()).exit_code() == 0
    assert parts_of(assembled).shown == ["outer0"]


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        ("{label: outer}", "{labl: outer}", ["3:53 E230"]),
        ("{label: outer}", "{}", ["3:44 E230"]),
        ("{label: outer}", "{label: 5}", ["3:53 E230"]),
        ("{label: outer}", "{label: x, size: big}", ["3:63 E230"]),
        ("MODULE:open_list", "MODULE:open_lst", ["3:14 E243"]),
        ('"MODULE:open_list"', "csv_source", ["3:14 E240"]),
        ("  db: {type", "  bd: {type", ["6:3 E226", "3:3 W304"]),
        ("  db: {type", "  no good: {type", ["3:19 E200", "6:3 E226"]),
    ],
)
def test_a_resource_that_is_wrong_is_told_where_it_stands(
    write: Callable[..., Path], old: str, new: str, problems: list[str]
) -> None:
    found = [problem.removeprefix("bp.yaml:") for problem in wrong(write(bp=RESOURCES.replace(old, new)))]
    assert sorted(found) == sorted(problems)


def test_a_missing_resource_is_to_be_added_to_the_blueprint(write: Callable[..., Path]) -> None:
    text = RESOURCES.replace('  db: {type: "MODULE:open_list", config: {label: outer}}', "  {}")
    assert "add 'resources: {db: \"module:name\"}'" in message(write(bp=text))


def test_a_resource_nobody_asks_for_is_a_warning(write: Callable[..., Path]) -> None:
    text = RESOURCES.replace(
        "components:", '  spare: {type: "MODULE:open_list", config: {label: x}}\ncomponents:', 1
    )
    assembled = load_system(write(bp=text))
    assert [(p.position.line, p.code) for p in assembled.warnings] == [(4, "W304")]


def test_a_component_that_reads_its_context_may_mean_any_resource(write: Callable[..., Path]) -> None:
    text = RESOURCES.replace("MODULE:tag", "MODULE:add").replace("MODULE:show", "MODULE:Looks")
    assert load_system(write(bp=text)).warnings == ()


@pytest.mark.parametrize(
    ("inner", "label"),
    [("", "outer"), ("resources: {db: {type: 'MODULE:open_list', config: {label: inner}}}", "inner")],
)
async def test_a_part_sees_its_own_resources_and_those_around_it(
    write: Callable[..., Path], inner: str, label: str
) -> None:
    part = f"""
system: part
{inner}
components: {{tag: {{type: "MODULE:tag"}}}}
ports: {{in: tag.in, out: tag.out}}
"""
    text = RESOURCES.replace('"MODULE:tag"', "part.yaml")
    assembled = load_system(write(bp=text, part=part))
    assert [problem.code for problem in assembled.warnings] == (["W304"] if inner else [])
    assert (await assembled.harness.run()).exit_code() == 0
    assert parts_of(assembled).shown == [f"{label}0"]


async def test_what_a_component_reads_of_its_context_is_what_its_part_sees(
    write: Callable[..., Path],
) -> None:
    part = """
system: part
resources: {own: {type: 'MODULE:open_list', config: {label: inner}}}
components: {look: {type: "MODULE:Looks"}}
ports: {in: look.in}
"""
    text = RESOURCES.replace('"MODULE:show"', "part.yaml").replace("MODULE:tag", "MODULE:add")
    assembled = load_system(write(bp=text, part=part))
    assert (await assembled.harness.run()).exit_code() == 0
    assert parts_of(assembled).shown == [["db", "own"]]


# --- secrets -----------------------------------------------------------------------------------------

SECRET = "s3cr3t-pass'word with spaces"
LOGIN = """
system: s
components:
  src: {type: "MODULE:numbers"}
  login: {type: "MODULE:login", config: {password: "${file:pw}"}}
connections: [src -> login]
"""


@pytest.fixture
def pw(tmp_path: Path) -> None:
    """Write the secret."""
    (tmp_path / "pw").write_text(f"{SECRET}\n")


@pytest.mark.usefixtures("pw")
def test_a_secret_reaches_its_component_and_nobody_else(write: Callable[..., Path]) -> None:
    assembled = load_system(write(bp=LOGIN))
    config = assembled.harness.wiring.members["login"].config
    assert config == {"password": SECRET}
    assert isinstance(config["password"], Secret)
    shown = [repr(assembled), repr(assembled.blueprint), repr(config), repr(assembled.harness.wiring.members)]
    assert not [text for text in shown if "s3cr3t" in text]


@pytest.mark.usefixtures("pw")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{password:", "{password: x, mode:"),
        ("{password:", "{passwort:"),
        ("MODULE:login", "MODULE:Refuses"),
        ("system: s", 'system: "${file:pw}"'),
        ('"MODULE:login"', '"${file:pw}"'),
        ('"MODULE:login"', '"${file:pw}.yaml"'),
        ("src -> login", '"src -> ${file:pw}"'),
        ("system: s", 'system: s\ndefaults: {buffer_size: "${file:pw}"}'),
        ("system: s", 'system: s\ndefaults: {on_error: "${file:pw}"}'),
        (
            "system: s",
            'system: s\nresources: {db: {type: "MODULE:open_list", config: {label: x, size: "${file:pw}"}}}',
        ),
        ("system: s", 'system: s\nsummary: {in: "${file:pw}"}'),
        ("system: s", 'system: s\ntests: {a: {expect: "${file:pw}"}}'),
        ("system: s", 'system: s\nports: {in: "${file:pw}"}'),
        ("system: s", 'system: s\ntests: {a: {timeout: "${file:pw}"}}'),
        ("system: s", 'system: s\nrestart: "${file:pw}"'),
    ],
)
def test_no_problem_shows_a_secret(write: Callable[..., Path], old: str, new: str) -> None:
    text = message(write(bp=LOGIN.replace(old, new)))
    assert "s3cr3t" not in text
    assert "pass'word" not in text


@pytest.mark.usefixtures("pw")
async def test_a_secret_that_goes_on_to_a_part_stays_one(write: Callable[..., Path]) -> None:
    part = """
system: part
components: {login: {type: "MODULE:login", config: {password: "u:${PASSWORD}"}}}
ports: {in: login.in}
"""
    text = LOGIN.replace('"MODULE:login", config: {password:', "part.yaml, config: {PASSWORD:")
    assembled = load_system(write(bp=text, part=part))
    config = assembled.harness.wiring.members["login/login"].config
    assert config["password"] == f"u:{SECRET}"
    assert config["password"].written == "u:${file:pw}"
    assert "s3cr3t" not in message(write(bp=text, part=part.replace("password:", "mode: 1, name:")))
    named = part.replace("system: part", 'system: "${PASSWORD}"')
    assert wrong(write(bp=text, part=named)) == ["part.yaml:1:9 E116"]


def test_a_secret_is_found_from_the_file_that_names_it(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own").write_text("inner")
    part = """
system: part
components: {login: {type: "MODULE:login", config: {password: "${file:own}"}}}
ports: {in: login.in}
"""
    text = LOGIN.replace('"MODULE:login", config: {password: "${file:pw}"}', "sub/part.yaml")
    member = load_system(write(bp=text, sub__part=part)).harness.wiring.members["login/login"]
    assert member.config == {"password": "inner"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [("none", "No such file"), (".", "Is a directory"), ("/dev/zero", "Is a device"), ("pipe", "Is a pipe")],
)
@pytest.mark.timeout(60)
def test_a_secret_that_cannot_be_read_is_told_at_its_place(
    write: Callable[..., Path], tmp_path: Path, path: str, reason: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    text = message(write(bp=LOGIN.replace("file:pw", f"file:{path}")))
    assert re.search(rf"bp.yaml:4:63: error E116 '{re.escape(path)}' cannot be read: {reason}", text)
