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
from headrace.model.blueprint_reader import read_tree
from headrace.model.blueprint_tree import Node, Scalar, TreeBuilder
from headrace.runtime.assembly import Assembled, assemble_all

MAX_BYTES = 1 << 20

_LOADER: Any = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # a PyYAML built without libyaml has only the second
_FORBIDDEN = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
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


def read_blueprint(path: str | os.PathLike[str], *, env: Mapping[str, str] | None = None) -> Blueprint:
    """Read a blueprint from a file.

    Args:
        path: The file; modules in its folder may be used as component types.
        env: What ``${NAME}`` stands for; the process's environment where None.

    Raises:
        BlueprintError: It cannot be read, or has mistakes; all of them are in ``problems``.
    """
    return _whole(*_draft_file(path, env))


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
        directory: The folder whose modules may be used as component types; none where None.

    Raises:
        BlueprintError: It has mistakes; all of them are in ``problems``.
    """
    complaints = Complaints(_BREAK.split(text))
    return _whole(_draft(text, file, env, directory, complaints), complaints)


def load_system(
    path: str | os.PathLike[str], *, allow: Iterable[str] = (), env: Mapping[str, str] | None = None
) -> Assembled:
    """Read a blueprint and build its system: what ``headrace check`` and ``headrace run`` both do.

    Args:
        path: The file.
        allow: Packages whose modules may be used as component types, besides those beside the file.
        env: What ``${NAME}`` stands for; the process's environment where None.

    Returns:
        The system, ready to run, and the warnings.

    Raises:
        BlueprintError: It cannot be read or built; mistakes of the file and of the wiring are told together.
    """
    blueprint, complaints = _draft_file(path, env)
    if blueprint is None:
        raise BlueprintError(complaints.problems)
    return assemble_all(blueprint, complaints, allow=allow)


def _whole(blueprint: Blueprint | None, complaints: Complaints) -> Blueprint:
    if blueprint is None or complaints.has_errors:
        raise BlueprintError(complaints.problems)
    return blueprint


# --- bytes ---------------------------------------------------------------------------------------


def _draft_file(
    path: str | os.PathLike[str], env: Mapping[str, str] | None
) -> tuple[Blueprint | None, Complaints]:
    file = os.fspath(path)
    complaints = Complaints()
    content = _content(file, complaints)
    text = None if content is None else _decoded(content, file, complaints)
    if text is None:
        return None, complaints
    complaints = Complaints(_BREAK.split(text))
    return _draft(text, file, env, Path(file).absolute().parent, complaints), complaints


def _content(file: str, complaints: Complaints) -> bytes | None:
    try:
        with open(file, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = (
            "name the file in it" if isinstance(error, IsADirectoryError) else "check the path and its rights"
        )
        complaints.error(Position(file), "E100", f"cannot be read: {reason}", hint)
        return None
    if len(content) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES:,} bytes"
        complaints.error(
            Position(file), "E107", message, "is it a blueprint? Data belongs into files of its own"
        )
        return None
    return content


def _decoded(content: bytes, file: str, complaints: Complaints) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = _BREAK.split(content[: error.start].decode("utf-8-sig", "replace"))
        position = Position(file, len(before), len(before[-1]) + 1)
        message = f"the file is not UTF-8 (byte 0x{content[error.start]:02x})"
        complaints.error(position, "E113", message, "save it as UTF-8")
        return None


# --- events --------------------------------------------------------------------------------------


def _draft(
    text: str,
    file: str,
    env: Mapping[str, str] | None,
    directory: str | os.PathLike[str] | None,
    complaints: Complaints,
) -> Blueprint | None:
    """Read as far as possible; None where there is no telling what was meant."""
    root = _tree(text, file, os.environ if env is None else env, complaints)
    if root is None:
        return None
    if isinstance(root, Scalar) and root.value is None:
        hint = "begin with 'system: NAME' and 'components:'"
        complaints.error(Position(file), "E114", "the file is empty", hint)
        return None
    folder = None if directory is None else os.fspath(directory)
    return read_tree(root, complaints, file=file, directory=folder)


def _tree(text: str, file: str, env: Mapping[str, str], complaints: Complaints) -> Node | None:
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        before = _BREAK.split(text[: forbidden.start()])
        position = Position(file, len(before), len(before[-1]) + 1)
        message = f"the character U+{ord(forbidden[0]):04X} is not allowed"
        complaints.error(position, "E101", message, "delete it, or write it as an escape in double quotes")
        return None
    builder = TreeBuilder(complaints, env)
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
    if "bracket" in hint and "${" in "".join(complaints.lines[position.line - 1 : position.line]):
        hint += "; inside brackets a ${VARIABLE} stands in quotes"
    complaints.error(position, "E101", problem, hint)


__all__ = ["MAX_BYTES", "load_system", "parse_blueprint", "read_blueprint"]
