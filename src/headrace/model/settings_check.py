"""All mistakes in a component's settings at once, each with its path, where a conversion stops at the first."""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean
from .secret import Secret
from .settings_pydantic import pydantic_errors, validate
from .settings_shape import Shape, is_pydantic, shape_of

_PATH = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`$")
_NUMBER = re.compile(r"Expected `(int|float|bool)[^`]*`.*, got `str`")
_MANY = (list, tuple, set, frozenset)

Errors = list[ConfigError]


def find_setting_errors(config: Mapping[str, Any], into: Any) -> Errors:
    """Return what is wrong with settings: unknown ones, those of the wrong type, and missing ones.

    Args:
        config: The settings by name.
        into: The type they are for: a msgspec Struct, a dataclass or a pydantic model.
    """
    return read_settings(config, into)[1]


def read_settings(config: Any, into: Any) -> tuple[Any, Errors]:
    """Return the settings as their declared type, and what is wrong with them; one of the two is empty."""
    if not isinstance(config, Mapping):
        return None, [ConfigError(f"settings are a mapping of names to values, not {config!r}")]
    try:
        if shape_of(into) is None:
            hint = "use a msgspec Struct, a dataclass or a pydantic model"
            return None, [ConfigError(f"{_name(into)} cannot hold settings", hint=hint)]
        found = _check("", dict(config), into)
        return (None, found) if found else (_convert(dict(config), into), [])
    except Exception as error:  # a declaration that cannot be resolved, or the class's own code fails
        hint = "declare settings of simpler types" if isinstance(error, (TypeError, NameError)) else ""
        return None, [ConfigError(f"{_name(into)}: {_in_words(error)}", hint=hint)]


def decode(kind: Any, value: Any) -> Any:
    """Make what msgspec cannot make by itself: a path or a secret of a text, a pydantic model of a mapping."""
    if is_pydantic(kind):
        return validate(kind, value)
    is_text = isinstance(kind, type) and issubclass(kind, (PurePath, Secret))
    return kind(value) if is_text and type(value) is str else value


def _convert(value: Any, kind: Any) -> Any:
    return validate(kind, value) if is_pydantic(kind) else msgspec.convert(value, kind, dec_hook=decode)


def _check(path: str, value: Any, declared: Any) -> Errors:
    """Look at the parts first, so that each mistake in them is told, and then at the whole."""
    kind = _chosen(declared, value)
    shape = shape_of(kind)
    if is_pydantic(kind):
        unknown = list(_unknown_within(path, value, kind))
        return unknown + pydantic_errors(path, value, kind, {error.field for error in unknown})
    if shape is not None and isinstance(value, Mapping):
        found = _check_settings(path, value, shape)
    else:
        found = [error for part in _parts(path, value, kind) for error in _check(*part)]
    return found or _check_whole(path, value, declared)


def _check_settings(path: str, config: Mapping[Any, Any], shape: Shape) -> Errors:
    found = list(_unknown(path, config, shape))
    meant = {error.hint for error in found}
    for name, setting in shape.settings.items():
        if name in config:
            found += _check(_join(path, name), config[name], setting.type)
        elif setting.required and f"did you mean '{name}'?" not in meant:
            field = _join(path, name)
            found.append(ConfigError(f"setting '{field}' is missing", hint=f"add '{name}: ...'", field=field))
    return found


def _unknown(path: str, config: Mapping[Any, Any], shape: Shape) -> Iterator[ConfigError]:
    for name in config:
        if shape.closed and name not in shape.settings:
            hint = did_you_mean(str(name), shape.settings) if shape.settings else "there are no settings"
            field = _join(path, str(name))
            yield ConfigError(f"unknown setting '{field}'", hint=hint, field=field)


def _unknown_within(path: str, value: Any, declared: Any) -> Iterator[ConfigError]:
    """Yield the unknown settings of a pydantic model and of those in it: it would not say a word."""
    kind = _chosen(declared, value)
    shape = shape_of(kind)
    if shape is None:
        for part in _parts(path, value, kind):
            yield from _unknown_within(*part)
    elif isinstance(value, Mapping):
        yield from _unknown(path, value, shape)
        for name, setting in shape.settings.items():
            if name in value:
                yield from _unknown_within(_join(path, name), value[name], setting.type)


def _chosen(declared: Any, value: Any) -> Any:
    """Return the member of a union that a value is meant for, where that is plain to see."""
    while get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    if get_origin(declared) not in (Union, types.UnionType):
        return declared
    members = [member for member in get_args(declared) if member is not type(None)]
    if isinstance(value, Mapping):
        tagged = [member for member in members if _has_tag_of(member, value)]
        shaped = [member for member in members if shape_of(member) is not None]
        members = tagged or (shaped if len(shaped) == 1 else members)
    return _chosen(members[0], value) if len(members) == 1 and value is not None else declared


def _has_tag_of(kind: Any, value: Mapping[Any, Any]) -> bool:
    config: Any = getattr(get_origin(kind) or kind, "__struct_config__", None)
    return config is not None and config.tag is not None and value.get(config.tag_field) == config.tag


def _parts(path: str, value: Any, kind: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, value and type of what a list or a table holds."""
    origin, arguments = get_origin(kind), get_args(kind)
    if not isinstance(origin, type) or not arguments:
        return
    if isinstance(value, Mapping):
        if issubclass(origin, Mapping):
            for name, item in value.items():
                yield _join(path, str(name)), item, arguments[-1]
    elif isinstance(value, _MANY) and issubclass(origin, Iterable) and not issubclass(origin, Mapping):
        yield from _items(path, value, origin, arguments)


def _items(
    path: str, value: Iterable[Any], origin: type, arguments: Sequence[Any]
) -> Iterator[tuple[str, Any, Any]]:
    of_one_kind = not issubclass(origin, tuple) or Ellipsis in arguments
    for number, item in enumerate(value):
        kind = arguments[0] if of_one_kind else next(iter(arguments[number : number + 1]), Any)
        yield f"{path}[{number}]", item, kind


def _check_whole(path: str, value: Any, kind: Any) -> Errors:
    try:
        msgspec.convert(value, kind, dec_hook=decode)
    except msgspec.ValidationError as error:
        return [_readable(path, value, kind, str(error))]
    return []


def _readable(path: str, value: Any, kind: Any, text: str) -> ConfigError:
    """Return msgspec's message as ours, with the setting it is about in front."""
    place = _PATH.search(text)
    field = f"{path}{place['path']}".lstrip(".") if place else path
    reason = _PATH.sub("", text)
    legal = _legal(kind)
    if legal and place is None:
        near = (
            did_you_mean(value, [one for one in legal if isinstance(one, str)])
            if isinstance(value, str)
            else ""
        )
        reason = f"{value!r} is not one of {', '.join(repr(one) for one in legal)}"
        return ConfigError(f"setting '{field}': {reason}", hint=near if "mean" in near else "", field=field)
    hint = "write it without quotes" if _NUMBER.match(reason) and _is_number(value) else ""
    return ConfigError(f"setting '{field}': {reason}" if field else reason, hint=hint, field=field)


def _legal(kind: Any) -> list[Any]:
    """Return the values that may be written, where a type lists them all."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [member.value for member in kind]
    if get_origin(kind) in (Union, types.UnionType):
        members = [_legal(member) for member in get_args(kind) if member is not type(None)]
        return [value for values in members for value in values] if all(members) else []
    return []


def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?|true|false", value.strip()) is not None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _in_words(error: Exception) -> str:
    told = " ".join(str(error).split())
    plain = isinstance(error, (TypeError, NameError, ValueError)) and told
    return told if plain else f"{type(error).__name__}: {told}".rstrip(": ")


def _name(into: Any) -> str:
    return getattr(into, "__name__", None) or repr(into)


__all__ = ["decode", "find_setting_errors", "read_settings"]
