"""What a function component is given besides the message: its settings, and resources of the system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from headrace.exceptions import ConfigError
from headrace.model.options import Attempts

from .context import Context
from .resource import ResourceNeed

_OPTIONS = frozenset(field.name for field in fields(Attempts)) | {"restart"}


def refuse_options(config: Mapping[str, Any], settings: type[Any]) -> None:
    """Say where an option of the decorator belongs that was given as a setting.

    Raises:
        ConfigError: There is one among the settings.
    """
    for name, value in config.items():
        if name in _OPTIONS and name not in settings.__struct_fields__:
            hint = f"write it in the decorator: `@component({name}={value!r})`"
            raise ConfigError(f"unknown setting '{name}'", hint=hint, field=name)


def resources_for(name: str, needs: Mapping[str, ResourceNeed], context: Context) -> dict[str, Any]:
    """Return the resources that a function asks for, by parameter.

    Raises:
        ConfigError: There is none of that name.
    """
    given = context.resources
    missing = [need.name for need in needs.values() if need.name not in given and not need.optional]
    if missing:
        raise ConfigError(
            f"{name}: there is no resource '{missing[0]}'", hint="system.resource(name, factory)"
        )
    return {wanted: given[wanted] for wanted in needs if wanted in given}


__all__ = ["refuse_options", "resources_for"]
