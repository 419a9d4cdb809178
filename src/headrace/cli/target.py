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
from pathlib import Path
from types import ModuleType
from typing import Any

from headrace.exceptions import BlueprintError, WiringError
from headrace.model.blueprint import Complaints, Position, Problem
from headrace.model.endpoint import did_you_mean
from headrace.model.topology import Topology
from headrace.runtime.driven import leaves
from headrace.runtime.system_execution_harness import SystemExecutionHarness

from .own_code import location, one_line, own_frames, short


@dataclass(frozen=True, slots=True)
class Loaded:
    """A system ready to run, and what is legal in it but probably not meant."""

    target: str
    harness: SystemExecutionHarness
    warnings: tuple[Problem, ...] = ()


def load_target(target: str, *, allow: Iterable[str] = ()) -> Loaded:
    """Load a system.

    Args:
        target: The path of a blueprint, or ``module:attribute`` of a system (or of a function that makes one).
        allow: Packages whose modules a blueprint may use, besides those beside it.

    Raises:
        BlueprintError: It cannot be loaded; all mistakes are in ``problems``.
    """
    module, colon, attribute = target.partition(":")
    if colon and _is_dotted(module) and _is_dotted(attribute) and not os.path.exists(target):
        return _load_python(target, module, attribute)
    if not os.path.exists(target):
        raise _refusal(Position(target), "E100", "there is no such file", _nearest(target))
    from headrace.edges.yaml_blueprint import load_system

    assembled = load_system(target, allow=allow)
    return Loaded(target, assembled.harness, assembled.warnings)


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
            known = [key for key, value in vars(module).items() if isinstance(value, SystemExecutionHarness)]
            hint = did_you_mean(attribute, known) or "name the variable that holds the system"
            raise _refusal(Position(file), "E243", f"module '{name}' has no '{attribute}'", hint)
        found = getattr(found, part)
    lines = _lines(module)
    position = Position(file, _line_of(attribute, lines))
    harness = _made(found, target, position)
    return _checked(target, harness, position, lines)


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


def _checked(target: str, harness: SystemExecutionHarness, at: Position, lines: list[str]) -> Loaded:
    """Find what keeps the system from running, and what is probably not meant."""
    complaints = Complaints(lines)
    for error in harness.wiring.problems():
        complaints.error(at, error.code, error.message, error.hint)
    for endpoint in harness.wiring.unconnected_outputs():
        message = f"output '{endpoint}' is not connected: its messages are counted and discarded"
        complaints.warning(at, "W301", message, "connect it, or declare it `Out[...] | None`")
    blocking = [c for c in harness.wiring.connections.values() if c.options.when_full == "block"]
    links = [(c.sender.component, c.receiver.component) for c in blocking]
    for cycle in Topology.of(harness.components, links).cycles:
        message = f"the cycle of {', '.join(cycle)} can block: it stands still when all its edges are full"
        hint = "give one of its edges when_full='drop_oldest', or all of them room for what is under way"
        complaints.warning(at, "W302", message, hint)
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


__all__ = ["Loaded", "load_target"]
