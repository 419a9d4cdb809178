"""Changes in a folder, by watchfiles (``pip install 'headrace[watch]'``). It blocks, so a thread calls it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import watchfiles

from headrace.exceptions import UnavailableError

NAMES = {
    watchfiles.Change.added: "added",
    watchfiles.Change.modified: "modified",
    watchfiles.Change.deleted: "deleted",
}


class FolderWatch:
    """Watches a folder.

    Args:
        folder: The folder.
        recursive: Whether the folders in it too.
    """

    def __init__(self, folder: str, *, recursive: bool) -> None:
        self._folder = folder
        self._recursive = recursive
        self._stop = threading.Event()
        self._changes: Iterator[set[tuple[watchfiles.Change, str]]] | None = None

    def open(self) -> None:
        """Begin to watch: what changes after this is told.

        Raises:
            UnavailableError: The folder is not there.
        """
        self._stop.clear()
        self._changes = watchfiles.watch(
            self._folder,
            watch_filter=None,
            debounce=50,
            step=10,
            rust_timeout=100,
            yield_on_timeout=True,
            recursive=self._recursive,
            stop_event=self._stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        self.changes()

    def changes(self) -> list[tuple[str, str]]:
        """Return what has changed, as ``added``, ``modified`` or ``deleted``, and the path; nothing after 0.1 s.

        Raises:
            UnavailableError: The folder is not there any more.
        """
        assert self._changes is not None
        try:
            found = next(self._changes, set())
        except (OSError, RuntimeError) as error:
            raise UnavailableError(f"{self._folder}: cannot be watched: {error}") from error
        if not os.path.isdir(self._folder):
            raise UnavailableError(f"{self._folder}: the folder is gone")
        told = {(path, NAMES[change]) for change, path in found}
        for path, change in list(told):
            if change == "added" and self._recursive and os.path.isdir(path):
                told.update(_in_new_folder(path))
        return sorted(told)

    def interrupt(self, since: float = 0.0) -> None:
        """End a wait for changes."""
        self._stop.set()

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._changes = None


def _in_new_folder(path: str) -> Iterator[tuple[str, str]]:
    """Yield the files of a folder that has just come: those that were in it before it was watched are not told."""
    for folder, _, names in os.walk(path):
        for name in names:
            yield os.path.join(folder, name), "added"


__all__ = ["FolderWatch"]
