"""The dashboard and the alerts of ``docs/observability`` use only what ``/metrics`` of a running system has."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.servers import program

from headrace import System
from headrace.edges.web.serving import serving

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "observability"
_METRIC = re.compile(r"\b(headrace_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without) \(([^)]*)\)")
_FROM_PROMETHEUS = {"le"}


def dashboard() -> Any:
    return json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))


def panels() -> list[Any]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def rules() -> list[Any]:
    return [
        rule
        for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]


def expressions() -> Iterator[tuple[str, str, str]]:
    """Yield where an expression stands, the expression, and the text that names its labels."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]
    for rule in rules():
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())
    query = dashboard()["templating"]["list"][1]["query"]["query"]
    yield "variable", query.replace("label_values(", "").replace(", system)", ""), "{{system}}"


async def metrics_of_a_running_system() -> dict[str, set[str]]:
    """Return the labels of each metric that a system with everything in it has, by the metric's name."""

    def numbers() -> Iterator[int]:
        yield from range(10)

    def fussy(number: int) -> int:
        if number == 3:
            raise ValueError(number)
        return number

    crashes = iter([True])

    def fragile(number: int) -> None:
        if next(crashes, False):
            raise ValueError(number)

    system = System("watched")
    system.add("numbers", numbers)
    system.add("fussy", fussy, attempts=1)
    system.add("fragile", fragile, attempts=1, on_error="crash", restart="failure")
    system.connect("numbers", "fussy", buffer_size=2, when_full="drop_newest")
    system.connect("fussy", "fragile")
    async with serving(system, "127.0.0.1:0", local=False) as served:
        await system.run()
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{served.url}metrics")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(answer.text):
        found.setdefault(family.name if family.type != "counter" else f"{family.name}_total", set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_every_metric_and_label_exists() -> None:
    known = await metrics_of_a_running_system()
    asked = set()
    for where, expression, labels in expressions():
        used = set()
        for name, matchers in _METRIC.findall(expression):
            assert name in known, f"{where}: there is no metric {name}"
            assert set(_LABEL.findall(matchers)) <= known[name] | {"reason"}, f"{where}: {matchers}"
            used |= known[name]
            asked.add(name)
        assert used, f"{where}: {expression}"
        grouped = {one.strip() for group in _GROUPING.findall(expression) for one in group.split(",")}
        shown = set(re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", labels))
        assert (grouped | shown) - {"reason"} <= used | _FROM_PROMETHEUS, f"{where}: {grouped} {shown} {used}"
    unseen = {name for name in known if name.startswith("headrace_")} - asked
    assert not {name for name in unseen if not re.search(r"_(created|sum|count|bucket|seconds)$", name)}


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = dashboard()
    assert (board["uid"], board["title"]) == ("headrace", "headrace")
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    taken = [
        (x, y)
        for panel in board["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken)), "panels overlap"


@pytest.mark.parametrize(
    "arguments", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]]
)
def test_promtool_takes_the_alerts_and_they_do_what_they_say(arguments: list[str]) -> None:
    done = subprocess.run([program("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
