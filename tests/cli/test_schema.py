"""``headrace schema``: JSON on stdout, whatever is wrong with the blueprint that it is for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import Result

Invoke = Callable[..., Result]

PARTS = '''
"""Components."""

from headrace import HarnessComponent, In, component

print("imported")


@component
def shout(word: str, *, loud: bool = True) -> str:
    """Say it.

    Args:
        word: What to say.
        loud: Whether in capitals.
    """
    return word.upper() if loud else word


def plain(word: str) -> str:
    return word


def helper() -> None: ...


class Sink(HarnessComponent):
    in_: In[str]


class _Hidden(HarnessComponent):
    in_: In[str]


def opened(*, size: int):
    """Open."""
    yield size
'''
ALONE = "from headrace import component\n\n@component\ndef alone(n: int) -> int:\n    return n\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the current folder, with modules of components in it."""
    (tmp_path / "schema_parts.py").write_text(PARTS)
    (tmp_path / "schema_alone.py").write_text(ALONE)
    (tmp_path / "schema_script.py").write_text(ALONE + "raise SystemExit('it ran')\n")
    (tmp_path / "schema_other.py").write_text("import json\n\ndef nothing(n):\n    return n\n")
    (tmp_path / "schema_torn.py").write_text("def (:\n")
    (tmp_path / "bp.yaml").write_text(
        "system: s\nresources: {r: 'schema_parts:opened'}\n"
        'components:\n  a: {type: "schema_parts:shout"}\n'
        '  b: {type: "schema_parts:plain", config: {x: "not:there"}}\n'
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in [name for name in sys.modules if name.startswith("schema_")]:
        del sys.modules[name]


def types_in(text: str) -> list[str]:
    """Return the types that a schema proposes."""
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    choices = schema["$defs"]["component"]["properties"]["type"]["anyOf"]
    return [choice["const"] for choice in choices if "const" in choice]


INSTALLED = sorted(point.name for point in entry_points(group="headrace.components"))


def test_without_a_target_it_knows_what_is_installed(invoke: Invoke) -> None:
    result = invoke("schema")
    assert result.exit_code == 0
    assert types_in(result.stdout) == INSTALLED
    assert result.stderr == ""


def test_of_a_blueprint_it_knows_its_modules_and_those_beside_it_that_only_define(
    invoke: Invoke, folder: Path
) -> None:
    result = invoke("schema", "bp.yaml")
    assert result.exit_code == 0
    assert types_in(result.stdout) == [
        *INSTALLED,
        *(
            "schema_alone:alone",
            "schema_parts:Sink",
            "schema_parts:opened",
            "schema_parts:plain",
            "schema_parts:shout",
        ),
    ]
    assert result.stderr == "imported\n"
    schema: Any = json.loads(result.stdout)
    validate = jsonschema.Draft202012Validator(schema)
    good: dict[str, Any] = {
        "system": "s",
        "components": {"a": {"type": "schema_parts:shout", "config": {"loud": False}}},
    }
    assert validate.is_valid(good)
    assert not validate.is_valid(
        {**good, "components": {"a": {"type": "schema_parts:shout", "config": {"lou": 1}}}}
    )
    assert not validate.is_valid({**good, "resources": {"r": "schema_parts:opened"}})
    assert validate.is_valid(
        {**good, "resources": {"r": {"type": "schema_parts:opened", "config": {"size": 1}}}}
    )
    assert "Whether in capitals." in result.stdout


@pytest.mark.parametrize("text", ["", "system: [", "type: 'schema_parts:shout'\n${UNSET}\n", "\xff\x00"])
def test_a_broken_blueprint_has_its_schema_all_the_same(invoke: Invoke, folder: Path, text: str) -> None:
    (folder / "bp.yaml").write_bytes(text.encode("latin-1"))
    result = invoke("schema", "bp.yaml")
    assert result.exit_code == 0
    assert ("schema_parts:Sink" in types_in(result.stdout)) == ("schema_parts" in text)


def test_of_a_module_it_knows_the_components(invoke: Invoke, folder: Path) -> None:
    result = invoke("schema", "schema_parts:whatever", "schema_alone")
    assert result.exit_code == 0
    assert types_in(result.stdout)[len(INSTALLED) :] == [
        "schema_alone:alone",
        "schema_parts:Sink",
        "schema_parts:shout",
    ]


def test_of_an_allowed_package_it_knows_what_the_package_offers(invoke: Invoke, folder: Path) -> None:
    result = invoke("schema", "--allow", "headrace.components")
    assert result.exit_code == 0
    assert "headrace.components:CsvSource" in types_in(result.stdout)


def test_a_module_that_cannot_be_imported_is_told(invoke: Invoke, folder: Path) -> None:
    for module in ("schema_nowhere", "schema_script", "schema_torn"):
        result = invoke("schema", module)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert f"Error: module '{module}' cannot be imported" in result.stderr or "no module" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_module_of_a_blueprint_that_cannot_be_imported_is_left_out_with_a_note(
    invoke: Invoke, folder: Path
) -> None:
    (folder / "bp.yaml").write_text("type: schema_script:alone\n")
    result = invoke("schema", "bp.yaml")
    assert result.exit_code == 0
    assert result.stderr.startswith("note: module 'schema_script' is left out: ")
    assert "it ran" in result.stderr


def test_a_file_that_is_not_there_is_one_line_and_exit_code_2(invoke: Invoke, folder: Path) -> None:
    result = invoke("schema", "none.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "none.yaml:1:1: error E100 cannot be read: No such file or directory, check the path and its rights\n"
    )


def test_it_goes_to_a_file_where_one_is_named(invoke: Invoke, folder: Path) -> None:
    result = invoke("schema", "--output", "headrace.schema.json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert types_in((folder / "headrace.schema.json").read_text()) == INSTALLED
    refused = invoke("schema", "--output", "no/such/folder.json")
    assert refused.exit_code == 1
    assert refused.stderr == "Error: no/such/folder.json cannot be written: No such file or directory\n"
