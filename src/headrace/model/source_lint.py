"""Warnings of what goes wrong in components and no type checker sees: text in, findings out.

Only what is certain is told: a name that could mean something else, or a function that may run in a thread,
is passed over in silence. ``# noqa: W310`` or ``# headrace: ignore[W310]`` on its line silences a finding.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .source_cancellation import find_swallowing
from .source_facts import ASYNCIO_ONLY, BLOCKING, COROUTINES, DETACHING
from .source_names import (
    PORT,
    STREAM_TABLES,
    ClassScope,
    FunctionScope,
    Scope,
    SourceNames,
    function_of,
    own_nodes,
    path_of,
)

_CONTRACT = ("setup", "process", "cleanup", "health_check")
_DYNAMIC = frozenset({"getattr", "setattr", "hasattr", "delattr", "vars", "dir"})
_PORT_COROUTINES = frozenset({f"{PORT}.{name}" for name in ("send", "receive", "aclose")})
_SILENCER = re.compile(
    r"#\s*noqa(?![\w:])|#\s*noqa:\s*(?P<noqa>[\w, ]+)|#\s*headrace:\s*ignore(?:\[(?P<ours>[\w, ]+)\])?",
    re.IGNORECASE,
)
_LONGEST = 40


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something in a source that is legal but probably not meant.

    Attributes:
        line: Its line, from 1.
        column: Its column, from 1, in characters.
        code: ``W310`` to ``W314``.
        message: What is wrong.
        hint: What to do about it.
    """

    line: int
    column: int
    code: str
    message: str
    hint: str


class SourceLint:
    """Looks for mistakes in the components of one module.

    Args:
        text: The module's source.

    Raises:
        SyntaxError: It is no Python.
    """

    def __init__(self, text: str) -> None:
        self._names = SourceNames(text)

    def lint_function(self, line: int) -> list[Finding]:
        """Look at the function of a function component, and at what it calls in this module.

        Args:
            line: Its first line, that of its first decorator if it has any.
        """
        scope = self._names.functions.get(line)
        return [] if scope is None else self._sifted(_Walk(self._names).run([scope]))

    def lint_class(self, lines: Iterable[int], *, ports: Collection[str] = ()) -> list[Finding]:
        """Look at the coroutine methods of a component's class, and at what they call in this module.

        Args:
            lines: First lines of methods of the class.
            ports: Attributes that hold a port, besides those that the source declares.
        """
        classes = self._classes_at(lines)
        found: set[Finding] = set()
        for cls in classes:
            cls.inherited_ports = frozenset(ports)
            roots = [method for method in cls.methods.values() if method.is_async]
            if "__init__" in cls.methods:
                roots.append(cls.methods["__init__"])
            found |= _Walk(self._names).run(roots)
        return self._sifted(found)

    def use_of_ports(self, name: str, lines: Iterable[int] = ()) -> PortUse | None:
        """Return how a class uses its ports; None where it is not found, or not for certain.

        Args:
            name: The class's name.
            lines: First lines of its methods, as far as it has any.
        """
        classes = self._classes_at(lines) or self._names.classes.get(name, [])
        return _port_use(classes[0]) if len(classes) == 1 else None

    def unused_ports(self, used: Collection[str], name: str, lines: Iterable[int] = ()) -> list[Finding]:
        """Return the ports that a class declares and nobody uses.

        Args:
            used: The attributes and ports that the class or one of its bases uses.
            name: The class's name.
            lines: First lines of its methods, as far as it has any.
        """
        classes = self._classes_at(lines) or self._names.classes.get(name, [])
        found = set[Finding]()
        for attribute, item in classes[0].ports.items() if len(classes) == 1 else ():
            if attribute not in used and attribute.rstrip("_") not in used:
                port, written = attribute.rstrip("_"), ast.unparse(item.annotation)
                way = "read" if re.search(r"\bIn\b", written) else "used"
                message = f"port '{port}' of {name} is declared, but never {way}"
                hint = f"use self.{attribute}, or delete its declaration"
                column = self._names.character(item)
                found.add(Finding(item.lineno, column, "W314", message, hint))
        return self._sifted(found)

    def _classes_at(self, lines: Iterable[int]) -> list[ClassScope]:
        scopes = [self._names.functions.get(line) for line in lines]
        classes = {
            id(scope.cls): scope.cls for scope in scopes if scope is not None and scope.cls is not None
        }
        return list(classes.values())

    def _sifted(self, found: Iterable[Finding]) -> list[Finding]:
        return sorted(one for one in found if not self._is_silenced(one))

    def _is_silenced(self, finding: Finding) -> bool:
        line = self._names.lines[finding.line - 1]
        for match in _SILENCER.finditer(line):
            codes = match["noqa"] or match["ours"]
            if codes is None or finding.code in codes.upper().replace(",", " ").split():
                return True
        return False


@dataclass(frozen=True, slots=True)
class PortUse:
    """How a class uses its ports.

    Attributes:
        names: The attributes of ``self`` that it mentions, and the keys of its tables of streams.
        is_certain: Whether there is no other way to a port in it: no ``getattr``, no ``self`` passed on, no
            ``process()`` that is not written yet.
        has_streams: Whether it mentions its tables of streams.
    """

    names: frozenset[str]
    is_certain: bool
    has_streams: bool


def _port_use(cls: ClassScope) -> PortUse:
    selves = {method.self_name for method in cls.methods.values()}
    names, tables = set[str](), 0
    open_ends = 0  # each mention of self and of a table opens one; what is understood closes it
    for node in ast.walk(cls.node):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            open_ends += (node.id in selves) + (node.id in _DYNAMIC)
        elif isinstance(node, ast.Attribute) and _is_self(node.value, selves):
            names.add(node.attr)
            is_table = node.attr in STREAM_TABLES
            tables += is_table
            open_ends += is_table - 1 + (node.attr == "__dict__")
        else:
            key = _stream_key(node, selves)
            if key is not None:
                names.add(key)
                open_ends -= 1
    process = cls.methods.get("process")
    is_stub = process is not None and all(_is_nothing(statement) for statement in process.node.body)
    return PortUse(frozenset(names), not open_ends and not is_stub, bool(tables))


def _is_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is ``pass``, ``...`` or a docstring."""
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant or isinstance(statement, ast.Pass)


def _is_self(node: ast.AST, selves: Collection[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in selves


def _stream_key(node: ast.AST, selves: Collection[str]) -> str | None:
    """Return ``x`` of ``self.send_streams["x"]`` or ``self.send_streams.get("x")``."""
    if isinstance(node, ast.Subscript):
        table, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        if not node.args:
            return None
        table, key = node.func.value, node.args[0]
    else:
        return None
    if not (
        isinstance(table, ast.Attribute) and table.attr in STREAM_TABLES and _is_self(table.value, selves)
    ):
        return None
    return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None


class _Walk:
    """One walk through functions and what they call."""

    def __init__(self, names: SourceNames) -> None:
        self._names = names
        self._found: set[Finding] = set()
        self._root = ""
        self._is_plain = False

    def run(self, roots: Sequence[FunctionScope]) -> set[Finding]:
        todo = [(root, root) for root in roots]
        seen = {id(root) for root in roots}
        while todo:
            scope, root = todo.pop()
            self._root, self._is_plain = root.name, not root.is_async
            for inner in self._look_at(scope):
                if id(inner) not in seen:
                    seen.add(id(inner))
                    todo.append((inner, root))
        return self._found

    def _look_at(self, scope: FunctionScope) -> Iterator[FunctionScope]:
        """Check one function; yield those that it calls, and the coroutines that it mentions."""
        marked: set[int] = set()  # what is called, and what is awaited
        for node in own_nodes(scope.node):
            if isinstance(node, ast.Await):
                marked.add(id(node.value))
            elif isinstance(node, ast.Call):
                marked.add(id(node.func))
                self._check_call(node, scope, is_awaited=id(node) in marked)
            elif isinstance(node, ast.Expr):
                self._check_statement(node, scope)
            else:
                inner = function_of(node, scope)
                if inner is not None and (inner.is_async or (id(node) in marked and inner.runs_where_called)):
                    yield inner
        self._check_handlers(scope)

    def _check_handlers(self, scope: FunctionScope) -> None:
        if scope.is_async:
            for node, message, hint in find_swallowing(scope):
                self._tell(node, "W313", message, hint)

    def _tell(self, node: ast.AST, code: str, message: str, hint: str) -> None:
        line: int = getattr(node, "lineno", 1)
        self._found.add(Finding(line, self._names.character(node), code, message, hint))

    # --- calls -----------------------------------------------------------------------------------

    def _check_call(self, call: ast.Call, scope: FunctionScope, *, is_awaited: bool) -> None:
        path = path_of(call.func, scope)
        if path in BLOCKING and self._root != "__init__" and not is_awaited and not _is_brief(path, call):
            self._tell_of_blocking(call, path, scope)
        elif path in DETACHING:
            message = f"{_shown(call, path)} starts a task that the system neither waits for nor cancels"
            hint = "write 'self.context.spawn(fn, *args)', or use 'anyio.create_task_group()'"
            self._tell(call, "W312", message, hint)
        elif path in ASYNCIO_ONLY:
            self._tell(call, "W312", f"{_shown(call, path)} works on asyncio only", ASYNCIO_ONLY[path])

    def _tell_of_blocking(self, call: ast.Call, path: str, scope: FunctionScope) -> None:
        shown = _shown(call, path)
        is_helper = scope.name != self._root
        by = f" ({scope.name}() is called from {self._root}())" if is_helper else ""
        if self._is_plain:
            message = f"{shown} in a plain function holds the event loop{by}: all components stand still"
            hint = f"make {self._root}() an 'async def', and {BLOCKING[path]}"
        else:
            message = f"{shown} blocks the event loop{by}: all components stand still"
            in_thread = f"call {scope.name}() in a thread: 'await anyio.to_thread.run_sync(...)'"
            hint = BLOCKING[path] if scope.is_async else in_thread
        self._tell(call, "W310", message, hint)

    # --- forgotten awaits ------------------------------------------------------------------------

    def _check_statement(self, statement: ast.Expr, scope: FunctionScope) -> None:
        call = statement.value
        if not isinstance(call, ast.Call) or not _is_coroutine(call, scope):
            return
        written = _shown(call, path_of(call.func, scope))
        if scope.is_async:
            hint = f"write 'await {written}'"
        else:
            hint = f"make {scope.name}() an 'async def', and write 'await {written}'"
        self._tell(call, "W311", f"{written} is not awaited, so it does nothing", hint)


def _is_coroutine(call: ast.Call, scope: FunctionScope) -> bool:
    path = path_of(call.func, scope)
    if path in COROUTINES or path in _PORT_COROUTINES:
        return True
    if _is_super_contract(call.func, scope):
        return True
    called = function_of(call.func, scope)
    return called is not None and called.is_coroutine


def _is_super_contract(func: ast.expr, scope: Scope) -> bool:
    """Whether it is ``super().setup`` or the like, in a method of that name that is a coroutine itself."""
    if not (isinstance(func, ast.Attribute) and func.attr in _CONTRACT and isinstance(func.value, ast.Call)):
        return False
    in_same = isinstance(scope, FunctionScope) and scope.is_async and scope.name == func.attr
    return in_same and path_of(func.value.func, scope) == "builtins.super"


def _is_brief(path: str, call: ast.Call) -> bool:
    """Whether a call surely does not wait: ``time.sleep(0)``, ``q.get(False)``, ``connect(":memory:")``."""
    values = [argument.value for argument in call.args[:1] if isinstance(argument, ast.Constant)]
    values += [
        keyword.value.value
        for keyword in call.keywords
        if keyword.arg in ("block", "blocking", "timeout") and isinstance(keyword.value, ast.Constant)
    ]
    if path == "sqlite3.connect":
        return ":memory:" in values
    return any(value is not None and value == 0 for value in values)


def _shown(call: ast.Call, path: str) -> str:
    """Return a call as it is written, short, with its full name where an alias hides it."""
    written = " ".join(ast.unparse(call.func).split())
    full = path.replace("()", "").removeprefix("builtins.")
    if len(written) > _LONGEST:
        return f"{full or '...' + written[-_LONGEST:]}(...)"
    hidden = full and PORT not in full and full.rpartition(".")[2] != written.rpartition(".")[2]
    return f"{written}(...)" if not hidden else f"{written}(...), which is {full},"


__all__ = ["Finding", "PortUse", "SourceLint"]
