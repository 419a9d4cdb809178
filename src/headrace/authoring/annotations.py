"""Annotations as types, one by one: a name that only a type checker sees must not hide all the others.

Names are looked up where Python would: in the module, in the functions around, and, where a type checker alone
imports them, in the modules that others have imported. What is still unknown is ``Any``, and is told.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType, SimpleNamespace
from typing import Any, get_type_hints

from .type_checking_names import names_for_type_checkers

_LOCALS = ".<locals>."


@dataclass(slots=True)
class Hints:
    """The annotations of a class or a function.

    Attributes:
        types: What they say, by name.
        unresolved: The names in them that nothing is known of, by name of what is annotated.
        scope: The function that the class or function is local to; empty at module level.
        imported: The modules from which type checkers alone import names, by name.
    """

    types: dict[str, Any] = field(default_factory=dict)
    unresolved: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scope: str = ""
    imported: Mapping[str, str] = field(default_factory=dict)

    def unchecked(self, ports: Mapping[str, str]) -> tuple[str, ...]:
        """Return a sentence for each port whose type is not known.

        Args:
            ports: The name of the port by the name of what is annotated.
        """
        return tuple(
            f"the type '{name}' of port '{ports[annotated]}' cannot be resolved ({why}); it is not checked. {mend}"
            for annotated, names in self.unresolved.items()
            if annotated in ports
            for name in names
            for why, mend in [self._excuse(name)]
        )

    def _excuse(self, name: str) -> tuple[str, str]:
        """Return why a name cannot be resolved, and what to do."""
        if name in self.imported:
            return f"only type checkers import it, from {self.imported[name]}", "Import it at run time too"
        if self.scope:
            return f"it is local to {self.scope}()", "Define it at module level"
        return "nothing of that name is there at run time", "Define or import it at module level"


def hints_of_class(cls: type, fallback: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class and its bases, resolved; the most derived one counts.

    Args:
        cls: The class.
        fallback: Names that are known even where only a type checker imports them.
    """
    found: dict[str, Any] = {}
    for hints in read_class(cls, fallback):
        found.update(hints.types)
    return found


def hints_of_function(fn: Any) -> dict[str, Any]:
    """Return the annotations of a function, resolved, ``Annotated`` kept."""
    return read_function(fn).types


def read_class(cls: type, fallback: Mapping[str, Any]) -> Iterator[Hints]:
    """Yield the annotations of each base of a class and of itself, the most derived one last."""
    for base in reversed(cls.__mro__):
        annotations = inspect.get_annotations(base)
        if annotations:
            names = _Names(base.__module__, base.__qualname__, vars(base), fallback)
            names.add_closures(base)
            yield names.read(annotations)


def read_function(fn: Any) -> Hints:
    """Return the annotations of a function, and what is unknown in them."""
    names = _Names(getattr(fn, "__module__", ""), getattr(fn, "__qualname__", ""), {}, {})
    names.known = getattr(fn, "__globals__", names.known)
    names.add_cells(fn)
    return names.read(getattr(fn, "__annotations__", {}))


class _Names:
    """Where the names in annotations are looked up."""

    def __init__(
        self, module: str, qualname: str, inner: Mapping[str, Any], fallback: Mapping[str, Any]
    ) -> None:
        self.known = vars(sys.modules[module]) if module in sys.modules else {}
        self.module = module
        self.scope = qualname.rpartition(_LOCALS)[0]
        self.around: dict[str, Any] = _names_around(module, self.scope) if self.scope else {}
        self.inner = inner
        self.fallback = fallback

    def add_cells(self, fn: Any) -> None:
        """Know what a function has kept of the functions around it."""
        code = getattr(fn, "__code__", None)
        for name, cell in zip(
            getattr(code, "co_freevars", ()), getattr(fn, "__closure__", ()) or (), strict=False
        ):
            try:
                self.around.setdefault(name, cell.cell_contents)
            except ValueError:  # not assigned yet
                continue

    def add_closures(self, cls: type) -> None:
        """Know what the methods of a class have kept of the functions around it."""
        if self.scope:
            for value in vars(cls).values():
                self.add_cells(inspect.unwrap(value) if callable(value) else value)

    def read(self, annotations: Mapping[str, Any]) -> Hints:
        """Return annotations as types, with the names that are nowhere."""
        hints = Hints(scope=self.scope.replace(_LOCALS, "."))
        for name, annotation in annotations.items():
            hints.types[name], unknown = self._resolve(annotation)
            if unknown:
                hints.unresolved[name] = unknown
        if hints.unresolved:
            hints.imported = names_for_type_checkers(self.module).sources
        return hints

    def _resolve(self, annotation: Any) -> tuple[Any, tuple[str, ...]]:
        """Return an annotation as a type, and the names in it that are nowhere."""
        inner = {**self.around, **self.inner}
        try:
            return _evaluate(annotation, self.known, inner), ()
        except Exception:  # whatever an expression can raise; type checkers may know more names
            typed_only = names_for_type_checkers(self.module).found()
        names = {**typed_only, **self.fallback, **self.known, **inner}
        try:
            return _evaluate(annotation, names, {}), ()
        except Exception as error:  # read it with Any for what is unknown here
            first = (error.name or "",) if isinstance(error, NameError) else ()
        if not isinstance(annotation, str):
            return annotation, first
        read, missing = _resolve_leniently(annotation, _Lenient({**vars(builtins), **names}))
        return read, missing or first


def _evaluate(annotation: Any, names: dict[str, Any], inner: Mapping[str, Any]) -> Any:
    holder = SimpleNamespace(__annotations__={"it": annotation})
    return get_type_hints(holder, names, inner, include_extras=True)["it"]


def _resolve_leniently(annotation: str, names: _Lenient) -> tuple[Any, tuple[str, ...]]:
    try:
        read = eval(annotation, {}, names)
    except Exception:  # not even so; it is nothing that we could check
        return Any, ()
    return read, tuple(dict.fromkeys(names.missing))


def _names_around(module: str, scope: str) -> dict[str, Any]:
    """Return the names in the functions around a definition, as far as those are still at work."""
    wanted = set(_scopes(scope))
    found: dict[str, Any] = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and wanted:
        name = frame.f_code.co_qualname
        if name in wanted and frame.f_globals.get("__name__") == module:
            wanted.discard(name)
            found = {**frame.f_locals, **found}
        frame = frame.f_back
    return found


def _scopes(scope: str) -> Iterator[str]:
    """Yield the qualified names of the functions around, the innermost first."""
    while scope:
        yield scope
        scope = scope.rpartition(_LOCALS)[0]


class _Lenient(dict[str, Any]):
    """Names, where an unknown one is ``Any``, and so is what hangs on it."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        super().__init__(names)
        self.missing: list[str] = []

    def __missing__(self, name: str) -> Any:
        self.missing.append(name)
        return _Unknown()


class _Unknown:
    """Stands for a name known to type checkers only; ``pkg.Thing[int]`` hangs together as one unknown."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, item: object) -> Any:
        return self

    def __or__(self, other: object) -> Any:
        return self

    __ror__ = __or__

    def __repr__(self) -> str:
        return "Any"


__all__ = ["Hints", "hints_of_class", "hints_of_function", "read_class", "read_function"]
