"""``validate``: messages held against a type or a JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import In, Out
from headrace.exceptions import ComponentError, ConfigError, MissingExtraError
from headrace.model.message import Rejected

from .batches import work_in_batches
from .named import named

_MOST_TOLD = 3  # mistakes of a message in a reason


class Validate(HarnessComponent):
    """Lets messages through that fit a type or a JSON Schema; the others go to ``rejected``, with what is wrong.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: A schema needs the package jsonschema.
    """

    in_: In[Any]
    out: Out[Any]
    rejected: Out[Rejected[Any]]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a validate; ``type`` or ``schema``.

        Attributes:
            type: A type that msgspec converts to (a Struct, a dataclass, ``list[int]``), or ``module:name`` of one
                in a module beside the blueprint, or one that the system has loaded.
            convert: Whether what is sent is of that type, instead of the message as it came.
            strict: Whether ``"5"`` is no number.
            schema: A JSON Schema, or the path of a file with one.
        """

        type: Any = None
        convert: bool = False
        strict: bool = True
        schema: dict[str, Any] | str | None = None

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        settings = self.config
        if (settings.type is None) == (settings.schema is None):
            raise ConfigError("give either type or schema", field="type")
        if settings.schema is None:
            self._check = self._by_type(named(settings.type, "type"))
            return
        for field, default in (("convert", False), ("strict", True)):
            if getattr(settings, field) is not default:
                raise ConfigError(f"{field} is for a type, not for a schema", field=field)
        self._check = self._by_schema(_read(settings.schema))

    def _by_type(self, kind: Any) -> Callable[[Any], Any]:
        settings = self.config
        try:
            msgspec.convert(object(), kind)
        except msgspec.ValidationError:
            pass
        except (TypeError, NameError) as error:
            raise ConfigError(f"type cannot be converted to: {error}", field="type") from None

        def check(message: Any) -> Any:
            made = msgspec.convert(message, kind, strict=settings.strict, from_attributes=True)
            return made if settings.convert else message

        return check

    def _by_schema(self, schema: Any) -> Callable[[Any], Any]:
        try:
            jsonschema, referencing = import_module("jsonschema"), import_module("referencing")
        except ImportError:
            raise MissingExtraError("validate with a schema", "jsonschema") from None
        cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            cls.check_schema(schema)
        except jsonschema.exceptions.SchemaError as error:
            raise ConfigError(f"schema is no JSON Schema: {error.message}", field="schema") from None
        validator = cls(schema, registry=referencing.Registry())  # which fetches nothing

        def check(message: Any) -> Any:
            try:
                errors = sorted(validator.iter_errors(message), key=lambda error: error.json_path)
            except referencing.exceptions.Unresolvable as error:
                raise ComponentError(
                    f"{self.name}: schema cannot be used: {error}", component=self.name
                ) from error
            if errors:
                told = [f"{error.json_path}: {error.message}" for error in errors[:_MOST_TOLD]]
                more = [f"and {len(errors) - _MOST_TOLD} more"] if len(errors) > _MOST_TOLD else []
                raise ValueError("; ".join([*told, *more]))
            return message

        return check

    async def process(self) -> None:
        """Send what fits.

        Raises:
            ComponentError: The schema refers to something that is not in it.
        """
        await work_in_batches(self.in_, self._work, self.out, self.rejected)

    def _work(self, messages: list[Any]) -> tuple[list[Any], list[Rejected[Any]]]:
        good: list[Any] = []
        rejected: list[Rejected[Any]] = []
        for message in messages:
            try:
                good.append(self._check(message))
            except (ValueError, RecursionError, msgspec.ValidationError) as error:
                rejected.append(Rejected(message, str(error)))
        return good, rejected


def _read(schema: dict[str, Any] | str) -> Any:
    if not isinstance(schema, str):
        return schema
    try:
        return json.loads(Path(schema).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"schema cannot be read: {error}", field="schema") from None


__all__ = ["Validate"]
