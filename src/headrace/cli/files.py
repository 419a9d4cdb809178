"""Writes files whole or not at all: whoever reads one meanwhile, and a full disk, meet no half of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text to a file; what is there already is replaced at once, and only when all is written.

    Raises:
        ClickException: It cannot be written; exit code 2.
    """
    target = Path(path)
    if target.exists() and not target.is_file():  # a pipe or a device is written to, never replaced
        _write(target, text, target)
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _write(draft, text, target)
        with _told(target):
            os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, text: str, shown: Path) -> None:
    with _told(shown):
        path.write_text(text, encoding="utf-8")


class NotWritten(click.ClickException):
    """A file cannot be written; exit code 2."""

    exit_code = 2


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWritten(f"{path} cannot be written: {error.strerror}") from error


__all__ = ["NotWritten", "write_whole"]
