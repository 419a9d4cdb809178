"""Targets are read, judged and shown as people write them."""

from __future__ import annotations

import pytest

from headrace_bench.target import parse_target, shown_ratio


@pytest.mark.parametrize(
    ("text", "value", "ratio", "met"),
    [
        (">= 10 x", 0.0, 10.0, True),
        (">= 10 x", 99.0, 9.9, False),
        ("<= 1.5 x", 0.0, 1.5, True),
        (">= 20 %", 0.0, 0.2, True),
        (">= 20 %", 0.0, 0.19, False),
        ("< 100 us", 99.0, None, True),
        ("< 100 us", 100.0, None, False),
        ("> 1,000 messages/s", 1001.0, None, True),
        (">= 10 x", 5.0, None, None),
    ],
)
def test_a_target_judges_the_value_or_the_ratio(
    text: str, value: float, ratio: float | None, met: bool | None
) -> None:
    target = parse_target(text)
    assert target.met(value, ratio) is met
    assert parse_target(str(target)) == target


@pytest.mark.parametrize("text", ["", "10 x", ">= x", ">=10 x", "about 10 x", ">= 10"])
def test_what_is_no_target_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no target; write it like"):
        parse_target(text)


def test_a_ratio_is_shown_as_its_target_is_written() -> None:
    assert shown_ratio(0.256, parse_target(">= 20 %")) == "26%"
    assert shown_ratio(0.0123, parse_target(">= 20 %")) == "1.2%"
    assert shown_ratio(2.5, parse_target(">= 2 x")) == "2.50x"
    assert shown_ratio(25.04, None) == "25.0x"
