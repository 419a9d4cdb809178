"""The JSON Schema of a component type's settings, as strict as their conversion is.

From msgspec Structs, dataclasses and pydantic models. What cannot be expressed is allowed: a schema that is
wrong about someone's own types would be worse than one that says nothing.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote

import msgspec

from .secret import Secret
from .settings_shape import is_pydantic, shape_of

Schema = dict[str, Any]

VARIABLE: Schema = {"$ref": "#/$defs/variable"}

_REFERENCE = "#/$defs/"
_NOTES = ("title", "description", "default", "examples", "deprecated")
_OF_SCHEMAS = ("properties", "patternProperties")
_IN_SCHEMAS = ("items", "additionalProperties", "unevaluatedProperties", "contains", "not")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})
_LEFT_OUT = ("uniqueItems", "discriminator")  # a set takes doubles; and a hint to other tools
_NUMERIC: Schema = {"type": "string", "pattern": r"[0-9]|inf|nan|Inf|NaN"}
_LAX: Mapping[str, tuple[Schema, ...]] = {
    "integer": ({"type": "boolean"}, _NUMERIC),
    "number": ({"type": "boolean"}, _NUMERIC),
    "boolean": ({"enum": [0, 1]}, {"type": "string"}),
    "string": ({"type": "number"},),
}
_SECTION = re.compile(
    r"^(?P<margin> *)(?:Args|Attributes):\n(?P<body>(?:(?P=margin) +.*\n|\n)*)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class KnownType:
    """A component type for the schema.

    Attributes:
        name: The name of its entry point, or ``module:name``.
        about: What it is, in a line.
        settings: The type of its settings; None where it takes any.
        takes_attempts: Whether ``attempts``, ``on_error`` and ``backoff`` are for it.
        documentation: A docstring that explains its settings.
        is_offered: Whether an editor proposes it.
    """

    name: str
    about: str = ""
    settings: type | None = None
    takes_attempts: bool = True
    documentation: str = ""
    is_offered: bool = True


@dataclass(frozen=True, slots=True)
class _Field:
    """A setting as it is declared; ``default`` gives its default value, None where it is required."""

    name: str
    type: Any
    default: Callable[[], Any] | None


def settings_schema(kind: KnownType) -> tuple[Schema | bool, dict[str, Schema], bool]:
    """Return the schema of a type's settings.

    Args:
        kind: The type.

    Returns:
        The schema (True: anything), the schemas it refers to by name, and whether there are settings that must
        be given.
    """
    if kind.settings is None:
        return True, {}, False
    inner: dict[str, Schema] = {}
    try:
        whole = (
            _pydantic(kind.settings, inner) if is_pydantic(kind.settings) else _record(kind.settings, inner)
        )
    except Exception:  # someone's own types: whatever they raise, there is no schema of them
        return True, {}, False
    explained = {**_explanations(kind.documentation), **_explanations(kind.settings.__doc__)}
    for name, schema in whole["properties"].items():
        if name in explained and isinstance(schema, dict):
            schema.setdefault("description", explained[name])
    own = _Rewriting(kind.name, is_lax=is_pydantic(kind.settings))
    referred = {own.key(name): own.rewritten(schema) for name, schema in inner.items()}
    return own.rewritten(whole), referred, bool(whole.get("required"))


# --- records ---------------------------------------------------------------------------------------


def _record(kind: Any, inner: dict[str, Schema]) -> Schema:
    """Return the schema of a msgspec Struct or a dataclass."""
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for field in _fields(kind):
        schema = _schema_of_type(field.type, inner)
        properties[field.name] = schema if field.default is None else _with_default(schema, field.default)
        if field.default is None:
            required.append(field.name)
    whole: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**whole, "required": required} if required else whole


def _fields(kind: Any) -> Iterator[_Field]:
    cls = get_origin(kind) or kind
    if issubclass(cls, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            default = _default(field.default, field.default_factory, msgspec.NODEFAULT)
            yield _Field(field.encode_name, field.type, default)
        if cls.__struct_config__.tag_field is not None:
            tag = cls.__struct_config__.tag
            yield _Field(cls.__struct_config__.tag_field, Literal[tag], lambda: tag)
        return
    hints = get_type_hints(cls, include_extras=True)
    for declared in dataclasses.fields(cls):
        if declared.init:
            default = _default(declared.default, declared.default_factory, dataclasses.MISSING)
            yield _Field(declared.name, hints[declared.name], default)


def _default(value: Any, factory: Any, nothing: Any) -> Callable[[], Any] | None:
    if value is not nothing:
        return lambda: value
    return None if factory is nothing else factory


def _is_record(kind: Any) -> bool:
    cls = get_origin(kind) or kind
    if not isinstance(cls, type) or is_pydantic(cls):
        return False
    return dataclasses.is_dataclass(cls) or (
        issubclass(cls, msgspec.Struct) and not cls.__struct_config__.array_like
    )


def _pydantic(kind: Any, inner: dict[str, Schema]) -> Schema:
    """Return the schema that pydantic makes, closed where we take no unknown settings."""
    own = getattr(kind, "model_json_schema", None) or sys.modules["pydantic"].TypeAdapter(kind).json_schema
    whole: Schema = own(ref_template=f"{_REFERENCE}{{model}}")
    inner |= whole.pop("$defs", {})
    shape = shape_of(kind)
    assert shape is not None
    names = list(whole.setdefault("properties", {}))
    for name in shape.settings:
        whole["properties"].setdefault(name, {})  # another name of one of them
    if len(shape.settings) > len(names):
        whole.pop("required", None)
    whole["additionalProperties"] = not shape.closed
    return {key: value for key, value in whole.items() if key not in ("title", "description")}


# --- types -----------------------------------------------------------------------------------------


def _schema_of_type(kind: Any, inner: dict[str, Schema]) -> Schema:
    """Return the schema of a type; what it refers to goes to ``inner``.

    Unions, tables, lists and records are taken apart here: msgspec's own schema leaves out what keys there may
    be, and what it cannot express would take the rest with it.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of_type(member, inner) for member in arguments]}
    if origin in (dict, Mapping):
        return _table(arguments[0], _schema_of_type(arguments[1], inner))
    if origin in (list, Sequence):
        return {"type": "array", "items": _schema_of_type(arguments[0], inner)}
    if _is_record(kind):
        return _reference(kind, inner)
    return _pydantic(kind, inner) if is_pydantic(kind) else _leaf(kind, inner)


def _table(names: Any, values: Schema) -> Schema:
    table = {"type": "object", "additionalProperties": values}
    return (
        {**table, "propertyNames": {"enum": list(get_args(names))}} if get_origin(names) is Literal else table
    )


def _reference(kind: Any, inner: dict[str, Schema]) -> Schema:
    name = repr(kind).replace("/", ".").replace("~", ".")
    if name not in inner:
        inner[name] = {}  # it may refer to itself
        inner[name] = _record(kind, inner)
    return {"$ref": _REFERENCE + name}


def _leaf(kind: Any, inner: dict[str, Schema]) -> Schema:
    try:
        (schema,), more = msgspec.json.schema_components(
            (kind,), schema_hook=_hook, ref_template=f"{_REFERENCE}{{name}}"
        )
    except Exception:  # as above
        return {}
    inner |= more
    return schema


def _hook(kind: Any) -> Schema:
    return {"type": "string"} if isinstance(kind, type) and issubclass(kind, (PurePath, Secret)) else {}


def _with_default(schema: Schema, default: Callable[[], Any]) -> Schema:
    """Note the default of a setting where JSON can say it."""
    try:
        value = msgspec.to_builtins(default(), enc_hook=_as_text)
        value = json.loads(json.dumps(value, allow_nan=False))
    except Exception:  # a default is only shown
        return schema
    return schema if value is None else {**schema, "default": value}


def _as_text(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    raise NotImplementedError


# --- explanations --------------------------------------------------------------------------------


def _explanations(docstring: str | None) -> dict[str, str]:
    """Return what the sections ``Args`` and ``Attributes`` of a docstring say, by name."""
    found: dict[str, str] = {}
    for section in _SECTION.finditer(inspect.cleandoc(docstring or "") + "\n"):
        name = ""
        for line in filter(None, map(str.rstrip, section["body"].splitlines())):
            indent = len(line) - len(line.lstrip())
            head, colon, rest = line.strip().partition(":")
            if colon and head.split(" ")[0].isidentifier() and indent == len(section["margin"]) + 4:
                name = head.split(" ")[0]
                found[name] = rest.strip()
            elif name:
                found[name] += f" {line.strip()}"
    return {name: text.replace("``", "`") for name, text in found.items()}


# --- strictness ----------------------------------------------------------------------------------


class _Rewriting:
    """Makes a schema of a library one of ours: its references renamed, and variables allowed.

    Args:
        prefix: Goes before the names that the schema refers to.
        is_lax: Whether texts are taken for the numbers and dates that they say, as pydantic does.
    """

    def __init__(self, prefix: str, *, is_lax: bool) -> None:
        self.prefix = prefix
        self.is_lax = is_lax

    def key(self, name: str) -> str:
        """Return the name of what the schema refers to, as it is among ours."""
        return f"{self.prefix}.{name}"

    def rewritten(self, schema: Any) -> Any:
        """Return a schema of ours."""
        if not isinstance(schema, dict):
            return schema
        found = {key: self._part(key, value) for key, value in schema.items() if key not in _LEFT_OUT}
        if found.get("format") == "decimal":
            found = {**found, "type": ["string", "number"]}
        if not _needs_variable(found):
            return found
        return _or_others(found, _LAX.get(str(found.get("type")), ()) if self.is_lax else ())

    def _part(self, key: str, value: Any) -> Any:
        if key == "$ref":
            return _REFERENCE + quote(self.key(value.removeprefix(_REFERENCE)), safe=":.-")
        if key in _OF_SCHEMAS:
            return {name: self.rewritten(schema) for name, schema in value.items()}
        if key in _IN_SCHEMAS:
            return self.rewritten(value)
        if key in _LISTS_OF_SCHEMAS:
            return [self.rewritten(schema) for schema in value]
        return value


def _needs_variable(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is about single values, and not about any text."""
    if "enum" in schema or "const" in schema:
        return True
    types = schema.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    if not types or not types <= _SCALARS:
        return False
    return "string" not in types or bool(set(schema) - {"type", *_NOTES})


def _or_others(schema: Schema, others: Iterable[Schema]) -> Schema:
    notes = {key: value for key, value in schema.items() if key in _NOTES}
    return {**notes, "anyOf": [{key: schema[key] for key in schema if key not in _NOTES}, *others, VARIABLE]}


__all__ = ["VARIABLE", "KnownType", "Schema", "settings_schema"]
