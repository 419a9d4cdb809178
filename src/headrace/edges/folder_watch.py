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
        return sorted((path, NAMES[change]) for change, path in found)

    def interrupt(self, since: float = 0.0) -> None:
        """End a wait for changes."""
        self._stop.set()

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._changes = None


__all__ = ["FolderWatch"]
