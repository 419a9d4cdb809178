"""From components to their sources: what `source_lint` finds in them, at its place in the user's own files.

Only the user's own files are looked at; what was typed in or is implemented in C has none, and no warnings.
"""

from __future__ import annotations

import inspect
import linecache
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from headrace.authoring.function_component import FunctionComponent
from headrace.authoring.function_signature import underlying
from headrace.authoring.ports import ports_of
from headrace.model.blueprint import Position, Problem
from headrace.model.source_lint import Finding, PortUse, SourceLint

from .own_files import is_own, short
from .working_away import run_in_of

_NEUTRAL = ("builtins.", "typing.", "abc.", "headrace.authoring.")  # bases that use nobody's ports
_STREAMLESS = PortUse(frozenset(), True, False)


@dataclass(frozen=True, slots=True)
class _ClassSource:
    """A class in its file, found by the lines of its methods."""

    cls: type
    file: str
    lines: tuple[int, ...]


class SourceReader:
    """Reads each file, and looks at each class and function, once."""

    def __init__(self) -> None:
        self._files: dict[str, SourceLint | None] = {}
        self._found: dict[object, tuple[Problem, ...]] = {}

    def warnings_of(self, component: Any) -> tuple[Problem, ...]:
        """Return what is probably not meant in a component's source."""
        is_function = isinstance(component, FunctionComponent)
        code = _code_of(underlying(component.function.fn)) if is_function else None
        away = run_in_of(component) != "loop"
        key = type(component) if code is None else (code.co_filename, code.co_firstlineno, away)
        if key not in self._found:
            found = self._of_class(component) if code is None else self._of_function(code, away=away)
            self._found[key] = tuple(found)
        return self._found[key]

    def needs_streams(self, component: Any) -> bool:
        """Return whether a component may work with streams; one that never mentions any does not."""
        ports = ports_of(component)
        if ports.inputs is not None or ports.outputs is not None:
            return True
        use = self._port_use(_classes_of(type(component)))
        return use is None or not use.is_certain or use.has_streams

    # --- functions and classes -------------------------------------------------------------------

    def _of_function(self, code: CodeType, *, away: bool) -> Iterator[Problem]:
        """Look at a function; what works away from the event loop may block."""
        lint = self._own(code.co_filename)
        if lint is not None:
            found = lint.lint_function(code.co_firstlineno)
            yield from _problems(code.co_filename, (one for one in found if not away or one.code != "W310"))

    def _of_class(self, component: Any) -> Iterator[Problem]:
        table = ports_of(component)
        declared = [*(table.inputs or {}).values(), *(table.outputs or {}).values()]
        attributes = {port.attribute for port in declared if port.attribute}
        classes = _classes_of(type(component))
        is_whole = any("process" in vars(one.cls) for one in classes)
        use = self._port_use(classes) if attributes and is_whole else None
        for one in classes:
            lint = self._own(one.file)
            if lint is None:
                continue
            yield from _problems(one.file, lint.lint_class(one.lines, ports=attributes))
            if use is not None and use.is_certain:
                found = lint.unused_ports(use.names, one.cls.__name__, one.lines)
                yield from _problems(one.file, found)

    def _port_use(self, classes: Iterable[_ClassSource]) -> PortUse | None:
        """Return how a class and its bases use their ports; None where a source is missing."""
        total = _STREAMLESS
        for one in classes:
            lint = self._lint(one.file)
            use = None if lint is None else lint.use_of_ports(one.cls.__name__, one.lines)
            if use is None:
                return None
            total = PortUse(
                total.names | use.names,
                total.is_certain and use.is_certain,
                total.has_streams or use.has_streams,
            )
        return total

    # --- files -----------------------------------------------------------------------------------

    def _own(self, file: str) -> SourceLint | None:
        return self._lint(file) if is_own(file) else None

    def _lint(self, file: str) -> SourceLint | None:
        if file not in self._files:
            linecache.checkcache(file)
            text = "".join(linecache.getlines(file))
            try:
                self._files[file] = SourceLint(text) if text else None
            except SyntaxError:  # changed since it was imported
                self._files[file] = None
        return self._files[file]


def line_at(position: Position) -> str:
    """Return the line of a file at a place, for an excerpt; nothing where there is none."""
    linecache.checkcache(position.file)
    return linecache.getline(position.file, position.line).rstrip("\r\n")


def _problems(file: str, found: Iterable[Finding]) -> Iterator[Problem]:
    name = short(file)
    for one in found:
        source = linecache.getline(file, one.line).rstrip("\r\n")
        yield Problem(
            Position(name, one.line, one.column), "warning", one.code, one.message, one.hint, source
        )


def _classes_of(cls: type) -> list[_ClassSource]:
    """Return the class and its bases, those left out that know nothing of anybody's ports."""
    bases = [one for one in cls.__mro__ if not f"{one.__module__}.".startswith(_NEUTRAL)]
    return [_class_source(one) for one in bases]


def _class_source(cls: type) -> _ClassSource:
    start = f"{cls.__qualname__}."
    codes = [code for code in map(_code_of, vars(cls).values()) if code is not None]
    codes = [code for code in codes if code.co_qualname.startswith(start)]
    if codes:
        file = codes[0].co_filename
        return _ClassSource(cls, file, tuple(c.co_firstlineno for c in codes if c.co_filename == file))
    return _ClassSource(cls, getattr(sys.modules.get(cls.__module__), "__file__", None) or "", ())


def _code_of(member: Any) -> CodeType | None:
    """Return the code of a function, of the one that it wraps, or of the one that a method holds."""
    member = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
    if not inspect.isfunction(member):
        return None
    try:
        code = getattr(inspect.unwrap(member), "__code__", None)
    except ValueError:  # it wraps itself
        return None
    return code if isinstance(code, CodeType) else None


__all__ = ["SourceReader", "line_at"]
