"""Endpoints as written, and the hints beside a name that is not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.exceptions import InvalidEndpointError, WiringError
from headrace.model.endpoint import ComponentNames, Endpoint, did_you_mean, parse_endpoint


@pytest.mark.parametrize(
    ("text", "component", "port"),
    [
        ("parse.out", "parse", "out"),
        ("  parse.out ", "parse", "out"),
        ("parse", "parse", ""),
        ("site.north.out", "site.north", "out"),
    ],
)
def test_an_endpoint_is_a_component_and_perhaps_a_port(text: str, component: str, port: str) -> None:
    assert parse_endpoint(text) == Endpoint(component, port)


@pytest.mark.parametrize("text", ["", ".", "parse.", ".out", "  ", " . "])
def test_half_an_endpoint_is_an_error_that_says_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidEndpointError, match=r"write 'component\.port'"):
        parse_endpoint(text)


@pytest.mark.parametrize("thing", [None, 5, b"a.b", ("a", "b")])
def test_what_is_no_string_is_an_error_that_shows_it(thing: object) -> None:
    with pytest.raises(InvalidEndpointError, match="an endpoint is a string"):
        parse_endpoint(thing)


@given(
    st.from_regex(r"[a-z][a-z0-9_.]*[a-z0-9_]", fullmatch=True), st.from_regex(r"[a-z0-9_]+", fullmatch=True)
)
def test_what_is_written_is_read_back(component: str, port: str) -> None:
    endpoint = Endpoint(component, port)
    assert parse_endpoint(str(endpoint)) == endpoint


def test_a_component_alone_is_written_without_a_dot() -> None:
    assert str(Endpoint("parse")) == "parse"


@pytest.mark.parametrize(
    "names", [("a", "a.out"), ("a.out", "a"), ("x.a", "b", "x.a.out"), ("x.a.out", "x.a")]
)
def test_a_name_that_could_be_a_port_of_another_is_refused_whichever_comes_first(
    names: tuple[str, ...],
) -> None:
    taken = ComponentNames()
    for name in names[:-1]:
        taken.refuse_clash(name)
        taken.add(name)
    with pytest.raises(
        WiringError, match=r"a.out' could be a component or a port; take another name"
    ) as caught:
        taken.refuse_clash(names[-1])
    assert caught.value.hint.endswith("a_out'")


def test_names_with_dots_that_are_no_ports_of_each_other_stand_side_by_side() -> None:
    taken = ComponentNames()
    for name in ("site.north", "site.south", "a", "a.b.c", "site_north", "a.b.d"):
        taken.refuse_clash(name)
        taken.add(name)


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("prase", ["parse", "store"]) == "did you mean 'parse'?"


def test_with_nothing_near_a_short_list_is_shown_and_a_long_one_is_not() -> None:
    assert did_you_mean("xyz", ["b", "a", "a"]) == "known: a, b"
    assert did_you_mean("xyz", [f"part{number}" for number in range(9)]) == ""
    assert did_you_mean("xyz", []) == ""


@pytest.mark.parametrize("text", ["a\x1b[2J.out", "a.o\x07ut", "a\n.b"])
def test_what_a_terminal_would_obey_is_no_endpoint(text: str) -> None:
    with pytest.raises(InvalidEndpointError, match="of printable characters"):
        parse_endpoint(text)
