"""Types and functions that settings name as ``module:name``."""

from __future__ import annotations

import sys
from typing import Any

from headrace.exceptions import ComponentTypeError, ConfigError
from headrace.runtime.registry import registry_in_use


def named(what: Any, field: str) -> Any:
    """Return what a setting names; what is no text is meant itself.

    Args:
        what: ``module:name`` of something in a module beside the blueprint (of the current folder, where there is
            none), or that the system has loaded.
        field: The name of the setting.

    Raises:
        ConfigError: There is none of that name.
    """
    if not isinstance(what, str):
        return what
    module, _, attribute = what.partition(":")
    loaded = sys.modules.get(module)
    if loaded is not None and hasattr(loaded, attribute):
        return getattr(loaded, attribute)
    try:
        return registry_in_use().resolve(what if ":" in what else f"{what}:")
    except ComponentTypeError as error:
        raise ConfigError(f"{field}: {error}", field=field) from error


__all__ = ["named"]
