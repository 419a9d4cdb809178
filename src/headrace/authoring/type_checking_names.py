"""Names that a module imports under ``if TYPE_CHECKING:``, found without importing anything.

A port may be typed with them all the same: the module they come from has mostly been imported by others.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import resolve_name
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class TypeCheckingNames:
    """The names that a module imports for type checkers alone.

    Attributes:
        sources: The module that each comes from.
        attributes: What it is called there; empty where it is the module itself.
    """

    sources: MappingProxyType[str, str]
    attributes: MappingProxyType[str, str]

    def found(self) -> dict[str, Any]:
        """Return the names whose modules others have imported by now, with what they are."""
        known: dict[str, Any] = {}
        for name, source in self.sources.items():
            attribute = self.attributes[name]
            module = sys.modules.get(source)
            if module is not None and hasattr(module, attribute or "__name__"):
                known[name] = getattr(module, attribute) if attribute else module
        return known


@cache
def names_for_type_checkers(module: str) -> TypeCheckingNames:
    """Return what the source of a module imports under ``if TYPE_CHECKING:``; nothing where it has none."""
    sources: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for name, source, attribute in _imports(module):
        sources[name], attributes[name] = source, attribute
    return TypeCheckingNames(MappingProxyType(sources), MappingProxyType(attributes))


def _imports(module: str) -> Iterator[tuple[str, str, str]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):  # built in, typed at a prompt, or gone
        return
    package = getattr(sys.modules[module], "__package__", None) or ""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.body:
                yield from _names(statement, package)


def _names(statement: ast.stmt, package: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name, "") if alias.asname else (top, top, "")
    elif isinstance(statement, ast.ImportFrom):
        text = "." * statement.level + (statement.module or "")
        try:
            source = resolve_name(text, package)
        except ImportError:  # beyond its package
            return
        for alias in statement.names:
            yield alias.asname or alias.name, source, alias.name


__all__ = ["TypeCheckingNames", "names_for_type_checkers"]
