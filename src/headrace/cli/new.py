"""``headrace new``: a folder with a system that runs at once; whole, or not at all."""

from __future__ import annotations

import json
import keyword
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import click

from .main import PROGRAM, emit

_TAKEN = frozenset(
    {"conftest", "setup", "__main__"}
)  # names that pytest and Python give a meaning of their own
_PYTHONS = frozenset({*sys.stdlib_module_names, *sys.builtin_module_names, "test"})


class NotMade(click.ClickException):
    """Nothing was made; exit code 2."""

    exit_code = 2


@click.command("new")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(name: str, form: str) -> int:
    """Make a folder with a system, its tests and its data.

    NAME is the folder's name, or its path; the system and its module are called the same.
    """
    folder = Path(name)
    _check_name(folder)
    _check_folder(folder)
    files = _make(folder)
    following = f"cd {name} && headrace test && headrace run"
    if form == "json":
        facts = {"name": folder.name, "folder": str(folder), "files": list(files), "next": following}
        emit(json.dumps(facts, indent=1))
        return 0
    emit(f"made {folder}/")
    width = max(map(len, files))
    for file, about in files.items():
        emit(f"  {file:<{width}}  {about}")
    emit(f"next: {following}")
    return 0


# --- names ----------------------------------------------------------------------------------------


def _check_name(folder: Path) -> None:
    name = folder.name
    if not (name.isidentifier() and name.isascii()):
        better = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        better = better if better.isidentifier() else f"my_{better}".rstrip("_")
        raise NotMade(
            f"'{name}' cannot be the name of a module: write letters, digits and '_', as in '{better}'"
        )
    if keyword.iskeyword(name):
        raise NotMade(f"'{name}' is a word of Python: choose another, such as 'my_{name}'")
    owner = _owner(name, folder.absolute().parent)
    if owner:
        raise NotMade(f"'{name}' is {owner}, which {name}.py would hide: choose another, such as 'my_{name}'")


def _owner(name: str, parent: Path) -> str:
    """Return whose module has a name already; nothing where it is free."""
    if name in _TAKEN:
        return "a name with a meaning to Python or pytest"
    if name in _PYTHONS:
        return "a module of Python itself"
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module that was made by hand says nothing of itself
        spec = None
    for place in _places(spec):
        if place.parent not in (parent.resolve(), Path.cwd().resolve()):
            return f"an installed package ({place})"
    return ""


def _places(spec: ModuleSpec | None) -> list[Path]:
    """Return the file or the folders of a module."""
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(folder).resolve() for folder in spec.submodule_search_locations]
    return [Path(spec.origin).resolve()] if spec.origin else []


def _check_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise NotMade(f"there is no folder {folder.parent}: make it first")
    if folder.is_dir():
        if any(folder.iterdir()):
            raise NotMade(f"{folder} is there already and is not empty: choose another name")
    elif folder.exists() or folder.is_symlink():
        raise NotMade(f"{folder} is there already and is not a folder: choose another name")


# --- files ----------------------------------------------------------------------------------------


def _make(folder: Path) -> dict[str, str]:
    """Make the folder and its files, under another name until they are complete.

    Returns:
        What there is to say of each file.
    """
    from .new_files import files_for

    files = files_for(folder.name)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        draft.mkdir()
        for name, (text, _) in files.items():
            (draft / name).write_text(text, encoding="utf-8")
        schema = f"{folder.name}.schema.json"
        (draft / schema).write_text(_schema(draft, f"{folder.name}.yaml"), encoding="utf-8")
        os.replace(draft, folder)  # takes the place of an empty one
    except OSError as error:
        raise NotMade(f"{folder} cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    about = {name: about for name, (_, about) in files.items()}
    return about | {schema: "what an editor knows of blueprints"}


def _schema(folder: Path, blueprint: str) -> str:
    """Return what ``headrace schema`` prints, from a process that may import the new module and forget it."""
    done = subprocess.run(
        [sys.executable, "-B", "-P", "-m", PROGRAM, "schema", blueprint],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise NotMade(f"the schema of {blueprint} cannot be made: {why}")
    return done.stdout


__all__ = ["NotMade", "command"]
