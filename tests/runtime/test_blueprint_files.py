"""Files are read whole or told: nothing without an end hangs or floods, and all of them share one room."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from headrace.model.blueprint import Complaints, Position
from headrace.model.blueprint_variables import MAX_FILES, Unreadable
from headrace.runtime import blueprint_files
from headrace.runtime.blueprint_files import BlueprintFiles, folder_of, read_bytes, split_lines

AT = Position("bp.yaml", 3, 5)


def files() -> BlueprintFiles:
    """Return a reader of files."""
    return BlueprintFiles(Complaints())


def told(reader: BlueprintFiles) -> list[str]:
    """Return what was complained of."""
    return [str(problem) for problem in reader.complaints.problems]


def secret(path: Path | str, folder: Path | None = None) -> str | Unreadable:
    """Read a file of a secret."""
    return files().around({}, folder or Path("/"), "set it").read_file(os.fspath(path))


def test_not_more_than_a_byte_above_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(tmp_path / "x", 3) == b"1234"
    assert read_bytes(tmp_path / "x", 5) == b"12345"


@pytest.fixture(params=["folder", "pipe", "socket", "/dev/zero", "/dev/tty"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the path of something that is no regular file."""
    path = str(tmp_path / "x")
    if request.param == "folder":
        os.mkdir(path)
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
    else:
        return str(request.param)
    return path


@pytest.mark.timeout(60)
def test_what_is_no_regular_file_is_refused_at_once(special: str) -> None:
    reader = files()
    assert reader.text(special) is None
    (problem,) = told(reader)
    assert f"{special}:1:1: error E100 cannot be read: " in problem
    found = secret(special)
    assert isinstance(found, Unreadable)
    assert not found.is_missing


def test_a_link_to_a_regular_file_will_do(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("x\n")
    (tmp_path / "link").symlink_to("pw")
    assert secret("link", tmp_path) == "x"


@pytest.mark.timeout(60)
def test_what_a_shell_hands_over_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"system: s")
        os.close(writing)
        assert files().text(f"/dev/fd/{reading}") == "system: s"
    finally:
        os.close(reading)


def test_a_part_is_never_what_a_shell_hands_over() -> None:
    reading, writing = os.pipe()
    try:
        reader = files()
        assert reader.text(f"/dev/fd/{reading}", at=AT) is None
        assert "bp.yaml:3:5: error E100 '/dev/fd/" in told(reader)[0]
    finally:
        os.close(reading)
        os.close(writing)


def test_the_folder_of_what_a_shell_hands_over_is_the_current_one() -> None:
    assert [folder_of(name) for name in ("a/b.yaml", "b.yaml", "/dev/stdin", "/proc/self/fd/3")] == [
        "a",
        "",
        "",
        "",
    ]


def test_lines_end_as_yaml_ends_them() -> None:
    assert split_lines("a\r\nb\rc\nd\u2028e") == ["a", "b", "c", "d", "e"]


def test_a_file_is_read_once_and_each_use_takes_from_the_room(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("12345")
    reader = files()
    before = reader.room.text, reader.room.files
    assert reader.text(str(path)) == reader.text(str(path)) == "12345"
    assert (reader.room.text, reader.room.files) == (before[0] - 10, before[1] - 1)
    assert reader.complaints.sources.lines[str(path)] == ("12345",)


def test_files_that_are_together_too_large_are_told_where_the_last_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("12345")
    reader = files()
    reader.room.text = 7
    assert reader.text(str(path)) is not None
    assert reader.text(str(path), at=AT) is None
    assert "bp.yaml:3:5: error E107 all files together" in told(reader)[0]


def test_a_file_that_is_not_utf8_is_told_at_its_byte_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a\nb\xff")
    reader = files()
    assert reader.text(str(path)) is None
    assert reader.text(str(path)) is None
    assert [problem.removeprefix(str(path)) for problem in told(reader)] == [
        ":2:2: error E113 the file is not UTF-8 (byte 0xff), save it as UTF-8"
    ]


def test_there_is_an_end_to_how_many_files_are_read(tmp_path: Path) -> None:
    reader = files()
    for number in range(MAX_FILES + 2):
        (tmp_path / f"{number}").write_text("x")
    texts = [reader.text(str(tmp_path / f"{number}"), at=AT) for number in range(MAX_FILES + 1)]
    assert texts.count(None) == 1
    assert f"E107 more than {MAX_FILES} files" in told(reader)[0]
    read = reader.around({}, tmp_path, "set it").read_file
    assert read(f"{MAX_FILES + 1}") == Unreadable(f"more than {MAX_FILES} files are named in all")


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"hunter2\n", "hunter2"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b"\xef\xbb\xbfa", "a"), (b"", "")],
)
def test_a_secret_is_its_file_without_the_last_line_end(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "pw").write_bytes(content)
    assert secret("pw", tmp_path) == text
    assert secret(tmp_path / "pw") == text


@pytest.mark.parametrize(
    ("name", "reason", "is_missing"),
    [
        ("none", "No such file or directory", True),
        ("binary", "it is not UTF-8", False),
        ("large", f"it is larger than {blueprint_files.MAX_SECRET:,} bytes", False),
        ("nul\0", "embedded null byte", False),
    ],
)
def test_a_secret_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, reason: str, is_missing: bool
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (blueprint_files.MAX_SECRET + 1))
    assert secret(name, tmp_path) == Unreadable(reason, is_missing)


def test_a_secret_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("first")
    read = files().around({}, tmp_path, "set it").read_file
    assert read("pw") == "first"
    (tmp_path / "pw").write_text("second")
    assert read("pw") == "first"


def test_a_text_without_a_folder_has_no_files() -> None:
    assert isinstance(files().around({}, None, "set it").read_file("pw"), Unreadable)
