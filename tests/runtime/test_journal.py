"""The recent records of a system, and the repeats that are left out of its logs."""

from __future__ import annotations

import json
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from headrace import Meta, System
from headrace.model.repeats import Repeats
from headrace.runtime.journal import Journal
from headrace.runtime.log import get_logger, tell_traces


def logger_of(journal: Journal, **bound: Any) -> Any:
    return get_logger("headrace.test", journal=journal, system="s", **bound)


def test_an_entry_has_what_was_bound_and_said_as_plain_data() -> None:
    journal = Journal(clock=lambda: 12.5)
    log = logger_of(journal).bind(component="parse").telling(lambda: {"edge": "a.out -> parse.in"})
    log.info("parsed", rows=3, odd={1: object})
    [entry] = journal.entries()
    assert (entry.number, entry.time, entry.level, entry.event) == (1, 12.5, "info", "parsed")
    assert (entry.component, entry.edge, entry.message_id, entry.trace_id) == (
        "parse",
        "a.out -> parse.in",
        "",
        "",
    )
    assert entry.values == {"rows": 3, "odd": {"1": "<class 'object'>"}}
    json.dumps(entry.values)


def test_it_is_kept_whatever_the_program_shows(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    journal = Journal()
    logger_of(journal).info("quiet")
    logger_of(journal).debug("never")
    assert [entry.event for entry in journal.entries()] == ["quiet"]
    assert caplog.records == []
    caplog.set_level(logging.DEBUG)
    logger_of(journal).debug("shown, not kept")
    assert [record.getMessage() for record in caplog.records] == ["shown, not kept"]
    assert journal.last == 1


def test_each_level_has_its_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    journal = Journal()
    log = logger_of(journal)
    log.info("a")
    log.warning("b %s", "c")
    log.error("d")
    log.critical("e")
    try:
        {}["id"]
    except KeyError:
        log.exception("f")
    told = [(entry.level, entry.event) for entry in journal.entries()]
    assert told == [("info", "a"), ("warning", "b c"), ("error", "d"), ("critical", "e"), ("error", "f")]
    assert journal.entries()[-1].exception.endswith("KeyError: 'id'\n")
    assert [record.getMessage() for record in caplog.records] == ["a", "b c", "d", "e", "f"]
    assert caplog.records[-1].exc_info


def test_entries_are_chosen_and_bounded() -> None:
    journal = Journal(kept=5)
    for number in range(7):
        log = logger_of(journal, component=f"c{number % 2}")
        (log.warning if number == 5 else log.info)(f"event {number}")
    assert [entry.number for entry in journal.entries()] == [3, 4, 5, 6, 7]
    assert [entry.number for entry in journal.entries(after=5)] == [6, 7]
    assert [entry.number for entry in journal.entries(n=2)] == [6, 7]
    assert [entry.number for entry in journal.entries(n=0)] == []
    assert [entry.number for entry in journal.entries(component="c0")] == [3, 5, 7]
    assert [entry.number for entry in journal.entries(level="warning")] == [6]


def test_secrets_do_not_get_in() -> None:
    journal = Journal()
    journal.hide = lambda text: text.replace("hush", "<secret>")
    try:
        raise ValueError("hush")
    except ValueError as error:
        logger_of(journal, component="hush").error("hush!", url="x:hush@y", exc_info=error)
    [entry] = journal.entries()
    assert "hush" not in repr(entry)
    assert entry.values == {"url": "x:<secret>@y"}


def test_repeats_of_a_component_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    journal = Journal(repeats=Repeats(burst=2, within=10))
    journal.steady = lambda: now
    log = logger_of(journal, component="parse")
    for number in range(1206):
        log.warning(f"row {number} is bad", row=number)
    now = 10.0
    log.tell_repeats()
    log.tell_repeats()
    expected = ["row 0 is bad", "row 1 is bad", "... 1,204 more like this: row 1205 is bad"]
    assert [record.getMessage() for record in caplog.records] == expected
    assert [entry.event for entry in journal.entries()] == expected
    last = journal.entries()[-1]
    assert (last.component, last.level, last.values) == ("parse", "warning", {})


def test_they_are_told_before_the_next_one_of_them_and_at_the_end() -> None:
    now = 0.0
    journal = Journal(repeats=Repeats(burst=1, within=10))
    journal.steady = lambda: now
    log = logger_of(journal, component="parse")
    log.info("tick")
    log.info("tick")
    now = 11.0
    log.info("tick")
    log.info("tick")
    log.tell_repeats(at_end=True)
    told = "... 1 more like this: tick"
    assert [entry.event for entry in journal.entries()] == ["tick", told, "tick", told]


def test_what_is_about_the_system_is_always_written() -> None:
    journal = Journal(repeats=Repeats(burst=1))
    for _ in range(3):
        logger_of(journal).info("ended")
    assert len(journal.entries()) == 3


def test_threads_may_log_at_once() -> None:
    journal = Journal(kept=10_000)

    def write(name: int) -> None:
        for number in range(200):
            logger_of(journal).info("event", by=name, number=number)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.number for entry in journal.entries()] == list(range(1, 801))


def test_a_record_says_to_which_trace_it_belongs_where_somebody_traces() -> None:
    journal = Journal()
    tell_traces(lambda: {"trace_id": "abc"})
    try:
        logger_of(journal).info("in a trace")
    finally:
        tell_traces(dict)
    logger_of(journal).info("in none")
    assert [entry.trace_id for entry in journal.entries()] == ["abc", ""]


# --- in a system -----------------------------------------------------------------------------------


async def test_a_component_that_logs_tells_the_edge_of_the_message_in_hand(parts: SimpleNamespace) -> None:
    async def look(self: Any) -> None:
        self.context.logger.info("begins")
        _, meta = await self.receive_streams["in"].receive_with_meta()
        self.context.logger.info("knows", id=meta.id)
        await self.receive_streams["in"].receive()
        self.context.logger.info("receives")

    system = System("logging")
    system.add("numbers", parts.Numbers(count=2))
    system.add("look", parts.Acting("look", look))
    system.connect("numbers.out", "look.in")
    await system.run()
    begins, knows, receives = system.logs(component="look")
    assert (begins.edge, knows.edge, receives.edge) == (
        "",
        "numbers.out -> look.in",
        "numbers.out -> look.in",
    )
    assert knows.message_id == knows.values["id"] != ""
    assert receives.message_id == ""


async def test_what_the_harness_says_is_there_too_and_a_storm_of_dead_letters_is_short() -> None:
    def numbers() -> Any:
        yield from range(100)

    def fail(number: int, *, meta: Meta) -> None:
        raise ValueError(f"no {number}")

    system = System("logging")
    system.add("numbers", numbers)
    system.add("fail", fail, attempts=1)
    system.connect("numbers", "fail")
    await system.run()
    events = [entry.event for entry in system.logs()]
    assert events[0] == "running"
    assert events[-1] == "ended"
    assert events.count("message dead-lettered") == 10
    assert "... 90 more like this: message dead-lettered" in events
    dead = next(entry for entry in system.logs() if entry.event == "message dead-lettered")
    assert (dead.component, dead.edge) == ("fail", "numbers.out -> fail.in")
    assert dead.message_id
    assert len(system.dead_letters()) == 100
