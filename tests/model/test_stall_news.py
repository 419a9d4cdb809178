"""What is told of a trouble: its beginning, that it goes on, ever more rarely, and its end; each once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from headrace.model.stall_news import StallNews
from headrace.model.trouble import SlowStep, Stall, Wait


def trouble(seconds: float, name: str = "db") -> SlowStep:
    return SlowStep(name, "setup", seconds, "connect() at db.py:12")


def test_a_trouble_begins_goes_on_more_and_more_rarely_and_is_over() -> None:
    news = StallNews(hold=0.5)
    told = []
    for second in range(1, 1001):
        told += [(second, one.turn) for one in news.update(second, [trouble(second)])]
    assert told == [(1, "begins"), (11, "goes on"), (71, "goes on"), (431, "goes on")]
    (end,) = news.update(1002, [])
    assert (end.turn, end.seconds) == ("over", 1000)
    assert str(end.trouble) == "set-up of db takes 17 min, awaiting connect() at db.py:12"
    assert end.trouble.over(3) == "set-up of db took 3.0 s"
    assert news.is_quiet


def test_a_gap_shorter_than_the_hold_is_no_end() -> None:
    news = StallNews(hold=0.5)
    news.update(1, [trouble(1)])
    assert news.update(1.3, []) == []
    assert news.update(1.4, [trouble(1.4)]) == []


def test_one_that_comes_again_soon_is_not_told_again() -> None:
    news = StallNews(hold=0.5)
    assert [one.turn for one in news.update(1, [trouble(1)])] == ["begins"]
    assert [one.turn for one in news.update(2, [])] == ["over"]
    assert news.update(3, [trouble(1)]) == []
    assert news.update(4, []) == []  # nor is its end
    assert [one.turn for one in news.update(12, [trouble(1)])] == ["begins"]


def test_what_was_slow_and_stands_still_is_told_at_once_and_once() -> None:
    slow = Stall("slow", "store", Wait("await"), 1, ("parse",), "parse.out -> store.in", (2, 2), 3.0)
    still = replace(slow, kind="blocked")
    news = StallNews(hold=0.5)
    looks = [slow, still, slow, still, still]
    assert [[one.turn for one in news.update(n / 4, [seen])] for n, seen in enumerate(looks)] == [
        ["begins"],
        ["goes on"],
        [],
        [],
        [],
    ]


def test_others_are_told_apart_by_their_keys() -> None:
    news = StallNews(hold=0.5)
    news.update(1, [trouble(1)])
    assert [one.trouble.key for one in news.update(1.1, [trouble(1), trouble(1, "web")])] == ["set-up of web"]


@given(st.lists(st.booleans(), max_size=200))
def test_each_beginning_has_one_end_and_nothing_else_is_told(looks: list[bool]) -> None:
    news = StallNews(hold=2)
    turns = []
    for number, is_there in enumerate([*looks, False, False, False]):
        turns += [one.turn for one in news.update(number, [trouble(1)] if is_there else [])]
    essential = [turn for turn in turns if turn != "goes on"]
    assert essential == ["begins", "over"] * (len(essential) // 2)
    assert len(turns) <= 12
