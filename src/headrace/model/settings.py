"""A component's configuration, converted to its declared type so that mistakes show before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def convert_settings(config: Mapping[str, Any], into: Any) -> Any:
    """Convert a mapping to a declared type (a msgspec Struct or a dataclass).

    Args:
        config: The settings by name.
        into: The type to make of them.

    Raises:
        ConfigError: A setting is unknown, missing or of the wrong type; ``field`` names it.
    """
    known = [field.name for field in msgspec.structs.fields(into)] if _is_struct(into) else []
    for name in config:
        if known and name not in known:
            raise ConfigError(
                f"unknown setting '{name}'", hint=did_you_mean(str(name), known), field=str(name)
            )
    try:
        return msgspec.convert(dict(config), into)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        field = found["path"] if found else _missing_field(text)
        reason = _PATH.sub("", text)
        what = f"setting '{field}': {reason}" if found else reason
        raise ConfigError(what[0].lower() + what[1:], field=field) from None


def _missing_field(text: str) -> str:
    found = re.search(r"required field `([^`]*)`", text)
    return found[1] if found else ""


def _is_struct(into: Any) -> bool:
    return isinstance(into, type) and issubclass(into, msgspec.Struct)


__all__ = ["convert_settings"]
