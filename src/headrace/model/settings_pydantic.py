"""What pydantic says of settings, in our words; known by its classes, and never imported here."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from headrace.exceptions import ConfigError

from .endpoint import did_you_mean

_PREFIX = re.compile(r"^(Value error|Assertion failed), ")
_QUOTED = re.compile(r"'([^']*)'")


def validate(kind: Any, value: Any) -> Any:
    """Make an object of a pydantic class.

    Raises:
        ValueError: The settings do not fit: pydantic's own error.
    """
    return kind.__pydantic_validator__.validate_python(value)


def pydantic_errors(path: str, value: Any, kind: Any, told: Collection[str] = ()) -> list[ConfigError]:
    """Return what pydantic does not like about settings, one error for each setting.

    Args:
        path: Where the settings are in those of the component.
        value: The settings.
        kind: The model, or the dataclass of pydantic.
        told: The paths of settings of which something is told already.
    """
    try:
        validate(kind, value)
    except ValueError as error:
        details: Callable[[], list[dict[str, Any]]] | None = getattr(error, "errors", None)
        if details is None:
            raise
        return _by_field(path, value, details(), told)
    return []


def _by_field(
    path: str, value: Any, details: list[dict[str, Any]], told: Collection[str]
) -> list[ConfigError]:
    """Return one error for each setting: of a union, pydantic tells what each member says."""
    reasons: dict[str, list[str]] = {}
    hints: dict[str, str] = {}
    for detail in details:
        field = _field(path, value, detail["loc"], detail["type"] == "missing")
        reason, hint = _reason(detail)
        if field not in told and reason not in reasons.setdefault(field, []):
            reasons[field].append(reason)
            hints[field] = hint
    return [_error(field, each, hints[field]) for field, each in reasons.items() if each]


def _error(field: str, reasons: list[str], hint: str) -> ConfigError:
    if reasons == ["missing"]:
        return ConfigError(
            f"setting '{field}' is missing", hint=f"add '{field.rpartition('.')[2]}: ...'", field=field
        )
    told = ", or ".join(reason for reason in reasons if reason != "missing")
    return ConfigError(f"setting '{field}': {told}" if field else told, hint=hint, field=field)


def _field(path: str, value: Any, location: Sequence[Any], missing: bool) -> str:
    """Return a path; parts of the location that are no names in the settings are members of unions."""
    last = len(location) - 1
    for number, part in enumerate(location):
        if isinstance(value, Mapping) and part in value:
            path, value = f"{path}.{part}", value[part]
        elif isinstance(part, int) and isinstance(value, Sequence) and part < len(value):
            path, value = f"{path}[{part}]", value[part]
        elif missing and number == last:
            path = f"{path}.{part}"
    return path.lstrip(".")


def _reason(detail: Mapping[str, Any]) -> tuple[str, str]:
    if detail["type"] == "missing":
        return "missing", ""
    if detail["type"] in ("literal_error", "enum"):
        expected = str(detail.get("ctx", {}).get("expected", ""))
        given = detail.get("input")
        near = did_you_mean(given, _QUOTED.findall(expected)) if isinstance(given, str) else ""
        return f"{given!r} is not one of {expected}", near if "mean" in near else ""
    return _PREFIX.sub("", " ".join(str(detail["msg"]).split())), ""


__all__ = ["pydantic_errors", "validate"]
