"""A component's configuration, converted to its declared type so that mistakes show before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.exceptions import ConfigError

from .settings_check import decode, read_settings


def convert_settings(config: Mapping[str, Any], into: Any) -> Any:
    """Convert a mapping to a declared type: a msgspec Struct, a dataclass or a pydantic model.

    Text becomes a path where a path is declared; otherwise types are strict (``"5"`` is no number), except
    those of pydantic, which decides by itself.

    Args:
        config: The settings by name.
        into: The type to make of them.

    Raises:
        ConfigError: Settings are unknown, missing or wrong (all are told; ``field`` is the path of the first,
            such as ``servers[1].port``), or ``into`` is not a type that settings can be converted to.
    """
    made, errors = read_settings(config, into)
    if len(errors) > 1:
        told = "; ".join(str(error) for error in errors)
        raise ConfigError(f"{len(errors)} mistakes in the settings: {told}", field=errors[0].field)
    if errors:
        raise errors[0]
    return made


def can_convert(kind: Any) -> bool:
    """Return whether ``convert_settings`` can check a setting declared with this type."""
    try:
        msgspec.convert(object(), kind, dec_hook=decode)
    except msgspec.ValidationError:
        return True
    except (TypeError, NameError):
        return False
    return True


__all__ = ["can_convert", "convert_settings"]
