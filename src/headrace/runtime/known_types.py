"""Which component types there are, with their settings: those installed, and those of a user's own modules.

A module is imported only if a blueprint names it or the user does, or if it does nothing but define components.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from headrace.authoring.function_component import ComponentFunction
from headrace.exceptions import ComponentTypeError
from headrace.model.settings_schema import KnownType

from .registry import Registry, component_types
from .resource_use import settings_of
from .type_names import settings_type_of

_METHODS = ("setup", "process", "cleanup")
_TYPE = re.compile(r"(?<![\w.:/])([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)(?![\w:/])")
_DEFINITIONS = (
    *(
        ast.Import,
        ast.ImportFrom,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Assign,
        ast.AnnAssign,
    ),
    *(ast.If, ast.Pass),
)


class KnownTypes:
    """Collects component types.

    Args:
        directories: The folders whose modules may be used.
        allow: Packages that may be used besides.

    Attributes:
        notes: What was left out, and why.
    """

    def __init__(self, directories: Iterable[str | os.PathLike[str]] = (), allow: Iterable[str] = ()) -> None:
        self.directories = tuple(Path(directory).absolute() for directory in directories)
        self.registry = Registry(allow=allow)
        for directory in reversed(self.directories):
            self.registry = Registry(directory, outer=self.registry)
        self.notes: list[str] = []
        self._found: dict[str, KnownType] = {}
        self._resources: dict[str, KnownType] = {}

    @property
    def types(self) -> tuple[KnownType, ...]:
        """What was found, by name."""
        return tuple(self._found[name] for name in sorted(self._found))

    @property
    def resources(self) -> tuple[KnownType, ...]:
        """What was found that may open a resource, by name."""
        return tuple(self._resources[name] for name in sorted(self._resources))

    def add_installed(self) -> None:
        """Take the types of all installed packages; of one that cannot be imported, only the name."""
        for name in component_types():
            self._found.setdefault(name, KnownType(name))
            self._add(name)

    def add_named(self, text: str) -> None:
        """Take what the text of a blueprint names as ``module:name``, and what else is in those modules."""
        modules: dict[str, None] = {}
        for module, name in dict.fromkeys(_TYPE.findall(text)):
            if self._may_import(module):
                modules.setdefault(module)
                self._add(f"{module}:{name}", is_meant=False)
        for module in modules:
            self.add_module(module)

    def add_module(self, name: str) -> bool:
        """Take the components of a module; returns whether it could be imported."""
        try:
            self.registry.resolve(f"{name}:__name__")
        except ComponentTypeError as error:
            self.notes.append(f"module '{name}' is left out: {error}")
            return False
        for attribute in _component_names(sys.modules[name]):
            self._add(f"{name}:{attribute}")
        return True

    def add_beside(self) -> None:
        """Take the components of the modules in the folders that do nothing but define them."""
        for directory in self.directories:
            for path in sorted(directory.glob("*.py")):
                if path.stem.isidentifier() and _only_defines_components(path):
                    self.add_module(path.stem)

    def _may_import(self, module: str) -> bool:
        top = module.partition(".")[0]
        beside = any((d / f"{top}.py").exists() or (d / top).is_dir() for d in self.directories)
        return beside or any(
            module == p or module.startswith(f"{p}.") for p in (*self.registry.allow, "headrace")
        )

    def _add(self, name: str, *, is_meant: bool = True) -> None:
        try:
            target = self.registry.resolve(name)
        except ComponentTypeError as error:
            if is_meant:
                self.notes.append(f"type '{name}' is left out: {error}")
            return
        if is_meant or _is_component(target) or inspect.isroutine(target):
            self._found[name] = known_type(name, target)
        if callable(target) and not is_meant:
            self._resources[name] = KnownType(
                name,
                about=_about(target),
                settings=settings_of(target),
                documentation=inspect.getdoc(target) or "",
                is_offered=not _is_component(target),
            )


def known_type(name: str, target: Any) -> KnownType:
    """Return what the schema says of a class or function.

    Args:
        name: The name by which a blueprint names it.
        target: The class or function.
    """
    return KnownType(
        name,
        about=_about(target),
        settings=settings_type_of(target),
        takes_attempts=not isinstance(target, type),
        documentation=inspect.getdoc(target) or "",
    )


def _about(target: Any) -> str:
    return (inspect.getdoc(target) or "").partition("\n")[0].replace("``", "`")


def _component_names(module: ModuleType) -> Iterator[str]:
    """Yield the names of the components that a module defines or offers."""
    offered = tuple(getattr(module, "__all__", ()))
    for name in dict.fromkeys((*vars(module), *offered)):
        value = getattr(module, name, None)
        if _is_component(value) and not name.startswith("_"):
            inner = value.fn if isinstance(value, ComponentFunction) else value
            if name in offered or getattr(inner, "__module__", None) == module.__name__:
                yield name


def _is_component(value: object) -> bool:
    if isinstance(value, ComponentFunction):
        return True
    return isinstance(value, type) and all(callable(getattr(value, method, None)) for method in _METHODS)


def _only_defines_components(path: Path) -> bool:
    """Whether a file has nothing but definitions in it, and its components come from headrace."""
    try:
        statements = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return False
    kinds = [statement for statement in statements if not _is_docstring(statement)]
    if not all(isinstance(statement, _DEFINITIONS) for statement in kinds):
        return False
    imported = [node.module or "" for node in kinds if isinstance(node, ast.ImportFrom)]
    return any(module.partition(".")[0] == "headrace" for module in imported)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


__all__ = ["KnownTypes", "known_type"]
