"""``console_sink``: what people get to see."""

from __future__ import annotations

import io
import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import Rejected
from headrace.components import ConsoleSink
from headrace.components.console_sink import json_line, table_lines, visible, write_whole
from headrace.exceptions import ComponentError, ConfigError, SystemFailed

ROWS = [{"name": "one", "n": 1, "x": 0.5}, {"name": "zwölf", "n": 1234, "x": None}]


async def shown(run_through: Any, messages: list[Any], **config: Any) -> list[str]:
    """Return the lines that a console sink prints."""
    stream = io.StringIO()
    seen = await run_through(ConsoleSink("it", config, stream=stream), in_=messages)
    assert seen.report.ledger.closes
    assert seen.report.ledger.totals.lost == 0
    return stream.getvalue().splitlines()


async def test_a_table_is_aligned_with_numbers_to_the_right(run_through: Any) -> None:
    assert await shown(run_through, ROWS, format="table", title="rows") == [
        "rows",
        "name       n     x",
        "-----  -----  ----",
        "one        1  0.50",
        "zwölf  1,234",
    ]


async def test_a_table_shows_the_chosen_columns_and_counts_what_is_over_the_limit(run_through: Any) -> None:
    lines = await shown(run_through, ROWS * 2, format="table", columns=["x", "name"], limit=1, digits=1)
    assert lines == ["  x  name", "---  ----", "0.5  one", "... and 3 more"]


async def test_a_table_takes_other_messages_too_and_says_when_there_are_none(run_through: Any) -> None:
    assert await shown(run_through, [True, "b"], format="table") == ["message", "-------", "True", "b"]
    assert await shown(run_through, [], format="table") == ["(no rows)"]


async def test_json_gives_one_line_a_message(run_through: Any) -> None:
    messages = [{"a": 1, "when": date(2013, 1, 1)}, Rejected({"a": 2}, "bad"), {"o": object}, {1j: 2}]
    lines = await shown(run_through, messages, format="json")
    assert [json.loads(line) for line in lines[:2]] == [
        {"a": 1, "when": "2013-01-01"},
        {"message": {"a": 2}, "reason": "bad"},
    ]
    assert len(lines) == 4


async def test_json_shows_the_chosen_columns(run_through: Any) -> None:
    assert await shown(run_through, ROWS[:1], format="json", columns=["n", "z"]) == ['{"n":1,"z":null}']


async def test_lines_stay_on_their_line(run_through: Any) -> None:
    lines = await shown(run_through, ["a\nb\t\x1b[31m", 5], title="t\n")
    assert lines == ["t\\n", "a\\nb\\t\\x1b[31m", "5"]


async def test_lines_over_the_limit_are_counted(run_through: Any) -> None:
    lines = await shown(run_through, list(range(1000)), limit=2)
    assert lines == ["0", "1", "... and 998 more"]


async def test_count_gives_the_number_of_each_kind_most_frequent_first(run_through: Any) -> None:
    messages = [*[Rejected(n, "late") for n in range(1200)], Rejected(1, "early"), {"a": 1}]
    lines = await shown(run_through, messages, format="count", title="rejected:")
    assert lines == ["rejected:", "1,200  late", "    1  dict", "    1  early"]
    assert await shown(run_through, [], format="count", title="rejected:") == ["rejected:"]
    assert await shown(run_through, [], format="count") == []
    lines = await shown(run_through, messages, format="count", limit=1)
    assert lines == ["1,200  late", "2 of other kinds"]


async def test_it_prints_to_the_standard_output_of_that_moment(
    run_through: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await run_through(ConsoleSink, {}, in_=["hello"])
    assert capsys.readouterr().out == "hello\n"


async def test_an_output_whose_reader_is_gone_fails_the_component_by_name(run_through: Any) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(SystemFailed) as caught:
        await run_through(ConsoleSink("it", {}, stream=Gone()), in_=["x"])
    assert isinstance(caught.value.errors[0], ComponentError)
    assert str(caught.value.errors[0]) == "it: cannot print: [Errno 32] Broken pipe"


def test_what_the_stream_cannot_show_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    write_whole(stream, "größe \ud800\n")
    assert raw.getvalue() == b"gr\\xf6\\xdfe \\ud800\n"


async def test_what_could_not_be_printed_is_not_delivered(run_through: Any) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(SystemFailed) as caught:
        await run_through(ConsoleSink("it", {}, stream=Gone()), in_=["x", "y", "z"])
    report = caught.value.report
    assert report is not None
    assert report.ledger.closes
    assert sum(edge.acknowledged for edge in report.ledger.edges) == 0


async def test_each_piece_is_one_write_of_whole_lines(run_through: Any) -> None:
    pieces: list[str] = []

    class Pieces(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    await run_through(ConsoleSink("it", {}, stream=Pieces()), in_=[f"line {n}" for n in range(500)])
    assert all(piece.endswith("\n") for piece in pieces)
    assert "".join(pieces).split() == " ".join(f"line {n}" for n in range(500)).split()
    assert len(pieces) < 500


@pytest.mark.parametrize(
    ("config", "field"),
    [({"limit": -1}, "limit"), ({"digits": -1}, "digits"), ({"columns": ["a", "a"]}, "columns")],
)
def test_settings_that_cannot_be_meant_are_refused(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ConsoleSink("c", config)
    assert caught.value.field == field


@given(st.lists(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.floats(), st.text()))))
def test_a_table_of_anything_has_one_line_a_row(rows: list[dict[str, Any]]) -> None:
    lines = table_lines(rows)
    assert len(lines) == (2 + len(rows) if any(rows) else 1)
    assert not any(character in line for line in lines for character in "\n\r\x1b")


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.sets(st.text()))
)
def test_anything_is_one_line_of_json(message: Any) -> None:
    assert "\n" not in json_line(message)


def test_visible_escapes_control_characters_only() -> None:
    assert visible("a\x00\x7f\x9fé") == "a\\x00\\x7f\\x9fé"
