"""Component types: installed ones, those beside the blueprint, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from headrace.components.csv_source import CsvSource
from headrace.exceptions import ComponentTypeError
from headrace.runtime import registry
from headrace.runtime.registry import GROUP, Registry, component_types, place_of


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    """Undo what importing modules leaves behind."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.path[:] = path


def refused(registry_: Registry, name: str) -> ComponentTypeError:
    """Return the error that a type name gives."""
    with pytest.raises(ComponentTypeError) as caught:
        registry_.resolve(name)
    return caught.value


def offer(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Let the installed packages offer these component types."""
    found = [EntryPoint(name.partition("__")[0], value, GROUP) for name, value in points.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)


def test_the_standard_components_are_installed_and_listed_without_importing_them() -> None:
    names = ["aggregate", "console_sink", "csv_source", "filter", "join", "map", "sqlite_sink"]
    assert [name for name in component_types() if name in names] == names
    assert Registry().resolve("csv_source") is CsvSource
    for name in names:
        Registry().resolve(name)


def test_an_unknown_name_gets_the_nearest() -> None:
    error = refused(Registry(), "csv_sorce")
    assert (error.code, error.hint) == ("E240", "did you mean 'csv_source'?")


def test_without_any_installed_type_the_hint_is_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)
    assert "install" in refused(Registry(), "csv_source").hint


def test_a_name_far_from_all_others_gets_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, **{f"n{number}": "m:n" for number in range(20)})
    assert "module:name" in refused(Registry(), "zzzzzz").hint


def test_a_name_that_two_packages_offer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, thing__1="one:Thing", thing__2="two:Thing", thing__3="two:Thing")
    error = refused(Registry(), "thing")
    assert error.code == "E240"
    assert error.hint == "write one of one:Thing, two:Thing"


def test_an_entry_point_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, thing="headrace.nothing:Thing")
    assert refused(Registry(), "thing").code == "E242"


def test_a_package_that_offers_types_may_be_used_by_module(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, thing="json.decoder:JSONDecoder")
    import json

    assert Registry().resolve("json:JSONEncoder") is json.JSONEncoder


def test_modules_of_headrace_may_be_used() -> None:
    assert Registry().resolve("headrace.components.csv_source:CsvSource") is CsvSource


def test_a_module_or_a_package_beside_the_blueprint_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "beside_one.py").write_text("from beside_pack.inner import x\nclass A:\n    class B: pass\n")
    (tmp_path / "beside_pack").mkdir()
    (tmp_path / "beside_pack" / "__init__.py").touch()
    (tmp_path / "beside_pack" / "inner.py").write_text("x = 5\n")
    found = Registry(tmp_path)
    assert found.resolve("beside_one:A.B").__name__ == "B"
    assert found.resolve("beside_one:A").__module__ == "beside_one"
    assert found.resolve("beside_pack.inner:x") == 5


def test_the_folder_is_first_on_the_path_during_the_import_and_last_afterwards(tmp_path: Path) -> None:
    (tmp_path / "beside_path.py").write_text("import sys\nfirst = sys.path[0]\n")
    assert Registry(tmp_path).resolve("beside_path:first") == str(tmp_path)
    assert sys.path[-1] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1
    Registry(tmp_path).resolve("beside_path:first")
    assert sys.path.count(str(tmp_path)) == 1


def test_anything_else_is_refused_before_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "side_effect.py").write_text("raise SystemExit('imported')\n")
    sys.path.append(str(tmp_path))
    error = refused(Registry(), "side_effect:x")
    assert error.code == "E241"
    assert "--allow side_effect" in error.hint
    assert "side_effect" not in sys.modules
    assert refused(Registry(tmp_path / "none"), "os:system").code == "E241"
    assert refused(Registry(tmp_path), "headracex:system").code == "E241"


def test_an_allowed_package_may_be_used_and_its_neighbours_not() -> None:
    import json

    assert Registry(allow=["json"]).resolve("json.decoder:JSONDecoder") is json.JSONDecoder
    assert refused(Registry(allow=["json.decoder"]), "json:JSONDecoder").code == "E241"


def test_a_module_typo_gets_the_nearest_module_beside_the_blueprint(tmp_path: Path) -> None:
    (tmp_path / "flights.py").touch()
    assert refused(Registry(tmp_path), "fligths:arrived").hint == "did you mean 'flights:arrived'?"


def test_a_dot_instead_of_a_colon_is_understood(tmp_path: Path) -> None:
    (tmp_path / "flights.py").touch()
    assert refused(Registry(tmp_path), "flights.arrived").hint == "write 'flights:arrived'"


@pytest.mark.parametrize("name", [":x", "x:", "../x:y", "a b:c", "x:y z", "x.:y", "x:y:z", "/etc/passwd:x"])
def test_what_is_no_dotted_name_is_refused(name: str, tmp_path: Path) -> None:
    assert refused(Registry(tmp_path), name).code == "E240"


@pytest.mark.parametrize("name", ["json", "time", "wave"])
def test_a_module_with_the_name_of_one_of_pythons_is_refused(tmp_path: Path, name: str) -> None:
    sys.modules.pop("wave", None)
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    error = refused(Registry(tmp_path), f"{name}:x")
    assert (error.code, error.hint) == ("E244", f"rename {name}.py")


def test_a_module_with_the_name_of_one_from_another_folder_is_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text("x = 1\n")
    assert Registry(tmp_path / "one").resolve("same_name:x") == 1
    assert Registry(tmp_path / "one").resolve("same_name:x") == 1
    assert refused(Registry(tmp_path / "two"), "same_name:x").code == "E244"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nx = 1 / 0\n", "ZeroDivisionError at .*faulty.py:2: division by zero"),
        ("def f(:\n", "SyntaxError at .*faulty.py:1: "),
        ("import sys\nsys.exit('bye')\n", "SystemExit at .*faulty.py:2: bye"),
        ("import not_installed_anywhere\n", "ModuleNotFoundError at .*faulty.py:1: No module named"),
        ("raise ImportError\n", "ImportError at .*faulty.py:1: no message"),
        ("import json\njson.loads('{')\n", "JSONDecodeError at .*faulty.py:2: "),
    ],
)
def test_an_error_in_the_users_module_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "faulty.py").write_text(text)
    error = refused(Registry(tmp_path), "faulty:x")
    assert error.code == "E242"
    assert error.__cause__ is not None
    with pytest.raises(ComponentTypeError, match=told):
        raise error


def test_a_keyboard_interrupt_during_an_import_goes_on(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        Registry(tmp_path).resolve("interrupted:x")


def test_a_submodule_that_is_not_there_is_named() -> None:
    error = refused(Registry(), "headrace.nothing:x")
    assert (error.code, error.message) == ("E242", "there is no module 'headrace.nothing'")
    assert error.hint


def test_a_name_that_the_module_lacks_gets_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "has_names.py").write_text("def arrived(): pass\n_hidden = 1\n")
    error = refused(Registry(tmp_path), "has_names:arived")
    assert (error.code, error.hint) == ("E243", "did you mean 'arrived'?")


def test_the_place_of_an_error_is_in_the_users_code_or_nowhere() -> None:
    assert place_of(ValueError("never raised")) == ""
    assert place_of(SyntaxError("odd")) == ""
    assert place_of(SyntaxError("odd", ("/elsewhere/x.py", None, 1, "x"))) == "/elsewhere/x.py:1"
