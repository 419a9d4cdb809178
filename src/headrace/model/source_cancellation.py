"""Where a coroutine swallows cancellation: it then cannot be stopped, and the drain overruns.

The rule of `source_lint` that looks at whole statements; told is only what no later ``raise`` makes good.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source_facts import CANCELLATIONS
from .source_names import FunctionScope, function_of, own_nodes, path_of

_WAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith)
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_ENDS = ("sys.exit", "os._exit", "os.abort", "sys.exc_info", "sys.exception")
_RAISE_IT = "catch 'Exception', or end it with 'raise'"


def find_swallowing(scope: FunctionScope) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield what swallows cancellation in a coroutine: the node, what is wrong, and its mend."""
    for node in own_nodes(scope.node):
        if isinstance(node, (ast.Try, ast.TryStar)) and _waits(node.body) and not _is_a_farewell(node, scope):
            handler = _catching(node, scope)
            if handler is not None and not _raises(handler, scope):
                what = "except" if handler.type is None else f"except {ast.unparse(handler.type)}"
                message = f"'{what}:' around an await swallows cancellation: the component cannot be stopped"
                yield handler, message, _RAISE_IT
        elif isinstance(node, ast.With) and _waits(node.body):
            yield from _suppressing(node, scope)


def _suppressing(node: ast.With, scope: FunctionScope) -> Iterator[tuple[ast.AST, str, str]]:
    for item in node.items:
        call = item.context_expr
        is_it = isinstance(call, ast.Call) and path_of(call.func, scope) == "contextlib.suppress"
        if isinstance(call, ast.Call) and is_it and any(_catches(one, scope) for one in call.args):
            message = f"'{ast.unparse(call)}' around an await swallows cancellation"
            yield call, f"{message}: the component cannot be stopped", "suppress 'Exception', or less"


def _catching(node: ast.Try | ast.TryStar, scope: FunctionScope) -> ast.ExceptHandler | None:
    """Return the first handler that a cancellation comes to."""
    for handler in node.handlers:
        if handler.type is None or _catches(handler.type, scope):
            return handler
    return None


def _catches(kind: ast.expr, scope: FunctionScope) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(path_of(one, scope) in CANCELLATIONS for one in kinds)


def _raises(handler: ast.ExceptHandler, scope: FunctionScope) -> bool:
    """Whether a handler raises, or hands the error on: keeps it, passes it, ends the process."""
    for node in _nodes_of(handler.body):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Name) and node.id == handler.name and _is_kept(node, handler):
            return True
        if isinstance(node, ast.Call) and _hands_on(node.func, scope):
            return True
    return False


def _hands_on(func: ast.expr, scope: FunctionScope) -> bool:
    """Whether a call raises, ends the process, takes the error from Python, or gives it to a future."""
    if isinstance(func, ast.Attribute) and func.attr == "set_exception":
        return True
    called = function_of(func, scope)
    if called is not None:
        return any(isinstance(node, ast.Raise) for node in own_nodes(called.node))
    return path_of(func, scope) in _ENDS


def _is_kept(name: ast.Name, handler: ast.ExceptHandler) -> bool:
    """Whether the error itself is put somewhere: it may be raised from there."""
    return any(
        isinstance(node, (ast.Assign, ast.Return, ast.AnnAssign)) and node.value is name
        for node in _nodes_of(handler.body)
    )


def _is_a_farewell(node: ast.Try | ast.TryStar, scope: FunctionScope) -> bool:
    """Whether only a task is awaited that the function itself has cancelled before."""
    last = node.body[-1]
    if len(node.body) != 1 or not isinstance(last, ast.Expr) or not isinstance(last.value, ast.Await):
        return False
    awaited = ast.unparse(last.value.value)
    return any(
        isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "cancel"
        for one in own_nodes(scope.node)
        if isinstance(one, ast.Call) and ast.unparse(one.func).startswith(f"{awaited}.")
    )


def _waits(body: list[ast.stmt]) -> bool:
    return any(isinstance(node, _WAITS) for node in _nodes_of(body))


def _nodes_of(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes of statements, not those of functions within."""
    todo: list[ast.AST] = list(reversed(body))
    while todo:
        node = todo.pop()
        if not isinstance(node, _INNER):
            yield node
            todo.extend(ast.iter_child_nodes(node))


__all__ = ["find_swallowing"]
