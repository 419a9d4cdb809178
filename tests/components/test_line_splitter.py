"""Lines out of bytes, however they are portioned: the same as ``split``, with numbers and places that add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.components.line_formats import JsonLines, TextLines
from headrace.components.line_splitter import Lines, LineSplitter

CONTENT = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"x" * 7, b"\x85\xff", b"\n\n"]), max_size=40
)


@given(CONTENT, st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 12))
def test_whatever_the_portions_are_the_lines_are_those_of_the_whole(
    parts: list[bytes], sizes: list[int], max_line: int
) -> None:
    content = b"".join(parts)
    splitter = LineSplitter(max_line)
    found: list[Lines] = []
    begin = 0
    for turn in range(len(content) + 1):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(content[begin : begin + size]) if begin < len(content) else []
        assert splitter.begin + splitter.unfinished == min(begin + size, len(content))
        begin += size
    found += splitter.finish()

    number, place = 0, 0
    lines = []
    for some in found:
        assert (some.number, some.begin) == (number + 1, place)
        number += some.how_many
        place += some.too_long or len(some.data)
        if some.too_long:
            lines.append((some.too_long, some.data[: LineSplitter.SHOWN]))
        else:
            split = some.data.removesuffix(b"\n").split(b"\n")
            lines += [(0, line) for line in split]
    assert place == len(content)
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert number == len(expected)
    for (too_long, line), whole in zip(lines, expected, strict=True):
        if len(whole) <= max_line:
            assert (too_long, line) == (0, whole)
        else:
            assert too_long >= len(whole) > max_line
            assert line.startswith(whole[:max_line])


def test_a_line_without_an_end_takes_no_more_memory_than_allowed() -> None:
    splitter = LineSplitter(1000)
    for _ in range(100):
        assert splitter.feed(b"x" * 999) == []
        assert sum(map(len, splitter._parts)) <= 1000
    (line,) = splitter.feed(b"\nshort\n")[:1]
    assert line.too_long == 99_901
    assert line.data == b"x" * 80


@given(CONTENT)
def test_rows_and_ends_are_the_same_whether_the_lines_are_taken_together_or_singly(
    parts: list[bytes],
) -> None:
    content = b"".join(parts)
    for form in (TextLines(), TextLines("latin-1"), JsonLines()):
        for lines in (*LineSplitter(1000).feed(content), *_rest(content)):
            together = form.batch(lines, "f", with_ends=True)
            singly = form._one_by_one(lines, "f")
            assert [str(row) for row in together.rows] == [str(row) for row in singly.rows]
            assert together.ends == singly.ends
            assert len(together.ends) == len(together.rows)


def _rest(content: bytes) -> list[Lines]:
    splitter = LineSplitter(1000)
    splitter.feed(content)
    return splitter.finish()


def test_the_ends_of_json_lines_leave_blank_ones_out() -> None:
    (lines,) = LineSplitter(1000).feed(b'{"a":1}\n\n{"a":2}\r\n')
    batch = JsonLines(["number", "path"]).batch(lines, "f", with_ends=True)
    assert batch.rows == [{"a": 1, "number": 1, "path": "f"}, {"a": 2, "number": 3, "path": "f"}]
    assert batch.ends == [(8, 1), (18, 3)]


def test_a_byte_order_mark_is_no_text() -> None:
    for content, rows in ((b"\xef\xbb\xbf", []), (b"\xef\xbb\xbfa\nb\n", [{"line": "a"}, {"line": "b"}])):
        splitter = LineSplitter(100)
        found = [*splitter.feed(content), *splitter.finish()]
        assert [row for lines in found for row in TextLines().batch(lines, "f").rows] == rows
