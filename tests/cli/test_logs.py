"""Logs: one line for people, one JSON object for programs, and nothing said twice."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.logs import TOLD_OTHERWISE, configure_logs
from headrace.runtime.log import get_logger


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Return a stream for logs, and leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, threading.excepthook
    yield io.StringIO()
    logging.captureWarnings(False)
    threading.excepthook = hook
    root.setLevel(level)
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)


def test_json_is_one_object_a_line_with_all_that_was_bound(stream: io.StringIO) -> None:
    configure_logs("json", "info", stream, colours=False)
    get_logger(system="s").bind(component="parse").info("status", text="half done", odd={1, 2}.__class__)
    logging.getLogger("other").warning("a %s", "message", extra={"row": 3})
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (
        first.items() >= {"event": "status", "component": "parse", "system": "s", "text": "half done"}.items()
    )
    assert first["odd"] == "<class 'set'>"
    assert second.items() >= {"event": "a message", "row": 3, "level": "warning", "logger": "other"}.items()


def test_json_holds_tracebacks_and_warnings(stream: io.StringIO) -> None:
    configure_logs("json", "info", stream, colours=False)
    try:
        {}["id"]
    except KeyError:
        logging.getLogger("other").exception("failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["exception"].endswith("KeyError: 'id'")
    assert second["logger"] == "py.warnings"


@pytest.mark.filterwarnings("always")
def test_a_warning_of_pythons_is_one_line_with_its_place_and_its_mend(
    stream: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("app.py").write_text("one\n  self.out.send(x)\n")
    configure_logs("console", "info", stream, colours=False)
    text = "coroutine 'Out.send' was never awaited"
    warnings.warn_explicit(text, RuntimeWarning, str(tmp_path / "app.py"), 2)
    warnings.warn_explicit("two\nlines", UserWarning, "nowhere.py", 7)
    logging.getLogger("py.warnings").warning("said by somebody else")
    first, second, third = [line.partition("] ")[2] for line in stream.getvalue().splitlines()]
    assert first == f"app.py:2: RuntimeWarning: {text}, write 'await' before the call (self.out.send(x))"
    assert second == "nowhere.py:7: UserWarning: two lines"
    assert third == "said by somebody else"


def test_a_thread_that_fails_is_json_too(stream: io.StringIO) -> None:
    configure_logs("json", "info", stream, colours=False)

    def fail() -> None:
        raise RuntimeError("in a thread")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    record = json.loads(stream.getvalue())
    assert record["event"] == "thread failed"
    assert "RuntimeError: in a thread" in record["exception"]


@pytest.mark.parametrize("event", sorted(TOLD_OTHERWISE))
def test_people_are_not_told_twice(event: str, stream: io.StringIO) -> None:
    configure_logs("console", "debug", stream, colours=False)
    get_logger(system="s").info(event)
    assert stream.getvalue() == ""
    logging.getLogger("mine").info(event)
    assert event in stream.getvalue()


def test_people_see_time_level_event_and_what_was_bound(stream: io.StringIO) -> None:
    configure_logs("console", "info", stream, colours=False)
    get_logger(system="s").bind(component="parse").warning("slow", seconds=3)
    get_logger(system="s").debug("not shown")
    (line,) = stream.getvalue().splitlines()
    assert line[8:] == " [warning] slow component=parse seconds=3"


def test_colours_are_for_terminals(stream: io.StringIO) -> None:
    configure_logs("console", "info", stream, colours=True)
    get_logger().warning("slow")
    assert "\x1b[" in stream.getvalue()
