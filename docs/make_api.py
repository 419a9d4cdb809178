#!/usr/bin/env python3
"""Write the pages of docs/reference that come out of the code: api.md, errors.md and components.md.

``python docs/make_api.py`` writes them; a test says when they are out of date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import headrace
from headrace import exceptions
from headrace.authoring.ports import ports_of
from headrace.model.blueprint import CODES
from headrace.model.port import type_name
from headrace.runtime.registry import component_types

FOLDER = Path(__file__).resolve().parent / "reference"
_GENERATED = "<!-- Written by docs/make_api.py from the code; do not edit. -->"
_ATTRIBUTES = re.compile(r"^Attributes:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_ATTRIBUTE = re.compile(r"^    (\w+): (.*?)(?=^    \w|\Z)", re.MULTILINE | re.DOTALL)
_MODULE = re.compile(r"\b(\w+\.)+(?=\w)")
_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Yields):$", re.MULTILINE)


def summary(thing: object) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def for_markdown(text: str) -> str:
    """Return docstring text as Markdown: single backquotes, one line, no bars that would end a cell."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def api_page() -> str:
    """Return the page of the public names."""
    lines = [
        "# Public names",
        "",
        _GENERATED,
        "",
        "`from headrace import NAME`. Each has a docstring: `python -m pydoc headrace.System`.",
        "",
        "| name | what it is |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {for_markdown(summary(getattr(headrace, name)))} |" for name in headrace.__all__]
    lines += [
        "",
        "`headrace.components` has the [standard components](components.md), `headrace.exceptions` the",
        "[errors](errors.md).",
        "",
    ]
    return "\n".join(lines)


def error_classes() -> Iterator[type[exceptions.HeadraceError]]:
    """Yield every error class, each after its base."""

    def below(cls: type[exceptions.HeadraceError]) -> Iterator[type[exceptions.HeadraceError]]:
        yield cls
        for name in exceptions.__all__:
            one = getattr(exceptions, name)
            if one.__bases__[0] is cls:
                yield from below(one)

    yield from below(exceptions.HeadraceError)


def errors_page() -> str:
    """Return the page of the codes and of the error classes."""
    lines = [
        "# Errors",
        "",
        _GENERATED,
        "",
        "## Codes of `headrace check`",
        "",
        "`E` is an error, `W` a warning. A message has the place, the code, what is wrong and how to mend it:",
        "`bp.yaml:6:5: error E102 unknown key 'atempts', did you mean 'attempts'?` See [warnings](warnings.md).",
        "",
        "| code | what is wrong |",
        "|---|---|",
        *(f"| `{code}` | {for_markdown(text)} |" for code, text in sorted(CODES.items())),
        "",
        "## Classes",
        "",
        "All derive from `HeadraceError`. Indentation shows what derives from what.",
        "",
        "| class | code | when it is raised, what to do |",
        "|---|---|---|",
    ]
    for cls in error_classes():
        depth = len([base for base in cls.__mro__ if issubclass(base, exceptions.HeadraceError)]) - 1
        code = f"`{cls.code}`" if issubclass(cls, exceptions.WiringError) else ""
        indent = "&nbsp;&nbsp;" * depth
        lines.append(f"| {indent}`{cls.__name__}` | {code} | {for_markdown(summary(cls))} |")
    return "\n".join([*lines, ""])


def setting_docs(config: type) -> dict[str, str]:
    """Return what a ``Config`` says of its settings, by name."""
    section = _ATTRIBUTES.search(inspect.getdoc(config) or "")
    if section is None:
        return {}
    return {name: for_markdown(text) for name, text in _ATTRIBUTE.findall(section[1])}


def short(kind: Any) -> str:
    """Return a type as a person writes it, without the modules of its names."""
    return _MODULE.sub("", type_name(kind))


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """Return a setting's default as YAML would have it."""
    value: Any = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return "required"
    if value is None or value is msgspec.UNSET:
        return ""
    return f"`{msgspec.json.encode(value, enc_hook=str).decode()}`"


def component_lines(name: str, cls: Any) -> Iterator[str]:
    """Yield the section of one component."""
    prose = _SECTION.split(inspect.getdoc(cls) or "")[0].strip()
    table = ports_of(cls)
    ports = [
        f"{direction} `{port.name}`: `{short(port.type)}`"
        for direction, found in (("in", table.inputs), ("out", table.outputs))
        for port in (found or {}).values()
    ]
    yield from (f"## `{name}`", "", *prose.replace("``", "`").splitlines(), "")
    yield from (
        "Ports: " + ", ".join(ports) + ".",
        "",
        "| setting | default | what it says |",
        "|---|---|---|",
    )
    docs = setting_docs(cls.Config)
    for field in msgspec.structs.fields(cls.Config):
        yield f"| `{field.name}` | {default_of(field)} | {docs[field.name]} |"
    yield ""


def components_page() -> str:
    """Return the page of the standard components."""
    lines = [
        "# Standard components",
        "",
        _GENERATED,
        "",
        "In a blueprint: `type: csv_source`. In Python: `from headrace.components import CsvSource`.",
        "A row is a `dict` of named fields.",
        "",
    ]
    for name, point in component_types().items():
        if point.value.startswith("headrace."):
            lines += component_lines(name, point.load())
    return "\n".join(lines)


PAGES = {"api.md": api_page, "components.md": components_page, "errors.md": errors_page}


if __name__ == "__main__":
    for file, page in PAGES.items():
        (FOLDER / file).write_text(page(), encoding="utf-8")
