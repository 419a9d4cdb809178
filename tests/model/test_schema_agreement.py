"""The exported schema and ``check`` agree: on every blueprint we have, and on what mutations make of them.

What the schema is compared with is the tree of our own reader. Reasons of shape are those that a schema can
know: keys, kinds of values, words, ranges, and settings of types that are known. Not among them are what the text
alone decides (``E101`` and the like: there is no tree), the wiring, and what only a constructor refuses.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace.edges import yaml_blueprint
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import BlueprintError, ComponentTypeError
from headrace.model.blueprint import Blueprint, Complaints, Problem
from headrace.model.blueprint_keys import MESSAGE_POLICY
from headrace.model.blueprint_schema import blueprint_schema
from headrace.model.blueprint_tree import Listing, Node, Table, TreeBuilder
from headrace.model.blueprint_variables import Surroundings
from headrace.model.blueprint_writer import write_yaml
from headrace.model.settings_check import find_setting_errors
from headrace.runtime.assembly import assemble_all
from headrace.runtime.known_types import KnownTypes
from headrace.runtime.registry import Registry
from headrace.runtime.resource_use import settings_of
from headrace.runtime.type_names import settings_type_of

ROOT = Path(__file__).resolve().parents[2]
BLUEPRINTS = ROOT / "tests" / "blueprints"
GOOD = BLUEPRINTS / "good"
FILES = sorted([*BLUEPRINTS.glob("*/*.yaml"), *(ROOT / "examples").glob("*/*.yaml")])
ENV = {"DATA": "data", "OUT": "out"}

OF_SHAPE = frozenset({"E102", "E103", "E104", "E110", "E111", "E112", "E114", "E120", "E230", "E240"})
REASONS_OF_NAMES = ("needs a name", "is not an endpoint", "say which port", "printable characters")
OF_TEXT = frozenset({"E100", "E101", "E105", "E106", "E107", "E108", "E109", "E113", "E115", "E116"})

_BLOCK = re.compile(r'^```(?:yaml|python) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


class Unchanged(Mapping[str, str]):
    """Variables that stay as they are written: what an editor sees."""

    def __getitem__(self, name: str) -> str:
        return f"${{{name}}}"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    """Undo what loading modules beside a blueprint leaves behind."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if not origin.startswith((str(ROOT / "src"), sys.prefix, sys.base_prefix)):
            del sys.modules[name]


def as_json(node: Node) -> Any:
    """Return a tree as JSON has it: every key is a text."""
    if isinstance(node, Table):
        return {name: as_json(value) for name, (_, value) in node.entries.items()}
    return [as_json(item) for item in node.items] if isinstance(node, Listing) else node.value


def tree_of(text: str) -> Any:
    """Return what our own reader sees in a text, before anyone asks what it means."""
    around = Surroundings(Unchanged(), read_file=lambda path: f"${{file:{path}}}")
    node = yaml_blueprint._tree(text, "t.yaml", TreeBuilder(Complaints(), around))
    return None if node is None else as_json(node)


StrictValidator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
"""JSON Schema calls 1e300 an integer, because nothing is behind its point; a blueprint calls it what YAML does."""


def validator_of(folder: Path, text: str) -> jsonschema.Draft202012Validator:
    """Return what validates by the schema that ``headrace schema FILE`` prints for a file of this text."""
    known = KnownTypes([folder])
    known.add_installed()
    known.add_named(text)
    schema = blueprint_schema(known.types, known.resources, version="test")
    return validator_by(json.dumps(schema))


@cache
def validator_by(schema: str) -> jsonschema.Draft202012Validator:
    """Return what validates by a schema, once it has been found to be one: that takes half a second."""
    read = json.loads(schema)
    jsonschema.Draft202012Validator.check_schema(read)
    return StrictValidator(read)


def is_of_shape(problem: Problem, *, are_settings_wrong: bool) -> bool:
    """Whether a schema can know what ``check`` complains of."""
    if problem.severity == "warning":
        return False
    if problem.code == "E230":
        return are_settings_wrong
    if problem.code in ("E200", "E220"):
        return any(said in problem.message for said in REASONS_OF_NAMES)
    if problem.code == "E240":
        return not problem.message.startswith("there is no blueprint")
    return problem.code in OF_SHAPE


def are_settings_wrong(blueprint: Blueprint, folder: Path) -> bool:
    """Whether the settings of a type do not fit, before any constructor looks at them."""
    registry = Registry(folder)
    for spec in (*blueprint.components, *blueprint.resources):
        try:
            target = None if spec.type.endswith((".yaml", ".yml")) else registry.resolve(spec.type)
        except ComponentTypeError:
            continue
        is_component = spec in blueprint.components
        into = settings_type_of(target) if is_component else settings_of(target)
        if into is not None and find_setting_errors(spec.config, into):
            return True
        said = is_component and MESSAGE_POLICY.keys() & spec.places.keys()
        if said and (target is None or isinstance(target, type)):
            return True
    return False


def problems_of(text: str, folder: Path) -> tuple[tuple[Problem, ...], bool]:
    """Return what ``check`` says of a text, and whether there is anything of shape in it."""
    loader = yaml_blueprint._loader(ENV)
    blueprint = loader.load_text(text, str(folder / "t.yaml"), folder)
    if blueprint is None:
        found = loader.complaints.problems
    else:
        try:
            found = assemble_all(blueprint, loader.complaints).warnings
        except BlueprintError as error:
            found = error.problems
    wrong = blueprint is not None and are_settings_wrong(blueprint, folder)
    return found, any(is_of_shape(problem, are_settings_wrong=wrong) for problem in found)


# --- what we have --------------------------------------------------------------------------------


def agree_on(path: Path) -> None:
    """Compare both on a file."""
    try:
        problems: tuple[Problem, ...] = load_system(path, env=ENV).warnings
    except BlueprintError as error:
        problems = error.problems
    if OF_TEXT & {problem.code for problem in problems}:
        return
    text = path.read_text(encoding="utf-8")
    inside = [problem for problem in problems if problem.position.file == str(path)]
    expected = any(is_of_shape(problem, are_settings_wrong=True) for problem in inside)
    errors = list(validator_of(path.parent, text).iter_errors(tree_of(text)))
    assert bool(errors) == expected, ([str(problem) for problem in problems], errors)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_schema_refuses_what_check_refuses_for_a_reason_of_shape_and_accepts_the_rest(path: Path) -> None:
    agree_on(path)


def test_the_corpus_has_blueprints_with_and_without_every_reason_of_shape() -> None:
    codes: set[str] = set()
    for path in (BLUEPRINTS / "broken").glob("*.yaml"):
        codes |= set(re.findall(r"\bE\d{3}\b", path.read_bytes().split(b"\n")[0].decode("latin-1")))
    assert codes >= OF_SHAPE
    assert len(FILES) > 60


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_both_agree_on_the_blueprints_of_the_documentation(page: Path, tmp_path: Path) -> None:
    for title, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        file = tmp_path / title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for path in sorted(tmp_path.glob("*.yaml")):
        if path.read_text(encoding="utf-8").startswith("system:"):
            agree_on(path)


# --- what mutations make of them -----------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "system": "mutants",
    "defaults": {
        "buffer_size": 10,
        "shutdown_timeout": "2s",
        "attempts": 2,
        "on_error": "drop",
        "backoff": 0,
    },
    "resources": {"db": {"type": "good_parts:numbers", "config": {"upto": 3}}, "log": "good_parts:numbers"},
    "components": {
        "numbers": {"type": "good_parts:numbers", "config": {"upto": 10}},
        "halve": {"type": "good_parts:halve", "attempts": 2, "backoff": "10ms", "restart": "never"},
        "left": {"type": "good_parts:Keep"},
        "relay": {"type": "good_parts:Relay", "outputs": {"out": {"fan_out": "by_key", "key": "real"}}},
        "rows": {
            "type": "csv_source",
            "config": {"path": "a.csv", "types": {"a": "int"}, "columns": ["a"], "null_values": [""]},
        },
        "groups": {
            "type": "aggregate",
            "config": {"by": ["a"], "measures": {"n": "count", "m": {"mean": "a"}}, "max_groups": 5},
        },
        "kept": {"type": "filter", "config": {"field": "a", "op": "gt", "value": 3, "otherwise": "reject"}},
        "shown": {"type": "console_sink", "config": {"format": "json", "limit": 10}},
        "stored": {"type": "sqlite_sink", "config": {"path": "a.db", "table": "t", "flush_every": 0.5}},
    },
    "connections": [
        "numbers -> halve -> relay.in",
        {"from": "relay.out", "to": "left.in", "buffer_size": 1000, "when_full": "drop_oldest", "copy": True},
        "rows -> kept -> groups -> shown",
        "kept -> stored",
    ],
    "ports": {"out": "relay.out"},
    "summary": {"in": "numbers.out", "out": ["left.in"], "rejected": "halve.rejected"},
    "tests": {
        "halves": {
            "component": "halve",
            "send": [1, 2],
            "expect": {"halve.out": [1]},
            "dead_letters": 0,
            "any_order": True,
            "partial": False,
            "timeout": "1s",
            "config": {},
            "env": {"A": "b"},
            "replace": {"left": "good_parts:Keep", "db": None, "rows": {"type": "csv_source", "config": {}}},
        },
        "nothing": {"send": {"numbers.in": []}, "expect": []},
    },
}

WORDS = [
    *(
        "system",
        "components",
        "type",
        "config",
        "outputs",
        "fan_out",
        "key",
        "from",
        "to",
        "copy",
        "when_full",
    ),
    *(
        "attempts",
        "backoff",
        "buffer_size",
        "restart",
        "strategy",
        "when",
        "max_restarts",
        "within",
        "first",
        "longest",
        "jitter",
        "durable",
        "engine",
        "placement",
        "concurrency",
        "run_in",
    ),
    *(
        "ports",
        "tests",
        "resources",
        "summary",
        "in",
        "out",
        "send",
        "expect",
        "replace",
        "env",
        "path",
        "upto",
    ),
    *("limit", "columns", "mean", "median", "ack", "x", "X-y", "a b", "5", "no", "0"),
]
TEXTS = [
    *(
        "",
        " ",
        "text",
        "10s",
        "0s",
        "0.0ms",
        "1.5 h",
        "10 S",
        "-1s",
        "5",
        "never",
        "failure",
        "rest_for_one",
        "by_key",
        "balance",
        "drop",
    ),
    *(
        "dead_letter",
        "a -> b",
        "a.out->b.in",
        "->",
        "a ->",
        "a -> -> b",
        "a.",
        ".a",
        "..a",
        "a..b -> c",
        "a.b.",
        ">",
    ),
    *(
        "a -> b.in -> c",
        "a --> b",
        " a ->\n b ",
        "csv_source",
        "nope",
        "good_parts:Keep",
        "good_parts:numbers",
    ),
    *(
        "good_parts:nope",
        "m:a:b",
        ":x",
        "m:",
        "a-b:c",
        "über.é:x",
        "x.yaml",
        "good_parts:x.yml",
        "table",
        "count",
    ),
    *("true", "block", "broadcast", "memory", "auto", "int", "is_null"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 10**30, 0.5, -0.5, 1e300, float("inf")),
    *(
        [],
        [1],
        ["x"],
        [["x"]],
        [{}],
        {},
        {"x": 1},
        {"type": "csv_source"},
        {"when": "never"},
        {"when": "always"},
    ),
    *(
        {"type": "good_parts:Keep"},
        {"fan_out": "by_key"},
        {"key": ["a", 0]},
        {"from": "a", "to": "b"},
        ["a.out"],
    ),
    *({"mean": "x"}, {"x": {"type": "x.yaml", "config": {"a": [1]}}}),
]
values = st.one_of(st.sampled_from(TEXTS), st.sampled_from(VALUES)).map(copy.deepcopy)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to everything in a document but itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def mutate(document: dict[str, Any], draw: st.DrawFn) -> None:
    """Change one thing in a document: drop it, give it another name or value, or put something beside it."""
    path = draw(st.sampled_from(list(places(document)) or [("system",)]))
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    key = path[-1]
    action = draw(st.sampled_from(["drop", "replace", "replace", "rename", "beside"]))
    if action == "replace":
        holder[key] = draw(values)
    elif isinstance(holder, list):
        holder.append(draw(values)) if action == "beside" else holder.pop(key)
    elif action == "drop":
        holder.pop(key, None)
    else:
        value = draw(values) if action == "beside" else holder.pop(key, None)
        holder[draw(st.sampled_from(WORDS))] = value


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    document = copy.deepcopy(EVERYTHING)
    for _ in range(draw(st.integers(1, 3))):
        mutate(document, draw)
    return document


TOO_MANY = {"type": "good_parts:numbers", "config": {"upto": 1e300}}


@cache
def validator() -> jsonschema.Draft202012Validator:
    return validator_of(GOOD, write_yaml(EVERYTHING))


def test_what_is_mutated_is_good_to_begin_with() -> None:
    found, _ = problems_of(write_yaml(EVERYTHING), GOOD)
    assert not [str(problem) for problem in found if problem.severity == "error"]
    validator().validate(EVERYTHING)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(mutants())
@example({**EVERYTHING, "connections": ["numbers -> halve.in -> relay.in"]})
@example({**EVERYTHING, "components": {**EVERYTHING["components"], "numbers": TOO_MANY}})
def test_both_agree_on_mutations_of_a_good_blueprint(document: dict[str, Any]) -> None:
    text = write_yaml(document)
    found, is_refused = problems_of(text, GOOD)
    errors = list(validator().iter_errors(document))
    assert bool(errors) == is_refused, (text, [str(problem) for problem in found], errors)
