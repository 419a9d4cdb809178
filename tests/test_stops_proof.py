"""The proof of stops: a few of its cases on each backend, and that it sees what it looks for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from proofs import _stops_case, stops
from proofs._stops_case import draw, run_case

QUICK = [0, 1, 8, 12, 13, 14, 19, 20, 22, 25, 26]
"""Seeds of cases in this process, one of each way and moment that takes no whole second."""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", QUICK)
def test_a_stop_ends_in_time_and_leaves_nothing(backend: str, seed: int) -> None:
    case = draw(seed, backend)
    assert run_case(case) == [], str(case)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", [2, 10, 17])
def test_a_real_signal_ends_a_real_process_in_time_and_leaves_nothing(backend: str, seed: int) -> None:
    case = draw(seed, backend)
    assert "signal" in case.how
    assert run_case(case) == [], str(case)


def test_two_hundred_cases_have_every_way_at_every_moment() -> None:
    found = {(case.how, case.moment) for case in (draw(seed, "asyncio") for seed in range(200))}
    everything = {(how, moment) for how in _stops_case.HOWS for moment in _stops_case.MOMENTS}
    assert found == everything - {("escalation", "start")}
    awkward = {case.plan.awkward for case in (draw(seed, "trio") for seed in range(200))}
    assert awkward == set(_stops_case.AWKWARD)


def test_a_seed_gives_the_same_case_each_time() -> None:
    assert draw(5, "asyncio") == draw(5, "asyncio")
    assert draw(5, "asyncio") != draw(5, "trio")


def test_what_is_left_is_seen(tmp_path: Path) -> None:
    before = _stops_case.possessions()
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="a forgotten one")
    thread.start()
    with (tmp_path / "open").open("w"):
        left = _stops_case.still_there(before, within=0.05)
    go_on.set()
    thread.join()
    assert left == ["a thread is left: a forgotten one", f"a file is left: {tmp_path / 'open'}"]
    assert _stops_case.still_there(before) == []


def test_a_case_that_does_not_hold_says_why_and_how_to_run_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stops, "run_case", lambda case: ["it took 9 s of 2"])
    assert stops.main(["--only", "8", "--backend", "trio"]) == 1
    out = capsys.readouterr().out
    assert "it took 9 s of 2" in out
    assert "again: python3 bootstrap.py prove stops --backend trio --only 8" in out
    assert out.endswith("NOT held\n")
    monkeypatch.setattr(stops, "run_case", lambda case: [])
    assert stops.main(["--cases", "2"]) == 0
    assert "4 of 4 stops ended within their deadlines and left nothing" in capsys.readouterr().out
