"""``validate``: messages held against a type or a JSON Schema."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.components import Validate, validate
from headrace.exceptions import ComponentError, ConfigError, MissingExtraError, SystemFailed


class Reading(msgspec.Struct, forbid_unknown_fields=True):
    """A reading of a sensor."""

    sensor: str
    degrees: float


GOOD = {"sensor": "a", "degrees": 1.5}
SCHEMA = {
    "type": "object",
    "properties": {"sensor": {"type": "string"}, "degrees": {"type": "number", "minimum": -90}},
    "required": ["sensor"],
}


async def test_what_fits_a_type_goes_on_as_it_came(run_through: Any) -> None:
    bad = [{"sensor": "a"}, {**GOOD, "degrees": "2"}, {**GOOD, "x": 1}, 5]
    seen = await run_through(Validate, {"type": Reading}, in_=[GOOD, *bad])
    assert seen.out == [GOOD]
    assert [rejected.message for rejected in seen.rejected] == bad
    assert seen.reasons == [
        "Object missing required field `degrees`",
        "Expected `float`, got `str` - at `$.degrees`",
        "Object contains unknown field `x`",
        "Expected `object`, got `int`",
    ]


async def test_it_may_be_converted_and_less_strict(run_through: Any) -> None:
    config = {"type": Reading, "convert": True, "strict": False}
    seen = await run_through(Validate, config, in_=[{**GOOD, "degrees": "2"}, Reading("b", 3.0)])
    assert seen.out == [Reading("a", 2.0), Reading("b", 3.0)]


async def test_what_fits_a_schema_goes_on_as_it_came(run_through: Any, tmp_path: Path) -> None:
    bad = [{"degrees": -100}, {"sensor": 1}, 5]
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    for schema in (SCHEMA, str(path)):
        seen = await run_through(Validate, {"schema": schema}, in_=[GOOD, *bad])
        assert seen.out == [GOOD]
        assert [rejected.message for rejected in seen.rejected] == bad
        assert seen.reasons == [
            "$: 'sensor' is a required property; $.degrees: -100 is less than the minimum of -90",
            "$.sensor: 1 is not of type 'string'",
            "$: 5 is not of type 'object'",
        ]


async def test_no_more_than_three_mistakes_are_told(run_through: Any) -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    seen = await run_through(Validate, {"schema": schema}, in_=[[1, 2, 3, 4, 5]])
    assert seen.reasons[0].endswith("; and 2 more")


def test_a_type_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_types.py").write_text("Order = dict[str, int]\nOdd = 5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    component = Validate("v", {"type": "shop_types:Order"})
    assert component._work([{"a": 1}, {"a": "x"}])[0] == [{"a": 1}]
    for name in (
        "shop_types:Nothing",
        "no_such_module:X",
        "shop_types",
        "shop_types:Odd",
        "antigravity:geohash",
    ):
        with pytest.raises(ConfigError) as caught:
            Validate("v", {"type": name})
        assert caught.value.field == "type"
    assert "antigravity" not in sys.modules
    monkeypatch.delitem(sys.modules, "shop_types")


async def test_what_a_schema_refers_to_is_not_fetched(run_through: Any) -> None:
    schema = {"$ref": "http://127.0.0.1:9/x.json"}
    with pytest.raises(SystemFailed) as caught:
        await run_through(Validate, {"schema": schema}, in_=["x"])
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]).startswith("it: schema cannot be used: ")


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        if name == "jsonschema":
            raise ImportError(name)
        return import_module(name)

    monkeypatch.setattr(validate, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[jsonschema\]'"):
        Validate("v", {"schema": SCHEMA})


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "type"),
        ({"type": int, "schema": SCHEMA}, "type"),
        ({"schema": SCHEMA, "convert": True}, "convert"),
        ({"schema": SCHEMA, "strict": False}, "strict"),
        ({"schema": {"type": "nothing"}}, "schema"),
        ({"schema": {"pattern": "("}}, "schema"),
        ({"schema": "no-such-file.json"}, "schema"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Validate("v", config)
    assert caught.value.field == field


def test_a_type_beside_the_blueprint_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shop_of_validate.py").write_text(
        "import msgspec\nclass Order(msgspec.Struct):\n    n: int\n"
    )
    (tmp_path / "shop.yaml").write_text(
        "system: shop\ncomponents:\n  rows: {type: lines_source, config: {path: '-'}}\n"
        "  check: {type: validate, config: {type: 'shop_of_validate:Order'}}\n  show: {type: console_sink}\n"
        "connections: [rows -> check -> show]\n"
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "run", str(tmp_path / "shop.yaml"), "--quiet"],
        input=b"",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
