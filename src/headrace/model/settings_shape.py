"""What a class of settings takes, whichever library it is made with: names, types, what has to be there.

Pydantic is known by what it puts on its classes; it is never imported here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

import msgspec


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a class of settings."""

    name: str
    type: Any
    required: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """What a class of settings takes.

    Attributes:
        settings: Its settings, by each name that they may be given by.
        closed: Whether any other name is a mistake.
    """

    settings: Mapping[str, Setting]
    closed: bool = True


def is_pydantic(kind: Any) -> bool:
    """Return whether a class is a model or a dataclass of pydantic."""
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__")


def shape_of(kind: Any) -> Shape | None:
    """Return what a class of settings takes; None for any other type.

    Raises:
        NameError: A type of a setting cannot be resolved.
    """
    cls = get_origin(kind) or kind
    if not isinstance(cls, type):
        return None
    if is_pydantic(cls):
        return _pydantic_shape(cls)
    if issubclass(cls, msgspec.Struct):
        return _struct_shape(kind, cls)
    return _dataclass_shape(cls) if dataclasses.is_dataclass(cls) else None


def _struct_shape(kind: Any, cls: type[msgspec.Struct]) -> Shape:
    fields = msgspec.structs.fields(kind)
    settings = [Setting(field.encode_name, field.type, field.required) for field in fields]
    tag = cls.__struct_config__.tag_field
    if tag is not None:
        settings.append(Setting(tag, Any, required=False))
    return Shape({setting.name: setting for setting in settings})


def _dataclass_shape(cls: type) -> Shape:
    hints = get_type_hints(cls, include_extras=True)
    settings: dict[str, Setting] = {}
    for field in dataclasses.fields(cls):
        if field.init:
            required = field.default is field.default_factory is dataclasses.MISSING
            settings[field.name] = Setting(field.name, hints.get(field.name, Any), required)
    return Shape(settings)


def _pydantic_shape(cls: Any) -> Shape:
    config = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None) or {}
    by_name = any(config.get(key) for key in ("populate_by_name", "validate_by_name"))
    closed = config.get("extra") in (None, "forbid") and not _rewrites_its_input(cls)
    settings: dict[str, Setting] = {}
    for name, field in _pydantic_fields(cls).items():
        alias = field.validation_alias or field.alias or name
        if not isinstance(alias, str):  # one of several, or deep inside
            closed, alias = False, name
        for each in (alias, name) if by_name else (alias,):
            settings[each] = Setting(alias, field.annotation, field.is_required())
    return Shape(settings, closed)


def _pydantic_fields(cls: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(cls, "__pydantic_fields__", None) or getattr(cls, "model_fields", {})
    return found


def _rewrites_its_input(cls: Any) -> bool:
    """Whether a validator of the whole model sees the names before the model does."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    validators = getattr(decorators, "model_validators", {}).values()
    return any(validator.info.mode != "after" for validator in validators)


__all__ = ["Setting", "Shape", "is_pydantic", "shape_of"]
