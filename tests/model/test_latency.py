"""The histogram of times: its quantiles are never too low, and never more than a quarter too high."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.latency import LatencyHistogram, LatencySummary

seconds = st.floats(1e-6, 5_000)


def test_nothing_counted_is_nothing() -> None:
    assert LatencyHistogram().summary() == LatencySummary(0, 0.0, 0.0, 0.0)
    assert LatencyHistogram().quantile(0.5) == 0.0


@given(st.lists(seconds, min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_at_most_a_quarter_above_the_true_one(times: list[float], share: float) -> None:
    histogram = LatencyHistogram()
    for time in times:
        histogram.add(time)
    true = sorted(times)[max(1, math.ceil(share * len(times))) - 1]
    assert true <= histogram.quantile(share) <= 1.25 * true * (1 + 1e-12)


@given(st.lists(seconds, min_size=1, max_size=50))
def test_the_summary_goes_up_from_the_median_to_the_highest(times: list[float]) -> None:
    histogram = LatencyHistogram()
    for time in times:
        histogram.add(time)
    summary = histogram.summary()
    assert summary.samples == len(times)
    assert summary.p50 <= summary.p99 <= summary.highest


@pytest.mark.parametrize("extreme", [0.0, 1e-12, 1e9])
def test_what_is_out_of_range_is_counted_at_the_end(extreme: float) -> None:
    histogram = LatencyHistogram()
    histogram.add(extreme)
    assert histogram.summary().samples == 1
    assert histogram.quantile(1) == (2**-21 * 1.25 if extreme < 1 else 2**13)
