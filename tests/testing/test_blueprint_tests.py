"""The tests of a blueprint are run: on one component or the whole graph, each on a system of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.exceptions import BlueprintError
from headrace.testing.blueprint_tests import BlueprintCases, CaseResult

PARTS = """
from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import anyio
import msgspec
import pydantic

from headrace import HarnessComponent, In, Out, Rejected, Resource, component


class Reading(msgspec.Struct):
    sensor: str
    celsius: float


@dataclasses.dataclass
class Row:
    n: int


class Model(pydantic.BaseModel):
    n: int


@component
def real() -> Iterator[str]:
    raise RuntimeError("a test reads the real source")
    yield ""


@component
def three() -> Iterator[str]:
    yield from ("a", " ", "c")


@component
def parse(line: str, *, end: str = "") -> str | Rejected[str]:
    return line.upper() + end if line.strip() else Rejected(line, "blank")


@component
def store(line: str) -> None:
    raise RuntimeError("a test writes to the real store")


@component
def warm(reading: Reading) -> Reading:
    return Reading(reading.sensor, reading.celsius + 1)


@component
def row(row: Row) -> Row:
    return Row(row.n + 1)


@component
def model(model: Model) -> Model:
    return Model(n=model.n + 1)


@component
def raw(data: bytes) -> bytes:
    return data[::-1]


@component
def invert(number: float) -> float:
    return 1 / number


@component
def look_up(key: str, *, db: Resource[Any]) -> Any:
    return db[key]


def open_real():
    raise RuntimeError("a test opens the real database")
    yield


def open_fake(word: str = "fake"):
    yield {"k": word}


@component
async def hang(line: str) -> str:
    await anyio.sleep_forever()
    return line


class Crash(HarnessComponent):
    in_: In[str]
    out: Out[str]

    async def process(self) -> None:
        raise KeyError(await self.in_.receive())


class Deaf(HarnessComponent):
    out: Out[str]

    async def process(self) -> None:
        await anyio.sleep_forever()


class Loose(HarnessComponent):
    async def process(self) -> None:
        async for message in self.receive_streams["a"]:
            await self.send_streams["b"].send(message)


class Join(HarnessComponent):
    in_: In[str]
    side: In[str]
    out: Out[str]

    async def process(self) -> None:
        known = [word async for word in self.side]
        async for word in self.in_:
            await self.out.send(f"{word} of {len(known)}")
"""

GRAPH = """\
system: t
components:
  src: {type: "bp_parts:real"}
  parse: {type: "bp_parts:parse", config: {end: "${END:-}"}}
  store: {type: "bp_parts:store"}
connections: [src -> parse, parse.out -> store]
tests:
"""

Run = Callable[..., dict[str, CaseResult]]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return a function that runs the tests of a blueprint; gives the results by name."""
    (tmp_path / "bp_parts.py").write_text(PARTS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def call(text: str, timeout: float = 1000) -> dict[str, CaseResult]:
        Path("bp.yaml").write_text(text, encoding="utf-8")
        cases = BlueprintCases(["bp.yaml"], timeout=timeout, backend=request.param)
        return {spec.name: cases.run(spec) for spec in cases.read().tests}

    yield call
    sys.modules.pop("bp_parts", None)


def said(result: CaseResult) -> list[str]:
    """Return what was not as expected, and why it could not run."""
    return [str(one) for one in (*result.mismatches, *result.problems)]


def one_component(kind: str, test: str) -> str:
    """Return a blueprint with a component ``c`` of a type, not connected, and a test ``t``."""
    return f'system: t\ncomponents:\n  c: {{type: "bp_parts:{kind}"}}\ntests:\n  t:\n    component: c\n{test}'


def alone(kind: str, sent: str, expected: str) -> str:
    """Return a blueprint in which a component is connected with itself, so that any type fits."""
    return (
        f'system: t\ncomponents:\n  c: {{type: "bp_parts:{kind}"}}\nconnections: [c.out -> c.in]\n'
        f"tests:\n  t:\n    component: c\n    send: {sent}\n    expect: {expected}\n"
    )


def test_a_whole_graph_runs_without_its_own_source_and_sink(run: Run) -> None:
    results = run(
        GRAPH + '  at_the_source: {send: {src.out: [a, " ", b]}, expect: {store.in: [A, B], '
        'parse.rejected: [{message: " ", reason: blank}], parse.in: [a, " ", b]}}\n'
        "  at_an_input: {send: {parse.in: [a]}, expect: {store: [A], src.out: []}}\n"
        "  of_nothing: {send: {src: []}, expect: {store.in: []}}\n"
        "  many: {send: {src.out: ["
        + ", ".join(["x"] * 300)
        + "]}, expect: {store.in: ["
        + ", ".join(["X"] * 300)
        + "]}}\n"
    )
    for result in results.values():
        assert result.outcome == "passed", said(result)


def test_differences_are_told_with_their_lines(run: Run) -> None:
    results = run(
        GRAPH
        + "  t:\n    send: {src.out: [a, b]}\n    expect:\n      store.in:\n        - a\n        - B\n        - C\n"
        "  u: {send: {src.out: [a, b]}, expect: {store.in: [A]}}\n"
    )
    assert results["t"].outcome == "failed"
    assert said(results["t"]) == [
        'store.in[0]: want "a" got "A" (bp.yaml:12)',
        'store.in[2]: want "C" got nothing (bp.yaml:14)',
    ]
    assert said(results["u"]) == ['store.in[1]: want nothing got "B" (bp.yaml:15)']


def test_any_order_and_partial_are_lenient_as_they_say(run: Run) -> None:
    results = run(
        GRAPH + "  free: {send: {src.out: [a, b, b]}, expect: {store.in: [B, A, B]}, any_order: true}\n"
        "  not_free: {send: {src.out: [a, b]}, expect: {store.in: [B, C]}, any_order: true}\n"
        '  part: {send: {src.out: [" "]}, expect: {parse.rejected: [{reason: blank}]}, partial: true}\n'
        '  whole: {send: {src.out: [" "]}, expect: {parse.rejected: [{reason: blank}]}}\n'
    )
    assert [result.outcome for result in results.values()] == ["passed", "failed", "passed", "failed"]
    assert said(results["not_free"]) == [
        'store.in: want "C", which did not come (bp.yaml:9)',
        'store.in: got "A", which is not wanted (bp.yaml:9)',
    ]


def test_a_port_that_nobody_reads_is_told_when_it_is_full(run: Run) -> None:
    text = (
        'system: t\ndefaults: {buffer_size: 2}\ncomponents:\n  a: {type: "bp_parts:real"}\n'
        '  b: {type: "bp_parts:three"}\n  j: {type: "bp_parts:Join"}\n  e: {type: "bp_parts:store"}\n'
        "connections: [a -> j.in, b -> j.side, j -> e]\ntests:\n"
        '  t: {replace: {b: "bp_parts:Deaf"}, send: {a.out: [x, y, z]}, expect: {e.in: []}, timeout: 50ms}\n'
    )
    result = run(text)["t"]
    assert "room on a.out" in said(result)[0]
    assert "b awaits process() at bp_parts.py" in said(result)[0]


def test_a_real_source_runs_where_nothing_is_sent(run: Run) -> None:
    results = run(GRAPH.replace("bp_parts:real", "bp_parts:three") + "  t: {expect: {store.in: [A, C]}}\n")
    assert said(results["t"]) == []


def test_settings_variables_and_replacements_are_those_of_the_test(run: Run) -> None:
    results = run(
        GRAPH.replace("${END:-}", "${END}")
        + "  by_env: {env: {END: '!'}, send: {src.out: [a]}, expect: {store.in: [A!]}}\n"
        "  by_config: {env: {END: '!'}, config: {parse: {end: '?'}}, send: {src.out: [a]}, expect: {store.in: [A?]}}\n"  # noqa: E501
        "  of_one: {env: {END: '!'}, component: parse, config: {end: ;}, send: [a], expect: [A;]}\n"
        '  other: {env: {END: x}, replace: {parse: "bp_parts:hang"}, send: {src.out: []}, expect: {store.in: []}}\n'
        "  left_out: {env: {END: x}, replace: {parse: null}, send: {parse.out: [x]}, expect: {store.in: [x]}}\n"
        '  real: {env: {END: x}, replace: {store: {type: "bp_parts:invert"}}, send: {src.out: []}, expect: {store.in: []}}\n'  # noqa: E501
        "  unset: {send: {src.out: [a]}, expect: {store.in: [A]}}\n"
    )
    outcomes = {name: result.outcome for name, result in results.items()}
    assert outcomes == {
        "by_env": "passed",
        "by_config": "passed",
        "of_one": "passed",
        "other": "passed",
        "left_out": "passed",
        "real": "error",
        "unset": "error",
    }, {name: said(result) for name, result in results.items()}
    assert "variable 'END' is not set" in said(results["unset"])[0]
    assert "E201" in said(results["real"])[0]


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        ("parse", '[a, " "]', '{out: [A], rejected: [{message: " ", reason: blank}]}'),
        ("warm", "[{sensor: roof, celsius: 1}]", "[{sensor: roof, celsius: 2}]"),
        ("row", "[{n: 1}]", "{c.out: [{n: 2}]}"),
        ("model", "[{n: 1}]", "[{n: 2}]"),
        ("raw", "[abc, äö]", "{in: [abc, äö]}"),
        ("raw", "{c.in: [abc]}", "[cba]"),
        ("invert", "{in: [4, 3]}", "[0.25, 0.3333333333]"),
    ],
)
def test_one_component_takes_messages_of_its_type(run: Run, kind: str, sent: str, expected: str) -> None:
    result = run(alone(kind, sent, expected))["t"]
    assert said(result) == []


def test_a_source_is_tested_by_its_first_messages(run: Run) -> None:
    text = one_component("three", "    expect: [a, ' ']\n")
    assert said(run(text)["t"]) == []
    result = run(one_component("three", "    expect: [a, ' ', c, d]\n"))["t"]
    assert said(result) == ['c.out[3]: want "d" got nothing (bp.yaml:7)']


def test_a_component_whose_ports_are_not_declared_has_those_of_its_connections(run: Run) -> None:
    text = (
        'system: t\ncomponents:\n  s: {type: "bp_parts:three"}\n  c: {type: "bp_parts:Loose"}\n'
        '  e: {type: "bp_parts:store"}\nconnections: [s.out -> c.a, c.b -> e.in]\ntests:\n'
        "  one: {component: c, send: {a: [x]}, expect: {b: [x]}}\n"
        "  all: {send: {s.out: [x]}, expect: {c.b: [x], e.in: [x]}}\n"
        "  none: {send: {s.out: [x]}, expect: {c.z: [x]}}\n"
    )
    results = run(text)
    assert said(results["one"]) == said(results["all"]) == []
    assert said(results["none"]) == [
        "bp.yaml:10:39: error E200 'c.z' is not connected, name a port that is in 'connections'"
    ]


def test_dead_letters_fail_a_test_unless_it_counts_them(run: Run) -> None:
    results = run(
        alone("invert", "[0, 2]", "[0.5]")
        + "  u: {component: c, send: [0, 2], expect: [0.5], dead_letters: 1}\n"
        "  v: {component: c, send: [2], dead_letters: 1}\n"
    )
    assert said(results["t"]) == [
        "dead letters: want 0 got 1; c gave up on 0.0: ZeroDivisionError float division by zero (bp.yaml:6)"
    ]
    assert said(results["u"]) == []
    assert said(results["v"]) == ["dead letters: want 1 got 0 (bp.yaml:11)"]


def test_resources_are_those_of_the_blueprint_unless_they_are_replaced(run: Run) -> None:
    text = (
        'system: t\nresources:\n  db: {type: "bp_parts:open_real"}\n  other: {type: "bp_parts:open_real"}\n'
        'components:\n  c: {type: "bp_parts:look_up"}\nconnections: [c.out -> c.in]\ntests:\n'
        '  fake: {component: c, replace: {db: "bp_parts:open_fake"}, send: [k], expect: [fake]}\n'
        '  set: {component: c, replace: {db: {type: "bp_parts:open_fake", config: {word: w}}}, send: [k], expect: [w]}\n'  # noqa: E501
        "  real: {component: c, send: [k], expect: [fake]}\n"
    )
    results = run(text)
    assert said(results["fake"]) == said(results["set"]) == []
    assert results["real"].outcome == "failed"
    assert "a test opens the real database" in said(results["real"])[0]


def test_a_crash_is_told(run: Run) -> None:
    result = run(alone("Crash", "[x]", "[]"))["t"]
    assert said(result) == ["c failed in process: KeyError 'x' (bp.yaml:6)"]
    assert result.error is not None


def test_one_that_hangs_is_cut_off_and_said_to(run: Run) -> None:
    results = run(
        GRAPH.replace("bp_parts:parse", "bp_parts:hang").replace(', config: {end: "${END:-}"}', "")
        + "  one: {component: parse, timeout: 50ms, send: [a], expect: [a]}\n"
        "  all: {timeout: 50ms, send: {src.out: [a]}, expect: {store.in: [a]}}\n"
    )
    for result in results.values():
        assert result.outcome == "failed"
        (text,) = said(result)
        assert "waited 0.05 s for" in text
        assert "parse awaits hang() at bp_parts.py:" in text


def test_two_inputs_are_fed_at_once_and_each_end_is_sent(run: Run) -> None:
    text = (
        'system: t\ndefaults: {buffer_size: 2}\ncomponents:\n  a: {type: "bp_parts:real"}\n'
        '  b: {type: "bp_parts:real"}\n  j: {type: "bp_parts:Join"}\n  e: {type: "bp_parts:store"}\n'
        "connections: [a -> j.in, b -> j.side, j -> e]\ntests:\n"
        "  t: {send: {a.out: [x, y, z, u, v], b.out: [p, q, r, s]}, expect: {e.in: [x of 4, y of 4, z of 4, u of 4, v of 4]}}\n"  # noqa: E501
        "  mixed: {send: {a.out: [x], j.side: [p]}, expect: {e.in: [x of 1]}}\n"
    )
    results = run(text)
    assert said(results["t"]) == said(results["mixed"]) == []


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (
            "{component: parze, expect: [A]}",
            "8:18: error E221 no component is named 'parze', did you mean 'parse'?",
        ),
        (
            "{component: parze, config: {a: 1}, expect: [A]}",
            "8:25: error E221 no component is named 'parze', did you mean 'parse'?",
        ),
        (
            "{config: {parze: {a: 1}}, expect: {store.in: []}}",
            "8:7: error E221 no component is named 'parze'",
        ),
        ("{config: {parse: 1}, expect: {store.in: []}}", "8:7: error E104 config of 'parse' must be a table"),
        ("{config: {parse: {x: 1}}, expect: {store.in: []}}", "8:7: error E230 unknown setting 'x'"),
        (
            "{replace: {storr: null}, expect: {store.in: []}}",
            "8:17: error E221 there is no component or resource 'storr' to replace, did you mean 'store'?",
        ),
        ("{send: {src.oot: [a]}, expect: {store.in: []}}", "8:14: error E222 'src' has no"),
        ("{send: {srk.out: [a]}, expect: {store.in: []}}", "8:14: error E221 no component is named 'srk'"),
        (
            "{component: parse, send: {side: [a]}, expect: [A]}",
            "8:32: error E222 'parse' has no input port 'side'",
        ),
        ("{component: parse, send: [a], expect: {ot: [A]}}", "8:45: error E222 'parse' has no"),
        (
            "{send: [a], expect: {store.in: []}}",
            "8:13: error E200 'send' of the whole graph has to name its ports",
        ),
        (
            "{component: parse, send: [1], expect: [A]}",
            "8:32: error E230 not a message for 'parse.in': Expected `str`",
        ),
    ],
)
def test_a_name_that_is_wrong_is_told_at_its_place(run: Run, test: str, told: str) -> None:
    result = run(GRAPH + f"  t: {test}\n")["t"]
    assert result.outcome == "error"
    assert any(text.startswith(f"bp.yaml:{told}") for text in said(result)), said(result)


def test_a_blueprint_with_mistakes_is_not_read(run: Run) -> None:
    with pytest.raises(BlueprintError, match="unknown key 'sistem'"):
        run("sistem: t\n")


def test_the_results_are_plain_values(run: Run) -> None:
    result: Any = run(alone("parse", "[a]", "[B]"))["t"]
    assert (result.name, result.position.line, result.outcome) == ("t", 6, "failed")
