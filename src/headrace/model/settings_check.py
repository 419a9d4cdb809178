"""All mistakes in a component's settings at once, where the conversion itself stops at the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean
from .settings import convert_settings


def find_setting_errors(config: Mapping[str, Any], into: Any) -> list[ConfigError]:
    """Return what is wrong with settings: unknown ones, those of the wrong type, and missing ones.

    Args:
        config: The settings by name.
        into: The type they are for; anything but a msgspec Struct is checked as a whole.
    """
    if not (isinstance(into, type) and issubclass(into, msgspec.Struct)):
        return _whole(config, into)
    known = {field.encode_name: field for field in msgspec.structs.fields(into)}
    found = [_unknown(str(name), known) for name in config if name not in known]
    for name, field in known.items():
        if name in config:
            found += _one(name, config[name], field.type)
        elif field.required and not any(f"did you mean '{name}'?" == error.hint for error in found):
            found.append(ConfigError(f"setting '{name}' is missing", hint=f"add '{name}: ...'", field=name))
    return found or _whole(config, into)


def _unknown(name: str, known: Iterable[str]) -> ConfigError:
    hint = did_you_mean(name, known) if known else "there are no settings"
    return ConfigError(f"unknown setting '{name}'", hint=hint, field=name)


def _one(name: str, value: Any, kind: Any) -> list[ConfigError]:
    probe = msgspec.defstruct("Setting", [(name, kind)])
    return _whole({name: value}, probe)


def _whole(config: Mapping[str, Any], into: Any) -> list[ConfigError]:
    try:
        convert_settings(config, into)
    except ConfigError as error:
        return [error]
    return []


__all__ = ["find_setting_errors"]
