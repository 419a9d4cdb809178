"""Logs go through the standard library's, with what is bound to them."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from headrace.runtime.log import get_logger


def test_a_record_carries_what_is_bound(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    get_logger("headrace.test", system="iot").bind(component="parse").info("started", rows=3)
    [record] = caplog.records
    assert record.name == "headrace.test"
    assert record.getMessage() == "started"
    assert (record.system, record.component, record.rows) == ("iot", "parse", 3)  # type: ignore[attr-defined]


def test_what_the_host_does_not_want_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    get_logger("headrace.test").info("started")
    assert caplog.records == []


def test_where_nobody_configured_logging_the_text_says_who_and_why() -> None:
    program = (
        "from headrace.runtime.log import get_logger\n"
        "get_logger(system='iot').warning('drain overran', component='r', awaiting='put() at a.py:3', left={})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "drain overran component=r awaiting='put() at a.py:3'\n"
