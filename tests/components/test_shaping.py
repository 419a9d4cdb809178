"""``route``, ``flat_map`` and ``batch``."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from headrace import Backoff, RestartPolicy, System
from headrace.components import Batch, FlatMap, Route
from headrace.edges.yaml_blueprint import load_system
from headrace.exceptions import BlueprintError, ConfigError, UnknownPortError

HOT = {"to": "hot", "field": "t", "op": "gt", "value": 30}
COLD = {"to": "cold", "field": "t", "op": "lt", "value": 0}
WARM = {"to": "warm", "field": "t", "op": "gt", "value": 20}


def temperatures(*values: Any) -> list[dict[str, Any]]:
    """Return rows."""
    return [{"t": value} for value in values]


# --- route ------------------------------------------------------------------------------------------


async def test_a_row_goes_to_the_output_of_the_first_rule_that_holds(run_through: Any) -> None:
    config = {"rules": [HOT, COLD, WARM], "otherwise": "rest"}
    seen = await run_through(Route, config, in_=temperatures(35, 25, 10, -5, None, 40))
    assert seen.ports == {
        "hot": temperatures(35, 40),
        "cold": temperatures(-5),
        "warm": temperatures(25),
        "rest": temperatures(10, None),
        "rejected": [],
    }


async def test_or_to_those_of_all_rules_that_hold_but_once_to_each(run_through: Any) -> None:
    config = {"rules": [HOT, WARM, {**WARM, "to": "hot"}], "match": "all"}
    seen = await run_through(Route, config, in_=temperatures(35, 25))
    assert seen.ports == {"hot": temperatures(35, 25), "warm": temperatures(35, 25), "rejected": []}


async def test_what_no_rule_holds_for_or_can_be_asked_of_is_rejected(run_through: Any) -> None:
    rows = [{"t": 1}, {"x": 1}, {"t": "x"}, 5]
    seen = await run_through(Route, {"rules": [HOT]}, in_=rows)
    assert [rejected.message for rejected in seen.rejected] == rows
    assert seen.reasons == [
        "no rule holds for it",
        "no field 't', known: x",
        "t: cannot compare str with int",
        "not a row of named fields but a value of type int",
    ]


def test_another_output_than_the_rules_name_cannot_be_connected(collect: Any) -> None:
    system = System("s")
    system.add("it", Route, {"rules": [HOT]})
    system.add("sink", collect("sink"))
    with pytest.raises(UnknownPortError, match="no output port 'hut'"):
        system.connect("it.hut", "sink.in")


def test_its_outputs_are_known_to_check(tmp_path: Path) -> None:
    path = tmp_path / "bp.yaml"
    text = (
        "system: s\ncomponents:\n  a: {type: csv_source, config: {path: a.csv}}\n"
        "  r: {type: route, config: {rules: [{to: hot, field: t, value: 1}]}}\n"
        "  hot: {type: console_sink}\n  rest: {type: console_sink}\n"
        "connections: [a -> r, r.hot -> hot, r.hod -> rest]\n"
    )
    path.write_text(text)
    with pytest.raises(BlueprintError, match="'r' has no output port 'hod'"):
        load_system(path)
    path.write_text(text.replace("r.hod", "r.rejected"))
    again = tmp_path / "again.yaml"
    again.write_text(load_system(path).harness.to_yaml())
    assert load_system(again).harness.to_yaml() == again.read_text()
    assert "rules" in again.read_text()


# --- flat_map ---------------------------------------------------------------------------------------


async def test_each_element_of_a_list_becomes_a_message(run_through: Any) -> None:
    seen = await run_through(FlatMap, {}, in_=[[1, 2], [], (3,), 4, "text"])
    assert seen.out == [1, 2, 3]
    assert seen.reasons == ["not a list but a value of type int", "not a list but a value of type str"]


async def test_each_part_of_a_text_in_a_field_becomes_a_row(run_through: Any) -> None:
    rows = [{"id": 1, "tags": "a,b"}, {"id": 2}, {"id": 3, "tags": 5}]
    seen = await run_through(FlatMap, {"field": "tags", "separator": ","}, in_=rows)
    assert seen.out == [{"id": 1, "tags": "a"}, {"id": 1, "tags": "b"}]
    assert seen.reasons == ["no field 'tags', known: id", "not text but a value of type int"]
    assert rows[0] == {"id": 1, "tags": "a,b"}


# --- batch ------------------------------------------------------------------------------------------


async def test_every_so_many_messages_become_a_list(run_through: Any) -> None:
    assert (await run_through(Batch, {"size": 3}, in_=range(7))).out == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_list_is_sent_after_its_time_full_or_not(run_timed: Any) -> None:
    timed = [(0, 1), (1, 2), (10, 3), (10.5, 4), (11, 5)]
    seen = run_timed(Batch, {"size": 3, "within": "2s"}, in_=timed, until=20)
    assert seen["out"] == [(2, [1, 2]), (11, [3, 4, 5])]


async def test_a_batch_that_was_not_sent_at_a_crash_comes_again(feed: Any, collect: Any) -> None:
    class Fragile(Batch):
        restart = RestartPolicy(backoff=Backoff(0.001))
        crashed = False

        async def process(self) -> None:
            if self.context.restarts == 0:
                await self.in_.receive_many(2)
                raise ValueError("boom")
            await super().process()

    system = System("crash")
    sink = collect("sink")
    system.connect(system.add("feed", feed("feed", range(5))), system.add("it", Fragile, {"size": 5}))
    system.add("sink", sink)
    system.connect("it.out", "sink.in")
    report = await system.run()
    assert sorted(chain(*sink.messages)) == list(range(5))
    assert not report.restarts[0].state_lost
    assert report.ledger.closes


@pytest.mark.parametrize(
    ("component", "config", "field"),
    [
        (Route, {"rules": []}, "rules"),
        (Route, {"rules": [{**HOT, "to": "rejected"}]}, "rules"),
        (Route, {"rules": [{**HOT, "to": "a b"}]}, "rules"),
        (Route, {"rules": [HOT], "otherwise": "in"}, "rules"),
        (Route, {"rules": [{"to": "x", "field": "t"}]}, "value"),
        (Route, {"rules": [{**HOT, "value": None}]}, "value"),
        (FlatMap, {"separator": ""}, "separator"),
        (Batch, {"size": 0}, "size"),
        (Batch, {"size": 1, "within": 0}, "within"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(component: Any, config: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        component("c", config)
    assert caught.value.field == field


async def test_route_goes_by_conditions_too(run_through: Any) -> None:
    rules = [{"to": "late", "where": "delay > 60"}, {"to": "early", "field": "delay", "op": "lt", "value": 0}]
    rows = [{"delay": 70}, {"delay": -1}, {"delay": 5}, {"delay": "x"}]
    seen = await run_through(Route, {"rules": rules, "otherwise": "rest"}, in_=rows)
    assert [seen.ports[port] for port in ("late", "early", "rest")] == [[rows[0]], [rows[1]], [rows[2]]]
    assert seen.reasons == ["cannot compare str with int"]
