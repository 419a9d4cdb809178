"""Blueprints in YAML: bytes to events to a tree, with every limit checked before anything grows.

PyYAML's parser gives events, which is all that is asked of it: nothing is composed or constructed, so a
hostile file costs no more than its own size.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from headrace.exceptions import BlueprintError
from headrace.model.blueprint import Blueprint, Complaints, Position
from headrace.model.blueprint_tree import MAX_DEPTH, Node, Scalar, TreeBuilder
from headrace.runtime.assembly import Assembled, assemble_all
from headrace.runtime.blueprint_files import MAX_BYTES, split_lines
from headrace.runtime.blueprint_loader import BlueprintLoader

_LOADER: Any = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # a PyYAML built without libyaml has only the second
_FORBIDDEN = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_MENDS = (
    ("mapping values are not allowed", "put a text that contains ': ' in quotes, or check the indentation"),
    ("cannot start any token", "indent with spaces, and put a text that begins with @, ` or % in quotes"),
    ("unexpected end of stream", "close the quote"),
    ("expected ',' or", "close the bracket"),
    ("expected key", "check the indentation"),
    ("expected '-' indicator", "check the indentation"),
    ("expected ':'", "write 'key: value'"),
    ("unknown escape", "use single quotes, or double the backslash"),
    ("<document start>", "delete what follows, or check brackets and indentation"),
)


def read_blueprint(*paths: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Blueprint:
    """Read a blueprint from a file, or from several that are merged.

    Args:
        paths: The files: each changes what those before it say. Modules in the folder of the first may be used
            as component types.
        env: What ``${NAME}`` stands for; the process's environment where None.

    Raises:
        BlueprintError: It cannot be read, or has mistakes; all of them are in ``problems``.
    """
    loader = _loader(env)
    return _whole(loader.load(_names(paths)), loader.complaints)


def parse_blueprint(
    text: str,
    file: str = "<text>",
    *,
    env: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Blueprint:
    """Read a blueprint from a text.

    Args:
        text: The YAML.
        file: What to call it in messages.
        env: What ``${NAME}`` stands for; the process's environment where None.
        directory: The folder whose modules may be used as component types, and in which the files are that it
            names; none where None.

    Raises:
        BlueprintError: It has mistakes; all of them are in ``problems``.
    """
    loader = _loader(env)
    folder = None if directory is None else Path(directory)
    return _whole(loader.load_text(text, file, folder), loader.complaints)


def load_system(
    *paths: str | os.PathLike[str], allow: Iterable[str] = (), env: Mapping[str, str] | None = None
) -> Assembled:
    """Read a blueprint and build its system: what ``headrace check`` and ``headrace run`` both do.

    Args:
        paths: The file, or several that are merged: each changes what those before it say.
        allow: Packages whose modules may be used as component types, besides those beside the file.
        env: What ``${NAME}`` stands for; the process's environment where None.

    Returns:
        The system, ready to run, and the warnings.

    Raises:
        BlueprintError: It cannot be read or built; mistakes of the file and of the wiring are told together.
    """
    loader = _loader(env)
    blueprint = loader.load(_names(paths))
    if blueprint is None or loader.is_full:
        raise BlueprintError(loader.complaints.problems)
    return assemble_all(blueprint, loader.complaints, allow=allow)


def _loader(env: Mapping[str, str] | None) -> BlueprintLoader:
    return BlueprintLoader(_tree, os.environ if env is None else env)


def _names(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    names = [os.fspath(path) for path in paths]
    if not names:
        raise TypeError("name at least one file")
    return names


def _whole(blueprint: Blueprint | None, complaints: Complaints) -> Blueprint:
    if blueprint is None or complaints.has_errors:
        raise BlueprintError(complaints.problems)
    return blueprint


# --- events --------------------------------------------------------------------------------------


def _tree(text: str, file: str, builder: TreeBuilder) -> Node | None:
    """Make a tree of a text; None where that was complained of."""
    complaints = builder.complaints
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        before = split_lines(text[: forbidden.start()])
        position = Position(file, len(before), len(before[-1]) + 1)
        message = f"the character U+{ord(forbidden[0]):04X} is not allowed"
        complaints.error(position, "E101", message, "delete it, or write it as an escape in double quotes")
        return None
    try:
        complete = _feed(builder, text, file)
    except yaml.YAMLError as error:
        _complain_of_syntax(error, file, complaints)
        return None
    if complete and builder.root is None:
        return Scalar(None, "", Position(file))
    return builder.root if complete else None


def _feed(builder: TreeBuilder, text: str, file: str) -> bool:
    """Hand the parser's events to the builder, until the end or until a limit stops it."""
    documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                position = _position(event.start_mark, file)
                builder.complaints.error(
                    position, "E101", "a second document begins here", "one file holds one blueprint"
                )
                return False
        else:
            _feed_one(builder, event, file)
        if builder.stopped:
            return False
    return True


def _feed_one(builder: TreeBuilder, event: Any, file: str) -> None:
    position = _position(event.start_mark, file)
    if isinstance(event, yaml.ScalarEvent):
        is_plain = bool(event.implicit[0])
        builder.scalar(
            event.value,
            position,
            is_plain=is_plain or event.tag is not None,
            lead=_lead(event),
            anchor=event.anchor,
            tag=event.tag,
        )
    elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
        is_table = isinstance(event, yaml.MappingStartEvent)
        builder.open(position, is_table=is_table, anchor=event.anchor, tag=event.tag)
    elif isinstance(event, yaml.AliasEvent):
        builder.alias(str(event.anchor), position)
    elif isinstance(event, yaml.CollectionEndEvent):
        builder.close()


def _lead(event: Any) -> int | None:
    """Return how far after its mark a scalar's text begins, where it stands there as it is."""
    start, end = event.start_mark, event.end_mark
    around = end.column - start.column - len(event.value)
    one_line = start.line == end.line and event.anchor is None
    return around // 2 if one_line and around in (0, 2) else None


def _position(mark: Any, file: str) -> Position:
    return Position(file, mark.line + 1, mark.column + 1)


def _complain_of_syntax(error: yaml.YAMLError, file: str, complaints: Complaints) -> None:
    problem = str(getattr(error, "problem", None) or error).partition("\n")[0]
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context", None)
    began = getattr(error, "context_mark", None)
    if context and began is not None:
        if "end of stream" in problem:
            mark, problem = began, f"{problem} {context}"
        elif "next token" not in context:
            problem = f"{problem} {context} (from line {began.line + 1})"
    hint = next((mend for sign, mend in _MENDS if sign in problem), "check quotes, brackets and indentation")
    position = Position(file) if mark is None else _position(mark, file)
    if (
        "nesting depth" in problem
    ):  # libyaml has a limit of its own, which it may reach before its first event
        complaints.error(position, "E107", f"more than {MAX_DEPTH} levels deep", "make it flatter")
        return
    if "bracket" in hint and "${" in complaints.sources.line_at(position):
        hint += "; inside brackets a ${VARIABLE} stands in quotes"
    complaints.error(position, "E101", problem, hint)


__all__ = ["MAX_BYTES", "load_system", "parse_blueprint", "read_blueprint"]
