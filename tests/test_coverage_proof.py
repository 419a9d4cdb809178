"""The proof of coverage: it fails with the tests, and below each floor."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from proofs import coverage


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        ([0, 0, 0], "held: coverage floors hold"),
        ([1, 0, 0], "tests failed"),
        ([0, 2, 0], "coverage of all is below 95 %"),
        ([0, 0, 2], "coverage of model is below 100 %"),
    ],
)
def test_it_holds_where_all_pass_and_every_floor_is_reached(
    codes: list[int], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left = list(codes)
    asked: list[Sequence[str]] = []

    def run(args: Sequence[str]) -> int:
        asked.append(args)
        return left.pop(0)

    assert coverage.main(["tests/model"], run) == int(any(codes))
    assert capsys.readouterr().out == f"{line}\n"
    assert "tests/model" in asked[0]
    assert [one[-1] for one in asked[1:]] == ["--fail-under=95", "--fail-under=100"]
