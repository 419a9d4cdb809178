"""``headrace graph``: the drawing for the terminal, and what other programs read."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from headrace import HarnessComponent, In, Out, System, component
from headrace.cli.drawing import draw_dot, draw_json, draw_mermaid
from headrace.cli.drawing_text import draw_text
from headrace.cli.files import NotWritten
from headrace.cli.graph import _can_draw
from headrace.model.options import EdgeOptions
from headrace.model.picture import ComponentPicture, LinkPicture, Picture
from headrace.runtime.picture import picture_of

FLIGHTS = Path(__file__).resolve().parents[2] / "examples" / "01-flights" / "flights.yaml"
ODD = [
    'say "hi"',
    "two words",
    "a[0]",
    "b|c",
    "<tag>",
    "back\\slash",
    "{x}",
    "a#b",
    "(y)",
    "`z`",
    "läuft",
    "a;b",
]


def picture(*links: str, names: str = "") -> Picture:
    """Return a picture of ``a.out -> b.in`` links; ports may be left out."""
    made = []
    found: dict[str, None] = dict.fromkeys(names.split())
    for link in links:
        sender, receiver = link.split(" -> ")
        ends = (
            sender if "." in sender else f"{sender}.out",
            receiver if "." in receiver else f"{receiver}.in",
        )
        (one, output), (other, entry) = (end.split(".") for end in ends)
        found.update(dict.fromkeys([one, other]))
        made.append(LinkPicture(one, output, other, entry))
    return Picture.of("s", tuple(map(ComponentPicture, found)), tuple(made))


def body(drawing: str) -> list[str]:
    """Return the lines of a drawing without its title."""
    return drawing.split("\n", 2)[2].splitlines()


def test_a_chain_is_one_line() -> None:
    assert (
        draw_text(picture("src -> parse", "parse -> sink"))
        == "s: 3 components, 2 connections\n\nsrc -> parse -> sink"
    )


def test_ways_that_part_are_branches_and_ways_that_meet_are_marked() -> None:
    drawn = draw_text(picture("a -> b", "b -> c", "b.rejected -> d", "e -> c.side", "c -> f"))
    assert body(drawn) == ["a -> b", "├─ c -> f", "└─ .rejected -> d", "e -> c.side ^", "", "^ drawn above"]


def test_branches_of_branches_are_indented() -> None:
    drawn = draw_text(picture("a -> b", "a -> c", "b -> d", "b -> e", "c -> f", "c -> g"), plain=True)
    assert body(drawn) == ["a", "+- b", "|  +- d", "|  `- e", "`- c", "   +- f", "   `- g"]


def test_a_cycle_is_marked_and_named() -> None:
    drawn = draw_text(picture("src -> a", "a -> b", "b -> a.again"))
    assert body(drawn) == ["src -> a -> b -> a.again ^", "", "^ drawn above", "", "cycle: a, b"]


def test_a_cycle_without_a_source_and_a_component_on_its_own_are_drawn() -> None:
    assert body(draw_text(picture("a -> a", names="a b"))) == [
        "b",
        "a -> a ^",
        "",
        "^ drawn above",
        "",
        "cycle: a",
    ]


def test_options_that_change_what_arrives_are_said() -> None:
    links = (
        LinkPicture("a", "out", "b", "in", EdgeOptions(when_full="drop_oldest", copy=True)),
        LinkPicture("b", "out", "c", "in", fan_out="balance"),
        LinkPicture("b", "out", "d", "in", fan_out="balance"),
    )
    shown = Picture.of("s", tuple(map(ComponentPicture, "abcd")), links)
    assert body(draw_text(shown)) == ["a -[drop_oldest, copy]-> b", "├─ [balance] c", "└─ [balance] d"]
    assert '-->|"drop_oldest, copy"|' in draw_mermaid(shown)
    assert '[label="balance"]' in draw_dot(shown)


def test_what_cannot_be_seen_is_escaped() -> None:
    shown = Picture.of("a\nb", (ComponentPicture("x\x1b[31m"),), ())
    assert draw_text(shown) == "a\\nb: 1 component, 0 connections\n\nx\\x1b[31m"


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=25, unique=True))
def test_every_component_is_written_out_once_and_every_link_drawn(pairs: list[tuple[int, int]]) -> None:
    shown = picture(*(f"n{a} -> n{b}" for a, b in pairs), names=" ".join(f"n{number}" for number in range(8)))
    lines = body(draw_text(shown, plain=True))
    lines = lines[: lines.index("")] if "" in lines else lines
    names = [word for line in lines for word in line.replace(" ^", "^").split() if word.startswith("n")]
    assert sorted(name for name in names if not name.endswith("^")) == [f"n{number}" for number in range(8)]
    roots = sum(1 for line in lines if line.startswith("n") and not line.split()[0].endswith("^"))
    assert len(names) - roots == len(pairs)


def test_the_flights_fit_a_terminal(invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "data")
    monkeypatch.setenv("OUT", "out")
    result = invoke("graph", FLIGHTS)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "flights: 19 components, 18 connections",
        "",
        "flights -> arrived",
        "├─ with_weather -> with_plane -> with_airline",
        "│  ├─ store",
        "│  ├─ by_carrier -> carriers",
        "│  │  ├─ carrier_delays",
        "│  │  └─ carrier_table",
        "│  ├─ by_hour -> origin_hour_delays",
        "│  └─ by_wind -> weather_delays",
        "└─ .rejected -> rejected_log",
        "weather -> wind -> with_weather.side ^",
        "planes -> with_plane.side ^",
        "airlines -> with_airline.side ^",
        "",
        "^ drawn above",
    ]


# --- other programs -------------------------------------------------------------------------------


@component
def numbers() -> int:  # type: ignore[misc]
    yield 1


class Both(HarnessComponent):
    """Has ports of every kind."""

    in_: In[int]
    side: In[str] | None
    out: Out[float]


@component
def drop(message: object) -> None:
    """Take anything."""


def system() -> System:
    """Return a small system with typed ports and options."""
    made = System("typed", buffer_size=7)
    made.add("numbers", numbers)
    made.add("both", Both)
    made.add("drop", drop)
    made.add("too", drop)
    made.connect("numbers", "both.in")
    made.connect("both", "drop", when_full="drop_newest", copy=True)
    made.connect("both", "too")
    made.spread("both.out", "balance")
    return made


def test_json_holds_components_ports_and_options() -> None:
    found = json.loads(draw_json(picture_of(system())))
    assert found["system"] == "typed"
    both = found["components"][1]
    assert both["name"] == "both"
    assert both["type"].endswith(":Both")
    assert both["inputs"] == [
        {"name": "in", "type": "int", "optional": False},
        {"name": "side", "type": "str", "optional": True},
    ]
    assert both["outputs"] == [{"name": "out", "type": "float", "optional": False, "fan_out": "balance"}]
    assert found["components"][0]["type"].endswith(":numbers")
    assert found["connections"][1] == {
        "from": "both.out",
        "to": "drop.in",
        "buffer_size": 7,
        "when_full": "drop_newest",
        "copy": True,
    }
    assert (found["sources"], found["sinks"], found["cycles"]) == (["numbers"], ["drop", "too"], [])
    assert found["layers"] == [["numbers"], ["both"], ["drop", "too"]]


def test_ports_that_nobody_declared_are_listed_where_they_are_used() -> None:
    class Plain:
        async def setup(self) -> None: ...
        async def process(self) -> None: ...
        async def cleanup(self) -> None: ...

    made = System("plain")
    made.add("a", Plain())
    made.add("b", Plain())
    made.connect("a.rows", "b.lines")
    first, second = picture_of(made).components
    assert [(port.name, port.type) for port in first.outputs] == [("rows", "Any")]
    assert [(port.name, port.type) for port in second.inputs] == [("lines", "Any")]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_escaped_for_mermaid(name: str) -> None:
    lines = draw_mermaid(
        Picture.of("s", (ComponentPicture(name), ComponentPicture("b")), (LinkPicture(name, "o", "b", name),))
    )
    _, first, _, link = lines.splitlines()
    label = first.strip().removeprefix('c0(["').removesuffix('"])')
    assert not set(label) - set("#;") & set('"<>|`\\[]{}()')
    assert unescaped(label) == name
    assert link.count("|") == 2
    assert link.count('"') == 2


def unescaped(label: str) -> str:
    """Read Mermaid's entities."""
    import re

    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label)


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_escaped_for_dot(name: str) -> None:
    text = draw_dot(
        Picture.of(name, (ComponentPicture(name), ComponentPicture("b")), (LinkPicture(name, "o", "b", "i"),))
    )
    label = (
        next(line for line in text.splitlines() if line.startswith("  c0 ["))
        .removeprefix("  c0 [label=")
        .removesuffix("];")
    )
    assert label[0] == label[-1] == '"'
    assert (
        label[1:-1].replace('\\"', "\0").replace("\\\\", "\1").replace("\0", '"').replace("\1", "\\") == name
    )
    assert '"' not in label[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '  c0 -> c1 [label="o -> i"];' in text
    if shutil.which("dot"):  # Graphviz itself reads it, where there is one
        subprocess.run(["dot", "-Tsvg"], input=text, text=True, capture_output=True, check=True)


@pytest.mark.parametrize("form", ["svg", "mermaid", "dot", "json"])
def test_the_command_prints_each_format(
    form: str, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA", "data")
    monkeypatch.setenv("OUT", "out")
    result = invoke("graph", FLIGHTS, "--format", form)
    assert result.exit_code == 0
    assert result.stdout.startswith(
        {"svg": "<svg ", "mermaid": "flowchart LR\n", "dot": "digraph ", "json": "{"}[form]
    )


def test_a_bad_blueprint_is_explained_on_stderr(invoke: Callable[..., Result]) -> None:
    result = invoke("graph", "nowhere.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("nowhere.yaml:1:1: error E100 there is no such file")


@pytest.mark.parametrize(
    ("encoding", "can"),
    [("utf-8", True), ("cp437", True), ("ascii", False), ("latin-1", False), (None, False), ("x", False)],
)
def test_box_characters_are_for_outputs_that_have_them(encoding: str | None, can: bool) -> None:
    assert _can_draw(encoding) is can


# --- a file ---------------------------------------------------------------------------------------


@pytest.fixture
def program(module: Callable[[str, str], str]) -> str:
    """Return a target: a program of one component."""
    parts = "from headrace import System, component\n@component\ndef take(n: int) -> None: ...\n"
    module("drawn", f"{parts}system = System('drawn')\nsystem.add('take', take)\n")
    return "drawn:system"


def drawing(
    invoke: Callable[..., Result], program: str, monkeypatch: pytest.MonkeyPatch, *more: str
) -> Result:
    """Draw the program, with what keeps it from running left out of account."""
    from headrace.cli import target

    monkeypatch.setattr(target, "_checked", lambda name, harness, at: target.Loaded(name, harness))
    return invoke("graph", program, *more)


def test_a_drawing_can_go_to_a_file(
    invoke: Callable[..., Result], program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("system.svg").write_text("old", encoding="utf-8")
    result = drawing(invoke, program, monkeypatch, "--format", "svg", "--output", "system.svg")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "wrote system.svg\n")
    text = Path("system.svg").read_text(encoding="utf-8")
    assert text.startswith("<svg ")
    assert text.endswith("</svg>\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.py", "system.svg"]


def test_a_drawing_can_go_to_a_device(
    invoke: Callable[..., Result], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drawing(invoke, program, monkeypatch, "--output", "/dev/null").exit_code == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("output", ["gone/system.svg", "/dev/full"])
def test_a_file_that_cannot_be_written_is_told(
    output: str, invoke: Callable[..., Result], program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = drawing(invoke, program, monkeypatch, "--output", output)
    assert isinstance(result.exception, NotWritten)
    assert result.exception.exit_code == 2
    assert f"{output} cannot be written: " in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.py"]


def test_a_component_says_how_it_works_where_that_is_not_as_usual() -> None:
    one = ComponentPicture("a")
    assert one.title == "a"
    assert replace(one, replicas=2, run_in="process").title == "a x2 (process)"
    assert replace(one, run_in="thread", at_once=4).title == "a (thread, 4 at once)"
    assert replace(one, at_once=4, ordered=False).title == "a (4 at once, unordered)"
