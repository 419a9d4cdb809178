"""Where a component comes from, for its details on the page: its source line, its registration, its settings.

Settings may hold what nobody should read: secrets, and what is called like one, are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any

from headrace.exceptions import ConfigError
from headrace.model.plain import fields_of, plain
from headrace.model.secret import HIDDEN
from headrace.model.settings import convert_settings
from headrace.runtime.member import Member
from headrace.runtime.type_names import settings_type_of

_PRIVATE = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|api_?key|private_?key|auth|dsn$", re.I)
_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")


def source_of(member: Member) -> str:
    """Return file and line of what a component does; nothing where that is no Python."""
    function = getattr(getattr(member.component, "function", None), "fn", None)
    function = getattr(function, "func", function) or type(member.component).process
    code = getattr(function, "__code__", None)
    return f"{_shown(code.co_filename)}:{code.co_firstlineno}" if isinstance(code, CodeType) else ""


def registered_at(member: Member) -> str:
    """Return file and line of the call that registered it; nothing where that was a blueprint."""
    file, line = member.where
    return f"{_shown(file)}:{line}" if file else ""


def settings_of(member: Member, hide: Callable[[str], str]) -> dict[str, Any]:
    """Return the settings of a component as plain data, with those that it has by itself.

    Args:
        member: The component.
        hide: Takes secrets out of a text.
    """
    kind = settings_type_of(member.factory)
    made: Any = dict(member.config)
    if kind is not None:
        with suppress(ConfigError):  # what was right when it was registered is shown as it was given
            made = convert_settings(member.config, kind)
    table = made if isinstance(made, Mapping) else fields_of(made) or {}
    return {str(name): _cleaned(str(name), plain(value), hide) for name, value in table.items()}


def _cleaned(name: str, value: Any, hide: Callable[[str], str]) -> Any:
    if _PRIVATE.search(name) and value not in ("", None, [], {}):
        return HIDDEN
    if isinstance(value, str):
        return _IN_URL.sub(f"{HIDDEN}@", hide(value))
    if isinstance(value, dict):
        return {key: _cleaned(str(key), item, hide) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(name, item, hide) for item in value]
    return value


def _shown(file: str) -> str:
    """Return a path below this folder from here, and of any other its name: no more is told of a computer."""
    path = Path(file)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name


__all__ = ["registered_at", "settings_of", "source_of"]
