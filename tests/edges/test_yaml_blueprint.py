"""YAML files as blueprints: the good ones run, the broken ones are told in one line each with its place."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.edges import yaml_blueprint
from headrace.edges.yaml_blueprint import load_system, parse_blueprint, read_blueprint
from headrace.exceptions import BlueprintError
from headrace.model.blueprint import CODES, Problem

BLUEPRINTS = Path(__file__).parent.parent / "blueprints"
BROKEN = sorted((BLUEPRINTS / "broken").glob("*.yaml"))
GOOD = sorted((BLUEPRINTS / "good").glob("*.yaml"))
LINE = re.compile(r"[^\n]+?:\d+:\d+: (?:error|warning) [EW]\d{3} [^\n]+")

TEXTS = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"
    )
)
SMALL = "system: s\ncomponents:\n  a: {type: x}\n"


@pytest.fixture(autouse=True)
def clean_path() -> Iterator[None]:
    """Undo what loading modules beside a blueprint leaves on the path."""
    before = list(sys.path)
    yield
    sys.path[:] = before


def expected(path: Path) -> list[str]:
    """Return what a blueprint's first line says will be found."""
    first = path.read_bytes().split(b"\n")[0].decode()
    return first.removeprefix("# expect: ").split(", ") if first.startswith("# expect: ") else []


def found(problems: tuple[Problem, ...]) -> list[str]:
    """Return what was found, in the way blueprints expect it."""
    return [f"{p.position.line}:{p.position.column} {p.code}" for p in problems]


def problems_of(text: str, **env: str) -> tuple[Problem, ...]:
    """Return what is wrong with a text."""
    with pytest.raises(BlueprintError) as caught:
        parse_blueprint(text, env=env)
    return caught.value.problems


def test_there_are_many_broken_blueprints_and_they_cover_every_code_of_the_file() -> None:
    assert len(BROKEN) >= 30
    seen = {entry.split()[1] for path in BROKEN for entry in expected(path)}
    missing = {code for code in CODES if code.startswith("E")} - seen
    assert missing == {"E100", "E200", "E210", "E225", "E244"}, "these have tests of their own"


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_each_mistake_is_one_line_with_its_place_and_its_mend(path: Path) -> None:
    with pytest.raises(BlueprintError) as caught:
        load_system(path, env={})
    assert found(caught.value.problems) == expected(path)
    for problem in caught.value.problems:
        assert LINE.fullmatch(str(problem))
        assert str(problem).startswith(str(path))
        assert problem.hint
        assert problem.code in CODES


def test_a_refused_module_is_never_imported(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bomb.py").write_text("raise SystemExit('imported')\n")
    sys.path.append(str(tmp_path / "elsewhere"))
    blueprint = tmp_path / "bp.yaml"
    blueprint.write_text('system: s\ncomponents:\n  a: {type: "bomb:a"}\n')
    with pytest.raises(BlueprintError, match="E241"):
        load_system(blueprint)
    assert "bomb" not in sys.modules


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
async def test_each_good_blueprint_loads_with_its_warnings_and_runs(path: Path) -> None:
    assembled = load_system(path, env={})
    assert found(assembled.warnings) == expected(path)
    report = await assembled.harness.run()
    assert report.exit_code() == 0


def test_every_key_reaches_the_harness() -> None:
    harness = load_system(BLUEPRINTS / "good" / "everything.yaml").harness
    assert harness.buffer_size == 10
    timeouts = harness.timeouts
    assert (timeouts.setup, timeouts.cleanup, timeouts.shutdown, timeouts.source_grace) == (20, 1.5, 30, 0.25)
    halve = harness.components["halve"]
    assert (halve.attempts.attempts, halve.attempts.on_error, halve.attempts.backoff) == (2, "reject", 0.01)
    assert (halve.attempts.ordered, halve.attempts.fuse) == (False, False)
    assert halve.attempts.concurrency == 1, "the default is for asynchronous functions"
    edge = harness.wiring.connections["relay.out -> right.in"].options
    assert (edge.buffer_size, edge.when_full, edge.copy) == (1000, "drop_oldest", True)
    assert harness.wiring.members["relay"].outlets["out"].options.fan_out == "by_key"


def test_scalars_are_strict() -> None:
    blueprint = read_blueprint(BLUEPRINTS / "good" / "strict_scalars.yaml", env={"SIZE": "9"})
    assert blueprint.name == "no"
    assert blueprint.defaults.buffer_size == 9
    assert blueprint.defaults.shutdown_timeout == 3
    texts = {
        "a": "no",
        "b": "1:30",
        "c": "0777",
        "d": "2013-01-01",
        "e": "1_000",
        "f": "5",
        "g": 5,
        "h": None,
    }
    assert blueprint.components[1].config == texts
    assert [spec.name for spec in blueprint.components] == ["on", "yes"]


def test_the_environment_is_that_of_the_process_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TEST_NAME", "river")
    assert parse_blueprint(SMALL.replace("system: s", "system: ${HEADRACE_TEST_NAME}")).name == "river"


# --- files that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing.yaml", "No such file"), (".", "Is a directory"), ("nul\0.yaml", "null byte")],
)
@pytest.mark.parametrize("read", [read_blueprint, load_system])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, reason: str, read: object) -> None:
    path = f"{tmp_path}/{name}"
    with pytest.raises(BlueprintError, match=f":1:1: error E100 cannot be read: .*{reason}"):
        read(path)  # type: ignore[operator]


def test_a_file_without_the_right_to_read_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(BlueprintError, match="E100 cannot be read: Permission denied"):
        read_blueprint(tmp_path / "bp.yaml")


def test_a_file_above_the_limit_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"# " + b"x" * yaml_blueprint.MAX_BYTES)
    with pytest.raises(BlueprintError, match="E107 the file is larger than 1,048,576 bytes"):
        read_blueprint(path)


def test_a_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "bp.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert read_blueprint(path).name == "s"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(line_end: str) -> None:
    (problem,) = problems_of((SMALL + "x: 1\n").replace("\n", line_end))
    assert (problem.position.line, problem.source) == (4, "x: 1")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "~", "--- null\n...\n"])
def test_an_empty_text_is_told_as_empty(text: str) -> None:
    assert found(problems_of(text)) == ["1:1 E114"]


def test_syntax_errors_name_the_mend() -> None:
    assert "close the quote" in str(problems_of("system: 'x")[0])
    assert "inside brackets a ${VARIABLE} stands in quotes" in str(problems_of("system: {a: ${B}}")[0])
    assert "check quotes" in str(problems_of("%YAML 9.9\n---\na: 1")[0])


def test_an_error_of_the_parser_without_a_mark_still_has_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> object:
        raise yaml.YAMLError("odd")

    monkeypatch.setattr(yaml, "parse", fail)
    assert str(problems_of(SMALL)[0]).startswith("<text>:1:1: error E101 odd")


def test_the_pure_python_parser_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SMALL + 'connections:\n  - a -> "b.c" x\n  - {from: &f a, to: *f, x: !t 1}\n'
    text = text.replace(' "b.c" x', " b..")
    fast = problems_of(text)
    monkeypatch.setattr(yaml_blueprint, "_LOADER", yaml.SafeLoader)
    assert problems_of(text) == fast


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 2_000,
        "a: " + "{x: " * 2_000,
        "\n".join(" " * n + "a:" for n in range(2_000)),
        "a: " + "[" * 1_000_000,
        "- " * 500_000,
        "[" + "a," * 500_000 + "]",
        "x: &a [y]\nz: [" + "*a," * 300_000 + "]",
    ],
    ids=["lists", "tables", "indented", "a million", "dashes", "wide", "aliases"],
)
def test_depth_and_size_are_bounded(text: str) -> None:
    assert problems_of(text)[-1].code == "E107"


def test_bombs_take_neither_time_nor_memory() -> None:
    code = (
        "import sys, time\n"
        "from headrace.edges.yaml_blueprint import load_system\n"
        "from headrace.exceptions import BlueprintError\n"
        "start = time.process_time()\n"
        "for path in sys.argv[1:]:\n"
        "    try: load_system(path, env={})\n"
        "    except BlueprintError: pass\n"
        "    else: raise SystemExit(path)\n"
        # ru_maxrss would begin with the parent's: a process inherits it across exec
        "high = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(time.process_time() - start, int(high.split()[1]) / 1024)\n"
    )
    paths = [str(BLUEPRINTS / "broken" / f"{name}.yaml") for name in ("bomb", "too_deep")]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, timeout=60, check=True
    )
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 20, "written out, they would take hours"
    assert megabytes < 100


def test_a_tag_builds_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    text = f'system: !!python/object/apply:os.mkdir ["{victim}"]\ncomponents:\n  a: {{type: x}}\n'
    assert [problem.code for problem in problems_of(text)] == ["E106"]
    assert not victim.exists()


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#?,\n\t ${}<~1.é\x07")))
@settings(max_examples=300, deadline=None)
def test_no_text_gives_anything_but_a_blueprint_or_a_blueprint_error(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        parse_blueprint(text, env={})
    except BlueprintError as error:
        problems = error.problems
    assert all(problem.hint and LINE.fullmatch(str(problem)) for problem in problems)


@given(st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers() | TEXTS, max_size=5))
@settings(max_examples=100, deadline=None)
def test_a_config_written_as_json_is_read_as_it_was(config: dict[str, object]) -> None:
    config = {name: v for name, v in config.items() if name not in ("", "<<") and "${" not in str(v)}
    document = {"system": "s", "components": {"a": {"type": "x", "config": config}}}
    (spec,) = parse_blueprint(json.dumps(document, ensure_ascii=False), env={}).components
    assert spec.config == config


def test_a_mistake_of_the_file_and_one_of_the_wiring_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "bp.yaml"
    path.write_text("system: s\nextra: 1\ncomponents:\n  a: {type: csv_sorce}\n")
    with pytest.raises(BlueprintError) as caught:
        load_system(path)
    assert found(caught.value.problems) == ["2:1 E102", "4:13 E240"]


def test_reading_alone_refuses_what_the_file_says_wrong_and_imports_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bp.yaml"
    path.write_text("system: s\ncomponents:\n  a: {type: nothing_like_it}\n")
    assert read_blueprint(os.fspath(path)).directory == str(tmp_path)
    with pytest.raises(BlueprintError):
        parse_blueprint("sytem: 1")
