"""Logs go through the standard library's, with what is bound to them."""

from __future__ import annotations

import logging

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
