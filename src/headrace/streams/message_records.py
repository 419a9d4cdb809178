"""Codecs for classes that say what they are made of: enums, dataclasses, Structs, attrs, pydantic, named tuples.

They are recognised without importing attrs or pydantic. Decoding goes through the class's own constructor, so
its validation runs; a constructor that changes what was sent is an error, never a silent difference.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.exceptions import CannotRegisterError

from .message_misfit import brief, expect

__all__ = ["record_codec"]

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]

# Beside the fields of a pydantic model: which of them were left to their defaults.
_UNSET = ":unset"


def record_codec(kind: type) -> Pair:
    """Return the encoder and the decoder for ``kind``.

    Raises:
        CannotRegisterError: if it is of none of the known sorts, or its constructor asks for more than its fields.
    """
    if issubclass(kind, enum.Enum):
        return _flag_codec(kind) if issubclass(kind, enum.Flag) else _enum_codec(kind)
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(kind, pydantic.BaseModel):
        return _pydantic_codec(kind)
    arguments = _arguments(kind)
    if arguments is None:
        raise CannotRegisterError(
            f"{kind.__qualname__} is no Enum, dataclass, Struct, attrs class, pydantic model or named tuple; "
            "give encode= and decode="
        )
    _check_constructor(kind, arguments)
    return _fields_codec(kind, arguments)


def _enum_codec(kind: type[enum.Enum]) -> Pair:
    members = dict(kind.__members__)

    def encode(value: enum.Enum) -> str:
        if members.get(value.name) is not value:
            raise ValueError(f"{value!r} is not among the members")
        return value.name

    return encode, lambda payload: members[expect(payload, str)]


def _flag_codec(kind: type[enum.Flag]) -> Pair:
    return lambda value: value.value, lambda payload: kind(expect(payload, int))


def _arguments(kind: type) -> dict[str, str | None] | None:
    """Return what the constructor calls each field, None for a field that it does not take."""
    if issubclass(kind, msgspec.Struct):
        return {name: name for name in kind.__struct_fields__}
    attrs_fields = getattr(kind, "__attrs_attrs__", None)
    if attrs_fields is not None:
        return {field.name: field.alias if field.init else None for field in attrs_fields}
    if dataclasses.is_dataclass(kind):
        return {field.name: field.name if field.init else None for field in dataclasses.fields(kind)}
    if issubclass(kind, tuple) and isinstance(names := getattr(kind, "_fields", None), tuple):
        return {name: name for name in names}
    return None


def _check_constructor(kind: type, arguments: Mapping[str, str | None]) -> None:
    for parameter in inspect.signature(kind).parameters.values():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and parameter.name not in arguments.values():
            raise CannotRegisterError(
                f"the constructor of {kind.__qualname__} asks for {parameter.name!r}, which is not a field; "
                "give encode= and decode="
            )


def _fields_codec(kind: type, arguments: Mapping[str, str | None]) -> Pair:
    def encode(value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in arguments}

    def decode(payload: Any) -> Any:
        fields = _known(payload, arguments)
        taken = {
            argument: fields[name] for name, argument in arguments.items() if argument and name in fields
        }
        value = kind(**taken)
        for name, sent in fields.items():
            if arguments[name] is None:
                object.__setattr__(value, name, sent)
            else:
                _check_kept(name, sent, getattr(value, name))
        return value

    return encode, decode


def _known(payload: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = expect(payload, dict)
    unknown = fields.keys() - names.keys()
    if unknown:
        raise ValueError(f"unknown field {', '.join(sorted(map(brief, unknown))[:3])}")
    return fields


def _check_kept(name: str, sent: Any, kept: Any) -> None:
    if kept is sent:
        return
    try:
        same = type(kept) is type(sent) and bool(kept == sent)
    except Exception:  # no verdict, as from `==` of two arrays: the type is the same, and that must do
        same = True
    if not same:
        raise ValueError(
            f"the constructor changes {name!r} from {brief(sent)} to {brief(kept)}; "
            "send what it accepts, or register the type with encode= and decode="
        )


def _pydantic_codec(kind: Any) -> Pair:
    fields = kind.model_fields
    keys = {name: _validation_key(kind, name, field) for name, field in fields.items()}
    private = kind.__private_attributes__

    def encode(value: Any) -> dict[str, Any]:
        parts = {name: value.__dict__[name] for name in fields}
        parts.update(value.__pydantic_private__ or {})
        extra = value.__pydantic_extra__ or {}
        if clash := extra.keys() & (parts.keys() | {_UNSET}):
            raise ValueError(f"extra fields are called like others: {sorted(clash)}")
        parts.update(extra)
        unset = [name for name in fields if name not in value.__pydantic_fields_set__]
        return {**parts, _UNSET: unset} if unset else parts

    def decode(payload: Any) -> Any:
        parts = dict(expect(payload, dict))
        unset = parts.pop(_UNSET, [])
        hidden = {name: parts.pop(name) for name in private if name in parts}
        value = _validated(kind, keys, parts)
        for name, sent in parts.items():
            _check_kept(name, sent, getattr(value, name))
        value.__pydantic_fields_set__.difference_update(expect(unset, list))
        if hidden:
            value.__pydantic_private__.update(hidden)
        return value

    return encode, decode


def _validated(kind: Any, keys: Mapping[str, str], parts: Mapping[str, Any]) -> Any:
    if kind.__pydantic_root_model__:
        return kind.model_validate(parts["root"])
    if kind.model_config.get("extra") != "allow":
        _known(parts, keys)
    return kind.model_validate({keys.get(name, name): sent for name, sent in parts.items()})


def _validation_key(kind: Any, name: str, field: Any) -> str:
    alias = field.validation_alias
    first = getattr(alias, "choices", [alias])[0]
    if first is None or kind.model_config.get("validate_by_alias") is False:
        return name
    if not isinstance(first, str):
        raise CannotRegisterError(
            f"{kind.__qualname__}.{name} is filled from a path of aliases; give encode= and decode="
        )
    return first
