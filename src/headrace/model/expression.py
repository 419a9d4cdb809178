"""Conditions on messages, as ``v > 3 and name.startswith('a')``: read by Python's parser, and run by nobody's code.

What is not on a short list is refused with its place. A condition that holds calls nothing of the message's, and
takes a bounded time: texts are not multiplied, numbers stay small, and its own text is short.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean
from .expression_values import (
    FUNCTIONS,
    METHODS,
    OPERATORS,
    field_of,
    in_order,
    is_in,
    item_of,
    number,
    operand,
    reckoned,
)

__all__ = ["LONGEST", "WHOLE", "Condition", "ConditionError"]

LONGEST = 1000
"""How many characters a condition may have."""
_DEEPEST = 50
WHOLE = "message"
"""The name of the whole message in a condition."""

Reader = Callable[[Any], Any]

_CONSTANTS: Mapping[str, Any] = {"null": None, "true": True, "false": False}
_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_WORDS = re.compile(r"\b(AND|OR|NOT|IN|IS)\b|(&&|\|\||(?<![=!<>])=(?!=)|!(?!=))")
_MEANT = {"&&": "and", "||": "or", "=": "==", "!": "not"}


class ConditionError(ConfigError):
    """Raised for a condition that cannot be read; ``column`` says where, from 0, and ``reason`` why.

    Its text shows the condition with a caret.
    """

    def __init__(self, text: str, column: int, reason: str, *, hint: str = "") -> None:
        self.reason, self.column = reason, column
        line = text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)
        told = f"{reason}; {hint}" if hint else reason
        super().__init__(f"{told}\n  {line}\n  {' ' * column}^", field="where")


class Condition:
    """A condition that messages can be held against.

    A name is a field of the message: of a row, a record, or what has attributes; ``message`` is the message
    itself. There are ``and or not``, comparisons, ``in``, ``+ - * / // %``, ``.field``, ``[0]`` and ``["field"]``,
    texts, numbers, lists, ``None``, the methods ``startswith endswith contains lower upper`` of texts, and ``len``
    and ``abs``. As in SQL, a comparison with a value that is None never holds; ``v is None`` asks for that.

    Args:
        text: The condition.

    Raises:
        ConditionError: It cannot be read.
    """

    __slots__ = ("_holds", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._holds = _Reading(text).condition()

    def __call__(self, message: Any) -> bool:
        """Return whether it holds for a message.

        Raises:
            KeyError: The message has no such field.
            TypeError: Two values cannot be compared or reckoned with, or there is no such item.
        """
        return bool(operand(self._holds(message)))

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


class _Reading:
    """Makes functions of the parts of one condition."""

    def __init__(self, text: str) -> None:
        self._text = text

    def condition(self) -> Reader:
        if len(self._text) > LONGEST:
            raise ConfigError(
                f"a condition has at most {LONGEST} characters, not {len(self._text):,}", field="where"
            )
        if "\n" in self._text.strip() or "\0" in self._text:
            raise ConfigError("a condition is one line of text", field="where")
        body = self._text.strip()
        indent = len(self._text) - len(self._text.lstrip())
        if not body:
            raise ConditionError(self._text, indent, "there is no condition", hint="write one, as `v > 3`")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as `"is" with a literal`
                tree = ast.parse(body, mode="eval")
        except SyntaxError as error:
            raise self._not_understood(error, indent) from None
        except (RecursionError, MemoryError):
            raise ConditionError(self._text, 0, "it is nested too deeply") from None
        self._indent = indent
        return self.read(tree.body, 0)

    def _not_understood(self, error: SyntaxError, indent: int) -> ConditionError:
        bare = re.sub(r"""("[^"]*"|'[^']*')""", lambda found: " " * len(found[0]), self._text)
        word = _WORDS.search(bare)
        if word is not None:
            meant = _MEANT.get(word[0], word[0].lower())
            return ConditionError(
                self._text, word.start(), f"'{word[0]}' is not understood", hint=f"write `{meant}`"
            )
        column = indent + (error.offset - 1 if error.offset else len(self._text.strip()))
        column = min(column, len(self._text))
        return ConditionError(self._text, column, f"this is not understood: {error.msg}")

    def _refuse(self, node: ast.AST, reason: str, hint: str = "") -> ConditionError:
        offset = getattr(node, "col_offset", 0)  # counted in bytes
        before = self._text.strip().encode()[:offset].decode(errors="ignore")
        return ConditionError(self._text, self._indent + len(before), reason, hint=hint)

    # --- the parts -----------------------------------------------------------------------------------

    def read(self, node: ast.expr, depth: int) -> Reader:
        """Return the function of a part."""
        if depth > _DEEPEST:
            raise self._refuse(node, "it is nested too deeply")
        reader = _READERS.get(type(node))
        if reader is None:
            raise self._refuse(
                node, f"there is no {_NAMES.get(type(node), type(node).__name__)} in a condition", _HELP
            )
        found: Reader = reader(self, node, depth + 1)
        return found

    def bool_op(self, node: ast.BoolOp, depth: int) -> Reader:
        parts = [self.read(value, depth) for value in node.values]
        if isinstance(node.op, ast.And):
            return lambda message: all(operand(part(message)) for part in parts)
        return lambda message: any(operand(part(message)) for part in parts)

    def unary(self, node: ast.UnaryOp, depth: int) -> Reader:
        inner = self.read(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return lambda message: not operand(inner(message))
        if isinstance(node.op, ast.USub):
            return lambda message: -number(inner(message))
        raise self._refuse(node, "of signs there is `-`")

    def compare(self, node: ast.Compare, depth: int) -> Reader:
        nodes = [node.left, *node.comparators]
        sides = [self.read(side, depth) for side in nodes]
        tests = [_test_of(op, *nodes[place : place + 2]) for place, op in enumerate(node.ops)]
        if len(tests) == 1:
            (test,), (left, right) = tests, sides
            return lambda message: test(operand(left(message)), operand(right(message)))
        return lambda message: all(
            test(operand(left(message)), operand(right(message)))
            for test, left, right in zip(tests, sides, sides[1:], strict=False)
        )

    def arithmetic(self, node: ast.BinOp, depth: int) -> Reader:
        reckon = OPERATORS.get(type(node.op))
        if reckon is None:
            raise self._refuse(node.right, "of arithmetic there is + - * / // %")
        left, right = self.read(node.left, depth), self.read(node.right, depth)
        return lambda message: reckoned(reckon, left(message), right(message))

    def constant(self, node: ast.Constant, depth: int) -> Reader:
        value = node.value
        if value is not None and not isinstance(value, (bool, int, float, str)):
            raise self._refuse(node, f"there is no {type(value).__name__} in a condition", _HELP)
        return lambda message: value

    def name(self, node: ast.Name, depth: int) -> Reader:
        name = node.id
        if name == WHOLE:
            return lambda message: message
        if name in _CONSTANTS:
            value = _CONSTANTS[name]
            return lambda message: value
        return lambda message: field_of(message, name)

    def attribute(self, node: ast.Attribute, depth: int) -> Reader:
        owner, name = self.read(node.value, depth), node.attr
        if name.startswith("_"):
            raise self._refuse(node, f"'{name}' is private")
        return lambda message: field_of(owner(message), name)

    def item(self, node: ast.Subscript, depth: int) -> Reader:
        if isinstance(node.slice, ast.Slice):
            raise self._refuse(node.slice, "there is no slice in a condition", _HELP)
        owner, key = self.read(node.value, depth), self.read(node.slice, depth)
        return lambda message: item_of(owner(message), operand(key(message)))

    def items(self, node: ast.List | ast.Tuple | ast.Set, depth: int) -> Reader:
        parts = [self.read(part, depth) for part in node.elts]
        return lambda message: [operand(part(message)) for part in parts]

    def call(self, node: ast.Call, depth: int) -> Reader:
        if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            raise self._refuse(node, "a call takes values only")
        arguments = [self.read(one, depth) for one in node.args]
        if isinstance(node.func, ast.Attribute):
            owner = self.read(node.func.value, depth)
            function, count = self._known(node, METHODS, node.func.attr, "method")
            arguments.insert(0, owner)
            count += 1
        elif isinstance(node.func, ast.Name):
            function, count = self._known(node, FUNCTIONS, node.func.id, "function")
        else:
            raise self._refuse(node, "this cannot be called", _HELP)
        if len(arguments) != count:
            given = len(arguments) - isinstance(node.func, ast.Attribute)
            wanted = count - isinstance(node.func, ast.Attribute)
            raise self._refuse(node, f"it takes {wanted} value{'' if wanted == 1 else 's'}, not {given}")
        return lambda message: function(*(operand(one(message)) for one in arguments))

    def _known(
        self, node: ast.Call, table: Mapping[str, tuple[Callable[..., Any], int]], name: str, kind: str
    ) -> tuple[Callable[..., Any], int]:
        if name not in table:
            hint = did_you_mean(name, table) or f"there are {', '.join(table)}"
            raise self._refuse(node.func, f"there is no {kind} '{name}'", hint)
        return table[name]


def _is_none(node: ast.expr) -> bool:
    return (isinstance(node, ast.Constant) and node.value is None) or (
        isinstance(node, ast.Name) and node.id == "null"
    )


def _test_of(op: ast.cmpop, left: ast.expr, right: ast.expr) -> Callable[[Any, Any], bool]:
    """Return the function of a comparison, which gets plain values."""
    is_equal = isinstance(op, (ast.Is, ast.Eq))
    if is_equal or isinstance(op, (ast.IsNot, ast.NotEq)):
        if _is_none(left) or _is_none(right):
            return lambda one, other: ((one is None) and (other is None)) is is_equal
        return lambda one, other: one is not None and other is not None and (one == other) is is_equal
    if isinstance(op, (ast.In, ast.NotIn)):
        wanted = isinstance(op, ast.In)
        return lambda one, other: one is not None and other is not None and is_in(one, other) is wanted
    compare = _ORDER[type(op)]
    return lambda one, other: one is not None and other is not None and in_order(compare, one, other)


_HELP = "there are fields, comparisons, and/or/not, in, arithmetic, texts and numbers"
_NAMES: Mapping[type[ast.AST], str] = {
    ast.Lambda: "lambda",
    ast.ListComp: "comprehension",
    ast.GeneratorExp: "comprehension",
    ast.SetComp: "comprehension",
    ast.DictComp: "comprehension",
    ast.Dict: "dict",
    ast.IfExp: "if",
    ast.NamedExpr: "assignment",
    ast.JoinedStr: "f-string",
    ast.Starred: "star",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}
_READERS: Mapping[type[ast.expr], Callable[[Any, Any, int], Reader]] = {
    ast.BoolOp: _Reading.bool_op,
    ast.UnaryOp: _Reading.unary,
    ast.Compare: _Reading.compare,
    ast.BinOp: _Reading.arithmetic,
    ast.Constant: _Reading.constant,
    ast.Name: _Reading.name,
    ast.Attribute: _Reading.attribute,
    ast.Subscript: _Reading.item,
    ast.List: _Reading.items,
    ast.Tuple: _Reading.items,
    ast.Set: _Reading.items,
    ast.Call: _Reading.call,
}
