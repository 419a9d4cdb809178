"""A component's configuration, converted to its declared type so that mistakes show before anything runs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean

_PATH = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


def convert_settings(config: Mapping[str, Any], into: Any) -> Any:
    """Convert a mapping to a declared type (a msgspec Struct or a dataclass).

    Text becomes a path where a path is declared; otherwise types are strict: ``"5"`` is no number.

    Args:
        config: The settings by name.
        into: The type to make of them.

    Raises:
        ConfigError: A setting is unknown, missing or of the wrong type (``field`` names it), or ``into``
            is not a type that settings can be converted to.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"settings are a mapping of names to values, not {config!r}")
    try:
        _refuse_unknown(config, _known(into))
        return msgspec.convert(dict(config), into, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise _readable(str(error)) from None
    except (TypeError, NameError) as error:
        raise ConfigError(f"{_name(into)}: {error}", hint="declare settings of simpler types") from error


def can_convert(kind: Any) -> bool:
    """Return whether ``convert_settings`` can check a setting declared with this type."""
    try:
        msgspec.convert(object(), kind, dec_hook=_decode)
    except msgspec.ValidationError:
        return True
    except (TypeError, NameError):
        return False
    return True


def _known(into: Any) -> list[str]:
    if isinstance(into, type) and issubclass(into, msgspec.Struct):
        return [field.encode_name for field in msgspec.structs.fields(into)]
    if isinstance(into, type) and dataclasses.is_dataclass(into):
        return [field.name for field in dataclasses.fields(into) if field.init]
    raise ConfigError(f"{_name(into)} cannot hold settings", hint="use a msgspec Struct or a dataclass")


def _refuse_unknown(config: Mapping[str, Any], known: list[str]) -> None:
    for name in config:
        if name not in known:
            hint = did_you_mean(str(name), known) if known else "there are no settings"
            raise ConfigError(f"unknown setting '{name}'", hint=hint, field=str(name))


def _decode(kind: Any, value: Any) -> Any:
    is_path = isinstance(kind, type) and issubclass(kind, PurePath)
    return kind(value) if is_path and isinstance(value, str) else value


def _readable(text: str) -> ConfigError:
    """Return msgspec's message as ours, with the setting it is about in front."""
    found = _PATH.search(text)
    path = found["path"] if found else ""
    reason = _PATH.sub("", text)
    missing = _MISSING.search(text)
    if missing:
        field = f"{path}.{missing['name']}" if path else missing["name"]
        return ConfigError(f"setting '{field}' is missing", field=field)
    return ConfigError(f"setting '{path}': {reason}" if path else reason, field=path)


def _name(into: Any) -> str:
    return getattr(into, "__name__", None) or repr(into)


__all__ = ["can_convert", "convert_settings"]
