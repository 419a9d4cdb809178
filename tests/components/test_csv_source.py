"""``csv_source``: what it reads, what it rejects, and what it says of files that cannot be read."""

from __future__ import annotations

import gzip
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import System
from headrace.components import CsvSource
from headrace.components.csv_conversion import CsvConversion
from headrace.components.csv_file import CsvFile
from headrace.exceptions import ConfigError, InputFileError, SystemFailed

TEXT = "id,name,ratio,ok\n1,one,0.5,true\n2,,1e3,no\n,zwölf,,\n"
ROWS = [
    {"id": 1, "name": "one", "ratio": 0.5, "ok": True},
    {"id": 2, "name": None, "ratio": 1000.0, "ok": False},
    {"id": None, "name": "zwölf", "ratio": None, "ok": None},
]
TYPES = {"id": "int", "ratio": "float", "ok": "bool"}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Return a good file."""
    path = tmp_path / "rows.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


async def failure(run_through: Any, **config: Any) -> str:
    """Return the text of the ``InputFileError`` that a run ends with."""
    with pytest.raises(SystemFailed) as caught:
        await run_through(CsvSource, config)
    assert isinstance(caught.value.errors[0], InputFileError)
    return str(caught.value.errors[0])


async def test_a_plain_file_becomes_typed_rows(run_through: Any, plain: Path) -> None:
    seen = await run_through(CsvSource, {"path": str(plain), "types": TYPES})
    assert seen.out == ROWS
    assert seen.rejected == []


async def test_a_gzip_file_is_unpacked(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert (await run_through(CsvSource, {"path": str(path), "types": TYPES})).out == ROWS


async def test_the_only_file_of_a_zip_archive_is_read(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder") if hasattr(archive, "mkdir") else archive.writestr("folder/", "")
        archive.writestr("folder/rows.csv", TEXT)
    assert (await run_through(CsvSource, {"path": str(path), "types": TYPES})).out == ROWS


async def test_of_several_files_in_a_zip_archive_one_is_named(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", "x\n1\n")
    seen = await run_through(CsvSource, {"path": str(path), "member": "b.csv"})
    assert seen.out == [{"x": "1"}]
    assert await failure(run_through, path=str(path)) == (
        f"{path}: holds several files (a.csv, b.csv); name one with `member`"
    )
    assert await failure(run_through, path=str(path), member="c.csv") == (
        f"{path}: holds no 'c.csv'; it holds a.csv, b.csv"
    )


async def test_null_values_and_the_delimiter_and_the_columns_are_settings(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a;b;c\n1;NA;\n2;x;-\n")
    config = {"path": str(path), "delimiter": ";", "null_values": ["NA", "-"], "columns": ["c", "b"]}
    seen = await run_through(CsvSource, config)
    assert seen.out == [{"c": "", "b": None}, {"c": None, "b": "x"}]
    assert list(seen.out[0]) == ["c", "b"]


async def test_quotes_line_ends_inside_fields_and_a_byte_order_mark_are_read(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeffa,b\r\n"x\ny","say ""hi"", you"\r\n\r\n1,2\r\n'.encode())
    seen = await run_through(CsvSource, {"path": str(path)})
    assert seen.out == [{"a": "x\ny", "b": 'say "hi", you'}, {"a": "1", "b": "2"}]


async def test_other_encodings_are_read(run_through: Any, tmp_path: Path) -> None:
    for encoding in ("latin-1", "utf-16", "UTF-8"):
        path = tmp_path / f"{encoding}.csv"
        path.write_text(TEXT, encoding=encoding)
        seen = await run_through(CsvSource, {"path": str(path), "types": TYPES, "encoding": encoding})
        assert seen.out == ROWS


async def test_bad_rows_go_to_rejected_with_file_and_line_and_the_good_ones_go_on(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b"id,name\n1,a\n2\n3,b,c\nx,d\n"
        b'4,"two\nlines"\n5_0,e\n6,caf\xe9\n7,"open" quote\n8,good\n' + "9,größe\n".encode()
    )
    seen = await run_through(CsvSource, {"path": str(path), "types": {"id": "int"}})
    assert [row["id"] for row in seen.out] == [1, 4, 8, 9]
    assert seen.reasons == [
        f"{path}:3: 1 fields where the header has 2",
        f"{path}:4: 3 fields where the header has 2",
        f"{path}:5: column 'id' is not a whole number: 'x'",
        f"{path}:8: column 'id' is not a whole number: '5_0'",
        f"{path}:9: column 'name' is not in the file's encoding: 'caf\\\\udce9'",
        f"{path}:10: ',' expected after '\"'",
    ]
    assert seen.rejected[0].message == ["2"]
    assert seen.rejected[4].message == ["6", "caf\\udce9"]


async def test_values_of_every_type_that_do_not_convert_are_named(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("i,f,b\n1,1_0,true\n1,x,true\n1,1,maybe\n1,2.5,F\n")
    types = {"i": "int", "f": "float", "b": "bool"}
    seen = await run_through(CsvSource, {"path": str(path), "types": types})
    assert seen.out == [{"i": 1, "f": 2.5, "b": False}]
    assert [reason.split(": ", 1)[1] for reason in seen.reasons] == [
        "column 'f' is not a number: '1_0'",
        "column 'f' is not a number: 'x'",
        "column 'b' is not true or false: 'maybe'",
    ]


async def test_a_quote_that_is_never_closed_rejects_only_from_there_on(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('a,b\n1,2\n3,"4\n5,6\n')
    seen = await run_through(CsvSource, {"path": str(path)})
    assert seen.out == [{"a": "1", "b": "2"}]
    assert seen.reasons == [f"{path}:3: unexpected end of data (up to line 4)"]


async def test_a_field_that_is_too_large_is_rejected_and_the_next_row_read(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"a,b\n1,{'x' * 200_000}\n2,y\n")
    seen = await run_through(CsvSource, {"path": str(path)})
    assert seen.out == [{"a": "2", "b": "y"}]
    assert seen.reasons == [f"{path}:2: field larger than field limit (131072)"]


async def test_files_larger_than_a_batch_come_whole_and_in_order(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("n\n" + "".join(f"{n if n % 700 else 'x'}\n" for n in range(2500)))
    seen = await run_through(CsvSource, {"path": str(path), "types": {"n": "int"}})
    assert [row["n"] for row in seen.out] == [n for n in range(2500) if n % 700]
    assert [reason.split(":")[1] for reason in seen.reasons] == ["2", "702", "1402", "2102"]


async def test_a_missing_file_fails_the_set_up_and_says_where_it_looked(
    run_through: Any, tmp_path: Path
) -> None:
    said = await failure(run_through, path="no/such.csv")
    assert said == f"no/such.csv: no such file (looked in {Path.cwd()}); check `path`"
    assert await failure(run_through, path=str(tmp_path)) == f"{tmp_path}: the folder holds no file"
    said = await failure(run_through, path=str(tmp_path / "*.csv"))
    assert said == f"{tmp_path}/*.csv: no file matches (looked in {Path.cwd()}); check `path`"


async def test_several_files_are_read_one_after_the_other_each_with_its_header(
    run_through: Any, tmp_path: Path
) -> None:
    (tmp_path / "b.csv").write_text("x,y\n3,4\n")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"y,x\n2,1\nbad\n"))
    (tmp_path / ".hidden").write_text("z\n1\n")
    expected = [{"y": "2", "x": "1"}, {"x": "3", "y": "4"}]
    for path in (
        str(tmp_path),
        f"{tmp_path}/*",
        [f"{tmp_path}/a*", f"{tmp_path}/b.csv", f"{tmp_path}/./b.csv"],
    ):
        seen = await run_through(CsvSource, {"path": path})
        assert seen.out == expected
        assert [one.reason for one in seen.rejected] == [
            f"{tmp_path}/a.csv.gz:3: 1 fields where the header has 2"
        ]


async def test_a_later_file_that_cannot_be_read_fails_the_run_after_the_rows_before_it(
    collect: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("")
    system = System()
    system.add("rows", CsvSource, path=str(tmp_path))
    sink = collect("sink")
    system.add("sink", sink)
    system.connect("rows.out", "sink.in")
    with pytest.raises(SystemFailed, match=r"b\.csv:1: no header"):
        await system.run()
    assert sink.messages == [{"x": "1"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: no header; the first line names the columns"),
        (b"\n1,2\n", ":1: no header; the first line names the columns"),
        (b"a,b,a\n", ":1: column 'a' is there twice; each column needs a name of its own"),
        ("id,ä\n".encode("utf-16"), ":1: the header is not utf-8; set `encoding`"),
        ("id,a\n".encode("utf-16-le"), ":1: the header is not utf-8; set `encoding`"),
        (b"ide,name\n", ":1: no column 'id'; did you mean 'ide'?"),
    ],
)
async def test_a_header_that_does_not_fit_fails_the_set_up(
    run_through: Any, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    assert await failure(run_through, path=str(path), types={"id": "int"}) == f"{path}{said}"


async def test_a_header_that_is_not_csv_fails_the_set_up(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('"a" b,c\n')
    assert "rows.csv:1: the header is not CSV: ',' expected" in await failure(run_through, path=str(path))


async def test_what_is_no_zip_or_gzip_file_is_named(run_through: Any, tmp_path: Path) -> None:
    for name, said in (("a.zip", "not a zip archive"), ("a.csv.gz", "Not a gzipped file")):
        path = tmp_path / name
        path.write_text(TEXT)
        error = await failure(run_through, path=str(path))
        assert error.startswith(f"{path}: ")
        assert said in error
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert "holds no file" in await failure(run_through, path=str(tmp_path / "empty.zip"))


def many_lines() -> str:
    """Return the text of a file that does not pack well."""
    return "a,b\n" + "".join(f"{n},{hash((n, 'x')) % 10**12}\n" for n in range(20_000))


@pytest.mark.parametrize("kind", ["gz", "zip"])
async def test_a_truncated_file_gives_its_good_rows_and_then_fails_with_the_place(
    collect: Any, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"rows.csv.{kind}"
    if kind == "gz":
        packed = gzip.compress(many_lines().encode())
        path.write_bytes(packed[: len(packed) // 2])
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("rows.csv", many_lines())
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
        path.write_bytes(data)
    system = System()
    system.add("rows", CsvSource, path=str(path))
    sink = collect("sink")
    system.add("sink", sink)
    system.connect("rows.out", "sink.in")
    with pytest.raises(SystemFailed) as caught:
        await system.run()
    assert isinstance(caught.value.errors[0], InputFileError)
    assert str(caught.value.errors[0]).startswith(f"{path}: after line ")
    assert len(sink.messages) > 1000
    assert sink.messages[0]["a"] == "0"


async def test_text_that_stops_within_a_character_fails_with_the_line(
    run_through: Any, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT.encode("utf-16")[:-1])
    said = await failure(run_through, path=str(path), encoding="utf-16")
    assert said.startswith(f"{path}: not utf-16 after line ")
    assert said.endswith("set `encoding`")


async def test_an_encrypted_archive_is_named(run_through: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", TEXT)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    assert "cannot be unpacked" in await failure(run_through, path=str(path))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"path": ""}, "path"),
        ({"path": "x", "delimiter": ";;"}, "delimiter"),
        ({"path": "x", "delimiter": "\n"}, "delimiter"),
        ({"path": "x", "encoding": "utf-9"}, "encoding"),
        ({"path": "x", "columns": ["a", "a"]}, "columns"),
        ({"path": "x", "types": {"a": "date"}}, "types.a"),
        ({}, "path"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CsvSource("c", config)
    assert caught.value.field == field


async def test_a_stop_ends_the_source_between_two_rows(feed: Any, collect: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(many_lines())
    system = System()

    class Stopper(collect):  # type: ignore[misc]
        async def process(self) -> None:
            async for message in self.in_:
                self.messages.append(message)
                if len(self.messages) == 10:
                    system.request_stop()

    sink = Stopper("sink")
    system.add("rows", CsvSource, path=str(path))
    system.add("sink", sink)
    system.connect("rows.out", "sink.in", buffer_size=5)
    report = await system.run()
    assert 10 <= len(sink.messages) < 20_000
    assert report.outcome == "stopped"
    assert report.ledger.totals.lost == 0
    assert report.ledger.totals.taken_in == len(sink.messages)


async def test_a_source_that_waits_for_its_file_can_be_cancelled(collect: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    write_end = os.open(pipe, os.O_RDWR)
    try:
        os.write(write_end, b"a,b\n1,2\n")
        file = CsvFile(
            str(pipe),
            lambda header: CsvConversion("pipe", header, types={}, null_values=()),
        )
        source = CsvSource("rows", {"path": str(pipe)})
        reading = threading.Event()
        read = file.read

        def announce(size: int) -> Any:
            reading.set()
            return read(size)

        file.open()
        file.read = announce  # type: ignore[method-assign]
        system = System(source_grace=0.01)
        system.add("rows", source)
        system.add("sink", collect("sink"))
        system.connect("rows.out", "sink.in")
        async with anyio.create_task_group() as group:
            await group.start(lambda *, task_status: _run_with(system, source, file, task_status))
            await anyio.to_thread.run_sync(reading.wait)
            report = await system.stop()
        assert report is not None
        assert report.outcome == "stopped"
        assert report.overruns == ()
    finally:
        os.close(write_end)


async def _run_with(system: System, source: CsvSource, file: CsvFile, task_status: Any) -> None:
    """Run a system whose source reads a given file."""

    async def setup(context: Any = None) -> None:
        source.context = context
        source._files = [file]

    source.setup = setup  # type: ignore[method-assign]
    await system.run(task_status=task_status)


def test_a_file_closed_while_it_is_read_is_closed_by_the_reader(plain: Path) -> None:
    file = CsvFile(str(plain), lambda header: CsvConversion("x", header, types={}, null_values=()))
    file.open()
    with file._in_use():
        file.close()
        assert file.line == 1
        assert file.read  # the lock is held: nothing has been closed under the reader
    with pytest.raises(ValueError, match="closed"):
        next(file._reader)
    assert file.read(10) == []
    file.close()


def test_a_column_of_very_many_different_values_is_converted_all_the_same() -> None:
    conversion = CsvConversion("x", ["n"], types={"n": "int"}, null_values=["NA"])
    for begin in range(0, 25_000, 5_000):
        rows = conversion.convert([[str(n)] for n in range(begin, begin + 5_000)], range(5_000))
        assert rows == [{"n": n} for n in range(begin, begin + 5_000)]
    mixed = conversion.convert([["NA"], ["1_0"], ["7"]], [1, 2, 3])
    assert [mixed[0], mixed[2]] == [{"n": None}, {"n": 7}]
    assert "x:2: column 'n' is not a whole number" in str(mixed[1])


@given(
    st.lists(
        st.lists(
            st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")),
            min_size=2,
            max_size=2,
        ),
        max_size=30,
    )
)
def test_conversion_by_column_and_by_record_agree(records: list[list[str]]) -> None:
    conversion = CsvConversion("x", ["a", "b"], types={"b": "int"}, null_values=["", "NA"])
    together = conversion.convert(records, range(len(records)))
    singly = [row for n, record in enumerate(records) for row in conversion.convert([record], [n])]
    assert together == singly
    assert len(together) == len(records)
