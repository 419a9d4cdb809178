"""The JSON Schema of a blueprint: what an editor needs to complete, explain and check one while it is written.

Made from the tables that the reader checks by, and from the settings of the component types that are known.
Wherever the reader takes a number or a word, a text with a `${VARIABLE}` may stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .blueprint_keys import (
    ACKNOWLEDGEMENT,
    BACKOFF,
    BLUEPRINT,
    COMPONENT,
    CONNECTION,
    DEFAULTS,
    MESSAGE_POLICY,
    NOT_BUILT,
    OF_FUNCTIONS,
    OUTPUT,
    REPLICAS,
    RESOURCE,
    RESTART,
    SUMMARY,
    TableKeys,
)
from .blueprint_schema_texts import ABOUT, defaults_of
from .blueprint_values import (
    Check,
    OneOf,
    duration,
    duration_or_zero,
    key_fields,
    reference,
    references,
    share,
    text,
    truth,
    whole_number,
)
from .settings_schema import VARIABLE, KnownType, Schema, settings_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER = "urn:headrace:blueprint"

_LARGEST = 1.7976931348623157e308
_VARIABLE_PATTERN = r"(^|[^$])\$\{"
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_SHOWN = rf"[^{_HIDDEN}]"
_EDGE = rf"[^\s.{_HIDDEN}]"  # what a name may begin and end with
_ANY = rf"(?:(?!->){_SHOWN})"  # a character of a name; an arrow is none
_PORT = rf"(?!->)(?:{_EDGE}(?:{_ANY}*{_EDGE})?|\.{_ANY}*\.{_ANY}*{_EDGE})"  # as `parse_endpoint` reads one
_END = rf"(?:{_EDGE}(?:{_SHOWN}*{_EDGE})?|\.{_SHOWN}*\.{_SHOWN}*{_EDGE})"  # the same, where it stands alone
_WORD = r"(?:[A-Za-z_]|[^\x00-\x7F])(?:[A-Za-z0-9_]|[^\x00-\x7F])*"
_DOTTED = rf"{_WORD}(?:\.{_WORD})*"
_FILE = r"\.ya?ml$"
_NO_DOT = r"^[^.]*$"


def blueprint_schema(
    types: Iterable[KnownType] = (), resources: Iterable[KnownType] = (), *, version: str = ""
) -> Schema:
    """Return the JSON Schema of blueprints.

    Args:
        types: The component types whose settings are known.
        resources: The types of resources whose settings are known.
        version: That of headrace, for the comment.
    """
    known = sorted(
        {kind.name: kind for kind in types}.values(), key=lambda kind: (":" in kind.name, kind.name)
    )
    definitions = _definitions()
    definitions["component"] = _component(known, definitions)
    definitions["resource"] = _resource(sorted(resources, key=lambda kind: kind.name), definitions)
    properties = {
        "system": {"type": "string", "pattern": rf"^(?=.*\S){_SHOWN}+$"},
        "strategy": _simple(BLUEPRINT.checks["strategy"]),
        "defaults": _table(DEFAULTS, restart={"$ref": "#/$defs/restart"}),
        "resources": _by_name("resource", _IDENTIFIER),
        "components": {**_by_name("component", _NAME), "minProperties": 1},
        "connections": {"type": "array", "items": {"$ref": "#/$defs/connection"}},
        "ports": _by_name("inner_port"),
        "summary": _table(SUMMARY),
        "tests": _by_name("test"),
    }
    return {
        "$schema": DIALECT,
        "$id": IDENTIFIER,
        "$comment": f"Written by headrace {version} with 'headrace schema'.".replace("  ", " "),
        "title": "Blueprint of a headrace system",
        **_closed(BLUEPRINT, properties),
        **_inner_parts_of_chains(),
        "$defs": definitions,
    }


# --- values --------------------------------------------------------------------------------------


def _definitions() -> dict[str, Schema]:
    count = {"type": "integer", "minimum": 1}
    above = {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": _LARGEST}, _time(r"(?=[^a-z]*[1-9])")]
    }
    not_below = {"anyOf": [{"type": "number", "minimum": 0, "maximum": _LARGEST}, _time("")]}
    field = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}
    return {
        "variable": {
            "type": "string",
            "pattern": _VARIABLE_PATTERN,
            "description": "${NAME} or ${NAME:-default}",
        },
        "text": {"type": "string", "pattern": r"\S"},
        "texts": {"anyOf": [{"$ref": "#/$defs/text"}, {"type": "array", "items": {"$ref": "#/$defs/text"}}]},
        "port": {"anyOf": [{"type": "string", "pattern": rf"^\s*{_END}\s*$"}, VARIABLE]},
        "inner_port": {"anyOf": [{"type": "string", "pattern": rf"^\s*(?=[\s\S]*\.){_END}\s*$"}, VARIABLE]},
        "truth": {"anyOf": [{"type": "boolean"}, VARIABLE]},
        "count": {"anyOf": [count, VARIABLE]},
        "count_or_zero": {"anyOf": [{"type": "integer", "minimum": 0}, VARIABLE]},
        "duration": {"anyOf": [above, VARIABLE]},
        "duration_or_zero": {"anyOf": [not_below, VARIABLE]},
        "share": {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, VARIABLE]},
        "restart": _restart(),
        "fields": {"anyOf": [field, {"type": "array", "items": field, "minItems": 1}]},
        "chain": {"anyOf": [{"type": "string", "pattern": rf"^\s*{_PORT}\s*(->\s*{_PORT}\s*)+$"}, VARIABLE]},
        "config": {"type": ["object", "null"]},
        "output": _output(),
        "connection": {"anyOf": [{"$ref": "#/$defs/chain"}, _connection()]},
        "replacement": _replacement(),
        "test": _test(),
    }


def _time(beginning: str) -> Schema:
    return {
        "type": "string",
        "pattern": rf"^{beginning}[0-9]+(\.[0-9]+)? ?(ms|s|m|h)$",
        "examples": ["500ms", "10s", "2m", "1h"],
    }


_CHECKED: Mapping[Check, str] = {
    whole_number: "count",
    duration: "duration",
    duration_or_zero: "duration_or_zero",
    text: "text",
    truth: "truth",
    reference: "text",
    references: "texts",
    share: "share",
    key_fields: "fields",
}
_NAME: Schema = {"pattern": rf"^(?!\s){_SHOWN}+(?<!\s)$", "not": {"pattern": "->"}}
_MODULE_AND_NAME: Schema = {
    "type": "string",
    "pattern": rf"^{_DOTTED}:{_DOTTED}$",
    "description": "module:name",
}
_IDENTIFIER: Schema = {"pattern": rf"^([\s\S]*/)?{_WORD}$"}


def _simple(check: Check) -> Schema:
    """Return what a check takes."""
    if isinstance(check, OneOf):
        return {"anyOf": [{"enum": list(check.words)}, VARIABLE]}
    return {"$ref": f"#/$defs/{_CHECKED[check]}"}


def _by_name(definition: str, names: Schema | None = None) -> Schema:
    table: Schema = {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{definition}"}}
    return table if names is None else {**table, "propertyNames": names}


# --- tables --------------------------------------------------------------------------------------


def _table(keys: TableKeys, **tables: Schema) -> Schema:
    return _closed(keys, {name: _simple(check) for name, check in keys.checks.items()} | tables)


def _restart() -> Schema:
    backoff = {"anyOf": [{"$ref": "#/$defs/duration_or_zero"}, _table(BACKOFF)]}
    return {"anyOf": [_simple(RESTART.checks["when"]), _table(RESTART, backoff=backoff)]}


def _connection() -> Schema:
    simple = {name: _simple(check) for name, check in CONNECTION.checks.items()}
    return _closed(CONNECTION, {**simple, "from": {"$ref": "#/$defs/port"}, "to": {"$ref": "#/$defs/port"}})


def _closed(keys: TableKeys, properties: Mapping[str, Schema]) -> Schema:
    """Return a table with these keys and no others, each explained."""
    explained = {name: _explained(keys.what, name, properties[name]) for name in keys.known}
    explained |= {name: _not_built(name) for name in sorted(keys.not_built)}
    return {
        "type": "object",
        "properties": explained,
        **({"required": list(keys.required)} if keys.required else {}),
        "additionalProperties": False,
    }


def _explained(what: str, name: str, schema: Schema) -> Schema:
    found = {**schema, "description": ABOUT[what][name]}
    default = defaults_of(what).get(name)
    return found if default is None else {**found, "default": default}


def _not_built(name: str) -> Schema:
    neutral, mend = NOT_BUILT[name]
    allowed: Schema = {"enum": list(neutral)} if neutral else {"not": {}}
    return {**allowed, "description": f"not built yet: {mend}", "deprecated": True}


def _output() -> Schema:
    by_key = {"properties": {"fan_out": {"anyOf": [{"const": "by_key"}, VARIABLE]}}, "required": ["fan_out"]}
    sure = {"properties": {"fan_out": {"const": "by_key"}}, "required": ["fan_out"]}
    return {
        **_table(OUTPUT),
        "allOf": [
            {"if": sure, "then": {"required": ["key"]}},
            {"if": {"required": ["key"]}, "then": by_key},
        ],
    }


def _resource(known: list[KnownType], definitions: dict[str, Schema]) -> Schema:
    kind = {"anyOf": [*(_choice(one) for one in known if one.is_offered), _MODULE_AND_NAME, VARIABLE]}
    rules = {one.name: rule for one in known if (rule := _of_type(one, definitions)) is not None}
    needy = [name for name, rule in rules.items() if "required" in rule["then"]]
    table = _closed(RESOURCE, {"type": kind, "config": {"$ref": "#/$defs/config"}})
    alone = {**kind, "not": {"enum": needy}} if needy else kind
    return {"anyOf": [alone, {**table, **({"allOf": list(rules.values())} if rules else {})}]}


def _replacement() -> Schema:
    properties: dict[str, Schema] = {"type": {"$ref": "#/$defs/text"}, "config": {"type": "object"}}
    table = {
        "type": "object",
        "properties": {name: _explained("a component", name, schema) for name, schema in properties.items()},
        "required": ["type"],
        "additionalProperties": False,
    }
    return {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/text"}, table]}


def _test() -> Schema:
    """Return what `model.blueprint_tests` reads as a test."""
    messages = {"type": "array"}
    by_port = {"type": "object", "additionalProperties": messages}
    properties: dict[str, Schema] = {
        "component": {"$ref": "#/$defs/text"},
        "send": {"anyOf": [messages, by_port]},
        "expect": {"anyOf": [messages, by_port]},
        "dead_letters": {"$ref": "#/$defs/count_or_zero"},
        "any_order": {"$ref": "#/$defs/truth"},
        "partial": {"$ref": "#/$defs/truth"},
        "timeout": {"$ref": "#/$defs/duration"},
        "config": {"type": "object"},
        "env": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
        "replace": {"type": "object", "additionalProperties": {"$ref": "#/$defs/replacement"}},
    }
    return {
        "type": "object",
        "properties": {name: _explained("a test", name, schema) for name, schema in properties.items()},
        "additionalProperties": False,
        "anyOf": [{"required": ["expect"]}, {"required": ["dead_letters"]}],
    }


def _inner_parts_of_chains() -> Schema:
    """Return the rule that in the middle of a chain no port is named.

    Where names of components have dots in them, only the reader can tell such a name from a port.
    """
    last = r"(?:(?!->)[\s\S])*"
    pattern = rf"^{last}->(?:(?:(?!->)[^.])*->)*{last}$"
    chain = {"anyOf": [{"not": {"type": "string"}}, {"pattern": pattern}, VARIABLE]}
    return {
        "if": {"properties": {"components": {"propertyNames": {"pattern": _NO_DOT}}}},
        "then": {"properties": {"connections": {"items": chain}}},
    }


# --- components ----------------------------------------------------------------------------------


def _component(known: list[KnownType], definitions: dict[str, Schema]) -> Schema:
    properties = {
        "type": _type_name(known),
        "config": {"$ref": "#/$defs/config"},
        "outputs": _by_name("output"),
        "inputs": _by_name("output"),
        "replicas": {"anyOf": [{"$ref": "#/$defs/count"}, _table(REPLICAS)]},
        "restart": {"$ref": "#/$defs/restart"},
        **{name: _simple(COMPONENT.checks[name]) for name in ("stop_timeout", "health")},
        **{name: _simple(check) for name, check in {**ACKNOWLEDGEMENT, **MESSAGE_POLICY}.items()},
    }
    rules = [_of_file(), *(_of_type(kind, definitions) for kind in known)]
    return {**_closed(COMPONENT, properties), "allOf": [rule for rule in rules if rule]}


def _type_name(known: Iterable[KnownType]) -> Schema:
    """Return what may name a type: one that is known, ``module:name``, or a file."""
    own = [kind for kind in known if ":" in kind.name]
    registered = [kind for kind in known if ":" not in kind.name]
    choices = [_choice(kind) for kind in (*registered, *own)]
    file = {"type": "string", "pattern": _FILE, "description": "a blueprint of its own"}
    return {"anyOf": [*choices, _MODULE_AND_NAME, file, VARIABLE]}


def _choice(kind: KnownType) -> Schema:
    return {"const": kind.name, **({"description": kind.about} if kind.about else {})}


def _of_type(kind: KnownType, definitions: dict[str, Schema]) -> Schema | None:
    """Return the rule for the components of one type."""
    config, inner, is_needed = settings_schema(kind)
    of_function = {"ack": {"const": "auto"}, **_no("this type", "max_unacked")}
    misplaced = of_function if kind.takes_attempts else _no("this type", *OF_FUNCTIONS)
    then: Schema = {"properties": misplaced}
    if config is not True:
        definitions |= inner
        then["properties"]["config"] = config if is_needed else {"anyOf": [config, {"type": "null"}]}
    if is_needed:
        then["required"] = ["config"]
    is_empty = then == {"properties": {}}
    condition = {"properties": {"type": {"const": kind.name}}, "required": ["type"]}
    return None if is_empty else {"if": condition, "then": then}


def _of_file() -> Schema:
    """Return the rule for the components that are blueprints: their settings are the values of variables."""
    values = {"type": ["string", "number", "boolean", "null"]}
    config = {"type": ["object", "null"], "additionalProperties": values}
    condition = {"properties": {"type": {"type": "string", "pattern": _FILE}}, "required": ["type"]}
    return {
        "if": condition,
        "then": {
            "properties": {
                "config": config,
                **_no(
                    "a blueprint",
                    *(*MESSAGE_POLICY, *ACKNOWLEDGEMENT),
                    *("replicas", "restart", "stop_timeout", "health"),
                ),
            }
        },
    }


def _no(what: str, *names: str) -> dict[str, Any]:
    return {name: {"not": {}, "description": f"{what} takes no '{name}'"} for name in names}


__all__ = ["DIALECT", "IDENTIFIER", "blueprint_schema"]
