"""The floors hold: the clean tree keeps every contract, and each planted import breaks the one meant for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "headrace"

FLOORS = "Each floor imports only lower ones"
EDGES = "Edges never import each other"
ROOF = "Nothing inside imports the package root"
PURE = "The model is pure"
BACKEND = "One asynchronous library"
WORLD = "Web, YAML, databases and brokers"
TERMINAL = "The command line is known to cli only"

PLANTS = {
    "model imports runtime": ("model", "import headrace.runtime", FLOORS),
    "exceptions imports model": ("exceptions.py", "import headrace.model", FLOORS),
    "authoring imports streams": ("authoring", "import headrace.streams", FLOORS),
    "streams imports component": ("streams", "import headrace.authoring", FLOORS),
    "runtime imports edges": ("runtime", "import headrace.edges", FLOORS),
    "components imports testing": ("components", "import headrace.testing", FLOORS),
    "testing imports components": ("testing", "import headrace.components", FLOORS),
    "an edge imports another": ("edges", "import headrace.edges.planted_neighbour", EDGES),
    "runtime imports the root": ("runtime", "from headrace import System", ROOF),
    "cli imports __main__": ("cli", "import headrace.__main__", ROOF),
    "model imports anyio": ("model", "import anyio", PURE),
    "model imports logging": ("model", "import logging", PURE),
    "runtime imports asyncio": ("runtime", "import asyncio", BACKEND),
    "streams imports trio in a function": ("streams", "def later():\n    import trio", BACKEND),
    "components imports asyncio": ("components", "from asyncio import sleep", BACKEND),
    "runtime imports yaml": ("runtime", "import yaml", WORLD),
    "cli imports pydantic": ("cli", "from pydantic import BaseModel", WORLD),
    "components imports starlette": ("components", "import starlette.routing", WORLD),
    "runtime imports rich": ("runtime", "import rich.table", TERMINAL),
}

HEAVY = {
    "anycorn",
    "click",
    "coredis",
    "httpx",
    "nats",
    "numpy",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "rich",
    "sqlite3",
    "starlette",
    "trio",
    "yaml",
}


def copy_of_the_package(folder: Path) -> Path:
    """Copy the package and its contracts to a folder where imports may be planted."""
    shutil.copytree(PACKAGE, folder / "headrace", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts over the package that lies in ``folder``."""
    code = "import sys; from importlinter.cli import lint_imports_command as main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def verdicts(output: str) -> tuple[set[str], set[str]]:
    """Read which contracts were kept and which broken."""
    lines = re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.+\))?$", output, re.MULTILINE)
    found = {word: {name for name, verdict in lines if verdict == word} for word in ("KEPT", "BROKEN")}
    return found["KEPT"], found["BROKEN"]


def test_the_clean_tree_keeps_every_contract(tmp_path: Path) -> None:
    done = lint(copy_of_the_package(tmp_path))
    kept, broken = verdicts(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not broken
    assert len(kept) == (ROOT / ".importlinter").read_text().count("[importlinter:contract:")


@pytest.mark.parametrize(("place", "line", "contract"), PLANTS.values(), ids=PLANTS.keys())
def test_a_planted_import_breaks_its_contract(tmp_path: Path, place: str, line: str, contract: str) -> None:
    package = copy_of_the_package(tmp_path) / "headrace"
    target = package / place if place.endswith(".py") else package / place / "planted.py"
    if place == "edges":
        (package / place / "planted_neighbour.py").write_text("")
    with target.open("a") as module:
        module.write(f"\n{line}\n")
    done = lint(tmp_path)
    _, broken = verdicts(done.stdout)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(name.startswith(contract) for name in broken), done.stdout


def test_a_new_folder_without_a_floor_breaks_the_floors(tmp_path: Path) -> None:
    package = copy_of_the_package(tmp_path) / "headrace"
    (package / "attic.py").write_text("")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert "attic" in done.stdout


def modules_after(statement: str) -> set[str]:
    """Return the names in ``sys.modules`` of a fresh interpreter that ran the statement."""
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def heavy_in(modules: set[str]) -> set[str]:
    """Return which heavy libraries are among the loaded modules."""
    return {name.partition(".")[0] for name in modules} & HEAVY


def test_import_headrace_loads_no_web_yaml_pydantic_or_cli_module() -> None:
    bare = modules_after("pass")
    loaded = modules_after("import headrace") - bare
    assert not heavy_in(loaded)
    assert not {name for name in loaded if name.startswith(("headrace.cli", "headrace.edges"))}


def test_every_public_name_of_headrace_can_be_imported() -> None:
    code = "import headrace\nfor name in headrace.__all__: getattr(headrace, name)"
    assert "headrace" in modules_after(code)
