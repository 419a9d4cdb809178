"""What was probably meant by a TARGET that names no system: told without importing anything of the user's."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

from headrace.authoring.function_component import ComponentFunction
from headrace.runtime.system_execution_harness import SystemExecutionHarness

_SYSTEMS = frozenset({"System", "SystemExecutionHarness"})
_HAS_SYSTEM = re.compile(r"^(system|'system'|\"system\")\s*:", re.MULTILINE)
_BEGINNING = 1 << 20


def python_target(target: str) -> tuple[str, str] | None:
    """Return what is wrong with a target that names a Python file or a module alone, and what to write instead.

    Args:
        target: As typed, such as ``pipe.py``, ``src/pipe.py:system`` or ``app``.
    """
    path, _, attribute = target.partition(":")
    if path.endswith(".py") and os.path.isfile(path):
        what, file = f"'{path}' is a Python file, not a module", Path(path)
    elif not attribute and ":" not in target and (found := _module_file(target)) is not None:
        what, file = f"'{target}' is a module: it does not say which system", found
    else:
        return None
    module = _module_name(file)
    if not module:
        return what, "write MODULE:NAME, from a folder where MODULE can be imported"
    names = [attribute] if attribute else systems_in(file)
    if len(names) > 1:
        return what, f"write one of {', '.join(f'{module}:{name}' for name in names)}"
    return what, f"write {module}:{names[0] if names else 'NAME, the variable that holds the system'}"


def _module_file(name: str) -> Path | None:
    path = Path(*name.split(".")) if all(part.isidentifier() for part in name.split(".")) else None
    if path is None or os.path.isfile(path):
        return None
    files = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((file for file in files if os.path.isfile(file)), None)


def _module_name(file: Path) -> str:
    """Return how a file below the current folder is imported; nothing where it cannot be."""
    try:
        parts = list(file.resolve().relative_to(Path.cwd().resolve()).with_suffix("").parts)
    except ValueError:
        return ""
    if parts[-1] == "__init__":
        del parts[-1]
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else ""


def systems_in(file: Path) -> list[str]:
    """Return the names in a Python file that hold a system, or make one."""
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    return [name for statement in statements for name in _systems_of(statement)]


def _systems_of(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign) and _is_system(statement.value):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and _is_system(statement.value):
        return [statement.target.id] if isinstance(statement.target, ast.Name) else []
    if isinstance(statement, ast.FunctionDef) and _name_of(statement.returns) in _SYSTEMS:
        return [statement.name]
    return []


def _is_system(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and _name_of(value.func) in _SYSTEMS


def _name_of(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rpartition(".")[2]
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def component_hint(found: Any, module: Any, target: str) -> tuple[str, str] | None:
    """Return what is wrong where a component was named in place of a system, and what to do."""
    if isinstance(found, SystemExecutionHarness):
        return None
    is_class = isinstance(found, type)
    shape = all(callable(getattr(found, name, None)) for name in ("setup", "process", "cleanup"))
    if not (isinstance(found, ComponentFunction) or shape):
        return None
    name = target.partition(":")[0]
    systems = [key for key, value in vars(module).items() if isinstance(value, SystemExecutionHarness)]
    own = target.partition(":")[2]
    if systems:
        hint = f"write {' or '.join(f'{name}:{system}' for system in systems)}"
    else:
        hint = f"put it into one: system = System('{name}'); system.add('{own.lower()}', {own})"
    return f"'{target}' is a component{' class' if is_class else ''}, not a system", hint


def blueprints_here() -> list[str]:
    """Return the YAML files of the current folder that hold a system, sorted."""
    files = (path for path in Path().iterdir() if path.suffix in (".yaml", ".yml"))
    return sorted(path.name for path in files if _holds_system(path))


def _holds_system(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return _HAS_SYSTEM.search(file.read(_BEGINNING).decode("utf-8-sig", "replace")) is not None
    except OSError:
        return False


__all__ = ["blueprints_here", "component_hint", "python_target", "systems_in"]
