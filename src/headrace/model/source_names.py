"""What the names in a Python source stand for: imports, aliases, ports, functions and attributes.

Read from the syntax tree alone; a name that is bound in two ways stands for nothing, so that whoever asks
never hears a guess. Nothing here recurses with the depth of the source.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

PORT = "<port>"
PORTS = "<ports>"
STREAM_TABLES = ("send_streams", "receive_streams")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_INNER = (*_FUNCTIONS, ast.Lambda, ast.ClassDef)
_DEPTH = 12
_LINE_END = re.compile("\r\n|\r|\n")
_DOTTED = re.compile(r"[\w.]*")
_PORT_TYPES = frozenset({"In", "Out"})
_STREAM_TYPES = _PORT_TYPES | {
    f"{kind}Object{way}Stream" for kind in ("", "Memory") for way in ("Send", "Receive", "")
}
_WRAPPERS = frozenset({"Annotated", "Optional"})
_TRANSPARENT = frozenset({"staticmethod", "classmethod", "property", "override", "final", "component"})


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a body in the order of the source; of what is defined within, only its head."""
    todo = list(reversed(getattr(scope, "body", ())))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _INNER):
            todo.extend(reversed(list(ast.iter_child_nodes(node))))


class ClassScope:
    """A class in a source.

    Args:
        node: Its definition.

    Attributes:
        methods: Its own methods, by name.
        ports: The annotations of its own declared ports, by attribute.
        attributes: What its methods give to its attributes; None for what cannot be followed.
    """

    def __init__(self, node: ast.ClassDef) -> None:
        self.node = node
        self.methods: dict[str, FunctionScope] = {}
        self.attributes: dict[str, list[tuple[FunctionScope, ast.expr | None]]] = {}
        self.ports: dict[str, ast.AnnAssign] = {
            item.target.id: item
            for item in node.body
            if isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and _type_name(item.annotation) in _PORT_TYPES
        }
        self.bases: list[ClassScope] = []
        self.inherited_ports: frozenset[str] = frozenset()

    def family(self) -> Iterator[ClassScope]:
        """Yield the class and its bases in the same module."""
        todo, seen = [self], set[int]()
        while todo:
            one = todo.pop(0)
            if id(one) not in seen:
                seen.add(id(one))
                yield one
                todo.extend(one.bases)

    def method(self, name: str) -> FunctionScope | None:
        """Return a method of the class or of a base in the same module."""
        return next((one.methods[name] for one in self.family() if name in one.methods), None)

    def has_port(self, attribute: str) -> bool:
        """Return whether an attribute is a declared port."""
        return any(attribute in one.ports or attribute in one.inherited_ports for one in self.family())


class Scope:
    """The names that a module or a function binds.

    Args:
        node: The module or the function.
        outer: The scope around it, classes left out.
    """

    def __init__(self, node: ast.AST, outer: Scope | None) -> None:
        self.node = node
        self.outer = outer
        self.imports: dict[str, str | None] = {}
        self.functions: dict[str, FunctionScope | None] = {}
        self.values: dict[str, list[ast.expr | None]] = {}
        self.inner: list[FunctionNode | ast.ClassDef] = []
        self.stored: list[tuple[ast.Attribute, ast.expr | None]] = []
        followed: set[int] = set()
        for one in own_nodes(node):
            self._take(one, followed)

    def _take(self, node: ast.AST, followed: set[int]) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._take_import(node)
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            self.inner.append(node)
            if isinstance(node, ast.ClassDef):
                self._bind(node.name, None)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            self._bind(node.name or "", None)
        else:
            for target, value in _bindings(node):
                followed.add(id(target))
                self._bind_target(target, value)
            if isinstance(getattr(node, "ctx", None), ast.Store) and id(node) not in followed:
                self._bind_target(node, None)

    def _take_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                name = alias.asname or alias.name
                path = None if node.level else f"{node.module}.{alias.name}"
            else:
                name = alias.asname or alias.name.partition(".")[0]
                path = alias.name if alias.asname else name
            self.imports[name] = path if self.imports.get(name, path) == path else None

    def _bind_target(self, target: ast.AST, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value)
        elif isinstance(target, ast.Attribute):
            self.stored.append((target, value))

    def _bind(self, name: str, value: ast.expr | None) -> None:
        self.values.setdefault(name, []).append(value)

    def binds(self, name: str) -> bool:
        """Return whether a name is bound here."""
        return name in self.values or name in self.imports or name in self.functions

    def holder(self, name: str) -> Scope | None:
        """Return the scope that binds a name, seen from here."""
        scope: Scope | None = self
        while scope is not None and not scope.binds(name):
            scope = scope.outer
        return scope


class FunctionScope(Scope):
    """A function or method in a source, with the class that its ``self`` belongs to."""

    node: FunctionNode

    def __init__(self, node: FunctionNode, outer: Scope, cls: ClassScope | None) -> None:
        super().__init__(node, outer)
        self.cls = cls
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        self.self_name = positional[0].arg if cls is not None and positional else ""
        self.annotations: dict[str, ast.expr] = {}
        others = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        for one in (*positional, *arguments.kwonlyargs, *others):
            self._bind(one.arg, None)
            if one.annotation is not None:
                self.annotations[one.arg] = one.annotation

    @property
    def name(self) -> str:
        """The function's name."""
        return self.node.name

    @property
    def is_async(self) -> bool:
        """Whether it is an ``async def``."""
        return isinstance(self.node, ast.AsyncFunctionDef)

    @property
    def is_coroutine(self) -> bool:
        """Whether calling it surely gives a coroutine."""
        yields = any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own_nodes(self.node))
        return self.is_async and not yields and not self.node.decorator_list

    @property
    def runs_where_called(self) -> bool:
        """Whether its body surely runs where it is called: no decorator moves it elsewhere."""
        return self.is_async or all(_last_name(one) in _TRANSPARENT for one in self.node.decorator_list)


class SourceNames:
    """A parsed module and the scopes in it.

    Args:
        text: The source.

    Raises:
        SyntaxError: It is no Python.
    """

    def __init__(self, text: str) -> None:
        self.lines = _LINE_END.split(text)
        tree = _parsed(text)
        self.module = Scope(tree, None)
        self.functions: dict[int, FunctionScope] = {}
        self.classes: dict[str, list[ClassScope]] = {}
        self._find_inner()
        for classes in self.classes.values():
            for cls in classes:
                names = [
                    base.id for base in map(_unsubscripted, cls.node.bases) if isinstance(base, ast.Name)
                ]
                cls.bases = [one for name in names for one in self.classes.get(name, ())[-1:]]

    def _find_inner(self) -> None:
        todo: list[tuple[Scope, ClassScope | None]] = [(self.module, None)]
        while todo:
            scope, cls = todo.pop()
            for node in scope.inner:
                if isinstance(node, ast.ClassDef):
                    todo.extend(self._take_class(node, scope))
                else:
                    made = FunctionScope(node, scope, None)
                    made.cls = cls
                    self._take_function(made)
                    twice = scope.binds(node.name)
                    scope.functions[node.name] = None if twice else made
                    todo.append((made, cls))

    def _take_class(self, node: ast.ClassDef, outer: Scope) -> Iterator[tuple[Scope, ClassScope | None]]:
        cls = ClassScope(node)
        self.classes.setdefault(node.name, []).append(cls)
        for item in own_nodes(node):
            if isinstance(item, _FUNCTIONS):
                method = FunctionScope(item, outer, cls)
                cls.methods[item.name] = method
                self._take_function(method)
                yield method, cls
            elif isinstance(item, ast.ClassDef):
                yield from self._take_class(item, outer)

    def _take_function(self, scope: FunctionScope) -> None:
        first = min([scope.node.lineno, *(one.lineno for one in scope.node.decorator_list)])
        self.functions.setdefault(first, scope)
        for target, value in scope.stored:
            if scope.cls is not None and isinstance(target.value, ast.Name):
                scope.cls.attributes.setdefault(target.attr, []).append((scope, value))

    def character(self, node: ast.AST) -> int:
        """Return the column of a node, from 1, in characters."""
        line = self.lines[getattr(node, "lineno", 1) - 1]
        return len(line.encode()[: getattr(node, "col_offset", 0)].decode(errors="replace")) + 1


def path_of(node: ast.AST | None, scope: Scope, depth: int = _DEPTH) -> str:
    """Return what an expression stands for, as a dotted path; nothing where that is not certain.

    ``time.sleep``, ``queue.Queue().get`` for a method of what a call made, ``builtins.input``,
    ``<port>.send`` for a declared port or a stream of a component.
    """
    if depth == 0 or node is None:
        return ""
    if isinstance(node, ast.Name):
        return _path_of_name(node.id, scope, depth - 1)
    if isinstance(node, ast.Attribute):
        return _path_of_attribute(node, scope, depth - 1)
    if isinstance(node, ast.Call):
        return _made_by(path_of(node.func, scope, depth - 1))
    if isinstance(node, ast.Subscript):
        return PORT if path_of(node.value, scope, depth - 1) == PORTS else ""
    return ""


def function_of(node: ast.AST, scope: Scope) -> FunctionScope | None:
    """Return the function of the same module or class that an expression names, if it surely is one."""
    if isinstance(node, ast.Name):
        holder = scope.holder(node.id)
        if holder is None or node.id in holder.values or node.id in holder.imports:
            return None
        return holder.functions[node.id]
    if isinstance(node, ast.Attribute):
        cls = class_of(node.value, scope)
        return None if cls is None or node.attr in cls.attributes else cls.method(node.attr)
    return None


def class_of(node: ast.AST, scope: Scope) -> ClassScope | None:
    """Return the class of which an expression is the ``self``."""
    if not isinstance(node, ast.Name):
        return None
    holder = scope.holder(node.id)
    is_self = isinstance(holder, FunctionScope) and holder.self_name == node.id
    return holder.cls if is_self and isinstance(holder, FunctionScope) else None


def _path_of_name(name: str, scope: Scope, depth: int) -> str:
    holder = scope.holder(name)
    if holder is None:
        return f"builtins.{name}"
    values = holder.values.get(name, [])
    if name in holder.imports:
        return "" if values or name in holder.functions else holder.imports[name] or ""
    if isinstance(holder, FunctionScope) and name in holder.annotations and len(values) == 1:
        return PORT if _type_name(holder.annotations[name]) in _STREAM_TYPES else ""
    if len(values) == 1 and name not in holder.functions:
        return path_of(values[0], holder, depth)
    return ""


def _path_of_attribute(node: ast.Attribute, scope: Scope, depth: int) -> str:
    cls = class_of(node.value, scope)
    if cls is None:
        before = path_of(node.value, scope, depth)
        return f"{before}.{node.attr}" if before else ""
    if node.attr in STREAM_TABLES:
        return PORTS
    if cls.has_port(node.attr):
        return PORT
    given = [found for one in cls.family() for found in one.attributes.get(node.attr, ())]
    paths = {path_of(value, where, depth) for where, value in given}
    return paths.pop() if len(paths) == 1 else ""


def _made_by(function: str) -> str:
    if function in (f"{PORT}.clone", f"{PORTS}.get", f"{PORT}.__aenter__", f"{PORTS}.pop"):
        return PORT
    return f"{function}()" if function else ""


def _bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.expr | None]]:
    """Yield the targets of a statement with the value that each of them surely gets."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield target, node.value
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        if node.value is not None:
            yield node.target, node.value
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, node.context_expr
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        yield from _loop_bindings(node.target, node.iter)


def _loop_bindings(target: ast.expr, items: ast.expr) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Yield what surely is a stream: ``for s in self.send_streams.values()``, and with ``items()``."""
    if not (isinstance(items, ast.Call) and isinstance(items.func, ast.Attribute) and not items.args):
        return
    table = items.func.value
    if not (isinstance(table, ast.Attribute) and table.attr in STREAM_TABLES):
        return
    one = ast.Subscript(table, ast.Constant(""), ast.Load())
    if items.func.attr == "values":
        yield target, one
    elif items.func.attr == "items" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        yield target.elts[1], one


def _type_name(annotation: ast.expr) -> str:
    """Return the bare name of an annotation's type, also in quotes, ``Annotated``, ``Optional`` or ``| None``."""
    while True:
        if isinstance(annotation, ast.BinOp):
            annotation = annotation.left
        elif isinstance(annotation, ast.Subscript) and _last_name(annotation.value) in _WRAPPERS:
            inner = annotation.slice
            annotation = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner
        elif isinstance(annotation, ast.Constant):
            return _DOTTED.match(str(annotation.value))[0].rpartition(".")[2]  # type: ignore[index]
        else:
            return _last_name(_unsubscripted(annotation))


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _parsed(text: str) -> ast.Module:
    """Return the syntax tree; a source that is too deep for Python's parser is no Python either."""
    try:
        with warnings.catch_warnings():  # whoever imported it has been told already
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error)) from None


__all__ = [
    "PORT",
    "PORTS",
    "STREAM_TABLES",
    "ClassScope",
    "FunctionScope",
    "Scope",
    "SourceNames",
    "class_of",
    "function_of",
    "own_nodes",
    "path_of",
]
