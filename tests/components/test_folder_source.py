"""``folder_source``: what it tells of files that come, change, go, and of a folder that does."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from headrace import Backoff, System, SystemFailed
from headrace.components import FolderSource
from headrace.exceptions import ConfigError, MissingExtraError


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what a watch sees sets no event of ours
            await anyio.sleep(0.005)


@asynccontextmanager
async def watching(
    folder: Path, collect: Any, **config: Any
) -> AsyncIterator[tuple[Any, list[tuple[str, str]]]]:
    """Run a source; yields it, and what it has told: names and changes. It is stopped at the end."""
    told: list[tuple[str, str]] = []

    class Told(collect):  # type: ignore[misc, valid-type]
        async def process(self) -> None:
            async for row in self.in_:
                self.note(row)

        def note(self, row: dict[str, str]) -> None:
            told.append((os.path.relpath(row["path"], folder), row["change"]))

    system = System("watching")
    source: Any = system.add("files", FolderSource, {"path": str(folder), "quiet": 0.05, **config}).component
    source._folder._backoff = Backoff(first=0.01, longest=0.05)
    system.add("told", Told("told"))
    system.connect("files.out", "told.in")
    async with anyio.create_task_group() as group:
        await group.start(system.run)
        yield source, told
        with anyio.fail_after(10):
            report = await system.stop()
    assert report.overruns == ()
    assert report.ledger.totals.lost == 0


async def test_files_that_are_there_come_change_and_go_are_told(collect: Any, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "old.csv").write_text("1")
    changes = ["added", "modified", "deleted"]
    async with watching(tmp_path, collect, changes=changes) as (source, told):
        await until(lambda: told == [("sub/old.csv", "added")])
        (tmp_path / "new.csv").write_text("2")
        await until(lambda: told[1:] == [("new.csv", "added")])
        (tmp_path / "new.csv").write_text("23")
        await until(lambda: told[2:] == [("new.csv", "modified")])
        (tmp_path / "sub" / "old.csv").unlink()
        await until(lambda: told[3:] == [("sub/old.csv", "deleted")])
        (tmp_path / "other").mkdir()
        (tmp_path / "new.csv").rename(tmp_path / "other" / "moved.csv")
        await until(lambda: len(told) == 6)
        assert set(told[4:]) == {("new.csv", "deleted"), ("other/moved.csv", "added")}
        health = await source.health_check()
        assert (health["connected"], health["files"]) == (True, 1)


async def test_what_is_in_a_folder_that_comes_is_told_however_soon_it_was_there(
    collect: Any, tmp_path: Path
) -> None:
    folder, made = tmp_path / "in", tmp_path / "made"
    folder.mkdir()
    (made / "deep").mkdir(parents=True)
    for path in (made / "a.csv", made / "deep" / "b.csv"):
        path.write_text("1")
    async with watching(folder, collect) as (source, told):
        await until(lambda: source._folder.tries == 0 and source._watch._changes is not None)
        made.rename(folder / "made")
        await until(lambda: set(told) == {("made/a.csv", "added"), ("made/deep/b.csv", "added")})


async def test_a_file_that_is_being_written_is_told_once_when_it_is_quiet(
    collect: Any, tmp_path: Path
) -> None:
    async with watching(tmp_path, collect, quiet=0.4) as (_, told):
        with (tmp_path / "big.csv").open("w") as file:
            for _ in range(10):
                file.write("x" * 1000)
                file.flush()
                await anyio.sleep(0.05)
                assert told == []
        await until(lambda: told)
    assert told == [("big.csv", "added")]


async def test_only_what_the_pattern_names_is_told_and_what_is_there_only_where_that_is_wanted(
    collect: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "sub").mkdir()
    config = {"pattern": "*.csv", "existing": False, "recursive": False}
    async with watching(tmp_path, collect, **config) as (source, told):
        await until(lambda: source._known)
        (tmp_path / "b.txt").write_text("1")
        (tmp_path / "sub" / "c.csv").write_text("1")
        (tmp_path / "d.csv").write_text("1")
        await until(lambda: told)
        (tmp_path / "a.csv").write_text("12")
        await until(lambda: len(told) == 2)
    assert told == [("d.csv", "added"), ("a.csv", "modified")]


async def test_while_the_folder_is_gone_it_is_not_ready_and_then_tells_what_is_new(
    collect: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("1")
    async with watching(folder, collect, changes=["added", "deleted"]) as (source, told):
        await until(lambda: told == [("a.csv", "added")])
        shutil.rmtree(folder)
        await until(lambda: source._folder.tries >= 2)
        health = await source.health_check()
        assert health["healthy"] is False
        assert f"{folder} has been away" in health["reason"]
        folder.mkdir()
        (folder / "b.csv").write_text("1")
        await until(lambda: ("b.csv", "added") in told and ("a.csv", "deleted") in told)
        assert (await source.health_check())["connected"] is True


async def test_a_folder_that_is_not_there_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemFailed, match="none: no such folder; check `path`"):
        await run_through(FolderSource, {"path": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"path": ""}, "path is empty"),
        ({"path": "a", "changes": []}, "changes is empty"),
        ({"path": "a", "quiet": -1}, "quiet must be a duration of 0 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FolderSource("x", config)


def test_without_the_extra_there_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "headrace.edges.folder_watch", None)
    monkeypatch.delattr("headrace.edges.folder_watch", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'headrace\[watch\]'"):
        FolderSource("x", {"path": "a"})
