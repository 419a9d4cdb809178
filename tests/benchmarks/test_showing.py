"""What is shown of figures: the table, the JSON, the charts and the page."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace_bench import environment, figures, report, table
from headrace_bench.charts import Curve, bars, lines, nice_ceiling, share_of_target
from headrace_bench.result import Result

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"
Results = list[Result]
Find = Callable[[str, str], Result]


def test_a_verdict_says_missed_where_a_target_is_missed(result_named: Find) -> None:
    verdicts = {
        ("toy/met", "asyncio"): "met",
        ("toy/met", "trio"): "stretch met",
        ("toy/missed", "asyncio"): "missed",
        ("toy/shown", "asyncio"): "",
        ("toy/shown", "trio"): "not available",
        ("cost/alone", "-"): "met",
    }
    assert {key: figures.verdict(result_named(*key)) for key in verdicts} == verdicts


def test_a_verdict_on_which_the_rounds_differ_is_called_unsure(result_named: Find) -> None:
    sure = result_named("toy/met", "asyncio")
    of_ratio = replace(sure, ours=(150.0, 210.0, 220.0))
    of_value = replace(result_named("cost/alone", "-"), ours=(90.0, 95.0, 105.0))
    assert [one.unsure for one in (sure, of_ratio, of_value)] == [False, True, True]
    assert [figures.cells(one)[-1] for one in (of_ratio, of_value)] == ["met, unsure"] * 2
    assert figures.summary([sure, of_ratio, of_value]) == "3 of 3 targets met, 2 unsure"
    assert not result_named("toy/shown", "asyncio").unsure


def test_a_pipe_gets_plain_lines_with_reasons_machine_and_summary(
    results: Results, facts: dict[str, Any]
) -> None:
    output = io.StringIO()
    table.show(results, facts, 3, output, colours=False)
    text = output.getvalue()
    assert "\x1b" not in text
    assert "310 /s" in text
    assert "2.00 M/s" in text
    assert "300 - 320" in text
    assert "3.10x (3.00x - 3.20x)" in text
    assert (
        "not available: theirs: toybox not installed: pip install 'headrace[bench]' [toy/shown (trio)]"
        in text
    )
    assert "Abacus <1>, 2 cores, Linux\nCPython 3.11.7, headrace 0.1.0, anyio 4.16.0\ncommit abc\n" in text
    assert text.endswith("3 of 4 targets met, 1 with the stretch, 1 missed\n")


def test_a_terminal_gets_a_table_with_the_same_words(results: Results, facts: dict[str, Any]) -> None:
    output = io.StringIO()
    table.show(results, facts, 3, output, colours=True)
    assert "missed" in output.getvalue()


def test_the_json_of_a_row_has_what_is_promised(result_named: Find, facts: dict[str, Any]) -> None:
    found = result_named("toy/met", "asyncio").to_json(facts)
    assert json.loads(json.dumps(found)) == {
        "name": "toy/met",
        "title": "toys & games",
        "backend": "asyncio",
        "ours": "ours",
        "value": 310,
        "unit": "messages/s",
        "spread": [300, 320],
        "against": "theirs",
        "against_value": 100,
        "ratio": 3.1,
        "ratio_spread": [3, 3.2],
        "target": ">= 2 x",
        "met": True,
        "unsure": False,
        "stretch": ">= 4 x",
        "stretch_met": False,
        "reason": None,
        "rounds": 3,
        "curve": None,
        "x": None,
        "environment": facts,
    }


def test_the_environment_says_hardware_python_versions_and_commit() -> None:
    facts = environment.environment()
    assert set(facts) == {"processor", "cores", "system", "python", "versions", "commit"}
    assert all(facts.values())
    assert facts["versions"]["headrace"]


@pytest.mark.parametrize(
    ("name", "backend", "share"),
    [("toy/met", "asyncio", 1.55), ("toy/missed", "asyncio", 0.05), ("cost/alone", "-", 100 / 42)],
)
def test_a_bar_is_as_long_as_the_target_where_that_is_just_met(
    result_named: Find, name: str, backend: str, share: float
) -> None:
    assert share_of_target(result_named(name, backend)) == pytest.approx(share)


def test_charts_are_valid_svg_for_light_and_dark(results: Results) -> None:
    charts = report.charts_of(results)
    assert set(charts) == {"targets", "size-of-toys"}
    for chart in charts.values():
        tree = ElementTree.fromstring(chart)
        assert tree.tag == f"{SVG}svg"
        assert tree.find(f"{SVG}title") is not None
        assert "prefers-color-scheme: dark" in chart
    assert len(list(ElementTree.fromstring(charts["targets"]).iter(f"{SVG}rect"))) == 4
    assert len(list(ElementTree.fromstring(charts["size-of-toys"]).iter(f"{SVG}polyline"))) == 4


def test_text_in_a_chart_is_escaped_and_one_point_is_a_chart_too() -> None:
    chart = lines("a < b & c", "x", "s", [Curve("<one>", ((1.0, 0.0),))])
    assert "".join(ElementTree.fromstring(chart).itertext()).count("a < b & c") == 2
    assert ElementTree.fromstring(bars("none", [])) is not None


def test_the_axis_ends_at_a_round_number() -> None:
    assert [nice_ceiling(value) for value in (0.0, 1.0, 1.2, 37.0, 4100.0)] == [1, 1, 2, 40, 5000]


def page_with_marks(docs: Path) -> Path:
    """Write a page with prose and marks."""
    marks = "\n".join(f"{name}:\n<!-- bench:{name} -->\nold\n<!-- /bench:{name} -->" for name in report.NAMES)
    page = docs / report.PAGE
    page.write_text(f"# By hand\n{marks}\nthe end, by hand\n", encoding="utf-8")
    return page


def test_a_report_replaces_what_is_between_the_marks_and_nothing_else(
    results: Results, facts: dict[str, Any], tmp_path: Path
) -> None:
    page = page_with_marks(tmp_path)
    written = report.write_report(tmp_path, results, facts, 3)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# By hand\nenvironment:\n<!-- bench:environment -->\n- Abacus")
    assert text.endswith("<!-- /bench:curves -->\nthe end, by hand\n")
    assert "old" not in text
    assert "| toy/missed | asyncio |" in text
    assert "| missed |" in text
    assert all(file.is_file() for file in written)
    assert "![size-of-toys](performance/size-of-toys.svg)" in text
    before = text
    report.write_report(tmp_path, results, facts, 3)
    assert page.read_text(encoding="utf-8") == before


def test_a_report_without_its_page_or_a_mark_says_what_is_missing(
    results: Results, facts: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(report.ReportError, match="--report wants the folder docs of a checkout"):
        report.write_report(tmp_path, results, facts, 3)
    (tmp_path / report.PAGE).write_text("no marks\n", encoding="utf-8")
    with pytest.raises(report.ReportError, match="has no <!-- bench:environment -->"):
        report.write_report(tmp_path, results, facts, 3)


def test_the_page_of_the_docs_has_every_mark_once() -> None:
    text = (ROOT / "docs" / report.PAGE).read_text(encoding="utf-8")
    for name in report.NAMES:
        assert text.count(f"<!-- bench:{name} -->") == text.count(f"<!-- /bench:{name} -->") == 1
