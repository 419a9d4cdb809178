"""The house rules that no linter knows: docstrings, sizes, sorted names, who may import whom how."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import headrace

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "headrace"
MODULES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in MODULES]
EXTRA_FILES = sorted(
    [
        ROOT / "bootstrap.py",
        *(ROOT / "benchmarks").rglob("*.py"),
        *(ROOT / "proofs").glob("*.py"),
        *(ROOT / "tools").glob("*.py"),
    ]
)

MAX_LINES = 420
MAX_DOCSTRING_LINES = 6  # style.md says five; the file that draws the error tree is let off
WAITING = (ast.Await, ast.AsyncFor, ast.AsyncFunctionDef, ast.AsyncWith)

each_module = pytest.mark.parametrize("path", MODULES, ids=IDS)


def tree_of(path: Path) -> ast.Module:
    """Parse a source file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_public(path: Path) -> bool:
    """Tell whether users may import a module by its name."""
    return not any(part.startswith("_") for part in path.relative_to(PACKAGE).with_suffix("").parts)


def exported_names(tree: ast.Module) -> list[str] | None:
    """Return a module's ``__all__``, or None where it has none; ``sorted(...)`` counts as an empty one."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                assert node.value is not None
                computed = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "sorted"
                return [] if computed else list(ast.literal_eval(node.value))
    return None


def reading_order(name: str) -> tuple[int, str]:
    """Order names as ruff's RUF022 does: constants, then classes, then the rest."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


def defines_something(tree: ast.Module) -> bool:
    """Tell whether a module defines a public function or class."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in tree.body)


def imports_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the level and the module of each import, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


@each_module
def test_every_module_says_why_it_exists_in_a_few_lines(path: Path) -> None:
    tree = tree_of(path)
    docstring = ast.get_docstring(tree) or ""
    if not tree.body:
        assert path.name == "__init__.py", "only a package's own file may be empty"
        return
    assert docstring, f"{path} has no docstring"
    if path.name != "exceptions.py":
        lines = [line for line in docstring.splitlines() if line.strip()]
        assert len(lines) <= MAX_DOCSTRING_LINES, f"{path}: say why the module exists, in five lines"


@pytest.mark.parametrize("path", [*MODULES, *EXTRA_FILES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_file_grows_past_what_a_reader_can_hold(path: Path) -> None:
    limit = MAX_LINES if path.name != "exceptions.py" else 2 * MAX_LINES  # the whole tree is one page
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


@each_module
def test_all_is_sorted_complete_and_there_where_names_are_public(path: Path) -> None:
    tree = tree_of(path)
    names = exported_names(tree)
    if names is None:
        wanted = is_public(path) and path.name != "__init__.py" and defines_something(tree)
        assert not wanted, f"{path} defines public names but has no __all__"
        return
    assert names == sorted(set(names), key=reading_order), f"{path}: __all__ is not sorted"


@each_module
def test_asyncio_is_imported_by_edges_and_testing_only(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] in ("edges", "testing"):
        return
    assert not [name for _, name in imports_of(tree_of(path)) if name.partition(".")[0] == "asyncio"]


@each_module
def test_a_relative_import_means_the_same_folder_and_an_absolute_one_a_lower_floor(path: Path) -> None:
    folder = ".".join(path.parent.relative_to(SOURCE).parts)
    for level, name in imports_of(tree_of(path)):
        assert level <= 1, f"{path}: 'from {'.' * level}{name}' leaves its folder; write it absolute"
        if level == 0 and folder != "headrace":
            assert name != folder, f"{path}: import {name} relatively, it is the same folder"
            assert not name.startswith(folder + "."), (
                f"{path}: import {name} relatively, it is the same folder"
            )


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").rglob("*.py")), ids=lambda path: path.name)
def test_the_model_never_waits(path: Path) -> None:
    waits = [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, WAITING)]
    assert not waits, f"{path}: async code in lines {waits}"


@pytest.mark.parametrize("path", [*MODULES, *EXTRA_FILES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unfinished_mark_is_left(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [mark for mark in ("TO" + "DO", "FIX" + "ME", "X" * 3) if mark in text]


def test_the_version_is_the_one_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert headrace.__version__ == project["version"]


def test_the_package_root_holds_names_and_no_logic() -> None:
    tree = tree_of(PACKAGE / "__init__.py")
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert not classes
    names = exported_names(tree)
    assert names is None or names == sorted(set(names), key=reading_order)


def test_the_type_marker_is_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
