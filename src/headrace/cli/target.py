"""From TARGET on the command line to a system: a blueprint, or ``module:attribute`` of a Python program.

All commands come through here, so that what loads in one loads in the other; whatever is wrong is one
``BlueprintError`` with a place and a mend for each mistake.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

from click import UsageError

from headrace.exceptions import BlueprintError, UnconnectedPortError, WiringError
from headrace.model.blueprint import Blueprint, Complaints, Position, Problem
from headrace.model.endpoint import did_you_mean
from headrace.runtime.driven import leaves
from headrace.runtime.source_warnings import line_at
from headrace.runtime.system_execution_harness import SystemExecutionHarness
from headrace.runtime.wiring_warnings import find_warnings, place_of

from .own_code import location, one_line, own_frames, short
from .target_hints import blueprints_here, component_hint, python_target


@dataclass(frozen=True, slots=True)
class Loaded:
    """A system ready to run, what is legal in it but probably not meant, and its blueprint where it has one."""

    target: str
    harness: SystemExecutionHarness
    warnings: tuple[Problem, ...] = ()
    blueprint: Blueprint | None = None

    def hide(self, text: str) -> str:
        """Return a text without the secrets that the blueprint names."""
        return text if self.blueprint is None else self.blueprint.sources.secrets.hide(text)


def load_target(target: str, *, allow: Iterable[str] = (), files: Iterable[str] = ()) -> Loaded:
    """Load a system.

    Args:
        target: The path of a blueprint, or ``module:attribute`` of a system (or of a function that makes one).
        allow: Packages whose modules a blueprint may use, besides those beside it.
        files: Further blueprints, each of which changes what those before it say.

    Raises:
        BlueprintError: It cannot be loaded; all mistakes are in ``problems``.
        UsageError: There are further files, but the target is no blueprint.
    """
    files = tuple(files)
    if (wrong := python_target(target)) is not None:
        raise _refusal(Position(target), "E100", *wrong)
    module, colon, attribute = target.partition(":")
    if colon and _is_dotted(module) and _is_dotted(attribute) and not os.path.exists(target):
        if files:
            raise UsageError(f"-f changes a blueprint, and {target} is a Python program")
        return _load_python(target, module, attribute)
    for file in (target, *files):
        if not os.path.exists(file):
            raise _refusal(Position(file), "E100", "there is no such file", _nearest(file))
    from headrace.edges.yaml_blueprint import load_system

    assembled = load_system(target, *files, allow=allow)
    return Loaded(target, assembled.harness, assembled.warnings, assembled.blueprint)


def default_target() -> str:
    """Return the blueprint that is meant where none is named: the only one in the current folder.

    Raises:
        UsageError: There is none, or there are several.
    """
    found = blueprints_here()
    if not found:
        raise UsageError(
            "no TARGET was named, and no blueprint (a YAML file with a 'system:') is in this folder"
        )
    if len(found) > 1:
        raise UsageError(f"no TARGET was named, and there are {', '.join(found)}: name the one that is meant")
    return found[0]


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _nearest(target: str) -> str:
    folder = Path(target).parent
    names = [path.name for path in folder.glob("*.y*ml")] if folder.is_dir() else []
    hint = did_you_mean(Path(target).name, names)
    if hint.startswith("did you mean"):
        return hint
    return "name a blueprint (a YAML file), or module:attribute of a Python program"


def _refusal(position: Position, code: str, message: str, hint: str) -> BlueprintError:
    complaints = Complaints()
    complaints.error(position, code, message, hint)
    return BlueprintError(complaints.problems)


# --- module:attribute -----------------------------------------------------------------------------


def _load_python(target: str, name: str, attribute: str) -> Loaded:
    module = _import(target, name)
    origin = getattr(module, "__file__", None)
    file = short(origin) if origin else target
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            hint = _nearest_name(attribute, module)
            raise _refusal(Position(file), "E243", f"module '{name}' has no '{attribute}'", hint)
        found = getattr(found, part)
    lines = _lines(module)
    position = Position(file, _line_of(attribute, lines))
    if (wrong := component_hint(found, module, target)) is not None:
        raise _refusal(position, "E243", *wrong)
    harness = _made(found, target, position)
    return _checked(target, harness, position)


def _nearest_name(attribute: str, module: ModuleType) -> str:
    names = vars(module).items()
    systems = [name for name, value in names if isinstance(value, SystemExecutionHarness)]
    makers = [name for name, value in names if isfunction(value) and value.__module__ == module.__name__]
    near = did_you_mean(attribute, [*systems, *makers])
    if near.startswith("did you mean"):
        return near
    return did_you_mean(attribute, systems) or "name the variable or function that holds or makes the system"


def _import(target: str, name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # it stays: components may import more of it later
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = "check its name, and run this where its file is"
            raise _refusal(Position(target), "E242", f"there is no module '{error.name}'", hint) from error
        raise _raised(error, target, f"module '{name}' cannot be imported") from error
    except (Exception, SystemExit) as error:
        raise _raised(error, target, f"module '{name}' cannot be imported") from error


def _made(found: Any, target: str, position: Position) -> SystemExecutionHarness:
    """Return the system; a function that makes one is called."""
    if callable(found) and not isinstance(found, SystemExecutionHarness):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise _raised(error, target, f"'{target}' cannot be called") from error
    if not isinstance(found, SystemExecutionHarness):
        kind = type(found).__name__
        raise _refusal(position, "E243", f"'{target}' is a {kind}, not a system", "name a System")
    return found


def _raised(error: BaseException, target: str, what: str) -> BlueprintError:
    """Return a mistake in the user's own code, at its place; one of the wiring with its own code and mend."""
    first = leaves(error)[0]
    file, _, line = location(first).rpartition(":")
    position = Position(file, int(line)) if file else Position(target)
    frames = own_frames(first)
    source = (frames[-1].line or "") if frames else ""
    if isinstance(first, WiringError):
        found = Problem(position, "error", first.code, first.message, first.hint, source)
    else:
        text = first.msg if isinstance(first, SyntaxError) else str(first)
        message = one_line([what + ":", type(first).__name__, text])
        found = Problem(
            position, "error", "E242", message, "mend the module, or install what it needs", source
        )
    return BlueprintError([found])


def _checked(target: str, harness: SystemExecutionHarness, at: Position) -> Loaded:
    """Find what keeps the system from running, and what is probably not meant."""
    complaints = Complaints()
    errors = harness.wiring.problems()
    for error in errors:
        place = place_of((error.file, error.line), at)
        found = Problem(place, "error", error.code, error.message, error.hint, line_at(place))
        complaints.take(found)
    unsure = {error.component for error in errors if isinstance(error, UnconnectedPortError)}
    for problem in find_warnings(harness, at=at, unsure=unsure):
        complaints.take(problem)
    if complaints.has_errors:
        raise BlueprintError(complaints.problems)
    return Loaded(target, harness, complaints.problems)


def _lines(module: ModuleType) -> list[str]:
    try:
        return Path(getattr(module, "__file__", None) or "").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _line_of(attribute: str, lines: list[str]) -> int:
    """Return the line in which a module gives a name its value."""
    name = attribute.partition(".")[0]
    try:
        statements = ast.parse("\n".join(lines)).body
    except SyntaxError:
        return 1
    for statement in statements:
        if name in _names_given_by(statement):
            return statement.lineno
    return 1


def _names_given_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        return {target.id for target in statement.targets if isinstance(target, ast.Name)}
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}
    return set()


__all__ = ["Loaded", "default_target", "load_target"]
