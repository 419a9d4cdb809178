"""Files that are read as they grow: rotated, truncated, half written, gone, come back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.components.file_positions import FilePositions
from headrace.components.line_formats import TextLines
from headrace.components.tail import Tail
from headrace.exceptions import HeadraceError


class Reading:
    """A tail that is asked again and again, at times of its own."""

    def __init__(self, *patterns: Path | str, kept: Path | None = None, **options: Any) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.now = 0.0
        self.positions = None
        if kept is not None:
            self.positions = FilePositions(str(kept))
            self.positions.read()
        options = {"max_line": 1000, "from_end": False, "rotate_wait": 5.0, **options}
        self.tail = Tail(
            [str(one) for one in patterns],
            TextLines(add=["number"]),
            positions=self.positions,
            tell=lambda event, **values: self.told.append((event, values)),
            **options,
        )
        self.tail.open()

    def read(self, *, after: float = 0.25, settle: bool = True) -> list[str]:
        """Return what has come, as texts; nothing more is there then."""
        found: list[str] = []
        self.now += after
        while portions := self.tail.read(self.now):
            for portion in portions:
                found += [
                    one["line"] if isinstance(one, dict) else f"! {one.reason}" for one in portion.batch.rows
                ]
                if portion.done is not None and settle:
                    portion.done.settle(portion.done.expect(portion.batch.ends), True)
        return found

    def stop(self) -> None:
        """Stop as a source does."""
        if self.positions is not None:
            self.positions.write(self.tail.places())
        self.tail.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log with two lines and a half."""
    path = tmp_path / "app.log"
    path.write_text("one\ntwo\nthr")
    return path


def test_a_half_written_line_waits_for_its_end(log: Path) -> None:
    reading = Reading(log)
    assert reading.read() == ["one", "two"]
    assert reading.read(after=3600) == []
    append(log, "ee")
    assert reading.read() == []
    append(log, "\nfour\n")
    assert reading.read() == ["three", "four"]


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    reading = Reading(tmp_path / "app.log", from_end=True)
    assert reading.read() == []
    append(tmp_path / "app.log", "first\n")
    assert reading.read() == ["first"]  # it came later, so all of it is new


def test_from_the_end_only_what_is_new_is_read_and_the_line_that_is_being_written(log: Path) -> None:
    reading = Reading(log, from_end=True)
    assert reading.read() == []
    append(log, "ee\nfour\n")
    assert reading.read() == ["three", "four"]


def test_a_renamed_file_is_read_to_its_end_beside_the_new_one(log: Path) -> None:
    reading = Reading(log)
    assert reading.read() == ["one", "two"]
    log.rename(log.with_name("app.log.1"))
    append(log.with_name("app.log.1"), "ee\nfour\nfi")  # its writer has it open still
    append(log, "new\n")
    assert sorted(reading.read()) == ["four", "new", "three"]
    append(log.with_name("app.log.1"), "ve\n")
    assert reading.read(after=4) == ["five"]
    append(log.with_name("app.log.1"), "si")
    assert reading.read(after=4) == []  # it has grown: the time counts anew
    assert reading.read(after=4.9) == []
    assert reading.read(after=0.1) == ["si"]
    assert [place.path for place in reading.tail.places()] == [str(log.with_name("app.log")), str(log)]
    append(log.with_name("app.log.1"), "too late\n")
    append(log, "newer\n")
    assert reading.read() == ["newer"]


def test_a_renamed_file_that_is_still_wanted_is_not_read_twice(log: Path) -> None:
    reading = Reading(log.parent / "app.log*")
    assert reading.read() == ["one", "two"]
    log.rename(log.with_name("app.log.1"))
    append(log, "new\n")
    assert reading.read() == ["new"]
    append(log.with_name("app.log.1"), "ee\n")
    assert reading.read(after=60) == ["three"]


def test_a_deleted_file_is_read_to_its_end(log: Path) -> None:
    reading = Reading(log)
    assert reading.read() == ["one", "two"]
    with log.open("a") as writer:
        log.unlink()
        writer.write("ee\nfour")
    assert reading.read() == ["three"]
    assert reading.read(after=5.0) == ["four"]
    assert reading.tail.health() == {"files": 0}


def test_a_truncated_file_is_read_anew_and_what_was_cut_off_is_told(log: Path) -> None:
    reading = Reading(log)
    assert reading.read() == ["one", "two"]
    shutil.copy(log, log.with_name("copy"))
    os.truncate(log, 0)
    append(log, "new\n")
    assert reading.read() == [f"! {log}:3: the file was truncated in the middle of this line", "new"]
    assert ("file truncated", {"file": str(log), "read": 11, "size": 4}) in reading.told


def test_a_truncated_file_that_is_longer_again_is_known_by_its_beginning(log: Path) -> None:
    log.write_text("one\ntwo\n")
    reading = Reading(log)
    assert reading.read() == ["one", "two"]
    log.write_text("another beginning\nand more\n")  # the same file on the disk
    assert reading.read() == ["another beginning", "and more"]


def test_new_files_of_a_folder_and_of_a_pattern_are_found_as_they_come(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    reading = Reading(tmp_path / "**" / "*.log")
    assert reading.read() == []
    append(tmp_path / "sub" / "b.log", "b\n")
    append(tmp_path / "a.log", "a\n")
    append(tmp_path / "a.txt", "no\n")
    assert sorted(reading.read()) == ["a", "b"]


def test_a_busy_file_does_not_keep_new_ones_waiting_longer_than_a_second(tmp_path: Path) -> None:
    append(tmp_path / "a.log", "a" * 100 + "\n")
    reading = Reading(tmp_path)
    assert len(reading.read()) == 1
    append(tmp_path / "a.log", "a\n")
    append(tmp_path / "b.log", "b\n")
    assert reading.read(after=1.0) == ["a", "b"]


def test_packed_files_and_what_is_no_file_are_passed_over_and_told_once(tmp_path: Path) -> None:
    (tmp_path / "old.log.gz").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    reading = Reading(tmp_path)
    assert reading.read() == []
    assert reading.read(after=5) == []
    assert [event for event, _ in reading.told] == ["file passed over"]


def test_a_file_that_cannot_be_opened_makes_it_not_healthy_until_it_can(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = False
    real = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if not allowed and str(path) == str(log):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    reading = Reading(log)
    assert reading.read() == []
    assert reading.tail.health()["reason"] == f"{log}: cannot be read: Permission denied"
    assert len(reading.told) == 1
    allowed = True
    assert reading.read(after=2) == ["one", "two"]
    assert reading.tail.health() == {"files": 1}


def test_no_file_stays_open(log: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    reading = Reading(log.parent)
    reading.read()
    log.unlink()
    reading.read(after=2)
    reading.read(after=10)
    assert len(os.listdir("/proc/self/fd")) == before
    append(log, "x\n")
    assert reading.read(after=2) == ["x"]
    reading.stop()
    assert len(os.listdir("/proc/self/fd")) == before
    assert reading.tail.read(1000.0) is None


# --- positions ---------------------------------------------------------------------------------------------


def test_the_next_run_goes_on_where_everything_was_done_with(log: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / "positions.json"
    first = Reading(log, kept=kept)
    assert first.read() == ["one", "two"]
    first.stop()
    append(log, "ee\nfour\n")
    second = Reading(log, kept=kept)
    assert second.read() == ["three", "four"]
    append(log, "five\n")
    assert second.read(settle=False) == ["five"]
    second.stop()
    assert Reading(log, kept=kept).read() == ["five"]  # nobody has said that it was done with


def test_the_lines_count_on_in_the_next_run(log: Path, tmp_path: Path) -> None:
    kept = tmp_path / "positions.json"
    first = Reading(log, kept=kept)
    first.read()
    first.stop()
    append(log, "ee\n" + "x" * 2000 + "\n")
    assert (
        Reading(log, kept=kept).read()[1]
        == f"! {log}:4: the line has 2,001 bytes, and max_line does not allow that"
    )


def test_a_file_that_was_renamed_between_two_runs_is_read_to_its_end(log: Path, tmp_path: Path) -> None:
    kept = tmp_path / "positions.json"
    first = Reading(log, kept=kept)
    first.read()
    first.stop()
    append(log, "ee\n")
    log.rename(log.with_name("app.log.1"))
    append(log, "new\n")
    second = Reading(log, kept=kept)
    assert sorted(second.read()) == ["new", "three"]
    second.read(after=2)
    second.read(after=10)
    second.stop()
    third = Reading(log, kept=kept)
    assert third.read() == []
    third.stop()
    assert "app.log.1" not in kept.read_text()  # it was finished, and is forgotten


def test_a_file_that_was_replaced_between_two_runs_is_read_from_its_beginning(
    log: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "positions.json"
    first = Reading(log, kept=kept)
    first.read()
    first.stop()
    for content in ("other\nlines\nand more\n", "x\n"):
        log.write_text(content)
        second = Reading(log, kept=kept)
        assert second.read() == content.splitlines()
        second.stop()


def test_another_file_of_the_same_name_and_beginning_is_another_file(log: Path, tmp_path: Path) -> None:
    kept = tmp_path / "positions.json"
    first = Reading(log, kept=kept)
    first.read()
    first.stop()
    shutil.copy(log, tmp_path / "copy")
    os.replace(tmp_path / "copy", log)
    assert Reading(log, kept=kept).read() == ["one", "two"]


def test_what_is_gone_is_forgotten(log: Path, tmp_path: Path) -> None:
    kept = tmp_path / "positions.json"
    first = Reading(log, kept=kept)
    first.read()
    first.stop()
    log.unlink()
    Reading(tmp_path / "other.log", kept=kept).stop()
    assert kept.read_text() == "[]\n"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'[{"path": "x"}]'])
def test_a_file_that_holds_no_positions_is_refused(tmp_path: Path, content: bytes) -> None:
    kept = tmp_path / "positions.json"
    kept.write_bytes(content)
    with pytest.raises(HeadraceError, match=r"positions\.json: holds no positions of files: .*; delete it"):
        FilePositions(str(kept)).read()


def test_positions_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadraceError, match="the positions cannot be written"):
        FilePositions(str(tmp_path / "file" / "positions.json")).write([])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.text("ab\n", max_size=8)),
        st.tuples(st.sampled_from(["rotate", "read", "restart", "wait"]), st.just("")),
    ),
    max_size=25,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_to_a_log_each_finished_line_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tail")
    log, kept = folder / "app.log", folder / "kept.json"
    written: list[str] = []
    contents = [""]
    rotated = 0
    reading = Reading(folder / "app.log*", kept=kept)
    seen: list[str] = []
    for step, text in steps:
        if step == "write" and text:
            append(log, text)
            contents[-1] += text
        elif step == "rotate" and log.exists():
            rotated += 1
            log.rename(folder / f"app.log.{rotated}")
            contents.append("")
        elif step == "restart":
            reading.stop()
            reading = Reading(folder / "app.log*", kept=kept)
        else:
            seen += reading.read(after=60 if step == "wait" else 0.25)
    seen += reading.read(after=60)
    for content in contents:
        written += content.split("\n")[:-1]
    reading.stop()
    assert sorted(seen) == sorted(written)
