"""``folder_source``: the files of a folder, as they come, change and go (``pip install 'headrace[watch]'``)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter

from headrace.authoring.harness_component import HarnessComponent
from headrace.authoring.ports import Out
from headrace.edges.interruptible_thread import InterruptibleThread
from headrace.exceptions import ConfigError, InputFileError, MissingExtraError, UnavailableError

from .connection import Connection
from .rows import Row
from .times import Duration, seconds

if TYPE_CHECKING:
    from headrace.edges.folder_watch import FolderWatch

T = TypeVar("T")

Change = Literal["added", "modified", "deleted"]

_Look = tuple[int, int]  # size, and time of the last change


class FolderSource(HarnessComponent):
    """Sends ``{"path": ..., "change": ...}`` for each file of a folder that comes, changes or goes.

    A file that is still being written is told once it has not changed for ``quiet``. A folder that is gone makes
    the component not ready, until it is back.

    Args:
        name: Names the component.
        config: See ``Config``.

    Raises:
        ConfigError: The settings do not fit.
        MissingExtraError: The package watchfiles is missing.
    """

    out: Out[Row]

    class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
        """Settings of a folder source.

        Attributes:
            path: The folder.
            pattern: Which files of it, by their path in it: ``*.csv``, ``2026/*``.
            recursive: Whether the folders in it are watched too.
            existing: Whether the files that are there at the beginning are told, as ``added``.
            changes: What is told: ``added``, ``modified``, ``deleted``.
            quiet: How long a file must not have changed before it is told.
        """

        path: str
        pattern: str = "*"
        recursive: bool = True
        existing: bool = True
        changes: list[Change] = msgspec.field(default_factory=lambda: ["added", "modified"])
        quiet: Duration = 0.5

    config: Config

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config)
        if not self.config.path:
            raise ConfigError("path is empty", hint="name the folder", field="path")
        if not self.config.changes:
            raise ConfigError("changes is empty", field="changes")
        self._quiet = seconds(self.config.quiet, "quiet", or_zero=True)
        self._watch = self._make_watch()
        self._thread = InterruptibleThread(self._watch.interrupt)
        self._folder = Connection(self.config.path)
        self._known: dict[str, _Look] = {}
        self._pending: dict[str, float] = {}

    def _make_watch(self) -> FolderWatch:
        try:
            from headrace.edges.folder_watch import FolderWatch
        except ImportError:
            raise MissingExtraError("folder_source", "watch") from None
        return FolderWatch(self.config.path, recursive=self.config.recursive)

    async def setup(self, harness_context: Mapping[str, Any] | None = None) -> None:
        """Look for the folder.

        Raises:
            InputFileError: It is not there.
        """
        await super().setup(harness_context)
        self._folder.begin(self.context)
        self._known, self._pending = {}, {}
        if not await self._in_thread(os.path.isdir, self.config.path):
            raise InputFileError(f"{self.config.path}: no such folder; check `path`")

    async def process(self) -> None:
        """Tell of all changes until the system stops."""
        stop = self.context.stop_event
        is_first = True
        async with self._thread.watched(stop.wait):
            while not stop.is_set():
                try:
                    await self._thread.call(self._watch.open)
                    self._folder.found()
                    await self._look_around(tell=self.config.existing or not is_first)
                    is_first = False
                    while not stop.is_set():
                        self._take(await self._thread.call(self._watch.changes))
                        await self._tell_of_what_is_quiet()
                except UnavailableError as error:
                    if not await self._folder.wait_unless_stopping(error):
                        return

    async def _in_thread(self, fn: Callable[..., T], *args: object) -> T:
        return await anyio.to_thread.run_sync(fn, *args, limiter=CapacityLimiter(1))

    async def _look_around(self, *, tell: bool) -> None:
        """Take the files in that are there, without having been told of them."""
        found = await self._in_thread(self._files)
        now = self.context.clock()
        for path, look in found.items():
            if tell and self._known.get(path) != look:
                self._pending[path] = now - self._quiet
            elif not tell:
                self._known[path] = look
        for path in [path for path in self._known if path not in found]:
            self._pending[path] = now

    def _files(self) -> dict[str, _Look]:
        found: dict[str, _Look] = {}
        for folder, folders, names in os.walk(self.config.path):
            if not self.config.recursive:
                folders.clear()
            folders.sort()
            for path in (os.path.join(folder, name) for name in sorted(names)):
                look = _look_at(path)
                if look is not None and self._is_wanted(path):
                    found[path] = look
        return found

    def _is_wanted(self, path: str) -> bool:
        return fnmatchcase(os.path.relpath(path, self.config.path), self.config.pattern)

    def _take(self, changes: list[tuple[str, str]]) -> None:
        now = self.context.clock()
        for path, _ in changes:
            if self._is_wanted(path):
                self._pending[path] = now

    async def _tell_of_what_is_quiet(self) -> None:
        now = self.context.clock()
        for path in [path for path, since in self._pending.items() if now - since >= self._quiet]:
            del self._pending[path]
            before, look = self._known.get(path), await self._in_thread(_look_at, path)
            if look == before:
                continue
            if look is None:
                del self._known[path]
            else:
                self._known[path] = look
            change = "deleted" if look is None else "added" if before is None else "modified"
            if change in self.config.changes:
                await self.out.send({"path": path, "change": change})

    async def cleanup(self) -> None:
        """Watch no more, and close the streams."""
        self._watch.close()
        await super().cleanup()

    async def health_check(self) -> dict[str, Any]:
        """Add whether the folder is there, and how many files are known."""
        return {**await super().health_check(), **self._folder.health(), "files": len(self._known)}


def _look_at(path: str) -> _Look | None:
    """Return what is seen of a file; None where there is none of that name."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_size, status.st_mtime_ns


__all__ = ["FolderSource"]
